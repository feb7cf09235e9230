use crate::objects::pipe::Pipe;
use crate::objects::readiness::Events;
use crate::wire::errno::{EAGAIN, EBUSY, EINVAL, EPERM, EPIPE};

#[test]
fn bytes_come_out_in_order() {
    let mut pipe = Pipe::default();
    assert_eq!(pipe.read(10), Err(EAGAIN));
    assert_eq!(pipe.write(b"hello ", false), Ok(6));
    assert_eq!(pipe.write(b"world", false), Ok(5));
    assert_eq!((pipe.len(), pipe.pages.len()), (11, 1));
    assert_eq!(pipe.read(8).unwrap(), b"hello wo");
    assert_eq!(pipe.read(0).unwrap(), b"");
    assert_eq!(pipe.read(100).unwrap(), b"rld");
    assert_eq!(pipe.read(0).unwrap(), b"");
    assert_eq!(pipe.read(1), Err(EAGAIN));
}

#[test]
fn is_full_after_64_kib_and_small_writes_are_whole() {
    let mut pipe = Pipe::default();
    assert_eq!(pipe.write(&[1; 65537], false), Ok(65536));
    assert_eq!(pipe.write(&[1], false), Err(EAGAIN));
    // As in Linux, room comes in pages.
    pipe.read(4095).unwrap();
    assert!(!pipe.ready(true).has(Events::OUT));
    pipe.read(1).unwrap();
    assert!(pipe.ready(true).has(Events::OUT));
    assert_eq!(pipe.write(&[2; 4097], false), Ok(4096));
    pipe.read(4096).unwrap();
    assert_eq!(pipe.write(&[3; 100], false), Ok(100));
    assert_eq!(pipe.write(&[4; 3997], false), Err(EAGAIN), "whole or not");
    assert_eq!(pipe.write(&[4; 3996], false), Ok(3996));
    assert_eq!(pipe.len(), 65536);
}

#[test]
fn single_bytes_fill_it() {
    let mut pipe = Pipe::default();
    let count = (0..)
        .take_while(|_| pipe.write(&[0], false).is_ok())
        .count();
    assert_eq!(count, 65536);
}

#[test]
fn packets_stay_apart() {
    let mut pipe = Pipe::default();
    pipe.write(b"one", true).unwrap();
    pipe.write(b"two", true).unwrap();
    pipe.write(b"three", false).unwrap();
    assert_eq!(pipe.read(2).unwrap(), b"on", "and the rest is dropped");
    assert_eq!(pipe.read(100).unwrap(), b"two");
    assert_eq!(pipe.read(100).unwrap(), b"three");
}

#[test]
fn the_end_of_either_side_is_seen() {
    let mut pipe = Pipe::default();
    assert_eq!(pipe.ready(false), Events::NONE);
    assert_eq!(pipe.ready(true), Events::WRITABLE);
    pipe.write(b"x", false).unwrap();
    assert!(!pipe.close(true));
    assert_eq!(pipe.ready(false), Events::READABLE | Events::HUP);
    assert_eq!(pipe.read(9).unwrap(), b"x");
    assert_eq!(pipe.read(9).unwrap(), b"");
    assert!(pipe.close(false));

    let mut pipe = Pipe::default();
    pipe.close(false);
    assert_eq!(pipe.write(b"x", false), Err(EPIPE));
    assert_eq!(pipe.ready(true), Events::WRITABLE | Events::ERR);
}

#[test]
fn the_size_can_be_changed() {
    let mut pipe = Pipe::default();
    assert_eq!(pipe.capacity(), 65536);
    assert_eq!(pipe.set_capacity(0), Ok(4096));
    assert_eq!(pipe.set_capacity(5000), Ok(8192));
    assert_eq!(pipe.set_capacity(1 << 20), Ok(1 << 20));
    assert_eq!(pipe.set_capacity((1 << 20) + 1), Err(EPERM));
    assert_eq!(pipe.set_capacity(u32::MAX), Err(EINVAL));
    pipe.write(&[0; 8193], false).unwrap();
    assert_eq!(pipe.set_capacity(8192), Err(EBUSY));
}

#[test]
fn edges_count_what_wakes() {
    let mut pipe = Pipe::default();
    let start = pipe.edges(true);
    pipe.write(b"x", false).unwrap();
    pipe.write(b"y", false).unwrap();
    assert_eq!(pipe.edges(false).input, 2);
    pipe.read(2).unwrap();
    assert_eq!(pipe.edges(true), start, "it was not full");
    pipe.write(&[0; 65536], false).unwrap();
    pipe.read(4096).unwrap();
    assert_eq!(pipe.edges(true).output, start.output + 1);
}
