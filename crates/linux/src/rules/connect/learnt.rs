//! What a program was told by DNS.

use std::net::IpAddr;
use std::sync::Arc;

/// An address that the host's resolver gave this program for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Learnt {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
}

/// The last of them, the newest at the end. A program that runs for days gets new addresses for the
/// names that it knows; the oldest are forgotten then. Copies share it until one side changes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LearntAddresses(Arc<Vec<Learnt>>);

impl LearntAddresses {
    /// More than a program needs to know at a time.
    pub(crate) const MOST: usize = 256;

    /// Remembers one.
    pub(crate) fn insert(&mut self, learnt: Learnt) {
        if self.0.last() == Some(&learnt) {
            return;
        }
        let all = Arc::make_mut(&mut self.0);
        all.retain(|known| *known != learnt);
        let over = (all.len() + 1).saturating_sub(Self::MOST);
        all.drain(..over);
        all.push(learnt);
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Learnt> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: u32) -> Learnt {
        Learnt {
            name: "db.example".to_owned(),
            address: IpAddr::from(number.to_be_bytes()),
        }
    }

    #[test]
    fn the_newest_are_known_and_the_oldest_forgotten() {
        let mut learnt = LearntAddresses::default();
        for number in 0..1000 {
            learnt.insert(numbered(7));
            learnt.insert(numbered(number));
            let knows = |wanted: u32| learnt.iter().any(|known| *known == numbered(wanted));
            assert!(knows(number) && knows(7), "{number}");
            assert!(learnt.iter().count() <= LearntAddresses::MOST);
        }
        assert_eq!(learnt.iter().count(), LearntAddresses::MOST);
        assert!(!learnt.iter().any(|known| *known == numbered(500)));
    }
}
