//! What the begin function of a filter gets: strings and structs on its call stack.

use tinykvm_abi::filters;
use tinykvm_abi::structs::FilterStart;

use super::FilterRequest;
use crate::inputs::{CallStack, InputError, push_headers, push_text};
use crate::transaction::{Side, Transaction};

fn length32(text: &[u8]) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

/// Pushes everything that the struct points to, and returns the struct.
pub(super) fn push_start(
    stack: &mut dyn CallStack,
    scratch: &mut Vec<u8>,
    request: &FilterRequest<'_>,
    transaction: &dyn Transaction,
    prng: [u64; 2],
) -> Result<FilterStart, InputError> {
    let mut text = |text: &[u8]| push_text(stack, scratch, text);
    let method = text(request.method)?;
    let url = text(request.url)?;
    let arg = text(request.argument)?;
    let config = text(request.config)?;
    let (request_headers, num_request_headers) =
        push_headers(stack, scratch, transaction, Side::Request)?;
    let (response_headers, num_response_headers) =
        push_headers(stack, scratch, transaction, Side::Response)?;
    Ok(FilterStart {
        method,
        url,
        arg,
        config,
        method_len: length32(request.method),
        url_len: length32(request.url),
        arg_len: length32(request.argument),
        config_len: length32(request.config),
        request_headers,
        response_headers,
        num_request_headers: u32::from(num_request_headers),
        num_response_headers: u32::from(num_response_headers),
        length: request.length.unwrap_or(filters::UNKNOWN_LENGTH),
        status: request.status,
        flags: if request.delivery {
            filters::DELIVERY
        } else {
            0
        },
        reserved: 0,
        prng,
    })
}
