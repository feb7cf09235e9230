//! What a program answers.

use std::borrow::Cow;
use std::time::Duration;

use tinykvm_abi::limits::{CONTENT_TYPE_MAX, STATUS_MAX, STATUS_MIN};
use tinykvm_abi::structs::{BackendResponseExtra, ResponseHeader};

use crate::{headers, sys};

/// An answer, built step by step:
///
/// ```
/// use std::time::Duration;
/// use tinykvm_guest::Response;
///
/// let response = Response::new(200)
///     .body("application/json", r#"{"answer":42}"#)
///     .header("X-Answered-By", "a guest")
///     .cache(Duration::from_secs(60));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Response {
    status: u16,
    content_type: Cow<'static, str>,
    body: Cow<'static, [u8]>,
    headers: Vec<String>,
    cache: Cache,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Cache {
    AsVarnishDecides,
    Never,
    For {
        ttl: Duration,
        grace: Duration,
        keep: Duration,
    },
}

impl Response {
    /// An empty answer.
    ///
    /// # Panics
    /// If the status is not one of 200 to 599.
    pub fn new(status: u16) -> Self {
        Self {
            status: possible(status),
            content_type: "".into(),
            body: Cow::Borrowed(&[]),
            headers: Vec::new(),
            cache: Cache::AsVarnishDecides,
        }
    }

    /// Status 200 with plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(200).body("text/plain; charset=utf-8", text.into())
    }

    /// Status 200 with HTML.
    pub fn html(text: impl Into<String>) -> Self {
        Self::new(200).body("text/html; charset=utf-8", text.into())
    }

    /// Another status.
    ///
    /// # Panics
    /// As [`Response::new`].
    pub fn status(mut self, status: u16) -> Self {
        self.status = possible(status);
        self
    }

    /// Content type and body.
    ///
    /// # Panics
    /// If the content type is longer than 4095 bytes.
    pub fn body(
        mut self,
        content_type: impl Into<Cow<'static, str>>,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        self.content_type = content_type.into();
        assert!(
            self.content_type.len() <= usize::from(CONTENT_TYPE_MAX),
            "content type too long"
        );
        self.body = Cow::Owned(body.into());
        self
    }

    /// As [`Response::body`], with a body that needs no copy.
    ///
    /// # Panics
    /// As [`Response::body`].
    pub fn static_body(
        mut self,
        content_type: impl Into<Cow<'static, str>>,
        body: &'static [u8],
    ) -> Self {
        self = self.body(content_type, Vec::new());
        self.body = Cow::Borrowed(body);
        self
    }

    /// Sets a header, in place of one of that name that is there already.
    ///
    /// # Panics
    /// If name or value cannot be in a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(headers::field(name, value));
        self
    }

    /// The answer may be cached this long.
    pub fn cache(mut self, ttl: Duration) -> Self {
        self.cache = Cache::For {
            ttl,
            grace: Duration::ZERO,
            keep: Duration::ZERO,
        };
        self
    }

    /// The answer may be cached for `ttl`, delivered for `grace` more while a new one is made,
    /// and kept for `keep` more for revalidation.
    pub fn cache_with(mut self, ttl: Duration, grace: Duration, keep: Duration) -> Self {
        self.cache = Cache::For { ttl, grace, keep };
        self
    }

    /// The answer must not be cached.
    pub fn never_cache(mut self) -> Self {
        self.cache = Cache::Never;
        self
    }

    /// Hands the answer to the host. Comes back only in a program that is not reset.
    pub(crate) fn send(&self) {
        if self.cache == Cache::Never {
            sys::set_cacheable(false, 0, 0, 0);
        }
        let fields = self.fields();
        let extra = self.extra(&fields);
        sys::backend_response(
            self.status,
            self.content_type.as_bytes(),
            &self.body,
            &extra.to_bytes(),
        );
    }

    fn fields(&self) -> Vec<ResponseHeader> {
        let field = |field: &String| ResponseHeader {
            field: sys::slice_address(field.as_bytes()),
            field_len: field.len() as u64,
        };
        self.headers.iter().map(field).collect()
    }

    fn extra(&self, fields: &[ResponseHeader]) -> BackendResponseExtra {
        static NO_FIELDS: ResponseHeader = ResponseHeader {
            field: 0,
            field_len: 0,
        };
        let mut extra = BackendResponseExtra {
            // Hosts reject NULL even when there are no headers.
            headers: match fields {
                [] => sys::address(&NO_FIELDS),
                fields => sys::slice_address(fields),
            },
            num_headers: u16::try_from(fields.len()).unwrap_or(u16::MAX),
            ..BackendResponseExtra::default()
        };
        if let Cache::For { ttl, grace, keep } = self.cache {
            extra.cached = 1;
            extra.ttl = ttl.as_secs_f32();
            extra.grace = grace.as_secs_f32();
            extra.keep = keep.as_secs_f32();
        }
        extra
    }
}

fn possible(status: u16) -> u16 {
    assert!(
        (STATUS_MIN..=STATUS_MAX).contains(&status),
        "status {status} is not possible"
    );
    status
}

/// Plain text, status 200.
impl From<String> for Response {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

/// Plain text, status 200.
impl From<&str> for Response {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extra_struct_says_what_was_asked_for() {
        let response = Response::text("x")
            .status(404)
            .header("X-One", "1")
            .header("X-Two", "2")
            .cache_with(
                Duration::from_millis(1500),
                Duration::from_secs(2),
                Duration::ZERO,
            );
        let fields = response.fields();
        assert_eq!(fields[1].field_len, 8);
        let extra = response.extra(&fields);
        assert_eq!((extra.num_headers, extra.cached), (2, 1));
        assert_eq!((extra.ttl, extra.grace, extra.keep), (1.5, 2.0, 0.0));
        assert_eq!(response.status, 404);
    }

    #[test]
    fn without_headers_there_is_still_an_array() {
        let response = Response::new(204);
        let extra = response.extra(&response.fields());
        assert_ne!(extra.headers, 0);
        assert_eq!((extra.num_headers, extra.cached), (0, 0));
    }

    #[test]
    #[should_panic(expected = "status 100")]
    fn a_status_that_cannot_be_is_refused() {
        let _ = Response::new(200).status(100);
    }
}
