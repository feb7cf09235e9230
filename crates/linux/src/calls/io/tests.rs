use std::time::Duration;

use tinykvm::{Guest, Protection};

use crate::host::{Flow, OUTPUT_PIECE, Stream};
use crate::tests::{Machine, NOWHERE, int};
use crate::wire::errno::{EBADF, EFAULT, EINVAL};

#[test]
fn write_goes_to_the_right_stream() {
    let mut machine = Machine::new();
    let text = machine.guest.put(b"hello\n");
    assert_eq!(machine.value("write", &[1, text, 6]), 6);
    assert_eq!(machine.value("write", &[2, text, 2]), 2);
    assert_eq!(machine.value("write", &[1, text, 0]), 0);
    let expected = [
        (Stream::Out, b"hello\n".to_vec()),
        (Stream::Err, b"he".to_vec()),
    ];
    assert_eq!(machine.host.output, expected);
    machine.fails("write", &[3, text, 6], EBADF);
    machine.fails("write", &[int(-1), text, 6], EBADF);
    machine.fails("write", &[1, text, 7], EFAULT);
    machine.fails("write", &[1, text, u64::MAX], EFAULT);
}

#[test]
fn long_output_comes_in_pieces_and_counts_in_full() {
    let mut machine = Machine::new();
    let length = 3 * OUTPUT_PIECE + 5;
    let bytes: Vec<u8> = (0..length).map(|at| (at % 251).to_le_bytes()[0]).collect();
    let at = machine.guest.put(&bytes);
    assert_eq!(
        machine.value("write", &[1, at, length as u64]),
        length as u64
    );
    assert_eq!(machine.host.output.len(), 4);
    assert_eq!(machine.printed(Stream::Out), bytes);
}

#[test]
fn output_before_a_bad_address_counts() {
    let mut machine = Machine::new();
    let at = machine.guest.put(&vec![7; 2 * OUTPUT_PIECE]);
    let wanted = (2 * OUTPUT_PIECE + 1) as u64;
    assert_eq!(
        machine.value("write", &[1, at, wanted]),
        (2 * OUTPUT_PIECE) as u64
    );
    let vectors = machine.words(&[at, 3, NOWHERE, 2, at, 4]);
    machine.host.output.clear();
    assert_eq!(machine.value("writev", &[1, vectors, 3]), 3);
    assert_eq!(machine.printed(Stream::Out), [7; 3]);
}

#[test]
fn output_ends_at_the_deadline() {
    let mut machine = Machine::new();
    machine.guest.map_at(0x3000_0000, 1 << 29, Protection::READ);
    machine.host.budget = Some(Duration::ZERO);
    machine.host.slept = Duration::from_nanos(1);
    assert_eq!(
        machine.flow("write", &[1, 0x3000_0000, 1 << 29]),
        Flow::Deadline
    );
    assert_eq!(machine.host.output.len(), 1);
}

#[test]
fn writev_joins_its_parts() {
    let mut machine = Machine::new();
    let (one, two) = (machine.guest.put(b"one "), machine.guest.put(b"two\n"));
    let vectors = machine.words(&[one, 4, NOWHERE, 0, two, 4]);
    assert_eq!(machine.value("writev", &[2, vectors, 3]), 8);
    assert_eq!(machine.host.output, [(Stream::Err, b"one two\n".to_vec())]);
    assert_eq!(machine.value("writev", &[2, NOWHERE, 0]), 0);
}

#[test]
fn writev_checks_its_vectors() {
    let mut machine = Machine::new();
    let text = machine.guest.put(b"x");
    let negative = machine.words(&[text, u64::MAX]);
    let beyond = machine.words(&[1 << 47, 1]);
    machine.fails("writev", &[1, negative, 1], EINVAL);
    machine.fails("writev", &[1, beyond, 1], EFAULT);
    machine.fails("writev", &[1, negative, 2], EFAULT);
    machine.fails("writev", &[1, negative, 1025], EINVAL);
    machine.fails("writev", &[1, negative, int(-1)], EINVAL);
    machine.fails("writev", &[0, negative, 1], EINVAL);
    let good = machine.words(&[text, 1]);
    machine.fails("writev", &[0, good, 1], EBADF);
    // The sum may not overflow: what is beyond the longest transfer does not count.
    let longest = i64::MAX.cast_unsigned();
    let vectors = machine.words(&[text, 1, text, longest, text, longest]);
    assert_eq!(machine.value("writev", &[1, vectors, 3]), 1);
}

#[test]
fn a_thousand_vectors_are_allowed() {
    let mut machine = Machine::new();
    let text = machine.guest.put(b"x");
    let vectors = machine.words(&[text, 1].repeat(1024));
    assert_eq!(machine.value("writev", &[1, vectors, 1024]), 1024);
    assert_eq!(machine.printed(Stream::Out), [b'x'; 1024]);
    assert!(machine.guest.read_u64(vectors).is_ok());
}
