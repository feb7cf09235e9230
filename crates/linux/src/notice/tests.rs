use crate::notice::{MOST, Notice, Path, Told};

fn absent(path: &[u8]) -> Notice<'_> {
    Notice::Absent(Path {
        call: "openat",
        path,
        target: None,
        write: false,
    })
}

#[test]
fn each_kind_is_told_once_and_then_by_powers() {
    let told = Told::default();
    let fork = told.clone();
    let notices = [
        absent(b"/a"),
        absent(b"/b"),
        Notice::ExecMemory { call: "mmap" },
        Notice::UnknownCall {
            number: 57,
            name: Some("fork"),
        },
        Notice::UnknownCall {
            number: 512,
            name: None,
        },
        Notice::Query {
            call: "sendto",
            name: None,
        },
        Notice::Query {
            call: "sendto",
            name: Some("a"),
        },
    ];
    for notice in notices {
        assert_eq!(told.count(notice), Some((notice, 1)), "{notice:?}");
        for _ in 2..100 {
            assert_eq!(fork.count(notice), None, "{notice:?}");
        }
        assert_eq!(told.count(notice), Some((notice, 100)), "{notice:?}");
    }
    // By which call, and by which way, makes no difference.
    let again = Notice::Absent(Path {
        call: "stat",
        path: b"/link",
        target: Some(b"/a"),
        write: false,
    });
    assert_eq!(told.count(again), None);
}

#[test]
fn names_are_bounded_and_leave_room_for_kinds() {
    let told = Told::default();
    let mut lines = 0;
    for number in 0..10_000 {
        let path = format!("/{number}");
        if let Some((notice, count)) = told.count(absent(path.as_bytes())) {
            lines += 1;
            assert_eq!(notice == Notice::Many, number >= MOST, "{number} {count}");
        }
    }
    // Of those beyond the first 256: the first and the hundredth.
    assert_eq!(lines, MOST + 2);
    // What was told keeps its count, and kinds have places of their own.
    assert_eq!(told.count(absent(b"/0")), None);
    let memory = Notice::ExecMemory { call: "mmap" };
    assert_eq!(told.count(memory), Some((memory, 1)));
}

#[test]
fn of_many_threads_one_tells() {
    let told = Told::default();
    let lines: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let paths = (0..200).map(|number| format!("/{number}"));
                    paths
                        .filter(|path| told.count(absent(path.as_bytes())).is_some())
                        .count()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(lines, 200);
}

#[test]
fn each_failure_of_a_kind_has_its_line() {
    use crate::tests::{Machine, int};
    let cases: [(&str, &[u64], &str); 5] = [
        ("clone", &[17], "Lacking { call: \"clone\", what: Process }"),
        (
            "mmap",
            &[0, 4096, 3, 0x4_0022, int(-1), 0],
            "Lacking { call: \"mmap\", what: HugePages }",
        ),
        (
            "mmap",
            &[0, 4096, 3, 1, 3, 0],
            "Lacking { call: \"mmap\", what: SharedMapping }",
        ),
        (
            "memfd_create",
            &[0, 4],
            "Lacking { call: \"memfd_create\", what: HugePages }",
        ),
        (
            "mmap",
            &[0, 4096, 7, 0x22, int(-1), 0],
            "ExecMemory { call: \"mmap\" }",
        ),
    ];
    for (call, arguments, line) in cases {
        let mut machine = Machine::new();
        let name = machine.guest.put_c_string("a");
        assert_eq!(machine.value("memfd_create", &[name, 0]), 3);
        for _ in 0..3 {
            assert!(machine.call(call, arguments) < 0, "{line}");
        }
        assert_eq!(machine.host.told, [(line.to_owned(), 1)]);
    }
    let full: [(&str, &[u64], &str); 3] = [
        (
            "eventfd2",
            &[0, 0],
            "Full { call: \"eventfd2\", what: Descriptors }",
        ),
        (
            "timer_create",
            &[1, 0, 0x10000],
            "Full { call: \"timer_create\", what: Timers }",
        ),
        ("brk", &[1 << 46], "NoMapping { call: \"brk\", length: 0 }"),
    ];
    for (call, arguments, line) in full {
        let mut machine = Machine::new();
        let room = machine.room(8);
        let mut given = arguments.to_vec();
        if let Some(place) = given.get_mut(2) {
            *place = room;
        }
        for _ in 0..1030 {
            machine.call(call, &given);
        }
        let told: Vec<&str> = machine
            .host
            .told
            .iter()
            .map(|(line, _)| line.as_str())
            .collect();
        let start = line.split(", length").next().unwrap();
        assert!(told[0].starts_with(start), "{told:?}");
        // The first, and the hundredth.
        assert!((1..=3).contains(&told.len()), "{told:?}");
    }
    let unknown = [
        (57, "fork"),
        (58, "vfork"),
        (59, "execve"),
        (425, "io_uring_setup"),
    ];
    for (number, name) in unknown {
        let mut machine = Machine::new();
        machine.flow_number(number, &[]);
        let line = format!("UnknownCall {{ number: {number}, name: Some(\"{name}\") }}");
        assert_eq!(machine.host.told, [(line, 1)]);
    }
}
