//! What an `epoll` descriptor watches.

use std::collections::BTreeMap;

use crate::objects::readiness::{Edges, Events};
use crate::wire::errno::{EEXIST, EINVAL, ENOENT, Errno};

// Flags beside the events: linux/eventpoll.h
const EXCLUSIVE: u32 = 1 << 28;
const WAKEUP: u32 = 1 << 29;
const ONE_SHOT: u32 = 1 << 30;
const EDGE: u32 = 1 << 31;
const FLAGS: u32 = EXCLUSIVE | WAKEUP | ONE_SHOT | EDGE;
/// What may go together with `EPOLLEXCLUSIVE`: IN, OUT, ERR, HUP, WAKEUP, ET.
const EXCLUSIVE_ALLOWS: u32 = EXCLUSIVE | WAKEUP | EDGE | 0x1d;
/// Events that an input edge can bring, and an output edge.
const INPUT: Events = Events(0x01 | 0x02 | 0x40 | 0x80 | 0x2000);
const OUTPUT: Events = Events(0x04 | 0x100 | 0x200);

/// Something watched: an open description, and the number by which it was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key<D> {
    pub(crate) description: D,
    pub(crate) fd: i32,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    /// Events and flags.
    wanted: u32,
    data: u64,
    /// What was reported last, and at which edges; `None`: what is ready now is news.
    seen: Option<(Events, Edges)>,
    /// One-shot, and reported.
    disabled: bool,
    /// Who was reported longest ago is first.
    turn: u64,
}

/// The set of an `epoll` descriptor; `D` names an open description.
#[derive(Debug, Clone)]
pub(crate) struct Set<D> {
    items: BTreeMap<Key<D>, Item>,
    turn: u64,
}

impl<D> Default for Set<D> {
    fn default() -> Self {
        Self {
            items: BTreeMap::new(),
            turn: 0,
        }
    }
}

impl<D: Copy + Ord> Set<D> {
    /// Watches one more thing.
    ///
    /// # Errors
    /// `EEXIST`, `EINVAL`.
    pub(crate) fn add(&mut self, key: Key<D>, wanted: u32, data: u64) -> Result<(), Errno> {
        if wanted & EXCLUSIVE != 0 && wanted & !EXCLUSIVE_ALLOWS != 0 {
            return Err(EINVAL);
        }
        if self.items.contains_key(&key) {
            return Err(EEXIST);
        }
        self.put(key, wanted, data);
        Ok(())
    }

    /// Changes what is wanted of a thing.
    ///
    /// # Errors
    /// `ENOENT`, `EINVAL`.
    pub(crate) fn modify(&mut self, key: Key<D>, wanted: u32, data: u64) -> Result<(), Errno> {
        let item = self.items.get(&key).ok_or(ENOENT)?;
        if (item.wanted | wanted) & EXCLUSIVE != 0 {
            return Err(EINVAL);
        }
        self.put(key, wanted, data);
        Ok(())
    }

    fn put(&mut self, key: Key<D>, wanted: u32, data: u64) {
        self.turn += 1;
        let item = Item {
            wanted,
            data,
            seen: None,
            disabled: false,
            turn: self.turn,
        };
        self.items.insert(key, item);
    }

    /// Watches a thing no longer.
    ///
    /// # Errors
    /// `ENOENT`.
    pub(crate) fn remove(&mut self, key: Key<D>) -> Result<(), Errno> {
        self.items.remove(&key).map(drop).ok_or(ENOENT)
    }

    /// True if the description is watched under any number.
    pub(crate) fn watches(&self, description: D) -> bool {
        self.items.keys().any(|key| key.description == description)
    }

    /// A description is no more.
    pub(crate) fn forget(&mut self, description: D) {
        self.items.retain(|key, _| key.description != description);
    }

    /// How many things are watched.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// What is watched and not switched off: for which events, and which of these are no news as
    /// long as nothing happens there.
    pub(crate) fn active(
        &self,
        look: impl Fn(D) -> Edges,
    ) -> impl Iterator<Item = (D, Events, Events)> {
        let on = self.items.iter().filter(|(_, item)| !item.disabled);
        on.map(move |(key, item)| {
            let known = item.known(|| look(key.description));
            (key.description, item.events(), known)
        })
    }

    /// All that is watched.
    pub(crate) fn descriptions(&self) -> impl Iterator<Item = D> {
        self.items.keys().map(|key| key.description)
    }

    /// True if there is something to report.
    pub(crate) fn is_ready(&self, look: impl Fn(D) -> (Events, Edges)) -> bool {
        let mut items = self.items.iter();
        items.any(|(key, item)| !item.report(look(key.description)).is_empty())
    }

    /// Reports events with their data, at most `most`, and remembers that it did.
    pub(crate) fn report(
        &mut self,
        most: usize,
        look: impl Fn(D) -> (Events, Edges),
    ) -> Vec<(Events, u64)> {
        let mut found: Vec<_> = self
            .items
            .iter_mut()
            .filter_map(|(key, item)| {
                let state = look(key.description);
                let events = item.report(state);
                (!events.is_empty()).then_some((events, state.1, item))
            })
            .collect();
        found.sort_by_key(|(_, _, item)| item.turn);
        found.truncate(most);
        let turn = &mut self.turn;
        found
            .into_iter()
            .map(|(events, edges, item)| {
                *turn += 1;
                item.turn = *turn;
                item.seen = Some((events, edges));
                item.disabled = item.wanted & ONE_SHOT != 0;
                (events, item.data)
            })
            .collect()
    }
}

impl Item {
    /// What is to be reported of a thing in this state.
    fn report(&self, (events, edges): (Events, Edges)) -> Events {
        if self.disabled {
            return Events::NONE;
        }
        let found = events & self.events();
        if found.0 & !self.known(|| edges).0 == 0 {
            return Events::NONE;
        }
        found
    }

    /// The events without the flags.
    fn events(&self) -> Events {
        Events(self.wanted & !FLAGS) | Events::ALWAYS
    }

    /// Events that are not reported again before something happens.
    fn known(&self, edges: impl FnOnce() -> Edges) -> Events {
        match self.seen {
            Some((reported, seen)) if self.wanted & EDGE != 0 => {
                let edges = edges();
                let mut news = Events::NONE;
                news.set(INPUT | Events::ALWAYS, edges.input != seen.input);
                news.set(OUTPUT | Events::ALWAYS, edges.output != seen.output);
                Events(reported.0 & !news.0)
            }
            _ => Events::NONE,
        }
    }
}

/// A set by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SetId(pub(crate) usize);

#[cfg(test)]
mod tests;
