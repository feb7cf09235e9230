//! What a program wants done with signals, and what waits to be delivered.

use crate::host::Flow;
use crate::process::pending::Pending;
use crate::wire::errno::{EFAULT, EINVAL, ENOMEM, Errno};
use crate::wire::record::{Record, u32_at, u64_at};
use crate::wire::signal::{
    SIGCHLD, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH, SS_AUTODISARM, SS_DISABLE,
    SS_ONSTACK, UNSTOPPABLE,
};

// Handler values and action flags: asm-generic/signal-defs.h, asm/signal.h
const SIG_DFL: u64 = 0;
const SIG_IGN: u64 = 1;

/// `MINSIGSTKSZ` in asm/signal.h: the least that `sigaltstack` takes.
const SMALLEST_STACK: u64 = 2048;

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

/// Where a signal goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// To the program: the first of its threads that does not block it takes it.
    Process,
    /// To a thread.
    Thread(u32),
}

/// A signal ends the program.
pub(crate) fn fatal(number: u32) -> Flow {
    Flow::Signal {
        number: number.cast_signed(),
    }
}
