//! Memory that costs nothing before it is touched, and rights that are real in forks.

use std::collections::BTreeMap;
use std::sync::Arc;

use tinykvm::{
    Advice, BadAddress, Booting, Exit, Fork, Guest, Limits, MapError, PAGE_SIZE, Placement,
    Protection,
};
use tinykvm_testkit::harness::Case;

use super::support::*;

pub fn cases() -> Vec<Case> {
    vec![
        case("reservations_of_terabytes_cost_nothing", reservations),
        case("only_what_is_touched_counts", touched),
        case(
            "the_host_sees_zeros_and_writes_what_nobody_touched",
            host_access,
        ),
        case(
            "untouched_memory_of_the_freeze_needs_no_edit_in_a_fork",
            ahead,
        ),
        case("unmapped_memory_of_a_request_is_gone", unmapped),
        case("random_edits_of_requests_are_real_and_reset", random_edits),
        case("there_is_a_limit_on_the_number_of_areas", area_limit),
        case("what_was_written_is_not_executed", write_xor_execute),
        case("a_jit_may_flip_and_mix_rights", jit),
        case(
            "what_a_program_wrote_elsewhere_is_not_executed",
            written_elsewhere,
        ),
        case("low_memory_is_the_second_gigabyte", low),
        case("a_growing_stack_grows", growing_stack),
        case("wiped_memory_is_zero_in_every_fork", wiped),
        case("moved_memory_keeps_contents_and_rights", moved),
        case("what_was_lent_and_mapped_anew_is_the_guests", lent),
        case("a_few_rights_are_taken_away_without_a_slot", cheap_flush),
    ]
}

const RW: Protection = Protection::READ_WRITE;
const RWX: Protection = Protection {
    read: true,
    write: true,
    execute: true,
};

fn small(megabytes: u64) -> Limits {
    Limits {
        memory: megabytes << 20,
        ..Limits::default()
    }
}

/// Calls a function of a booting program.
pub fn boot_call(boot: &mut Booting, name: &str, arguments: [u64; 2]) -> Exit {
    let top = boot.loaded().stack_top - 64;
    boot.start(function(name), top - 8);
    let registers = boot.registers_mut();
    [registers.rdi, registers.rsi] = arguments;
    boot.run(BUDGET).unwrap()
}

const DONE: Exit = Exit::Hypercall { number: ANSWER };

/// Freezes a program in which functions were called.
fn freeze(boot: Booting) -> Arc<tinykvm::Template> {
    Arc::new(boot.freeze().unwrap())
}

fn reservations() {
    let mut boot = boot(small(32));
    let none = Protection::NONE;
    let huge = boot.map(Placement::Anywhere, 1 << 45, none).unwrap();
    assert!(matches!(
        boot_call(&mut boot, "read_at", [huge, 0]),
        Exit::Exception(_)
    ));
    let middle = huge + (1 << 44);
    boot.protect(middle, 1 << 20, RW).unwrap();
    assert_eq!(boot_call(&mut boot, "write_at", [middle + 8192, 0]), DONE);
    // Heaps of garbage collectors: accessible, and far larger than memory.
    let lazy = boot.reserve(Placement::Anywhere, 1 << 40, RW).unwrap();
    assert_eq!(
        boot_call(&mut boot, "write_at", [lazy + (1 << 39), 0]),
        DONE
    );
    assert!(boot.map(Placement::Anywhere, 1 << 40, RW).is_err());
    boot.unmap(huge, 1 << 43).unwrap();
    let template = freeze(boot);
    let mut fork = template.fork().unwrap();
    assert_eq!(ask(&mut fork, "read_at", &[middle + 8192])[0], 1);
    ask(&mut fork, "write_at", &[lazy + (3 << 38)]);
    fork.reset().unwrap();
    assert_eq!(ask(&mut fork, "read_at", &[lazy + (3 << 38)])[0], 0);
    assert!(matches!(
        call(&mut fork, "read_at", &[huge]),
        Exit::Exception(_)
    ));
}

fn touched() {
    let mut boot = boot(small(48));
    let stacks: Vec<u64> = (0..20)
        .map(|_| boot.map(Placement::Anywhere, 8 << 20, RW).unwrap())
        .collect();
    for stack in &stacks {
        assert_eq!(
            boot_call(&mut boot, "write_at", [stack + (8 << 20) - 4096, 0]),
            DONE
        );
    }
    // In order, and backwards.
    assert_eq!(boot_call(&mut boot, "touch_at", [stacks[0], 2048]), DONE);
    for page in (0..2048).rev() {
        let at = stacks[1] + page * PAGE_SIZE;
        assert_eq!(boot_call(&mut boot, "write_at", [at, 0]), DONE);
    }
    let much = boot.reserve(Placement::Anywhere, 1 << 30, RW).unwrap();
    let exit = boot_call(&mut boot, "touch_at", [much, 1 << 18]);
    assert_eq!(exit, Exit::MemoryLimit);
}

fn host_access() {
    let mut boot = boot(small(64));
    let at = boot.map(Placement::Anywhere, 1 << 20, RW).unwrap();
    let read_only = boot
        .map(Placement::Anywhere, 1 << 20, Protection::READ)
        .unwrap();
    assert_eq!(boot.read_vec(at, 1 << 20).unwrap(), vec![0; 1 << 20]);
    assert_eq!(boot.read_vec(read_only, 9).unwrap(), [0; 9]);
    boot.write(at + 4090, b"across a page").unwrap();
    assert_eq!(boot.read_vec(at + 4090, 13).unwrap(), b"across a page");
    assert!(boot.write(read_only, b"x").is_err());
    boot.populate(read_only + 5000, b"contents").unwrap();
    assert_eq!(boot.read_vec(read_only + 5000, 8).unwrap(), b"contents");
    let hidden = boot
        .map(Placement::Anywhere, 4096, Protection::NONE)
        .unwrap();
    assert!(boot.read_vec(hidden, 1).is_err() && boot.check_readable(hidden, 1).is_err());
    boot.populate(hidden, b"later").unwrap();
    assert!(boot.read_vec(hidden, 5).is_err());
    boot.protect(hidden, 4096, Protection::READ).unwrap();
    assert_eq!(boot.read_vec(hidden, 5).unwrap(), b"later");
    let all = boot.reserve(Placement::Anywhere, 1 << 44, RW).unwrap();
    boot.check_readable(all, 1 << 44).unwrap();
    assert!(boot.check_readable(all, (1 << 44) + (1 << 42)).is_err());
    let template = freeze(boot);
    let mut fork = template.fork().unwrap();
    let far = all + (1 << 43);
    assert_eq!(fork.read_vec(far, 4).unwrap(), [0; 4]);
    fork.write(far, b"here").unwrap();
    assert_eq!(
        ask(&mut fork, "read_at", &[far])[0],
        u64::from(u32::from_le_bytes(*b"here"))
    );
    fork.reset().unwrap();
    assert_eq!(fork.read_vec(far, 4).unwrap(), [0; 4]);
    assert_eq!(
        fork.populate(0x5000_0000, b"x"),
        Err(BadAddress {
            address: 0x5000_0000,
            length: 1
        })
    );
}

fn ahead() {
    let mut boot = boot(small(64));
    let stack = boot.map(Placement::Anywhere, 8 << 20, RW).unwrap();
    let template = freeze(boot);
    let mut fork = template.fork().unwrap();
    ask(&mut fork, "write_at", &[stack + (4 << 20)]);
    let runs = fork.vcpu_runs();
    ask(&mut fork, "write_at", &[stack + (2 << 20)]);
    assert_eq!(fork.vcpu_runs() - runs, 1, "no fault reaches the host");
}

fn unmapped() {
    let mut fork = fork();
    for length in [4096, 65536, 8 << 20, 32 << 20] {
        let at = fork.map(Placement::Anywhere, length, RW).unwrap();
        let last = at + length - 4096;
        ask(&mut fork, "write_at", &[last]);
        fork.unmap(at, length).unwrap();
        for gone in [at, last] {
            assert!(matches!(
                call(&mut fork, "read_at", &[gone]),
                Exit::Exception(_)
            ));
            assert!(fork.read_u64(gone).is_err());
        }
        let again = fork.map(Placement::Anywhere, length, RW).unwrap();
        assert_eq!(again, at, "the same place");
        assert_eq!(ask(&mut fork, "read_at", &[last])[0], 0);
        fork.reset().unwrap();
    }
    // As at the freeze: usable at once.
    let at = fork.map(Placement::Anywhere, 4096, RW).unwrap();
    ask(&mut fork, "write_at", &[at]);
}

/// What a page of the model is: nothing, or rights and the first word.
type Model = BTreeMap<u64, (Protection, u64)>;

fn check(fork: &mut Fork, model: &Model, page: u64) {
    let found = model.get(&page).copied();
    let readable = found.filter(|(allow, _)| !allow.is_none());
    match (call(fork, "read_at", &[page]), readable) {
        (Exit::Hypercall { .. }, Some((_, value))) => assert_eq!(fork.registers().rdi, value),
        (Exit::Exception(_), None) => {}
        (exit, _) => panic!("read of {page:#x}: {exit:x?}, expected {found:?}"),
    }
}

/// A program with 64 pages of all kinds of rights, and what they are.
fn mixed_pages() -> (Arc<tinykvm::Template>, u64, Model) {
    let mut boot = boot(Limits::default());
    let base = boot.map(Placement::Anywhere, 64 * PAGE_SIZE, RW).unwrap();
    assert_eq!(boot_call(&mut boot, "touch_at", [base, 64]), DONE);
    for page in (0..64).step_by(4) {
        let allow = if page % 8 == 0 {
            Protection::READ
        } else {
            Protection::NONE
        };
        boot.protect(base + page * PAGE_SIZE, PAGE_SIZE, allow)
            .unwrap();
    }
    boot.unmap(base + 40 * PAGE_SIZE, 5 * PAGE_SIZE).unwrap();
    let mut frozen = Model::new();
    for page in 0..64 {
        let at = base + page * PAGE_SIZE;
        if let Some(range) = boot.mapped(at).filter(|range| range.start <= at) {
            // What `touch_at` left: a byte 1.
            frozen.insert(at, (range.allow, 1));
        }
    }
    (freeze(boot), base, frozen)
}

fn random_edits() {
    let (template, base, frozen) = mixed_pages();
    let mut fork = template.fork().unwrap();
    let mut seed = 0x1234_5678_9abc_def1u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for round in 0..40 {
        let mut model = frozen.clone();
        for _ in 0..12 {
            let (first, count) = (random(60), 1 + random(4));
            let (at, length) = (base + first * PAGE_SIZE, count * PAGE_SIZE);
            let pages = (at..at + length).step_by(4096);
            let allow = match random(3) {
                0 => RW,
                1 => Protection::READ,
                _ => Protection::NONE,
            };
            match random(5) {
                0 => {
                    fork.unmap(at, length).unwrap();
                    model.retain(|page, _| !(at..at + length).contains(page));
                }
                1 => {
                    fork.map(Placement::Fixed(at), length, allow).unwrap();
                    model.extend(pages.map(|page| (page, (allow, 0))));
                }
                2 => {
                    let whole = pages.clone().all(|page| model.contains_key(&page));
                    assert_eq!(fork.protect(at, length, allow).is_ok(), whole);
                    if whole {
                        pages.for_each(|page| model.get_mut(&page).unwrap().0 = allow);
                    }
                }
                3 => {
                    let whole = pages.clone().all(|page| model.contains_key(&page));
                    assert_eq!(fork.discard(at, length).is_ok(), whole);
                    if whole {
                        pages.for_each(|page| model.get_mut(&page).unwrap().1 = 0);
                    }
                }
                _ => {
                    let may = model.get(&at).is_some_and(|(allow, _)| allow.write);
                    let wrote =
                        matches!(call(&mut fork, "write_at", &[at]), Exit::Hypercall { .. });
                    assert_eq!(wrote, may, "round {round}: write to {at:#x}");
                    if wrote {
                        model.get_mut(&at).unwrap().1 = 1;
                    }
                }
            }
            for near in [at, at + length - PAGE_SIZE, base + random(64) * PAGE_SIZE] {
                check(&mut fork, &model, near);
            }
        }
        if round % 8 == 7 {
            fork.rebuild().unwrap();
        } else {
            fork.reset().unwrap();
        }
        for page in 0..64 {
            check(&mut fork, &frozen, base + page * PAGE_SIZE);
        }
        fork.reset().unwrap();
    }
}

fn area_limit() {
    let mut boot = boot(Limits::default());
    let base = boot
        .map(Placement::Anywhere, 1 << 32, Protection::NONE)
        .unwrap();
    let mut count = 0u64;
    let error = loop {
        let at = base + 2 * count * PAGE_SIZE;
        match boot.map(Placement::Fixed(at), PAGE_SIZE, Protection::READ) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, MapError::NoMemory { .. }));
    assert!((32_000..32_766).contains(&count), "{count}");
    boot.unmap(base, 1 << 31).unwrap();
    boot.map(Placement::Anywhere, PAGE_SIZE, RW).unwrap();
}

fn write_xor_execute() {
    let mut fork = fork();
    let at = fork.map(Placement::Anywhere, 8192, RW).unwrap();
    let refused = Err(MapError::WriteExecute);
    assert_eq!(fork.protect(at, 4096, Protection::READ_EXECUTE), refused);
    fork.protect(at, 4096, Protection::READ).unwrap();
    let later = fork.protect(at, 4096, Protection::READ_EXECUTE);
    assert_eq!(later, refused, "it was writable once");
    assert_eq!(fork.map(Placement::Anywhere, 4096, RWX).map(drop), refused);
    let code = fork
        .map(Placement::Anywhere, 4096, Protection::READ_EXECUTE)
        .unwrap();
    fork.populate(code, &[0xc3]).unwrap();
    ask(&mut fork, "call_at", &[code]);
    assert!(matches!(
        call(&mut fork, "call_at", &[at]),
        Exit::Exception(_)
    ));
}

fn jit() {
    let limits = Limits {
        allow_write_execute: true,
        ..Limits::default()
    };
    let mut fork = template_with(limits).fork().unwrap();
    for _ in 0..3 {
        let both = fork.map(Placement::Anywhere, 4096, RWX).unwrap();
        fork.write(both, &[0xc3]).unwrap();
        ask(&mut fork, "call_at", &[both]);
        let flips = fork.map(Placement::Anywhere, 4096, RW).unwrap();
        for _ in 0..3 {
            fork.write(flips, &[0x90, 0xc3]).unwrap();
            fork.protect(flips, 4096, Protection::READ_EXECUTE).unwrap();
            ask(&mut fork, "call_at", &[flips]);
            assert!(matches!(
                call(&mut fork, "write_at", &[flips]),
                Exit::Exception(_)
            ));
            fork.protect(flips, 4096, RW).unwrap();
            assert!(matches!(
                call(&mut fork, "call_at", &[flips]),
                Exit::Exception(_)
            ));
        }
        fork.reset().unwrap();
    }
}

fn written_elsewhere() {
    let refused = Err(MapError::WriteExecute);
    for right in [false, true] {
        let limits = Limits {
            allow_write_execute: right,
            ..Limits::default()
        };
        let expected = |result| if right { Ok(()) } else { result };
        let mut boot = boot(limits);
        let early = boot
            .map(Placement::Anywhere, 8192, Protection::READ)
            .unwrap();
        boot.advise(early + 4096, 4096, Advice::Written).unwrap();
        let mut fork = freeze(boot).fork().unwrap();
        assert_eq!(fork.allows_write_execute(), right);
        fork.protect(early, 4096, Protection::READ_EXECUTE).unwrap();
        let made = fork.protect(early + 4096, 4096, Protection::READ_EXECUTE);
        assert_eq!(made, expected(refused));
        let code = fork
            .map(Placement::Anywhere, 4096, Protection::READ_EXECUTE)
            .unwrap();
        assert_eq!(
            fork.advise(code, 4096, Advice::Written),
            expected(refused),
            "it is executable"
        );
        // It stays so when it moves, and what replaces it is new.
        let to = fork
            .remap(early + 4096, 4096, Placement::Anywhere, 8192, false)
            .unwrap();
        let made = fork.protect(to, 8192, Protection::READ_EXECUTE);
        assert_eq!(made, expected(refused));
        fork.map(Placement::Fixed(to), 4096, Protection::READ_EXECUTE)
            .unwrap();
    }
}

fn low() {
    let (start, end) = (Placement::LOW.start, Placement::LOW.end);
    let mut boot = boot(small(32));
    assert_eq!(boot.map(Placement::Low, 4096, RW), Ok(start));
    assert_eq!(boot_call(&mut boot, "write_at", [start, 0]), DONE);
    let mut fork = freeze(boot).fork().unwrap();
    for _ in 0..2 {
        assert_eq!(fork.map(Placement::Low, 100, RW), Ok(start + 4096));
        ask(&mut fork, "write_at", &[start + 4096]);
        let rest = end - start - 3 * 4096;
        let found = fork.reserve(Placement::Low, rest, RW);
        assert_eq!(found, Ok(start + 8192));
        ask(&mut fork, "write_at", &[end - 8192]);
        assert!(fork.map(Placement::Low, 8192, RW).is_err(), "full");
        assert_eq!(fork.map(Placement::Low, 4096, RW), Ok(end - 4096));
        ask(&mut fork, "write_at", &[end - 8]);
        assert!(fork.map(Placement::Low, 1, RW).is_err());
        assert!(fork.reserve(Placement::Low, u64::MAX - 8191, RW).is_err());
        fork.reset().unwrap();
    }
}

fn growing_stack() {
    let mut fork = fork();
    let top = 0x5000_0000;
    fork.map(Placement::Fixed(top - 8192), 8192, RW).unwrap();
    assert!(matches!(
        call(&mut fork, "write_at", &[top - 12288]),
        Exit::Exception(_)
    ));
    fork.advise(top - 8192, 8192, Advice::GrowsDown).unwrap();
    for page in 3..100 {
        ask(&mut fork, "write_at", &[top - page * 4096]);
    }
    ask(&mut fork, "write_at", &[top - (2 << 20)]);
    assert!(matches!(
        call(&mut fork, "write_at", &[top - (9 << 20)]),
        Exit::Exception(_)
    ));
    // The gap to what lies below stays.
    fork.map(Placement::Fixed(top - (5 << 20)), 4096, RW)
        .unwrap();
    assert!(matches!(
        call(&mut fork, "write_at", &[top - (5 << 20) + 65536]),
        Exit::Exception(_)
    ));
}

fn wiped() {
    let mut boot = boot(Limits::default());
    let at = boot.map(Placement::Anywhere, 8192, RW).unwrap();
    boot.write(at, &[7; 8192]).unwrap();
    boot.advise(at, 4096, Advice::WipeOnFork).unwrap();
    boot.advise(at + 4096, 4096, Advice::WipeOnFork).unwrap();
    boot.advise(at + 4096, 4096, Advice::KeepOnFork).unwrap();
    let template = freeze(boot);
    let mut fork = template.fork().unwrap();
    for _ in 0..2 {
        assert_eq!(ask(&mut fork, "read_at", &[at])[0], 0);
        assert_ne!(ask(&mut fork, "read_at", &[at + 4096])[0], 0);
        ask(&mut fork, "write_at", &[at]);
        fork.reset().unwrap();
    }
}

fn lent() {
    let template = freeze(boot(Limits::default()));
    let mut fork = template.fork().unwrap();
    let pages = 8 * PAGE_SIZE;
    for turn in 0..3 {
        let start = fork.map(Placement::Anywhere, pages, RW).unwrap();
        // A neighbour of the same kind is none of it.
        let behind = Placement::FixedFree(start + pages);
        fork.map(behind, PAGE_SIZE, RW).unwrap();
        fork.lend(start, pages).unwrap();
        assert!(fork.is_lent(start, pages) && !fork.is_lent(start, pages + PAGE_SIZE));
        // Rights don't matter.
        fork.protect(start, PAGE_SIZE, Protection::NONE).unwrap();
        assert!(fork.is_lent(start, pages));
        fork.unmap(start + PAGE_SIZE, PAGE_SIZE).unwrap();
        assert!(!fork.is_lent(start, pages));
        let [again, fixed, moved] = [1, 2, 4].map(|page| start + page * PAGE_SIZE);
        fork.map(Placement::FixedFree(again), PAGE_SIZE, RW)
            .unwrap();
        fork.map(Placement::Fixed(fixed), PAGE_SIZE, RW).unwrap();
        let to = fork
            .remap(moved, PAGE_SIZE, Placement::Anywhere, PAGE_SIZE, false)
            .unwrap();
        for own in [again, fixed, to, start + pages] {
            assert!(!fork.is_lent(own, PAGE_SIZE));
            fork.write(own, b"own").unwrap();
        }
        fork.take_back(start, pages).unwrap();
        for page in 0..8 {
            let at = start + page * PAGE_SIZE;
            let left = fork.read_vec(at, 3).ok();
            let wanted = [again, fixed].contains(&at).then(|| b"own".to_vec());
            assert_eq!(left, wanted, "turn {turn}, page {page}");
        }
        assert_eq!(fork.read_vec(to, 3).unwrap(), b"own");
        fork.reset().unwrap();
        assert!(!fork.is_lent(start, pages));
    }
}

fn moved() {
    let mut boot = boot(Limits::default());
    let old = boot.map(Placement::Anywhere, 3 << 20, RW).unwrap();
    boot.write(old + 4096, b"contents").unwrap();
    boot.protect(old + 8192, 4096, Protection::READ).unwrap();
    let new = boot
        .remap(old, 3 << 20, Placement::Anywhere, 4 << 20, false)
        .unwrap();
    assert_eq!(boot.read_vec(new + 4096, 8).unwrap(), b"contents");
    assert!(boot.write(new + 8192, b"x").is_err());
    assert!(boot.read_u64(old + 4096).is_err());
    assert!(matches!(
        boot_call(&mut boot, "read_at", [old + 4096, 0]),
        Exit::Exception(_)
    ));
    assert_eq!(
        boot_call(&mut boot, "write_at", [new + (4 << 20) - 4096, 0]),
        DONE
    );
    let template = freeze(boot);
    let mut fork = template.fork().unwrap();
    for _ in 0..3 {
        let before = ask(&mut fork, "read_at", &[new + 4096])[0];
        let place = Placement::Fixed(0x5000_0000);
        let third = fork.remap(new, 4 << 20, place, 1 << 20, true).unwrap();
        assert_eq!(ask(&mut fork, "read_at", &[third + 4096])[0], before);
        assert_eq!(
            ask(&mut fork, "read_at", &[new + 4096])[0],
            0,
            "kept, and zero"
        );
        assert!(matches!(
            call(&mut fork, "read_at", &[new + (2 << 20)]),
            Exit::Exception(_)
        ));
        let back = fork
            .remap(third, 1 << 20, Placement::Anywhere, 1 << 20, false)
            .unwrap();
        assert_eq!(ask(&mut fork, "read_at", &[back + 4096])[0], before);
        assert!(matches!(
            call(&mut fork, "read_at", &[third + 4096]),
            Exit::Exception(_)
        ));
        fork.reset().unwrap();
    }
    let bad = fork.remap(new, 8 << 20, Placement::Anywhere, 8 << 20, false);
    assert!(matches!(bad, Err(MapError::NoMemory { .. })));
    let bad = fork.remap(new, 8192, Placement::Fixed(new + 4096), 8192, false);
    assert!(matches!(bad, Err(MapError::Invalid { .. })));
}

fn cheap_flush() {
    let mut fork = fork();
    let at = fork.map(Placement::Anywhere, 64 << 12, RW).unwrap();
    ask(&mut fork, "touch_at", &[at, 64]);
    let runs = fork.vcpu_runs();
    fork.protect(at, 4096, Protection::READ).unwrap();
    ask(&mut fork, "read_at", &[at]);
    assert_eq!(fork.vcpu_runs() - runs, 2, "the edit, and the call");
    let runs = fork.vcpu_runs();
    fork.protect(at, 4096, RW).unwrap();
    ask(&mut fork, "write_at", &[at]);
    assert_eq!(
        fork.vcpu_runs() - runs,
        1,
        "rights that are added need nothing"
    );
}
