//! Who runs: what blocks, what wakes, and what happens while nobody can run.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use tinykvm::Guest;

use crate::block::{Attempt, Block, HostPoll};
use crate::context::{Answer, Context, Failure};
use crate::process::Process;
use crate::table::Call;
use crate::{Flow, Host};

impl Process {
    /// Makes a call as often as it takes for an answer.
    pub(crate) fn answer(
        &mut self,
        guest: &mut dyn Guest,
        host: &mut dyn Host,
        call: &'static Call,
    ) -> Answer {
        let mut attempt = Attempt::default();
        loop {
            let mut context = Context::new(self, guest, host, call, attempt);
            let answer = (call.handler)(&mut context);
            attempt = context.attempt;
            let Err(Failure::Block(block)) = answer else {
                return answer;
            };
            attempt.timed_out = idle(guest, host, &block).map_err(Failure::Stop)?;
        }
    }
}

/// Waits while nobody can run. True if the time of the wait is reached.
fn idle(guest: &mut dyn Guest, host: &mut dyn Host, block: &Block) -> Result<bool, Flow> {
    let time = block
        .until
        .map(|until| until.saturating_sub(guest.monotonic()));
    if !block.host.is_empty() {
        return poll(guest, host, &block.host, time);
    }
    match time {
        None => Err(Flow::Deadlock),
        Some(time) if host.sleep(time) => Ok(true),
        Some(_) => Err(Flow::Deadline),
    }
}

/// Waits for host descriptors, for `time` and the guest's budget at most.
fn poll(
    guest: &mut dyn Guest,
    host: &mut dyn Host,
    on: &[HostPoll],
    time: Option<Duration>,
) -> Result<bool, Flow> {
    let left = guest.time_left();
    let limit = time.map_or(left, |time| time.min(left));
    let mut list: Vec<_> = on
        .iter()
        .map(|poll| PollFd::new(&poll.descriptor, PollFlags::from_bits_retain(poll.events)))
        .collect();
    let timeout = Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(limit.subsec_nanos()),
    };
    match rustix::event::poll(&mut list, Some(&timeout)) {
        // Nothing came in time.
        Ok(0) if time.is_some_and(|time| time < left) => Ok(true),
        Ok(0) => Err(Flow::Deadline),
        // A signal of the host, which may be the watchdog's; or something came.
        Ok(_) | Err(Errno::INTR) if host.sleep(Duration::ZERO) => Ok(false),
        Ok(_) | Err(Errno::INTR) => Err(Flow::Deadline),
        // What cannot be waited for is for the handler to find out; but not in a tight loop.
        Err(_) if host.sleep(Duration::from_millis(1)) => Ok(false),
        Err(_) => Err(Flow::Deadline),
    }
}

#[cfg(test)]
mod tests;
