use std::time::Duration;

use tinykvm::Guest;

use crate::host::Flow;
use crate::tests::{Machine, NOWHERE};
use crate::wire::errno::{EAGAIN, EFAULT, EINVAL, ENOSYS, ETIMEDOUT, Errno};

const PRIVATE: u64 = 128;
const REALTIME: u64 = 256;

#[test]
fn waiting_for_another_value_does_not_wait() {
    let mut machine = Machine::new();
    let word = machine.words(&[7]);
    machine.fails("futex", &[word, PRIVATE, 8, 0], EAGAIN);
    machine.fails("futex", &[word, PRIVATE | 9, 8, 0, 0, u64::MAX], EAGAIN);
    assert_eq!(machine.word(word), 7, "the word is never touched");
}

#[test]
fn waiting_without_end_is_a_deadlock() {
    let mut machine = Machine::new();
    let word = machine.words(&[7]);
    assert_eq!(
        machine.flow("futex", &[word, PRIVATE, 7, 0]),
        Flow::Deadlock
    );
    assert_eq!(
        machine.flow("futex", &[word, 9, 7, 0, 0, 1]),
        Flow::Deadlock
    );
}

#[test]
fn timeouts_take_their_time() {
    let mut machine = Machine::new();
    let word = machine.words(&[7]);
    let mut slept = Duration::ZERO;
    let now = machine.guest.monotonic().as_secs();
    let wall = machine.guest.realtime().as_secs();
    let cases = [
        (0, [2, 5], Duration::new(2, 5)),
        (9, [now + 3, 1], Duration::new(3, 1)),
        (9 | REALTIME, [wall + 4, 0], Duration::from_secs(4)),
        (9, [now - 3, 1], Duration::ZERO),
        (9, [0, 0], Duration::ZERO),
    ];
    for (operation, time, expected) in cases {
        let time = machine.words(&time);
        machine.fails("futex", &[word, operation, 7, time, 0, u64::MAX], ETIMEDOUT);
        slept += expected;
        assert_eq!(machine.host.slept, slept);
    }
    machine.host.budget = Some(Duration::ZERO);
    let time = machine.words(&[i64::MAX.cast_unsigned(), 0]);
    assert_eq!(machine.flow("futex", &[word, 0, 7, time]), Flow::Deadline);
}

#[test]
fn nobody_is_woken() {
    let mut machine = Machine::new();
    let word = machine.words(&[7]);
    for operation in [1, 1 | PRIVATE, 10, 3, 4] {
        assert_eq!(machine.value("futex", &[word, operation, 1, 1, word, 7]), 0);
    }
    machine.fails("futex", &[word, 4, 1, 1, word, 8], EAGAIN);
}

#[test]
fn arguments_are_checked() {
    let mut machine = Machine::new();
    let word = machine.words(&[7]);
    let (negative, long) = (
        machine.words(&[u64::MAX, 0]),
        machine.words(&[0, 1_000_000_000]),
    );
    let cases: [(&[u64], Errno); 13] = [
        (&[word + 1, 0, 7, 0], EINVAL),
        (&[word + 2, 1, 7, 0], EINVAL),
        (&[NOWHERE, 0, 7, 0], EFAULT),
        (&[1 << 63, 1, 7, 0], EFAULT),
        (&[word, 3, 1, 1, 1 << 63], EFAULT),
        (&[word, 0, 7, negative], EINVAL),
        (&[word, 0, 7, long], EINVAL),
        (&[word, 9, 7, 0, 0, 0], EINVAL),
        (&[word, 10, 7, 0, 0, 0], EINVAL),
        (&[word, REALTIME, 7, 0, 0, 0], ENOSYS),
        (&[word, 1 | REALTIME, 7, 0, 0, 0], ENOSYS),
        (&[word, 11, 7, 0, word, 0], ENOSYS),
        (&[word, 512, 7, 0, 0, 0], ENOSYS),
    ];
    for (arguments, error) in cases {
        machine.fails("futex", arguments, error);
    }
}
