//! The header fields of a message.

mod edit;
mod error;
mod message;

use crate::ffi;

pub use edit::{Fields, HttpMut};
pub use error::FieldError;
pub use message::{FIRST, Http};

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

#[cfg(test)]
mod tests;
