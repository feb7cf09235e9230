//! Numbered things that are cheap to copy together: a copy shares each until one side changes it.
//! What they take of the host's memory is known at any time, without a look at each.

use std::collections::VecDeque;
use std::sync::Arc;

/// What takes memory of the host.
pub(crate) trait Charged {
    /// How many bytes. Changes only by what is done to the value.
    fn charge(&self) -> u64;
}

/// Gives room back that a queue no longer needs: what it holds is what counts.
pub(crate) fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > 4 * queue.len() + 16 {
        queue.shrink_to(2 * queue.len() + 4);
    }
}

/// Values by number; the lowest free number is taken first.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Arc<Vec<Option<Entry<T>>>>,
    /// What the copy's own values are charged, but for the one that is open.
    settled: u64,
    /// The value that was given out to change last: of this one alone it is not known what it is
    /// charged by now.
    open: Option<usize>,
}

#[derive(Debug)]
struct Entry<T> {
    value: Arc<T>,
    /// It was made or changed after the freeze: whoever shares the frozen one does not pay.
    own: bool,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            own: self.own,
        }
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            entries: Arc::default(),
            settled: 0,
            open: None,
        }
    }
}

impl<T> Clone for Slab<T> {
    fn clone(&self) -> Self {
        Self {
            entries: Arc::clone(&self.entries),
            settled: self.settled,
            open: self.open,
        }
    }
}

impl<T: Clone + Charged> Slab<T> {
    /// The value of a number.
    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        Some(&*self.entry(number)?.value)
    }

    fn entry(&self, number: usize) -> Option<&Entry<T>> {
        self.entries.get(number)?.as_ref()
    }

    /// What a value is charged: nothing while it is shared with the freeze.
    fn charge_of(&self, number: usize) -> u64 {
        let own = self.entry(number).filter(|entry| entry.own);
        own.map_or(0, |entry| entry.value.charge())
    }

    /// The value of a number, to change.
    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.get(number)?;
        if self.open != Some(number) {
            self.settle();
            self.settled -= self.charge_of(number);
            self.open = Some(number);
        }
        let entry = Arc::make_mut(&mut self.entries).get_mut(number)?.as_mut()?;
        entry.own = true;
        Some(Arc::make_mut(&mut entry.value))
    }

    /// Takes in what the open value is charged by now.
    fn settle(&mut self) {
        if let Some(open) = self.open.take() {
            self.settled += self.charge_of(open);
        }
    }

    /// Stores a value and returns its number; `None` if there are `most` already.
    pub(crate) fn insert(&mut self, value: T, most: usize) -> Option<usize> {
        let free = self.entries.iter().position(Option::is_none);
        let number = free.unwrap_or(self.entries.len());
        if number >= most {
            return None;
        }
        let charge = value.charge();
        let entries = Arc::make_mut(&mut self.entries);
        if number == entries.len() {
            entries.push(None);
        }
        *entries.get_mut(number)? = Some(Entry {
            value: Arc::new(value),
            own: true,
        });
        self.settled += charge;
        Some(number)
    }

    /// Removes a value.
    pub(crate) fn remove(&mut self, number: usize) -> Option<Arc<T>> {
        self.get(number)?;
        self.settle();
        self.settled -= self.charge_of(number);
        let entry = Arc::make_mut(&mut self.entries).get_mut(number)?.take()?;
        Some(entry.value)
    }

    /// From now on copies share what is here, and pay only for what they add or change.
    pub(crate) fn freeze(&mut self) {
        (self.settled, self.open) = (0, None);
        for entry in Arc::make_mut(&mut self.entries).iter_mut().flatten() {
            entry.own = false;
        }
    }

    /// What all values are charged that are not shared with the freeze.
    pub(crate) fn charge(&self) -> u64 {
        self.settled + self.open.map_or(0, |open| self.charge_of(open))
    }

    /// The same by a look at each.
    pub(crate) fn counted_charge(&self) -> u64 {
        let all = 0..self.entries.len();
        all.map(|number| self.charge_of(number)).sum()
    }

    /// All values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().flatten().map(|entry| &*entry.value)
    }

    /// The numbers in use.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = usize> + use<T> {
        let entries = Arc::clone(&self.entries);
        (0..entries.len()).filter(move |&number| entries[number].is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Charged for char {
        fn charge(&self) -> u64 {
            1
        }
    }

    impl Charged for Vec<u64> {
        fn charge(&self) -> u64 {
            self.iter().sum()
        }
    }

    #[test]
    fn numbers_are_reused_and_bounded() {
        let mut slab = Slab::default();
        assert_eq!(slab.insert('a', 2), Some(0));
        assert_eq!(slab.insert('b', 2), Some(1));
        assert_eq!(slab.insert('c', 2), None);
        assert_eq!(slab.remove(0).as_deref(), Some(&'a'));
        assert_eq!(
            (slab.remove(0), slab.get(0), slab.iter().count()),
            (None, None, 1)
        );
        assert_eq!(slab.insert('d', 2), Some(0));
        assert_eq!(
            (slab.get(0), slab.get(1), slab.get(9)),
            (Some(&'d'), Some(&'b'), None)
        );
    }

    #[test]
    fn a_copy_shares_until_a_change() {
        let mut slab = Slab::default();
        slab.insert(vec![1], 9);
        slab.insert(vec![2], 9);
        let copy = slab.clone();
        slab.get_mut(0).unwrap().push(7);
        assert_eq!(
            (slab.get(0).unwrap().len(), copy.get(0).unwrap().len()),
            (2, 1)
        );
        assert!(std::ptr::eq(slab.get(1).unwrap(), copy.get(1).unwrap()));
        assert_eq!(slab.get_mut(5), None);
    }

    #[test]
    fn what_is_charged_is_known_without_a_look_at_each() {
        let mut slab = Slab::default();
        let same = |slab: &Slab<Vec<u64>>, sum| {
            assert_eq!((slab.charge(), slab.counted_charge()), (sum, sum));
        };
        for number in 1..=3 {
            slab.insert(vec![number], 9);
        }
        same(&slab, 6);
        slab.get_mut(0).unwrap().push(10);
        same(&slab, 16);
        slab.get_mut(0).unwrap().push(10);
        slab.get_mut(1).unwrap().clear();
        same(&slab, 24);
        let copy = slab.clone();
        slab.remove(0);
        same(&slab, 3);
        same(&copy, 24);
        slab.get_mut(2).unwrap().push(1);
        slab.remove(2);
        same(&slab, 0);
        assert_eq!(slab.insert(vec![5], 9), Some(0));
        same(&slab, 5);
    }

    #[test]
    fn what_was_there_at_the_freeze_is_paid_once_it_is_changed() {
        let mut slab = Slab::default();
        slab.insert(vec![100], 9);
        slab.insert(vec![200], 9);
        slab.get_mut(1).unwrap().push(1);
        slab.freeze();
        let mut fork = slab.clone();
        assert_eq!((fork.charge(), fork.counted_charge()), (0, 0));
        fork.insert(vec![7], 9);
        assert_eq!(fork.charge(), 7);
        fork.get_mut(1).unwrap();
        assert_eq!((fork.charge(), fork.counted_charge()), (208, 208));
        fork.remove(0);
        fork.remove(1);
        assert_eq!((fork.charge(), fork.counted_charge()), (7, 7));
        assert_eq!((slab.charge(), slab.counted_charge()), (0, 0));
    }
}
