use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use crate::calls::network::tests::{
    DGRAM, NONBLOCK, STREAM, address, connect, connected, error, machine, receive, send, with_rules,
};
use crate::host::Flow;
use crate::rules::connect::ConnectRules;
use crate::tests::Machine;
use crate::wire::address::Address;
use crate::wire::errno::{
    EACCES, EAFNOSUPPORT, EAGAIN, ECONNREFUSED, ECONNRESET, EDESTADDRREQ, EINPROGRESS, EINVAL,
    EISCONN, ENFILE, ENOENT, ENOTCONN, EPIPE,
};

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

/// How many host sockets a program has.
fn host_sockets(machine: &Machine) -> usize {
    let sockets = machine.process.state().objects.sockets.iter();
    sockets.filter(|socket| socket.is_open()).count()
}

#[test]
fn a_rule_lets_a_connection_through() {
    let (listener, at) = listener();
    let mut machine = machine(&[&at.to_string()]);
    let fd = connected(&mut machine, at, STREAM);
    let (mut peer, _) = listener.accept().unwrap();
    assert_eq!(send(&mut machine, fd, b"question", 0), 8);
    let mut bytes = [0; 8];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"question");
    peer.write_all(b"answer").unwrap();
    assert_eq!(receive(&mut machine, fd, 99, 0).unwrap(), b"answer");
    peer.write_all(b"answer").unwrap();
    // MSG_WAITALL, filled exactly.
    assert_eq!(receive(&mut machine, fd, 6, 0x100).unwrap(), b"answer");
    assert_eq!(connect(&mut machine, fd, at), error(EISCONN));

    let (name, length) = (machine.room(64), machine.guest.put(&[64, 0, 0, 0]));
    machine.value("getpeername", &[fd, name, length]);
    let bytes = Address::Internet(at).encode();
    assert_eq!(machine.guest.bytes(name, 16), bytes);
    let short = machine.guest.put(&[3, 0, 0, 0]);
    let marked = machine.words(&[u64::MAX]);
    machine.value("getsockname", &[fd, marked, short]);
    assert_eq!(machine.guest.bytes(marked, 8)[3..], [0xff; 5]);
    assert_eq!(machine.guest.bytes(short, 1), [16]);

    drop(peer);
    assert_eq!(receive(&mut machine, fd, 99, 0).unwrap(), b"");
    send(&mut machine, fd, b"x", 0x4000);
    machine.value("close", &[fd]);
    assert_eq!(host_sockets(&machine), 0);
}

#[test]
fn without_a_rule_nothing_reaches_the_host() {
    let (listener, at) = listener();
    listener.set_nonblocking(true).unwrap();
    for rules in [
        vec![],
        vec!["127.0.0.1:1"],
        vec!["0.0.0.0/0:*", "[::/0]:*", "dns"],
    ] {
        let mut machine = machine(&rules);
        let fd = machine.value("socket", &[2, STREAM, 0]);
        assert_eq!(connect(&mut machine, fd, at), error(EACCES));
        assert_eq!(
            machine.host.denied,
            [("connect", at.to_string().into_bytes())]
        );
        let mapped: SocketAddr = format!("[::ffff:127.0.0.1]:{}", at.port()).parse().unwrap();
        let six = machine.value("socket", &[10, STREAM, 0]);
        assert_eq!(connect(&mut machine, six, mapped), error(EACCES));
        assert_eq!(connect(&mut machine, six, at), error(EAFNOSUPPORT));
        let udp = machine.value("socket", &[2, DGRAM, 0]);
        let [to, length] = address(&mut machine, at);
        machine.fails("sendto", &[udp, to, 4, 0, to, length], EACCES);
        // A family of 0 is none: Linux takes it for AF_INET in some calls.
        let none = machine
            .guest
            .put(&[&[0, 0][..], &machine.guest.bytes(to + 2, 14)].concat());
        machine.fails("sendto", &[udp, to, 4, 0, none, 16], EAFNOSUPPORT);
        assert_eq!(machine.value("connect", &[udp, none, 16]), 0);
        machine.fails("sendto", &[udp, to, 4, 0, 0, 0], EDESTADDRREQ);
        machine.fails("sendto", &[fd, to, 4, 0, 0, 0], ENOTCONN);
        assert_eq!(host_sockets(&machine), 0);
    }
    assert!(listener.accept().is_err());
}

#[test]
fn a_mapped_address_is_its_ipv4_address() {
    let (_listener, at) = listener();
    let mut machine = machine(&[&at.to_string()]);
    let mapped: SocketAddr = format!("[::ffff:127.0.0.1]:{}", at.port()).parse().unwrap();
    connected(&mut machine, mapped, STREAM);
}

#[test]
fn socket_files_need_a_rule() {
    let path = std::env::temp_dir().join(format!("tinykvm-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let text = path.to_str().unwrap();
    let mut machine = machine(&[&format!("unix:{text}")]);
    let mut named = vec![1, 0];
    named.extend_from_slice(text.as_bytes());
    let at = machine.guest.put(&named);
    let fd = machine.value("socket", &[1, STREAM, 0]);
    assert_eq!(machine.value("connect", &[fd, at, named.len() as u64]), 0);
    let (mut peer, _) = listener.accept().unwrap();
    send(&mut machine, fd, b"hello", 0);
    let mut bytes = [0; 5];
    peer.read_exact(&mut bytes).unwrap();
    let other = machine.value("socket", &[1, STREAM, 0]);
    for (denied, error) in [
        (&b"\x01\0/run/other.sock"[..], ENOENT),
        (b"\x01\0\0abstract", ECONNREFUSED),
        (b"\x01\0", ECONNREFUSED),
    ] {
        let at = machine.guest.put(denied);
        machine.fails("connect", &[other, at, denied.len() as u64], error);
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_refused_connection_says_so() {
    let (listener, at) = listener();
    drop(listener);
    let mut machine = machine(&[&at.to_string()]);
    let fd = machine.value("socket", &[2, STREAM, 0]);
    assert_eq!(connect(&mut machine, fd, at), error(ECONNREFUSED));
    let fd = machine.value("socket", &[2, STREAM | NONBLOCK, 0]);
    let found = connect(&mut machine, fd, at);
    assert!(
        [error(EINPROGRESS), error(ECONNREFUSED)].contains(&found),
        "{found}"
    );
}

#[test]
fn a_peer_that_never_answers_ends_at_the_deadline() {
    let (listener, at) = listener();
    let mut machine = machine(&[&at.to_string()]);
    let fd = connected(&mut machine, at, STREAM);
    let room = machine.room(8);
    machine.guest.left = Duration::from_millis(30);
    assert_eq!(
        machine.flow("recvfrom", &[fd, room, 8, 0, 0, 0]),
        Flow::Deadline
    );
    let set = machine.value("epoll_create1", &[0]);
    let event = machine.guest.put(&[1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
    machine.value("epoll_ctl", &[set, 1, fd, event]);
    assert_eq!(
        machine.flow("epoll_wait", &[set, room, 1, u64::MAX]),
        Flow::Deadline
    );
    // SO_RCVTIMEO: 10 ms
    machine.guest.left = Duration::from_secs(9);
    let limit = machine.words(&[0, 10_000]);
    machine.value("setsockopt", &[fd, 1, 20, limit, 16]);
    machine.fails("recvfrom", &[fd, room, 8, 0, 0, 0], EAGAIN);
    drop(listener);
}

#[test]
fn readiness_is_the_hosts() {
    let (listener, at) = listener();
    let mut machine = machine(&[&at.to_string()]);
    let fd = connected(&mut machine, at, STREAM);
    let (mut peer, _) = listener.accept().unwrap();
    let set = machine.value("epoll_create1", &[0]);
    // IN, OUT and ET, as runtimes ask for
    let event = machine.guest.put(&[5, 0, 0, 0x80, 7, 0, 0, 0, 0, 0, 0, 0]);
    machine.value("epoll_ctl", &[set, 1, fd, event]);
    let room = machine.room(12);
    let next = |machine: &mut Machine, wait: u64| {
        let count = machine.value("epoll_wait", &[set, room, 1, wait]);
        (count > 0).then(|| machine.guest.bytes(room, 1)[0])
    };
    assert_eq!(next(&mut machine, 0), Some(4));
    assert_eq!(next(&mut machine, 0), None);
    for _ in 0..3 {
        peer.write_all(b"text").unwrap();
        assert_eq!(next(&mut machine, 5000).map(|events| events & 1), Some(1));
        assert_eq!(next(&mut machine, 0), None, "told once");
        assert_eq!(receive(&mut machine, fd, 99, 0).unwrap(), b"text");
        assert_eq!(next(&mut machine, 0), None);
    }
    drop(peer);
    assert_eq!(next(&mut machine, 5000).map(|events| events & 1), Some(1));
}

#[test]
fn a_large_message_waits_for_its_reader() {
    let (listener, at) = listener();
    let mut machine = machine(&[&at.to_string()]);
    let fd = connected(&mut machine, at, STREAM);
    let (mut peer, _) = listener.accept().unwrap();
    let reader = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        let mut bytes = Vec::new();
        peer.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let bytes: Vec<u8> = (0..12_000_000_u32)
        .flat_map(|word| word.to_le_bytes()[..1].to_vec())
        .collect();
    assert_eq!(send(&mut machine, fd, &bytes, 0), 12_000_000);
    machine.value("close", &[fd]);
    assert!(reader.join().unwrap() == bytes);
}

#[test]
fn host_sockets_are_few_and_end_with_the_request() {
    let (listener, at) = listener();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let mut machine = machine(&[&at.to_string()]);
    let template = machine.process.clone();
    for _ in 0..3 {
        for _ in 0..64 {
            connected(&mut machine, at, STREAM);
        }
        let one_more = machine.value("socket", &[2, STREAM, 0]);
        assert_eq!(connect(&mut machine, one_more, at), error(ENFILE));
        let sockets = &machine.process.state().objects.sockets;
        let weak = std::sync::Arc::downgrade(sockets.get(0).unwrap().host().unwrap());
        machine.process.reset_from(&template);
        assert_eq!(weak.strong_count(), 0, "the reset closed it");
    }
}

#[test]
fn what_was_open_at_the_freeze_is_broken_in_forks() {
    let (_listener, at) = listener();
    let mut machine = machine(&[&at.to_string()]);
    let fd = connected(&mut machine, at, STREAM);
    let unused = machine.value("socket", &[2, STREAM, 0]);
    machine.process.freeze(&machine.guest);
    assert_eq!(host_sockets(&machine), 0);
    assert_eq!(receive(&mut machine, fd, 9, 0), Err(error(ECONNRESET)));
    assert_eq!(send(&mut machine, fd, b"x", 0x4000), error(EPIPE));
    let poll = machine
        .guest
        .put(&[u8::try_from(fd).unwrap(), 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(machine.value("poll", &[poll, 1, u64::MAX]), 1);
    assert_eq!(machine.guest.bytes(poll + 6, 1), [0x19]);
    assert_eq!(
        connect(&mut machine, unused, at),
        0,
        "it had nothing behind it"
    );
}

#[test]
fn nobody_connects_to_a_program() {
    let mut machine = machine(&["127.0.0.1:*"]);
    let fd = machine.value("socket", &[2, STREAM, 0]);
    for to in ["127.0.0.1:0", "0.0.0.0:80", "192.0.2.1:0"] {
        let [at, length] = address(&mut machine, to.parse().unwrap());
        machine.fails("bind", &[fd, at, length], EACCES);
    }
    let [at, length] = address(&mut machine, "0.0.0.0:0".parse().unwrap());
    assert_eq!(machine.value("bind", &[fd, at, length]), 0);
    machine.fails("listen", &[fd, 5], EACCES);
    machine.fails("accept", &[fd, 0, 0], EINVAL);
}

/// A query for the addresses of a name, as resolvers send it.
pub(super) fn query(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

#[test]
fn names_are_asked_for_and_their_addresses_allowed() {
    let resolver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = resolver.local_addr().unwrap();
    let mut rules = ConnectRules::default();
    rules.add("*.allowed.example:443").unwrap();
    rules.set_resolvers(vec![server]);
    let mut machine = with_rules(rules);
    let fd = connected(&mut machine, server, DGRAM);
    let denied = query("secret.attacker.example");
    assert_eq!(send(&mut machine, fd, &denied, 0), error(EACCES));
    assert_eq!(
        machine.host.denied.last().unwrap().1,
        b"dns:secret.attacker.example"
    );
    assert_eq!(send(&mut machine, fd, b"not a query", 0), error(EACCES));

    let good = query("db.allowed.example");
    assert_eq!(
        send(&mut machine, fd, &good, 0),
        i64::try_from(good.len()).unwrap()
    );
    let mut asked = [0; 512];
    let (length, from) = resolver.recv_from(&mut asked).unwrap();
    assert_eq!(asked[..length], good);
    let mut answer = good.clone();
    (answer[2], answer[7]) = (0x81, 1);
    answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 33]);
    resolver.send_to(&answer, from).unwrap();
    assert_eq!(receive(&mut machine, fd, 512, 0).unwrap(), answer);
    let learnt = &machine.process.state().objects.learnt;
    let rules = &machine.process.options().connect;
    assert!(rules.allows("192.0.2.33:443".parse().unwrap(), learnt));
    assert!(!rules.allows("192.0.2.33:80".parse().unwrap(), learnt));

    // By TCP the resolver is a host like any other.
    let tcp = machine.value("socket", &[2, STREAM, 0]);
    assert_eq!(connect(&mut machine, tcp, server), error(EACCES));
}

#[test]
fn datagrams_have_an_address() {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = peer.local_addr().unwrap();
    let mut machine = machine(&[&at.to_string()]);
    let fd = machine.value("socket", &[2, DGRAM, 0]);
    let [to, length] = address(&mut machine, at);
    let text = machine.guest.put(b"ping");
    assert_eq!(machine.value("sendto", &[fd, text, 4, 0, to, length]), 4);
    let mut bytes = [0; 9];
    let (_, from) = peer.recv_from(&mut bytes).unwrap();
    peer.send_to(b"pong!", from).unwrap();
    let (room, name) = (machine.room(9), machine.room(16));
    let size = machine.guest.put(&[16, 0, 0, 0]);
    // MSG_TRUNC
    assert_eq!(
        machine.value("recvfrom", &[fd, room, 4, 0x20, name, size]),
        5
    );
    assert_eq!(
        machine.guest.bytes(name, 16),
        Address::Internet(at).encode()
    );
}
