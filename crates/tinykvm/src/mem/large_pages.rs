//! Large pages for files.
//!
//! A file that is read for the first time through a mapping that asks for them comes into the
//! page cache in large pages, where file system and kernel can do that. One that was written, or
//! read otherwise, is there in small ones, and stays so: each fork then takes a fault for each
//! page of it. So such a file is dropped from the cache once, when it is mapped, and read again,
//! provided that large pages come of it: one chunk is tried first. Pages that somebody else has
//! mapped, or that are not written back yet, stay as they are.

use std::fs;
use std::sync::Arc;
use std::thread;

use super::{LARGE_PAGE, Mapping};

/// Chunks that are looked at.
const SAMPLES: usize = 16;

/// Makes the kernel keep the file behind a mapping in large pages if it does not and can.
pub(super) fn prefer(mapping: &Arc<Mapping>, file: i32, offset: u64) {
    let base = usize::try_from(mapping.host_address()).unwrap_or(0);
    let first = base.next_multiple_of(LARGE_PAGE);
    let chunks = (base + mapping.length()).saturating_sub(first) / LARGE_PAGE;
    let step = chunks.div_ceil(SAMPLES).max(1);
    let cached: Vec<usize> = (0..chunks)
        .step_by(step)
        .map(|chunk| first + chunk * LARGE_PAGE)
        .filter(|at| is_cached(*at))
        .collect();
    let Some(&sample) = cached.first() else {
        return;
    };
    cached.iter().for_each(|at| touch(*at));
    if large_bytes(base) >= cached.len() / 2 * LARGE_PAGE {
        return;
    }
    let place = |at: usize| offset + (at - base) as u64;
    drop_cache(base, mapping.length(), file, place(sample), LARGE_PAGE);
    touch(sample);
    if large_bytes(base) >= LARGE_PAGE {
        drop_cache(base, mapping.length(), file, offset, mapping.length());
        read_again(Arc::clone(mapping), first, chunks);
    }
}

/// Reads the file in the background, before somebody else does it in small pages. Ends when
/// nobody else has the mapping any more.
fn read_again(mapping: Arc<Mapping>, first: usize, chunks: usize) {
    let work = move || {
        for chunk in 0..chunks {
            if Arc::strong_count(&mapping) == 1 {
                return;
            }
            touch(first + chunk * LARGE_PAGE);
        }
    };
    // Without a thread it is read when it is needed.
    drop(
        thread::Builder::new()
            .name("tinykvm-read".into())
            .spawn(work),
    );
}

/// True if the page at a mapped address is in memory.
fn is_cached(at: usize) -> bool {
    let mut present = 0u8;
    // SAFETY: asks about one page of a mapping of ours; the answer is one byte.
    let result = unsafe { libc::mincore(at as *mut libc::c_void, 4096, &raw mut present) };
    result == 0 && present & 1 != 0
}

/// Brings the page at a mapped address into this process's page tables. Nothing is read here, so
/// that a file that became shorter is an error and no signal. What fails is left to the guest's own
/// touch.
fn touch(at: usize) {
    // SAFETY: advice on one page of a mapping of ours, which changes no contents.
    unsafe { libc::madvise(at as *mut libc::c_void, 4096, libc::MADV_POPULATE_READ) };
}

/// Drops a part of a file from the page cache, and all pages of its mapping. What is not dropped stays
/// in small pages, which the caller sees.
fn drop_cache(base: usize, mapped: usize, file: i32, offset: u64, length: usize) {
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else {
        return;
    };
    // SAFETY: both calls only give up cached pages: of a shared, read-only mapping of ours, and of
    // the file behind it. They are read again when they are needed.
    unsafe {
        libc::madvise(base as *mut libc::c_void, mapped, libc::MADV_DONTNEED);
        libc::posix_fadvise(file, offset, length, libc::POSIX_FADV_DONTNEED);
    }
}

/// Bytes of the mapping at `base` that this process has as large pages.
fn large_bytes(base: usize) -> usize {
    let text = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let start = format!("{base:x}-");
    let mapping = text.lines().skip_while(|line| !line.starts_with(&start));
    mapping
        .take_while(|line| !line.starts_with("VmFlags"))
        .find_map(|line| line.strip_prefix("FilePmdMapped:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<usize>().ok())
        .map_or(0, |kilobytes| kilobytes * 1024)
}
