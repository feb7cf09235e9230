//! What the tests of this project share. Only ever a dev-dependency.
//!
//! # Layers
//!
//! ```text
//! vtc         the runner of the `.vtc` files
//! guests      all guests that `.vtc` files name
//! harness     test programs (`harness = false`) in which tests that can't run are skipped and counted
//! compile     guest programs from source, cached
//! kvm         whether tests that need KVM can run
//! fake_guest  a guest without KVM, to test system calls and guest-API calls on
//! document    what a document tells its reader to do
//! vcl         the VCL in a document
//! paths       where things are in the source tree
//! ```

#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "helpers of tests report by panicking"
)]

pub mod compile;
pub mod document;
pub mod fake_guest;
mod guests;
pub mod harness;
pub mod kvm;
pub mod paths;
pub mod vcl;
pub mod vtc;

pub use compile::{Toolchain, compile_c, compile_file, compile_file_with};
pub use fake_guest::{FakeClock, FakeGuest};
pub use kvm::require_kvm;
