//! What a body cost, for the line that each one has in the log, and for the counters.

use std::time::Duration;

use crate::counters::{add, counters};
use crate::text::own_line;
use crate::transaction::Log;
use crate::verdict::Verdict;

/// Counted while a body goes through.
#[derive(Debug)]
pub(super) struct Figures {
    delivery: bool,
    /// Bytes taken in.
    pub(super) input: u64,
    /// The input has ended.
    pub(super) input_ended: bool,
    /// Bytes handed on.
    pub(super) output: u64,
    /// Calls of the chunk function.
    pub(super) chunks: u64,
    /// Time in the program's functions.
    pub(super) time: Duration,
    /// What the body waited for a VM, or for the start of the program.
    pub(super) wait: Duration,
    /// How often the VM was entered.
    pub(super) runs: u64,
    /// Memory that the VM had for itself, in bytes.
    pub(super) private: u64,
    /// Pages that the reset copied.
    pub(super) pages: u64,
}

impl Figures {
    pub(super) fn new(delivery: bool, wait: Duration) -> Self {
        Self {
            delivery,
            input: 0,
            input_ended: false,
            output: 0,
            chunks: 0,
            time: Duration::ZERO,
            wait,
            runs: 0,
            private: 0,
            pages: 0,
        }
    }

    /// Counts the body and logs the line that each one has.
    pub(super) fn finish(&self, name: &str, verdict: Verdict, original: bool, log: &mut dyn Log) {
        let counters = counters();
        counters.filtered(verdict);
        add(&counters.filter_bytes_in, self.input);
        add(&counters.filter_bytes_out, self.output);
        add(&counters.filter_chunks, self.chunks);
        let place = if self.delivery { "delivery" } else { "fetch" };
        let then = if original { " then=original" } else { "" };
        let text = format!(
            "verdict={verdict} filter={place}{then} time={}us wait={}us in={} out={} chunks={} private={}KiB pages={} runs={}",
            self.time.as_micros(),
            self.wait.as_micros(),
            self.input,
            self.output,
            self.chunks,
            self.private / 1024,
            self.pages,
            self.runs,
        );
        log.log(&own_line(name, &text));
    }
}
