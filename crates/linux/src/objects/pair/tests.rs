use crate::objects::pair::{Kind, Pair, SEND_BUFFER, Side};
use crate::objects::readiness::Events;
use crate::wire::errno::{EAGAIN, ECONNREFUSED, ECONNRESET, EMSGSIZE, EPIPE, Errno};

type Test = Pair<u32>;

fn bytes(pair: &mut Test, side: Side, length: usize) -> Result<Vec<u8>, Errno> {
    pair.receive(side, length, false).map(|found| found.bytes)
}

#[test]
fn a_stream_has_no_borders() {
    let mut pair = Test::new(Kind::Stream, false);
    assert_eq!(bytes(&mut pair, 1, 9), Err(EAGAIN));
    assert_eq!(pair.send(0, b"hel", &[]), Ok(3));
    assert_eq!(pair.send(0, b"lo", &[]), Ok(2));
    assert_eq!(pair.send(1, b"back", &[]), Ok(4));
    assert_eq!((pair.waiting(1), pair.waiting(0)), (5, 4));
    assert_eq!(
        pair.receive(1, 4, true).unwrap().bytes,
        b"hell",
        "a look only"
    );
    assert_eq!(bytes(&mut pair, 1, 4).unwrap(), b"hell");
    assert_eq!(bytes(&mut pair, 1, 4).unwrap(), b"o");
    assert_eq!(bytes(&mut pair, 0, 9).unwrap(), b"back");
}

#[test]
fn messages_have_borders_and_are_cut_off() {
    for kind in [Kind::Datagram, Kind::Packet] {
        let mut pair = Test::new(kind, false);
        pair.send(0, b"first", &[]).unwrap();
        pair.send(0, b"", &[]).unwrap();
        pair.send(0, b"third", &[]).unwrap();
        assert_eq!(pair.waiting(1), 5);
        let found = pair.receive(1, 2, false).unwrap();
        assert_eq!((found.bytes.as_slice(), found.length), (&b"fi"[..], 5));
        assert_eq!(bytes(&mut pair, 1, 9).unwrap(), b"");
        assert_eq!(bytes(&mut pair, 1, 9).unwrap(), b"third");
        assert_eq!(pair.send(0, &vec![0; SEND_BUFFER], &[]), Err(EMSGSIZE));
    }
}

#[test]
fn a_full_buffer_takes_no_more() {
    let mut pair = Test::new(Kind::Stream, false);
    let sent = pair.send(0, &vec![7; 1 << 20], &[]).unwrap();
    assert!((SEND_BUFFER / 2..2 * SEND_BUFFER).contains(&sent), "{sent}");
    assert_eq!(pair.send(0, b"x", &[]), Err(EAGAIN));
    assert!(!pair.ready(0).has(Events::OUT) && pair.ready(1).has(Events::OUT));
    let edge = pair.edges(0).output;
    assert_eq!(bytes(&mut pair, 1, 1 << 20).unwrap().len(), sent);
    assert!(pair.ready(0).has(Events::OUT));
    assert_eq!(pair.edges(0).output, edge + 1);

    let mut pair = Test::new(Kind::Datagram, false);
    let count = (0..).take_while(|_| pair.send(0, b"", &[]).is_ok()).count();
    assert_eq!(count, 278, "small messages cost, too");
}

#[test]
fn descriptors_arrive_with_their_bytes() {
    let mut pair = Test::new(Kind::Stream, false);
    pair.send(0, b"a", &[]).unwrap();
    pair.send(0, b"bc", &[5, 6]).unwrap();
    pair.send(0, b"d", &[]).unwrap();
    assert_eq!(pair.receive(1, 9, false).unwrap().rights, []);
    let found = pair.receive(1, 1, false).unwrap();
    assert_eq!(
        (found.bytes.as_slice(), found.rights),
        (&b"b"[..], vec![5, 6])
    );
    assert_eq!(pair.receive(1, 9, false).unwrap().rights, [], "only once");
    pair.send(0, b"e", &[7]).unwrap();
    assert_eq!(pair.close(1), (vec![7], false));
    assert_eq!(pair.close(0), (vec![], true));
}

#[test]
fn the_end_of_a_connection() {
    for kind in [Kind::Stream, Kind::Packet] {
        let mut pair = Test::new(kind, false);
        pair.send(0, b"last", &[]).unwrap();
        pair.close(0);
        assert_eq!(pair.send(1, b"x", &[]), Err(EPIPE));
        assert!(pair.ready(1).has(Events::HUP) && pair.ready(1).has(Events::RDHUP));
        assert_eq!(bytes(&mut pair, 1, 9).unwrap(), b"last");
        assert_eq!(bytes(&mut pair, 1, 9).unwrap(), b"");

        let mut pair = Test::new(kind, false);
        pair.send(0, b"never read", &[]).unwrap();
        pair.close(1);
        assert!(pair.ready(0).has(Events::ERR));
        assert_eq!(bytes(&mut pair, 0, 9), Err(ECONNRESET));
        assert_eq!(bytes(&mut pair, 0, 9).unwrap(), b"");
    }
    let mut pair = Test::new(Kind::Datagram, false);
    pair.close(1);
    assert_eq!(pair.send(0, b"x", &[]), Err(ECONNREFUSED));
    assert_eq!(bytes(&mut pair, 0, 9), Err(EAGAIN));
}

#[test]
fn one_direction_can_be_shut() {
    let mut pair = Test::new(Kind::Stream, false);
    pair.send(0, b"rest", &[]).unwrap();
    pair.shut_down(0, false, true);
    assert_eq!(pair.send(0, b"x", &[]), Err(EPIPE));
    assert_eq!(bytes(&mut pair, 1, 9).unwrap(), b"rest");
    assert_eq!(bytes(&mut pair, 1, 9).unwrap(), b"");
    assert!(pair.ready(1).has(Events::RDHUP) && !pair.ready(1).has(Events::HUP));
    assert_eq!(pair.send(1, b"answer", &[]), Ok(6));
    assert_eq!(bytes(&mut pair, 0, 9).unwrap(), b"answer");
    pair.shut_down(1, true, true);
    assert!(pair.ready(0).has(Events::HUP));
}
