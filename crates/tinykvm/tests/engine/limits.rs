//! Time and memory limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tinykvm::{EngineError, Exit, Guest, Limits, PAGE_SIZE, Placement, Protection};
use tinykvm_testkit::harness::Case;

use super::support::*;

pub fn cases() -> Vec<Case> {
    vec![
        case("an_endless_loop_ends_at_its_deadline", deadline),
        case(
            "a_deadline_that_is_over_does_not_hit_the_next_call",
            stale_deadline,
        ),
        case("a_shorter_limit_than_any_before_is_kept", shorter),
        case("private_memory_ends_exactly_at_the_limit", exact_memory),
        case(
            "a_request_is_not_charged_for_earlier_ones",
            earlier_requests,
        ),
        case(
            "private_memory_is_exact_in_a_reused_fork",
            exact_memory_when_reused,
        ),
        case("pages_that_went_out_of_the_set_come_back", given_up),
        case("writes_of_the_host_count", host_writes),
        case("what_the_host_holds_and_pages_are_one_sum", one_sum),
        case("the_sum_is_the_same_in_a_reused_fork", one_sum_reused),
        case("what_is_held_all_the_same_counts", held_all_the_same),
        case("who_never_stops_is_looked_at", looked_at),
        case("while_booting_it_is_one_sum_too", one_sum_booting),
        case("memory_given_out_in_a_request_comes_back", given_out),
        case("a_program_that_does_not_fit_is_refused", too_small),
        case("memory_limits_at_and_over_each_edge", edges),
        case("the_largest_memory_boots_and_answers_in_time", largest),
    ]
}

fn deadline() {
    // On a busy machine the test's own thread may have to wait for its processor.
    let limit = Duration::from_millis(2);
    assert!((0..5).any(|_| median_lateness() < limit), "always late");
}

/// How late an endless loop ends. The median is the engine's; a single value may be the machine's.
fn median_lateness() -> Duration {
    let mut fork = fork();
    let mut late = Vec::new();
    for _ in 0..20 {
        let budget = Duration::from_millis(10);
        let start = Instant::now();
        assert_eq!(
            call_within(&mut fork, "forever", &[], budget),
            Exit::Deadline
        );
        late.push(start.elapsed().saturating_sub(budget));
        fork.reset().unwrap();
        assert_eq!(ask(&mut fork, "count", &[])[0], 8);
        fork.reset().unwrap();
    }
    late.sort();
    late[late.len() / 2]
}

fn stale_deadline() {
    let mut fork = fork();
    for _ in 0..200 {
        // The deadline falls at any point of the call, also behind its end.
        let exit = call_within(&mut fork, "count", &[], Duration::from_micros(60));
        assert!(
            matches!(exit, Exit::Hypercall { .. } | Exit::Deadline),
            "{exit:?}"
        );
        fork.reset().unwrap();
        assert_eq!(ask(&mut fork, "count", &[])[0], 8);
        fork.reset().unwrap();
    }
}

fn shorter() {
    let mut fork = fork();
    call_within(&mut fork, "count", &[], Duration::from_secs(100));
    fork.reset().unwrap();
    let start = Instant::now();
    let exit = call_within(&mut fork, "forever", &[], Duration::from_millis(5));
    assert_eq!(exit, Exit::Deadline);
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "{:?}",
        start.elapsed()
    );
}

/// Pages that a call of `touch` dirties besides those that it is asked for.
fn overhead(fork: &mut tinykvm::Fork) -> u64 {
    ask(fork, "touch", &[0]);
    fork.reset().unwrap().pages
}

fn exact_memory() {
    for pages in [1024u64, 1000, 1537] {
        let limits = Limits {
            request_memory: pages * PAGE_SIZE,
            ..Limits::default()
        };
        let template = template_with(limits);
        let extra = overhead(&mut template.fork().unwrap());
        for (touched, fits) in [
            (pages - extra - 8, true),
            (pages - extra, true),
            (pages + 1, false),
        ] {
            let mut fork = template.fork().unwrap();
            let exit = call(&mut fork, "touch", &[touched]);
            let fitted = exit == Exit::Hypercall { number: ANSWER };
            if fits {
                assert!(
                    fitted || touched == pages - extra,
                    "{touched} of {pages}: {exit:?}"
                );
            } else {
                assert_eq!(exit, Exit::MemoryLimit, "{touched} of {pages}");
                assert_eq!(
                    fork.private_bytes(),
                    pages * PAGE_SIZE,
                    "stopped exactly there"
                );
                assert!(fork.memory_exceeded());
            }
            fork.reset().unwrap();
            assert!(!fork.memory_exceeded());
            assert_eq!(ask(&mut fork, "count", &[])[0], 8);
        }
    }
}

/// Maps fresh memory and returns its address.
fn map_pages(fork: &mut tinykvm::Fork, pages: u64) -> u64 {
    let place = Placement::Anywhere;
    let allow = Protection::READ_WRITE;
    fork.map(place, pages * PAGE_SIZE, allow).unwrap()
}

fn earlier_requests() {
    let limits = Limits {
        request_memory: 1024 * PAGE_SIZE,
        ..Limits::default()
    };
    let mut fork = template_with(limits).fork().unwrap();
    // Pages 0..700, then 700 other ones (through the first mapped page of the reserve).
    for _ in 0..5 {
        assert_eq!(ask(&mut fork, "touch", &[700])[0], 700);
        fork.reset().unwrap();
        let place = map_pages(&mut fork, 700);
        for page in 0..700 {
            ask(&mut fork, "write_at", &[place + page * PAGE_SIZE]);
        }
        fork.reset().unwrap();
    }
}

/// Also where the pages of earlier requests are still in the set, a request that used more than
/// its limit does not get to answer.
fn exact_memory_when_reused() {
    let limits = Limits {
        request_memory: 1024 * PAGE_SIZE,
        ..Limits::default()
    };
    let mut fork = template_with(limits).fork().unwrap();
    for _ in 0..20 {
        ask(&mut fork, "touch", &[200]);
        fork.reset().unwrap();
        let place = map_pages(&mut fork, 1100);
        assert_eq!(
            call(&mut fork, "touch_at", &[place, 1000]),
            Exit::Hypercall { number: ANSWER }
        );
        assert_eq!(
            call(&mut fork, "touch_at", &[place, 1025]),
            Exit::MemoryLimit
        );
        fork.rebuild().unwrap();
    }
}

/// Pages of earlier requests that make room in the middle of a run, and are written then.
fn given_up() {
    const LIMIT: u64 = 1024;
    let mut fork = with_pages(LIMIT);
    let place = map_pages(&mut fork, 1);
    fork.reset().unwrap();
    // The set is small enough to be kept, but for every third time or so.
    for round in 0..12 {
        assert!(touches(&mut fork, 700), "{round}");
        fork.reset().unwrap();
        assert_eq!(map_pages(&mut fork, 330), place);
        // The first stay in the set, the others leave it.
        let exit = call(&mut fork, "touch_between", &[place, 330, 300, 600]);
        assert_eq!(exit, Exit::Hypercall { number: ANSWER }, "{round}");
        fork.reset().unwrap();
        assert_eq!(ask(&mut fork, "dirty_sum", &[700])[0], 0, "{round}");
        fork.reset().unwrap();
        // The same by the host, between two runs.
        assert!(touches(&mut fork, 700), "{round}");
        fork.reset().unwrap();
        assert_eq!(map_pages(&mut fork, 400), place);
        fork.write(place, &[1; 400 << 12]).unwrap();
        assert!(touches(&mut fork, 500), "{round}");
        fork.reset().unwrap();
        assert_eq!(ask(&mut fork, "dirty_sum", &[700])[0], 0, "{round}");
        fork.reset().unwrap();
    }
}

fn host_writes() {
    let limits = Limits {
        request_memory: 256 * PAGE_SIZE,
        ..Limits::default()
    };
    let mut fork = template_with(limits).fork().unwrap();
    let big = function("big");
    let data = vec![1; 200 * 4096];
    fork.write(big, &data).unwrap();
    assert!(fork.private_bytes() >= 200 * PAGE_SIZE);
    assert!(fork.write(big + 200 * PAGE_SIZE, &data).is_err());
    assert!(fork.memory_exceeded());
    fork.reset().unwrap();
    fork.write(big, &data).unwrap();
}

/// Memory that a request is the first to touch, as guest or as host: the next one finds as much.
fn given_out() {
    let limits = Limits {
        memory: 64 << 20,
        ..Limits::default()
    };
    let mut boot = boot(limits);
    let size = 1 << 30;
    let place = boot.reserve(Placement::Anywhere, size, Protection::READ_WRITE);
    let end = place.unwrap() + size;
    let mut fork = Arc::new(boot.freeze().unwrap()).fork().unwrap();
    for request in 0..500 {
        let at = end - (64 << 12);
        let exit = call(&mut fork, "touch_at", &[at, 32]);
        assert_eq!(exit, Exit::Hypercall { number: ANSWER }, "{request}");
        let written = fork.write(at + (40 << 12), &[1; 10 << 12]);
        assert!(written.is_ok(), "{request}");
        fork.reset().unwrap();
    }
    // Who wants more than there is has met a limit; a fault of the next one is a fault.
    let exit = call(&mut fork, "touch_at", &[place.unwrap(), size / PAGE_SIZE]);
    assert_eq!(exit, Exit::MemoryLimit);
    fork.reset().unwrap();
    let exit = call(&mut fork, "undefined", &[]);
    assert!(matches!(exit, Exit::Exception(_)), "{exit:?}");
}

fn with_pages(pages: u64) -> tinykvm::Fork {
    let limits = Limits {
        request_memory: pages * PAGE_SIZE,
        ..Limits::default()
    };
    template_with(limits).fork().unwrap()
}

/// Whether the host may hold so many pages for a guest.
fn hold(fork: &mut tinykvm::Fork, pages: u64) -> bool {
    Guest::hold(fork, pages * PAGE_SIZE)
}

/// Touches so many pages; true if that fits.
fn touches(fork: &mut tinykvm::Fork, pages: u64) -> bool {
    match call(fork, "touch", &[pages]) {
        Exit::MemoryLimit => false,
        exit => exit == Exit::Hypercall { number: ANSWER },
    }
}

/// Pages that change besides so many that are touched. On hardware their number goes by that.
fn overhead_of(pages: u64) -> u64 {
    let mut fork = with_pages(2 * pages + 256);
    assert!(touches(&mut fork, pages));
    fork.private_bytes() / PAGE_SIZE - pages
}

/// In each order: first the one to its edge, then the other; and both in turn.
fn one_sum() {
    const LIMIT: u64 = 1536;
    // What is left to a guest for which the host may hold no more: not the least there is, 16.
    const MARGIN: u64 = LIMIT / 64;
    for held in [1, 100, 500, 1000] {
        let extra = overhead_of(LIMIT - held);
        // Who touches the last page may have a full ring.
        let left = LIMIT - held - extra - 1;
        let mut fork = with_pages(LIMIT);
        assert!(hold(&mut fork, held) && touches(&mut fork, left), "{held}");
        assert!(!hold(&mut fork, held + 1), "{held}");
        assert!(!touches(&mut fork, left + extra + 2), "{held}");
        fork.rebuild().unwrap();
        let left = left + 1 - MARGIN;
        assert!(touches(&mut fork, left), "{held}");
        // A VM that ran before may change one page less.
        let room = LIMIT - MARGIN - fork.private_bytes() / PAGE_SIZE;
        assert!(room - held <= 1 && hold(&mut fork, room), "{held} {room}");
        assert_eq!(fork.private_bytes() / PAGE_SIZE, LIMIT - MARGIN, "{held}");
        assert!(!hold(&mut fork, room + 1), "{held}");
        // What was refused is not held; less can always be, and makes room.
        assert_eq!(fork.private_bytes() / PAGE_SIZE, LIMIT - MARGIN, "{held}");
        assert!(hold(&mut fork, room - 1) && touches(&mut fork, left + 1));
        assert!(!touches(&mut fork, left + MARGIN + extra + 3), "{held}");
    }
    // As long as the ring has no more room than the guest, it stops exactly there.
    for held in [1, 100, 500] {
        let mut fork = with_pages(LIMIT);
        assert!(
            hold(&mut fork, held) && !touches(&mut fork, LIMIT),
            "{held}"
        );
        assert_eq!(fork.private_bytes() / PAGE_SIZE, LIMIT, "{held}");
    }
    let mut fork = with_pages(LIMIT);
    let (mut held, mut touched) = (0, 0);
    while hold(&mut fork, held + 7) && touches(&mut fork, touched + 5) {
        (held, touched) = (held + 7, touched + 5);
    }
    let sum = held + touched + overhead_of(touched);
    let reached = LIMIT - MARGIN - 12..=LIMIT;
    assert!(reached.contains(&sum), "{held} {touched}");
}

/// Pages that earlier requests changed are not counted, and are given up when there is need.
fn one_sum_reused() {
    const LIMIT: u64 = 1024;
    let mut fork = with_pages(LIMIT);
    for round in 0..5 {
        assert!(touches(&mut fork, 700), "{round}");
        fork.reset().unwrap();
        assert!(hold(&mut fork, 1000), "{round}");
        fork.reset().unwrap();
        assert!(touches(&mut fork, 680), "{round}");
        assert!(hold(&mut fork, 300) && !hold(&mut fork, 400), "{round}");
        fork.reset().unwrap();
        // Nothing is held any more, and who held much may write, as may the host.
        assert!(hold(&mut fork, 500) && touches(&mut fork, 400), "{round}");
        assert!(!touches(&mut fork, 700), "{round}");
        fork.rebuild().unwrap();
        let big = function("big");
        assert!(hold(&mut fork, 500), "{round}");
        fork.write(big, &[1; 400 * 4096]).unwrap();
        assert!(fork.write(big + 400 * 4096, &[1; 200 * 4096]).is_err());
        fork.rebuild().unwrap();
    }
}

/// What the host has to hold, whether it fits or not, is missing to the guest from then on.
fn held_all_the_same() {
    const LIMIT: u64 = 1024;
    let mut fork = with_pages(LIMIT);
    assert!(touches(&mut fork, 100));
    let own = fork.private_bytes();
    Guest::holds(&mut fork, 2 * LIMIT * PAGE_SIZE);
    assert_eq!(fork.private_bytes(), own + 2 * LIMIT * PAGE_SIZE);
    assert!(!touches(&mut fork, 200));
    fork.rebuild().unwrap();
    assert!(fork.private_bytes() < 64 * PAGE_SIZE);
    Guest::holds(&mut fork, 2 * LIMIT * PAGE_SIZE);
    Guest::holds(&mut fork, 1);
    assert!(touches(&mut fork, 900));
}

/// A guest that makes no call is stopped soon, though the ring has room for more.
fn looked_at() {
    const LIMIT: u64 = 2048;
    // A sixteenth, and what is touched in some 10 ms: on a busy machine the look is late.
    const PASSED: u64 = LIMIT / 16 + 800;
    for (held, written) in [(1600, 0), (0, 1500), (700, 900)] {
        let mut fork = with_pages(LIMIT);
        assert!(hold(&mut fork, held));
        let data = vec![1; 4096];
        let big = function("big");
        for page in 0..written {
            fork.write(big + page * PAGE_SIZE, &data).unwrap();
        }
        let place = map_pages(&mut fork, 3 * LIMIT);
        let exit = call(&mut fork, "touch_slowly", &[place, 3 * LIMIT]);
        assert_eq!(exit, Exit::MemoryLimit, "{held} {written}");
        let pages = fork.private_bytes() / PAGE_SIZE;
        assert!((LIMIT..LIMIT + PASSED).contains(&pages), "{pages}");
        fork.rebuild().unwrap();
        // What is in bounds is not looked at, and ends as ever.
        let exit = call(&mut fork, "touch", &[LIMIT / 4]);
        assert_eq!(exit, Exit::Hypercall { number: ANSWER });
    }
}

fn one_sum_booting() {
    const MIB: u64 = 1 << 20;
    let mut booting = boot_with(18 * MIB).unwrap();
    let map = |booting: &mut tinykvm::Booting, mib| {
        booting.map(Placement::Anywhere, mib * MIB, Protection::READ_WRITE)
    };
    assert!(!booting.hold(18 * MIB));
    let fits: Vec<u64> = (1..18)
        .filter(|&mib| map(&mut booting, mib).is_ok())
        .collect();
    let most = *fits.last().unwrap();
    assert!(most >= 6, "{most}");
    assert!(booting.hold(2 * MIB));
    assert!(map(&mut booting, most).is_err());
    let at = map(&mut booting, most - 2).unwrap();
    // What is mapped is not there yet; what is written is.
    assert!(booting.hold(4 * MIB));
    let data = vec![1; 1 << 20];
    let written = |booting: &mut tinykvm::Booting, from: u64| {
        let all = from..most - 2;
        all.take_while(|piece| booting.write(at + (piece << 20), &data).is_ok())
            .count() as u64
    };
    let first = written(&mut booting, 0);
    assert!((most - 5..most - 2).contains(&first), "{first} of {most}");
    assert!(!booting.hold(6 * MIB) && booting.hold(0));
    assert_eq!(first + written(&mut booting, first), most - 2);
}

fn boot_with(memory: u64) -> Result<tinykvm::Booting, EngineError> {
    let options = tinykvm::BootOptions {
        image: image(),
        interpreter: None,
        limits: Limits {
            memory,
            ..Limits::default()
        },
        vdso: None,
    };
    tinykvm::Booting::new(tinykvm::Engine::get().unwrap(), &options)
}

fn too_small() {
    // The image alone has 8 MB of data.
    for memory in [2 << 20, 6 << 20] {
        let error = boot_with(memory).unwrap_err();
        assert!(matches!(error, EngineError::NoMemory { .. }), "{error}");
    }
    boot_with(16 << 20).unwrap();
}

fn edges() {
    let (least, most) = (*Limits::MEMORY.start(), *Limits::MEMORY.end());
    for limit in [
        0,
        1,
        least - 1,
        most + 1,
        most + (1 << 20),
        1 << 38,
        u64::MAX,
    ] {
        let error = boot_with(limit).unwrap_err();
        let (least, most) = (least >> 20, most >> 20);
        let range = format!("the memory limit is {limit} bytes, where {least} to {most} MiB");
        assert!(error.to_string().starts_with(&range), "{error}");
    }
    // The least is enough for the engine, though not for this program.
    let error = boot_with(least).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("no room is left for the program, which needs"),
        "{text}"
    );
}

fn largest() {
    let start = Instant::now();
    let limits = Limits {
        memory: *Limits::MEMORY.end(),
        ..Limits::default()
    };
    let template = template_with(limits);
    let mut fork = template.fork().unwrap();
    assert_eq!(ask(&mut fork, "count", &[])[0], 8);
    // More than was given ahead, touched at both ends.
    let length = 100 << 30;
    let place = fork.map(Placement::Anywhere, length, Protection::READ_WRITE);
    let place = place.unwrap();
    for at in [place, place + length - 1] {
        fork.write(at, &[7]).unwrap();
        assert_eq!(ask(&mut fork, "count", &[])[0], 9 + u64::from(at != place));
        assert_eq!(fork.read_vec(at, 1).unwrap(), [7]);
    }
    fork.reset().unwrap();
    assert_eq!(ask(&mut fork, "count", &[])[0], 8);
    fork.rebuild().unwrap();
    assert_eq!(ask(&mut fork, "count", &[])[0], 8);
    // Some seconds at most. What looks at each page of the size takes many minutes.
    let limit = Duration::from_secs(if emulated() { 240 } else { 60 });
    let took = start.elapsed();
    assert!(took < limit, "{took:?}");
}
