//! What the programs in Rust have in common: answering requests, or doing the same natively.
//!
//! Requests are `/0`, `/1` and so on; `/count` tells how many there were, `/unique` gives what must
//! never be the same twice, and clocks.

use std::fs::File;
use std::io::{Read, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::TryRngCore;
use rand::rngs::OsRng;
use tinykvm_guest::{Response, is_sandboxed, serve_loop};

const REQUESTS: u32 = 100;
const ROUNDS: u32 = 10;

/// 16 bytes from `/dev/urandom` as hexadecimal digits.
fn urandom() -> String {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .expect("/dev/urandom");
    hexadecimal(&bytes)
}

/// 16 bytes as a library for cryptography would get them.
fn nonce() -> String {
    let mut bytes = [0; 16];
    OsRng.try_fill_bytes(&mut bytes).expect("randomness");
    hexadecimal(&bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Time since some moment of the past, the same for all requests.
fn monotonic(start: Instant) -> Duration {
    // `Instant` has no number: a day is added so that it could be before `start`.
    Instant::now() + Duration::from_secs(86_400) - start
}

/// Serves requests with `answer`, or prints what it answers and how long it takes. `random` is
/// what the language has for random numbers, seeded anew.
pub(crate) fn serve(
    mut answer: impl FnMut(u32) -> String,
    mut uuid: impl FnMut() -> String,
    mut random: impl FnMut() -> String,
) {
    for number in 0..REQUESTS {
        let text = answer(number);
        if !is_sandboxed() {
            println!("{text}\n--");
        }
    }
    let start = Instant::now();
    if !is_sandboxed() {
        // On the emulated test bed time means nothing.
        let emulated = std::env::var_os("TINYKVM_EMULATED").is_some();
        let rounds = if emulated { 0 } else { ROUNDS };
        for round in 0..rounds * REQUESTS {
            answer(round % REQUESTS);
        }
        let each = start.elapsed() / (ROUNDS * REQUESTS);
        println!("ns {}", each.as_nanos());
        std::io::stdout().flush().expect("output");
        return;
    }
    let mut requests = 0;
    serve_loop(move |request| {
        requests += 1;
        Response::text(match request.url().as_ref() {
            "/count" => requests.to_string(),
            "/unique" => format!(
                "urandom {}\nnonce {}\nuuid {}\nrandom {}\nmonotonic {}\nrealtime {}\n",
                urandom(),
                nonce(),
                uuid(),
                random(),
                monotonic(start).as_nanos(),
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default()
                    .as_nanos(),
            ),
            url => answer(url[1..].parse().unwrap_or(0)),
        })
    })
}
