//! The Varnish module: each function of `vmod.vcc` converts, calls the runtime, converts back.
//!
//! ```text
//!   vcl/          the functions that VCL calls, and the event function
//!   backend       a program as a backend: answer, header fields, body
//!   filter        a program as a filter of bodies, fetched or delivered
//!   transaction   what a program may see and change of the transaction
//!   caching       what a program says about caching, made to last
//!   task          what belongs to one request or fetch
//!   state         what belongs to one VCL: its programs and their directors
//!   counters      the runtime's counters, for varnishstat
//!   guard         every entry point goes through it
//!   vcc           the symbol that varnishd looks for
//! ```

mod backend;
mod caching;
mod counters;
mod filter;
mod guard;
mod state;
mod task;
mod transaction;
mod vcc;
mod vcl;

/// The entry points as `vmod.vcc` declares them, and the counters as `vmod.vsc` does.
mod abi {
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
}

mod drift {
    #![allow(dead_code, reason = "generated; it only has to compile")]
    use crate::{abi, vcl};
    include!(concat!(env!("OUT_DIR"), "/same_types.rs"));
}
