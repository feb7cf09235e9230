//! Checked wrappers of what a module sees of Varnish. The only crate that knows its structures.
//!
//! ```text
//!   Ctx<'c>        one call from VCL or from a fetch: place, log, failure, workspace, messages
//!    ├ Http        the header fields of a message; HttpMut to change them
//!    ├ Workspace   memory that lives as long as the task
//!    ├ RequestBody what a backend fetch has to send on
//!    ├ Lifetime    ttl, grace and keep of the object that is being fetched
//!    └ task<T>()   a value of ours that lives as long as the task
//!   Director       a backend implemented in Rust (trait Backend); its body is a Source
//!   filter         filters of bodies: fetch and delivery processors
//!   Slot<T>        a value of ours that lives as long as the VCL
//!   guard::catch   the one place where a panic ends
//! ```
//!
//! # Layers
//!
//! ```text
//! filter                                      filters of bodies
//! director                                    backends of ours
//! source, synthetic, response_body, private   what needs a call from VCL
//! ctx                                         one call from VCL or from a fetch
//! request_body, http, lifetime, log           what a call leads to
//! workspace, strings                          memory and texts of a task
//! guard, taken                                where a panic ends; what Varnish did not do
//! ffi                                         what is generated from Varnish's headers
//! ```
//!
//! Pointers that Varnish hands over are checked for NULL and for their magic number, and the
//! borrow ends with the context that they came from. What is generated from the headers differs
//! between releases; what is written here is the same for all of them (7.1 and later).
//!
//! Functions of Varnish that change something have no result, and do nothing when there is no room.
//! So what they were asked for is looked at afterwards, and is an error if it is not there
//! ([`NotTaken`], [`FieldError`]).
//!
//! Nothing here can be called outside varnishd, which is where the functions are.

pub mod ctx;
pub mod director;
pub mod ffi;
pub mod filter;
pub mod guard;
pub mod http;
pub mod lifetime;
pub mod log;
pub mod private;
pub mod request_body;
pub mod response_body;
mod source;
pub mod strings;
pub mod synthetic;
mod taken;
pub mod workspace;

pub use ctx::{Ctx, Place};
pub use director::{Answer, Backend, Director};
pub use filter::{Filter, Registration};
pub use http::{FieldError, Fields, Http, HttpMut};
pub use lifetime::Lifetime;
pub use log::{Tag, log_global};
pub use private::{Private, Slot};
pub use request_body::{BodyError, RequestBody};
pub use source::Source;
pub use taken::NotTaken;
pub use workspace::Workspace;
