//! Brings a request body into guest memory, part by part, without holding it elsewhere.

use tinykvm::{BadAddress, Guest, MapError, PAGE_SIZE, Placement, Protection};

use crate::inputs::Landed;
use crate::transaction::{BodyError, Transaction};

/// What is mapped first for a body of unknown length.
const FIRST: u64 = 64 * 1024;
/// A body that has to move is moved in steps of this size.
const STEP: u64 = 64 * 1024;

/// A body that was brought in, and the memory mapped for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    /// Where it is.
    pub(crate) body: Landed,
    /// Bytes mapped from its address on.
    pub(crate) mapped: u64,
}

/// Reads the body of `transaction` into fresh guest memory; at most `limit` bytes. Nothing stays
/// mapped if that fails.
pub(crate) fn receive(
    guest: &mut dyn Guest,
    transaction: &mut dyn Transaction,
    limit: u64,
) -> Result<Received, BodyError> {
    let mut landing = Landing::new(limit, transaction.body_length());
    if let Err(error) = landing.fill(guest, transaction) {
        if landing.mapped > 0 {
            // It was mapped right now, so it can be unmapped.
            let _ = guest.unmap(landing.address, landing.mapped);
        }
        return Err(error);
    }
    Ok(Received {
        body: Landed {
            address: landing.address,
            length: landing.length,
        },
        mapped: landing.mapped,
    })
}

/// A body on its way into guest memory. What is in the guest so far lies in one piece.
#[derive(Debug)]
pub(crate) struct Landing {
    address: u64,
    mapped: u64,
    length: u64,
    limit: u64,
    announced: Option<u64>,
}

impl Landing {
    /// For a body of at most `limit` bytes.
    pub(crate) fn new(limit: u64, announced: Option<u64>) -> Self {
        Self {
            address: 0,
            mapped: 0,
            length: 0,
            limit,
            announced,
        }
    }

    /// Where it is; 0 for an empty one.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// How long it is so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    fn fill(
        &mut self,
        guest: &mut dyn Guest,
        transaction: &mut dyn Transaction,
    ) -> Result<(), BodyError> {
        if let Some(length) = self.announced {
            self.check(length)?;
            self.grow(guest, length)?;
        }
        transaction.read_body(&mut |part| self.put(guest, part))?;
        match self.announced {
            Some(announced) if announced != self.length => Err(BodyError::Length {
                announced,
                found: self.length,
            }),
            _ => Ok(()),
        }
    }

    /// Adds a part.
    ///
    /// # Errors
    /// The body is too large, or there is no room.
    pub(crate) fn put(&mut self, guest: &mut dyn Guest, part: &[u8]) -> Result<(), BodyError> {
        let end = self.length.saturating_add(part.len() as u64);
        self.check(end)?;
        if let Some(announced) = self.announced
            && end > announced
        {
            return Err(BodyError::Length {
                announced,
                found: end,
            });
        }
        if end > self.mapped {
            let doubled = self.mapped.saturating_mul(2).min(self.limit);
            let known = self.announced.unwrap_or(0);
            self.grow(guest, end.max(doubled).max(known).max(FIRST))?;
        }
        guest
            .write(self.address + self.length, part)
            .map_err(no_room)?;
        self.length = end;
        Ok(())
    }

    fn check(&self, length: u64) -> Result<(), BodyError> {
        if length > self.limit {
            return Err(BodyError::TooLarge { limit: self.limit });
        }
        Ok(())
    }

    /// Maps memory so that there are `length` bytes, in place if what follows is free.
    fn grow(&mut self, guest: &mut dyn Guest, length: u64) -> Result<(), BodyError> {
        let wanted = length.next_multiple_of(PAGE_SIZE);
        if wanted <= self.mapped {
            return Ok(());
        }
        if self.mapped > 0 {
            let behind = Placement::FixedFree(self.address + self.mapped);
            let more = wanted - self.mapped;
            if guest.map(behind, more, Protection::READ_WRITE).is_ok() {
                self.mapped = wanted;
                return Ok(());
            }
        }
        let new = guest
            .map(Placement::Anywhere, wanted, Protection::READ_WRITE)
            .map_err(|error| no_map(&error))?;
        self.relocate(guest, new)?;
        self.mapped = wanted;
        Ok(())
    }

    /// Copies what is there already to `new` and gives the old place up.
    fn relocate(&mut self, guest: &mut dyn Guest, new: u64) -> Result<(), BodyError> {
        let mut bytes = Vec::new();
        let mut done = 0;
        while done < self.length {
            let count = STEP.min(self.length - done);
            bytes.resize(usize::try_from(count).unwrap_or(0), 0);
            guest
                .read(self.address + done, &mut bytes)
                .map_err(no_room)?;
            guest.write(new + done, &bytes).map_err(no_room)?;
            done += count;
        }
        if self.mapped > 0 {
            guest
                .unmap(self.address, self.mapped)
                .map_err(|error| no_map(&error))?;
        }
        self.address = new;
        Ok(())
    }
}

fn no_room(error: BadAddress) -> BodyError {
    BodyError::NoRoom {
        reason: error.to_string(),
    }
}

fn no_map(error: &MapError) -> BodyError {
    BodyError::NoRoom {
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tinykvm_testkit::FakeGuest;

    use super::*;
    use crate::plain::PlainTransaction;

    fn transaction(parts: &[&[u8]], announce_length: bool) -> PlainTransaction {
        PlainTransaction {
            body: parts.iter().map(|part| part.to_vec()).collect(),
            announce_length,
            ..PlainTransaction::backend()
        }
    }

    fn received(guest: &FakeGuest, result: &Received) -> Vec<u8> {
        let length = usize::try_from(result.body.length).expect("a length");
        guest.bytes(result.body.address, length)
    }

    #[test]
    fn of_known_and_of_unknown_length() {
        for announce in [true, false] {
            let mut guest = FakeGuest::new();
            let mut transaction = transaction(&[b"hello ", b"", b"world"], announce);
            let result = receive(&mut guest, &mut transaction, 1 << 20).expect("room");
            assert_eq!(received(&guest, &result), b"hello world");
            assert_eq!(result.body.address % PAGE_SIZE, 0);
            // Writable, too.
            guest.write(result.body.address, b"J").expect("writable");
        }
    }

    #[test]
    fn growing_in_place_and_around_an_obstacle() {
        let parts: Vec<Vec<u8>> = (0..40_u8).map(|byte| vec![byte; 10_000]).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        for obstacle in [false, true] {
            let mut guest = FakeGuest::new();
            if obstacle {
                let behind = FakeGuest::MAP_START + FIRST;
                guest.map_at(behind, PAGE_SIZE, Protection::READ);
            }
            let before = guest.mapped_bytes();
            let mut transaction = transaction(&parts, false);
            let result = receive(&mut guest, &mut transaction, 400_000).expect("room");
            assert_eq!(received(&guest, &result), parts.concat());
            assert_eq!(guest.mapped_bytes() - before, result.mapped);
        }
    }

    #[test]
    fn bounds() {
        let mut guest = FakeGuest::new();
        for announce in [true, false] {
            let mut big = transaction(&[b"hello ", b"world"], announce);
            assert_eq!(
                receive(&mut guest, &mut big, 10),
                Err(BodyError::TooLarge { limit: 10 })
            );
        }
        let mut guest = FakeGuest::new().with_memory_limit(PAGE_SIZE);
        let mut big = transaction(&[&[b'x'; 5000]], true);
        let result = receive(&mut guest, &mut big, 1 << 20);
        assert!(
            matches!(result, Err(BodyError::NoRoom { .. })),
            "{result:?}"
        );
    }

    #[test]
    fn a_body_that_is_not_delivered() {
        let mut guest = FakeGuest::new();
        let mut broken = transaction(&[b"hello"], true);
        broken.fail_body = true;
        let before = guest.mapped_bytes();
        assert_eq!(receive(&mut guest, &mut broken, 10), Err(BodyError::Read));
        assert_eq!(guest.mapped_bytes(), before);
    }
}
