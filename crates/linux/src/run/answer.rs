//! The answer to a system call, and the begin of a request.

use tinykvm::Guest;

use crate::calls::thread;
use crate::host::{Flow, Host};
use crate::notice::Notice;
use crate::process::Process;
use crate::process::block::Attempt;
use crate::run::table;
use crate::wire::errno::ENOSYS;
use crate::wire::record::low_half;

impl Process {
    /// Answers the system call that the guest stopped at: the result goes into its registers.
    /// Pending signals that the call made deliverable are delivered, too.
    ///
    /// The number is the lower half of RAX, the arguments are RDI, RSI, RDX, R10, R8 and R9.
    pub fn syscall(&mut self, guest: &mut dyn Guest, host: &mut dyn Host) -> Flow {
        let number = low_half(guest.registers().rax);
        let Some(call) = table::find(number) else {
            let name = table::name_of(number);
            self.notice(host, Notice::UnknownCall { number, name });
            guest.registers_mut().rax = ENOSYS.to_result();
            return Flow::Continue;
        };
        // After a deadline in the middle of a wait.
        if self.state().thread().wait.is_some() {
            self.state_mut().thread_mut().wait = None;
        }
        let flow = match self.attempt(guest, host, call, Attempt::default()) {
            Ok(turn) => self.proceed(guest, host, turn),
            Err(flow) => flow,
        };
        self.answer_ahead(guest);
        flow
    }

    /// What the guest need not ask for: who it is.
    pub(crate) fn answer_ahead(&self, guest: &mut dyn Guest) {
        let answers = thread::known(self);
        let alone = self.state().threads.is_alone();
        // Others may be ready by now.
        let known = answers.len() - usize::from(!alone);
        guest.set_answers(&answers[..known]);
    }

    /// Prepares for a request, before the registers are loaded for it: the thread that waits for
    /// requests gets the processor, whichever answered the last one. The others go on when it
    /// waits, or its time slice is over.
    pub fn begin_call(&mut self, guest: &mut dyn Guest) {
        self.forked = true;
        let state = self.state();
        if state.threads.is_caller_alone() && state.timers.next().is_none() && !self.sliced {
            self.answer_ahead(guest);
            return;
        }
        let now = guest.monotonic();
        self.slice_end = None;
        let state = self.state_mut();
        if let Some(frozen) = state.frozen.take() {
            let by = now.saturating_sub(frozen);
            state.threads.postpone(by);
            state.timers.postpone(by);
            // What they wait for may have changed with the time.
            state.changed();
        }
        state.threads.call(guest);
        self.answer_ahead(guest);
        self.arm(guest, now);
    }

    /// The system call that the current thread waits in, if it does.
    #[must_use]
    pub fn waits_in(&self) -> Option<&'static str> {
        let waiting = self.state().thread().wait.as_ref()?;
        table::find(u32::from(waiting.call)).map(|call| call.name)
    }
}
