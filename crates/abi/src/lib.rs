//! The contract between guest programs and their host, defined once.
//!
//! A guest program is an ordinary Linux executable. It asks its host for things that Linux does
//! not have (the request, the response, HTTP headers) through *hypercalls*: `out %eax, $0` in
//! user mode, with the number in EAX and arguments in RDI, RSI, RDX, RCX, R8, R9. The result
//! comes back in RAX; every other register is preserved. The host calls functions that the guest
//! registered like ordinary C functions.
//!
//! This crate has no code to run, no dependencies and no `std`, so that host and guest can both
//! build on it. The C header `guest/c/include/tinykvm_abi.h` is generated from it.
//!
//! # Layers
//!
//! ```text
//! calls          the hypercall numbers
//! callbacks      what a guest can register
//! filters        what filters of bodies answer and are told
//! structs        what lies in guest memory, field by field
//! limits         sizes that the host enforces
//! values         values with a meaning of their own
//! sides          whose header fields
//! socket_events  what happens at a connection
//! port           I/O ports
//! ```

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

#[cfg(test)]
mod header;

pub mod callbacks;
pub mod calls;
pub mod filters;
pub mod limits;
pub mod port;
pub mod sides;
pub mod socket_events;
pub mod structs;
pub mod values;
