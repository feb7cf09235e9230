//! Serving a request in a fork.

use std::time::{Duration, Instant};

use tinykvm::{Fork, Guest};
use tinykvm_abi::{callbacks, limits};
use tinykvm_linux::Process;

use super::report;
use super::stream::Stream;
use crate::api::{Answer, Host, Stage, decode_response};
use crate::failure::Failure;
use crate::inputs::{Block, InputError, Landed, push_request, push_text};
use crate::instance::{Fate, Instance, Position, Worker};
use crate::run::{Stop, run};
use crate::transaction::{BodyError, CallRequest, Transaction};
use crate::transfer;

/// What `on_error` has, and a program that goes on behind its answer to its wait call.
const SHORT: Duration = Duration::from_millis(limits::ON_ERROR_MS as u64);

/// Why there is no proper answer.
pub(super) enum Trouble {
    /// The request body could not be brought in.
    Body(BodyError),
    /// The program failed; its error callback may have answered nevertheless.
    Failed {
        /// How.
        failure: Failure,
        /// That answer.
        answer: Option<Answer>,
    },
}

impl Trouble {
    /// What becomes of the fork.
    pub(super) fn fate(&self) -> Fate {
        match self {
            // The client's trouble, not the program's.
            Self::Body(BodyError::Read | BodyError::TooLarge { .. } | BodyError::Length { .. }) => {
                Fate::Configured
            }
            Self::Body(_) | Self::Failed { .. } => Fate::Rebuilt,
        }
    }
}

/// A request and the fork that serves it.
pub(super) struct Serving<'a> {
    pub(super) instance: &'a Instance,
    pub(super) worker: &'a mut Worker,
    pub(super) request: &'a CallRequest<'a>,
    pub(super) transaction: &'a mut dyn Transaction,
}

/// Which of the program's ways to serve a request is taken.
enum Entry {
    Request(u64),
    Get(u64),
    Post(u64),
    Resume,
}

impl Serving<'_> {
    pub(super) fn serve(mut self) -> Result<Answer, Trouble> {
        self.worker.output.begin();
        self.worker.process.begin();
        if self.worker.position == Position::Answered
            && let Err(failure) = self.go_on()
        {
            return Err(self.fail(failure));
        }
        let body = self.bring_body().map_err(Trouble::Body)?;
        self.answer(body).map_err(|failure| self.fail(failure))
    }

    fn bring_body(&mut self) -> Result<Landed, BodyError> {
        if !self.request.has_body || self.transaction.body_length() == Some(0) {
            return Ok(Landed::default());
        }
        let settings = &self.instance.settings;
        if let Some(function) = self.instance.callbacks.get(callbacks::STREAM_POST) {
            let stream = Stream::new(self.instance, self.worker, self.request, function);
            return stream.run(self.transaction, settings.max_body);
        }
        let limit = settings.max_body.min(settings.request_memory());
        let received = transfer::receive(&mut self.worker.fork, self.transaction, limit)?;
        if self.instance.keeps_state() {
            self.worker.note_body(received.body, received.mapped);
        }
        Ok(received.body)
    }

    /// Calls or resumes the program and decodes its answer.
    fn answer(&mut self, body: Landed) -> Result<Answer, Failure> {
        let time = self.instance.settings.max_request_time;
        let CallRequest {
            url,
            argument,
            content_type,
            ..
        } = *self.request;
        match self.entry(body)? {
            Entry::Resume => {
                self.resume(body, time)?;
                let answer = self.run_to_answer(time)?;
                self.worker.position = Position::Answered;
                return Ok(answer);
            }
            Entry::Get(function) => {
                let [url, arg] = self.begin(function, time, [url, argument])?;
                self.enter([url, arg, 0, 0, 0, 0])?;
            }
            Entry::Post(function) => {
                let texts = [url, argument, content_type];
                let [url, arg, kind] = self.begin(function, time, texts)?;
                self.enter([url, arg, kind, body.address, body.length, 0])?;
            }
            Entry::Request(function) => {
                let [] = self.begin(function, time, [])?;
                let Worker { fork, scratch, .. } = &mut *self.worker;
                let prng = fork.seed();
                let made = push_request(fork, scratch, self.request, self.transaction, body, prng)?;
                let address = fork.push(&made.to_bytes(), 8).map_err(InputError::from)?;
                self.enter([address, 0, 0, 0, 0, 0])?;
            }
        }
        self.run_to_answer(time)
    }

    fn entry(&self, body: Landed) -> Result<Entry, Failure> {
        let callbacks = &self.instance.callbacks;
        let with_body = body.length > 0;
        if let Some(function) = callbacks.get(callbacks::REQUEST) {
            return Ok(Entry::Request(function));
        }
        let entry = if with_body {
            callbacks.get(callbacks::POST).map(Entry::Post)
        } else {
            callbacks.get(callbacks::GET).map(Entry::Get)
        };
        entry
            .or(self.instance.paused.then_some(Entry::Resume))
            .ok_or(Failure::NoCallback { with_body })
    }

    /// Begins the call of a function and pushes its texts.
    fn begin<const N: usize>(
        &mut self,
        function: u64,
        time: Duration,
        texts: [&[u8]; N],
    ) -> Result<[u64; N], Failure> {
        let Worker {
            fork,
            process,
            scratch,
            ..
        } = &mut *self.worker;
        fork.begin(time);
        process.begin_call(fork);
        fork.prepare_call(function);
        let mut addresses = [0; N];
        for (address, text) in addresses.iter_mut().zip(texts) {
            *address = push_text(fork, scratch, text).map_err(InputError::from)?;
        }
        Ok(addresses)
    }

    fn enter(&mut self, arguments: [u64; 6]) -> Result<(), Failure> {
        let entered = self.worker.fork.enter(arguments);
        Ok(entered.map_err(InputError::from)?)
    }

    /// Fills the struct that a program waits with, and resumes it.
    fn resume(&mut self, body: Landed, time: Duration) -> Result<(), Failure> {
        let length = limits::PAUSED_BLOCK;
        let keeps_state = self.instance.keeps_state();
        let start = self.worker.block(length, keeps_state);
        let start = start.map_err(InputError::from)?;
        let Worker {
            fork,
            process,
            scratch,
            position,
            ..
        } = &mut *self.worker;
        let frozen = *position == Position::Frozen;
        fork.begin(time);
        if frozen {
            process.begin_call(fork);
        }
        let to = match frozen {
            true => fork.frozen_registers().rdi,
            false => fork.registers().rdi,
        };
        let prng = fork.seed();
        let mut stack = Block::new(fork, start, length);
        let made = push_request(
            &mut stack,
            scratch,
            self.request,
            self.transaction,
            body,
            prng,
        )?;
        fork.write(to, &made.to_bytes()).map_err(InputError::from)?;
        if frozen {
            fork.prepare_resume();
        }
        Ok(())
    }

    /// Runs a program that keeps its state from behind its last answer to its wait call.
    fn go_on(&mut self) -> Result<(), Failure> {
        self.worker.fork.begin(SHORT);
        match self.run(SHORT, true)? {
            Stop::Waiting { .. } => {
                self.worker.position = Position::Waiting;
                Ok(())
            }
            _ => Err(Failure::NoAnswer),
        }
    }

    fn run_to_answer(&mut self, time: Duration) -> Result<Answer, Failure> {
        let Stop::Responded { body } = self.run(time, false)? else {
            return Err(Failure::NoAnswer);
        };
        let longest = self.instance.settings.max_memory;
        let (fork, _, mut host) = self.parts(time, true);
        Ok(decode_response(fork, body, longest, &mut host)?)
    }

    /// The VM, and what its calls need besides it, with the transaction at hand.
    fn parts(&mut self, time: Duration, answered: bool) -> (&mut Fork, &mut Process, Host<'_>) {
        let Worker {
            fork,
            process,
            output,
            ..
        } = &mut *self.worker;
        let host = Host {
            program: &self.instance.name,
            stage: Stage::Request {
                transaction: self.transaction,
                method: self.request.method,
                answered,
            },
            output,
            journal: self.instance.journal_of_output(),
            operator: self.instance.journal(),
            deadline: Instant::now() + time,
            memory: self.instance.memory_figures(),
            by_syscall: false,
        };
        (fork, process, host)
    }

    fn run(&mut self, time: Duration, answered: bool) -> Result<Stop, Failure> {
        let limits = self.instance.run_limits(time);
        let (fork, process, mut host) = self.parts(time, answered);
        let result = run(fork, process, &mut host, limits);
        host.flush();
        match result {
            // What the host could not write for want of memory shows as something else.
            Err(_) if fork.memory_exceeded() => Err(Failure::Memory {
                booting: false,
                limit: limits.memory,
            }),
            result => result,
        }
    }

    /// Logs a failure and lets the program answer it, in the same VM.
    fn fail(&mut self, failure: Failure) -> Trouble {
        let name = &self.instance.name;
        let image = self.instance.image();
        report::failure(self.transaction, name, &failure, &self.worker.fork, image);
        let function = self.instance.callbacks.get(callbacks::ON_ERROR);
        let answer = match function.filter(|_| self.can_answer(&failure)) {
            Some(function) => {
                self.worker.process.failed();
                let answer = self.on_error(function, &failure.to_string());
                if let Err(again) = &answer {
                    report::error(self.transaction, name, &format!("on_error: {again}"));
                }
                answer.ok()
            }
            None => None,
        };
        Trouble::Failed { failure, answer }
    }

    /// True if the VM can still run the error callback. That finds the state that the failure
    /// left behind, except where there is no memory left to run in.
    fn can_answer(&mut self, failure: &Failure) -> bool {
        match failure {
            Failure::Memory { .. } => self.worker.reset(self.instance).is_ok(),
            failure => failure.leaves_vm_usable(),
        }
    }

    fn on_error(&mut self, function: u64, reason: &str) -> Result<Answer, Failure> {
        let texts = [self.request.url, self.request.argument, reason.as_bytes()];
        let [url, arg, reason] = self.begin(function, SHORT, texts)?;
        self.enter([url, arg, reason, 0, 0, 0])?;
        self.run_to_answer(SHORT)
    }
}
