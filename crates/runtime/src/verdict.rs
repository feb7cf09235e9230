//! How a call ended.

use std::fmt;

/// How a call ended. Every call has exactly one verdict; it is in the log, in the counters and in
/// the [`Response`](crate::Response).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The program answered.
    Ok,
    /// It ran longer than `max_request_time`.
    Timeout,
    /// It changed more memory than `max_request_memory`.
    Memory,
    /// It crashed, or called the host in a way that ends the request.
    Fault,
    /// It ended itself: `exit`, `exit_group`.
    Exit,
    /// It returned without an answer, or with one that can't be delivered.
    NoResponse,
    /// A filter said that it failed, or wrote more or less than it announced.
    Failed,
    /// No VM became free in time, or too many requests were waiting for one already.
    Overload,
    /// KVM is not usable on this machine, or not by this user.
    NoKvm,
    /// The program could not be loaded, did not reach its wait call, or is not started yet.
    NotLoaded,
    /// The request body, or a body to be filtered whole, could not be brought into the VM.
    Transfer,
    /// A body that was being filtered was given up by its source or by its client.
    Cancelled,
}

impl Verdict {
    /// Every verdict, in the order of their declaration.
    pub const ALL: [Self; 12] = [
        Self::Ok,
        Self::Timeout,
        Self::Memory,
        Self::Fault,
        Self::Exit,
        Self::NoResponse,
        Self::Failed,
        Self::Overload,
        Self::NoKvm,
        Self::NotLoaded,
        Self::Transfer,
        Self::Cancelled,
    ];

    /// The name under which the verdict appears in logs and in VCL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Fault => "fault",
            Self::Exit => "exit",
            Self::NoResponse => "no-response",
            Self::Failed => "failed",
            Self::Overload => "overload",
            Self::NoKvm => "no-kvm",
            Self::NotLoaded => "not-loaded",
            Self::Transfer => "transfer",
            Self::Cancelled => "cancelled",
        }
    }

    /// True if the program did not get to run, so that there is nothing of it to deliver: the
    /// caller answers 503 in its own way.
    #[must_use]
    pub fn is_before_run(self) -> bool {
        matches!(
            self,
            Self::Overload | Self::NoKvm | Self::NotLoaded | Self::Transfer
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = Verdict::ALL.iter().map(|verdict| verdict.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Verdict::ALL.len());
    }
}
