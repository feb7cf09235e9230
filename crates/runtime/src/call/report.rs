//! The log lines of a call.

use std::time::{Duration, Instant};

use tinykvm::{Fork, Guest, Image, backtrace};

use crate::counters::counters;
use crate::failure::Failure;
use crate::instance::Held;
use crate::response::Response;
use crate::text::{OWN, own_line};
use crate::transaction::Log;

/// How many lines of a backtrace are logged.
const BACKTRACE_MAX: usize = 24;

/// Figures for the verdict line.
pub(super) struct Report<'a> {
    name: &'a str,
    /// What the request waited for a VM, or for the start of the program.
    waited: Duration,
    served: Instant,
    runs_before: u64,
    runs: u64,
    private: u64,
    /// Pages that the reset copied; `None` while the VM is not reset yet.
    pub(super) pages: Option<u64>,
}

impl<'a> Report<'a> {
    /// To be made when a request that came at `asked` has its VM, or is refused.
    pub(super) fn new(name: &'a str, asked: Instant) -> Self {
        let served = Instant::now();
        Self {
            name,
            waited: served.saturating_duration_since(asked),
            served,
            runs_before: 0,
            runs: 0,
            private: 0,
            pages: None,
        }
    }

    /// To be called before the VM runs.
    pub(super) fn runs_before(&mut self, held: &mut Held) {
        self.runs_before = held.worker().map_or(0, |worker| worker.fork.vcpu_runs());
    }

    /// To be called when it has run.
    pub(super) fn measure(&mut self, held: &mut Held) {
        if let Some(worker) = held.worker() {
            self.runs = worker.fork.vcpu_runs() - self.runs_before;
            self.private = worker.fork.private_bytes() / 1024;
        }
    }

    /// Counts the call and logs the line that every call has.
    pub(super) fn finish(self, response: &Response, log: &mut dyn Log) {
        counters().finished(response.verdict, response.status);
        let mut line = String::with_capacity(160);
        let mut digits = itoa::Buffer::new();
        // This line is written for every call: formatting with `write!` takes three times as long.
        line.push_str(OWN);
        line.push(' ');
        line.push_str(self.name);
        line.push_str(": verdict=");
        line.push_str(response.verdict.name());
        line.push_str(" status=");
        line.push_str(digits.format(response.status));
        line.push_str(" time=");
        line.push_str(digits.format(micros(self.served.elapsed())));
        line.push_str("us wait=");
        line.push_str(digits.format(micros(self.waited)));
        line.push_str("us private=");
        line.push_str(digits.format(self.private));
        line.push_str("KiB pages=");
        match self.pages {
            Some(pages) => line.push_str(digits.format(pages)),
            None => line.push('-'),
        }
        line.push_str(" runs=");
        line.push_str(digits.format(self.runs));
        log.log(&line);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Logs why a call failed.
pub(crate) fn error(log: &mut dyn Log, name: &str, reason: &str) {
    log.error(&own_line(name, reason));
}

/// Logs why a program failed; for a crash, also where. The fork is still as it was then.
pub(crate) fn failure(
    log: &mut dyn Log,
    name: &str,
    failure: &Failure,
    fork: &Fork,
    image: &Image,
) {
    error(log, name, &format!("{failure}{}", failure.details()));
    if let Failure::Exception(exception) = failure {
        for line in exception.register_lines() {
            error(log, name, &line);
        }
    }
    let Some(registers) = failure.place(Some(fork.registers())) else {
        return;
    };
    let frames = backtrace(fork, image, registers);
    for line in frames.iter().take(BACKTRACE_MAX) {
        error(log, name, line);
    }
}
