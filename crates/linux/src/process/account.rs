//! What the host holds for a program, as one sum.

use crate::objects::account::{SIGNAL, THREAD, of_object};
use crate::process::state::State;

impl State {
    /// What the host holds for the program, and since the freeze for this fork alone.
    pub(crate) fn held(&self) -> u64 {
        self.objects.charge() + self.beside().saturating_sub(self.beside_at_freeze())
    }

    /// What it holds beside objects.
    pub(crate) fn beside(&self) -> u64 {
        self.descriptors.charge()
            + self.queued_signals() as u64 * SIGNAL
            + self.threads.count() as u64 * THREAD
    }

    /// [`Self::held`] by a look at everything.
    pub(crate) fn counted(&self) -> u64 {
        let open: u64 = self.descriptors.objects().map(of_object).sum();
        let beside = self.beside() - self.descriptors.charge() + open;
        self.objects.counted_charge() + beside.saturating_sub(self.beside_at_freeze())
    }
}

#[cfg(test)]
mod tests;
