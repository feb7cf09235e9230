//! One body in one fork: calls of the program's functions, its input and its output in place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tinykvm::{Fork, Guest};
use tinykvm_abi::filters;

use super::figures::Figures;
use super::start::push_start;
use super::{FilterRequest, Part};
use crate::api::{FILTER_INPUT, FILTER_OUTPUT, FilterFunctions, Host, Stage};
use crate::failure::Failure;
use crate::inputs::InputError;
use crate::instance::{Fate, Held, Instance, Worker};
use crate::journal::Lines;
use crate::run::{Stop, run};
use crate::transaction::{BodyError, Log, Side, Transaction};
use crate::transfer::Landing;

/// Output is handed on in pieces of at most this size: finding one costs a look at each page.
const PIECE: u64 = 1024 * 1024;
/// What is read first; twice as much each time that as much came.
const FIRST_READ: u64 = 16 * 1024;
/// Input of a filter that wants all of it at once is brought in by parts of this size.
const PART: usize = 64 * 1024;
/// Offset of `length` in the program's `struct filter_output`.
const LENGTH: u64 = 16;

/// What a session needs to go on.
pub(super) enum Want {
    /// Output is to be taken.
    Drain,
    /// Input is to be given, or ended.
    Input,
    /// It is done.
    Nothing,
}

/// Which functions are still to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// More input may come.
    Input,
    /// The last chunk, then the end.
    Chunk,
    End,
    Nothing,
}

/// Output in the guest.
#[derive(Debug, Clone, Copy, Default)]
struct Output {
    /// Bytes in the buffer.
    buffered: u64,
    /// How many of them were taken.
    taken: u64,
    /// Address and length of what comes behind the buffer, in the program's own memory.
    direct: (u64, u64),
}

impl Output {
    fn is_empty(&self) -> bool {
        self.taken == self.buffered && self.direct.1 == 0
    }
}

/// See the [module documentation](self).
pub(super) struct Session {
    instance: Arc<Instance>,
    held: Held,
    functions: Option<FilterFunctions>,
    /// The function that runs or ran last.
    function: &'static str,
    /// It is stopped in a write.
    writing: bool,
    output: Output,
    left: Left,
    /// How much of the input buffer is used: not more than a quarter of what may be changed.
    room: u64,
    /// Bytes in the input buffer.
    filled: u64,
    next_read: u64,
    /// Where the whole body goes, if the filter wants that.
    whole: Option<Landing>,
    /// A part of it on its way.
    part: Vec<u8>,
    used: Duration,
    runs_before: u64,
}

impl Session {
    pub(super) fn new(instance: &Arc<Instance>, mut held: Held) -> Self {
        let runs_before = held.worker().map_or(0, |worker| worker.fork.vcpu_runs());
        // However this ends, until somebody says otherwise.
        held.fate = Fate::Rebuilt;
        Self {
            instance: Arc::clone(instance),
            held,
            functions: instance.filter,
            function: "begin",
            writing: false,
            output: Output::default(),
            left: Left::Input,
            room: FILTER_INPUT.min(instance.settings.request_memory() / 4),
            filled: 0,
            next_read: FIRST_READ,
            whole: None,
            part: Vec::new(),
            used: Duration::ZERO,
            runs_before,
        }
    }

    fn worker(&mut self) -> Result<&mut Worker, Failure> {
        self.held.worker().ok_or(Failure::NoAnswer)
    }

    fn functions(&self) -> Result<FilterFunctions, Failure> {
        self.functions.ok_or(Failure::NoFilter)
    }

    /// Time for the next function, within the limits for one and for all.
    fn budget(&self) -> Result<Duration, Failure> {
        let limit = self.instance.settings.max_filter_time;
        let left = limit.saturating_sub(self.used);
        if left.is_zero() {
            return Err(Failure::FilterTime { limit });
        }
        Ok(left.min(self.instance.settings.max_request_time))
    }

    /// Calls the begin function. False if it wants nothing to do with the body.
    pub(super) fn begin(
        &mut self,
        request: &FilterRequest<'_>,
        transaction: &mut dyn Transaction,
    ) -> Result<bool, Failure> {
        let functions = self.functions()?;
        check_body(functions, request, transaction)?;
        let budget = self.budget()?;
        let instance = Arc::clone(&self.instance);
        let Worker {
            fork,
            process,
            output,
            scratch,
            ..
        } = self.worker()?;
        output.begin();
        process.begin();
        fork.begin(budget);
        process.begin_call(fork);
        fork.prepare_call(functions.begin);
        let prng = fork.seed();
        let start = push_start(fork, scratch, request, transaction, prng)?;
        let address = fork.push(&start.to_bytes(), 8).map_err(InputError::from)?;
        let entered = fork.enter([address, 0, 0, 0, 0, 0]);
        entered.map_err(InputError::from)?;
        let started = Instant::now();
        let mut host = Host {
            program: &instance.name,
            stage: Stage::Request {
                transaction,
                method: request.method,
                answered: false,
            },
            output,
            journal: instance.journal_of_output(),
            operator: instance.journal(),
            deadline: started + budget,
            memory: instance.memory_figures(),
            by_syscall: false,
        };
        let mut limits = instance.run_limits(budget);
        limits.key = limits.key.or(Some("max_filter_time"));
        let stop = exact(run(fork, process, &mut host, limits), fork, limits.memory);
        fork.end();
        self.used += started.elapsed();
        let Stop::Returned(answer) = stop? else {
            return Err(Failure::NoAnswer);
        };
        match low32(answer).cast_unsigned() {
            filters::PASS => Ok(false),
            filters::TRANSFORM => Ok(true),
            filters::WHOLE_BODY => {
                let settings = &self.instance.settings;
                let limit = settings.max_body.min(settings.request_memory());
                self.whole = Some(Landing::new(limit, request.length));
                Ok(true)
            }
            answer => Err(Failure::FilterFailed {
                function: "begin",
                code: answer.cast_signed(),
            }),
        }
    }

    /// Goes on as far as possible without input.
    pub(super) fn advance(
        &mut self,
        figures: &mut Figures,
        log: &mut dyn Log,
    ) -> Result<Want, Failure> {
        loop {
            let drained = self.output.is_empty();
            if self.writing {
                if !drained {
                    return Ok(Want::Drain);
                }
                self.resume(log)?;
                continue;
            }
            match self.left {
                Left::Input if drained => return Ok(Want::Input),
                Left::Nothing if drained => return Ok(Want::Nothing),
                Left::Input | Left::Nothing => return Ok(Want::Drain),
                Left::Chunk => {
                    self.left = Left::End;
                    self.chunk(figures, log)?;
                }
                // What is in the buffer can wait, so that the whole length may be known.
                Left::End => {
                    self.left = Left::Nothing;
                    let functions = self.functions()?;
                    self.call("end", functions.end, [0; 2], log)?;
                }
            }
        }
    }

    /// Reads into the input buffer. `None` if the source broke off.
    pub(super) fn fill(
        &mut self,
        source: &mut dyn FnMut(&mut [u8]) -> Option<Part>,
    ) -> Result<Option<Part>, Failure> {
        let functions = self.functions()?;
        if self.whole.is_some() {
            // Not on the stack, which is small in a cache's threads.
            let mut part = std::mem::take(&mut self.part);
            part.resize(PART, 0);
            let read = source(&mut part);
            let landed = read.map_or(Ok(()), |read| self.land(&part[..read.length]));
            self.part = part;
            landed?;
            return Ok(read);
        }
        let room = (self.room - self.filled).min(self.next_read);
        let at = functions.input + self.filled;
        let fork = &mut self.worker()?.fork;
        let piece = fork.first_piece_mut(at, room).map_err(InputError::from)?;
        let Some(read) = source(piece) else {
            return Ok(None);
        };
        let length = read.length.min(piece.len()) as u64;
        if length >= self.next_read {
            self.next_read = (self.next_read * 2).min(self.room);
        }
        self.filled += length;
        Ok(Some(read))
    }

    /// Copies what fits into the input buffer, and returns how much that was.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        if self.whole.is_some() {
            self.land(bytes)?;
            return Ok(bytes.len());
        }
        let at = self.functions()?.input + self.filled;
        let room = usize::try_from(self.room - self.filled).unwrap_or(0);
        let length = bytes.len().min(room);
        let fork = &mut self.worker()?.fork;
        fork.write(at, &bytes[..length]).map_err(InputError::from)?;
        self.filled += length as u64;
        Ok(length)
    }

    /// Adds to the whole body.
    fn land(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let memory = self.instance.settings.request_memory();
        let Self { whole, held, .. } = self;
        let worker = held.worker().ok_or(Failure::NoAnswer)?;
        let Some(landing) = whole else {
            return Ok(());
        };
        let landed = landing.put(&mut worker.fork, bytes);
        landed.map_err(|error| match error {
            BodyError::TooLarge { limit } => Failure::FilterBody { limit },
            _ => Failure::Memory {
                booting: false,
                limit: memory,
            },
        })
    }

    /// True if the input buffer is full.
    pub(super) fn is_full(&self) -> bool {
        self.filled == self.room
    }

    /// True if there is input that the program should not wait for the rest with.
    pub(super) fn is_filled(&self) -> bool {
        self.filled > 0 && self.whole.is_none()
    }

    /// There is no more input.
    pub(super) fn end_input(&mut self) {
        if self.left == Left::Input {
            let some = self.filled > 0 || self.whole.as_ref().is_some_and(|it| it.length() > 0);
            self.left = if some { Left::Chunk } else { Left::End };
        }
    }

    /// True if the input was ended.
    pub(super) fn has_ended(&self) -> bool {
        self.left != Left::Input
    }

    /// Gives the program what is in the input buffer, or the whole body.
    pub(super) fn chunk(
        &mut self,
        figures: &mut Figures,
        log: &mut dyn Log,
    ) -> Result<(), Failure> {
        let functions = self.functions()?;
        let (address, length) = match &self.whole {
            Some(landing) => (landing.address(), landing.length()),
            None => (functions.input, self.filled),
        };
        self.filled = 0;
        figures.chunks += 1;
        self.call("chunk", functions.chunk, [address, length], log)
    }

    fn call(
        &mut self,
        name: &'static str,
        function: u64,
        arguments: [u64; 2],
        log: &mut dyn Log,
    ) -> Result<(), Failure> {
        self.function = name;
        self.empty_buffer()?;
        let budget = self.budget()?;
        let Worker { fork, process, .. } = self.worker()?;
        fork.begin(budget);
        process.begin_call(fork);
        fork.prepare_call(function);
        let [first, second] = arguments;
        let entered = fork.enter([first, second, 0, 0, 0, 0]);
        entered.map_err(InputError::from)?;
        self.go(budget, log)
    }

    /// Lets the program go on behind a write.
    fn resume(&mut self, log: &mut dyn Log) -> Result<(), Failure> {
        self.empty_buffer()?;
        let budget = self.budget()?;
        self.worker()?.fork.begin(budget);
        self.go(budget, log)
    }

    /// Tells the program that its buffer is empty, once all was taken.
    fn empty_buffer(&mut self) -> Result<(), Failure> {
        if self.output.buffered > 0 && self.output.is_empty() {
            let shared = self.functions()?.shared;
            let fork = &mut self.worker()?.fork;
            let emptied = fork.write(shared + LENGTH, &0_u64.to_le_bytes());
            emptied.map_err(InputError::from)?;
            self.output = Output::default();
        }
        Ok(())
    }

    fn go(&mut self, budget: Duration, log: &mut dyn Log) -> Result<(), Failure> {
        let instance = Arc::clone(&self.instance);
        let lines = Lines::new(instance.journal_of_output());
        let Worker {
            fork,
            process,
            output,
            ..
        } = self.worker()?;
        let started = Instant::now();
        let mut host = Host {
            program: &instance.name,
            stage: Stage::Filter,
            output,
            journal: Some(&lines),
            operator: instance.journal(),
            deadline: started + budget,
            memory: instance.memory_figures(),
            by_syscall: false,
        };
        let mut limits = instance.run_limits(budget);
        limits.key = limits.key.or(Some("max_filter_time"));
        let stop = exact(run(fork, process, &mut host, limits), fork, limits.memory);
        fork.end();
        self.used += started.elapsed();
        for line in lines.into_lines() {
            log.log(&line);
        }
        match stop? {
            Stop::Wrote { data, length } => {
                self.writing = true;
                self.output.direct = (data, length);
            }
            Stop::Returned(code) => {
                self.writing = false;
                if low32(code) != 0 {
                    return Err(Failure::FilterFailed {
                        function: self.function,
                        code: low32(code),
                    });
                }
            }
            _ => return Err(Failure::NoAnswer),
        }
        self.look_at_buffer()
    }

    fn look_at_buffer(&mut self) -> Result<(), Failure> {
        let shared = self.functions()?.shared;
        let fork = &self.worker()?.fork;
        let length = fork.read_u64(shared + LENGTH).map_err(InputError::from)?;
        if length > FILTER_OUTPUT || length < self.output.taken {
            return Err(Failure::FilterOutput {
                length,
                capacity: FILTER_OUTPUT,
            });
        }
        self.output.buffered = length;
        Ok(())
    }

    /// The next output, in place; not empty after [`Want::Drain`].
    pub(super) fn output(&mut self) -> Result<&[u8], Failure> {
        let Output {
            buffered,
            taken,
            direct,
        } = self.output;
        let (address, length) = match buffered - taken {
            0 => direct,
            length => (self.functions()?.output + taken, length),
        };
        let fork = &self.worker()?.fork;
        let pieces = fork.pieces(address, length.min(PIECE));
        let first = pieces.map_err(InputError::from)?.next();
        first.ok_or(Failure::NoAnswer)
    }

    /// How much output there is.
    pub(super) fn output_length(&self) -> u64 {
        let Output {
            buffered,
            taken,
            direct,
        } = self.output;
        buffered - taken + direct.1
    }

    /// So much of the output was taken.
    pub(super) fn consume(&mut self, length: u64) {
        let output = &mut self.output;
        if output.taken < output.buffered {
            output.taken += length;
        } else {
            output.direct.0 += length;
            output.direct.1 -= length;
        }
    }

    /// The length of the output that is left, if it is the last.
    pub(super) fn final_length(&self) -> Option<u64> {
        let output = &self.output;
        let last = self.left == Left::Nothing && !self.writing;
        last.then(|| output.buffered - output.taken + output.direct.1)
    }

    /// The fork, to look at.
    pub(super) fn fork(&self) -> Option<&Fork> {
        self.held.fork()
    }

    /// Logs the lines that the program has begun.
    pub(super) fn flush(&mut self, log: &mut dyn Log) {
        let instance = Arc::clone(&self.instance);
        if let Ok(worker) = self.worker() {
            worker.output.flush(&instance.name, &mut |line| {
                log.log(line);
                if let Some(journal) = instance.journal_of_output() {
                    journal.log(line);
                }
            });
        }
    }

    /// Gives the fork back.
    pub(super) fn release(mut self, fate: Fate, figures: &mut Figures) {
        figures.time = self.used;
        if let Ok(worker) = self.worker() {
            let fork = &mut worker.fork;
            figures.private = fork.private_bytes();
            figures.runs = fork.vcpu_runs();
        }
        figures.runs = figures.runs.saturating_sub(self.runs_before);
        self.held.fate = fate;
        figures.pages = self.held.release();
    }
}

/// Fails for a body that the program would take for something else than it is.
fn check_body(
    functions: FilterFunctions,
    request: &FilterRequest<'_>,
    transaction: &dyn Transaction,
) -> Result<(), Failure> {
    const ENCODING: &[u8] = b"Content-Encoding";
    if request.status == 206 {
        return Err(Failure::FilterPartial);
    }
    let field = transaction.find(Side::Response, ENCODING);
    let Some((_, field)) = field.filter(|_| !functions.encoded) else {
        return Ok(());
    };
    let encoding = field[ENCODING.len() + 1..].trim_ascii();
    if encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity") {
        return Ok(());
    }
    Err(Failure::FilterEncoding {
        encoding: crate::fields::shown(encoding),
    })
}

/// What the host could not write for want of memory shows as something else.
fn exact(result: Result<Stop, Failure>, fork: &Fork, limit: u64) -> Result<Stop, Failure> {
    match result {
        Err(_) if fork.memory_exceeded() => Err(Failure::Memory {
            booting: false,
            limit,
        }),
        result => result,
    }
}

/// An `int` that a function returned.
fn low32(value: u64) -> i32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}
