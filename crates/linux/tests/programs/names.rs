//! Names that a program looks up itself, by its C library and a resolver of the test.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tinykvm_linux::{ConnectRules, Flow, ProcessOptions};
use tinykvm_testkit::{Toolchain, compile_file};

use crate::cases::expect;
use crate::support::{options, run, source};

/// Length of the header of a DNS message (RFC 1035, 4.1.1).
const HEADER: usize = 12;

/// The name in a query, with dots.
fn asked(query: &[u8]) -> String {
    let mut labels = Vec::new();
    let mut at = HEADER;
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).into_owned());
        at = end;
    }
    labels.join(".")
}

/// The answer to a query: an address for the names that have one.
fn answer(query: &[u8]) -> Vec<u8> {
    let name = asked(query).to_ascii_lowercase();
    let end = HEADER + name.len() + 2;
    let is_ipv4 = query[end..end + 2] == [0, 1];
    let address = match name.as_str() {
        "db.allowed.example" => Some([192, 0, 2, 33]),
        // What nobody may reach because a name says so.
        "loop.allowed.example" => Some([127, 0, 0, 1]),
        _ => None,
    };
    let mut message = query[..end + 4].to_vec();
    message[2..4].copy_from_slice(&[0x81, 0x80]);
    message[6..HEADER].fill(0);
    match address {
        Some(address) if is_ipv4 => {
            message[7] = 1;
            message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            message.extend_from_slice(&address);
        }
        Some(_) => {}
        // There is no such name.
        None => message[3] |= 3,
    }
    message
}

pub(crate) fn asked_by_dns() -> Result<(), String> {
    let resolver = UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let server = resolver.local_addr().map_err(|error| error.to_string())?;
    // So that it looks whether the program has ended.
    let limit = Some(Duration::from_millis(20));
    let limited = resolver.set_read_timeout(limit);
    limited.map_err(|error| error.to_string())?;
    let stop = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&stop);
    let thread = std::thread::spawn(move || {
        let mut names = Vec::new();
        let mut bytes = [0; 512];
        while !end.load(Ordering::Relaxed) {
            if let Ok((length, from)) = resolver.recv_from(&mut bytes) {
                let query = &bytes[..length];
                names.push(asked(query));
                let _ = resolver.send_to(&answer(query), from);
            }
        }
        names
    });
    let mut connect = ConnectRules::default();
    let added = connect.add("*.allowed.example:443");
    added.map_err(|error| error.to_string())?;
    connect.set_resolvers(vec![server]);
    let options = ProcessOptions {
        arguments: vec![b"names".to_vec(), server.port().to_string().into_bytes()],
        connect,
        ..options()
    };
    let found = run(&compile_file(&source("names.c"), Toolchain::Gcc), &options);
    stop.store(true, Ordering::Relaxed);
    let names = thread.join().map_err(|_| "the resolver failed")?;
    let found = found?;
    expect(
        &found,
        Flow::Exit { status: 0 },
        "192.0.2.33:443: denied\n\
         db.allowed.example: 192.0.2.33\n\
         DB.allowed.example: 192.0.2.33\n\
         192.0.2.33:443: allowed\n\
         192.0.2.33:80: denied\n\
         192.0.2.34:443: denied\n\
         secret.attacker.example: Temporary failure in name resolution\n\
         nothing.allowed.example: Name or service not known\n\
         loop.allowed.example: 127.0.0.1\n\
         127.0.0.1:443: denied\n",
    )?;
    let told = found.1.denied.iter();
    if !told
        .clone()
        .any(|line| line.ends_with("dns:secret.attacker.example"))
    {
        return Err(format!("not reported: {:?}", found.1.denied));
    }
    // Nothing else has left the program.
    match names
        .iter()
        .find(|name| !name.ends_with(".allowed.example"))
    {
        None if !names.is_empty() => Ok(()),
        other => Err(format!("{other:?} of {names:?}")),
    }
}
