//! What a program may see and change of the transaction, on Varnish's structures.

use std::time::Duration;

use tinykvm_runtime::{BodyError, FieldError, Log, Side, Transaction};
use tinykvm_vrt::{
    BodyError as FetchError, Ctx, FieldError as HttpError, Http, HttpMut, Place, Tag, http,
};

use crate::caching::Caching;

/// Fields that the answer needs besides the program's: its own (Content-Type, Content-Length,
/// Last-Modified, Cache-Control, Date), those of the delivery (Age, Via, X-Varnish, Accept-Ranges,
/// Connection), and some of VCL's. A program can't use up their places.
const RESERVED_FIELDS: usize = 14;
/// Nor the workspace that it takes to store them, and the connection of a fetch.
const RESERVED_WORKSPACE: usize = 4096;

/// A transaction during one call of a program.
#[derive(Debug)]
pub(crate) struct VarnishTransaction<'a, 'c> {
    ctx: &'a mut Ctx<'c>,
    /// What the program said about caching an answer that does not exist yet.
    pub(crate) caching: Option<Caching>,
}

impl<'a, 'c> VarnishTransaction<'a, 'c> {
    pub(crate) fn new(ctx: &'a mut Ctx<'c>) -> Self {
        Self { ctx, caching: None }
    }

    fn message(&self, side: Side) -> Option<Http<'_>> {
        match side {
            Side::Request => self.ctx.request(),
            Side::Response => self.ctx.response(),
        }
    }

    fn message_mut(&mut self, side: Side) -> Option<HttpMut<'_>> {
        match side {
            Side::Request => self.ctx.request_mut(),
            Side::Response => self.ctx.response_mut(),
        }
    }
}

impl VarnishTransaction<'_, '_> {
    fn has_workspace(&mut self, field: &[u8]) -> Result<(), FieldError> {
        let free = self.ctx.workspace().map(|mut workspace| workspace.free());
        match free {
            Some(free) if free > field.len() + RESERVED_WORKSPACE => Ok(()),
            _ => Err(FieldError::NoWorkspace),
        }
    }
}

/// Programs count from the start line, as Varnish's table does.
fn header_index(position: usize) -> u32 {
    u32::try_from(position + http::FIRST).unwrap_or(u32::MAX)
}

fn refused(error: HttpError) -> FieldError {
    match error {
        HttpError::TableFull => FieldError::TableFull,
        HttpError::NoField => FieldError::NoSide,
        // The runtime lets no malformed field through, and fields are put back elsewhere.
        HttpError::NoWorkspace
        | HttpError::Malformed
        | HttpError::NotTaken
        | HttpError::OtherMessage => FieldError::NoWorkspace,
    }
}

impl Transaction for VarnishTransaction<'_, '_> {
    fn is_backend_fetch(&self) -> bool {
        self.ctx.is_fetch()
    }

    fn field_count(&self, side: Side) -> Option<usize> {
        self.message(side).map(|message| message.len())
    }

    fn field(&self, side: Side, index: usize) -> Option<Vec<u8>> {
        self.message(side)?.field(index).map(<[u8]>::to_vec)
    }

    fn find(&self, side: Side, name: &[u8]) -> Option<(usize, Vec<u8>)> {
        let message = self.message(side)?;
        let position = message.position(name)?;
        let field = message.field(position)?.to_vec();
        Some((position + http::FIRST, field))
    }

    fn append(&mut self, side: Side, field: &[u8]) -> Result<u32, FieldError> {
        self.has_workspace(field)?;
        let reserved = match (side, self.ctx.place()) {
            (Side::Response, Place::Fetch) => RESERVED_FIELDS,
            _ => 0,
        };
        let mut message = self.message_mut(side).ok_or(FieldError::NoSide)?;
        if message.room() <= reserved {
            return Err(FieldError::TableFull);
        }
        message.append(field).map(header_index).map_err(refused)
    }

    fn replace(&mut self, side: Side, index: usize, field: &[u8]) -> Result<(), FieldError> {
        self.has_workspace(field)?;
        let mut message = self.message_mut(side).ok_or(FieldError::NoSide)?;
        let position = index.checked_sub(http::FIRST).ok_or(FieldError::NoSide)?;
        message.replace(position, field).map_err(refused)
    }

    fn remove(&mut self, side: Side, name: &[u8]) -> Option<u32> {
        self.message_mut(side)?.remove(name).map(header_index)
    }

    fn set_cacheable(
        &mut self,
        cacheable: bool,
        ttl: Duration,
        grace: Duration,
        keep: Duration,
    ) -> bool {
        let caching = Caching {
            cacheable,
            ttl,
            grace,
            keep,
        };
        match self.ctx.place() {
            Place::Fetch => self.caching = Some(caching),
            Place::BackendResponse | Place::BackendError => {
                if let Err(error) = caching.apply(self.ctx) {
                    self.ctx.log(Tag::Error, &format!("tinykvm: {error}"));
                    return false;
                }
            }
            // Before the fetch there is no object that could have a time to live.
            _ => return false,
        }
        true
    }

    fn read_body(
        &mut self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), BodyError>,
    ) -> Result<(), BodyError> {
        self.ctx
            .read_request_body(sink)
            .map_err(|error| match error {
                FetchError::Read => BodyError::Read,
                FetchError::Sink(error) => error,
            })
    }

    fn body_length(&self) -> Option<u64> {
        self.ctx.request_body()?.length()
    }
}

impl Log for VarnishTransaction<'_, '_> {
    fn log(&mut self, line: &str) {
        self.ctx.log(Tag::VclLog, line);
    }

    fn error(&mut self, line: &str) {
        self.ctx.log(Tag::Error, line);
    }
}
