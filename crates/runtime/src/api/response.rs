//! Decoding of an answer from the registers and memory at the stop.

use std::time::Duration;

use thiserror::Error;
use tinykvm::{BadAddress, Guest};
use tinykvm_abi::limits;
use tinykvm_abi::structs::{BackendResponseExtra, ResponseHeader};

use super::{Host, Stage, low16};
use crate::fields::{self, FIELD_MAX, FieldRefused};
use crate::text::size;
use crate::transaction::Side;

/// The longest time to live that is passed on; longer ones mean the same.
const LONGEST: f32 = 1e9;

/// An answer. Its body is still in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// 200 to 599.
    pub(crate) status: u16,
    /// Empty: none.
    pub(crate) content_type: Vec<u8>,
    /// Guest address of the body.
    pub(crate) body: u64,
    /// Length of the body; all of it is readable.
    pub(crate) length: u64,
}

/// Why an answer can't be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum BadAnswer {
    /// Not from 200 to 599.
    #[error("the answer has status {status}; 200 to 599 are allowed")]
    Status {
        /// The status.
        status: u16,
    },
    /// Too long.
    #[error("the answer has a content type of {length} bytes; 4095 are allowed")]
    TypeLength {
        /// Its length.
        length: usize,
    },
    /// Would not be a header value.
    #[error("the answer's content type {content_type:?} contains control characters")]
    TypeText {
        /// The content type.
        content_type: String,
    },
    /// Longer than the program's memory, as only reserved or repeated memory can be.
    #[error("the answer has a body of {length} bytes; {} are allowed (max_memory)", size(*.limit))]
    Length {
        /// Its length.
        length: u64,
        /// The most.
        limit: u64,
    },
    /// A pointer leads nowhere.
    #[error("the answer's {what}: {source}")]
    Memory {
        /// Of what.
        what: &'static str,
        /// Where to.
        source: BadAddress,
    },
    /// More than 64.
    #[error("the answer has {count} extra headers; 64 are allowed")]
    HeaderCount {
        /// How many.
        count: u16,
    },
    /// A header field can't be used.
    #[error("the answer's extra headers: {source}")]
    Header {
        /// Why.
        #[from]
        source: FieldRefused,
    },
}

/// Reads the answer, of which `body` is the fourth argument and at most `longest` bytes long, and
/// carries out what its extra block says.
pub(crate) fn decode(
    guest: &dyn Guest,
    body: u64,
    longest: u64,
    host: &mut Host<'_>,
) -> Result<Answer, BadAnswer> {
    let from = guest.registers();
    let content_type = content_type(guest, from.rsi, low16(from.rdx))?;
    let status = u16::try_from(low16(from.rdi)).unwrap_or(0);
    if !(limits::STATUS_MIN..=limits::STATUS_MAX).contains(&status) {
        return Err(BadAnswer::Status { status });
    }
    let length = from.r8;
    let bad_body = |source| BadAnswer::Memory {
        what: "body",
        source,
    };
    // Reserved memory costs a program nothing, but those who store the answer.
    if length > longest {
        return Err(BadAnswer::Length {
            length,
            limit: longest,
        });
    }
    if length > 0 {
        if body == 0 {
            return Err(bad_body(BadAddress {
                address: body,
                length,
            }));
        }
        guest.check_readable(body, length).map_err(bad_body)?;
    }
    if from.r9 != 0 {
        apply_extra(guest, host, from.r9)?;
    }
    Ok(Answer {
        status,
        content_type,
        body,
        length,
    })
}

fn content_type(guest: &dyn Guest, address: u64, length: usize) -> Result<Vec<u8>, BadAnswer> {
    if length > usize::from(limits::CONTENT_TYPE_MAX) {
        return Err(BadAnswer::TypeLength { length });
    }
    if length == 0 {
        return Ok(Vec::new());
    }
    let mut text = guest
        .read_vec(address, length)
        .map_err(|source| BadAnswer::Memory {
            what: "content type",
            source,
        })?;
    // The length may count a NUL, as fetched content types do.
    if let Some(end) = text.iter().position(|&byte| byte == 0) {
        text.truncate(end);
    }
    if text.iter().any(u8::is_ascii_control) {
        return Err(BadAnswer::TypeText {
            content_type: fields::shown(&text),
        });
    }
    Ok(text)
}

fn apply_extra(guest: &dyn Guest, host: &mut Host<'_>, address: u64) -> Result<(), BadAnswer> {
    let bad = |what, source| BadAnswer::Memory { what, source };
    let pointer = |what, address, length| {
        if address < limits::POINTER_MIN {
            return Err(bad(what, BadAddress { address, length }));
        }
        Ok(())
    };
    let mut bytes = [0; size_of::<BackendResponseExtra>()];
    pointer("extra block", address, bytes.len() as u64)?;
    guest
        .read(address, &mut bytes)
        .map_err(|source| bad("extra block", source))?;
    let extra = BackendResponseExtra::from_bytes(&bytes);
    let count = extra.num_headers;
    if count > limits::RESPONSE_HEADERS {
        return Err(BadAnswer::HeaderCount { count });
    }
    pointer("extra headers", extra.headers, u64::from(count))?;
    // Answers are of requests.
    let Stage::Request { transaction, .. } = &mut host.stage else {
        return Ok(());
    };
    let side = match transaction.field_count(Side::Response) {
        Some(_) => Side::Response,
        None => Side::Request,
    };
    for index in 0..u64::from(count) {
        let mut record = [0; size_of::<ResponseHeader>()];
        let at = extra
            .headers
            .saturating_add(index * size_of::<ResponseHeader>() as u64);
        guest
            .read(at, &mut record)
            .map_err(|source| bad("extra headers", source))?;
        let header = ResponseHeader::from_bytes(&record);
        // Only the lower half of the length counts.
        let length = usize::try_from(header.field_len & 0xFFFF_FFFF).unwrap_or(usize::MAX);
        if length > FIELD_MAX {
            return Err(FieldRefused::Length { length }.into());
        }
        if length == 0 {
            continue;
        }
        let field = guest
            .read_vec(header.field, length)
            .map_err(|source| bad("extra headers", source))?;
        let Stage::Request { transaction, .. } = &mut host.stage else {
            return Ok(());
        };
        fields::set(*transaction, side, &field)?;
        if fields::is_ignored(*transaction, side, &field) {
            host.note_ignored("backend_response", &field);
        }
    }
    if extra.cached != 0
        && let Stage::Request { transaction, .. } = &mut host.stage
    {
        // Where nothing is cached there is nothing to say, which is no error here.
        let _ = transaction.set_cacheable(
            true,
            seconds(extra.ttl),
            seconds(extra.grace),
            seconds(extra.keep),
        );
    }
    Ok(())
}

/// What is no length of time counts as none.
fn seconds(value: f32) -> Duration {
    if value > 0.0 {
        Duration::try_from_secs_f32(value.min(LONGEST)).unwrap_or_default()
    } else {
        Duration::ZERO
    }
}
