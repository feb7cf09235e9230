//! Files that guests read in place.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use tinykvm::{Booting, Exit, Fork, Guest, Limits, MapError, PAGE_SIZE, Placement, Protection};
use tinykvm_testkit::harness::Case;

use super::paging::boot_call;
use super::support::*;

pub fn cases() -> Vec<Case> {
    vec![
        case("a_file_is_read_in_place_and_cannot_be_written", in_place),
        case("what_is_small_or_writable_is_left_to_be_read", refused),
        case("any_offset_and_place_works", alignment),
        case("a_part_that_becomes_writable_is_a_copy", copied),
        case("parts_can_be_protected_and_unmapped", parts),
        case(
            "a_file_that_became_shorter_is_a_fault_of_the_guest",
            truncated,
        ),
        case("forks_share_the_page_cache", shared_memory),
        case(
            "a_file_of_a_request_is_in_place_and_ends_with_it",
            in_a_request,
        ),
        case("a_request_has_so_many_files_in_place", limits),
        case("a_request_finds_its_programs_files", found_again),
    ]
}

const READ: Protection = Protection::READ;
const LARGE: u64 = 2 << 20;

/// A file of this test alone; it is removed at the end.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    /// A file of so many words that count up.
    fn new(name: &str, length: u64) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let path = tinykvm_testkit::paths::target().join(name);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        Self::fill(&file, length);
        Self { path, file }
    }

    /// Writes the words.
    fn fill(mut file: &File, length: u64) {
        file.rewind().unwrap();
        let mut word = 0u64;
        let mut chunk = Vec::with_capacity(1 << 20);
        while word * 8 < length {
            chunk.clear();
            while chunk.len() < 1 << 20 && (word * 8) < length {
                chunk.extend_from_slice(&word.to_le_bytes());
                word += 1;
            }
            file.write_all(&chunk).unwrap();
        }
        file.set_len(length).unwrap();
    }

    fn map(&self, boot: &mut Booting, length: u64, offset: u64) -> u64 {
        self.map_at(boot, Placement::Anywhere, length, offset)
    }

    fn map_at(&self, boot: &mut Booting, place: Placement, length: u64, offset: u64) -> u64 {
        boot.map_file(place, length, READ, self.file.as_fd(), offset)
            .unwrap()
            .unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn freeze(boot: Booting) -> Arc<tinykvm::Template> {
    Arc::new(boot.freeze().unwrap())
}

fn faults(fork: &mut Fork, name: &str, at: u64) -> bool {
    matches!(call(fork, name, &[at]), Exit::Exception(_))
}

fn in_place() {
    let file = Temporary::new("in-place", 8 << 20);
    let mut boot = boot(Limits::default());
    let at = file.map(&mut boot, 8 << 20, 0);
    assert!(at.is_multiple_of(LARGE));
    assert_eq!(boot.read_u64(at + 4096).unwrap(), 512);
    boot_call(&mut boot, "read_at", [at + 80, 0]);
    assert_eq!(boot.registers().rdi, 10);
    assert!(boot.write(at, b"x").is_err());
    let template = freeze(boot);
    let mut fork = template.fork().unwrap();
    for page in [0, 511, 512, 2047] {
        let place = at + page * PAGE_SIZE;
        assert_eq!(ask(&mut fork, "read_at", &[place])[0], page * 512);
    }
    assert!(faults(&mut fork, "write_at", at) && faults(&mut fork, "call_at", at));
    assert!(fork.write(at, b"x").is_err() && fork.populate(at, b"x").is_err());
    assert_eq!(fork.read_vec(at + 8, 8).unwrap(), 1u64.to_le_bytes());
    fork.reset().unwrap();
    ask(&mut fork, "sum_pages", &[at, 2048]);
    assert!(
        fork.private_bytes() < 1 << 20,
        "reading is not private memory"
    );
    let advice = fork.discard(at, 8 << 20);
    assert!(advice.is_ok());
    assert_eq!(
        ask(&mut fork, "read_at", &[at + 8])[0],
        1,
        "a file keeps its contents"
    );
}

fn refused() {
    let file = Temporary::new("refused", 4 << 20);
    let mut boot = boot(Limits::default());
    let mut offer = |length, allow, offset| {
        boot.map_file(
            Placement::Anywhere,
            length,
            allow,
            file.file.as_fd(),
            offset,
        )
        .unwrap()
    };
    assert_eq!(offer(1 << 20, READ, 0), None);
    assert_eq!(offer(4 << 20, Protection::READ_WRITE, 0), None);
    assert_eq!(offer(4 << 20, Protection::NONE, 0), None);
    assert_eq!(offer(4 << 20, READ, 100), None);
    assert_eq!(offer(4 << 20, READ, 8 << 20), None);
    assert!(offer(4 << 20, READ, 0).is_some());
    let null = File::open("/dev/null").unwrap();
    let found = boot.map_file(Placement::Anywhere, 4 << 20, READ, null.as_fd(), 0);
    assert_eq!(found, Ok(None));
}

fn alignment() {
    let file = Temporary::new("alignment", (6 << 20) + 100);
    let mut boot = boot(Limits::default());
    // Behind the end there are zeros.
    let past = file.map(&mut boot, 8 << 20, 4096);
    assert_eq!(past % LARGE, 4096);
    let fixed = Placement::Fixed(0x5000_3000);
    let odd = file.map_at(&mut boot, fixed, 3 << 20, 8192);
    let again = file.map(&mut boot, 3 << 20, 1 << 20);
    let template = freeze(boot);
    let mut fork = template.fork().unwrap();
    let sum = |first: u64, pages: u64| (0..pages).map(|page| first + page * 512).sum::<u64>();
    assert_eq!(
        ask(&mut fork, "sum_pages", &[past, 1536])[0],
        sum(512, 1536)
    );
    let end = past + (6 << 20) - 4096;
    assert_eq!(ask(&mut fork, "read_at", &[end + 88])[0], (6 << 17) + 11);
    assert_eq!(
        ask(&mut fork, "read_at", &[end + 104])[0],
        0,
        "behind the end"
    );
    assert_eq!(
        ask(&mut fork, "read_at", &[end + 8192])[0],
        0,
        "a page behind it"
    );
    let mut bytes = [1; 16];
    fork.read(end + 96, &mut bytes).unwrap();
    assert_eq!(bytes[4..], [0; 12]);
    assert_eq!(ask(&mut fork, "sum_pages", &[odd, 768])[0], sum(1024, 768));
    assert_eq!(
        ask(&mut fork, "sum_pages", &[again, 768])[0],
        sum(1 << 17, 768)
    );
}

fn copied() {
    let file = Temporary::new("copied", 8 << 20);
    let mut boot = boot(Limits::default());
    let at = file.map(&mut boot, 8 << 20, 0);
    let part = at + (3 << 20) + 4096;
    boot.protect(part, 8192, Protection::READ_WRITE).unwrap();
    boot_call(&mut boot, "write_at", [part, 0]);
    boot.protect(part, 8192, READ).unwrap();
    let template = freeze(boot);
    let mut fork = template.fork().unwrap();
    let word = |place: u64| (place - at) / 8;
    for _ in 0..2 {
        assert_eq!(ask(&mut fork, "read_at", &[part])[0], 1);
        for place in [part + 8, part + 4096, part - 8, part + 8192, at + (6 << 20)] {
            assert_eq!(ask(&mut fork, "read_at", &[place])[0], word(place));
        }
        // And the same in a request.
        let other = at + (5 << 20);
        fork.protect(other, 4096, Protection::READ_WRITE).unwrap();
        assert_eq!(ask(&mut fork, "read_at", &[other])[0], word(other));
        ask(&mut fork, "write_at", &[other]);
        assert_eq!(ask(&mut fork, "read_at", &[other])[0], 1);
        fork.reset().unwrap();
        assert_eq!(ask(&mut fork, "read_at", &[other])[0], word(other));
        assert!(faults(&mut fork, "write_at", other));
    }
    let mut word = [0; 8];
    file.file.read_exact_at(&mut word, 3 << 20).unwrap();
    assert_eq!(u64::from_le_bytes(word), 3 << 17, "the file is as it was");
}

fn parts() {
    let file = Temporary::new("parts", 8 << 20);
    let mut boot = boot(Limits::default());
    let at = file.map(&mut boot, 8 << 20, 0);
    let template = freeze(boot);
    let mut fork = template.fork().unwrap();
    for _ in 0..2 {
        fork.unmap(at + LARGE + 4096, 4096).unwrap();
        fork.protect(at + 2 * LARGE, LARGE, Protection::NONE)
            .unwrap();
        assert!(faults(&mut fork, "read_at", at + LARGE + 4096));
        assert!(faults(&mut fork, "read_at", at + 2 * LARGE));
        assert!(fork.read_u64(at + 2 * LARGE).is_err());
        assert_eq!(
            ask(&mut fork, "read_at", &[at + LARGE + 8192])[0],
            (LARGE + 8192) / 8
        );
        fork.protect(at + 2 * LARGE, LARGE, READ).unwrap();
        assert_eq!(
            ask(&mut fork, "read_at", &[at + 2 * LARGE])[0],
            2 * LARGE / 8
        );
        let executable = fork.protect(at, 4096, Protection::READ_EXECUTE);
        assert_eq!(executable, Ok(()), "code of a library");
        let moved = fork
            .remap(at, LARGE, Placement::Anywhere, LARGE, false)
            .unwrap();
        assert_eq!(ask(&mut fork, "read_at", &[moved + 16])[0], 2);
        assert!(faults(&mut fork, "read_at", at));
        fork.reset().unwrap();
        assert_eq!(
            ask(&mut fork, "read_at", &[at + LARGE + 4096])[0],
            (LARGE + 4096) / 8
        );
        assert!(faults(&mut fork, "read_at", moved));
    }
    assert!(matches!(
        fork.protect(at, 16 << 20, READ),
        Err(MapError::NoMemory { .. })
    ));
}

fn truncated() {
    let file = Temporary::new("truncated", 8 << 20);
    let mut boot = boot(Limits::default());
    let at = file.map(&mut boot, 8 << 20, 0);
    let template = freeze(boot);
    let mut fork = template.fork().unwrap();
    assert_eq!(ask(&mut fork, "read_at", &[at])[0], 0);
    file.file.set_len(1 << 20).unwrap();
    assert!(
        fork.read_u64(at + (4 << 20)).is_err(),
        "the host survives it"
    );
    assert_eq!(fork.read_u64(at + 8).unwrap(), 1);
    let exit = call(&mut fork, "read_at", &[at + (4 << 20)]);
    assert!(matches!(exit, Exit::Shutdown { .. }), "{exit:?}");
    fork.rebuild().unwrap();
    assert_eq!(ask(&mut fork, "read_at", &[at + 8])[0], 1);
}

/// Kilobytes of memory that this process has, shared or not.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn shared_memory() {
    let emulated = std::env::var_os("TINYKVM_EMULATED").is_some();
    let length = if emulated { 16 << 20 } else { 256 << 20 };
    let file = Temporary::new("shared", length);
    let mut boot = boot(Limits::default());
    let at = file.map(&mut boot, length, 0);
    let template = freeze(boot);
    let before = resident();
    let pages = length / PAGE_SIZE;
    let expected = pages * (pages - 1) / 2 * 512;
    let mut forks: Vec<_> = (0..8).map(|_| template.fork().unwrap()).collect();
    for fork in &mut forks {
        assert_eq!(ask(fork, "sum_pages", &[at, pages])[0], expected);
        assert!(fork.private_bytes() < 1 << 20);
    }
    let more = resident().saturating_sub(before);
    let limit = (length >> 10) + (64 << 10);
    assert!(more <= limit, "{more} KB for a file of {length} bytes");
}

/// How many mappings of the file this process has.
fn host_mappings(file: &Temporary) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let name = file.path.to_str().unwrap();
    maps.lines().filter(|line| line.ends_with(name)).count()
}

fn in_a_request() {
    let length = 16 << 20;
    let file = Temporary::new("request", length);
    let template = freeze(boot(Limits::default()));
    let mut fork = template.fork().unwrap();
    let pages = length / PAGE_SIZE;
    let sum = pages * (pages - 1) / 2 * 512;
    let first = ask(&mut fork, "count", &[])[0];
    for round in 0..6 {
        let before = fork.private_bytes();
        let fd = file.file.as_fd();
        let place = if round % 2 == 0 {
            Placement::Anywhere
        } else {
            Placement::Fixed(0x5000_3000)
        };
        let at = fork.map_file(place, length, READ, fd, 0).unwrap().unwrap();
        assert_eq!(ask(&mut fork, "sum_pages", &[at, pages])[0], sum);
        assert_eq!(fork.read_u64(at + 8).unwrap(), 1);
        assert!(fork.write(at, b"x").is_err());
        assert_eq!(host_mappings(&file), 1);
        let more = fork.private_bytes() - before;
        assert!(more < 256 << 10, "{more} bytes of private memory");
        match round {
            0 | 1 => drop(fork.reset().unwrap()),
            2 | 3 => {
                assert!(faults(&mut fork, "write_at", at));
                fork.rebuild().unwrap();
            }
            _ => {
                file.file.set_len(1 << 20).unwrap();
                let exit = call(&mut fork, "read_at", &[at + (4 << 20)]);
                assert!(matches!(exit, Exit::Shutdown { .. }), "{exit:?}");
                fork.rebuild().unwrap();
                Temporary::fill(&file.file, length);
            }
        }
        assert_eq!(host_mappings(&file), 0);
        assert_eq!(fork.mapped(at), template.fork().unwrap().mapped(at));
        assert!(fork.read_u64(at).is_err());
        assert!(faults(&mut fork, "read_at", at));
        fork.rebuild().unwrap();
        assert_eq!(ask(&mut fork, "count", &[])[0], first);
        fork.reset().unwrap();
    }
}

fn limits() {
    let file = Temporary::new("limits", 64 << 20);
    let template = freeze(boot(Limits::default()));
    let mut fork = template.fork().unwrap();
    for _ in 0..2 {
        let mut map = |length: u64, offset: u64| {
            let fd = file.file.as_fd();
            fork.map_file(Placement::Anywhere, length, READ, fd, offset)
                .unwrap()
        };
        for part in 0..16 {
            assert!(map(LARGE, part * LARGE).is_some(), "{part}");
        }
        assert_eq!(map(LARGE, 16 * LARGE), None, "one more");
        // What is there already can be shown again.
        let again = map(LARGE, 5 * LARGE).unwrap();
        assert_eq!(ask(&mut fork, "read_at", &[again])[0], 5 * LARGE / 8);
        assert_eq!(host_mappings(&file), 16);
        fork.reset().unwrap();
        assert_eq!(host_mappings(&file), 0);
    }
    let gigabyte = 1 << 30;
    file.file.set_len(20 * gigabyte).unwrap();
    for (length, fits) in [(17, false), (1, true), (16, false), (1, true)] {
        let fd = file.file.as_fd();
        let offset = length * gigabyte;
        let length = length * gigabyte;
        let offset = if fits { offset } else { 0 };
        let found = fork.map_file(Placement::Anywhere, length, READ, fd, offset);
        assert_eq!(found.unwrap().is_some(), fits, "{length}");
    }
    fork.reset().unwrap();
}

fn found_again() {
    let file = Temporary::new("found-again", 8 << 20);
    let mut boot = boot(Limits::default());
    let own = file.map(&mut boot, 8 << 20, 0);
    let template = freeze(boot);
    let mut fork = template.fork().unwrap();
    for rebuilt in [false, true, false, true] {
        let fd = file.file.as_fd();
        let place = Placement::Anywhere;
        let part = fork.map_file(place, 4 << 20, READ, fd, 2 << 20);
        let part = part.unwrap().unwrap();
        assert_ne!(part, own + (2 << 20));
        assert_eq!(ask(&mut fork, "read_at", &[part])[0], (2 << 20) / 8);
        assert_eq!(host_mappings(&file), 1, "the slot of the program");
        if rebuilt {
            fork.rebuild().unwrap();
        } else {
            fork.reset().unwrap();
        }
        assert!(faults(&mut fork, "read_at", part), "{rebuilt}");
        fork.rebuild().unwrap();
        assert_eq!(ask(&mut fork, "read_at", &[own + 80])[0], 10);
        fork.reset().unwrap();
    }
}
