//! The header fields of a message.

use std::marker::PhantomData;
use std::ptr::NonNull;

use thiserror::Error;

use crate::ffi;
use crate::workspace::Workspace;

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
}

/// A message: its start line, and its fields, counted from 0.
#[derive(Debug)]
pub struct Http<'a> {
    raw: NonNull<ffi::http>,
    message: PhantomData<&'a mut ()>,
}

/// The fields of a message at some time; see [`Http::save`].
pub struct Fields {
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

/// Index of the first field in Varnish's table, behind the start line.
pub const FIRST: usize = ffi::HTTP_HDR_FIRST as usize;

/// More workspace than Varnish takes for a status line.
const START_LINE_ROOM: usize = 64;

impl Http<'_> {
    /// # Safety
    /// `raw` is NULL or points to a message that this thread alone uses during the lifetime.
    pub(crate) unsafe fn from_raw(raw: *mut ffi::http) -> Option<Self> {
        let raw = NonNull::new(raw)?;
        // SAFETY: not NULL, and points to a message.
        let http = unsafe { raw.as_ref() };
        // Varnish has the structure before the message: that is when it gets its workspace.
        let exists = http.magic == ffi::HTTP_MAGIC && !http.ws.is_null();
        (exists && http.nhd <= http.shd && usize::from(http.nhd) >= FIRST).then_some(Self {
            raw,
            message: PhantomData,
        })
    }

    fn http(&self) -> &ffi::http {
        // SAFETY: checked by the constructor, valid during the lifetime.
        unsafe { self.raw.as_ref() }
    }

    /// The table, start line included.
    fn table(&self) -> &[ffi::txt] {
        let http = self.http();
        // SAFETY: the table has `shd` elements, of which the first `nhd` are in use.
        unsafe { std::slice::from_raw_parts(http.hd, usize::from(http.nhd)) }
    }

    fn text(&self, index: usize) -> Option<&[u8]> {
        let text = self.table().get(index)?;
        let length = (text.e as usize).checked_sub(text.b as usize)?;
        if text.b.is_null() {
            return None;
        }
        // SAFETY: begin and end of one string in the workspace, which outlives the message.
        Some(unsafe { std::slice::from_raw_parts(text.b.cast::<u8>(), length) })
    }

    /// The request method.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.text(ffi::HTTP_HDR_METHOD as usize).unwrap_or_default()
    }

    /// The URL of a request.
    #[must_use]
    pub fn url(&self) -> &[u8] {
        self.text(ffi::HTTP_HDR_URL as usize).unwrap_or_default()
    }

    /// The status code of a response.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.http().status
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table().len() - FIRST
    }

    /// How many more fields there is room for.
    #[must_use]
    pub fn room(&self) -> usize {
        usize::from(self.http().shd - self.http().nhd)
    }

    /// True if there are no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A whole field, `Name: value`.
    #[must_use]
    pub fn field(&self, position: usize) -> Option<&[u8]> {
        self.text(position.checked_add(FIRST)?)
    }

    /// All fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|position| self.field(position))
    }

    /// The position of the first field of that name, whatever its case.
    #[must_use]
    pub fn position(&self, name: &[u8]) -> Option<usize> {
        self.position_from(0, name)
    }

    fn position_from(&self, start: usize, name: &[u8]) -> Option<usize> {
        (start..self.len()).find(|&position| {
            self.field(position)
                .is_some_and(|field| has_name(field, name))
        })
    }

    /// The value of the first field of that name, without the space around it.
    #[must_use]
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        let field = self.field(self.position(name)?)?;
        Some(field[name.len() + 1..].trim_ascii())
    }

    /// The values of all fields of that name, without the space around them.
    pub fn values<'m>(&'m self, name: &'m [u8]) -> impl Iterator<Item = &'m [u8]> {
        self.fields()
            .filter(|field| has_name(field, name))
            .map(|field| field[name.len() + 1..].trim_ascii())
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
        let index = u16::try_from(index).map_err(|_| FieldError::TableFull)?;
        // SAFETY: the callers keep `index` below `shd`; the string lives as long as the message.
        unsafe {
            let raw = self.raw.as_ptr();
            if index == (*raw).nhd {
                (*raw).nhd += 1;
            }
            ffi::http_SetH(raw, u32::from(index), text);
        }
        Ok(())
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
            let http = self.raw.as_mut();
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

    /// Remembers all fields and the status, to be put back in the same task.
    #[must_use]
    pub fn save(&self) -> Fields {
        let http = self.http();
        let count = usize::from(http.nhd);
        // SAFETY: the fields in use are `nhd` elements of both arrays.
        unsafe {
            Fields {
                texts: std::slice::from_raw_parts(http.hd, count).to_vec(),
                flags: std::slice::from_raw_parts(http.hdf, count).to_vec(),
                status: http.status,
            }
        }
    }

    /// Puts back what [`save`](Self::save) remembered of this message.
    pub fn restore(&mut self, fields: &Fields) {
        // SAFETY: there were as many fields in these arrays before; the texts are on the workspace,
        // where they stay as long as the task.
        unsafe {
            let http = self.raw.as_mut();
            let count = fields.texts.len();
            http.hd
                .copy_from_nonoverlapping(fields.texts.as_ptr(), count);
            http.hdf
                .copy_from_nonoverlapping(fields.flags.as_ptr(), count);
            http.nhd = u16::try_from(count).unwrap_or(http.nhd);
            http.status = fields.status;
        }
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
        let mut field = Vec::with_capacity(name.len() + value.len() + 2);
        field.extend_from_slice(name);
        field.extend_from_slice(b": ");
        field.extend_from_slice(value);
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
        // SAFETY: checked by the constructor.
        std::mem::replace(unsafe { &mut self.raw.as_mut().vsl }, std::ptr::null_mut())
    }

    /// Gives the log back.
    ///
    /// # Safety
    /// `log` is what [`mute`](Self::mute) returned for this message.
    pub(crate) unsafe fn unmute(&mut self, log: *mut ffi::vsl_log) {
        // SAFETY: checked by the constructor.
        unsafe { self.raw.as_mut() }.vsl = log;
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
        // SAFETY: a valid message with room for the digits of the status; NULL asks for the standard reason of the status.
        unsafe {
            ffi::http_PutResponse(
                self.raw.as_ptr(),
                c"HTTP/1.1".as_ptr(),
                status,
                std::ptr::null(),
            );
        }
        Ok(())
    }
}

/// The time now, as it stands in header fields.
#[must_use]
pub fn date() -> Vec<u8> {
    // The size that Varnish's headers give for this text, its NUL included.
    let mut text = [0_u8; ffi::VTIM_FORMAT_SIZE as usize];
    // SAFETY: writes at most that many bytes.
    unsafe { ffi::VTIM_format(ffi::VTIM_real(), text.as_mut_ptr().cast()) };
    let length = text.iter().position(|&byte| byte == 0);
    text[..length.unwrap_or(text.len())].to_vec()
}

/// True if `field` is `name: ...`.
fn has_name(field: &[u8], name: &[u8]) -> bool {
    field.get(name.len()) == Some(&b':') && field[..name.len()].eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests;
