//! What can go wrong with header fields.

use thiserror::Error;

/// Why a header field was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FieldError {
    /// The message has as many fields as it can hold (parameter `http_max_hdr`).
    #[error("the header table is full")]
    TableFull,
    /// The transaction's workspace is used up.
    #[error("out of workspace")]
    NoWorkspace,
    /// It has bytes that would end it early.
    #[error("a header field can't have line breaks or NUL in it")]
    Malformed,
    /// There is no field at this position.
    #[error("no header field at this position")]
    NoField,
    /// Varnish was given it, and holds something else.
    #[error("Varnish did not take the header field")]
    NotTaken,
    /// The fields to be put back are those of another message.
    #[error("these are the header fields of another message")]
    OtherMessage,
}
