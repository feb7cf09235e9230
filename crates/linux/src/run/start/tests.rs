use std::collections::BTreeMap;

use proptest::prelude::*;
use tinykvm::{Guest, Loaded, Protection};
use tinykvm_testkit::FakeGuest;

use crate::process::Process;
use crate::process::options::ProcessOptions;
use crate::run::start::{
    AT_BASE, AT_CLKTCK, AT_EGID, AT_ENTRY, AT_EUID, AT_EXECFN, AT_FLAGS, AT_GID, AT_HWCAP,
    AT_HWCAP2, AT_MINSIGSTKSZ, AT_PAGESZ, AT_PHDR, AT_PHENT, AT_PHNUM, AT_PLATFORM, AT_RANDOM,
    AT_SECURE, AT_SYSINFO_EHDR, AT_UID, InitialStack, StartError, lay_out,
};
use crate::wire::record::u64_at;

const TOP: u64 = 0x7000_0000;

const LOADED: Loaded = Loaded {
    start: 0x7000_1000,
    entry: 0x40_1000,
    phdr: 0x40_0040,
    phent: 56,
    phnum: 9,
    base: 0,
    interpreter: 0x7000_0000,
    stack_top: TOP,
    stack_size: 4 << 20,
    host_page: 0x5000_0000,
    random: 0x5000_0040,
    vdso: Some(0x5000_1000),
};

fn options(arguments: &[&[u8]], environment: &[&[u8]]) -> ProcessOptions {
    ProcessOptions {
        arguments: arguments.iter().map(|text| text.to_vec()).collect(),
        environment: environment.iter().map(|text| text.to_vec()).collect(),
        executable: b"/bin/program".to_vec(),
        ..ProcessOptions::default()
    }
}

/// What a C library finds from its stack pointer.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
    auxiliary: BTreeMap<u64, u64>,
}

/// Reads the stack as `_start` does.
fn decode(stack: &InitialStack) -> Found {
    let word = |at: &mut usize| {
        *at += 8;
        u64_at(&stack.bytes, *at - 8)
    };
    let mut at = 0;
    let count = word(&mut at);
    let strings = |at: &mut usize| {
        let mut found = Vec::new();
        loop {
            match word(at) {
                0 => return found,
                address => found.push(string(stack, address)),
            }
        }
    };
    let arguments = strings(&mut at);
    assert_eq!(arguments.len() as u64, count);
    let environment = strings(&mut at);
    let mut auxiliary = BTreeMap::new();
    loop {
        let (kind, value) = (word(&mut at), word(&mut at));
        if kind == 0 {
            assert_eq!(value, 0);
            return Found {
                arguments,
                environment,
                auxiliary,
            };
        }
        assert!(auxiliary.insert(kind, value).is_none(), "type {kind} twice");
    }
}

/// The string at a guest address on the stack.
fn string(stack: &InitialStack, address: u64) -> Vec<u8> {
    let at = usize::try_from(address - stack.address).unwrap();
    let end = stack.bytes[at..]
        .iter()
        .position(|&byte| byte == 0)
        .unwrap();
    stack.bytes[at..at + end].to_vec()
}

#[test]
fn a_program_finds_everything() {
    let options = options(&[b"program", b"", b"two words"], &[b"A=1", b"LC_ALL=C"]);
    let stack = lay_out(&options, &LOADED).unwrap();
    assert_eq!(stack.address % 16, 0);
    assert_eq!(stack.address + stack.bytes.len() as u64, TOP);
    assert_eq!(stack.bytes[stack.bytes.len() - 8..], [0; 8]);

    let found = decode(&stack);
    assert_eq!(found.arguments, options.arguments);
    assert_eq!(found.environment, options.environment);
    let auxiliary = &found.auxiliary;
    assert_eq!(string(&stack, auxiliary[&AT_EXECFN]), b"/bin/program");
    assert_eq!(string(&stack, auxiliary[&AT_PLATFORM]), b"x86_64");
    let expected = [
        (AT_PHDR, 0x40_0040),
        (AT_PHENT, 56),
        (AT_PHNUM, 9),
        (AT_PAGESZ, 4096),
        (AT_BASE, 0x7000_0000),
        (AT_FLAGS, 0),
        (AT_ENTRY, 0x40_1000),
        (AT_UID, 1000),
        (AT_EUID, 1000),
        (AT_GID, 1000),
        (AT_EGID, 1000),
        (AT_CLKTCK, 100),
        (AT_SECURE, 0),
        (AT_RANDOM, 0x5000_0040),
        (AT_HWCAP2, 0),
        (AT_SYSINFO_EHDR, 0x5000_1000),
        (AT_MINSIGSTKSZ, 4096),
    ];
    for (kind, value) in expected {
        assert_eq!(auxiliary[&kind], value, "type {kind}");
    }
    assert_ne!(auxiliary[&AT_HWCAP] & 1, 0, "an FPU, at least");
}

#[test]
fn strings_follow_each_other() {
    // Programs that show a title in their arguments rely on it.
    let stack = lay_out(&options(&[b"ab", b"c"], &[b"D=e"]), &LOADED).unwrap();
    let first = u64_at(&stack.bytes, 8);
    assert_eq!(u64_at(&stack.bytes, 16), first + 3);
    assert_eq!(u64_at(&stack.bytes, 32), first + 5);
}

#[test]
fn without_a_vdso_there_is_no_entry() {
    let loaded = Loaded {
        vdso: None,
        ..LOADED
    };
    let found = decode(&lay_out(&options(&[b"x"], &[]), &loaded).unwrap());
    assert!(!found.auxiliary.contains_key(&AT_SYSINFO_EHDR));
}

#[test]
fn what_cannot_be_is_an_error() {
    let long = vec![b'x'; 1 << 20];
    let error = lay_out(&options(&[&long], &[]), &LOADED).unwrap_err();
    assert!(
        matches!(
            error,
            StartError::TooLong {
                limit: 0x10_0000,
                ..
            }
        ),
        "{error}"
    );
    let many: Vec<&[u8]> = vec![b""; 200_000];
    assert!(matches!(
        lay_out(&options(&[], &many), &LOADED),
        Err(StartError::TooLong { .. })
    ));
    let error = lay_out(&options(&[b"a\0b"], &[]), &LOADED).unwrap_err();
    assert_eq!(
        error.to_string(),
        "argument, environment or executable \"a\\0b\" contains a NUL byte"
    );
    for stack_top in [0, 16, 300] {
        let loaded = Loaded {
            stack_top,
            ..LOADED
        };
        let result = lay_out(&options(&[b"a"], &[]), &loaded);
        assert!(matches!(result, Err(StartError::BadStack { .. })));
    }
}

#[test]
fn the_stack_is_written_to_the_guest() {
    let options = options(&[b"a"], &[b"B=c"]);
    let mut process = Process::new(&options);
    let mut guest = FakeGuest::new();
    let missing = process.build_stack(&mut guest, &LOADED).unwrap_err();
    assert!(
        matches!(missing, StartError::BadStack { top: TOP, .. }),
        "{missing}"
    );
    guest.map_at(TOP - 0x1000, 0x1000, Protection::READ_WRITE);
    let rsp = process.build_stack(&mut guest, &LOADED).unwrap();
    let expected = lay_out(&options, &LOADED).unwrap();
    assert_eq!(rsp, expected.address);
    assert_eq!(guest.bytes(rsp, expected.bytes.len()), expected.bytes);
    assert_eq!(process.state().started, guest.monotonic());
    assert_eq!(process.state().limits[3].current, LOADED.stack_size);
}

proptest! {
    #[test]
    fn any_strings_arrive(
        arguments in prop::collection::vec(prop::collection::vec(1..=255_u8, 0..40), 0..20),
        environment in prop::collection::vec(prop::collection::vec(1..=255_u8, 0..40), 0..20),
    ) {
        let options = ProcessOptions { arguments, environment, ..ProcessOptions::default() };
        let stack = lay_out(&options, &LOADED).unwrap();
        prop_assert_eq!(stack.address % 16, 0);
        let found = decode(&stack);
        prop_assert_eq!(found.arguments, options.arguments);
        prop_assert_eq!(found.environment, options.environment);
    }
}
