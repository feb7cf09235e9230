//! Where lines go that belong to no request: what happens while programs are loaded.

/// A log for what belongs to no request.
pub trait Journal: Send + Sync {
    /// An informative line.
    fn log(&self, line: &str);

    /// A line about something that went wrong.
    fn error(&self, line: &str);
}

/// Forgets everything.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Silent;

impl Journal for Silent {
    fn log(&self, _: &str) {}

    fn error(&self, _: &str) {}
}
