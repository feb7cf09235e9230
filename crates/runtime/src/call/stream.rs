//! A request body on its way through the program's streaming callback.

use std::time::Instant;

use crate::api::{Host, Stage};
use crate::failure::Failure;
use crate::inputs::{InputError, Landed, push_text};
use crate::instance::{Instance, Worker};
use crate::journal::{Journal, Lines};
use crate::run::{Stop, run};
use crate::transaction::{BodyError, CallRequest, Transaction};

/// Larger parts of a body are handed over in pieces of this size.
const SEGMENT_MAX: usize = 64 * 1024;

/// Gives a body to the program piece by piece. Each piece is a call with its own time limit.
///
/// The transaction is being read meanwhile, so these calls can't use it; what they print is
/// logged afterwards.
pub(super) struct Stream<'a> {
    instance: &'a Instance,
    worker: &'a mut Worker,
    request: &'a CallRequest<'a>,
    function: u64,
    offset: u64,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        instance: &'a Instance,
        worker: &'a mut Worker,
        request: &'a CallRequest<'a>,
        function: u64,
    ) -> Self {
        Self {
            instance,
            worker,
            request,
            function,
            offset: 0,
        }
    }

    /// Reads the body to its end. It is nowhere then: only its length is left.
    pub(super) fn run(
        mut self,
        transaction: &mut dyn Transaction,
        limit: u64,
    ) -> Result<Landed, BodyError> {
        let instance = self.instance;
        let lines = Lines::new(instance.journal_of_output());
        let result = transaction.read_body(&mut |part| {
            if self.offset.saturating_add(part.len() as u64) > limit {
                return Err(BodyError::TooLarge { limit });
            }
            part.chunks(SEGMENT_MAX)
                .try_for_each(|segment| self.give(segment, &lines))
        });
        let output = &mut self.worker.output;
        output.flush(&instance.name, &mut |line| lines.log(line));
        for line in lines.into_lines() {
            transaction.log(&line);
        }
        result.map(|()| Landed {
            address: 0,
            length: self.offset,
        })
    }

    fn give(&mut self, segment: &[u8], lines: &Lines<'_>) -> Result<(), BodyError> {
        let refused = |failure: Failure| BodyError::Refused {
            reason: failure.to_string(),
        };
        let length = segment.len() as u64;
        match self.call(segment, lines).map_err(refused)? {
            Stop::Returned(taken) if taken == length => {
                self.offset += length;
                Ok(())
            }
            Stop::Returned(taken) => Err(BodyError::Refused {
                reason: format!("it took {taken:#x} of {length:#x} bytes"),
            }),
            _ => Err(refused(Failure::NoAnswer)),
        }
    }

    fn call(&mut self, segment: &[u8], lines: &Lines<'_>) -> Result<Stop, Failure> {
        let time = self.instance.settings.max_request_time;
        let Worker {
            fork,
            process,
            output,
            scratch,
            ..
        } = &mut *self.worker;
        fork.begin(time);
        process.begin_call(fork);
        fork.prepare_call(self.function);
        let mut push = |text| push_text(fork, scratch, text).map_err(InputError::from);
        let url = push(self.request.url)?;
        let arg = push(self.request.argument)?;
        let kind = push(self.request.content_type)?;
        let data = fork.push(segment, 8).map_err(InputError::from)?;
        let length = segment.len() as u64;
        fork.enter([url, arg, kind, data, length, self.offset])
            .map_err(InputError::from)?;
        let mut host = Host {
            program: &self.instance.name,
            stage: Stage::Detached,
            output,
            journal: Some(lines),
            operator: self.instance.journal(),
            deadline: Instant::now() + time,
            memory: self.instance.memory_figures(),
            by_syscall: false,
        };
        run(fork, process, &mut host, self.instance.run_limits(time))
    }
}
