//! Every ioctl, and what goes with them: the vCPU's shared page, the dirty ring, the watchdog
//! that ends a run at its deadline, the host's clocks.

mod alarm;
mod device;
mod dirty_ring;
mod ioctls;
mod retry;
pub(crate) mod time;
mod vcpu;
mod vm;
mod watchdog;

pub(crate) use device::Device;
pub use device::{DEVICE_PATH_VARIABLE, Requirement, requirements};
pub(crate) use dirty_ring::DirtyRing;
pub use ioctls::ioctl_count;
pub(crate) use retry::retry;
pub(crate) use vcpu::{Stop, Vcpu};
pub(crate) use vm::{SlotKind, Vm};
pub use watchdog::Stopper;
pub(crate) use watchdog::{Registration, Timer, Watchdog, with_signal_blocked};
