//! The address space, clocks and randomness as the guest sees them.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tinykvm::{
    BootOptions, Booting, Engine, Exit, Fork, Guest, Limits, MapError, PAGE_SIZE, Placement,
    Protection,
};
use tinykvm_testkit::harness::Case;

use super::support::*;

pub fn cases() -> Vec<Case> {
    vec![
        case("mapped_memory_is_zero_and_usable", map),
        case("unmapped_memory_comes_back_as_zeros", remap),
        case("rights_taken_away_are_gone", protect),
        case(
            "what_was_mapped_at_boot_can_be_unmapped_in_a_fork",
            unmap_boot_page,
        ),
        case("bad_ranges_are_errors", bad_ranges),
        case("the_heap_grows_shrinks_and_is_zero", heap),
        case("memory_runs_out_as_an_error", exhaustion),
        case("a_fork_has_room_for_stacks", stacks),
        case("host_access_respects_rights", host_access),
        case("the_host_writes_in_place", in_place),
        case("clocks_are_the_hosts", clocks),
        case("randomness_is_fresh_in_every_call_and_fork", randomness),
        case(
            "randomness_is_not_written_over_other_memory",
            given_up_randomness,
        ),
    ]
}

const RW: Protection = Protection::READ_WRITE;

fn map() {
    let mut fork = fork();
    let one = fork.map(Placement::Anywhere, 10_000, RW).unwrap();
    let other = fork.map(Placement::Anywhere, 4096, RW).unwrap();
    assert!(one.is_multiple_of(PAGE_SIZE) && (other >= one + 12_288 || other + 4096 <= one));
    assert_eq!(ask(&mut fork, "read_at", &[one + 8192])[0], 0);
    ask(&mut fork, "write_at", &[one + 8192]);
    assert_eq!(ask(&mut fork, "read_at", &[one + 8192])[0], 1);
    let fixed = fork.map(Placement::Fixed(0x5000_0000), 8192, RW).unwrap();
    assert_eq!(fixed, 0x5000_0000);
    ask(&mut fork, "write_at", &[fixed + 4096]);
    let again = fork.map(Placement::FixedFree(0x5000_0000), 4096, RW);
    assert_eq!(
        again,
        Err(MapError::Occupied {
            address: 0x5000_0000
        })
    );
    fork.reset().unwrap();
    assert!(
        matches!(call(&mut fork, "read_at", &[fixed]), Exit::Exception(_)),
        "gone by reset"
    );
}

fn remap() {
    let mut fork = fork();
    for _ in 0..3 {
        let at = fork.map(Placement::Anywhere, 8192, RW).unwrap();
        assert_eq!(ask(&mut fork, "read_at", &[at])[0], 0);
        ask(&mut fork, "write_at", &[at]);
        fork.unmap(at, 8192).unwrap();
    }
}

fn protect() {
    let mut fork = fork();
    let at = fork.map(Placement::Anywhere, 12_288, RW).unwrap();
    ask(&mut fork, "write_at", &[at + 4096]);
    fork.protect(at + 4096, 4096, Protection::READ).unwrap();
    assert_eq!(ask(&mut fork, "read_at", &[at + 4096])[0], 1);
    assert!(matches!(
        call(&mut fork, "write_at", &[at + 4096]),
        Exit::Exception(_)
    ));
    fork.protect(at + 4096, 4096, Protection::NONE).unwrap();
    assert!(matches!(
        call(&mut fork, "read_at", &[at + 4096]),
        Exit::Exception(_)
    ));
    ask(&mut fork, "write_at", &[at]);
    ask(&mut fork, "write_at", &[at + 8192]);
    fork.protect(at + 4096, 4096, RW).unwrap();
    assert_eq!(
        ask(&mut fork, "read_at", &[at + 4096])[0],
        1,
        "contents kept"
    );
    assert_eq!(
        fork.protect(
            at,
            4096,
            Protection {
                read: true,
                write: true,
                execute: true
            }
        ),
        Err(MapError::WriteExecute)
    );
    fork.protect(at, 4096, Protection::NONE).unwrap();
    fork.reset().unwrap();
    let same = fork.map(Placement::Anywhere, 12_288, RW).unwrap();
    assert_eq!(same, at, "the same place after the reset");
    ask(&mut fork, "write_at", &[at]);
}

fn unmap_boot_page() {
    let mut fork = fork();
    let [value, at, _] = ask(&mut fork, "first_mapped", &[]);
    assert_eq!(value, 42);
    fork.unmap(at, 4096).unwrap();
    assert!(matches!(
        call(&mut fork, "first_mapped", &[]),
        Exit::Exception(_)
    ));
    fork.reset().unwrap();
    assert_eq!(ask(&mut fork, "first_mapped", &[])[0], 42);
}

fn bad_ranges() {
    let mut fork = fork();
    for (at, length) in [
        (1, 4096),
        (0x1000, 4096),
        (1 << 47, 4096),
        (u64::MAX - 4095, 4096),
        (0x10_0000, 0),
        (0x10_0000, u64::MAX),
    ] {
        assert!(
            matches!(fork.unmap(at, length), Err(MapError::Invalid { .. })),
            "{at:#x} {length:#x}"
        );
        assert!(
            fork.map(Placement::Fixed(at), length, RW).is_err(),
            "{at:#x} {length:#x}"
        );
        assert!(fork.protect(at, length, RW).is_err());
        assert!(fork.discard(at, length).is_err());
    }
    assert!(matches!(
        fork.protect(0x6000_0000, 4096, RW),
        Err(MapError::NoMemory { .. })
    ));
    assert!(fork.map(Placement::Anywhere, 0, RW).is_err());
    assert!(fork.map(Placement::Anywhere, u64::MAX, RW).is_err());
}

fn heap() {
    let mut fork = fork();
    let start = fork.set_heap_end(0);
    assert_eq!(fork.set_heap_end(start + 100_000), start + 100_000);
    ask(&mut fork, "write_at", &[start + 99_000]);
    assert_eq!(fork.set_heap_end(start + 50_000), start + 50_000);
    assert_eq!(fork.set_heap_end(start + 100_000), start + 100_000);
    assert_eq!(ask(&mut fork, "read_at", &[start + 99_000])[0], 0);
    assert_eq!(fork.set_heap_end(1), start + 100_000, "not possible");
    assert_eq!(
        fork.set_heap_end(start + (1 << 40)),
        start + 100_000,
        "not possible"
    );
    fork.reset().unwrap();
    assert_eq!(fork.set_heap_end(0), start);
}

fn exhaustion() {
    let mut fork = fork();
    let mut total = 0u64;
    let size = 16 << 20;
    while fork.map(Placement::Anywhere, size, RW).is_ok() {
        total += size;
        assert!(total <= 256 << 20);
    }
    assert!(total >= 128 << 20, "{total}");
    fork.reset().unwrap();
    fork.map(Placement::Anywhere, 64 << 20, RW).unwrap();
}

/// As glibc makes them: mapped without access, then all of it accessible, and a little of it used.
fn stacks() {
    const STACK: u64 = 8 << 20;
    let template = template_with(Limits {
        memory: 64 << 20,
        ..Limits::default()
    });
    let mut fork = template.fork().unwrap();
    for _ in 0..20 {
        let at = fork
            .map(Placement::Anywhere, STACK, Protection::NONE)
            .unwrap();
        fork.protect(at + PAGE_SIZE, STACK - PAGE_SIZE, RW).unwrap();
        ask(&mut fork, "write_at", &[at + STACK - PAGE_SIZE]);
    }
    // More than there is, as one piece, is an error at once.
    let at = fork
        .map(Placement::Anywhere, 64 << 20, Protection::NONE)
        .unwrap();
    let bad = fork.protect(at, 64 << 20, RW);
    assert!(matches!(bad, Err(MapError::NoMemory { .. })), "{bad:?}");
}

fn host_access() {
    let mut fork = fork();
    let mut word = [0; 8];
    assert!(fork.read(0, &mut word).is_err());
    for address in [
        u64::MAX - 3,
        u64::MAX - 7,
        u64::MAX - 4100,
        1 << 63,
        1 << 47,
        (1 << 47) - 4,
    ] {
        assert!(fork.read(address, &mut word).is_err(), "{address:#x}");
        assert!(fork.write(address, &word).is_err(), "{address:#x}");
        assert!(fork.pieces(address, 8).is_err(), "{address:#x}");
    }
    assert!(
        fork.read(0x7fff_ff80_0000, &mut word).is_err(),
        "the engine's own page"
    );
    assert!(fork.write(function("count"), &word).is_err(), "code");
    assert!(fork.write(function("constant"), &word).is_err());
    assert!(fork.read(function("constant"), &mut word).is_ok());
    assert!(fork.check_readable(function("big"), 8 << 20).is_ok());
    assert!(fork.check_readable(function("big"), 1 << 40).is_err());
    let pieces: usize = fork
        .pieces(function("big"), 1 << 20)
        .unwrap()
        .map(<[u8]>::len)
        .sum();
    assert_eq!(pieces, 1 << 20);
}

fn in_place() {
    let mut fork = fork();
    let at = function("big") + 3 * PAGE_SIZE - 100;
    for _ in 0..2 {
        let piece = fork.first_piece_mut(at, 5000).unwrap();
        assert!((100..=5000).contains(&piece.len()), "{}", piece.len());
        assert!(piece.iter().all(|&byte| byte == 0));
        piece.fill(0x11);
        let length = piece.len() as u64;
        let ends = [at - 8, at, at + length - 8, at + length];
        let found = ends.map(|at| ask(&mut fork, "read_at", &[at])[0]);
        let word = 0x1111_1111_1111_1111;
        assert_eq!(found, [0, word, word, 0]);
        fork.reset().unwrap();
        assert_eq!(ask(&mut fork, "read_at", &[at])[0], 0);
    }
    for denied in [0, function("count"), function("constant"), 1 << 47] {
        assert!(fork.first_piece_mut(denied, 8).is_err(), "{denied:#x}");
    }
}

/// The host page: a fixed address in every guest, see the crate's documentation of the layout.
const HOST_PAGE: u64 = 0x7fff_ff82_0000;

fn clocks() {
    let mut fork = fork();
    let mut last = Duration::ZERO;
    for _ in 0..50 {
        ask(&mut fork, "count", &[]);
        let host = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!(host.abs_diff(fork.realtime()) < Duration::from_millis(1));
        assert!(fork.monotonic() >= last, "monotonic time went back");
        last = fork.monotonic();
        fork.reset().unwrap();
    }
    assert_eq!(
        fork.read_u64(HOST_PAGE + 40).unwrap(),
        1,
        "the guest shares the host's counter"
    );
    let start = fork.read_u64(HOST_PAGE + 8).unwrap();
    let now = ask(&mut fork, "clock", &[0])[0];
    assert!(now > start && now - start < 1 << 36, "{start} {now}");
}

fn randomness() {
    let (mut one, mut other) = (fork(), fork());
    let place = random_place();
    let mut seen = HashSet::new();
    for _ in 0..64 {
        for fork in [&mut one, &mut other] {
            // The program may write there, and be reset or not.
            for _ in 0..2 {
                for place in [place, place + 8] {
                    assert!(seen.insert(ask(fork, "read_at", &[place])[0]));
                }
                for seed in fork.seed() {
                    assert!(seen.insert(seed));
                }
                ask(fork, "write_at", &[place]);
                assert_eq!(fork.read_u64(place).unwrap(), 1);
            }
            fork.reset().unwrap();
        }
    }
}

/// Where the program put something else in the place of its random bytes, that stays.
fn given_up_randomness() {
    let mut fork = fork();
    let place = random_place();
    let (page, mine) = (place & !(PAGE_SIZE - 1), 0x1234_5678_9abc_def0_u64);
    let read = |fork: &mut Fork| ask(fork, "read_at", &[place])[0];
    let there = |fork: &mut Fork| {
        let allow = Protection::READ_WRITE;
        fork.map(Placement::Fixed(page), PAGE_SIZE, allow).unwrap();
        fork.write(place, &mine.to_le_bytes()).unwrap();
    };
    there(&mut fork);
    assert_eq!((read(&mut fork), read(&mut fork)), (mine, mine));
    fork.reset().unwrap();
    let (one, other) = (read(&mut fork), read(&mut fork));
    assert!(one != other && one != mine, "{one:x} {other:x}");

    // Moved, with zeros in the old place.
    let kept = fork.read_u64(place).unwrap();
    let there = Placement::Anywhere;
    let moved = fork.remap(page, PAGE_SIZE, there, PAGE_SIZE, true).unwrap();
    assert_eq!((read(&mut fork), read(&mut fork)), (0, 0));
    assert_eq!(fork.read_u64(moved + place % PAGE_SIZE).unwrap(), kept);
    fork.reset().unwrap();

    // Not to be written: not even by the host, and no harm done.
    fork.protect(page, PAGE_SIZE, Protection::READ).unwrap();
    let kept = fork.read_u64(place).unwrap();
    fork.begin(BUDGET);
    assert_eq!(fork.read_u64(place).unwrap(), kept);
    fork.end();
    fork.reset().unwrap();
    assert_ne!(read(&mut fork), kept);
}

fn random_place() -> u64 {
    let options = BootOptions {
        image: image(),
        interpreter: None,
        limits: Limits::default(),
        vdso: None,
    };
    Booting::new(Engine::get().unwrap(), &options)
        .unwrap()
        .loaded()
        .random
}
