//! One sequence of calls, and what must hold after it.

use std::time::Duration;

use tinykvm::{Exception, Guest};
use tinykvm_linux::{Flow, Host, Process, Stream};
use tinykvm_testkit::{FakeClock, FakeGuest};

use crate::arena;
use crate::calls::Call;
use crate::random::Random;
use crate::watch;

/// Waiting is free; past this sum of it, and past so many questions, the time is up.
const WAITING: Duration = Duration::from_secs(100_000);
const QUESTIONS: u32 = 2000;
/// Memory that a guest may map.
const MEMORY: u64 = 16 << 20;

/// The host of a sequence.
#[derive(Debug)]
struct Patient {
    clock: FakeClock,
    waited: Duration,
    questions: u32,
}

impl Host for Patient {
    fn output(&mut self, _: Stream, _: &[u8]) {}

    fn sleep(&mut self, duration: Duration) -> bool {
        self.waited = self.waited.saturating_add(duration);
        self.questions += 1;
        if self.waited < WAITING {
            self.clock.advance(duration);
        }
        self.waited < WAITING && self.questions < QUESTIONS
    }

    fn unknown_call(&mut self, _: u64) {}
}

/// What all sequences share.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) calls: Vec<Call>,
    pub(crate) template: Process,
    /// How the template looked before the first sequence.
    pub(crate) before: String,
    /// The granted directory, or any.
    pub(crate) directory: String,
    pub(crate) verbose: bool,
}

impl Setting {
    fn call(&self, random: &mut Random) -> &Call {
        &self.calls[usize::try_from(random.next()).unwrap_or(0) % self.calls.len()]
    }
}

/// Makes the calls of a seed. An error says what does not hold.
pub(crate) fn run(setting: &Setting, seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    let mut guest = FakeGuest::new().with_memory_limit(MEMORY);
    if random.one_in(4) {
        guest = guest.with_write_execute();
    }
    guest.left = Duration::from_micros(50);
    arena::fill(&mut guest, &mut random, &setting.directory);
    let mut process = setting.template.clone();
    let mut host = Patient {
        clock: guest.clock(),
        waited: Duration::ZERO,
        questions: 0,
    };
    let mut results = Vec::new();
    for _ in 0..random.below(400) {
        watch::next_call();
        if random.one_in(6) {
            arena::change(&mut guest, &mut random);
        }
        if step(
            setting,
            &mut random,
            &mut guest,
            &mut process,
            &mut host,
            &mut results,
        ) != Flow::Continue
        {
            break;
        }
    }
    process.reset_from(&setting.template);
    if state(&process) != setting.before || state(&setting.template) != setting.before {
        let (now, before) = (state(&process), &setting.before);
        return Err(format!(
            "the reset does not bring the initial state back:\n{now}\n{before}"
        ));
    }
    Ok(())
}

/// How the state of a process looks. What its program was told
/// already, and whether its guest has time slices, is no part of it.
pub(crate) fn state(process: &Process) -> String {
    let text = format!("{process:?}");
    let start = text.find("state: State").unwrap_or(0);
    let end = text.rfind("}, resumed:").unwrap_or(text.len());
    text[start..end].to_string()
}

/// One call, or something else that happens to a guest.
fn step(
    setting: &Setting,
    random: &mut Random,
    guest: &mut FakeGuest,
    process: &mut Process,
    host: &mut Patient,
    results: &mut Vec<u64>,
) -> Flow {
    match random.below(1000) {
        0..=19 => return process.time_slice(guest, host),
        20 => {
            let exception = Exception {
                vector: random.pick(&[0, 1, 3, 6, 13, 14, 14, 14, 16, 17, 19]),
                error_code: random.below(8),
                address: arena::argument(random, crate::calls::Kind::Struct, results),
                registers: *guest.registers(),
            };
            return process.fault(guest, &exception);
        }
        21..=25 => guest.advance(Duration::from_millis(random.below(100))),
        _ => {}
    }
    let mut call = setting.call(random);
    if ENDS.contains(&call.number) && !random.one_in(16) {
        call = setting.call(random);
    }
    let number = match random.below(300) {
        0 => random.next(),
        1 => random.below(600),
        _ => call.number,
    };
    let mut arguments = call
        .kinds
        .map(|kind| arena::argument(random, kind, results));
    // Long blocks on the host's disk are not what this is about.
    if number == FALLOCATE {
        arguments[3] &= 0xf_ffff;
    }
    if setting.verbose {
        println!("{number} {arguments:x?}");
    }
    guest.set_syscall(number, arguments);
    let flow = process.syscall(guest, host);
    if setting.verbose {
        println!("    {flow:?} {:#x}", guest.registers().rax);
    }
    let result = guest.registers().rax;
    if result > 2 && result < 1 << 48 {
        if results.len() > 8 {
            results.remove(0);
        }
        results.push(result);
    }
    flow
}

/// Calls after which little follows: pause, exit, kill, rt_sigsuspend, tkill, exit_group, tgkill.
const ENDS: [u64; 7] = [34, 60, 62, 130, 200, 231, 234];
/// `fallocate` in asm/unistd_64.h.
const FALLOCATE: u64 = 285;
