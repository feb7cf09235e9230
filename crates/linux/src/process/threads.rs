//! The threads of a program and what the kernel remembers of each.
//!
//! One of them has the processor. Of the others, registers and FS base are here; their vector
//! state, too, but for the one whose state the processor still holds: that is exchanged only
//! where another thread really gets to run.

use std::collections::VecDeque;
use std::time::Duration;

use tinykvm::{Guest, Registers, Segment, VectorState};

use crate::process::block::{Attempt, Block};
use crate::process::pending::Pending;
use crate::process::signals::AlternateStack;
use crate::wire::ids::PROCESS_ID;
use crate::wire::signal::UNSTOPPABLE;

/// Highest number of a thread (`PID_MAX_LIMIT` in linux/threads.h); a futex has room for more.
const LAST_ID: u32 = 1 << 22;

/// The signal state of one thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct ThreadSignals {
    pub(crate) blocked: u64,
    /// The mask to go back to when the call under way is answered, or its signal's handler
    /// returns (`rt_sigsuspend`, `ppoll`).
    pub(crate) saved: Option<u64>,
    /// Sent to this thread and not delivered.
    pub(crate) pending: Pending,
    pub(crate) alternate: AlternateStack,
    /// The call that a signal interrupted and that wants to be made anew behind its handler.
    pub(crate) restart: Option<u16>,
}

impl ThreadSignals {
    /// Replaces the mask.
    pub(crate) fn block(&mut self, set: u64) {
        self.blocked = set & !UNSTOPPABLE;
    }
}

/// A call that waits for its answer.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// Its number.
    pub(crate) call: u16,
    pub(crate) block: Block,
    pub(crate) attempt: Attempt,
    /// The generation of the state at the last attempt.
    pub(crate) generation: u64,
    /// Who waits longer has a lower one.
    pub(crate) order: u64,
    /// What it waited for came, and this is the answer.
    pub(crate) answer: Option<u64>,
    /// A host descriptor is ready.
    pub(crate) host_ready: bool,
}

/// A thread.
#[derive(Debug, Clone)]
pub(crate) struct Thread {
    pub(crate) id: u32,
    /// NUL-padded (`TASK_COMM_LEN` in linux/sched.h).
    pub(crate) name: [u8; 16],
    pub(crate) signals: ThreadSignals,
    /// Zeroed, and woken as a futex, when the thread ends.
    pub(crate) clear_at_end: u64,
    /// What `set_robust_list` was given.
    pub(crate) robust_list: u64,
    /// Why it does not run.
    pub(crate) wait: Option<Waiting>,
    /// It is no more.
    pub(crate) ended: bool,
    /// Its number is in the queue of those that can run.
    queued: bool,
    registers: Registers,
    fs_base: u64,
    vectors: Option<VectorState>,
}

impl Thread {
    /// The first thread.
    pub(crate) fn first(name: [u8; 16]) -> Self {
        Self {
            id: PROCESS_ID,
            name,
            signals: ThreadSignals::default(),
            clear_at_end: 0,
            robust_list: 0,
            wait: None,
            ended: false,
            queued: false,
            registers: Registers::default(),
            fs_base: 0,
            vectors: None,
        }
    }

    /// Ends a temporary signal mask.
    pub(crate) fn restore_mask(&mut self) {
        if let Some(mask) = self.signals.saved.take() {
            self.signals.blocked = mask;
        }
    }

    /// True if it can go on in user code.
    pub(crate) fn can_run(&self) -> bool {
        self.wait.is_none() && !self.ended
    }
}

/// What a new thread starts with.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) registers: Registers,
    pub(crate) fs_base: u64,
    pub(crate) vectors: VectorState,
    pub(crate) clear_at_end: u64,
}

/// All threads.
#[derive(Debug, Clone)]
pub(crate) struct Threads {
    /// The one that has the processor, or had it last.
    pub(crate) current: Thread,
    /// The others, in no order.
    pub(crate) others: Vec<Thread>,
    /// Numbers of those of the others that can run or should try again, first come first served.
    ready: VecDeque<u32>,
    next_id: u32,
    /// Whose vector state the processor holds.
    loaded: u32,
    waits: u64,
    /// What `exit` of the first thread said while others went on.
    pub(crate) status: Option<i32>,
    /// The thread that waits for requests.
    caller: u32,
}

impl Threads {
    /// A program with its first thread.
    pub(crate) fn new(first: Thread) -> Self {
        Self {
            next_id: first.id + 1,
            loaded: first.id,
            caller: first.id,
            current: first,
            others: Vec::new(),
            ready: VecDeque::new(),
            waits: 0,
            status: None,
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.iter().count()
    }

    /// True if there is one thread, and it can run.
    pub(crate) fn is_alone(&self) -> bool {
        self.others.is_empty() && self.current.can_run()
    }

    /// All threads that have not ended.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Thread> {
        std::iter::once(&self.current)
            .chain(&self.others)
            .filter(|thread| !thread.ended)
    }

    /// All threads that have not ended.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Thread> {
        std::iter::once(&mut self.current)
            .chain(&mut self.others)
            .filter(|thread| !thread.ended)
    }

    /// A thread by its number.
    pub(crate) fn find(&self, id: u32) -> Option<&Thread> {
        self.iter().find(|thread| thread.id == id)
    }

    /// A thread by its number.
    pub(crate) fn find_mut(&mut self, id: u32) -> Option<&mut Thread> {
        self.iter_mut().find(|thread| thread.id == id)
    }

    /// True if the thread that waits for requests is the only one, and nothing keeps it.
    pub(crate) fn is_caller_alone(&self) -> bool {
        self.is_alone() && self.current.id == self.caller
    }

    /// True if the processor holds the vector state of the current thread.
    pub(crate) fn has_vectors(&self) -> bool {
        self.loaded == self.current.id
    }

    /// True if another thread can run, or should try its call again.
    pub(crate) fn others_are_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Adds a thread that can run, after all that can already. It has name and signal mask of the
    /// current one.
    pub(crate) fn add(&mut self, start: Start) -> u32 {
        let id = self.free_id();
        let parent = &self.current;
        self.others.push(Thread {
            id,
            name: parent.name,
            signals: ThreadSignals {
                blocked: parent.signals.blocked,
                ..ThreadSignals::default()
            },
            clear_at_end: start.clear_at_end,
            robust_list: 0,
            wait: None,
            ended: false,
            queued: true,
            registers: start.registers,
            fs_base: start.fs_base,
            vectors: Some(start.vectors),
        });
        self.ready.push_back(id);
        id
    }

    fn free_id(&mut self) -> u32 {
        loop {
            let id = self.next_id;
            self.next_id = if id >= LAST_ID {
                PROCESS_ID + 1
            } else {
                id + 1
            };
            if self.find(id).is_none() {
                return id;
            }
        }
    }

    /// The place of a wait that begins now among all waits.
    pub(crate) fn next_wait(&mut self) -> u64 {
        self.waits += 1;
        self.waits
    }

    /// Puts a thread at the end of those that can run.
    pub(crate) fn queue(&mut self, id: u32) {
        if let Some(thread) = self.find_mut(id)
            && !thread.queued
        {
            thread.queued = true;
            self.ready.push_back(id);
        }
    }

    /// The next thread that can run, or should try its call again.
    pub(crate) fn next(&mut self) -> Option<u32> {
        while let Some(id) = self.ready.pop_front() {
            if let Some(thread) = self.find_mut(id) {
                thread.queued = false;
                return Some(id);
            }
        }
        None
    }

    /// Gives the processor to a thread: registers and FS base, but not yet its vector state.
    /// False if there is no such thread.
    pub(crate) fn switch(&mut self, id: u32, guest: &mut dyn Guest) -> bool {
        if self.current.id == id {
            return true;
        }
        let Some(place) = self.others.iter().position(|thread| thread.id == id) else {
            return false;
        };
        self.current.registers = *guest.registers();
        self.current.fs_base = guest.segment_base(Segment::Fs);
        std::mem::swap(&mut self.current, &mut self.others[place]);
        if self.others[place].ended {
            self.others.swap_remove(place);
        }
        guest.set_context(&self.current.registers);
        guest.set_segment_base(Segment::Fs, self.current.fs_base);
        true
    }

    /// Exchanges vector state if the processor holds another thread's.
    pub(crate) fn load_vectors(&mut self, guest: &mut dyn Guest) {
        if self.has_vectors() {
            return;
        }
        let before = self.loaded;
        if let Some(thread) = self.find_mut(before) {
            thread.vectors = Some(guest.vector_state());
        }
        if let Some(state) = self.current.vectors.take() {
            guest.set_vector_state(&state);
        }
        self.loaded = self.current.id;
    }

    /// The current thread is the one that waits for requests. Those that wait for the host look
    /// again at what they wait for.
    pub(crate) fn freeze(&mut self) {
        self.caller = self.current.id;
        for waiting in self.iter_mut().filter_map(|thread| thread.wait.as_mut()) {
            if !waiting.block.host.is_empty() {
                waiting.block.host.clear();
                waiting.host_ready = true;
            }
        }
    }

    /// Makes the thread that waits for requests the current one; what it was doing is over. Its
    /// registers are about to be replaced.
    pub(crate) fn call(&mut self, guest: &mut dyn Guest) {
        let caller = self.caller;
        if self.current.id != caller {
            if self.current.can_run() {
                self.queue(self.current.id);
            }
            if self.find(caller).is_none() {
                // It ended after the freeze.
                let mut again = Thread::first(self.current.name);
                again.id = caller;
                self.others.push(again);
            }
            self.switch(caller, guest);
            self.ready.retain(|&id| id != caller);
            self.current.queued = false;
        }
        self.load_vectors(guest);
        self.current.wait = None;
        self.current.ended = false;
    }

    /// Waits and times of all threads that lie in the future move by `by`.
    pub(crate) fn postpone(&mut self, by: Duration) {
        for waiting in self.iter_mut().filter_map(|thread| thread.wait.as_mut()) {
            for time in [&mut waiting.block.until, &mut waiting.attempt.deadline] {
                *time = time.map(|time| time.saturating_add(by));
            }
        }
    }
}
