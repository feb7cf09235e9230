//! One socket of a pair as a descriptor.

use crate::call::context::Context;
use crate::call::failure::Failure;
use crate::objects::object::DescriptionId;
use crate::objects::options::Options;
use crate::objects::pair::{Kind, Pair, PairEnd, Received};
use crate::process::state::State;
use crate::wire::errno::{EPIPE, Errno};

type Kept = Pair<DescriptionId>;

impl PairEnd {
    /// Makes a pair and returns its ends.
    pub(super) fn make(context: &mut Context<'_>, kind: Kind) -> Result<[Self; 2], Errno> {
        let crowded =
            context.state().objects.pairs.iter().count() >= crate::objects::pair::MOST_LARGE;
        let number = context.keep(Kept::new(kind, crowded))?;
        Ok([0, 1].map(|side| Self { number, side }))
    }

    /// The pair.
    pub(super) fn get(self, state: &State) -> Result<&Kept, Errno> {
        state.object(self.number)
    }

    /// What was set for it.
    pub(super) fn options(self, state: &State) -> Result<&Options, Errno> {
        Ok(self.get(state)?.options(self.side))
    }

    /// The same, to change.
    pub(super) fn options_mut(self, state: &mut State) -> Result<&mut Options, Errno> {
        let pair: &mut Kept = state.object_mut(self.number)?;
        Ok(pair.options_mut(self.side))
    }

    pub(super) fn send(
        self,
        context: &mut Context<'_>,
        bytes: &[u8],
        rights: &[DescriptionId],
    ) -> Result<usize, Failure> {
        context.check_memory(self.get(context.state())?.cost(bytes.len(), rights.len()))?;
        let state = context.state_mut();
        let send = |pair: &mut Kept| pair.send(self.side, bytes, rights);
        let sent = state.attempt(self.number, send)?;
        for &id in rights {
            state.descriptors.hold(id);
        }
        Ok(sent)
    }

    pub(super) fn receive(
        self,
        context: &mut Context<'_>,
        length: usize,
        peek: bool,
    ) -> Result<Received<DescriptionId>, Failure> {
        let receive = |pair: &mut Kept| pair.receive(self.side, length, peek);
        Ok(context.state_mut().attempt(self.number, receive)?)
    }

    pub(super) fn shut_down(self, state: &mut State, read: bool, write: bool) -> Result<(), Errno> {
        let pair: &mut Kept = state.object_mut(self.number)?;
        pair.shut_down(self.side, read, write);
        Ok(())
    }

    pub(super) fn take_error(self, state: &mut State) -> Result<Option<Errno>, Errno> {
        let pair: &mut Kept = state.object_mut(self.number)?;
        Ok(pair.take_error(self.side))
    }

    pub(super) fn waiting(self, state: &State) -> Result<usize, Errno> {
        Ok(self.get(state)?.waiting(self.side))
    }
}

/// Sending failed because the other side is gone.
pub(super) fn is_broken(failure: &Failure) -> bool {
    matches!(failure, Failure::Error(EPIPE))
}
