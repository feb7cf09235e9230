//! The log of a task.

use crate::ctx::Ctx;
use crate::{Tag, ffi};

/// The log of a task, without a context.
#[derive(Debug, Clone, Copy)]
pub struct TaskLog(*mut ffi::vsl_log);

impl TaskLog {
    /// # Safety
    /// NULL, or the log of a task of this thread, for as long as the value is used.
    pub(super) unsafe fn new(raw: *mut ffi::vsl_log) -> Self {
        Self(raw)
    }

    /// Writes to the log of the transaction.
    pub fn log(&self, tag: Tag, text: &str) {
        if self.0.is_null() {
            crate::log::log_global(tag, text);
        } else {
            // SAFETY: what the constructor was promised.
            unsafe { crate::log::log_to(self.0, tag, text) };
        }
    }
}

impl Ctx<'_> {
    /// The log of this call's task.
    #[must_use]
    pub fn task_log(&self) -> TaskLog {
        // SAFETY: the log of this call's task, or NULL.
        unsafe { TaskLog::new(self.log_pointer()) }
    }
}
