//! Which records of a file an owner has locked.

use nix::libc;

use crate::wire::errno::{EINVAL, EOVERFLOW, Errno};

/// Ranges by their start: where each ends, and how it is locked. None touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<(i64, i64, i16)>);

/// First byte, and first byte behind. Length 0 is up to the end, whatever that will be; what is
/// negative lies before the start.
fn bounds(lock: &libc::flock) -> Result<(i64, i64), Errno> {
    let (start, end) = match lock.l_len {
        0 => (lock.l_start, i64::MAX),
        length if length > 0 => {
            let last = lock.l_start.checked_add(length - 1).ok_or(EOVERFLOW)?;
            (lock.l_start, last.saturating_add(1))
        }
        length => (
            lock.l_start.checked_add(length).ok_or(EINVAL)?,
            lock.l_start,
        ),
    };
    if start < 0 {
        Err(EINVAL)
    } else {
        Ok((start, end))
    }
}

impl Ranges {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// What there is after a lock was set or taken away.
    ///
    /// # Errors
    /// `EINVAL`, `EOVERFLOW` if it can't be set.
    pub(crate) fn with(&self, lock: &libc::flock) -> Result<Self, Errno> {
        let (start, end) = bounds(lock)?;
        let mut all = Vec::with_capacity(self.0.len() + 2);
        for &(from, to, kind) in &self.0 {
            if from < start {
                all.push((from, to.min(start), kind));
            }
            if to > end {
                all.push((from.max(end), to, kind));
            }
        }
        if i32::from(lock.l_type) != libc::F_UNLCK {
            all.push((start, end, lock.l_type));
        }
        all.sort_unstable();
        let mut joined: Vec<(i64, i64, i16)> = Vec::with_capacity(all.len());
        for (from, to, kind) in all {
            match joined.last_mut() {
                Some((_, end, last)) if *end == from && *last == kind => *end = to,
                _ => joined.push((from, to, kind)),
            }
        }
        Ok(Self(joined))
    }

    /// The same as locks to be set.
    pub(crate) fn locks(&self) -> impl Iterator<Item = libc::flock> + '_ {
        self.0.iter().map(|&(from, to, kind)| libc::flock {
            l_type: kind,
            l_whence: 0,
            l_start: from,
            l_len: if to == i64::MAX { 0 } else { to - from },
            l_pid: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lock(kind: i32, start: i64, length: i64) -> libc::flock {
        libc::flock {
            l_type: i16::try_from(kind).unwrap(),
            l_whence: 0,
            l_start: start,
            l_len: length,
            l_pid: 0,
        }
    }

    #[test]
    fn bounds_are_those_of_linux() {
        let cases = [
            ((0, 0), Ok((0, i64::MAX))),
            ((5, 1), Ok((5, 6))),
            ((5, -2), Ok((3, 5))),
            ((5, -6), Err(EINVAL)),
            ((-1, 1), Err(EINVAL)),
            ((i64::MAX, 1), Ok((i64::MAX, i64::MAX))),
            ((i64::MAX, 2), Err(EOVERFLOW)),
            ((0, i64::MIN), Err(EINVAL)),
        ];
        for ((start, length), expected) in cases {
            let found = bounds(&lock(libc::F_RDLCK, start, length));
            assert_eq!(found, expected, "{start} {length}");
        }
    }

    proptest! {
        #[test]
        fn ranges_say_of_each_byte_how_it_is_locked(
            steps in proptest::collection::vec((0i32..3, 0i64..20, 0i64..8), 0..40)
        ) {
            let mut ranges = Ranges::default();
            let mut bytes = [libc::F_UNLCK; 64];
            for (kind, start, length) in steps {
                ranges = ranges.with(&lock(kind, start, length)).unwrap();
                let end = if length == 0 { 64 } else { start + length };
                let (start, end) = (usize::try_from(start).unwrap(), usize::try_from(end).unwrap());
                bytes[start..end].fill(kind);
            }
            let mut found = [libc::F_UNLCK; 64];
            for lock in ranges.locks() {
                let (start, end) = bounds(&lock).unwrap();
                let range = usize::try_from(start).unwrap()..usize::try_from(end.min(64)).unwrap();
                prop_assert!(found[range.clone()].iter().all(|&kind| kind == libc::F_UNLCK));
                found[range].fill(i32::from(lock.l_type));
            }
            prop_assert_eq!(bytes, found);
            let changes = bytes.windows(2).filter(|pair| pair[0] != pair[1]).count();
            prop_assert!(ranges.count() <= changes + 1, "neighbours of a kind are one");
        }
    }
}
