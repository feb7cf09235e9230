//! Signal actions, masks and alternate stacks. Sending is in `kill`, waiting in `sigwait`,
//! delivery to a handler in `frame`.

use crate::context::{Answer, Context};
use crate::errno::{EFAULT, EINVAL, ENOMEM, EPERM, Errno};
use crate::object::{SignalSet, SignalSetId};
use crate::pending::Pending;
use crate::process::{FORKED_ID, PROCESS_ID, State};
use crate::threads::Thread;
use crate::wire::{Record, u32_at, u64_at};

// Signal numbers: asm/signal.h
pub(crate) const SIGILL: u32 = 4;
pub(crate) const SIGTRAP: u32 = 5;
pub(crate) const SIGBUS: u32 = 7;
pub(crate) const SIGFPE: u32 = 8;
pub(crate) const SIGKILL: u32 = 9;
pub(crate) const SIGSEGV: u32 = 11;
const SIGCHLD: u32 = 17;
const SIGCONT: u32 = 18;
pub(crate) const SIGSTOP: u32 = 19;
const SIGTSTP: u32 = 20;
const SIGTTIN: u32 = 21;
const SIGTTOU: u32 = 22;
const SIGURG: u32 = 23;
const SIGWINCH: u32 = 28;
const SIGSYS: u32 = 31;
pub(crate) const LAST: u32 = 64;

// Handler values and action flags: asm-generic/signal-defs.h, asm/signal.h
const SIG_DFL: u64 = 0;
const SIG_IGN: u64 = 1;
pub(crate) const SA_RESTORER: u64 = 0x0400_0000;
pub(crate) const SA_ONSTACK: u64 = 0x0800_0000;
pub(crate) const SA_RESTART: u64 = 0x1000_0000;
pub(crate) const SA_NODEFER: u64 = 0x4000_0000;
pub(crate) const SA_RESETHAND: u64 = 0x8000_0000;

// Alternate-stack flags: linux/signal.h
pub(crate) const SS_ONSTACK: u32 = 1;
pub(crate) const SS_DISABLE: u32 = 2;
pub(crate) const SS_AUTODISARM: u32 = 1 << 31;

/// `MINSIGSTKSZ` in asm/signal.h: the least that `sigaltstack` takes.
const SMALLEST_STACK: u64 = 2048;

/// Size of a signal set in system calls.
pub(crate) const SET_SIZE: u64 = 8;

/// Signals that neither a mask nor an action can hold back.
pub(crate) const UNSTOPPABLE: u64 = bit(SIGKILL) | bit(SIGSTOP);

/// Signals of faults: delivered before all others, as the program's next step depends on them.
pub(crate) const SYNCHRONOUS: u64 =
    bit(SIGSEGV) | bit(SIGBUS) | bit(SIGILL) | bit(SIGTRAP) | bit(SIGFPE) | bit(SIGSYS);

/// The bit of a signal (1 to 64) in a set.
pub(crate) const fn bit(number: u32) -> u64 {
    1 << ((number - 1) & 63)
}

/// What a program wants done with a signal: `struct sigaction` as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Action {
    pub(crate) handler: u64,
    pub(crate) flags: u64,
    pub(crate) restorer: u64,
    pub(crate) mask: u64,
}

/// What happens with a signal that is not blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    Ignore,
    /// The program ends. (Stopping it would be for ever: nobody could continue it.)
    Fatal,
    Handler,
}

/// The alternate signal stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct AlternateStack {
    pub(crate) base: u64,
    pub(crate) size: u64,
    /// Only [`SS_AUTODISARM`]; the rest is computed.
    flags: u32,
}

/// The signal state of the program as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    actions: [Action; 64],
    /// Sent to the program and not delivered: any thread may take them.
    pub(crate) pending: Pending,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            actions: [Action::default(); 64],
            pending: Pending::default(),
        }
    }
}

impl Signals {
    /// The action of a signal (1 to 64).
    pub(crate) fn action(&self, number: u32) -> Action {
        self.actions[index(number)]
    }

    /// Sets an action.
    pub(crate) fn set_action(&mut self, number: u32, action: Action) {
        self.actions[index(number)] = Action {
            mask: action.mask & !UNSTOPPABLE,
            ..action
        };
    }

    /// What the program wants done with a signal.
    pub(crate) fn disposition(&self, number: u32) -> Disposition {
        match (self.action(number).handler, number) {
            // The stop signals of a terminal do nothing to a process group without a parent.
            (SIG_DFL, SIGCHLD | SIGCONT | SIGTSTP | SIGTTIN | SIGTTOU | SIGURG | SIGWINCH)
            | (SIG_IGN, _) => Disposition::Ignore,
            (SIG_DFL, _) => Disposition::Fatal,
            _ => Disposition::Handler,
        }
    }
}

impl State {
    /// The pending signals that a thread does not block; they may have become ignored.
    pub(crate) fn deliverable_set(&self, thread: &Thread) -> u64 {
        let pending = thread.signals.pending.set() | self.signals.pending.set();
        pending & !thread.signals.blocked
    }

    /// The signals of a `signalfd` that the running thread could take.
    pub(crate) fn signals_of(&self, set: SignalSetId) -> u64 {
        let set = self.object::<SignalSet>(set.0).map_or(0, |set| set.0);
        set & (self.signals.pending.set() | self.thread().signals.pending.set())
    }

    /// The pending signals that do something to a thread.
    pub(crate) fn deliverable(&self, thread: &Thread) -> u64 {
        let mut left = self.deliverable_set(thread);
        let mut set = 0;
        while left != 0 {
            let number = left.trailing_zeros() + 1;
            left &= left - 1;
            if self.signals.disposition(number) != Disposition::Ignore {
                set |= bit(number);
            }
        }
        set
    }

    /// Sets an action; a pending signal that it ignores is forgotten.
    pub(crate) fn set_action(&mut self, number: u32, action: Action) {
        self.signals.set_action(number, action);
        if self.signals.disposition(number) == Disposition::Ignore {
            self.signals.pending.forget(bit(number));
            for thread in self.threads.iter_mut() {
                thread.signals.pending.forget(bit(number));
            }
        }
    }
}

impl AlternateStack {
    /// True if a stack pointer lies on this stack.
    pub(crate) fn contains(self, stack_pointer: u64) -> bool {
        // A stack that is disarmed while in use cannot be "in use".
        self.flags & SS_AUTODISARM == 0
            && stack_pointer > self.base
            && stack_pointer - self.base <= self.size
    }

    /// `struct stack_t` as a program reads it back (asm-generic/signal.h).
    pub(crate) fn record(self, stack_pointer: u64) -> Record<24> {
        let state = match self.size {
            0 => SS_DISABLE,
            _ if self.contains(stack_pointer) => SS_ONSTACK,
            _ => 0,
        };
        Record::new()
            .u64(0, self.base)
            .u32(8, state | self.flags)
            .u64(16, self.size)
    }

    /// Takes what a program wrote as `struct stack_t`.
    pub(crate) fn parse(record: &[u8; 24]) -> Result<Self, Errno> {
        let given = u32_at(record, 8);
        let flags = given & SS_AUTODISARM;
        match given & !SS_AUTODISARM {
            SS_DISABLE => Ok(Self {
                base: 0,
                size: 0,
                flags,
            }),
            0 | SS_ONSTACK => {
                let (base, size) = (u64_at(record, 0), u64_at(record, 16));
                if size < SMALLEST_STACK {
                    return Err(ENOMEM);
                }
                if base.checked_add(size).is_none() {
                    return Err(EFAULT);
                }
                Ok(Self { base, size, flags })
            }
            _ => Err(EINVAL),
        }
    }

    /// What is left of it once a handler runs on it.
    pub(crate) fn while_in_use(self) -> Self {
        if self.flags & SS_AUTODISARM == 0 {
            self
        } else {
            Self::default()
        }
    }
}

/// Where a signal's action is kept.
fn index(number: u32) -> usize {
    usize::try_from((number.max(1) - 1) & 63).unwrap_or(0)
}

/// A signal number that a program names; 0 if it says 0, which only asks.
pub(crate) fn number_or_zero(number: i32) -> Result<u32, Errno> {
    u32::try_from(number)
        .ok()
        .filter(|&number| number <= LAST)
        .ok_or(EINVAL)
}

/// `rt_sigaction(signal, action, old action, set size)`
pub(crate) fn rt_sigaction(context: &mut Context<'_>) -> Answer {
    let number = number_or_zero(context.int(0))?;
    let (new, old) = (context.word(1), context.word(2));
    if context.word(3) != SET_SIZE || number == 0 {
        return Err(EINVAL.into());
    }
    let before = context.state().signals.action(number);
    if new != 0 {
        let record: [u8; 32] = context.read(new)?;
        if bit(number) & UNSTOPPABLE != 0 {
            return Err(EINVAL.into());
        }
        let action = Action {
            handler: u64_at(&record, 0),
            flags: u64_at(&record, 8),
            restorer: u64_at(&record, 16),
            mask: u64_at(&record, 24),
        };
        context.state_mut().set_action(number, action);
    }
    let record = Record::<32>::new()
        .u64(0, before.handler)
        .u64(8, before.flags)
        .u64(16, before.restorer)
        .u64(24, before.mask);
    context.write_if_wanted(old, record.as_bytes())?;
    Ok(0)
}

/// `rt_sigprocmask(how, set, old set, set size)`
pub(crate) fn rt_sigprocmask(context: &mut Context<'_>) -> Answer {
    // asm-generic/signal-defs.h
    const BLOCK: i32 = 0;
    const UNBLOCK: i32 = 1;
    const SETMASK: i32 = 2;
    let (set, old) = (context.word(1), context.word(2));
    if context.word(3) != SET_SIZE {
        return Err(EINVAL.into());
    }
    let before = context.thread().signals.blocked;
    if set != 0 {
        let set = u64::from_le_bytes(context.read(set)?);
        let after = match context.int(0) {
            BLOCK => before | set,
            UNBLOCK => before & !set,
            SETMASK => set,
            _ => return Err(EINVAL.into()),
        };
        if after != before {
            context.thread_mut().signals.block(after);
        }
    }
    context.write_if_wanted(old, &before.to_le_bytes())?;
    Ok(0)
}

/// `rt_sigpending(set, set size)`
pub(crate) fn rt_sigpending(context: &mut Context<'_>) -> Answer {
    let size = context.word(1);
    if size > SET_SIZE {
        return Err(EINVAL.into());
    }
    let own = &context.thread().signals;
    let pending = own.pending.set() | context.state().signals.pending.set();
    let set = (pending & own.blocked).to_le_bytes();
    let size = usize::try_from(size).map_err(|_| EINVAL)?;
    context.write(context.word(0), &set[..size])?;
    Ok(0)
}

/// `sigaltstack(stack, old stack)`
pub(crate) fn sigaltstack(context: &mut Context<'_>) -> Answer {
    let (new, old) = (context.word(0), context.word(1));
    let stack_pointer = context.guest.registers().rsp;
    let before = context.thread().signals.alternate;
    if new != 0 {
        let record = context.read(new)?;
        if before.contains(stack_pointer) {
            return Err(EPERM.into());
        }
        let stack = AlternateStack::parse(&record)?;
        context.thread_mut().signals.alternate = stack;
    }
    context.write_if_wanted(old, before.record(stack_pointer).as_bytes())?;
    Ok(0)
}

/// True if an argument is the only process, by its number before or after the freeze.
pub(crate) fn is_self(id: i32) -> bool {
    matches!(u32::try_from(id), Ok(PROCESS_ID | FORKED_ID))
}

#[cfg(test)]
mod tests;
