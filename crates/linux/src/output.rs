//! `write` and `writev`: output to the host.

use crate::context::{Answer, Context, Failure, LONGEST_TRANSFER, check_user_range};
use crate::descriptor::output_stream;
use crate::errno::{EFAULT, EINVAL, Errno};
use crate::wire::u64_at;
use crate::{OUTPUT_PIECE, Stream};

/// `UIO_MAXIOV` in linux/uio.h.
const MOST_VECTORS: u64 = 1024;

/// `write(fd, buffer, length)`
pub(crate) fn write(context: &mut Context<'_>) -> Answer {
    let stream = output_stream(context, context.int(0))?;
    let (address, length) = (context.word(1), context.word(2));
    check_user_range(address, length.min(LONGEST_TRANSFER))?;
    output(context, stream, &[(address, length.min(LONGEST_TRANSFER))])
}

/// `writev(fd, vectors, count)`
pub(crate) fn writev(context: &mut Context<'_>) -> Answer {
    let stream = output_stream(context, context.int(0))?;
    let parts = vectors(context, context.word(1), context.word(2))?;
    output(context, stream, &parts)
}

/// Reads an array of `struct iovec`. Together the parts are at most [`LONGEST_TRANSFER`] long;
/// what is beyond is cut off.
fn vectors(context: &Context<'_>, address: u64, count: u64) -> Result<Vec<(u64, u64)>, Failure> {
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

/// Sends the parts to the host, joined into pieces of at most [`OUTPUT_PIECE`] bytes. At the
/// first bad address it stops and reports what was sent before, if anything was.
fn output(context: &mut Context<'_>, stream: Stream, parts: &[(u64, u64)]) -> Answer {
    let mut piece = Vec::new();
    let mut sent = 0;
    let mut complete = true;
    'parts: for &(mut address, mut length) in parts {
        while length > 0 {
            if piece.len() == OUTPUT_PIECE {
                context.host.output(stream, &piece);
                piece.clear();
                context.checkpoint()?;
            }
            let start = piece.len();
            let room = usize::try_from(length)
                .unwrap_or(usize::MAX)
                .min(OUTPUT_PIECE - start);
            piece.resize(start + room, 0);
            if context.read_into(address, &mut piece[start..]).is_err() {
                piece.truncate(start);
                complete = false;
                break 'parts;
            }
            address += room as u64;
            length -= room as u64;
            sent += room as u64;
        }
    }
    if !piece.is_empty() {
        context.host.output(stream, &piece);
    }
    if sent == 0 && !complete {
        Err(EFAULT.into())
    } else {
        Ok(sent)
    }
}

#[cfg(test)]
mod tests;
