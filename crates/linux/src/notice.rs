//! What a program asked for in vain, for the log of whoever runs it: typed, once per program and
//! kind, and with a count when it goes on.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Something that a program did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice<'a> {
    /// No rule is about this path, so it does not exist for the program (`ENOENT`).
    Absent(Path<'a>),
    /// A rule is about this path, and grants less than was asked for (`EACCES`).
    Denied(Path<'a>, Less),
    /// No rule lets sockets go there, or be there.
    Unreachable {
        /// The system call.
        call: &'static str,
        /// As a rule of `connect` would name it: `192.0.2.7:443`, `unix:/run/app.sock`.
        to: &'a str,
    },
    /// No rule lets the host's resolver be asked this name. `None`: the query is no plain one.
    Query {
        /// The system call.
        call: &'static str,
        /// The name.
        name: Option<&'a str>,
    },
    /// Sockets take no connections and have no address of their own.
    Serve {
        /// `bind` or `listen`.
        call: &'static str,
        /// The address, if there is one.
        at: &'a str,
    },
    /// Memory that is written and executed.
    ExecMemory {
        /// The system call.
        call: &'static str,
    },
    /// A call exists, but not in this form.
    Lacking {
        /// The system call.
        call: &'static str,
        /// What it was about.
        what: Lacking,
    },
    /// There is no memory left for a mapping: `max_memory`.
    NoMapping {
        /// The system call.
        call: &'static str,
        /// How many bytes it was to have.
        length: u64,
    },
    /// There is no memory left for what the host would hold: `max_request_memory`, or `max_memory`
    /// while the program boots.
    NoMemory {
        /// The system call.
        call: &'static str,
        /// The program serves a request.
        request: bool,
    },
    /// There are as many of something as there can be.
    Full {
        /// The system call.
        call: &'static str,
        /// Of what.
        what: Full,
    },
    /// A system call that does not exist here.
    UnknownCall {
        /// Its number.
        number: u32,
        /// Its name, if Linux has it.
        name: Option<&'static str>,
    },
    /// Of paths, places and names so many were told that others are only counted from here on.
    Many,
}

/// A path that a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path<'a> {
    /// The system call.
    pub call: &'static str,
    /// As the program gave it, with the directory in front that it is relative to.
    pub path: &'a [u8],
    /// Where links and `..` lead, if that is another path.
    pub target: Option<&'a [u8]>,
    /// It was to be changed or created.
    pub write: bool,
}

impl<'a> Path<'a> {
    /// What is meant in the end: what a rule would have to be about.
    #[must_use]
    pub fn meant(&self) -> &'a [u8] {
        self.target.unwrap_or(self.path)
    }
}

/// Why a path that a rule is about is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Less {
    /// It may be read only, or its directory may not be changed.
    ReadOnly,
    /// It is made up for the program, and can't be changed.
    MadeUp,
    /// It is a device, a FIFO, a socket, or belongs to the host's kernel.
    Special,
    /// A link to there would lead out of what may be written.
    Link,
}

/// What calls can't do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lacking {
    /// Another process: there are threads only.
    Process,
    /// A mapping of a file that changes it.
    SharedMapping,
    /// Huge pages.
    HugePages,
}

/// What there can be only so many of, whatever the configuration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Open descriptors: 1024, or what the program set.
    Descriptors,
    /// Sockets of the host.
    Sockets,
    /// Record locks.
    Locks,
    /// Threads.
    Threads,
    /// POSIX timers.
    Timers,
}

/// Numbers of system calls below this are remembered one by one, all others as one
/// (asm/unistd_64.h ends below).
const CALLS: usize = 512;
/// Kinds that have one place each, behind the calls.
const EXEC_MEMORY: usize = CALLS + 1;
/// Of memory in a request, and before.
const NO_MEMORY: usize = EXEC_MEMORY + 1;
const NO_MAPPING: usize = NO_MEMORY + 2;
const LACKING: usize = NO_MAPPING + 1;
const FULL: usize = LACKING + 3;
const MANY: usize = FULL + 5;
const FIXED: usize = MANY + 1;
/// Places for what is told by its name, and how many of them are used.
const SLOTS: usize = 512;
const MOST: usize = 256;

/// Where a notice is counted.
enum Place {
    Fixed(usize),
    /// By its name, of which this is the hash.
    Named(u64),
}

/// What was told; shared by all clones of a process, so by all forks of a program.
#[derive(Debug, Clone)]
pub(crate) struct Told(Arc<Table>);

#[derive(Debug)]
struct Table {
    fixed: [AtomicU64; FIXED],
    /// Hash (0: free) and count.
    named: [(AtomicU64, AtomicU64); SLOTS],
    used: AtomicUsize,
    /// Nobody can choose names that have one place in common.
    hasher: RandomState,
}

impl Default for Told {
    fn default() -> Self {
        Self(Arc::new(Table {
            fixed: [const { AtomicU64::new(0) }; FIXED],
            named: [const { (AtomicU64::new(0), AtomicU64::new(0)) }; SLOTS],
            used: AtomicUsize::new(0),
            hasher: RandomState::new(),
        }))
    }
}

impl Told {
    /// Counts a notice: what is to be told of it now, and how often it came by then.
    pub(crate) fn count<'a>(&self, notice: Notice<'a>) -> Option<(Notice<'a>, u64)> {
        let table = &*self.0;
        let (notice, counter) = match table.place(&notice) {
            Place::Fixed(at) => (notice, table.fixed.get(at)?),
            Place::Named(hash) => match table.named(hash) {
                Some(counter) => (notice, counter),
                None => (Notice::Many, table.fixed.get(MANY)?),
            },
        };
        let count = counter.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        is_told(count).then_some((notice, count))
    }
}

/// The first, the hundredth, the ten thousandth, ...
fn is_told(count: u64) -> bool {
    let mut power = 1_u64;
    while power < count {
        power = power.saturating_mul(100);
    }
    power == count
}

impl Table {
    fn place(&self, notice: &Notice<'_>) -> Place {
        let hash = |kind: u8, what: &dyn Fn(&mut std::hash::DefaultHasher)| {
            let mut state = self.hasher.build_hasher();
            kind.hash(&mut state);
            what(&mut state);
            // 0 is a free place.
            Place::Named(std::hash::Hasher::finish(&state).max(1))
        };
        match notice {
            Notice::UnknownCall { number, .. } => {
                let number = usize::try_from(*number).unwrap_or(CALLS);
                Place::Fixed(number.min(CALLS))
            }
            Notice::ExecMemory { .. } => Place::Fixed(EXEC_MEMORY),
            Notice::NoMemory { request, .. } => Place::Fixed(NO_MEMORY + usize::from(*request)),
            Notice::NoMapping { .. } => Place::Fixed(NO_MAPPING),
            Notice::Lacking { what, .. } => Place::Fixed(match what {
                Lacking::Process => LACKING,
                Lacking::SharedMapping => LACKING + 1,
                Lacking::HugePages => LACKING + 2,
            }),
            Notice::Full { what, .. } => Place::Fixed(match what {
                Full::Descriptors => FULL,
                Full::Sockets => FULL + 1,
                Full::Locks => FULL + 2,
                Full::Threads => FULL + 3,
                Full::Timers => FULL + 4,
            }),
            Notice::Many => Place::Fixed(MANY),
            Notice::Absent(path) => hash(1, &|state| (path.meant(), path.write).hash(state)),
            Notice::Denied(path, less) => hash(2, &|state| (path.meant(), less).hash(state)),
            Notice::Unreachable { to, .. } => hash(3, &|state| to.hash(state)),
            Notice::Query { name, .. } => hash(4, &|state| name.hash(state)),
            Notice::Serve { at, .. } => hash(5, &|state| at.hash(state)),
        }
    }

    /// The counter of what has this hash; `None` if there is no place left for one.
    fn named(&self, hash: u64) -> Option<&AtomicU64> {
        let start = usize::try_from(hash % SLOTS as u64).unwrap_or(0);
        for (key, count) in self.named.iter().cycle().skip(start).take(SLOTS) {
            let found = key.load(Ordering::Relaxed);
            if found == hash {
                return Some(count);
            }
            if found != 0 {
                continue;
            }
            if self.used.fetch_add(1, Ordering::Relaxed) >= MOST {
                self.used.fetch_sub(1, Ordering::Relaxed);
                return None;
            }
            match key.compare_exchange(0, hash, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(count),
                Err(other) => {
                    self.used.fetch_sub(1, Ordering::Relaxed);
                    if other == hash {
                        return Some(count);
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
