//! The HTTP transaction that a program serves, as the runtime sees it.

use std::time::Duration;

use thiserror::Error;

use crate::text::size;

/// Which of the two messages of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What was asked: `bereq` in a backend fetch, else `req`.
    Request,
    /// What will be answered: `beresp` in a backend fetch, else `resp`.
    Response,
}

/// Why a header field was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FieldError {
    /// The message has as many fields as it can hold.
    #[error("the header table is full")]
    TableFull,
    /// The transaction's workspace is used up.
    #[error("the transaction is out of workspace")]
    NoWorkspace,
    /// There is no such message in this transaction.
    #[error("this transaction has no such message")]
    NoSide,
}

/// Why a request body was not read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BodyError {
    /// The transaction could not deliver it (the client went away, say).
    #[error("the request body could not be read")]
    Read,
    /// It is larger than the program accepts.
    #[error("the request body is larger than the limit of {} (max_body, max_request_memory)", size(*.limit))]
    TooLarge {
        /// That limit.
        limit: u64,
    },
    /// It does not have the length that was announced.
    #[error("the request body has {found} bytes or more, but {announced} were announced")]
    Length {
        /// The length announced.
        announced: u64,
        /// Bytes seen.
        found: u64,
    },
    /// The program's memory limits leave no room for it.
    #[error("no room in the VM for the request body: {reason}")]
    NoRoom {
        /// What the VM said.
        reason: String,
    },
    /// The program refused it, or failed while it was given a part of it.
    #[error("the program did not take the request body: {reason}")]
    Refused {
        /// What it did.
        reason: String,
    },
}

/// The log of a transaction.
pub trait Log {
    /// Writes an informative line.
    fn log(&mut self, line: &str);

    /// Writes a line about something that went wrong.
    fn error(&mut self, line: &str);
}

/// An HTTP transaction: what a program may see and change of it while it serves a request.
///
/// Fields given to [`append`](Transaction::append) and [`replace`](Transaction::replace) were
/// validated: they are `Name: value` without control characters.
pub trait Transaction: Log {
    /// True in a backend fetch, false on the client side.
    fn is_backend_fetch(&self) -> bool;

    /// How many header fields a message has; `None` if there is no such message here.
    fn field_count(&self, side: Side) -> Option<usize>;

    /// A whole field, `Name: value`, by position.
    fn field(&self, side: Side, index: usize) -> Option<Vec<u8>>;

    /// The first field of that name, whatever its case: header index and whole field.
    fn find(&self, side: Side, name: &[u8]) -> Option<(usize, Vec<u8>)>;

    /// Adds a field and returns its header index.
    ///
    /// # Errors
    /// See [`FieldError`].
    fn append(&mut self, side: Side, field: &[u8]) -> Result<u32, FieldError>;

    /// Puts another field at a header index that [`find`](Transaction::find) returned.
    ///
    /// # Errors
    /// See [`FieldError`].
    fn replace(&mut self, side: Side, index: usize, field: &[u8]) -> Result<(), FieldError>;

    /// Removes the first field of that name and returns the header index that it had.
    fn remove(&mut self, side: Side, name: &[u8]) -> Option<u32>;

    /// True while a filter is asked what it makes of a body: then it may say how long that will be.
    fn announces_length(&self) -> bool {
        false
    }

    /// The filter's output will have that length; `None`: it does not say. Only where
    /// [`announces_length`](Transaction::announces_length).
    fn announce_length(&mut self, _length: Option<u64>) {}

    /// Says whether and for how long the answer may be cached. False if this is no backend fetch.
    fn set_cacheable(
        &mut self,
        cacheable: bool,
        ttl: Duration,
        grace: Duration,
        keep: Duration,
    ) -> bool;

    /// Gives the request body to `sink`, part by part, and stops at its first error.
    ///
    /// # Errors
    /// The sink's error, or [`BodyError::Read`].
    fn read_body(
        &mut self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), BodyError>,
    ) -> Result<(), BodyError>;

    /// The length of the request body, if it is known before it is read.
    fn body_length(&self) -> Option<u64>;
}

/// What a program is asked to serve.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallRequest<'a> {
    /// The URL as the program sees it; not necessarily the client's.
    pub url: &'a [u8],
    /// The program's argument, chosen by the operator for this call.
    pub argument: &'a [u8],
    /// The request method.
    pub method: &'a [u8],
    /// The type of the request body; ignored without one.
    pub content_type: &'a [u8],
    /// There is a request body.
    pub has_body: bool,
    /// Reset the VM after this call even if the program is configured to keep its state.
    pub soft_reset: bool,
}
