//! What belongs to one request or fetch.
//!
//! A director lives as long as its VCL, so what VCL wants of this one fetch waits here until the
//! fetch asks the director for its answer.
//!
//! The body of an answer keeps its VM. It is held here rather than by the filter that reads it,
//! so that the VM is reset when the task ends: after the client has everything, not before. Before
//! another program may run in the same task, the VM is given back: holding one while waiting for
//! another could make two tasks wait for each other, or one for itself.

use std::cell::RefCell;
use std::ffi::{CStr, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tinykvm_runtime::{Body, Program};
use tinykvm_vrt::{Ctx, Private, private::TaskPrivate};

/// The value of a task.
#[derive(Default)]
pub(crate) struct Task {
    wanted: RefCell<Vec<(Arc<Program>, Wanted)>>,
    filtering: RefCell<Vec<(Arc<Program>, Filtering)>>,
    body: SharedBody,
}

/// What VCL wants of a program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) url: Vec<u8>,
    pub(crate) argument: Vec<u8>,
}

/// What VCL says to a filter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filtering {
    pub(crate) argument: Vec<u8>,
    pub(crate) config: Vec<u8>,
}

impl Private for Task {
    const NAME: &'static CStr = c"tinykvm task";
}

impl TaskPrivate for Task {
    fn key() -> *const c_void {
        static KEY: u8 = 0;
        (&raw const KEY).cast()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // The reader of the body is gone, so this gives the VM back.
        self.release_vm();
        crate::counters::publish();
    }
}

impl Task {
    /// The task of a call, made if it does not exist; `None` without workspace.
    pub(crate) fn of<'c>(ctx: &mut Ctx<'c>) -> Option<&'c Self> {
        ctx.task::<Self>()
            .map(|mut slot| slot.get_or_insert(Self::default))
    }

    /// The task of a call, if it has anything to do with us.
    pub(crate) fn existing<'c>(ctx: &Ctx<'c>) -> Option<&'c Self> {
        ctx.existing_task()
    }

    /// Remembers what VCL wants of a program; the last time counts.
    pub(crate) fn want(&self, program: Arc<Program>, wanted: Wanted) {
        let mut all = self.wanted.borrow_mut();
        let known = all
            .iter_mut()
            .find(|(other, _)| Arc::ptr_eq(other, &program));
        match known {
            Some((_, old)) => *old = wanted,
            None => all.push((program, wanted)),
        }
    }

    /// What VCL wants of a program.
    pub(crate) fn wanted(&self, program: &Arc<Program>) -> Option<Wanted> {
        let all = self.wanted.borrow();
        let (_, wanted) = all.iter().find(|(other, _)| Arc::ptr_eq(other, program))?;
        Some(wanted.clone())
    }

    /// Remembers what VCL says to a filter that it has put into its list. `first`: there was none of
    /// ours in the list, so what is known is of an attempt before.
    pub(crate) fn want_filter(&self, program: Arc<Program>, filtering: Filtering, first: bool) {
        let mut all = self.filtering.borrow_mut();
        if first {
            all.clear();
        }
        all.push((program, filtering));
    }

    /// What VCL says to the next filter of that program.
    pub(crate) fn next_filtering(&self, program: &Arc<Program>) -> Option<Filtering> {
        let mut all = self.filtering.borrow_mut();
        let at = all
            .iter()
            .position(|(other, _)| Arc::ptr_eq(other, program))?;
        Some(all.remove(at).1)
    }

    /// Holds the body of an answer, for a reader that is returned.
    pub(crate) fn hold(&self, body: Body) -> SharedBody {
        *self.body.lock() = Some(Held::InVm(body));
        self.body.clone()
    }

    /// Gives the VM of a held body back. A body that will still be read is copied before.
    pub(crate) fn release_vm(&self) {
        let mut held = self.body.lock();
        let read_on = Arc::strong_count(&self.body.0) > 1;
        *held = match held.take() {
            Some(Held::InVm(body)) if read_on && body.holds_vm() => Some(Held::Copied {
                bytes: body.into_bytes(),
                read: 0,
            }),
            other if read_on => other,
            _ => None,
        };
    }
}

/// Reads until `out` is full or there is no more, and returns how much it was.
pub(crate) fn read_fully(out: &mut [u8], mut read: impl FnMut(&mut [u8]) -> usize) -> usize {
    let mut filled = 0;
    while filled < out.len() {
        match read(&mut out[filled..]) {
            0 => break,
            length => filled += length,
        }
    }
    filled
}

enum Held {
    InVm(Body),
    Copied { bytes: Vec<u8>, read: usize },
}

/// The body of an answer, held by the task and read by the fetch. One thread has both.
#[derive(Clone, Default)]
pub(crate) struct SharedBody(Arc<Mutex<Option<Held>>>);

impl SharedBody {
    fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills the beginning of `out`; 0 is the end.
    pub(crate) fn read(&self, out: &mut [u8]) -> usize {
        match self.lock().as_mut() {
            Some(Held::InVm(body)) => body.read(out),
            Some(Held::Copied { bytes, read }) => {
                let rest = bytes.get(*read..).unwrap_or_default();
                let length = rest.len().min(out.len());
                out[..length].copy_from_slice(&rest[..length]);
                *read += length;
                length
            }
            None => 0,
        }
    }
}
