//! Each way to send says where to, and each asks the rules.

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::calls::network::tests::{
    DGRAM, STREAM, address, error, machine, message, send, with_rules,
};
use crate::host::Flow;
use crate::rules::connect::ConnectRules;
use crate::tests::{Machine, NOWHERE};
use crate::wire::errno::{
    EACCES, EAFNOSUPPORT, EAGAIN, ECONNREFUSED, EDESTADDRREQ, EFAULT, EINVAL, EMSGSIZE, ENOENT,
    ENOTCONN,
};

/// A host socket with a limit on waiting, so that a test that fails does not hang.
fn receiver() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let at = socket.local_addr().unwrap();
    (socket, at)
}

/// Nothing has come.
fn is_empty(receiver: &UdpSocket) -> bool {
    receiver.set_nonblocking(true).unwrap();
    let found = receiver.recv(&mut [0; 99]);
    receiver.set_nonblocking(false).unwrap();
    found.is_err()
}

fn next(receiver: &UdpSocket) -> Vec<u8> {
    let mut bytes = [0; 512];
    let length = receiver.recv(&mut bytes).unwrap();
    bytes[..length].to_vec()
}

/// A datagram socket file of the test, with its `sockaddr` in guest memory.
struct SocketFile {
    path: PathBuf,
    socket: UnixDatagram,
}

impl SocketFile {
    fn new(name: &str) -> Self {
        let name = format!("tinykvm-{name}-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        Self { path, socket }
    }

    fn text(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn rule(&self) -> String {
        format!("unix:{}", self.text())
    }

    fn address(&self, machine: &mut Machine) -> [u64; 2] {
        unix_address(machine, self.text().as_bytes())
    }

    fn next(&self) -> Vec<u8> {
        let mut bytes = [0; 512];
        let length = self.socket.recv(&mut bytes).unwrap();
        bytes[..length].to_vec()
    }

    fn is_empty(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let found = self.socket.recv(&mut [0; 99]);
        self.socket.set_nonblocking(false).unwrap();
        found.is_err()
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn unix_address(machine: &mut Machine, path: &[u8]) -> [u64; 2] {
    let bytes = [&[1, 0][..], path].concat();
    [machine.guest.put(&bytes), bytes.len() as u64]
}

/// An array of `struct mmsghdr`, each with a text and where it goes.
fn slots(machine: &mut Machine, messages: &[(&[u8], [u64; 2])]) -> u64 {
    let mut words = Vec::new();
    for (text, name) in messages {
        let at = machine.guest.put(text);
        let vector = machine.words(&[at, text.len() as u64]);
        words.extend_from_slice(&[name[0], name[1], vector, 1, 0, 0, 0, 0]);
    }
    machine.words(&words)
}

/// What is told about the message in a slot.
fn told(machine: &Machine, slots: u64, index: u64) -> u64 {
    machine.word(slots + index * 64 + 56) & 0xffff_ffff
}

#[test]
fn a_message_names_its_destination() {
    let (allowed, at) = receiver();
    let (forbidden, elsewhere) = receiver();
    let mut machine = machine(&[&at.to_string()]);
    let fd = machine.value("socket", &[2, DGRAM, 0]);
    let text = machine.guest.put(b"hello");
    let to = address(&mut machine, at);
    let good = message(&mut machine, to, &[text, 3, text + 3, 2], [0, 0]);
    assert_eq!(machine.value("sendmsg", &[fd, good, 0]), 5);
    assert_eq!(next(&allowed), b"hello");

    let to = address(&mut machine, elsewhere);
    let bad = message(&mut machine, to, &[text, 5], [0, 0]);
    machine.fails("sendmsg", &[fd, bad, 0], EACCES);
    let line = ("sendmsg", elsewhere.to_string().into_bytes());
    assert_eq!(machine.host.denied, [line]);
    // Also on a socket that is connected to where it may go.
    let to = address(&mut machine, at);
    machine.value("connect", &[fd, to[0], to[1]]);
    machine.fails("sendmsg", &[fd, bad, 0], EACCES);
    assert!(is_empty(&forbidden) && is_empty(&allowed));
    let bare = message(&mut machine, [0, 0], &[text, 5], [0, 0]);
    assert_eq!(machine.value("sendmsg", &[fd, bare, 0]), 5);
    assert_eq!(next(&allowed), b"hello");

    // Descriptors do not leave the program.
    let control = machine.words(&[20, 1 | 1 << 32, fd]);
    let with = message(&mut machine, [0, 0], &[text, 5], [control, 24]);
    machine.fails("sendmsg", &[fd, with, 0], EINVAL);
    let stream = machine.value("socket", &[2, STREAM, 0]);
    machine.fails("sendmsg", &[stream, good, 0], ENOTCONN);
    assert!(is_empty(&allowed));
}

#[test]
fn of_several_messages_each_is_asked_about() {
    let (allowed, at) = receiver();
    let (forbidden, elsewhere) = receiver();
    let mut machine = machine(&[&at.to_string()]);
    let fd = machine.value("socket", &[2, DGRAM, 0]);
    let good = address(&mut machine, at);
    let bad = address(&mut machine, elsewhere);
    let three = slots(&mut machine, &[(b"1", good), (b"22", bad), (b"333", good)]);
    assert_eq!(machine.value("sendmmsg", &[fd, three, 3, 0]), 1);
    assert_eq!([0, 1, 2].map(|slot| told(&machine, three, slot)), [1, 0, 0]);
    let line = ("sendmmsg", elsewhere.to_string().into_bytes());
    assert_eq!(machine.host.denied, [line]);
    assert_eq!(next(&allowed), b"1");
    // From the one that is denied.
    machine.fails("sendmmsg", &[fd, three + 64, 2, 0], EACCES);
    assert_eq!(machine.value("sendmmsg", &[fd, three + 128, 1, 0]), 1);
    assert_eq!(next(&allowed), b"333");
    assert!(is_empty(&forbidden) && is_empty(&allowed));
}

#[test]
fn the_count_of_messages_is_bounded() {
    let (_receiver, at) = receiver();
    let mut machine = machine(&[&at.to_string()]);
    let fd = machine.value("socket", &[2, DGRAM, 0]);
    let to = address(&mut machine, at);
    let many = vec![(&b"x"[..], to); 1100];
    let all = slots(&mut machine, &many);
    for count in [1100, u64::from(u32::MAX)] {
        assert_eq!(machine.value("sendmmsg", &[fd, all, count, 0]), 1024);
    }
    assert_eq!([1023, 1024].map(|slot| told(&machine, all, slot)), [1, 0]);
    assert_eq!(machine.value("sendmmsg", &[fd, all, 0, 0]), 0);
    // Behind these there is nothing; those before count.
    let two = slots(&mut machine, &many[..2]);
    let count = u64::from(u32::MAX);
    assert_eq!(machine.value("sendmmsg", &[fd, two, count, 0]), 2);
    machine.fails("sendmmsg", &[fd, NOWHERE, count, 0], EFAULT);
    // Near the end of the address space nothing is taken for something else.
    machine.fails("sendmmsg", &[fd, u64::MAX - 63, count, 0], EFAULT);
    let long = message(&mut machine, to, &[0, 0], [0, 0]);
    let mut words: Vec<u64> = (0..7).map(|word| machine.word(long + word * 8)).collect();
    words[3] = 1025;
    let long = machine.words(&words);
    machine.fails("sendmsg", &[fd, long, 0], EMSGSIZE);
}

#[test]
fn the_resolver_gets_queries_only_in_whatever_way_they_are_sent() {
    let (resolver, server) = receiver();
    let mut rules = ConnectRules::default();
    rules.add("db.allowed.example:443").unwrap();
    rules.set_resolvers(vec![server]);
    let mut machine = with_rules(rules);
    let fd = machine.value("socket", &[2, DGRAM, 0]);
    let to = address(&mut machine, server);
    let good = host::query("db.allowed.example");
    let bad = host::query("secret.attacker.example");
    for text in [&bad[..], b"not a query"] {
        let at = machine.guest.put(text);
        let sent = message(&mut machine, to, &[at, text.len() as u64], [0, 0]);
        machine.fails("sendmsg", &[fd, sent, 0], EACCES);
        machine.fails(
            "sendto",
            &[fd, at, text.len() as u64, 0, to[0], to[1]],
            EACCES,
        );
        let both = slots(&mut machine, &[(&good, to), (text, to)]);
        assert_eq!(machine.value("sendmmsg", &[fd, both, 2, 0]), 1);
        assert_eq!(next(&resolver), good);
    }
    // Two parts of memory are one query.
    let at = machine.guest.put(&good);
    let rest = good.len() as u64 - 9;
    let parts = message(&mut machine, to, &[at, 9, at + 9, rest], [0, 0]);
    assert_eq!(machine.value("sendmsg", &[fd, parts, 0]), 9 + rest);
    assert_eq!(next(&resolver), good);
    assert!(is_empty(&resolver));
}

#[test]
fn unix_datagrams_need_a_rule() {
    let allowed = SocketFile::new("allowed");
    let forbidden = SocketFile::new("forbidden");
    let mut machine = machine(&[&allowed.rule()]);
    let fd = machine.value("socket", &[1, DGRAM, 0]);
    let text = machine.guest.put(b"hello");
    machine.fails("sendto", &[fd, text, 5, 0, 0, 0], EDESTADDRREQ);
    let [to, length] = allowed.address(&mut machine);
    assert_eq!(machine.value("sendto", &[fd, text, 5, 0, to, length]), 5);
    assert_eq!(allowed.next(), b"hello");
    let sent = message(&mut machine, [to, length], &[text, 4], [0, 0]);
    assert_eq!(machine.value("sendmsg", &[fd, sent, 0]), 4);
    assert_eq!(allowed.next(), b"hell");

    let roundabout = format!("/tmp/..{}", forbidden.text());
    for path in [
        forbidden.text().as_bytes(),
        roundabout.as_bytes(),
        format!("{}/", allowed.text()).as_bytes(),
        b"\0abstract",
        b"",
    ] {
        let before = machine.host.denied.len();
        let [at, size] = unix_address(&mut machine, path);
        // What no rule is about does not exist; in the other space of names nobody listens.
        let error = match path {
            [b'/', ..] => ENOENT,
            _ => ECONNREFUSED,
        };
        machine.fails("sendto", &[fd, text, 5, 0, at, size], error);
        machine.fails("connect", &[fd, at, size], error);
        let sent = message(&mut machine, [at, size], &[text, 5], [0, 0]);
        machine.fails("sendmsg", &[fd, sent, 0], error);
        let both = slots(&mut machine, &[(b"x", [to, length]), (b"y", [at, size])]);
        assert_eq!(machine.value("sendmmsg", &[fd, both, 2, 0]), 1);
        assert_eq!(allowed.next(), b"x");
        // Each place is told once.
        let told: Vec<_> = machine.host.denied[before..]
            .iter()
            .map(|(call, _)| *call)
            .collect();
        assert_eq!(told, ["sendto"]);
    }
    let udp = machine.value("socket", &[2, DGRAM, 0]);
    machine.fails("sendto", &[udp, text, 5, 0, to, length], EAFNOSUPPORT);
    assert!(allowed.is_empty() && forbidden.is_empty());

    assert_eq!(machine.value("connect", &[fd, to, length]), 0);
    assert_eq!(send(&mut machine, fd, b"connected", 0), 9);
    assert_eq!(allowed.next(), b"connected");
    drop(allowed);
    assert_eq!(send(&mut machine, fd, b"x", 0), error(ECONNREFUSED));
}

#[test]
fn a_unix_datagram_waits_for_its_reader() {
    let file = SocketFile::new("waits");
    let mut machine = machine(&[&file.rule()]);
    let fd = machine.value("socket", &[1, DGRAM, 0]);
    let [to, length] = file.address(&mut machine);
    let text = machine.guest.put(b"hello");
    // MSG_DONTWAIT: fills the queue of the reader.
    let filled = (0..10_000)
        .find(|_| machine.call("sendto", &[fd, text, 5, 0x40, to, length]) == error(EAGAIN))
        .expect("the queue has an end");
    assert!(filled > 0);
    // The host's clock, not the recorder's, has to go on: it is another thread that reads.
    machine.guest.left = Duration::from_secs(9);
    for connected in [false, true] {
        let arguments = if connected {
            machine.value("connect", &[fd, to, length]);
            [fd, text, 5, 0, 0, 0]
        } else {
            [fd, text, 5, 0, to, length]
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                file.next();
            });
            assert_eq!(machine.value("sendto", &arguments), 5);
        });
    }
    machine.host.budget = Some(machine.host.slept + Duration::from_millis(30));
    machine.guest.left = Duration::from_millis(30);
    for arguments in [[fd, text, 5, 0, 0, 0], [fd, text, 5, 0, to, length]] {
        assert_eq!(machine.flow("sendto", &arguments), Flow::Deadline);
    }
}
