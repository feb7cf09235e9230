//! Arbitrary system calls with arbitrary arguments against the Linux personality, on a guest
//! without KVM. Whatever a program calls: no panic, no hang, nothing of the host kept, and a reset
//! brings the initial state back.
//!
//! ```text
//! tinykvm-fuzz [--calls N | --seconds N] [--seed N [--verbose]] [--policy deny|allow]
//! ```
//!
//! Everything depends on the seed alone, so a failure is repeated by the seed that it names. Seeds
//! in `fuzz/corpus/seeds` are run first.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "reports to the terminal"
)]

mod arena;
mod calls;
mod listener;
mod options;
mod policy;
mod presets;
mod random;
mod room;
mod sequence;
mod watch;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::Instant;

use options::{Options, Until};
use policy::Policy;
use random::Random;
use room::Room;
use sequence::Setting;
use watch::Holdings;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [first, socket] if first == listener::ARGUMENT => listener::listen(socket),
        _ => Options::from_arguments().and_then(|options| fuzz(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tinykvm-fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

fn fuzz(options: &Options) -> Result<(), String> {
    watch::start();
    let share = options.policies.len().max(1);
    for &policy in &options.policies {
        let started = (Instant::now(), watch::calls());
        let sequences = fuzz_policy(options, policy, share)?;
        let calls = watch::calls() - started.1;
        let seconds = started.0.elapsed().as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "for people")]
        let rate = calls as f64 / seconds;
        println!(
            "{policy:?}: {calls} calls in {sequences} sequences, {seconds:.1} s, {rate:.0} a second"
        );
    }
    Ok(())
}

/// Runs sequences until it is enough; how many there were.
fn fuzz_policy(options: &Options, policy: Policy, share: usize) -> Result<u64, String> {
    let room = Room::new(policy)?;
    let setting = room.setting(options.verbose);
    println!("{policy:?}: {} calls are implemented", setting.calls.len());
    let start = Holdings::now().map_err(|error| error.to_string())?;
    let (began, first_call) = (Instant::now(), watch::calls());
    let mut seeds = Random::new(options.start);
    let mut corpus = options.corpus.iter();
    let mut sequences = 0;
    loop {
        let seed = match (corpus.next(), options.seed) {
            (_, Some(seed)) => seed,
            (Some(&seed), None) => seed,
            (None, None) => seeds.next(),
        };
        one(&setting, &start, policy, seed)?;
        room.check().map_err(|what| failed(policy, seed, &what))?;
        room.clean()?;
        sequences += 1;
        let enough = match options.until {
            Until::Calls(count) => watch::calls() - first_call >= count / share as u64,
            Until::Time(time) => began.elapsed() >= time / u32::try_from(share).unwrap_or(1),
        };
        if options.seed.is_some() || enough && corpus.len() == 0 {
            return Ok(sequences);
        }
    }
}

fn one(setting: &Setting, start: &Holdings, policy: Policy, seed: u64) -> Result<(), String> {
    watch::next_sequence(seed);
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| sequence::run(setting, seed)));
    match outcome {
        Err(_) => return Err(failed(policy, seed, "a call panicked")),
        Ok(Err(what)) => return Err(failed(policy, seed, &what)),
        Ok(Ok(())) => {}
    }
    let now = Holdings::now().map_err(|error| error.to_string())?;
    match now.excess_over(start) {
        Some(excess) => Err(failed(policy, seed, &excess)),
        None => Ok(()),
    }
}

/// What does not hold, and how to see it again.
fn failed(policy: Policy, seed: u64, what: &str) -> String {
    format!("{what}\n  again: --policy {policy} --seed {seed:#x} --verbose")
}
