//! A message to be looked at.

use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::ffi;

/// Index of the first field in Varnish's table, behind the start line.
pub const FIRST: usize = ffi::HTTP_HDR_FIRST as usize;

/// A message to be looked at: its start line, and its fields, counted from 0.
#[derive(Debug)]
pub struct Http<'a> {
    pub(super) raw: NonNull<ffi::http>,
    message: PhantomData<&'a ()>,
}

impl Http<'_> {
    /// # Safety
    /// `raw` is NULL or points to a message that nobody changes during the lifetime.
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

    pub(super) fn http(&self) -> &ffi::http {
        // SAFETY: checked by the constructor, valid during the lifetime.
        unsafe { self.raw.as_ref() }
    }

    /// The table, start line included.
    pub(super) fn table(&self) -> &[ffi::txt] {
        let http = self.http();
        // SAFETY: the table has `shd` elements, of which the first `nhd` are in use.
        unsafe { std::slice::from_raw_parts(http.hd, usize::from(http.nhd)) }
    }

    pub(super) fn text(&self, index: usize) -> Option<&[u8]> {
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

    /// True if this is the status, in the start line, too: that is text of its own.
    pub(crate) fn has_status(&self, status: u16) -> bool {
        let written = self.text(ffi::HTTP_HDR_STATUS as usize).unwrap_or_default();
        // What is above 999 is for VCL alone.
        self.status() == status && written == format!("{:03}", status % 1000).as_bytes()
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

    pub(super) fn position_from(&self, start: usize, name: &[u8]) -> Option<usize> {
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
}

/// True if `field` is `name: ...`.
pub(super) fn has_name(field: &[u8], name: &[u8]) -> bool {
    field.get(name.len()) == Some(&b':') && field[..name.len()].eq_ignore_ascii_case(name)
}
