//! Time limits without a system call per request.
//!
//! Each vCPU has a [`Timer`]: an atomic word with its deadline, and one with the end of a thread's
//! time slice, which the thread that runs the vCPU sets and clears with plain stores. One watchdog thread sleeps until the earliest deadline
//! it can see, but never longer than the shortest limit in use, so a deadline that is set while
//! it sleeps is never missed. At a deadline it sets the vCPU's `immediate_exit` and sends the
//! thread a signal whose handler does nothing: `KVM_RUN` returns EINTR.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Vcpu;
use super::alarm::Alarm;
use super::time::monotonic_now;
use crate::EngineError;
use crate::units::nanoseconds;

/// The watchdog looks for new deadlines at most this often, in nanoseconds: a shorter limit may be
/// passed by this much, but cannot make the watchdog spin.
const FINEST: u64 = 500_000;
/// After this many looks at a timer without a slice the watchdog does not wake up for slices of it.
const IDLE_LOOKS: u32 = 64;
/// Offset from SIGRTMIN of the signal that interrupts a vCPU. glibc keeps the first two.
const SIGNAL_OFFSET: i32 = 7;

thread_local! {
    static THREAD: Cell<i32> = const { Cell::new(0) };
}

/// This thread's kernel id, read once per thread.
fn thread_id() -> i32 {
    if THREAD.get() == 0 {
        // By number: `libc::gettid` is a weak symbol, which a static binary built with
        // link-time optimisation resolves to null.
        // SAFETY: gettid has no arguments and cannot fail.
        let id = unsafe { libc::syscall(libc::SYS_gettid) };
        THREAD.set(i32::try_from(id).unwrap_or(0));
    }
    THREAD.get()
}

fn signal() -> i32 {
    libc::SIGRTMIN() + SIGNAL_OFFSET
}

/// The deadline of one vCPU, and the end of a thread's time slice within it.
#[derive(Debug)]
pub(crate) struct Timer {
    deadline: Alarm,
    slice: Alarm,
    thread: AtomicI32,
    /// Shortest limit this timer was ever armed with, nanoseconds.
    shortest: AtomicU64,
    /// Shortest slice lately, nanoseconds.
    shortest_slice: AtomicU64,
    /// How often in a row the watchdog found no slice.
    idle_looks: AtomicU32,
    /// The vCPU is to be stopped: every deadline has passed.
    stopped: AtomicBool,
    /// `kvm_run.immediate_exit` of the vCPU; 0 once that is gone.
    immediate_exit: Mutex<usize>,
    watchdog: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    timers: Mutex<Vec<Arc<Timer>>>,
    changed: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Timer {
    /// Sets the deadline to `budget` from `now` (monotonic nanoseconds), for runs on this thread.
    pub(crate) fn arm(&self, now: u64, budget: Duration) {
        let budget = nanoseconds(budget).max(1000);
        self.thread.store(thread_id(), Ordering::Relaxed);
        self.deadline.set(now.saturating_add(budget));
        self.look_every(budget, &self.shortest);
    }

    /// The watchdog may sleep past something that is `length` from now: lets it look again.
    fn look_every(&self, length: u64, shortest: &AtomicU64) {
        if length < shortest.load(Ordering::SeqCst) {
            shortest.store(length, Ordering::SeqCst);
            drop(lock(&self.watchdog.timers));
            self.watchdog.changed.notify_one();
        }
    }

    /// The longest that the watchdog may sleep without missing what this timer is set to. Slices
    /// are short, and many programs have none for a long time: then they no longer count, until
    /// the next one wakes the watchdog.
    fn patience(&self) -> u64 {
        if self.stopped.load(Ordering::SeqCst) {
            return FINEST;
        }
        let slice = self.shortest_slice.load(Ordering::SeqCst);
        if slice != u64::MAX {
            let idle = match self.slice.is_set() {
                true => 0,
                false => self.idle_looks.load(Ordering::Relaxed) + 1,
            };
            self.idle_looks.store(idle, Ordering::Relaxed);
            if idle >= IDLE_LOOKS {
                self.idle_looks.store(0, Ordering::Relaxed);
                self.shortest_slice.store(u64::MAX, Ordering::SeqCst);
                // Set meanwhile, by somebody who did not see this: both orders are sequential.
                if self.slice.is_set() {
                    self.shortest_slice.store(slice, Ordering::SeqCst);
                }
            }
        }
        let slice = self.shortest_slice.load(Ordering::Relaxed);
        self.shortest.load(Ordering::Relaxed).min(slice).max(FINEST)
    }

    /// Takes the deadline back. True if it had passed. Afterwards no signal is on its way.
    pub(crate) fn disarm(&self, vcpu: &mut Vcpu) -> bool {
        let fired = self.deadline.clear();
        if fired {
            vcpu.clear_immediate_exit();
        }
        fired
    }

    /// Ends the slice at `end` (monotonic nanoseconds), which is `length` from now at most.
    pub(crate) fn arm_slice(&self, end: u64, length: u64) {
        self.thread.store(thread_id(), Ordering::Relaxed);
        self.slice.set_in_order(end);
        self.look_every(length, &self.shortest_slice);
    }

    /// Takes the slice's end back. True if it had passed.
    pub(crate) fn disarm_slice(&self, vcpu: &mut Vcpu) -> bool {
        let fired = self.slice.clear();
        if fired {
            vcpu.clear_immediate_exit();
            // Both may have passed: the vCPU stays interrupted for the deadline.
            if self.deadline.fired() {
                vcpu.set_immediate_exit();
            }
        }
        fired
    }

    /// True if the slice has ended and the vCPU was interrupted for it.
    pub(crate) fn slice_fired(&self) -> bool {
        self.slice.fired()
    }

    /// Time from `now` (monotonic nanoseconds) to the deadline; the longest there is without one.
    pub(crate) fn left(&self, now: u64) -> Duration {
        match self.deadline.time() {
            None => Duration::MAX,
            Some(deadline) => Duration::from_nanos(deadline.saturating_sub(now)),
        }
    }

    /// Stops the vCPU: each of its runs ends as if its deadline had passed, by the way that it
    /// always ends by, so that nothing here has to be known about where its thread is.
    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(lock(&self.watchdog.timers));
        self.watchdog.changed.notify_one();
    }

    /// True if the deadline has passed and the vCPU was interrupted for it.
    pub(crate) fn fired(&self) -> bool {
        self.deadline.fired()
    }

    /// Interrupts the vCPU if its time has passed. Returns when it has to be looked at again.
    fn check(&self, now: u64) -> Option<u64> {
        let due = match self.stopped.load(Ordering::SeqCst) {
            true => u64::MAX,
            false => now,
        };
        let deadline = self.deadline.check(due, || self.kick());
        let slice = self.slice.check(now, || self.kick());
        deadline.into_iter().chain(slice).min()
    }

    fn kick(&self) {
        let address = *lock(&self.immediate_exit);
        if address != 0 {
            // SAFETY: the vCPU's page is mapped until `Registration::drop`, which clears the
            // address under the lock; the byte is volatile shared state by the KVM API.
            unsafe { (address as *mut u8).write_volatile(1) };
        }
        // SAFETY: signals a thread of this process; if it is gone the call fails harmlessly.
        // It cannot be gone while its call lasts: `Alarm::clear` waits for KICKED.
        unsafe {
            libc::syscall(
                libc::SYS_tgkill,
                libc::getpid(),
                self.thread.load(Ordering::Relaxed),
                signal(),
            );
        }
    }
}

/// Keeps a timer known to the watchdog. Must be dropped before its vCPU.
#[derive(Debug)]
pub(crate) struct Registration(Arc<Timer>);

/// Stops a guest from another thread; see [`Booting::stopper`](crate::Booting::stopper).
#[derive(Debug, Clone)]
pub struct Stopper(Arc<Timer>);

impl Stopper {
    /// From now on each run of the guest ends at once, as if its time limit had passed, and so does
    /// one that is under way. Does not wait for it.
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl Registration {
    /// What stops the vCPU for good.
    pub(crate) fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.0))
    }
}

impl std::ops::Deref for Registration {
    type Target = Timer;
    fn deref(&self) -> &Timer {
        &self.0
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.0.deadline.set(0);
        self.0.slice.set(0);
        *lock(&self.0.immediate_exit) = 0;
        lock(&self.0.watchdog.timers).retain(|timer| !Arc::ptr_eq(timer, &self.0));
    }
}

/// The watchdog of this process.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
}

impl Watchdog {
    /// Installs the signal's handler and starts the thread.
    pub(crate) fn start() -> Result<Self, EngineError> {
        install_handler()?;
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("tinykvm-watchdog".into())
            .spawn(move || watch(&watched))
            .map_err(|source| EngineError::System {
                operation: "start of a thread",
                source,
            })?;
        Ok(Self { shared })
    }

    /// A timer for `vcpu`.
    pub(crate) fn register(&self, vcpu: &Vcpu) -> Registration {
        let timer = Arc::new(Timer {
            deadline: Alarm::default(),
            slice: Alarm::default(),
            thread: AtomicI32::new(0),
            shortest: AtomicU64::new(u64::MAX),
            shortest_slice: AtomicU64::new(u64::MAX),
            idle_looks: AtomicU32::new(0),
            stopped: AtomicBool::new(false),
            immediate_exit: Mutex::new(vcpu.immediate_exit() as usize),
            watchdog: Arc::clone(&self.shared),
        });
        lock(&self.shared.timers).push(Arc::clone(&timer));
        Registration(timer)
    }
}

/// `struct sched_attr` of linux/sched/types.h, first version (48 bytes).
#[repr(C)]
#[derive(Default)]
struct SchedulingAttributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Makes this thread run promptly when it wakes up, though every core may be busy with guests
/// that do not stop: as a real-time thread where the process may do that, else with the shortest
/// time slice that the scheduler knows, which anybody may ask for (honoured since Linux 6.12).
fn run_promptly() {
    let size = u32::try_from(size_of::<SchedulingAttributes>()).unwrap_or(48);
    let real_time = SchedulingAttributes {
        size,
        policy: libc::SCHED_FIFO.unsigned_abs(),
        priority: 1,
        ..SchedulingAttributes::default()
    };
    let short_slice = SchedulingAttributes {
        size,
        runtime: 100_000, // ns: the least that the kernel accepts
        ..SchedulingAttributes::default()
    };
    for attributes in [real_time, short_slice] {
        // SAFETY: changes this thread's own scheduling; the argument lives until it returns.
        let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
        if result == 0 {
            break;
        }
    }
}

/// The watchdog's life: it ends with the process.
fn watch(shared: &Shared) {
    run_promptly();
    let mut timers = lock(&shared.timers);
    loop {
        let now = monotonic_now();
        let mut wake = u64::MAX;
        for timer in timers.iter() {
            if let Some(deadline) = timer.check(now) {
                wake = wake.min(deadline);
            }
            wake = wake.min(now.saturating_add(timer.patience()));
        }
        let pause = Duration::from_nanos(wake.saturating_sub(monotonic_now()).max(1000));
        timers = if wake == u64::MAX {
            shared
                .changed
                .wait(timers)
                .unwrap_or_else(PoisonError::into_inner)
        } else {
            let (guard, _) = shared
                .changed
                .wait_timeout(timers, pause)
                .unwrap_or_else(PoisonError::into_inner);
            guard
        };
    }
}

extern "C" fn do_nothing(_: libc::c_int) {}

/// The handler only has to exist, without SA_RESTART: a system call that it interrupts returns.
fn install_handler() -> Result<(), EngineError> {
    let handler: extern "C" fn(libc::c_int) = do_nothing;
    // SAFETY: all-zero is a valid `sigaction`; the handler is async-signal-safe (it is empty).
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        if libc::sigaction(signal(), &raw const action, std::ptr::null_mut()) < 0 {
            return Err(EngineError::last_os("sigaction"));
        }
    }
    Ok(())
}

/// Runs `work` with the vCPU signal blocked on this thread: a VM's first `KVM_RUN` makes the
/// kernel start a helper thread, which fails for good if a signal interrupts it.
pub(crate) fn with_signal_blocked<T>(work: impl FnOnce() -> T) -> T {
    // Neither call can fail but for arguments that are none (EINVAL); if the first did, a signal
    // could hit the work, whose caller tries again, and `before` would be the empty mask.
    // SAFETY: both sets are initialised before use; only this thread's mask changes.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal());
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before);
        let result = work();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer() -> Timer {
        Timer {
            deadline: Alarm::default(),
            slice: Alarm::default(),
            thread: AtomicI32::new(0),
            shortest: AtomicU64::new(u64::MAX),
            shortest_slice: AtomicU64::new(u64::MAX),
            idle_looks: AtomicU32::new(0),
            stopped: AtomicBool::new(false),
            immediate_exit: Mutex::new(0),
            watchdog: Arc::default(),
        }
    }

    #[test]
    fn every_deadline_of_a_guest_that_is_stopped_has_passed() {
        install_handler().expect("a handler");
        let timer = timer();
        timer.arm(1_000_000, Duration::from_secs(3600));
        assert!(timer.check(1_000_000).is_some() && !timer.fired());
        timer.stop();
        assert_eq!(timer.patience(), FINEST);
        assert_eq!(timer.check(1_000_000), None);
        assert!(timer.fired());
    }

    #[test]
    fn the_watchdog_looks_for_slices_only_while_there_are_some() {
        let timer = timer();
        assert_eq!(timer.patience(), u64::MAX);
        timer.arm_slice(5_000_000, 2_000_000);
        assert!((0..1000).all(|_| timer.patience() == 2_000_000));
        timer.slice.clear();
        let looks = (0..1000)
            .take_while(|_| timer.patience() == 2_000_000)
            .count();
        assert_eq!(looks + 1, IDLE_LOOKS as usize);
        timer.arm_slice(5_000_000, 1);
        assert_eq!(timer.patience(), FINEST);
    }
}
