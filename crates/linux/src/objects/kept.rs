//! What descriptors stand for within the program: everything that needs nothing of the host.

use crate::objects::epoll::Set;
use crate::objects::eventfd::Counter;
use crate::objects::memfd::MemoryFile;
use crate::objects::object::DescriptionId;
use crate::objects::pair::Pair;
use crate::objects::pipe::Pipe;
use crate::objects::signalfd::SignalSet;
use crate::objects::slab::{Charged, Slab};
use crate::objects::socket::Socket;
use crate::objects::timerfd::Timer;
use crate::rules::connect::LearntAddresses;

/// The most objects of a kind: more than there are descriptors is of no use.
pub(crate) const MOST: usize = 1024;

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
    pub(crate) learnt: LearntAddresses,
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
