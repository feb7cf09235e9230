//! The Varnish module: each function of `vmod.vcc` converts, calls the runtime, converts back.
//!
//! # Layers
//!
//! ```text
//! vcl          the functions that VCL calls, and the event function
//! state        what belongs to one VCL: its programs and their directors
//! backend      a program as a backend: answer, header fields, body
//! filter       a program as a filter of bodies, fetched or delivered
//! task         what belongs to one request or fetch
//! transaction  what a program may see and change of the transaction
//! caching      what a program says about caching, made to last
//! counters     the runtime's counters, for varnishstat
//! guard        every entry point goes through it
//! vcc          the symbol that varnishd looks for
//! abi          the entry points, as generated from vmod.vcc
//! ```

mod abi;
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

mod drift {
    #![allow(dead_code, reason = "generated; it only has to compile")]
    use crate::{abi, vcl};
    include!(concat!(env!("OUT_DIR"), "/same_types.rs"));
}
