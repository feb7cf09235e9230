//! The one place where a panic ends. Nothing unwinds into Varnish.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A panic that was caught, to be reported or to be continued on this side of the C frames.
#[derive(Debug)]
pub struct Caught(Box<dyn Any + Send>);

impl Caught {
    /// Lets the panic go on, when there are no frames of C between here and the next
    /// [`catch`].
    pub(crate) fn resume(self) -> ! {
        resume_unwind(self.0)
    }

    /// What the panic said.
    #[must_use]
    pub fn message(&self) -> String {
        let mut text = String::from("panic: ");
        let said = self
            .0
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| self.0.downcast_ref::<String>().map(String::as_str));
        text.push_str(said.unwrap_or("of an unknown kind"));
        text
    }
}

/// Runs `work` and turns a panic into an error.
///
/// What `work` changes may be half done after a panic. Callers drop it, or hold it in types that
/// check themselves (a poisoned lock).
///
/// # Errors
/// The panic.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Caught> {
    catch_unwind(AssertUnwindSafe(work)).map_err(Caught)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        let caught = catch(|| panic!("number {}", 7)).unwrap_err();
        assert_eq!(caught.message(), "panic: number 7");
        let caught = catch(|| panic!("plain")).unwrap_err();
        assert_eq!(caught.message(), "panic: plain");
    }

    #[test]
    fn a_result_passes() {
        assert_eq!(catch(|| 3).unwrap(), 3);
    }
}
