//! [`Guest`] for the fake one.

use std::time::Duration;

use tinykvm::{
    Advice, BadAddress, Guest, MapError, MappedRange, PAGE_SIZE, Placement, Protection, Registers,
    Segment, VectorState,
};

use super::{FakeGuest, HEAP_LIMIT, HEAP_START, PAGE_BYTES, USER_END, range_end};

impl Guest for FakeGuest {
    fn hold(&mut self, bytes: u64) -> bool {
        bytes <= self.memory_left
    }

    fn registers(&self) -> &Registers {
        &self.registers
    }

    fn registers_mut(&mut self) -> &mut Registers {
        &mut self.registers
    }

    fn set_context(&mut self, registers: &Registers) {
        self.registers = *registers;
    }

    fn vector_state(&mut self) -> VectorState {
        self.vectors.clone()
    }

    fn set_vector_state(&mut self, state: &VectorState) {
        self.vectors = state.clone();
    }

    fn set_answers(&mut self, answers: &[(u32, u64)]) {
        self.answers.clear();
        self.answers.extend_from_slice(answers);
    }

    fn set_time_slice(&mut self, slice: Option<Duration>) {
        self.slice = slice;
    }

    fn time_left(&self) -> Duration {
        self.left
    }

    fn segment_base(&self, segment: Segment) -> u64 {
        match segment {
            Segment::Fs => self.fs_base,
            Segment::Gs => self.gs_base,
        }
    }

    fn set_segment_base(&mut self, segment: Segment, base: u64) {
        match segment {
            Segment::Fs => self.fs_base = base,
            Segment::Gs => self.gs_base = base,
        }
    }

    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), BadAddress> {
        self.check_readable(address, out.len() as u64)?;
        let mut rest = out;
        for (page, offset, count) in Self::chunks(address, rest.len()) {
            let (chunk, tail) = rest.split_at_mut(count);
            match self.pages.get(&page) {
                Some(bytes) => chunk.copy_from_slice(&bytes[offset..offset + count]),
                None => chunk.fill(0),
            }
            rest = tail;
        }
        Ok(())
    }

    fn write(&mut self, address: u64, data: &[u8]) -> Result<(), BadAddress> {
        self.check(address, data.len() as u64, |allow| allow.write)?;
        self.put_bytes(address, data);
        Ok(())
    }

    fn check_readable(&self, address: u64, length: u64) -> Result<(), BadAddress> {
        self.check(address, length, |allow| !allow.is_none())
    }

    fn map(&mut self, place: Placement, length: u64, allow: Protection) -> Result<u64, MapError> {
        let wanted = match place {
            Placement::Anywhere | Placement::Low => 0,
            Placement::Hint(at) | Placement::Fixed(at) | Placement::FixedFree(at) => at,
        };
        let invalid = MapError::Invalid {
            address: wanted,
            length,
        };
        let length = length.checked_next_multiple_of(PAGE_SIZE).ok_or(invalid)?;
        if length == 0 || !wanted.is_multiple_of(PAGE_SIZE) {
            return Err(invalid);
        }
        self.check_allowed(allow)?;
        let address = match place {
            Placement::Fixed(at) => at,
            Placement::FixedFree(at) => {
                let end = range_end(at, length)?;
                if !self.areas.is_free(at, end) {
                    return Err(MapError::Occupied { address: at });
                }
                at
            }
            Placement::Hint(at)
                if range_end(at, length).is_ok_and(|end| self.areas.is_free(at, end)) =>
            {
                at
            }
            Placement::Low => self
                .areas
                .first_free(Placement::LOW.start, length, Placement::LOW.end)
                .ok_or(MapError::NoMemory { length })?,
            Placement::Hint(_) | Placement::Anywhere => self
                .areas
                .first_free(Self::MAP_START, length, USER_END)
                .ok_or(MapError::NoMemory { length })?,
        };
        let end = range_end(address, length)?;
        self.check_room(self.areas.accessible_in(address, end), length, allow)?;
        self.areas.set(address, end, Some(allow));
        self.forget(address, end);
        Ok(address)
    }

    fn reserve(
        &mut self,
        place: Placement,
        length: u64,
        allow: Protection,
    ) -> Result<u64, MapError> {
        let limit = std::mem::replace(&mut self.memory_limit, u64::MAX);
        let result = self.map(place, length, allow);
        self.memory_limit = limit;
        result
    }

    fn remap(
        &mut self,
        old: u64,
        old_length: u64,
        place: Placement,
        length: u64,
        keep: bool,
    ) -> Result<u64, MapError> {
        let end = range_end(old, old_length)?;
        if !self.areas.covers(old, end, |_| true) {
            return Err(MapError::NoMemory { length: old_length });
        }
        let allow = self
            .areas
            .find(old)
            .map_or(Protection::NONE, |area| area.allow);
        let written = self.areas.is_written(old, end);
        let new = self.map(place, length, allow)?;
        if written {
            self.areas.mark_written(new, new + length);
        }
        for page in (old..end.min(old.saturating_add(length))).step_by(PAGE_BYTES) {
            if let Some(bytes) = self.pages.remove(&page) {
                self.pages.insert(page - old + new, bytes);
            }
        }
        if !keep {
            self.unmap(old, old_length)?;
        }
        Ok(new)
    }

    fn allows_write_execute(&self) -> bool {
        self.allow_write_execute
    }

    fn populate(&mut self, address: u64, data: &[u8]) -> Result<(), BadAddress> {
        self.check(address, data.len() as u64, |_| true)?;
        self.put_bytes(address, data);
        Ok(())
    }

    fn advise(&mut self, address: u64, length: u64, advice: Advice) -> Result<(), MapError> {
        let end = range_end(address, length)?;
        if !self.areas.covers(address, end, |_| true) {
            return Err(MapError::NoMemory { length });
        }
        if advice == Advice::Written {
            let harmless = |allow: Protection| !allow.execute || self.allow_write_execute;
            if !self.areas.covers(address, end, harmless) {
                return Err(MapError::WriteExecute);
            }
            self.areas.mark_written(address, end);
        }
        self.advice.push((address, length, advice));
        Ok(())
    }

    fn unmap(&mut self, address: u64, length: u64) -> Result<(), MapError> {
        let end = range_end(address, length)?;
        self.areas.set(address, end, None);
        self.forget(address, end);
        Ok(())
    }

    fn protect(&mut self, address: u64, length: u64, allow: Protection) -> Result<(), MapError> {
        let end = range_end(address, length)?;
        self.check_allowed(allow)?;
        if !self.areas.covers(address, end, |_| true) {
            return Err(MapError::NoMemory { length });
        }
        let executes = allow.execute && !self.allow_write_execute;
        if executes && self.areas.is_written(address, end) {
            return Err(MapError::WriteExecute);
        }
        self.check_room(self.areas.accessible_in(address, end), length, allow)?;
        self.areas.protect(address, end, allow);
        Ok(())
    }

    fn discard(&mut self, address: u64, length: u64) -> Result<(), MapError> {
        let end = range_end(address, length)?;
        if !self.areas.covers(address, end, |_| true) {
            return Err(MapError::NoMemory { length });
        }
        self.forget(address, end);
        Ok(())
    }

    fn mapped(&self, address: u64) -> Option<MappedRange> {
        let (start, area) = self.areas.find_from(address)?;
        Some(MappedRange {
            start,
            end: area.end,
            allow: area.allow,
            written: area.written,
        })
    }

    fn set_heap_end(&mut self, wanted: u64) -> u64 {
        if !(HEAP_START..=HEAP_LIMIT).contains(&wanted) {
            return self.heap_end;
        }
        let old = self.heap_end.next_multiple_of(PAGE_SIZE);
        let new = wanted.next_multiple_of(PAGE_SIZE);
        if new > old {
            let room = self
                .check_room(0, new - old, Protection::READ_WRITE)
                .is_ok();
            if !room || !self.areas.is_free(old, new) {
                return self.heap_end;
            }
            self.areas.set(old, new, Some(Protection::READ_WRITE));
        } else if new < old {
            self.areas.set(new, old, None);
            self.forget(new, old);
        }
        self.heap_end = wanted;
        wanted
    }

    fn realtime(&self) -> Duration {
        self.realtime + self.clock.passed()
    }

    fn monotonic(&self) -> Duration {
        self.monotonic + self.clock.passed()
    }
}
