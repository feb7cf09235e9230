//! What a program can change and a reset puts back.

use std::sync::Arc;
use std::time::Duration;

use crate::objects::kept::{Kept, Objects};
use crate::process::descriptors::Descriptors;
use crate::process::limits::{Limit, OPEN_FILES, SIGNALS, STACK};
use crate::process::locks::Locks;
use crate::process::signals::Signals;
use crate::process::threads::{Thread, Threads};
use crate::process::timers::Timers;
use crate::wire::errno::{EAGAIN, EBADF, Errno};

/// What the program can change and a reset puts back.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) threads: Threads,
    pub(crate) signals: Signals,
    pub(crate) timers: Timers,
    pub(crate) descriptors: Descriptors,
    pub(crate) objects: Objects,
    pub(crate) limits: [Limit; 16],
    pub(crate) umask: u32,
    /// The working directory as the program knows it: clean, the root is empty.
    pub(crate) directory: Arc<[u8]>,
    pub(crate) locks: Locks,
    /// Monotonic time at the start of the program, where its CPU clock starts.
    pub(crate) started: Duration,
    /// Time in which no thread could run, which is no processor time.
    pub(crate) idle: Duration,
    /// Monotonic time of the freeze, until the program goes on.
    pub(crate) frozen: Option<Duration>,
    /// What the host held at the freeze beside objects.
    pub(crate) beside_at_freeze: u64,
    /// Counts changes of what calls can wait for.
    pub(crate) generation: u64,
}

impl State {
    /// To be told when something changed that a call may wait for: those that wait for events are
    /// made again.
    pub(crate) fn changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// Changes with [`Self::changed`].
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// What the host held at the freeze beside objects; 0 until then.
    pub(crate) fn beside_at_freeze(&self) -> u64 {
        self.beside_at_freeze
    }

    /// The thread that has the processor.
    pub(crate) fn thread(&self) -> &Thread {
        &self.threads.current
    }

    /// The thread that has the processor, to change.
    pub(crate) fn thread_mut(&mut self) -> &mut Thread {
        &mut self.threads.current
    }

    /// How many signals may be pending.
    pub(crate) fn signal_limit(&self) -> usize {
        usize::try_from(self.limits[SIGNALS].current).unwrap_or(usize::MAX)
    }

    /// How many descriptors the program may have.
    pub(crate) fn open_files(&self) -> Limit {
        self.limits[OPEN_FILES]
    }

    /// Says how large the stack is; it is all there from the start and does not grow.
    pub(crate) fn set_stack_limit(&mut self, size: u64) {
        self.limits[STACK].current = size;
    }

    /// An object by its number.
    pub(crate) fn object<T: Kept>(&self, number: usize) -> Result<&T, Errno> {
        T::slab(&self.objects).get(number).ok_or(EBADF)
    }

    /// The same, to change: calls that wait for something look again.
    pub(crate) fn object_mut<T: Kept>(&mut self, number: usize) -> Result<&mut T, Errno> {
        self.changed();
        self.object_quietly(number)
    }

    /// The same for an attempt that may change nothing: a call that has to wait must not make those
    /// that wait look again, itself among them.
    pub(crate) fn object_quietly<T: Kept>(&mut self, number: usize) -> Result<&mut T, Errno> {
        T::slab_mut(&mut self.objects).get_mut(number).ok_or(EBADF)
    }

    /// Tries something with an object. What cannot be done now (`EAGAIN`) has changed nothing that
    /// another call waits for; nor has it for the call itself, which would not rest otherwise.
    pub(crate) fn attempt<T: Kept, R>(
        &mut self,
        number: usize,
        action: impl FnOnce(&mut T) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let object = T::slab_mut(&mut self.objects).get_mut(number);
        let result = action(object.ok_or(EBADF)?);
        if !matches!(result, Err(EAGAIN)) {
            self.changed();
        }
        result
    }

    /// Removes an object.
    pub(crate) fn remove_object<T: Kept>(&mut self, number: usize) {
        self.changed();
        T::slab_mut(&mut self.objects).remove(number);
    }
}
