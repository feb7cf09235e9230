//! Looks at the process from outside: whether a call hangs, what it holds of the host.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The longest that one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// Memory above that at the start.
const MEMORY_LIMIT: u64 = 512 << 20;

static CALLS: AtomicU64 = AtomicU64::new(0);
static SEED: AtomicU64 = AtomicU64::new(0);

/// To be told before each call.
pub(crate) fn next_call() {
    CALLS.fetch_add(1, Ordering::Relaxed);
}

/// To be told before each sequence.
pub(crate) fn next_sequence(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
}

/// Calls made so far.
pub(crate) fn calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

/// Starts the thread that ends the process if a call takes too long.
pub(crate) fn start() {
    thread::spawn(|| {
        let mut last = (calls(), Instant::now());
        loop {
            thread::sleep(Duration::from_millis(200));
            let now = calls();
            if now != last.0 {
                last = (now, Instant::now());
            } else if last.1.elapsed() > CALL_LIMIT {
                let seed = SEED.load(Ordering::Relaxed);
                eprintln!("a call of sequence {seed:#x} takes longer than {CALL_LIMIT:?}");
                std::process::abort();
            }
        }
    });
}

/// What the process holds of the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holdings {
    descriptors: usize,
    resident: u64,
}

impl Holdings {
    pub(crate) fn now() -> io::Result<Self> {
        // In pages: total, resident, ... (proc_pid_statm(5)).
        let statm = fs::read_to_string("/proc/self/statm")?;
        let resident = statm.split(' ').nth(1).and_then(|field| field.parse().ok());
        Ok(Self {
            descriptors: fs::read_dir("/proc/self/fd")?.count(),
            resident: resident.unwrap_or(0_u64) * 4096,
        })
    }

    /// What has grown since the start, if that is too much.
    pub(crate) fn excess_over(&self, start: &Self) -> Option<String> {
        if self.descriptors != start.descriptors {
            let (now, before) = (self.descriptors, start.descriptors);
            return Some(format!(
                "{now} descriptors of the host are open, not {before}"
            ));
        }
        let grown = self.resident.saturating_sub(start.resident);
        (grown > MEMORY_LIMIT).then(|| format!("{} MB of memory more than before", grown >> 20))
    }
}
