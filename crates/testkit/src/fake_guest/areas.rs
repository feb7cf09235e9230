//! Which ranges are mapped, and how. Ranges, not pages: reservations of terabytes are common.

use std::collections::BTreeMap;

use tinykvm::Protection;

/// One mapped range; its start is the key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    /// One past the last byte.
    pub(super) end: u64,
    /// What may be done with it.
    pub(super) allow: Protection,
    /// It may be written, or could be before.
    pub(super) written: bool,
}

/// All mapped ranges. They never overlap; neighbours with equal protection are not merged.
#[derive(Debug, Clone, Default)]
pub(super) struct Areas {
    by_start: BTreeMap<u64, Area>,
}

impl Areas {
    /// The area that contains `address`.
    pub(super) fn find(&self, address: u64) -> Option<Area> {
        let (_, area) = self.by_start.range(..=address).next_back()?;
        (address < area.end).then_some(*area)
    }

    /// The area that contains `address`, or else the next one above it.
    pub(super) fn find_from(&self, address: u64) -> Option<(u64, Area)> {
        self.overlapping(address, u64::MAX).next()
    }

    /// True if all of `start..end` is mapped with protections that `allowed` accepts.
    pub(super) fn covers(
        &self,
        start: u64,
        end: u64,
        allowed: impl Fn(Protection) -> bool,
    ) -> bool {
        let mut at = start;
        while at < end {
            match self.find(at) {
                Some(area) if allowed(area.allow) => at = area.end,
                _ => return false,
            }
        }
        true
    }

    /// True if nothing in `start..end` is mapped.
    pub(super) fn is_free(&self, start: u64, end: u64) -> bool {
        self.overlapping(start, end).next().is_none()
    }

    /// The first address from `from` on where `length` bytes below `limit` are free.
    pub(super) fn first_free(&self, from: u64, length: u64, limit: u64) -> Option<u64> {
        let mut at = from;
        loop {
            let end = at.checked_add(length).filter(|&end| end <= limit)?;
            match self.overlapping(at, end).next_back() {
                Some((_, area)) => at = area.end,
                None => return Some(at),
            }
        }
    }

    /// Bytes in `start..end` that are mapped with any access.
    pub(super) fn accessible_in(&self, start: u64, end: u64) -> u64 {
        self.overlapping(start, end)
            .filter(|(_, area)| !area.allow.is_none())
            .map(|(from, area)| area.end.min(end) - from.max(start))
            .sum()
    }

    /// All bytes that are mapped with any access.
    pub(super) fn accessible_bytes(&self) -> u64 {
        self.accessible_in(0, u64::MAX)
    }

    /// Maps `start..end` with a protection, or unmaps it, whatever was there.
    pub(super) fn set(&mut self, start: u64, end: u64, allow: Option<Protection>) {
        let old: Vec<(u64, Area)> = self.overlapping(start, end).collect();
        for (from, area) in old {
            self.by_start.remove(&from);
            if from < start {
                self.by_start.insert(from, Area { end: start, ..area });
            }
            if area.end > end {
                self.by_start.insert(end, area);
            }
        }
        if let Some(allow) = allow {
            let written = allow.write;
            let area = Area {
                end,
                allow,
                written,
            };
            self.by_start.insert(start, area);
        }
    }

    /// Changes the protection of `start..end`, which is mapped.
    pub(super) fn protect(&mut self, start: u64, end: u64, allow: Protection) {
        let written = allow.write || self.is_written(start, end);
        self.set(start, end, Some(allow));
        if let Some(area) = self.by_start.get_mut(&start) {
            area.written = written;
        }
    }

    /// What is in `start..end`, which is one area, counts as written.
    pub(super) fn mark_written(&mut self, start: u64, end: u64) {
        if let Some(area) = self.find(start) {
            self.set(start, end, Some(area.allow));
        }
        if let Some(area) = self.by_start.get_mut(&start) {
            area.written = true;
        }
    }

    /// True if some of `start..end` may be written, or could be before.
    pub(super) fn is_written(&self, start: u64, end: u64) -> bool {
        self.overlapping(start, end).any(|(_, area)| area.written)
    }

    fn overlapping(
        &self,
        start: u64,
        end: u64,
    ) -> impl DoubleEndedIterator<Item = (u64, Area)> + '_ {
        let first = self
            .by_start
            .range(..start)
            .next_back()
            .filter(|(_, area)| area.end > start);
        first
            .into_iter()
            .chain(self.by_start.range(start..end))
            .map(|(&from, &area)| (from, area))
    }
}
