//! The return from a signal's handler.

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::process::frame::{CONTEXT_SIZE, Saved};
use crate::process::signals::fatal;
use crate::wire::signal::SIGSEGV;
use crate::wire::user::USER_END;
use crate::wire::xsave;

/// `rt_sigreturn()`: goes back to what the frame below the stack pointer says, as far as a
/// program may say it. The result is the RAX of the interrupted code.
pub(crate) fn rt_sigreturn(context: &mut Context<'_>) -> Answer {
    let end = || Failure::Stop(fatal(SIGSEGV));
    let now = *context.guest.registers();
    let record: [u8; CONTEXT_SIZE] = context.read(now.rsp).map_err(|_| end())?;
    let saved = Saved::parse(&record, now.rflags);
    let back = saved.registers;
    // A CPU must not be sent to an address that it cannot hold.
    if back.rip >= USER_END {
        return Err(end());
    }
    let current = context.guest.vector_state();
    let state = xsave::from_frame(context.guest, saved.vectors, &current).ok_or_else(end)?;
    if state != current {
        context.guest.set_vector_state(&state);
    }
    let signals = &mut context.thread_mut().signals;
    signals.block(saved.mask);
    // As in Linux: not while on it, and nonsense is passed over.
    if let Some(stack) = saved.stack
        && !signals.alternate.contains(back.rsp)
    {
        signals.alternate = stack;
    }
    context.guest.set_context(&back);
    Err(Failure::Done)
}
