use crate::objects::epoll::{EDGE, EXCLUSIVE, Key, ONE_SHOT, Set};
use crate::objects::readiness::{Edges, Events};
use crate::wire::errno::{EEXIST, EINVAL, ENOENT};

const IN: u32 = 1;
const OUT: u32 = 4;

fn key(description: u32, fd: i32) -> Key<u32> {
    Key { description, fd }
}

fn state(events: u32, input: u64, output: u64) -> (Events, Edges) {
    (Events(events), Edges { input, output })
}

#[test]
fn things_are_added_once_and_removed() {
    let mut set = Set::default();
    assert_eq!(set.add(key(1, 5), IN, 0), Ok(()));
    assert_eq!(set.add(key(1, 5), IN, 0), Err(EEXIST));
    assert_eq!(set.add(key(1, 6), IN, 0), Ok(()), "a duplicate");
    assert_eq!(set.modify(key(2, 5), IN, 0), Err(ENOENT));
    assert_eq!(set.remove(key(2, 5)), Err(ENOENT));
    assert_eq!(set.remove(key(1, 5)), Ok(()));
    assert!(set.watches(1) && set.len() == 1);
    set.forget(1);
    assert!(!set.watches(1) && set.len() == 0);
}

#[test]
fn a_level_is_reported_again() {
    let mut set = Set::default();
    set.add(key(1, 5), IN, 77).unwrap();
    for _ in 0..2 {
        assert_eq!(set.report(9, |_| state(IN | OUT, 0, 0)), [(Events::IN, 77)]);
    }
    assert_eq!(set.report(9, |_| state(OUT, 0, 0)), []);
    assert_eq!(
        set.report(9, |_| state(0x10, 0, 0)),
        [(Events::HUP, 77)],
        "unasked"
    );
}

#[test]
fn an_edge_is_reported_once() {
    let mut set = Set::default();
    set.add(key(1, 5), IN | OUT | EDGE, 0).unwrap();
    assert_eq!(
        set.report(9, |_| state(OUT, 0, 0)).len(),
        1,
        "ready from the start"
    );
    assert!(!set.is_ready(|_| state(OUT, 0, 0)));
    assert!(set.is_ready(|_| state(OUT | IN, 1, 0)));
    assert_eq!(
        set.report(9, |_| state(OUT | IN, 1, 0)),
        [(Events(IN | OUT), 0)]
    );
    assert_eq!(set.report(9, |_| state(OUT | IN, 1, 0)), []);
    assert_eq!(set.report(9, |_| state(OUT | IN, 2, 0)).len(), 1);
    set.modify(key(1, 5), IN | EDGE, 0).unwrap();
    assert_eq!(
        set.report(9, |_| state(IN, 2, 0)).len(),
        1,
        "a change asks anew"
    );
    assert_eq!(
        set.report(9, |_| state(IN, 2, 5)),
        [],
        "output is not wanted"
    );
}

#[test]
fn one_shot_is_reported_until_changed() {
    let mut set = Set::default();
    set.add(key(1, 5), IN | ONE_SHOT, 0).unwrap();
    assert_eq!(set.report(9, |_| state(IN, 0, 0)).len(), 1);
    assert_eq!(set.report(9, |_| state(IN | 0x10, 1, 0)), []);
    assert_eq!(
        (
            set.active(|_| Edges::default()).count(),
            set.descriptions().count()
        ),
        (0, 1)
    );
    set.modify(key(1, 5), IN | ONE_SHOT, 0).unwrap();
    assert_eq!(set.report(9, |_| state(IN, 0, 0)).len(), 1);
}

#[test]
fn all_have_their_turn() {
    let mut set = Set::default();
    for number in 0..3 {
        set.add(key(number, 0), IN, u64::from(number)).unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.extend(
            set.report(2, |_| state(IN, 0, 0))
                .iter()
                .map(|&(_, data)| data),
        );
    }
    assert_eq!(seen, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn exclusive_goes_with_little() {
    let mut set = Set::default();
    assert_eq!(
        set.add(key(1, 5), IN | EXCLUSIVE | ONE_SHOT, 0),
        Err(EINVAL)
    );
    assert_eq!(set.add(key(1, 5), 2 | EXCLUSIVE, 0), Err(EINVAL));
    assert_eq!(set.add(key(1, 5), IN | EXCLUSIVE | EDGE, 0), Ok(()));
    assert_eq!(set.modify(key(1, 5), IN, 0), Err(EINVAL));
    set.add(key(2, 5), IN, 0).unwrap();
    assert_eq!(set.modify(key(2, 5), IN | EXCLUSIVE, 0), Err(EINVAL));
}

#[test]
fn only_what_was_told_as_an_edge_is_known() {
    let mut set = Set::default();
    set.add(key(1, 5), IN, 0).unwrap();
    set.add(key(2, 6), IN | OUT | EDGE, 0).unwrap();
    let known = |set: &Set<u32>, input| {
        let edges = Edges { input, output: 0 };
        let all = set.active(|_| edges).map(|(_, _, known)| known.0);
        all.collect::<Vec<_>>()
    };
    assert_eq!(known(&set, 0), [0, 0]);
    set.report(9, |_| state(IN | OUT, 0, 0));
    assert_eq!(known(&set, 0), [0, IN | OUT]);
    assert_eq!(known(&set, 1), [0, OUT], "somebody has read since");
    set.modify(key(2, 6), IN | EDGE, 0).unwrap();
    assert_eq!(known(&set, 0), [0, 0]);
}
