//! What must differ between requests, in forks of the same frozen program: randomness from every
//! source, and time. For every toolchain, since C libraries have generators and clocks of their own.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tinykvm_testkit::harness::Case;
use tinykvm_testkit::{Toolchain, compile_file, kvm, paths};

use crate::support::{Bench, from_file};

/// Forks at work at the same time, and requests to each.
const FORKS: usize = 4;
const CALLS: usize = 16;

const TOOLCHAINS: [(&str, Toolchain); 3] = [
    ("glibc", Toolchain::Gcc),
    ("musl", Toolchain::MuslGcc),
    ("C++", Toolchain::Gxx),
];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, toolchain) in TOOLCHAINS {
        cases.push(Case::kvm(
            format!("64 requests get distinct randomness: {name}"),
            move || randomness(&program(toolchain)),
        ));
        cases.push(Case::kvm(
            format!("clocks of requests are the host's: {name}"),
            move || clocks(&program(toolchain)),
        ));
    }
    cases
}

fn program(toolchain: Toolchain) -> Bench {
    let source = paths::top().join("tests/guests/random.c");
    let json = format!(r#"{{"concurrency": {FORKS}}}"#);
    from_file(&compile_file(&source, toolchain), &json)
}

fn randomness(bench: &Bench) -> Result<(), String> {
    let ask = || {
        let text = bench.get("/all").text() + &bench.get("/urandom").text();
        text.lines().map(str::to_string).collect::<Vec<_>>()
    };
    let lines: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..FORKS)
            .map(|_| scope.spawn(|| (0..CALLS).flat_map(|_| ask()).collect::<Vec<_>>()))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.flatten().collect()
    });
    let mut seen = HashSet::new();
    for line in &lines {
        let (source, value) = line.split_once('=').ok_or(line.clone())?;
        if value.len() < 32 || !seen.insert(value) {
            return Err(format!("{source} gives {value} twice, or too little"));
        }
    }
    let sources = ["getrandom", "at_random", "prng", "urandom"];
    for source in sources {
        let count = lines.iter().filter(|line| line.starts_with(source)).count();
        if count != FORKS * CALLS {
            return Err(format!("{count} values from {source}"));
        }
    }
    Ok(())
}

fn host() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn clocks(bench: &Bench) -> Result<(), String> {
    let ask = |url: &str| {
        let text = bench.get(url).text();
        let nanoseconds = text.parse().map_err(|_| format!("{url}: {text:?}"))?;
        Ok::<_, String>(Duration::from_nanos(nanoseconds))
    };
    let allowed = Duration::from_millis(1) * kvm::time_factor();
    let mut last = Duration::ZERO;
    for _ in 0..FORKS * CALLS {
        let before = host();
        let found = ask("/realtime")?;
        let after = host();
        if found + allowed < before || found > after + allowed {
            return Err(format!("{found:?} is not in {before:?}..{after:?}"));
        }
        let monotonic = ask("/monotonic")?;
        if monotonic < last {
            return Err(format!("{last:?}, and then {monotonic:?}"));
        }
        last = monotonic;
    }
    Ok(())
}
