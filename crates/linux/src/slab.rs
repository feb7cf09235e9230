//! Numbered things that are cheap to copy together: a copy shares each until one side changes it.

use std::sync::Arc;

/// Values by number; the lowest free number is taken first.
#[derive(Debug)]
pub(crate) struct Slab<T>(Arc<Vec<Option<Arc<T>>>>);

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self(Arc::new(Vec::new()))
    }
}

impl<T> Clone for Slab<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Slab<T> {
    /// The value of a number.
    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        self.0.get(number)?.as_deref()
    }

    /// The value of a number, to change.
    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.get(number)?;
        let entry = Arc::make_mut(&mut self.0).get_mut(number)?.as_mut()?;
        Some(Arc::make_mut(entry))
    }

    /// Stores a value and returns its number; `None` if there are `most` already.
    pub(crate) fn insert(&mut self, value: T, most: usize) -> Option<usize> {
        let free = self.0.iter().position(Option::is_none);
        let number = free.unwrap_or(self.0.len());
        if number >= most {
            return None;
        }
        let entries = Arc::make_mut(&mut self.0);
        if number == entries.len() {
            entries.push(None);
        }
        *entries.get_mut(number)? = Some(Arc::new(value));
        Some(number)
    }

    /// Removes a value.
    pub(crate) fn remove(&mut self, number: usize) -> Option<Arc<T>> {
        self.get(number)?;
        Arc::make_mut(&mut self.0).get_mut(number)?.take()
    }

    /// All values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten().map(|entry| &**entry)
    }

    /// The numbers in use.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = usize> + use<T> {
        let entries = Arc::clone(&self.0);
        (0..entries.len()).filter(move |&number| entries[number].is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
