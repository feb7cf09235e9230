//! Hands a request over to the program: strings and structs on its call stack.

use thiserror::Error;
use tinykvm::{BadAddress, Fork, Guest, MapError, Placement, Protection};
use tinykvm_abi::structs::{KvmRequest, KvmRequestHeader};
use tinykvm_abi::{limits, values};

use crate::transaction::{CallRequest, Side, Transaction};

/// Strings start at multiples of this.
const ALIGN: u64 = 8;

/// Why a request can't be handed over.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum InputError {
    /// More header fields than the struct can carry.
    #[error(
        "the request has {count} header fields; {} are allowed",
        limits::REQUEST_HEADERS
    )]
    TooManyHeaders {
        /// How many.
        count: usize,
    },
    /// No room for it.
    #[error("no room for the request: {0}")]
    Stack(#[from] BadAddress),
    /// No memory for it.
    #[error("no room for the request: {0}")]
    Memory(#[from] MapError),
}

/// Memory that is filled downwards.
pub(crate) trait CallStack {
    /// Copies bytes to below what was pushed before, and returns where they start.
    fn push(&mut self, bytes: &[u8], align: u64) -> Result<u64, BadAddress>;
}

impl CallStack for Fork {
    fn push(&mut self, bytes: &[u8], align: u64) -> Result<u64, BadAddress> {
        Self::push(self, bytes, align)
    }
}

/// A block of guest memory used as a call stack: where programs that are resumed, not called,
/// find their strings.
pub(crate) struct Block<'g> {
    guest: &'g mut dyn Guest,
    start: u64,
    top: u64,
}

impl<'g> Block<'g> {
    /// Uses `length` bytes at `start`.
    pub(crate) fn new(guest: &'g mut dyn Guest, start: u64, length: u64) -> Self {
        Self {
            guest,
            start,
            top: start.saturating_add(length),
        }
    }

    /// Maps a block of memory and returns its address.
    pub(crate) fn map(guest: &mut dyn Guest, length: u64) -> Result<u64, MapError> {
        guest.map(Placement::Anywhere, length, Protection::READ_WRITE)
    }
}

impl CallStack for Block<'_> {
    fn push(&mut self, bytes: &[u8], align: u64) -> Result<u64, BadAddress> {
        let length = bytes.len() as u64;
        let address = self
            .top
            .checked_sub(length)
            .map(|at| at - at % align.max(1))
            .filter(|&at| at >= self.start)
            .ok_or(BadAddress {
                address: self.top,
                length,
            })?;
        self.guest.write(address, bytes)?;
        self.top = address;
        Ok(address)
    }
}

/// Where a request body is in the guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Landed {
    /// Its address; 0: the program has got it already, piece by piece, or there is none.
    pub(crate) address: u64,
    /// Its length.
    pub(crate) length: u64,
}

/// Pushes text with a NUL behind it.
pub(crate) fn push_text(
    stack: &mut dyn CallStack,
    scratch: &mut Vec<u8>,
    text: &[u8],
) -> Result<u64, BadAddress> {
    scratch.clear();
    scratch.extend_from_slice(text);
    scratch.push(0);
    stack.push(scratch, ALIGN)
}

/// Pushes everything that the request struct points to, and returns the struct.
pub(crate) fn push_request(
    stack: &mut dyn CallStack,
    scratch: &mut Vec<u8>,
    call: &CallRequest<'_>,
    transaction: &dyn Transaction,
    body: Landed,
    prng: [u64; 2],
) -> Result<KvmRequest, InputError> {
    let content_type = if body.length > 0 {
        call.content_type
    } else {
        b""
    };
    let method = push_text(stack, scratch, call.method)?;
    let url = push_text(stack, scratch, call.url)?;
    let arg = push_text(stack, scratch, call.argument)?;
    let type_address = push_text(stack, scratch, content_type)?;
    let (headers, num_headers) = push_headers(stack, scratch, transaction, Side::Request)?;
    Ok(KvmRequest {
        method,
        url,
        arg,
        content_type: type_address,
        method_len: low16(call.method),
        url_len: low16(call.url),
        arg_len: low16(call.argument),
        content_type_len: low16(content_type),
        content: body.address,
        content_len: body.length,
        headers,
        num_headers,
        prng,
        ..KvmRequest::default()
    })
}

/// Pushes the fields of one side: an array of records, and how many they are.
pub(crate) fn push_headers(
    stack: &mut dyn CallStack,
    scratch: &mut Vec<u8>,
    transaction: &dyn Transaction,
    side: Side,
) -> Result<(u64, u16), InputError> {
    let count = transaction.field_count(side).unwrap_or(0);
    let too_many = InputError::TooManyHeaders { count };
    let num_headers = u16::try_from(count).map_err(|_| too_many.clone())?;
    if num_headers > limits::REQUEST_HEADERS {
        return Err(too_many);
    }
    if num_headers == 0 {
        return Ok((0, 0));
    }
    let mut records = Vec::with_capacity(count * size_of::<KvmRequestHeader>());
    for index in 0..count {
        let field = transaction.field(side, index).unwrap_or_default();
        let colon = field.iter().position(|&byte| byte == b':');
        let header = KvmRequestHeader {
            field: push_text(stack, scratch, &field)?,
            field_colon: colon.map_or(values::NO_COLON, low32),
            field_len: low32(field.len()),
        };
        records.extend_from_slice(&header.to_bytes());
    }
    Ok((stack.push(&records, ALIGN)?, num_headers))
}

fn low16(text: &[u8]) -> u16 {
    let [a, b, ..] = text.len().to_le_bytes();
    u16::from_le_bytes([a, b])
}

fn low32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use tinykvm_testkit::FakeGuest;

    use super::*;
    use crate::plain::PlainTransaction;

    const START: u64 = 0x50_0000;
    const LENGTH: u64 = 0x4000;

    fn guest() -> FakeGuest {
        let mut guest = FakeGuest::new();
        guest.map_at(START, LENGTH, Protection::READ_WRITE);
        guest
    }

    fn request() -> CallRequest<'static> {
        CallRequest {
            url: b"/url",
            argument: b"argument",
            method: b"POST",
            content_type: b"text/plain",
            has_body: true,
            soft_reset: false,
        }
    }

    fn text(guest: &FakeGuest, address: u64) -> String {
        let bytes = guest.read_c_string(address, 0x2_0000).expect("a string");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn the_request_struct() {
        let mut guest = guest();
        let mut transaction = PlainTransaction::backend();
        transaction.request = vec![b"Host: test.com".to_vec(), b"nocolon".to_vec()];
        let body = Landed {
            address: 0x1234_5000,
            length: 9,
        };
        let made = push_request(
            &mut Block::new(&mut guest, START, LENGTH),
            &mut Vec::new(),
            &request(),
            &transaction,
            body,
            [5, 6],
        )
        .expect("room");
        assert_eq!(text(&guest, made.method), "POST");
        assert_eq!(text(&guest, made.url), "/url");
        assert_eq!(text(&guest, made.arg), "argument");
        assert_eq!(text(&guest, made.content_type), "text/plain");
        let lengths = [
            made.method_len,
            made.url_len,
            made.arg_len,
            made.content_type_len,
        ];
        assert_eq!(lengths, [4, 4, 8, 10]);
        assert_eq!((made.content, made.content_len), (0x1234_5000, 9));
        assert_eq!(
            (made.prng, made.num_headers, made.info_flags),
            ([5, 6], 2, 0)
        );
        // From the top down, each start aligned.
        assert_eq!(made.method, START + LENGTH - 8);
        assert!(made.method > made.url && made.url > made.arg && made.arg > made.headers);
        let mut record = [0; 16];
        guest.read(made.headers, &mut record).expect("records");
        let first = KvmRequestHeader::from_bytes(&record);
        assert_eq!(text(&guest, first.field), "Host: test.com");
        assert_eq!((first.field_colon, first.field_len), (4, 14));
        guest.read(made.headers + 16, &mut record).expect("records");
        let second = KvmRequestHeader::from_bytes(&record);
        assert_eq!(second.field_colon, values::NO_COLON);
    }

    #[test]
    fn without_body_and_headers() {
        let mut guest = guest();
        let made = push_request(
            &mut Block::new(&mut guest, START, LENGTH),
            &mut Vec::new(),
            &request(),
            &PlainTransaction::backend(),
            Landed::default(),
            [0; 2],
        )
        .expect("room");
        assert_eq!(text(&guest, made.content_type), "");
        assert_eq!((made.content_type_len, made.content), (0, 0));
        assert_eq!((made.headers, made.num_headers), (0, 0));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut guest = guest();
        let mut transaction = PlainTransaction::backend();
        transaction.request = vec![b"A: b".to_vec(); 65];
        let mut push = |transaction: &PlainTransaction, request: &CallRequest<'_>| {
            push_request(
                &mut Block::new(&mut guest, START, LENGTH),
                &mut Vec::new(),
                request,
                transaction,
                Landed::default(),
                [0; 2],
            )
        };
        assert_eq!(
            push(&transaction, &request()),
            Err(InputError::TooManyHeaders { count: 65 })
        );
        transaction.request.pop();
        assert_eq!(
            push(&transaction, &request()).expect("64 fit").num_headers,
            64
        );
        let long = vec![b'x'; 0x4000];
        let result = push(
            &transaction,
            &CallRequest {
                url: &long,
                ..request()
            },
        );
        assert!(matches!(result, Err(InputError::Stack(_))), "{result:?}");
    }
}
