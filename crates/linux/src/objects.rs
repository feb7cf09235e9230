//! What descriptors stand for within the program: everything that needs nothing of the host.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::connect_rules::Learnt;
use crate::context::Context;
use crate::descriptor::DescriptionId;
use crate::epoll::Set;
use crate::errno::{EBADF, ENFILE, Errno};
use crate::eventfd::Counter;
use crate::memfd::MemoryFile;
use crate::network::Socket;
use crate::pair::Pair;
use crate::pipe::Pipe;
use crate::process::State;
use crate::slab::Slab;
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
    pub(crate) sockets: Slab<Socket>,
    /// Addresses that the host's resolver gave for names in the rules.
    pub(crate) learnt: Arc<BTreeSet<Learnt>>,
}

/// A kind of object, for access to all objects of it.
pub(crate) trait Kept: Clone + 'static {
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
kept!(Socket, sockets);

impl State {
    /// An object by its number.
    pub(crate) fn object<T: Kept>(&self, number: usize) -> Result<&T, Errno> {
        T::slab(&self.objects).get(number).ok_or(EBADF)
    }

    /// The same, to change: calls that wait for something look again.
    pub(crate) fn object_mut<T: Kept>(&mut self, number: usize) -> Result<&mut T, Errno> {
        self.changed();
        T::slab_mut(&mut self.objects).get_mut(number).ok_or(EBADF)
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
        T::slab_mut(&mut self.state_mut().objects)
            .insert(object, MOST)
            .ok_or(ENFILE)
    }
}
