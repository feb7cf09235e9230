use std::io::{Write, pipe};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::idle;
use crate::Flow;
use crate::block::{Block, HostPoll};
use crate::tests::Machine;

/// `POLLIN` in asm-generic/poll.h.
const POLLIN: u16 = 1;

fn reader() -> (Block, std::io::PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    let host = vec![HostPoll {
        descriptor: Arc::new(OwnedFd::from(reader)),
        events: POLLIN,
    }];
    let block = Block {
        host,
        ..Block::event(None)
    };
    (block, writer)
}

#[test]
fn a_time_is_waited_for_in_the_host() {
    let Machine {
        mut guest,
        mut host,
        ..
    } = Machine::new();
    let block = Block::sleep(Duration::from_secs(1007));
    assert_eq!(idle(&mut guest, &mut host, &block), Ok(true));
    assert_eq!(host.slept, Duration::from_secs(7));
    host.budget = Some(Duration::from_secs(10));
    assert_eq!(idle(&mut guest, &mut host, &block), Err(Flow::Deadline));
    let block = Block::event(None);
    assert_eq!(idle(&mut guest, &mut host, &block), Err(Flow::Deadlock));
}

#[test]
fn host_descriptors_are_waited_for_within_the_budget() {
    let Machine {
        mut guest,
        mut host,
        ..
    } = Machine::new();
    let (mut block, mut writer) = reader();
    guest.left = Duration::from_millis(5);
    assert_eq!(idle(&mut guest, &mut host, &block), Err(Flow::Deadline));
    guest.left = Duration::from_secs(60);
    block.until = Some(Duration::from_secs(1000));
    assert_eq!(idle(&mut guest, &mut host, &block), Ok(true));
    block.until = None;
    writer.write_all(b"!").unwrap();
    assert_eq!(idle(&mut guest, &mut host, &block), Ok(false));
    host.budget = Some(Duration::ZERO);
    host.slept = Duration::from_secs(1);
    assert_eq!(idle(&mut guest, &mut host, &block), Err(Flow::Deadline));
}
