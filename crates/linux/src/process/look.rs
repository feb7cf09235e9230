//! A look at everything that is open, at one moment.

use std::sync::Arc;
use std::time::Duration;

use crate::objects::epoll::{Set, SetId};
use crate::objects::eventfd::Counter;
use crate::objects::kept::Kept;
use crate::objects::object::{DescriptionId, Object};
use crate::objects::pair::Pair;
use crate::objects::pipe::Pipe;
use crate::objects::readiness::{Edges, Events};
use crate::objects::socket::Socket;
use crate::objects::timerfd::{Now, Timer};
use crate::process::block::{Block, HostPoll};
use crate::process::state::State;

/// The state of the program, and the time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) state: &'a State,
    pub(crate) now: Now,
}

/// What could end a wait, beside a change of the program's own state.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    /// Monotonic time when something expires.
    pub(crate) until: Option<Duration>,
    /// Descriptors of the host.
    pub(crate) host: Vec<HostPoll>,
    /// Events that the program knows of, since an edge-triggered `epoll` reported them. Unlike all
    /// others they do not end the wait if they are there already.
    pub(crate) known: Events,
}

impl Interest {
    /// Something happens at this time.
    pub(crate) fn at(&mut self, time: Option<Duration>) {
        self.until = [self.until, time].into_iter().flatten().min();
    }

    /// A wait up to `deadline`.
    pub(crate) fn block(mut self, deadline: Option<Duration>) -> Block {
        self.at(deadline);
        Block {
            host: self.host,
            ..Block::event(self.until)
        }
    }
}

impl Look<'_> {
    /// What can be done with a description, and how often something happened there.
    pub(crate) fn at(&self, id: DescriptionId) -> (Events, Edges) {
        match self.state.descriptors.description(id) {
            Ok(open) => self.of(&open.object),
            Err(_) => (Events::NONE, Edges::default()),
        }
    }

    fn of(&self, object: &Object) -> (Events, Edges) {
        let always = |events| (events, Edges::default());
        match object {
            // At its end, and so readable.
            Object::Input => always(Events::READABLE),
            // Always takes more.
            Object::Output(_) => always(Events::WRITABLE),
            Object::Device(_)
            | Object::MemoryFile(_)
            | Object::File(_)
            | Object::Directory(_)
            | Object::Text(_) => always(Events::READABLE | Events::WRITABLE),
            Object::Pipe(end) => self.kept(end.number, |pipe: &Pipe| {
                (pipe.ready(end.writer), pipe.edges(end.writer))
            }),
            Object::Counter(counter) => self.kept(counter.0, |counter: &Counter| {
                (counter.ready(), counter.edges())
            }),
            Object::Timer(timer) => self.kept(timer.0, |timer: &Timer| {
                let mut events = Events::NONE;
                events.set(Events::IN, timer.is_ready(self.now));
                let edges = Edges {
                    input: timer.edges(self.now),
                    output: 0,
                };
                (events, edges)
            }),
            Object::Signals(set) => {
                let waiting = self.state.signals_of(*set);
                let mut events = Events::NONE;
                events.set(Events::IN, waiting != 0);
                // Another signal is news.
                let edges = Edges {
                    input: waiting,
                    output: 0,
                };
                (events, edges)
            }
            Object::Set(set) => self.kept(set.0, |set: &Set<DescriptionId>| self.of_set(set)),
            Object::Pair(end) => self.kept(end.number, |pair: &Pair<DescriptionId>| {
                (pair.ready(end.side), pair.edges(end.side))
            }),
            Object::Socket(socket) => {
                self.kept(socket.0, |socket: &Socket| (socket.ready(), socket.edges()))
            }
        }
    }

    /// Looks at an object that is there, as long as a description stands for it.
    fn kept<T: Kept>(
        &self,
        number: usize,
        look: impl FnOnce(&T) -> (Events, Edges),
    ) -> (Events, Edges) {
        match self.state.object(number) {
            Ok(object) => look(object),
            Err(_) => (Events::NONE, Edges::default()),
        }
    }

    fn of_set(&self, set: &Set<DescriptionId>) -> (Events, Edges) {
        let mut events = Events::NONE;
        events.set(Events::READABLE, set.is_ready(|id| self.at(id)));
        let edges = set.descriptions().map(|id| self.at(id).1);
        let input = edges.fold(0_u64, |sum, one| {
            sum.wrapping_add(one.input).wrapping_add(one.output)
        });
        (events, Edges { input, output: 0 })
    }

    /// Adds what could bring one of the events `wanted` about, beside a change of the state.
    pub(crate) fn interest(&self, id: DescriptionId, wanted: Events, interest: &mut Interest) {
        let Ok(open) = self.state.descriptors.description(id) else {
            return;
        };
        match &open.object {
            Object::Timer(timer) => {
                if let Ok(timer) = self.state.object::<Timer>(timer.0) {
                    interest.at(timer.next(self.now));
                }
            }
            Object::Set(set) => self.interest_in_set(*set, interest),
            Object::Socket(socket) => {
                if let Ok(socket) = self.state.object::<Socket>(socket.0)
                    && let Some((host, events)) = socket.interest(wanted, interest.known)
                {
                    let descriptor = Arc::clone(host);
                    interest.host.push(HostPoll { descriptor, events });
                }
            }
            _ => {}
        }
    }

    /// The same for all that a set watches.
    pub(crate) fn interest_in_set(&self, set: SetId, interest: &mut Interest) {
        let Ok(set) = self.state.object::<Set<DescriptionId>>(set.0) else {
            return;
        };
        let outer = interest.known;
        for (id, wanted, known) in set.active(|id| self.at(id).1) {
            // What makes up an event of this set was told with it.
            let all = Events(u32::MAX);
            interest.known = if outer.is_empty() { known } else { all };
            self.interest(id, wanted, interest);
        }
        interest.known = outer;
    }
}
