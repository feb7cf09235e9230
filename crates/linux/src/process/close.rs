//! The end of what is open: what goes with the last descriptor of a description.

use crate::objects::epoll::Set;
use crate::objects::eventfd::Counter;
use crate::objects::memfd::MemoryFile;
use crate::objects::object::{DescriptionId, Object};
use crate::objects::pair::{Pair, PairEnd};
use crate::objects::pipe::{Pipe, PipeEnd};
use crate::objects::signalfd::SignalSet;
use crate::objects::socket::Socket;
use crate::objects::timerfd::Timer;
use crate::process::state::State;
use crate::wire::errno::Errno;

impl State {
    /// Ends a hold; closes what it stood for if it was the last one.
    pub(crate) fn release(&mut self, id: DescriptionId) {
        if let Some((id, closed)) = self.descriptors.drop_reference(id) {
            self.closed(id, closed.object);
        }
    }

    /// Closes a descriptor, and what it stood for if it was the last one.
    pub(crate) fn close(&mut self, fd: i32) -> Result<(), Errno> {
        if !self.locks.is_empty()
            && let Object::File(file) = self.descriptors.get(fd)?.object.clone()
        {
            self.locks.closed_one(&file);
        }
        if let Some((id, closed)) = self.descriptors.take(fd)? {
            self.closed(id, closed.object);
        }
        Ok(())
    }

    /// The last descriptor of a description was closed, or the last hold on it ended.
    fn closed(&mut self, id: DescriptionId, object: Object) {
        self.forget_in_sets(id);
        match object {
            Object::Input
            | Object::Output(_)
            | Object::Device(_)
            | Object::Directory(_)
            | Object::Text(_) => {}
            Object::File(file) => self.locks.closed(id, &file),
            Object::Pipe(end) => self.close_pipe(end),
            Object::Counter(counter) => self.remove_object::<Counter>(counter.0),
            Object::Timer(timer) => self.remove_object::<Timer>(timer.0),
            Object::Signals(set) => self.remove_object::<SignalSet>(set.0),
            Object::Set(set) => self.remove_object::<Set<DescriptionId>>(set.0),
            Object::MemoryFile(file) => self.remove_object::<MemoryFile>(file.0),
            Object::Pair(end) => self.close_pair(end),
            Object::Socket(socket) => self.remove_object::<Socket>(socket.0),
        }
    }

    /// No set watches a description any more that was closed.
    fn forget_in_sets(&mut self, id: DescriptionId) {
        for number in self.objects.sets.numbers() {
            if self
                .object(number)
                .is_ok_and(|set: &Set<_>| set.watches(id))
                && let Ok(set) = self.object_mut::<Set<_>>(number)
            {
                set.forget(id);
            }
        }
    }

    fn close_pipe(&mut self, end: PipeEnd) {
        let last = self
            .object_mut::<Pipe>(end.number)
            .is_ok_and(|pipe| pipe.close(end.writer));
        if last {
            self.remove_object::<Pipe>(end.number);
        }
    }

    /// Descriptors that were on their way to a socket that is closed go with it.
    fn close_pair(&mut self, end: PairEnd) {
        let Ok(pair) = self.object_mut::<Pair<DescriptionId>>(end.number) else {
            return;
        };
        let (lost, last) = pair.close(end.side);
        if last {
            self.remove_object::<Pair<DescriptionId>>(end.number);
        }
        for id in lost {
            self.release(id);
        }
    }
}
