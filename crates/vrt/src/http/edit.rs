//! Changing the header fields of a message. Whatever Varnish was asked to do is looked at
//! afterwards: its functions have no result, and do nothing when there is no room.

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

use super::error::FieldError;
use super::message::{FIRST, Http};
use crate::ffi;
use crate::workspace::Workspace;

/// More workspace than Varnish takes for a status line.
const START_LINE_ROOM: usize = 64;

/// A message to be changed. There is one of it at a time, and nobody looks at the message
/// meanwhile.
#[derive(Debug)]
pub struct HttpMut<'a> {
    view: Http<'a>,
    exclusive: PhantomData<&'a mut ()>,
}

impl<'a> Deref for HttpMut<'a> {
    type Target = Http<'a>;

    fn deref(&self) -> &Self::Target {
        &self.view
    }
}

/// The fields of a message at some time; see [`HttpMut::save`].
pub struct Fields {
    /// Whose they are.
    message: NonNull<ffi::http>,
    texts: Vec<ffi::txt>,
    flags: Vec<std::ffi::c_uchar>,
    status: u16,
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fields")
            .field("count", &self.texts.len())
            .finish_non_exhaustive()
    }
}

impl<'a> HttpMut<'a> {
    /// # Safety
    /// `raw` is NULL or points to a message that this alone leads to during the lifetime.
    pub(crate) unsafe fn from_raw(raw: *mut ffi::http) -> Option<Self> {
        // SAFETY: as the caller says.
        let view = unsafe { Http::from_raw(raw) }?;
        Some(Self {
            view,
            exclusive: PhantomData,
        })
    }

    fn raw(&mut self) -> &mut ffi::http {
        // SAFETY: checked by the constructor, valid and ours alone during the lifetime.
        unsafe { self.view.raw.as_mut() }
    }

    /// Adds a field and returns its position.
    ///
    /// # Errors
    /// See [`FieldError`]. Nothing has changed then.
    pub fn append(&mut self, field: &[u8]) -> Result<usize, FieldError> {
        let http = self.http();
        let index = http.nhd;
        if index >= http.shd {
            return Err(FieldError::TableFull);
        }
        self.put(usize::from(index), field)?;
        Ok(usize::from(index) - FIRST)
    }

    /// Puts another field in the place of one.
    ///
    /// # Errors
    /// See [`FieldError`]. Nothing has changed then.
    pub fn replace(&mut self, position: usize, field: &[u8]) -> Result<(), FieldError> {
        if position >= self.len() {
            return Err(FieldError::NoField);
        }
        self.put(position + FIRST, field)
    }

    /// Copies the field to the workspace and stores it at an index not past the end.
    fn put(&mut self, index: usize, field: &[u8]) -> Result<(), FieldError> {
        if field.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(FieldError::Malformed);
        }
        // SAFETY: the message's workspace, which this thread uses as it does the message.
        let workspace = unsafe { Workspace::from_raw(self.http().ws) };
        let text = workspace
            .ok_or(FieldError::NoWorkspace)?
            .copy_string(field)
            .map_err(|_| FieldError::NoWorkspace)?;
        let index16 = u16::try_from(index).map_err(|_| FieldError::TableFull)?;
        // SAFETY: the callers keep `index` below `shd`; the string lives as long as the message.
        unsafe {
            let raw = self.raw();
            if index16 == raw.nhd {
                raw.nhd += 1;
            }
            ffi::http_SetH(raw, u32::from(index16), text);
        }
        match self.text(index) {
            Some(taken) if taken == field => Ok(()),
            _ => Err(FieldError::NotTaken),
        }
    }

    /// Removes the first field of that name and returns the position that it had.
    pub fn remove(&mut self, name: &[u8]) -> Option<usize> {
        let position = self.position(name)?;
        self.remove_at(position);
        Some(position)
    }

    /// Removes the field at a position that exists.
    fn remove_at(&mut self, position: usize) {
        let index = position + FIRST;
        self.log_removal(index);
        // SAFETY: the fields in use are `nhd` elements of both arrays; `index` is one of them, and
        // those behind it move one to the front.
        unsafe {
            let http = self.raw();
            let behind = usize::from(http.nhd) - index - 1;
            http.hd.add(index).copy_from(http.hd.add(index + 1), behind);
            http.hdf
                .add(index)
                .copy_from(http.hdf.add(index + 1), behind);
            http.nhd -= 1;
        }
    }

    /// Tells the log, as Varnish does when VCL removes a field.
    fn log_removal(&self, index: usize) {
        let http = self.http();
        let Some(text) = self.table().get(index).copied() else {
            return;
        };
        if http.vsl.is_null() {
            return;
        }
        let tag = http.logtag + (ffi::HTTP_HDR_UNSET - ffi::HTTP_HDR_METHOD);
        // SAFETY: the message's log, and a text that is part of the message.
        unsafe { ffi::VSLbt(http.vsl, tag, text) };
    }

    /// Remembers all fields and the status, to be put back in the same call.
    #[must_use]
    pub fn save(&self) -> Fields {
        let http = self.http();
        let count = usize::from(http.nhd);
        // SAFETY: the fields in use are `nhd` elements of both arrays.
        unsafe {
            Fields {
                message: self.view.raw,
                texts: std::slice::from_raw_parts(http.hd, count).to_vec(),
                flags: std::slice::from_raw_parts(http.hdf, count).to_vec(),
                status: http.status,
            }
        }
    }

    /// Puts back what [`save`](Self::save) remembered of this message.
    ///
    /// # Errors
    /// [`FieldError::OtherMessage`] if it did not, and then nothing has changed.
    pub fn restore(&mut self, fields: &Fields) -> Result<(), FieldError> {
        let count = u16::try_from(fields.texts.len()).map_err(|_| FieldError::OtherMessage)?;
        if fields.message != self.view.raw || count > self.http().shd {
            return Err(FieldError::OtherMessage);
        }
        // SAFETY: there were as many fields in these arrays before; the texts are on the workspace,
        // where they stay as long as the call.
        unsafe {
            let http = self.raw();
            http.hd
                .copy_from_nonoverlapping(fields.texts.as_ptr(), fields.texts.len());
            http.hdf
                .copy_from_nonoverlapping(fields.flags.as_ptr(), fields.flags.len());
            http.nhd = count;
            http.status = fields.status;
        }
        Ok(())
    }

    /// Removes every field of that name.
    pub fn remove_all(&mut self, name: &[u8]) {
        while self.remove(name).is_some() {}
    }

    /// Makes this the one field of that name.
    ///
    /// # Errors
    /// See [`FieldError`].
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), FieldError> {
        let field = [name, b": ", value].concat();
        let Some(position) = self.position(name) else {
            return self.append(&field).map(drop);
        };
        self.replace(position, &field)?;
        while let Some(other) = self.position_from(position + 1, name) {
            self.remove_at(other);
        }
        Ok(())
    }

    /// Stops the message from logging what is done to it, and returns the log.
    pub(crate) fn mute(&mut self) -> *mut ffi::vsl_log {
        std::mem::replace(&mut self.raw().vsl, std::ptr::null_mut())
    }

    /// Gives the log back.
    ///
    /// # Safety
    /// `log` is what [`mute`](Self::mute) returned for this message.
    pub(crate) unsafe fn unmute(&mut self, log: *mut ffi::vsl_log) {
        self.raw().vsl = log;
    }

    /// Makes this a response with that status and its standard reason.
    ///
    /// # Errors
    /// Statuses outside 100 to 999 are [`FieldError::Malformed`]; else see [`FieldError`].
    pub fn set_response(&mut self, status: u16) -> Result<(), FieldError> {
        if !(100..=999).contains(&status) {
            return Err(FieldError::Malformed);
        }
        // SAFETY: the message's workspace, which this thread uses as it does the message.
        let workspace = unsafe { Workspace::from_raw(self.http().ws) };
        if workspace.is_none_or(|mut workspace| workspace.free() < START_LINE_ROOM) {
            return Err(FieldError::NoWorkspace);
        }
        // SAFETY: a valid message with room for the digits of the status; NULL asks for the
        // standard reason of the status.
        unsafe {
            ffi::http_PutResponse(self.raw(), c"HTTP/1.1".as_ptr(), status, std::ptr::null());
        }
        if self.has_status(status) {
            Ok(())
        } else {
            Err(FieldError::NotTaken)
        }
    }
}
