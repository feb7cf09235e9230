//! What all VMs of a process share.

use std::sync::{Mutex, OnceLock, PoisonError};

use super::probe::{self, Probe};
use crate::EngineError;
use crate::kvm::{Device, Watchdog};
use crate::machine::flavour::Flavour;

/// KVM, opened and probed, and the watchdog. One per process.
#[derive(Debug)]
pub struct Engine {
    pub(crate) device: Device,
    pub(crate) probe: Probe,
    pub(crate) watchdog: Watchdog,
}

impl Engine {
    /// The engine of this process. The first call opens KVM and probes it; a failure is not
    /// remembered, so that a host that is put right is found right.
    ///
    /// # Errors
    /// [`EngineError`] says what KVM access or capability is missing.
    pub fn get() -> Result<&'static Self, EngineError> {
        static ENGINE: OnceLock<Engine> = OnceLock::new();
        static STARTING: Mutex<()> = Mutex::new(());
        if let Some(engine) = ENGINE.get() {
            return Ok(engine);
        }
        let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = ENGINE.get() {
            return Ok(engine);
        }
        let device = Device::open()?;
        let probe = probe::probe(&device)?;
        let watchdog = Watchdog::start()?;
        Ok(ENGINE.get_or_init(|| Self {
            device,
            probe,
            watchdog,
        }))
    }

    /// How this host's KVM runs guests.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        self.probe.flavour
    }
}
