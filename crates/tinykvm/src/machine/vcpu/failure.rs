//! An error of KVM where nobody can be told of it yet.
//!
//! The layers above look at, and change, a stopped guest as if that could not fail. What does fail
//! then is kept here. The guest does not go on after it: the next run, freeze or reset tells it.

use crate::EngineError;

/// The first error that was not told yet.
#[derive(Debug, Default)]
pub(crate) struct Failure(Option<EngineError>);

impl Failure {
    /// The value, or `None` after an error, which is kept.
    pub(crate) fn or_keep<T>(&mut self, result: Result<T, EngineError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.get_or_insert(error);
                None
            }
        }
    }

    /// True if there is an error to tell.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Tells the error, once.
    pub(crate) fn tell(&mut self) -> Result<(), EngineError> {
        self.0.take().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_told_once() {
        let mut failure = Failure::default();
        assert!(failure.tell().is_ok() && !failure.is_kept());
        assert_eq!(failure.or_keep(Ok(1)), Some(1));
        assert!(!failure.is_kept());
        for what in ["first", "second"] {
            let kept = failure.or_keep(Err::<(), _>(EngineError::Internal(what)));
            assert_eq!(kept, None);
        }
        assert_eq!(failure.or_keep(Ok(2)), Some(2), "what works later works");
        assert!(failure.is_kept());
        let told = failure.tell().unwrap_err();
        assert!(matches!(told, EngineError::Internal("first")), "{told}");
        assert!(failure.tell().is_ok() && !failure.is_kept());
    }
}
