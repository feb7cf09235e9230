//! One sequence of calls, and what must hold after it.

use std::time::Duration;

use tinykvm::{Exception, Guest};
use tinykvm_linux::{Flow, Host, Notice, Process, Stream};
use tinykvm_testkit::{FakeClock, FakeGuest};

use crate::arena::{self, Known, Names};
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

    fn notice(&mut self, _: Notice<'_>, _: u64) {}
}

/// What all sequences share.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) calls: Vec<Call>,
    pub(crate) template: Process,
    /// How the template looked before the first sequence.
    pub(crate) before: String,
    pub(crate) names: Names,
    pub(crate) verbose: bool,
}

impl Setting {
    /// A call, mostly one of those that a sequence is about.
    fn call(&self, random: &mut Random, theme: &[u64]) -> &Call {
        if !theme.is_empty() && !random.one_in(4) {
            let number = random.pick(theme);
            let known = self.calls.iter().filter(|call| call.number == number);
            let known: Vec<&Call> = known.collect();
            if !known.is_empty() {
                return known[random.index(known.len())];
            }
        }
        &self.calls[random.index(self.calls.len())]
    }
}

/// Calls that give descriptors.
const OPENING: &[u64] = &[41, 41, 41, 2, 2, 257, 22, 53, 290, 319, 291, 283, 282];

/// What sequences are about: calls that belong together get further than any by themselves.
const THEMES: &[&[u64]] = &[
    &[],
    // Sockets.
    &[
        41, 41, 42, 42, 43, 44, 45, 46, 46, 47, 47, 48, 49, 50, 51, 52, 53, 53, 54, 55, 288, 299,
        307, 0, 1, 3, 7, 16, 19, 20, 32, 72, 232, 233, 291,
    ],
    // Files and directories.
    &[
        2, 2, 257, 257, 437, 0, 1, 3, 8, 9, 17, 18, 40, 72, 73, 74, 76, 77, 78, 79, 80, 81, 82, 83,
        84, 86, 87, 88, 89, 90, 217, 258, 262, 263, 264, 265, 266, 280, 285, 316, 326, 332,
    ],
    // Pipes, events, and waiting for them.
    &[
        22, 293, 290, 283, 286, 287, 289, 291, 233, 233, 232, 7, 23, 270, 271, 281, 441, 0, 1, 3,
        32, 33, 72, 319, 53, 16, 13, 14, 62,
    ],
    // Threads, locks, signals, timers.
    &[
        56, 56, 435, 202, 202, 202, 24, 13, 14, 62, 128, 129, 131, 200, 218, 222, 223, 234, 273,
        38, 35, 230, 9, 11, 186, 15,
    ],
    // Memory.
    &[
        9, 9, 10, 11, 12, 25, 26, 27, 28, 149, 151, 319, 77, 2, 3, 0, 1,
    ],
];

/// A process with its guest, and what the calls so far gave.
struct Machine {
    guest: FakeGuest,
    process: Process,
    host: Patient,
    known: Known,
    theme: &'static [u64],
}

impl Machine {
    fn new(guest: FakeGuest, process: Process) -> Self {
        let host = Patient {
            clock: guest.clock(),
            waited: Duration::ZERO,
            questions: 0,
        };
        Self {
            guest,
            process,
            host,
            known: Known::default(),
            theme: &[],
        }
    }

    /// As a fork is called that may have been called before.
    fn call(&mut self) {
        self.process.begin_call(&mut self.guest);
    }

    /// Makes a call, or something else happens; false if the program does not go on.
    fn step(&mut self, setting: &Setting, random: &mut Random) -> bool {
        watch::next_call();
        if random.one_in(6) {
            arena::change(&mut self.guest, random);
        }
        let goes_on = step(setting, random, self) == Flow::Continue;
        if random.one_in(8) {
            let (known, counted) = self.process.held();
            assert_eq!(known, counted, "what the host holds");
        }
        goes_on
    }

    /// Opens a few things.
    fn open(&mut self, setting: &Setting, random: &mut Random) -> bool {
        let theme = std::mem::replace(&mut self.theme, OPENING);
        let goes_on = (0..random.below(10)).all(|_| self.step(setting, random));
        self.theme = theme;
        goes_on
    }
}

/// Makes the calls of a seed: those of a program that starts, and then, in forks, those of
/// requests. An error says what does not hold.
pub(crate) fn run(setting: &Setting, seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    let mut guest = FakeGuest::new().with_memory_limit(MEMORY);
    if random.one_in(4) {
        guest = guest.with_write_execute();
    }
    guest.left = Duration::from_micros(50);
    arena::fill(&mut guest, &mut random, &setting.names);
    let mut main = Machine::new(guest, setting.template.clone());
    main.theme = random.pick(THEMES);
    let most = random.pick(&[400, 100, 100, 0]);
    let count = random.below(most);
    let goes_on =
        main.open(setting, &mut random) && (0..count).all(|_| main.step(setting, &mut random));
    if goes_on {
        main.process.freeze(&main.guest);
        requests(setting, &mut random, &main)?;
    }
    main.process.reset_from(&setting.template);
    let what = "the reset does not bring the initial state back";
    same(what, &state(&main.process), &setting.before)?;
    same(
        "the initial state has changed",
        &state(&setting.template),
        &setting.before,
    )
}

/// Requests to one or two forks of a frozen program, at the same time.
fn requests(setting: &Setting, random: &mut Random, frozen: &Machine) -> Result<(), String> {
    let before = state(&frozen.process);
    let fork = || Machine::new(frozen.guest.clone(), frozen.process.clone());
    let mut forks: Vec<Machine> = (0..1 + random.below(2)).map(|_| fork()).collect();
    for _ in 0..1 + random.below(3) {
        for fork in &mut forks {
            fork.known.clone_from(&frozen.known);
            fork.theme = random.pick(THEMES);
            fork.call();
        }
        let mut ended = vec![false; forks.len()];
        for _ in 0..random.below(150) {
            let index = random.index(forks.len());
            let fork = &mut forks[index];
            if ended[index] || fork.step(setting, random) {
                continue;
            }
            // The function for errors is called, once.
            ended[index] = true;
            fork.process.failed();
            fork.call();
            for _ in 0..random.below(10) {
                if !fork.step(setting, random) {
                    break;
                }
            }
        }
        for fork in &mut forks {
            fork.process.reset_from(&frozen.process);
            fork.guest = frozen.guest.clone();
            let what = "the reset does not bring the frozen state back";
            same(what, &state(&fork.process), &before)?;
        }
    }
    let what = "a request changed the frozen program";
    same(what, &state(&frozen.process), &before)
}

fn same(what: &str, now: &str, before: &str) -> Result<(), String> {
    if now == before {
        return Ok(());
    }
    Err(format!("{what}:\n{now}\n{before}"))
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
fn step(setting: &Setting, random: &mut Random, machine: &mut Machine) -> Flow {
    let Machine {
        guest,
        process,
        host,
        known,
        theme,
    } = machine;
    match random.below(1000) {
        0..=19 => return process.time_slice(guest, host),
        20 => {
            let exception = Exception {
                vector: random.pick(&[0, 1, 3, 6, 13, 14, 14, 14, 16, 17, 19]),
                error_code: random.below(8),
                address: arena::argument(random, crate::calls::Kind::Struct, known),
                registers: *guest.registers(),
            };
            return process.fault(guest, &exception);
        }
        21..=25 => guest.advance(Duration::from_millis(random.below(100))),
        _ => {}
    }
    let mut call = setting.call(random, theme);
    if ENDS.contains(&call.number) && !random.one_in(16) {
        call = setting.call(random, theme);
    }
    let number = match random.below(300) {
        0 => random.next(),
        1 => random.below(600),
        _ => call.number,
    };
    let mut arguments = call.kinds.map(|kind| arena::argument(random, kind, known));
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
    known.add(number, guest.registers().rax);
    flow
}

/// Calls after which little follows: pause, exit, kill, rt_sigsuspend, tkill, exit_group, tgkill.
const ENDS: [u64; 7] = [34, 60, 62, 130, 200, 231, 234];
/// `fallocate` in asm/unistd_64.h.
const FALLOCATE: u64 = 285;
