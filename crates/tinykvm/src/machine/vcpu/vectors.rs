//! Where the vector state of a stopped guest is.

use crate::Registers;

/// Where the vector state of a stopped guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Held {
    /// In the vCPU.
    #[default]
    Live,
    /// In the vCPU, and in the area.
    Saved,
    /// In the area, to be loaded.
    Pending,
    /// In the frozen image: a call begins, and the stub that it enters loads it.
    Frozen,
    /// In the frozen image, to be loaded.
    Thawed,
    /// Nowhere: KVM did not take what it was given.
    Refused,
}

/// Vector state of the stopped guest.
#[derive(Debug, Default)]
pub(crate) struct Vectors {
    pub(crate) held: Held,
    /// The stub of system calls saves it.
    pub(crate) keeps: bool,
    /// Where the stub that loads a state goes on; what it was in this call is in the host page.
    pub(crate) target: Option<Registers>,
}

impl Vectors {
    /// The registers are about to be replaced by those of another call.
    pub(crate) fn forget(&mut self) {
        self.held = Held::Live;
    }

    /// The next entry is a stub that loads the frozen state.
    pub(crate) fn frozen(&mut self) {
        self.held = Held::Frozen;
    }

    /// The guest ran and stopped.
    pub(crate) fn stopped(&mut self, in_syscall: bool) {
        self.held = if in_syscall && self.keeps {
            Held::Saved
        } else {
            Held::Live
        };
    }

    /// The stub of system calls saves vector state.
    pub(crate) fn keeps(&self) -> bool {
        self.keeps
    }
}
