//! TinyKVM guest programs in Rust.
//!
//! A guest program is an ordinary, statically linked Linux executable that answers HTTP requests
//! inside Varnish, in a virtual machine of its own.
//!
//! ```no_run
//! use tinykvm_guest::{Response, serve};
//!
//! fn main() {
//!     // Whatever takes long (reading files, building tables) is done here, once.
//!     serve(|request| match request.body() {
//!         None => Response::text("Hello World"),
//!         Some(body) => Response::new(200).body("text/plain", body.to_ascii_uppercase()),
//!     })
//! }
//! ```
//!
//! [`serve`] says that the program is ready; its memory is then frozen. Every request finds the
//! program as it was at that moment, changes what it likes, answers, and all changes are
//! forgotten: there is nothing to clean up, and nothing to leak from one client to another.
//!
//! A panic ends only the request at hand, with status 500, or with what the function given to
//! [`on_error`] answers.
//!
//! A program can also filter bodies on their way through Varnish: see [`filter`].
//!
//! Link statically: `-C target-feature=+crt-static` for target `x86_64-unknown-linux-gnu`, or use
//! a musl target.

#![deny(missing_docs)]

pub mod filter;
pub mod headers;
mod host;
mod request;
mod response;
mod run;
mod sys;

pub use host::{Memory, NotAllowed, is_debug, is_sandboxed, log, make_ephemeral, memory, vcpu};
pub use request::{Header, Request};
pub use response::Response;
pub use run::{Failure, on_error, serve, serve_loop};
