//! What a call gives back.

use std::fmt;

use crate::instance::Held;
use crate::verdict::Verdict;

/// What a call of a program gave.
#[derive(Debug)]
#[non_exhaustive]
pub struct Response {
    /// How it ended.
    pub verdict: Verdict,
    /// The status for the client: the program's, or 500 if it failed, or 503 if it did not run.
    pub status: u16,
    /// Type of the body; empty: none.
    pub content_type: Vec<u8>,
    /// The body.
    pub body: Body,
    /// The program did not get to run, so that there is nothing of it to deliver.
    pub failed_before_run: bool,
}

impl Response {
    /// A response without body.
    pub(crate) fn empty(verdict: Verdict) -> Self {
        let failed_before_run = verdict.is_before_run();
        Self {
            verdict,
            status: if failed_before_run { 503 } else { 500 },
            content_type: Vec::new(),
            body: Body(Content::Copied {
                bytes: Vec::new(),
                at: 0,
            }),
            failed_before_run,
        }
    }
}

/// The body of a response, to be read once.
///
/// A long body stays in the VM, which is reset and given back when this is dropped; so drop it as
/// soon as it is delivered.
pub struct Body(Content);

enum Content {
    Copied {
        bytes: Vec<u8>,
        at: usize,
    },
    InGuest {
        held: Box<Held>,
        /// Guest address of what is left.
        address: u64,
        /// Bytes that are left.
        left: u64,
    },
}

impl Body {
    /// A body in host memory.
    pub(crate) fn copied(bytes: Vec<u8>) -> Self {
        Self(Content::Copied { bytes, at: 0 })
    }

    /// A body that is read from the guest as it is needed.
    pub(crate) fn in_guest(held: Held, address: u64, length: u64) -> Self {
        Self(Content::InGuest {
            held: Box::new(held),
            address,
            left: length,
        })
    }

    /// Bytes that were not read yet.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Content::Copied { bytes, at } => (bytes.len() - at) as u64,
            Content::InGuest { left, .. } => *left,
        }
    }

    /// True if everything was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if the body keeps a VM busy.
    #[must_use]
    pub fn holds_vm(&self) -> bool {
        matches!(self.0, Content::InGuest { .. })
    }

    /// Copies the next bytes to `out` and returns how many; 0 only at the end, or for no room.
    pub fn read(&mut self, out: &mut [u8]) -> usize {
        match &mut self.0 {
            Content::Copied { bytes, at } => {
                let rest = &bytes[*at..];
                let count = rest.len().min(out.len());
                out[..count].copy_from_slice(&rest[..count]);
                *at += count;
                count
            }
            Content::InGuest {
                held,
                address,
                left,
            } => {
                let count = usize::try_from(*left).map_or(out.len(), |left| left.min(out.len()));
                // The range was checked when the program answered, and it has not run since.
                if count == 0 || !held.read(*address, &mut out[..count]) {
                    return 0;
                }
                *address += count as u64;
                *left -= count as u64;
                count
            }
        }
    }

    /// Reads everything that is left.
    #[must_use]
    pub fn into_bytes(mut self) -> Vec<u8> {
        if let Content::Copied { bytes, at: 0 } = &mut self.0 {
            return std::mem::take(bytes);
        }
        let mut all = vec![0; usize::try_from(self.len()).unwrap_or(0)];
        let count = self.read(&mut all);
        all.truncate(count);
        all
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("len", &self.len())
            .field("holds_vm", &self.holds_vm())
            .finish()
    }
}
