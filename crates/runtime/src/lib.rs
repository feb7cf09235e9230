//! Programs that serve HTTP requests in virtual machines: configuration, loading, pools of forks,
//! the guest API, limits and verdicts.
//!
//! Knows HTTP, and no particular HTTP server: what a program may see and change of a request is
//! behind the trait [`Transaction`].
//!
//! ```text
//! Programs ─ configure ─> Program ─ load ─> Instance: template + pool of forks
//!                            │
//!                            ├ call(request, transaction) ─> Response
//!                            └ begin_filter(request, transaction) ─> BodyFilter
//! ```
//!
//! # Example
//! ```no_run
//! use tinykvm_runtime::{CallRequest, PlainTransaction, Programs};
//!
//! let programs = Programs::new();
//! programs.configure("hello", r#"{ "filename": "/srv/hello" }"#)?;
//! let program = programs.get("hello").expect("just configured");
//! let request = CallRequest { url: b"/", method: b"GET", ..CallRequest::default() };
//! let response = program.call(&request, &mut PlainTransaction::backend());
//! assert_eq!(response.status, 200);
//! # Ok::<(), tinykvm_runtime::ConfigError>(())
//! ```

#![forbid(unsafe_code)]

mod api;
mod call;
mod config;
mod counters;
mod failure;
mod fields;
mod filter;
mod framing;
mod holding;
mod idle;
mod inputs;
mod instance;
mod journal;
mod load;
mod notices;
mod output;
mod permissions;
mod permits;
mod plain;
mod pool;
mod program;
mod programs;
mod response;
mod run;
mod spares;
mod start;
mod sync;
mod text;
mod transaction;
mod transfer;
mod unreadable;
mod verdict;

pub use config::{ConfigError, Document, name_from};
pub use counters::{Counters, counters};
pub use filter::{Begun, BodyFilter, FilterRequest, Part, Sent, Upstream};
pub use journal::{Journal, Used, Wording};
pub use permissions::{Access, is_library};
pub use plain::{Cacheable, PlainTransaction};
pub use program::Program;
pub use programs::Programs;
pub use response::{Body, Response};
pub use text::printable;
pub use transaction::{BodyError, CallRequest, FieldError, Log, Side, Transaction};
pub use verdict::Verdict;
