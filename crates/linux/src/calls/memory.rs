//! Memory calls: the address space itself is the engine's, the rules of Linux are here.

mod executable;
mod file;

use tinykvm::{Advice, MapError, PAGE_SIZE, Placement, Protection};

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::calls::memory::file::PIECE;
use crate::notice::{Lacking, Notice};
use crate::wire::errno::{EBADF, EFAULT, EINVAL, ENOMEM, EPERM, Errno};
use crate::wire::user::{USER_END, check_user_range};

// Protection bits: asm-generic/mman-common.h
const PROT_WRITE: u64 = 2;
const PROT_EXEC: u64 = 4;
/// READ, WRITE, EXEC and the historical SEM.
const PROT_KNOWN: u64 = 0xf;

// Mapping flags: asm-generic/mman-common.h, linux/mman.h, asm/mman.h
const MAP_TYPE: u64 = 0xf;
const MAP_SHARED: u64 = 1;
const MAP_PRIVATE: u64 = 2;
const MAP_SHARED_VALIDATE: u64 = 3;
const MAP_FIXED: u64 = 0x10;
const MAP_ANONYMOUS: u64 = 0x20;
const MAP_32BIT: u64 = 0x40;
const MAP_GROWSDOWN: u64 = 0x100;
const MAP_NORESERVE: u64 = 0x4000;
const MAP_HUGETLB: u64 = 0x4_0000;
const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;

/// Nothing is mapped below (the usual `vm.mmap_min_addr`).
const LOWEST: u64 = 0x1_0000;

// mremap flags: linux/mman.h
const MREMAP_MAYMOVE: u64 = 1;
const MREMAP_FIXED: u64 = 2;
const MREMAP_DONTUNMAP: u64 = 4;

/// The length in whole pages; `None` if that is more than an address can express.
fn whole_pages(length: u64) -> Option<u64> {
    length.checked_next_multiple_of(PAGE_SIZE)
}

fn is_aligned(address: u64) -> bool {
    address.is_multiple_of(PAGE_SIZE)
}

/// On x86-64, what can be written or executed can be read.
fn protection(bits: u64) -> Protection {
    Protection {
        read: bits & PROT_KNOWN != 0,
        write: bits & PROT_WRITE != 0,
        execute: bits & PROT_EXEC != 0,
    }
}

/// `brk(address)`: the result is where the heap ends, moved or not.
pub(crate) fn brk(context: &mut Context<'_>) -> Answer {
    let wanted = context.word(0);
    let end = context.guest.set_heap_end(wanted);
    // Asking where it is is no attempt: that is done with 0.
    if end < wanted {
        let (call, length) = (context.call, wanted - end);
        context.notice(Notice::NoMapping { call, length });
    }
    Ok(end)
}

/// `mmap(address, length, prot, flags, fd, offset)`. With one process, a shared anonymous
/// mapping is as good as a private one.
pub(crate) fn mmap(context: &mut Context<'_>) -> Answer {
    let (address, prot, flags) = (context.word(0), context.word(2), context.word(3));
    if !is_aligned(context.word(5)) {
        return Err(EINVAL.into());
    }
    let anonymous = flags & MAP_ANONYMOUS != 0;
    if !anonymous {
        let fd = context.int(4);
        if context.state().descriptors.get(fd)?.is_place() {
            return Err(EBADF.into());
        }
    }
    let kind = flags & MAP_TYPE;
    let known =
        matches!(kind, MAP_SHARED | MAP_PRIVATE) || kind == MAP_SHARED_VALIDATE && !anonymous;
    if !known || context.word(1) == 0 {
        return Err(EINVAL.into());
    }
    let length = whole_pages(context.word(1)).ok_or(ENOMEM)?;
    if flags & MAP_HUGETLB != 0 {
        context.lacking(Lacking::HugePages);
        return Err(ENOMEM.into());
    }
    if length > USER_END {
        return Err(ENOMEM.into());
    }
    let place = match placement(address, length, flags)? {
        place @ (Placement::Fixed(_) | Placement::FixedFree(_)) => place,
        hint if flags & MAP_32BIT != 0 => low_place(context, hint, length),
        other => other,
    };
    let allow = protection(prot);
    if anonymous {
        executable::audit(context, allow.write, allow);
        map_memory(context, place, length, allow, flags)
    } else {
        file::map(context, place, length, allow, kind != MAP_PRIVATE)
    }
}

/// Where a mapping with `MAP_32BIT` goes: where the program wants it, if that is low and free, else
/// into the second gigabyte.
fn low_place(context: &Context<'_>, wanted: Placement, length: u64) -> Placement {
    let Placement::Hint(hint) = wanted else {
        return Placement::Low;
    };
    let end = hint.saturating_add(length);
    let next = context.guest.mapped(hint);
    if end <= Placement::LOW.end && next.is_none_or(|range| range.start >= end) {
        Placement::FixedFree(hint)
    } else {
        Placement::Low
    }
}

fn map_memory(
    context: &mut Context<'_>,
    place: Placement,
    length: u64,
    allow: Protection,
    flags: u64,
) -> Result<u64, Failure> {
    let at = if flags & MAP_NORESERVE != 0 {
        context.guest.reserve(place, length, allow)
    } else {
        context.guest.map(place, length, allow)
    };
    let at = executable::told(context, at)?;
    if flags & MAP_GROWSDOWN != 0 {
        context.guest.advise(at, length, Advice::GrowsDown)?;
    }
    Ok(at)
}

/// Fails with `ENOMEM` unless all of a range is mapped.
fn check_mapped(context: &Context<'_>, address: u64, length: u64) -> Result<(), Errno> {
    let end = address.checked_add(length).ok_or(ENOMEM)?;
    let mut at = address;
    while at < end {
        at = match context.guest.mapped(at) {
            Some(range) if range.start <= at => range.end,
            _ => return Err(ENOMEM),
        };
    }
    Ok(())
}

/// Where a mapping of `length` bytes goes.
fn placement(address: u64, length: u64, flags: u64) -> Result<Placement, Errno> {
    if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0 {
        check_fixed(address, length)?;
        if flags & MAP_FIXED_NOREPLACE != 0 {
            return Ok(Placement::FixedFree(address));
        }
        return Ok(Placement::Fixed(address));
    }
    // A hint that cannot be is no error.
    let hint = address & !(PAGE_SIZE - 1);
    if hint >= LOWEST && check_user_range(hint, length).is_ok() {
        Ok(Placement::Hint(hint))
    } else {
        Ok(Placement::Anywhere)
    }
}

/// An address that the program insists on.
fn check_fixed(address: u64, length: u64) -> Result<(), Errno> {
    if !is_aligned(address) {
        return Err(EINVAL);
    }
    check_user_range(address, length).map_err(|_| ENOMEM)?;
    if address < LOWEST { Err(EPERM) } else { Ok(()) }
}

/// `munmap(address, length)`
pub(crate) fn munmap(context: &mut Context<'_>) -> Answer {
    let address = context.word(0);
    let length = whole_pages(context.word(1)).ok_or(EINVAL)?;
    if !is_aligned(address) || length == 0 || check_user_range(address, length).is_err() {
        return Err(EINVAL.into());
    }
    context.guest.unmap(address, length)?;
    Ok(0)
}

/// `mprotect(address, length, prot)`
pub(crate) fn mprotect(context: &mut Context<'_>) -> Answer {
    let prot = context.word(2);
    if prot & !PROT_KNOWN != 0 {
        return Err(EINVAL.into());
    }
    let Some((address, length)) = range_in_pages(context)? else {
        return Ok(0);
    };
    let allow = protection(prot);
    if context.process.options().audit_exec_memory && allow.execute {
        let written = allow.write || executable::is_written(context, address, length);
        executable::audit(context, written, allow);
    }
    let done = context.guest.protect(address, length, allow);
    executable::told(context, done)?;
    Ok(0)
}

/// Arguments 0 and 1 as a range of whole pages; `None` if it is empty. A range beyond user
/// memory is not mapped: `ENOMEM`.
fn range_in_pages(context: &Context<'_>) -> Result<Option<(u64, u64)>, Errno> {
    let address = context.word(0);
    if !is_aligned(address) {
        return Err(EINVAL);
    }
    let length = whole_pages(context.word(1)).ok_or(ENOMEM)?;
    if length == 0 {
        return Ok(None);
    }
    check_user_range(address, length).map_err(|_| ENOMEM)?;
    Ok(Some((address, length)))
}

/// `madvise(address, length, advice)`. Forks in the sense of `WIPEONFORK` are the forks that serve
/// requests. What only advises succeeds without effect; advice that
/// promises something we do not keep is `EINVAL`, for which programs have a second way.
pub(crate) fn madvise(context: &mut Context<'_>) -> Answer {
    // asm-generic/mman-common.h
    const DONTNEED: i32 = 4;
    const WIPEONFORK: i32 = 18;
    const KEEPONFORK: i32 = 19;
    const DONTNEED_LOCKED: i32 = 24;
    let advice = context.int(2);
    let known = match advice {
        // NORMAL RANDOM SEQUENTIAL WILLNEED DONTNEED, FREE, DONTFORK DOFORK MERGEABLE
        // UNMERGEABLE HUGEPAGE NOHUGEPAGE DONTDUMP DODUMP
        0..=4 | 8 | 10..=17 => true,
        // WIPEONFORK KEEPONFORK COLD PAGEOUT POPULATE_READ POPULATE_WRITE DONTNEED_LOCKED
        18..=24 => true,
        // REMOVE (shared files only), COLLAPSE, HWPOISON and the unknown
        _ => false,
    };
    if !known {
        return Err(EINVAL.into());
    }
    let Some((address, length)) = range_in_pages(context)? else {
        return Ok(0);
    };
    match advice {
        DONTNEED | DONTNEED_LOCKED => context.guest.discard(address, length)?,
        WIPEONFORK => context.guest.advise(address, length, Advice::WipeOnFork)?,
        KEEPONFORK => context.guest.advise(address, length, Advice::KeepOnFork)?,
        _ => {}
    }
    Ok(0)
}

/// `mincore(address, length, vector)`: everything that is mapped is in memory.
pub(crate) fn mincore(context: &mut Context<'_>) -> Answer {
    let Some((address, length)) = range_in_pages(context)? else {
        return Ok(0);
    };
    let vector = context.word(2);
    check_user_range(vector, length / PAGE_SIZE)?;
    let mut done = 0;
    while done < length {
        let piece = PIECE.min(length - done);
        check_mapped(context, address + done, piece)?;
        let pages = piece / PAGE_SIZE;
        let present = vec![1; usize::try_from(pages).map_err(|_| ENOMEM)?];
        context.write(vector + done / PAGE_SIZE, &present)?;
        done += piece;
        context.checkpoint()?;
    }
    Ok(0)
}

/// `mlockall(flags)`
pub(crate) fn mlockall(context: &mut Context<'_>) -> Answer {
    // MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT of asm-generic/mman.h; the last says how only.
    match context.uint(0) {
        1..=3 | 5..=7 => Ok(0),
        _ => Err(EINVAL.into()),
    }
}

/// `mlock2(address, length, flags)`
pub(crate) fn mlock2(context: &mut Context<'_>) -> Answer {
    // MLOCK_ONFAULT is 1.
    if context.uint(2) > 1 {
        return Err(EINVAL.into());
    }
    mlock(context)
}

/// `mlock`, `munlock`: guest memory is not swapped by the guest.
pub(crate) fn mlock(context: &mut Context<'_>) -> Answer {
    let start = context.word(0) & !(PAGE_SIZE - 1);
    let end = context.word(0).checked_add(context.word(1)).ok_or(EINVAL)?;
    check_user_range(start, end - start).map_err(|_| ENOMEM)?;
    check_mapped(context, start, end - start)?;
    Ok(0)
}

/// `msync(address, length, flags)`: there is nothing behind the memory.
pub(crate) fn msync(context: &mut Context<'_>) -> Answer {
    // MS_ASYNC, MS_INVALIDATE, MS_SYNC: asm-generic/mman-common.h
    let flags = context.uint(2);
    if flags & !7 != 0 || flags & 5 == 5 {
        return Err(EINVAL.into());
    }
    if let Some((address, length)) = range_in_pages(context)? {
        check_mapped(context, address, length)?;
    }
    Ok(0)
}

/// `mremap(old address, old length, new length, flags, new address)`
pub(crate) fn mremap(context: &mut Context<'_>) -> Answer {
    let (old, flags, target) = (context.word(0), context.word(3), context.word(4));
    let moves = flags & MREMAP_MAYMOVE != 0;
    let fixed = flags & MREMAP_FIXED != 0;
    let keeps = flags & MREMAP_DONTUNMAP != 0;
    let old_length = whole_pages(context.word(1)).ok_or(EINVAL)?;
    let length = whole_pages(context.word(2)).ok_or(EINVAL)?;
    let bad = flags & !(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) != 0
        || (fixed || keeps) && !moves
        || keeps && old_length != length
        // Length 0 would duplicate a shared mapping; there are none.
        || old_length == 0
        || length == 0
        || !is_aligned(old);
    if bad {
        return Err(EINVAL.into());
    }
    check_user_range(old, old_length)?;
    check_user_range(0, length).map_err(|_| ENOMEM)?;
    if fixed {
        let overlaps = target < old + old_length && old < target.saturating_add(length);
        if overlaps || !is_aligned(target) || check_user_range(target, length).is_err() {
            return Err(EINVAL.into());
        }
        check_fixed(target, length)?;
    } else if !keeps && length <= old_length {
        if length < old_length {
            context.guest.unmap(old + length, old_length - length)?;
        }
        return Ok(old);
    }
    check_mapped(context, old, old_length).map_err(|_| EFAULT)?;
    if !fixed && !keeps && grow_in_place(context, old + old_length, length - old_length)? {
        return Ok(old);
    }
    if !moves {
        return Err(ENOMEM.into());
    }
    let place = if fixed {
        Placement::Fixed(target)
    } else {
        Placement::Anywhere
    };
    let moved = context.guest.remap(old, old_length, place, length, keeps);
    executable::told(context, moved)
}

/// Extends the mapping that ends at `end` into free space behind it; false if there is none.
fn grow_in_place(context: &mut Context<'_>, end: u64, more: u64) -> Result<bool, Failure> {
    let last = context.guest.mapped(end - PAGE_SIZE);
    let Some(last) = last.filter(|_| check_user_range(end, more).is_ok()) else {
        return Ok(false);
    };
    match context
        .guest
        .map(Placement::FixedFree(end), more, last.allow)
    {
        Ok(_) => Ok(true),
        Err(MapError::Occupied { .. } | MapError::Invalid { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
