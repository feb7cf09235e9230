//! Errors of KVM. A VM belongs to the process that made it: in another one everything that KVM is
//! asked about it fails.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tinykvm::{EngineError, Exit, Guest};
use tinykvm_testkit::harness::Case;

use super::support::*;

pub fn cases() -> Vec<Case> {
    vec![case(
        "vector_state_that_kvm_refuses_fails_the_next_run_or_reset",
        refused_vectors,
    )]
}

/// True if `test` passes in a copy of this process.
fn passes_elsewhere(test: impl FnOnce()) -> bool {
    // SAFETY: the copy only runs `test` and ends without running anything else. Of the C library
    // it uses the allocator alone, which is usable after `fork`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        // SAFETY: ends the copy.
        unsafe { libc::_exit(i32::from(!passed)) };
    }
    let mut status = -1;
    // SAFETY: waits for a child of ours, whose status is written to a variable that lives.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    child > 0 && ended == child && status == 0
}

/// A fork that has stopped in a system call.
fn stopped() -> tinykvm::Fork {
    let mut fork = fork();
    fork.begin(BUDGET);
    fork.prepare_call(function("context_syscall"));
    fork.enter([0; 6]).unwrap();
    assert_eq!(fork.run().unwrap(), Exit::Syscall);
    fork
}

fn refused_vectors() {
    let refused = |error: EngineError| {
        let EngineError::System { operation, source } = error else {
            panic!("{error}");
        };
        assert!(operation.starts_with("KVM_"), "{operation}");
        assert_eq!(source.raw_os_error(), Some(libc::EIO));
    };
    let mut fork = stopped();
    let elsewhere = passes_elsewhere(|| {
        fork.vector_state();
        let runs = fork.vcpu_runs();
        refused(fork.run().unwrap_err());
        assert_eq!(fork.vcpu_runs(), runs, "the guest went on");
        fork.rebuild().unwrap();
        assert_eq!(ask(&mut fork, "count", &[])[0], 8, "a new VM");
    });
    assert!(elsewhere);
    fork.set_index(7);
    let elsewhere = passes_elsewhere(|| {
        fork.vector_state();
        refused(fork.reset().unwrap_err());
        fork.rebuild().unwrap();
        assert_eq!(ask(&mut fork, "count", &[])[0], 8, "a new VM");
        assert_eq!(ask(&mut fork, "probe_gs", &[])[0] >> 32, 7, "its number");
    });
    assert!(elsewhere);
    let elsewhere = passes_elsewhere(|| {
        fork.vector_state();
        fork.rebuild().unwrap();
        assert_eq!(ask(&mut fork, "count", &[])[0], 8, "a new VM");
    });
    assert!(elsewhere);
    // Nothing failed before: then the VM is not replaced, and does not work there.
    assert!(passes_elsewhere(|| refused(fork.rebuild().unwrap_err())));
}
