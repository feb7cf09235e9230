//! Waiting for the host: what ends it, and that nothing is missed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::calls::network::tests::{
    NONBLOCK, STREAM, address, connect, connected, error, machine, receive,
};
use crate::host::Flow;
use crate::objects::readiness::Events;
use crate::objects::timerfd::Now;
use crate::process::look::{Interest, Look};
use crate::tests::Machine;
use crate::wire::errno::{EAGAIN, EALREADY, ECONNREFUSED, EINPROGRESS, EISCONN};

/// A listener that takes no more connections, and those that it has.
fn jammed() -> (TcpListener, SocketAddr, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let at = listener.local_addr().unwrap();
    let limit = Duration::from_millis(200);
    let taken: Vec<_> = (0..16)
        .map_while(|_| TcpStream::connect_timeout(&at, limit).ok())
        .collect();
    assert!(taken.len() < 16, "it takes everybody");
    (listener, at, taken)
}

#[test]
fn a_connection_that_is_never_made_ends_at_the_deadline() {
    let (_listener, at, _taken) = jammed();
    let mut machine = machine(&[&at.to_string()]);
    let template = machine.process.clone();
    let fd = machine.value("socket", &[2, STREAM, 0]);
    let [to, length] = address(&mut machine, at);
    machine.guest.left = Duration::from_millis(30);
    let start = std::time::Instant::now();
    assert_eq!(machine.flow("connect", &[fd, to, length]), Flow::Deadline);
    assert!(start.elapsed() >= Duration::from_millis(29));
    machine.process.reset_from(&template);

    machine.guest.left = Duration::from_secs(9);
    let fd = machine.value("socket", &[2, STREAM, 0]);
    // SO_SNDTIMEO: 10 ms
    let limit = machine.words(&[0, 10_000]);
    machine.value("setsockopt", &[fd, 1, 21, limit, 16]);
    machine.fails("connect", &[fd, to, length], EINPROGRESS);
    let fd = machine.value("socket", &[2, STREAM | NONBLOCK, 0]);
    machine.fails("connect", &[fd, to, length], EINPROGRESS);
    let found = connect(&mut machine, fd, at);
    assert_eq!(found, error(EALREADY), "once more");
    let poll = machine
        .guest
        .put(&[u8::try_from(fd).unwrap(), 0, 0, 0, 5, 0, 0, 0]);
    assert_eq!(machine.value("poll", &[poll, 1, 20]), 0);
    machine.guest.left = Duration::from_millis(30);
    assert_eq!(machine.flow("poll", &[poll, 1, u64::MAX]), Flow::Deadline);
}

#[test]
fn a_connection_in_the_making_is_asked_about_by_connecting_again() {
    let (listener, at, taken) = jammed();
    let mut machine = machine(&[&at.to_string()]);
    let fd = machine.value("socket", &[2, STREAM | NONBLOCK, 0]);
    assert_eq!(connect(&mut machine, fd, at), error(EINPROGRESS));
    drop(taken);
    // The host's kernel tries again after a second.
    listener.set_nonblocking(true).unwrap();
    let start = std::time::Instant::now();
    let found = loop {
        while listener.accept().is_ok() {}
        match connect(&mut machine, fd, at) {
            found if found == error(EALREADY) => {}
            found => break found,
        }
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(found, 0);
    assert_eq!(connect(&mut machine, fd, at), error(EISCONN));

    drop(listener);
    let other = machine.value("socket", &[2, STREAM | NONBLOCK, 0]);
    let outcomes: Vec<_> = (0..2).map(|_| connect(&mut machine, other, at)).collect();
    assert!(outcomes.contains(&error(ECONNREFUSED)), "{outcomes:?}");
}

#[test]
fn a_busy_socket_file_is_waited_for() {
    let path = std::env::temp_dir().join(format!("tinykvm-busy-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let text = path.to_str().unwrap();
    let mut machine = machine(&[&format!("unix:{text}")]);
    let named = [&[1, 0][..], text.as_bytes()].concat();
    let [to, length] = [machine.guest.put(&named), named.len() as u64];
    let fds: Vec<_> = (0..9)
        .map(|_| machine.value("socket", &[1, STREAM | NONBLOCK, 0]))
        .collect();
    let full = fds
        .iter()
        .position(|&fd| machine.call("connect", &[fd, to, length]) == error(EAGAIN))
        .expect("it takes no more");
    let fd = machine.value("socket", &[1, STREAM, 0]);
    machine.host.budget = Some(Duration::from_millis(30));
    assert_eq!(machine.flow("connect", &[fd, to, length]), Flow::Deadline);
    for _ in 0..=full {
        if listener.set_nonblocking(true).is_ok() {
            let _ = listener.accept();
        }
    }
    machine.host.budget = None;
    let fd = machine.value("socket", &[1, STREAM, 0]);
    assert_eq!(machine.value("connect", &[fd, to, length]), 0);
    std::fs::remove_file(&path).unwrap();
}

/// What a wait for `wanted` asks the host for, where `known` was told already.
fn asked(machine: &Machine, fd: u64, wanted: Events, known: Events) -> Vec<u16> {
    let state = machine.process.state();
    let look = Look {
        state,
        now: Now {
            monotonic: Duration::ZERO,
            realtime: Duration::ZERO,
            resumed: Duration::ZERO,
        },
    };
    let mut interest = Interest {
        known,
        ..Interest::default()
    };
    let id = state.descriptors.id(i32::try_from(fd).unwrap()).unwrap();
    look.interest(id, wanted, &mut interest);
    interest.host.iter().map(|poll| poll.events).collect()
}

#[test]
fn what_came_after_the_call_looked_ends_its_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let mut machine = machine(&[&at.to_string()]);
    let fd = connected(&mut machine, at, STREAM);
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"text").unwrap();
    assert_eq!(receive(&mut machine, fd, 4, 2).unwrap(), b"text", "a look");
    let both = Events::IN | Events::OUT;
    // It is there, but may not have been when the call looked.
    assert_eq!(asked(&machine, fd, both, Events::NONE), [5]);
    // Only what was told as an edge does not count.
    assert_eq!(asked(&machine, fd, both, Events::OUT), [1]);
    assert_eq!(asked(&machine, fd, both, both), [0]);
    drop(peer);
    // MSG_WAITALL: all, and the end of it.
    assert_eq!(receive(&mut machine, fd, 9, 0x100).unwrap(), b"text");
    assert_eq!(asked(&machine, fd, Events::IN, Events::NONE), [1]);
}

#[test]
fn what_comes_while_a_call_begins_to_wait_is_not_missed() {
    const ROUNDS: usize = 20_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let mut machine = machine(&[&at.to_string()]);
    let fd = connected(&mut machine, at, STREAM);
    let (mut peer, _) = listener.accept().unwrap();
    let started = Arc::new(AtomicUsize::new(0));
    let begun = Arc::clone(&started);
    // Writes a little later in each round, so that at some time it is the wrong moment.
    let writer = std::thread::spawn(move || {
        for round in 1..=ROUNDS {
            let mut turns = 0;
            while begun.load(Ordering::Acquire) < round {
                turns += 1;
                if turns % 1000 == 0 {
                    std::thread::yield_now();
                }
                std::hint::spin_loop();
            }
            for _ in 0..round % 300 {
                std::hint::spin_loop();
            }
            if peer.write_all(b"x").is_err() {
                break;
            }
        }
    });
    let poll = machine
        .guest
        .put(&[u8::try_from(fd).unwrap(), 0, 0, 0, 1, 0, 0, 0]);
    let room = machine.room(8);
    machine.guest.left = Duration::from_secs(20);
    for round in 1..=ROUNDS {
        started.store(round, Ordering::Release);
        if round % 2 == 0 {
            assert_eq!(machine.value("poll", &[poll, 1, u64::MAX]), 1);
        }
        assert_eq!(machine.value("recvfrom", &[fd, room, 1, 0, 0, 0]), 1);
    }
    writer.join().unwrap();
}

#[test]
fn a_part_of_a_message_that_went_out_counts() {
    const LONG: usize = 12_000_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let mut machine = machine(&[&at.to_string()]);
    let fd = connected(&mut machine, at, STREAM);
    let (mut peer, _) = listener.accept().unwrap();
    let text = machine.room(LONG);
    let vectors = machine.words(&[text, 3, text, LONG as u64]);
    let slot = |index: u64| [0, 0, vectors + 16 * index, 1, 0, 0, 0, 0];
    let slots = machine.words(&[slot(0), slot(1), slot(0)].concat());
    // Nobody reads, so the second message does not fit.
    assert_eq!(machine.value("sendmmsg", &[fd, slots, 3, 0]), 2);
    let told = [0, 1].map(|index| machine.word(slots + 64 * index + 56) & 0xffff_ffff);
    assert_eq!(told[0], 3);
    assert!((1..LONG as u64).contains(&told[1]), "{told:?}");
    machine.value("close", &[fd]);
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, told[0] + told[1]);
}
