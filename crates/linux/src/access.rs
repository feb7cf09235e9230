//! The one place that decides about access to the host's files.
//!
//! ```text
//! path, as the program gave it ── directory or working directory in front ──> absolute path
//!   ── rule with the longest path (rules/permissions.rs) ──> Grant: host directory + path beneath it
//!   ── openat2(beneath, no magic links) ──> descriptor
//! ```
//!
//! A handler that wants something of the host needs a [`Grant`](grant::Grant), and only
//! [`find`](find::find) makes one. Paths are the program's own (*virtual*): links are followed in
//! them, so an absolute link leads to whatever the program has there, and nowhere else. The host's
//! kernel follows links only beneath one grant; if a path has links that leave it, or `..`, it is
//! walked here step by step, and the result is opened without following anything.
//!
//! The program's world is what rules are about, what is made up for it, and the directories on the
//! way there. Everything else does not exist, as in a container: `ENOENT`, without a look at the
//! host. `EACCES` is the answer where a rule grants less than was asked for.

pub(crate) mod find;
pub(crate) mod grant;
pub(crate) mod open;
pub(crate) mod place;
pub(crate) mod request;
pub(crate) mod synthetic;
pub(crate) mod tell;
pub(crate) mod text;
pub(crate) mod walk;

#[cfg(test)]
mod tests;
