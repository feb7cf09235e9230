//! What programs and forks cost by the memory that they may have, and by how many there are.

use std::time::Duration;

use tinykvm::{Fork, Limits};
use tinykvm_testkit::{Toolchain, compile_file, paths};

use crate::calls::memory;
use crate::figures::{Figures, median, micros, timed};
use crate::guest::{self, Program, freeze};

/// `max_memory` in MiB, and what it is called.
const SIZES: [(u64, &str); 5] = [
    (64, "64m"),
    (256, "256m"),
    (1024, "1g"),
    (4096, "4g"),
    (16384, "16g"),
];
/// Rounds of alternating measurements, and forks in each.
const ROUNDS: usize = 6;
const FORKS: usize = 10;
/// How many forks wait while more are made.
const PARKED: [usize; 3] = [100, 500, 1000];

fn program(memory: u64) -> Program {
    let path = compile_file(&paths::top().join("benches/guests/pages.c"), Toolchain::Gcc);
    freeze(
        &path,
        Limits {
            memory: memory << 20,
            ..Limits::default()
        },
    )
}

/// A fork that has answered once.
fn warm(program: &Program) -> (Duration, Fork) {
    let (time, mut fork) = timed(|| program.template.fork().unwrap());
    guest::get(program, &mut fork, b"/0\0");
    fork.reset().unwrap();
    (time, fork)
}

/// Starting a program, and making forks of it.
pub(crate) fn by_size(figures: &mut Figures) {
    println!("forks: by the memory that they may have");
    let mut boots = SIZES.map(|_| Vec::new());
    let mut created = SIZES.map(|_| Vec::new());
    let mut system = SIZES.map(|_| Vec::new());
    // What compiles, and what the first boot of a process does, is not measured.
    drop(program(64));
    for _ in 0..ROUNDS {
        for (at, (size, _)) in SIZES.iter().enumerate() {
            let (time, program) = timed(|| program(*size));
            boots[at].push(micros(time) / 1000.0);
            let first = warm(&program);
            let before = memory().1;
            let forks: Vec<_> = (0..FORKS).map(|_| warm(&program)).collect();
            let count = f64::from(u32::try_from(FORKS).unwrap());
            system[at].push((before - memory().1) / count);
            created[at].extend(forks.iter().map(|(time, _)| micros(*time)));
            drop((first, forks));
        }
    }
    for (at, (_, name)) in SIZES.iter().enumerate() {
        figures.add(&format!("boot_ms_{name}"), median(&mut boots[at]));
        figures.add(&format!("fork_create_us_{name}"), median(&mut created[at]));
        figures.add(&format!("fork_system_kb_{name}"), median(&mut system[at]));
    }
}

/// Making more forks while many wait.
pub(crate) fn by_number(figures: &mut Figures) {
    println!("forks: by their number");
    let program = program(64);
    let mut parked = Vec::new();
    let mut worst = Duration::ZERO;
    for count in PARKED {
        while parked.len() < count {
            let (time, fork) = warm(&program);
            worst = worst.max(time);
            parked.push(fork);
        }
        let more: Vec<_> = (0..3 * FORKS).map(|_| warm(&program)).collect();
        let mut times: Vec<_> = more.iter().map(|(time, _)| micros(*time)).collect();
        worst = more
            .iter()
            .map(|(time, _)| *time)
            .fold(worst, Duration::max);
        figures.add(&format!("fork_create_us_at_{count}"), median(&mut times));
    }
    figures.add("fork_create_worst_ms", micros(worst) / 1000.0);
}
