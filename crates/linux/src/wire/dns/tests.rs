use std::net::IpAddr;

use proptest::prelude::*;

use crate::wire::dns::{answered, asked};

/// A query for the addresses of a name.
fn query(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

/// The answer to it: an alias first, and then the addresses, whose names point to the question.
fn answer(name: &str, addresses: &[IpAddr]) -> Vec<u8> {
    let mut message = query(name);
    message[2] = 0x81;
    message[7] = u8::try_from(addresses.len() + 1).unwrap();
    message.extend_from_slice(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01x\xc0\x0c");
    for address in addresses {
        let (kind, bytes) = match address {
            IpAddr::V4(address) => (1, address.octets().to_vec()),
            IpAddr::V6(address) => (28, address.octets().to_vec()),
        };
        let length = u8::try_from(bytes.len()).unwrap();
        message.extend_from_slice(&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, length]);
        message.extend_from_slice(&bytes);
    }
    message
}

#[test]
fn a_query_has_one_name() {
    assert_eq!(asked(&query("Db.Example.com")).unwrap(), "db.example.com");
    let mut with_edns = query("a.example");
    with_edns[11] = 1;
    with_edns.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(asked(&with_edns).unwrap(), "a.example");
}

#[test]
fn what_is_no_plain_query_is_refused() {
    let good = query("a.example");
    let changed = |at: usize, value| {
        let mut bad = good.clone();
        bad[at] = value;
        asked(&bad)
    };
    assert_eq!(changed(2, 0x81), None, "an answer");
    assert_eq!(changed(2, 0x29), None, "an update");
    assert_eq!(
        (changed(5, 2), changed(7, 1), changed(9, 1), changed(11, 2)),
        (None, None, None, None)
    );
    assert_eq!(changed(13, 0xff), None, "a byte that is no letter");
    assert_eq!(changed(12, 0xc0), None, "a pointer to itself");
    assert_eq!(asked(&[&good[..], &[7; 65]].concat()), None, "a tail");
    assert_eq!(asked(&good[..good.len() - 1]), None);
    assert_eq!(asked(b""), None);
}

#[test]
fn an_answer_has_addresses() {
    let addresses: Vec<IpAddr> = ["192.0.2.7", "2001:db8::1", "192.0.2.8"]
        .map(|a| a.parse().unwrap())
        .into();
    let message = answer("db.example.com", &addresses);
    assert_eq!(
        answered(&message),
        Some(("db.example.com".to_string(), addresses))
    );
    let mut failed = message.clone();
    failed[3] = 3;
    assert_eq!(answered(&failed), None);
    let cut = answered(&message[..message.len() - 1]).unwrap();
    assert_eq!(cut.1.len(), 2);
    assert_eq!(answered(&query("a.example")), None);
}

proptest! {
    #[test]
    fn no_message_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (asked(&bytes), answered(&bytes));
        let mut message = query("a.example");
        message.extend_from_slice(&bytes);
        message[2] = 0x80;
        message[7] = 9;
        let _ = answered(&message);
    }
}
