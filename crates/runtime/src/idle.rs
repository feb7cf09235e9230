//! Gives back, after a while, the forks that nobody uses.
//!
//! One thread for all programs, at low priority: to end a VM takes the host a millisecond, in which
//! no request waits. It holds no program: one that is closed goes at once. Locks: none is held while
//! a program is looked at.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::sync::lock;

/// What has forks that may be given back.
pub(crate) trait Tidy: Send + Sync {
    /// Gives back the forks that nobody used since this was called before; of a program that nobody
    /// used at all one stays, without what requests left in its memory.
    fn tidy(&self);
}

/// A program, and when to look at it next.
struct Watched {
    instance: Weak<dyn Tidy>,
    every: Duration,
    next: Instant,
}

struct Watch {
    programs: Mutex<Programs>,
    more: Condvar,
}

struct Programs {
    watched: Vec<Watched>,
    /// The thread is there.
    running: bool,
}

impl Programs {
    fn forget_closed(&mut self) {
        let is_there = |watched: &Watched| watched.instance.strong_count() > 0;
        self.watched.retain(is_there);
    }
}

static WATCH: Watch = Watch {
    programs: Mutex::new(Programs {
        watched: Vec::new(),
        running: false,
    }),
    more: Condvar::new(),
};

/// Looks at a program again and again, as long as it is there.
pub(crate) fn watch(instance: Weak<dyn Tidy>, every: Duration) {
    let mut programs = lock(&WATCH.programs);
    programs.forget_closed();
    programs.watched.push(Watched {
        instance,
        every,
        next: Instant::now() + every,
    });
    if programs.running {
        WATCH.more.notify_one();
        return;
    }
    let name = "tinykvm-idle".to_owned();
    // Without the thread, forks stay for the next requests.
    programs.running = std::thread::Builder::new().name(name).spawn(run).is_ok();
}

fn run() {
    // A host that does not allow that has a thread of ordinary priority.
    let _ = rustix::process::nice(19);
    while let Some(instance) = next() {
        // A fork that makes it panic is dropped by that; the others are looked after.
        let _ = catch_unwind(AssertUnwindSafe(|| instance.tidy()));
    }
}

/// The next program that is due; `None` if there are no programs any more.
fn next() -> Option<Arc<dyn Tidy>> {
    let mut programs = lock(&WATCH.programs);
    loop {
        programs.forget_closed();
        let now = Instant::now();
        let Some(first) = programs
            .watched
            .iter_mut()
            .min_by_key(|watched| watched.next)
        else {
            programs.running = false;
            return None;
        };
        let wait = first.next.saturating_duration_since(now);
        if wait.is_zero() {
            first.next = now + first.every;
            if let Some(instance) = first.instance.upgrade() {
                return Some(instance);
            }
            continue;
        }
        let woken = WATCH.more.wait_timeout(programs, wait);
        programs = woken.unwrap_or_else(PoisonError::into_inner).0;
    }
}
