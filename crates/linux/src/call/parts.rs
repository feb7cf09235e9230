//! Parts of guest memory that one call reads or writes.

use crate::call::context::Context;
use crate::call::failure::Failure;
use crate::wire::errno::{EINVAL, Errno};
use crate::wire::record::u64_at;
use crate::wire::user::{LONGEST_TRANSFER, check_user_range};

/// `UIO_MAXIOV` in linux/uio.h.
const MOST_VECTORS: u64 = 1024;

/// Pieces of guest memory: address and length.
pub(crate) type Parts = Vec<(u64, u64)>;

/// Reads an array of `struct iovec`. Together the parts are at most [`LONGEST_TRANSFER`] long;
/// what is beyond is cut off.
pub(crate) fn vectors(context: &Context<'_>, address: u64, count: u64) -> Result<Parts, Failure> {
    if count > MOST_VECTORS {
        return Err(EINVAL.into());
    }
    let mut bytes = vec![0; usize::try_from(count * 16).map_err(|_| EINVAL)?];
    context.read_into(address, &mut bytes)?;
    let mut left = LONGEST_TRANSFER;
    let part = |record: &[u8]| -> Result<(u64, u64), Errno> {
        let (base, length) = (u64_at(record, 0), u64_at(record, 8));
        if i64::try_from(length).is_err() {
            return Err(EINVAL);
        }
        let length = length.min(left);
        check_user_range(base, length)?;
        left -= length;
        Ok((base, length))
    };
    Ok(bytes.chunks_exact(16).map(part).collect::<Result<_, _>>()?)
}

/// Copies to guest memory, up to the first bad address; true if that was all.
pub(crate) fn scatter(
    context: &mut Context<'_>,
    parts: &[(u64, u64)],
    mut bytes: &[u8],
) -> (u64, bool) {
    let mut done = 0;
    for &(address, length) in parts {
        let length = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let (now, rest) = bytes.split_at(length);
        if !now.is_empty() && context.write(address, now).is_err() {
            return (done, false);
        }
        done += now.len() as u64;
        bytes = rest;
    }
    (done, true)
}

/// The next parts, of at most `most` bytes together, behind the first `done` bytes;
/// `None` at the end. The first piece may be empty: an empty read or write is one, too.
pub(crate) fn next_piece(parts: &[(u64, u64)], mut done: u64, most: usize) -> Option<Parts> {
    let first = done == 0;
    let mut room = most as u64;
    let mut piece = Vec::new();
    for &(address, length) in parts {
        let skip = done.min(length);
        done -= skip;
        let take = (length - skip).min(room);
        if take > 0 {
            piece.push((address.saturating_add(skip), take));
            room -= take;
        }
    }
    (first || !piece.is_empty()).then_some(piece)
}

/// Copies guest memory, up to the first bad address; true if that was all.
pub(crate) fn gather(context: &Context<'_>, parts: &[(u64, u64)]) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    for &(address, length) in parts {
        let start = bytes.len();
        bytes.resize(start + usize::try_from(length).unwrap_or(0), 0);
        if context.read_into(address, &mut bytes[start..]).is_err() {
            bytes.truncate(start);
            return (bytes, false);
        }
    }
    (bytes, true)
}
