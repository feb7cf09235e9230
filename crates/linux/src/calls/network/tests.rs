//! Socket calls: pairs, and connections to listeners of the test.

mod destinations;
mod host;
mod pairs;
mod waiting;

use std::net::SocketAddr;

use crate::process::options::ProcessOptions;
use crate::rules::connect::ConnectRules;
use crate::tests::Machine;
use crate::wire::address::Address;
use crate::wire::errno::Errno;

const STREAM: u64 = 1;
const DGRAM: u64 = 2;
const SEQPACKET: u64 = 5;
const NONBLOCK: u64 = 0o4000;

/// A program with these rules.
fn machine(rules: &[&str]) -> Machine {
    let mut connect = ConnectRules::default();
    for rule in rules {
        connect.add(rule).unwrap();
    }
    with_rules(connect)
}

fn with_rules(connect: ConnectRules) -> Machine {
    Machine::with(&ProcessOptions {
        connect,
        ..ProcessOptions::default()
    })
}

fn error(errno: Errno) -> i64 {
    errno.to_result().cast_signed()
}

/// A `sockaddr` in guest memory, and its length.
fn address(machine: &mut Machine, to: SocketAddr) -> [u64; 2] {
    let bytes = Address::Internet(to).encode();
    [machine.guest.put(&bytes), bytes.len() as u64]
}

/// `AF_INET` or `AF_INET6`
fn family(to: SocketAddr) -> u64 {
    if to.is_ipv4() { 2 } else { 10 }
}

fn connect(machine: &mut Machine, fd: u64, to: SocketAddr) -> i64 {
    let [at, length] = address(machine, to);
    machine.call("connect", &[fd, at, length])
}

/// A socket of this type that is connected.
fn connected(machine: &mut Machine, to: SocketAddr, kind: u64) -> u64 {
    let fd = machine.value("socket", &[family(to), kind, 0]);
    assert_eq!(connect(machine, fd, to), 0);
    fd
}

fn send(machine: &mut Machine, fd: u64, bytes: &[u8], flags: u64) -> i64 {
    let at = machine.guest.put(bytes);
    machine.call("sendto", &[fd, at, bytes.len() as u64, flags, 0, 0])
}

fn receive(machine: &mut Machine, fd: u64, length: usize, flags: u64) -> Result<Vec<u8>, i64> {
    let at = machine.room(length);
    let count = machine.call("recvfrom", &[fd, at, length as u64, flags, 0, 0]);
    let count = usize::try_from(count).map_err(|_| count)?;
    Ok(machine.guest.bytes(at, count.min(length)))
}

/// A `struct msghdr`: name, parts of memory, ancillary data.
fn message(machine: &mut Machine, name: [u64; 2], parts: &[u64], control: [u64; 2]) -> u64 {
    let vectors = machine.words(parts);
    let count = parts.len() as u64 / 2;
    machine.words(&[name[0], name[1], vectors, count, control[0], control[1], 0])
}
