//! What a program gets.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use tinykvm_abi::structs::{KvmRequest, KvmRequestHeader};
use tinykvm_abi::values::{NO_COLON, REQUEST_WARMUP};

use crate::sys;

/// One request.
///
/// Texts come as a client sent them, so they need not be UTF-8; methods that return `str`
/// replace what is not.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    raw: &'a KvmRequest,
}

impl<'a> Request<'a> {
    /// # Safety
    /// The host must have filled the struct, for the request that runs during `'a`.
    pub(crate) unsafe fn new(raw: &'a KvmRequest) -> Self {
        Self { raw }
    }

    fn bytes(&self, address: u64, len: u16) -> &'a [u8] {
        // SAFETY: `new` was promised that these come from the host and stay valid for `'a`.
        unsafe { sys::bytes(address, u64::from(len)) }
    }

    /// The request method: `GET`, `POST` ...
    #[must_use]
    pub fn method(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.bytes(self.raw.method, self.raw.method_len))
    }

    /// The URL that VCL passed.
    #[must_use]
    pub fn url(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.url_bytes())
    }

    /// The URL as it is.
    #[must_use]
    pub fn url_bytes(&self) -> &'a [u8] {
        self.bytes(self.raw.url, self.raw.url_len)
    }

    /// The argument that VCL passed; empty if there is none.
    #[must_use]
    pub fn argument(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.argument_bytes())
    }

    /// The argument as it is.
    #[must_use]
    pub fn argument_bytes(&self) -> &'a [u8] {
        self.bytes(self.raw.arg, self.raw.arg_len)
    }

    /// The content type of the body; empty without a body.
    #[must_use]
    pub fn content_type(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.bytes(self.raw.content_type, self.raw.content_type_len))
    }

    /// The body, if there is one.
    #[must_use]
    pub fn body(&self) -> Option<&'a [u8]> {
        if self.raw.content == 0 {
            return None;
        }
        // SAFETY: as in `bytes` above.
        Some(unsafe { sys::bytes(self.raw.content, self.raw.content_len) })
    }

    /// All headers, in order.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = Header<'a>> + use<'a> {
        // SAFETY: as in `bytes` above.
        unsafe { Header::all(self.raw.headers, usize::from(self.raw.num_headers)) }
    }

    /// The value of the first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        let found = self
            .headers()
            .find(|it| it.name_bytes().eq_ignore_ascii_case(name.as_bytes()));
        found.map(|header| header.value())
    }

    /// Two random numbers that are new for each request.
    #[must_use]
    pub fn random(&self) -> [u64; 2] {
        self.raw.prng
    }

    /// True if this is not a client's request but one that warms the program up.
    #[must_use]
    pub fn is_warmup(&self) -> bool {
        self.raw.info_flags & REQUEST_WARMUP != 0
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method())
            .field("url", &self.url())
            .field("argument", &self.argument())
            .field("content_type", &self.content_type())
            .field("body", &self.body().map(<[u8]>::len))
            .field("headers", &self.headers().collect::<Vec<_>>())
            .finish()
    }
}

/// One header of a request.
#[derive(Clone, Copy)]
pub struct Header<'a> {
    raw: &'a KvmRequestHeader,
    borrowed: PhantomData<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// # Safety
    /// The host must have given the array, for as long as `'a`.
    pub(crate) unsafe fn all(
        address: u64,
        count: usize,
    ) -> impl ExactSizeIterator<Item = Self> + use<'a> {
        // SAFETY: what the caller promises.
        let headers: &'a [KvmRequestHeader] = unsafe { sys::headers(address, count) };
        headers.iter().map(|raw| Header {
            raw,
            borrowed: PhantomData,
        })
    }

    /// The whole field, `Name: value`.
    #[must_use]
    pub fn field_bytes(&self) -> &'a [u8] {
        // SAFETY: this header comes from a `Request`, whose promise covers its strings.
        unsafe { sys::bytes(self.raw.field, u64::from(self.raw.field_len)) }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.name_bytes())
    }

    /// The name as it is.
    #[must_use]
    pub fn name_bytes(&self) -> &'a [u8] {
        self.split().0
    }

    /// The value, without spaces around it.
    #[must_use]
    pub fn value(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.value_bytes())
    }

    /// The value as it is.
    #[must_use]
    pub fn value_bytes(&self) -> &'a [u8] {
        self.split().1
    }

    fn split(&self) -> (&'a [u8], &'a [u8]) {
        let field = self.field_bytes();
        match usize::try_from(self.raw.field_colon) {
            Ok(colon) if self.raw.field_colon != NO_COLON && colon < field.len() => {
                (&field[..colon], field[colon + 1..].trim_ascii())
            }
            _ => (field, &[]),
        }
    }
}

impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self.field_bytes()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::slice_address;

    #[test]
    fn reads_what_the_host_wrote() {
        let fields: [&[u8]; 3] = [b"Host: example.com", b"X-Empty:", b"nonsense"];
        let headers: Vec<KvmRequestHeader> = fields
            .iter()
            .map(|field| KvmRequestHeader {
                field: slice_address(field),
                field_colon: field
                    .iter()
                    .position(|&byte| byte == b':')
                    .map_or(NO_COLON, |at| u32::try_from(at).unwrap()),
                field_len: u32::try_from(field.len()).unwrap(),
            })
            .collect();
        let raw = KvmRequest {
            method: slice_address(b"POST"),
            method_len: 4,
            url: slice_address(b"/\xff"),
            url_len: 2,
            content: slice_address(b"body"),
            content_len: 4,
            headers: slice_address(&headers),
            num_headers: 3,
            info_flags: 1,
            prng: [1, 2],
            ..KvmRequest::default()
        };
        // SAFETY: everything above lives until the end of this function.
        let request = unsafe { Request::new(&raw) };
        assert_eq!(request.method(), "POST");
        assert_eq!(request.url(), "/\u{fffd}");
        assert_eq!(request.url_bytes(), b"/\xff");
        assert_eq!(request.argument(), "");
        assert_eq!(request.body(), Some(&b"body"[..]));
        assert_eq!(request.header("HOST").as_deref(), Some("example.com"));
        assert_eq!(request.header("x-empty").as_deref(), Some(""));
        assert_eq!(request.header("missing"), None);
        assert_eq!(request.headers().last().unwrap().name(), "nonsense");
        assert!(request.is_warmup());
        assert!(format!("{request:?}").contains("Host: example.com"));
    }

    #[test]
    fn an_empty_request_is_no_trouble() {
        let raw = KvmRequest::default();
        // SAFETY: the struct refers to nothing.
        let request = unsafe { Request::new(&raw) };
        assert_eq!(request.url(), "");
        assert_eq!(request.body(), None);
        assert_eq!(request.headers().len(), 0);
    }
}
