//! A transaction that is only two lists of fields: for tests of this crate, and for programs
//! that are called without a cache in front (the command line tool).

use std::time::Duration;

use crate::transaction::{BodyError, FieldError, Log, Side, Transaction};

/// The index that Varnish gives to the first header field; results of header calls count from it.
const FIRST_FIELD: usize = 5;
/// How many fields each side takes, as many as Varnish does by default.
const FIELDS_MAX: usize = 64;

/// What the program said about caching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cacheable {
    /// May be cached at all.
    pub cacheable: bool,
    /// Time to live.
    pub ttl: Duration,
    /// How much longer it may be delivered while it is fetched anew.
    pub grace: Duration,
    /// How much longer it is kept for conditional fetches.
    pub keep: Duration,
}

/// A transaction in memory. Everything is public: fill in the request, call, look at the rest.
#[derive(Debug, Default)]
pub struct PlainTransaction {
    /// Behaves as a backend fetch; otherwise as a call on the client side.
    pub backend: bool,
    /// Fields of the request.
    pub request: Vec<Vec<u8>>,
    /// Fields of the response; `None`: there is no response here.
    pub response: Option<Vec<Vec<u8>>>,
    /// Parts of the request body.
    pub body: Vec<Vec<u8>>,
    /// The length of the body is known before it is read.
    pub announce_length: bool,
    /// Reading the body fails after its parts.
    pub fail_body: bool,
    /// What every `append` fails with.
    pub fail_append: Option<FieldError>,
    /// The last `set_cacheable`.
    pub cacheable: Option<Cacheable>,
    /// Informative log lines.
    pub logged: Vec<String>,
    /// Log lines about errors.
    pub errors: Vec<String>,
}

impl PlainTransaction {
    /// A backend fetch without header fields and body.
    #[must_use]
    pub fn backend() -> Self {
        Self {
            backend: true,
            response: Some(Vec::new()),
            announce_length: true,
            ..Self::default()
        }
    }

    /// The response's fields as text.
    #[must_use]
    pub fn response(&self) -> Vec<String> {
        self.response
            .iter()
            .flatten()
            .map(|field| String::from_utf8_lossy(field).into_owned())
            .collect()
    }

    fn side(&self, side: Side) -> Option<&Vec<Vec<u8>>> {
        match side {
            Side::Request => Some(&self.request),
            Side::Response => self.response.as_ref(),
        }
    }

    fn side_mut(&mut self, side: Side) -> Option<&mut Vec<Vec<u8>>> {
        match side {
            Side::Request => Some(&mut self.request),
            Side::Response => self.response.as_mut(),
        }
    }

    fn position(&self, side: Side, name: &[u8]) -> Option<usize> {
        self.side(side)?.iter().position(|field| {
            field.len() > name.len()
                && field[name.len()] == b':'
                && field[..name.len()].eq_ignore_ascii_case(name)
        })
    }
}

impl Transaction for PlainTransaction {
    fn is_backend_fetch(&self) -> bool {
        self.backend
    }

    fn field_count(&self, side: Side) -> Option<usize> {
        self.side(side).map(Vec::len)
    }

    fn field(&self, side: Side, index: usize) -> Option<Vec<u8>> {
        self.side(side)?.get(index).cloned()
    }

    fn find(&self, side: Side, name: &[u8]) -> Option<(usize, Vec<u8>)> {
        let at = self.position(side, name)?;
        Some((at + FIRST_FIELD, self.side(side)?.get(at)?.clone()))
    }

    fn append(&mut self, side: Side, field: &[u8]) -> Result<u32, FieldError> {
        if let Some(error) = self.fail_append {
            return Err(error);
        }
        let fields = self.side_mut(side).ok_or(FieldError::NoSide)?;
        if fields.len() >= FIELDS_MAX {
            return Err(FieldError::TableFull);
        }
        fields.push(field.to_vec());
        u32::try_from(fields.len() - 1 + FIRST_FIELD).map_err(|_| FieldError::TableFull)
    }

    fn replace(&mut self, side: Side, index: usize, field: &[u8]) -> Result<(), FieldError> {
        let fields = self.side_mut(side).ok_or(FieldError::NoSide)?;
        if let Some(slot) = index
            .checked_sub(FIRST_FIELD)
            .and_then(|at| fields.get_mut(at))
        {
            *slot = field.to_vec();
        }
        Ok(())
    }

    fn remove(&mut self, side: Side, name: &[u8]) -> Option<u32> {
        let at = self.position(side, name)?;
        self.side_mut(side)?.remove(at);
        u32::try_from(at + FIRST_FIELD).ok()
    }

    fn set_cacheable(
        &mut self,
        cacheable: bool,
        ttl: Duration,
        grace: Duration,
        keep: Duration,
    ) -> bool {
        if self.backend {
            self.cacheable = Some(Cacheable {
                cacheable,
                ttl,
                grace,
                keep,
            });
        }
        self.backend
    }

    fn read_body(
        &mut self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), BodyError>,
    ) -> Result<(), BodyError> {
        for part in &self.body {
            sink(part)?;
        }
        if self.fail_body {
            return Err(BodyError::Read);
        }
        Ok(())
    }

    fn body_length(&self) -> Option<u64> {
        let length: usize = self.body.iter().map(Vec::len).sum();
        self.announce_length.then_some(length as u64)
    }
}

impl Log for PlainTransaction {
    fn log(&mut self, line: &str) {
        self.logged.push(line.to_owned());
    }

    fn error(&mut self, line: &str) {
        self.errors.push(line.to_owned());
    }
}
