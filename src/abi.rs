//! The entry points as `vmod.vcc` declares them, and the counters as `vmod.vsc` does.

#![allow(
    dead_code,
    missing_debug_implementations,
    missing_docs,
    non_camel_case_types,
    unreachable_pub,
    unused_imports,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::undocumented_unsafe_blocks,
    reason = "generated"
)]

include!(concat!(env!("OUT_DIR"), "/vcc_if.rs"));
