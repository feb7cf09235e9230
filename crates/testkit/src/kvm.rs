//! Whether tests that need KVM can run.

use std::fs::OpenOptions;

/// Why KVM cannot be used here, or `None` if it can.
#[must_use]
pub fn unavailable() -> Option<String> {
    match OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => None,
        Err(error) => Some(format!("/dev/kvm: {error}")),
    }
}

/// True if `REQUIRE_KVM=1`: a test that cannot run for want of KVM has then failed.
#[must_use]
pub fn is_required() -> bool {
    std::env::var_os("REQUIRE_KVM").is_some_and(|value| value == "1")
}

/// How many times longer a guest may take here than on a real processor: for the limits of tests
/// that are not about time. 1, or more on the emulated test bed (`TINYKVM_EMULATED=1`).
#[must_use]
pub fn time_factor() -> u32 {
    match std::env::var_os("TINYKVM_EMULATED") {
        Some(_) => 6,
        None => 1,
    }
}

/// True if KVM can be used; false if tests that need it are to be skipped.
///
/// # Panics
/// If it cannot be used although `REQUIRE_KVM=1`.
#[must_use]
pub fn require_kvm() -> bool {
    match unavailable() {
        None => true,
        Some(why) if is_required() => panic!("REQUIRE_KVM=1, but {why}"),
        Some(_) => false,
    }
}
