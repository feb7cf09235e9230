use crate::calls::network::tests::{
    DGRAM, NONBLOCK, SEQPACKET, STREAM, error, machine, message, receive, send,
};
use crate::host::Flow;
use crate::tests::{Machine, NOWHERE};
use crate::wire::errno::{
    EAFNOSUPPORT, EAGAIN, EBADF, EDOM, EFAULT, EINVAL, EISCONN, EMSGSIZE, ENOPROTOOPT, ENOTSOCK,
    EOPNOTSUPP, EPIPE, EPROTONOSUPPORT, ESOCKTNOSUPPORT,
};

fn pair(machine: &mut Machine, kind: u64) -> [u64; 2] {
    let at = machine.room(8);
    assert_eq!(machine.value("socketpair", &[1, kind, 0, at]), 0);
    let both = machine.word(at);
    [both & 0xffff_ffff, both >> 32]
}

#[test]
fn bytes_go_both_ways() {
    let mut machine = machine(&[]);
    let [one, two] = pair(&mut machine, STREAM);
    assert_eq!(send(&mut machine, one, b"hello", 0), 5);
    assert_eq!(
        receive(&mut machine, two, 9, 2).unwrap(),
        b"hello",
        "a look"
    );
    assert_eq!(receive(&mut machine, two, 3, 0).unwrap(), b"hel");
    let at = machine.guest.put(b"back");
    assert_eq!(machine.value("write", &[two, at, 4]), 4);
    let count = machine.room(4);
    machine.value("ioctl", &[one, 0x541b, count]);
    assert_eq!(machine.guest.bytes(count, 1), [4]);
    let room = machine.room(9);
    assert_eq!(machine.value("read", &[one, room, 9]), 4);
    machine.value("shutdown", &[one, 1]);
    assert_eq!(receive(&mut machine, two, 9, 0).unwrap(), b"lo");
    assert_eq!(receive(&mut machine, two, 9, 0).unwrap(), b"");
    assert_eq!(send(&mut machine, one, b"x", 0x4000), error(EPIPE));
    assert_eq!(
        machine.flow("write", &[one, at, 1]),
        Flow::Signal { number: 13 }
    );
}

#[test]
fn messages_are_whole() {
    let mut machine = machine(&[]);
    for kind in [DGRAM, SEQPACKET] {
        let [one, two] = pair(&mut machine, kind | NONBLOCK);
        send(&mut machine, one, b"first", 0);
        send(&mut machine, one, b"second", 0);
        let room = machine.room(9);
        assert_eq!(
            machine.value("recvfrom", &[two, room, 2, 0x20, 0, 0]),
            5,
            "its length"
        );
        assert_eq!(receive(&mut machine, two, 9, 0).unwrap(), b"second");
        assert_eq!(receive(&mut machine, two, 9, 0), Err(error(EAGAIN)));
        assert_eq!(
            send(&mut machine, one, &vec![0; 300_000], 0),
            error(EMSGSIZE)
        );
    }
}

#[test]
fn waiting_without_anybody_is_a_deadlock() {
    let mut machine = machine(&[]);
    let [one, two] = pair(&mut machine, STREAM);
    let at = machine.room(8);
    assert_eq!(
        machine.flow("recvfrom", &[one, at, 8, 0, 0, 0]),
        Flow::Deadlock
    );
    assert_eq!(receive(&mut machine, one, 8, 0x40), Err(error(EAGAIN)));
    send(&mut machine, two, b"half", 0);
    let text = machine.room(300_000);
    assert_eq!(
        machine.flow("sendto", &[two, text, 300_000, 0, 0, 0]),
        Flow::Deadlock
    );
    let [one, two] = pair(&mut machine, STREAM);
    send(&mut machine, two, b"half", 0);
    // MSG_WAITALL
    assert_eq!(
        machine.flow("recvfrom", &[one, at, 8, 0x100, 0, 0]),
        Flow::Deadlock
    );
}

#[test]
fn descriptors_can_be_passed() {
    let mut machine = machine(&[]);
    let [one, two] = pair(&mut machine, STREAM);
    let counter = machine.value("eventfd2", &[7, 0]);
    // struct cmsghdr: length 20, SOL_SOCKET, SCM_RIGHTS, the descriptor
    let control = machine.words(&[20, 1 | 1 << 32, counter]);
    let text = machine.guest.put(b"x");
    let sent = message(&mut machine, [0, 0], &[text, 1], [control, 24]);
    assert_eq!(machine.value("sendmsg", &[one, sent, 0]), 1);
    machine.value("close", &[counter]);
    let control = machine.room(24);
    let room = machine.room(9);
    let got = message(&mut machine, [0, 0], &[room, 9], [control, 24]);
    assert_eq!(machine.value("recvmsg", &[two, got, 0]), 1);
    assert_eq!((machine.word(control), machine.word(got + 40)), (20, 24));
    let fd = machine.word(control + 16);
    assert_eq!(machine.value("read", &[fd, room, 8]), 8);
    assert_eq!(machine.word(room), 7, "it is the same counter");
    machine.value("close", &[fd]);
    assert_eq!(machine.process.state().objects.counters.iter().count(), 0);
}

#[test]
fn descriptors_that_nobody_takes_are_closed() {
    let mut machine = machine(&[]);
    let [one, two] = pair(&mut machine, STREAM);
    for taken in [false, true] {
        let counter = machine.value("eventfd2", &[7, 0]);
        let control = machine.words(&[20, 1 | 1 << 32, counter]);
        let text = machine.guest.put(b"x");
        let sent = message(&mut machine, [0, 0], &[text, 1], [control, 24]);
        machine.value("sendmsg", &[one, sent, 0]);
        machine.value("close", &[counter]);
        assert_eq!(machine.process.state().objects.counters.iter().count(), 1);
        if taken {
            machine.value("close", &[two]);
        } else {
            receive(&mut machine, two, 9, 0).unwrap();
        }
        assert_eq!(machine.process.state().objects.counters.iter().count(), 0);
    }
}

#[test]
fn several_messages_at_once() {
    let mut machine = machine(&[]);
    let [one, two] = pair(&mut machine, DGRAM);
    let text = machine.guest.put(b"abc");
    let vector = machine.words(&[text, 1, text, 2, text, 3]);
    let slot = |index: u64| [0, 0, vector + 16 * index, 1, 0, 0, 0, 9];
    let slots = machine.words(&[slot(0), slot(1), slot(2)].concat());
    assert_eq!(machine.value("sendmmsg", &[one, slots, 3, 0]), 3);
    assert_eq!(
        [56, 120, 184].map(|at| machine.word(slots + at) & 0xff),
        [1, 2, 3]
    );
    let room = machine.room(64);
    let vector = machine.words(&[room, 16]);
    let slot = [0, 0, vector, 1, 0, 0, 0, 0];
    let slots = machine.words(&[slot; 5].concat());
    assert_eq!(machine.value("recvmmsg", &[two, slots, 5, 0, 0]), 3);
    assert_eq!(machine.guest.bytes(room, 3), *b"abc");
}

#[test]
fn kinds_and_options_are_checked() {
    let mut machine = machine(&[]);
    let at = machine.room(64);
    for (arguments, expected) in [
        ([16, 3, 0], EAFNOSUPPORT),
        ([17, 3, 0], EAFNOSUPPORT),
        ([40, 1, 0], EAFNOSUPPORT),
        ([2, 3, 0], ESOCKTNOSUPPORT),
        ([2, 5, 0], ESOCKTNOSUPPORT),
        ([2, 1, 132], EPROTONOSUPPORT),
        ([2, 1 | 0x100, 0], EINVAL),
    ] {
        machine.fails("socket", &arguments, expected);
    }
    machine.fails("socketpair", &[2, 1, 0, at], EOPNOTSUPP);
    machine.fails("socketpair", &[1, 9, 0, at], ESOCKTNOSUPPORT);
    let [one, _] = pair(&mut machine, SEQPACKET);
    let length = machine.guest.put(&[64, 0, 0, 0]);
    machine.value("getsockopt", &[one, 1, 3, at, length]);
    assert_eq!(
        (machine.guest.bytes(at, 4), machine.guest.bytes(length, 4)),
        (vec![5, 0, 0, 0], vec![4, 0, 0, 0])
    );
    let short = machine.guest.put(&[1, 0, 0, 0]);
    let marked = machine.words(&[u64::MAX]);
    machine.value("getsockopt", &[one, 1, 39, marked, short]);
    assert_eq!(
        machine.word(marked),
        u64::MAX - 0xff + 1,
        "one byte was asked for"
    );
    machine.fails("getsockopt", &[one, 1, 36, at, length], ENOPROTOOPT);
    machine.fails("getsockopt", &[one, 1, 3, NOWHERE, length], EFAULT);
    machine.fails("getsockopt", &[one, 1, 3, at, NOWHERE], EFAULT);
    machine.fails("setsockopt", &[one, 1, 2, NOWHERE, 4], EFAULT);
    machine.fails("listen", &[one, 1], EINVAL);
    machine.fails("connect", &[one, at, 16], EISCONN);
    machine.fails("shutdown", &[one, 3], EINVAL);
    for call in ["listen", "shutdown", "accept", "getsockname", "connect"] {
        machine.fails(call, &[1, at, at], ENOTSOCK);
        machine.fails(call, &[99, at, at], EBADF);
    }
}

#[test]
fn bad_pointers_are_errors() {
    let mut machine = machine(&["192.0.2.1:80"]);
    let [one, two] = pair(&mut machine, STREAM);
    let socket = machine.value("socket", &[2, STREAM, 0]);
    send(&mut machine, two, b"text", 0);
    let (room, size) = (machine.room(64), machine.guest.put(&[64, 0, 0, 0]));
    for (call, arguments) in [
        ("connect", vec![socket, NOWHERE, 16]),
        ("bind", vec![socket, NOWHERE, 16]),
        ("sendto", vec![one, NOWHERE, 4, 0, 0, 0]),
        ("sendto", vec![one, room, 4, 0, NOWHERE, 16]),
        ("recvfrom", vec![one, NOWHERE, 4, 0, 0, 0]),
        ("sendmsg", vec![one, NOWHERE, 0]),
        ("recvmsg", vec![one, NOWHERE, 0]),
        ("sendmmsg", vec![one, NOWHERE, 1, 0]),
        ("recvmmsg", vec![one, NOWHERE, 1, 0, 0]),
        ("getsockname", vec![one, NOWHERE, size]),
        ("getpeername", vec![one, room, NOWHERE]),
    ] {
        machine.fails(call, &arguments, EFAULT);
    }
    assert_eq!(
        receive(&mut machine, one, 9, 0).unwrap(),
        b"text",
        "nothing was lost"
    );
    let long = machine.words(&[9_000, 1 | 1 << 32]);
    let sent = message(&mut machine, [0, 0], &[room, 1], [long, 16]);
    machine.fails("sendmsg", &[one, sent, 0], EINVAL);
}

/// All ways to receive from a socket, and to send by it, with a limit on waiting.
#[test]
fn waiting_ends_at_the_limit_of_the_socket() {
    const RECEIVES: [&str; 5] = ["read", "readv", "recvfrom", "recvmsg", "recvmmsg"];
    const SENDS: [&str; 5] = ["write", "writev", "sendto", "sendmsg", "sendmmsg"];
    for kind in [STREAM, DGRAM, SEQPACKET] {
        for names in [[20, 21], [66, 67]] {
            for (calls, name) in [(RECEIVES, names[0]), (SENDS, names[1])] {
                for call in calls {
                    let mut machine = machine(&[]);
                    let [one, _two] = pair(&mut machine, kind);
                    let limit = machine.words(&[0, 200_000]);
                    machine.value("setsockopt", &[one, 1, name, limit, 16]);
                    if name % 2 == 1 {
                        while send(&mut machine, one, &[7; 4096], 0x40) > 0 {}
                    }
                    let buffer = machine.room(64);
                    let vector = machine.words(&[buffer, 64]);
                    let header = machine.words(&[0, 0, vector, 1, 0, 0, 0, 0]);
                    let arguments: &[u64] = match call {
                        "read" | "write" => &[buffer, 64],
                        "readv" | "writev" => &[vector, 1],
                        "recvfrom" | "sendto" => &[buffer, 64, 0, 0, 0],
                        "recvmsg" | "sendmsg" => &[header, 0],
                        _ => &[header, 1, 0, 0],
                    };
                    let arguments = [&[one], arguments].concat();
                    let before = machine.host.slept;
                    machine.fails(call, &arguments, EAGAIN);
                    let waited = machine.host.slept - before;
                    let label = format!("{kind} {call} {waited:?}");
                    assert!((200..300).contains(&waited.as_millis()), "{label}");
                    // Nothing is waited for with MSG_DONTWAIT, nor with a time that is negative.
                    let negative = machine.words(&[u64::MAX, 0]);
                    machine.value("setsockopt", &[one, 1, name, negative, 16]);
                    machine.fails(call, &arguments, EAGAIN);
                    assert_eq!(machine.host.slept - before, waited, "{label}");
                }
            }
        }
    }
}

#[test]
fn options_of_pairs_are_each_sides_own() {
    let mut machine = machine(&[]);
    let [one, two] = pair(&mut machine, STREAM);
    let get = |machine: &mut Machine, fd: u64, name: u64| {
        let (value, length) = (machine.room(16), machine.guest.put(&[16, 0, 0, 0]));
        machine.value("getsockopt", &[fd, 1, name, value, length]);
        (machine.word(value), machine.word(value + 8))
    };
    let limit = machine.words(&[3, 250_000]);
    machine.value("setsockopt", &[one, 1, 20, limit, 16]);
    assert_eq!(get(&mut machine, one, 20), (3, 250_000));
    assert_eq!(get(&mut machine, one, 66), (3, 250_000));
    assert_eq!(get(&mut machine, one, 21), (0, 0));
    assert_eq!(get(&mut machine, two, 20), (0, 0));
    let on = machine.guest.put(&[1, 0, 0, 0]);
    machine.value("setsockopt", &[two, 1, 16, on, 4]);
    assert_eq!(get(&mut machine, two, 16).0, 1);
    assert_eq!(get(&mut machine, one, 16).0, 0);
    let wrong = machine.words(&[0, 1_000_000]);
    machine.fails("setsockopt", &[one, 1, 20, wrong, 16], EDOM);
    assert_eq!(get(&mut machine, one, 20), (3, 250_000));
}
