//! The KVM device: opening it and asking what it can do.

use std::ffi::CString;
use std::io;

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES};
use kvm_ioctls::{Cap, Kvm};

use crate::EngineError;
use crate::arch::x86_64::special::Features;

/// Environment variable that names another device file than `/dev/kvm`: for tests, and for
/// hosts that keep it elsewhere.
pub const DEVICE_PATH_VARIABLE: &str = "TINYKVM_DEVICE";

/// One capability that the engine asks of KVM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirement {
    /// Its name in the KVM API documentation.
    pub name: &'static str,
    /// What it is used for.
    pub purpose: &'static str,
    /// Whether this host's KVM has it.
    pub present: bool,
}

/// The open device and what was read from it once.
#[derive(Debug)]
pub(crate) struct Device {
    kvm: Kvm,
    cpuid: CpuId,
    features: Features,
}

/// The device file in use.
fn path() -> String {
    std::env::var(DEVICE_PATH_VARIABLE).unwrap_or_else(|_| "/dev/kvm".to_owned())
}

impl Device {
    /// Opens the device and checks that it has all that the engine needs.
    pub(crate) fn open() -> Result<Self, EngineError> {
        let path = path();
        let kvm = open(&path)?;
        if let Some(missing) = check(&kvm).into_iter().find(|entry| !entry.present) {
            return Err(EngineError::Missing { name: missing.name });
        }
        let cpuid = kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(|error| EngineError::ioctl("KVM_GET_SUPPORTED_CPUID", error))?;
        let features = Features::of(&cpuid);
        Ok(Self {
            kvm,
            cpuid,
            features,
        })
    }

    /// The file descriptor's ioctl interface.
    pub(super) fn kvm(&self) -> &Kvm {
        &self.kvm
    }

    /// The CPUID table that guests get.
    pub(super) fn cpuid(&self) -> &CpuId {
        &self.cpuid
    }

    /// What KVM supports of the optional processor features.
    pub(crate) fn features(&self) -> Features {
        self.features
    }
}

fn open(path: &str) -> Result<Kvm, EngineError> {
    let device = |source| EngineError::Device {
        path: path.to_owned(),
        source,
    };
    let name = CString::new(path).map_err(|error| device(io::Error::other(error)))?;
    Kvm::new_with_path(name).map_err(|error| device(io::Error::from_raw_os_error(error.errno())))
}

fn check(kvm: &Kvm) -> Vec<Requirement> {
    let need = |name, purpose, cap| Requirement {
        name,
        purpose,
        present: kvm.check_extension(cap),
    };
    vec![
        need(
            "KVM_CAP_USER_MEMORY",
            "guest memory from host memory",
            Cap::UserMemory,
        ),
        need(
            "KVM_CAP_SYNC_REGS",
            "registers without ioctls",
            Cap::SyncRegs,
        ),
        need("KVM_CAP_IMMEDIATE_EXIT", "time limits", Cap::ImmediateExit),
        Requirement {
            name: "KVM_CAP_DIRTY_LOG_RING",
            purpose: "which pages to reset, and the memory limit (Linux 5.11)",
            present: super::dirty_ring::capability(kvm).is_some(),
        },
        need("KVM_CAP_XCRS", "vector state", Cap::Xcrs),
    ]
}

/// What the engine needs of KVM and whether it is there, for a diagnosis.
///
/// # Errors
/// [`EngineError::Device`] if the device cannot be opened.
pub fn requirements() -> Result<Vec<Requirement>, EngineError> {
    Ok(check(&open(&path())?))
}
