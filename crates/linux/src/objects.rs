//! What descriptors stand for within the program: everything that needs nothing of the host.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::connect_rules::Learnt;
use crate::context::Context;
use crate::descriptor::DescriptionId;
use crate::epoll::Set;
use crate::errno::{EAGAIN, EBADF, ENFILE, Errno};
use crate::eventfd::Counter;
use crate::memfd::MemoryFile;
use crate::network::Socket;
use crate::object::SignalSet;
use crate::pair::Pair;
use crate::pipe::Pipe;
use crate::process::State;
use crate::slab::{Charged, Slab};
use crate::timerfd::Timer;

/// The most objects of a kind: more than there are descriptors is of no use.
const MOST: usize = 1024;

/// Objects by kind and number. A copy shares them until one side changes them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Objects {
    pub(crate) pipes: Slab<Pipe>,
    pub(crate) pairs: Slab<Pair<DescriptionId>>,
    pub(crate) counters: Slab<Counter>,
    pub(crate) timers: Slab<Timer>,
    pub(crate) memory_files: Slab<MemoryFile>,
    pub(crate) sets: Slab<Set<DescriptionId>>,
    pub(crate) signal_sets: Slab<SignalSet>,
    pub(crate) sockets: Slab<Socket>,
    /// Addresses that the host's resolver gave for names in the rules.
    pub(crate) learnt: Arc<BTreeSet<Learnt>>,
}

/// A kind of object, for access to all objects of it.
pub(crate) trait Kept: Clone + Charged + 'static {
    /// Where objects of this kind are.
    fn slab(objects: &Objects) -> &Slab<Self>;
    /// The same, to change.
    fn slab_mut(objects: &mut Objects) -> &mut Slab<Self>;
}

macro_rules! kept {
    ($kind:ty, $field:ident) => {
        impl Kept for $kind {
            fn slab(objects: &Objects) -> &Slab<Self> {
                &objects.$field
            }

            fn slab_mut(objects: &mut Objects) -> &mut Slab<Self> {
                &mut objects.$field
            }
        }
    };
}

kept!(Pipe, pipes);
kept!(Pair<DescriptionId>, pairs);
kept!(Counter, counters);
kept!(Timer, timers);
kept!(MemoryFile, memory_files);
kept!(Set<DescriptionId>, sets);
kept!(SignalSet, signal_sets);
kept!(Socket, sockets);

impl Objects {
    /// From now on forks share what is here.
    pub(crate) fn freeze(&mut self) {
        self.pipes.freeze();
        self.pairs.freeze();
        self.counters.freeze();
        self.timers.freeze();
        for file in self.memory_files.numbers() {
            self.memory_files.get_mut(file).map(MemoryFile::freeze);
        }
        self.memory_files.freeze();
        self.sets.freeze();
        self.signal_sets.freeze();
        self.sockets.freeze();
    }

    /// What the host holds for those that are not shared.
    pub(crate) fn charge(&self) -> u64 {
        self.pipes.charge()
            + self.pairs.charge()
            + self.counters.charge()
            + self.timers.charge()
            + self.memory_files.charge()
            + self.sets.charge()
            + self.signal_sets.charge()
            + self.sockets.charge()
    }

    /// The same by a look at each.
    pub(crate) fn counted_charge(&self) -> u64 {
        self.pipes.counted_charge()
            + self.pairs.counted_charge()
            + self.counters.counted_charge()
            + self.timers.counted_charge()
            + self.memory_files.counted_charge()
            + self.sets.counted_charge()
            + self.signal_sets.counted_charge()
            + self.sockets.counted_charge()
    }
}

impl State {
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

impl Context<'_> {
    /// Keeps a new object and returns its number.
    pub(crate) fn keep<T: Kept>(&mut self, object: T) -> Result<usize, Errno> {
        self.check_memory(crate::account::NEW_OBJECT)?;
        T::slab_mut(&mut self.state_mut().objects)
            .insert(object, MOST)
            .ok_or(ENFILE)
    }
}
