use super::*;

fn line(notice: &Notice<'_>, count: u64) -> String {
    line_in(Wording::Vcl, notice, count)
}

fn line_in(wording: Wording, notice: &Notice<'_>, count: u64) -> String {
    match telling(("p", wording), 16 << 20, notice, count) {
        Telling::Now(text) => text,
        Telling::Later(pending) => pending.look("p", wording).text,
    }
}

fn path<'a>(path: &'a str, target: Option<&'a str>, write: bool) -> NoticePath<'a> {
    NoticePath {
        call: "openat",
        path: path.as_bytes(),
        target: target.map(str::as_bytes),
        write,
    }
}

#[test]
fn lines_say_what_would_help() {
    let cases: [(Notice<'_>, &str); 13] = [
        (
            Notice::Absent(path("/etc/passwd", None, false)),
            r#"openat of "/etc/passwd" is denied: no rule is about it (tinykvm.allow("p", read, "/etc/passwd"))"#,
        ),
        (
            Notice::Absent(path("/a/../etc", Some("/etc"), true)),
            r#"openat of "/a/../etc", which leads to "/etc", is denied: no rule is about it (tinykvm.allow("p", write, "/etc/"))"#,
        ),
        (
            Notice::Absent(path("/does/not/exist", None, false)),
            r#"openat of "/does/not/exist" is denied: no rule is about it; not there on the host either"#,
        ),
        (
            Notice::Denied(path("/data/x", Some("/y"), true), Less::ReadOnly),
            r#"openat of "/data/x", which leads to "/y", is denied: it is not granted to be changed; not there on the host either"#,
        ),
        (
            Notice::Unreachable {
                call: "connect",
                to: "192.0.2.7:443",
            },
            r#"connect of "192.0.2.7:443" is denied: no rule allows it (tinykvm.allow("p", connect, "192.0.2.7:443"))"#,
        ),
        (
            Notice::Query {
                call: "sendto",
                name: Some("db.example"),
            },
            r#"sendto of "dns:db.example" is denied: no rule allows to ask DNS for this name (tinykvm.allow("p", connect, "db.example:PORT"))"#,
        ),
        (
            Notice::ExecMemory { call: "mprotect" },
            r#"mprotect of memory to write and to execute is denied (tinykvm.allow("p", exec_memory))"#,
        ),
        (
            Notice::NoMemory {
                call: "write",
                request: true,
            },
            "write: no memory is left for what the host holds for the program (max_request_memory)",
        ),
        (
            Notice::NoMapping {
                call: "mmap",
                length: (300 << 20) - 1,
            },
            "mmap: no memory is left for a mapping of 300 MiB (max_memory is 16 MiB)",
        ),
        (
            Notice::Lacking {
                call: "clone",
                what: Lacking::Process,
            },
            "clone: a program is one process and can't start others",
        ),
        (
            Notice::Full {
                call: "pipe2",
                what: Full::Descriptors,
            },
            "pipe2: no descriptor is free (1024 at most, or what it set itself)",
        ),
        (
            Notice::UnknownCall {
                number: 425,
                name: Some("io_uring_setup"),
            },
            "system call io_uring_setup (425) is not implemented",
        ),
        (
            Notice::UnknownCall {
                number: 511,
                name: None,
            },
            "system call 511 does not exist",
        ),
    ];
    check(&cases);
}

/// Each notice has its line, also when it is told again.
fn check(cases: &[(Notice<'_>, &str)]) {
    for (notice, expected) in cases {
        assert_eq!(line(notice, 1), *expected);
        assert_eq!(line(notice, 100), format!("{expected} (100 times by now)"));
    }
}

#[test]
fn the_command_suggests_keys_of_its_configuration() {
    let cases = [
        (
            Notice::Absent(path("/etc/passwd", None, false)),
            r#"(in --config: "allowed_paths": ["/etc/passwd"])"#,
        ),
        (
            Notice::Denied(path("/etc/passwd", None, true), Less::ReadOnly),
            r#"(in --config: "allowed_paths": [{"real": "/etc/passwd", "writable": true}])"#,
        ),
        (
            Notice::Unreachable {
                call: "connect",
                to: "192.0.2.7:443",
            },
            r#"(in --config: "connect": ["192.0.2.7:443"])"#,
        ),
        (
            Notice::Query {
                call: "sendto",
                name: Some("db.example"),
            },
            r#"(in --config: "connect": ["db.example:PORT"])"#,
        ),
        (
            Notice::ExecMemory { call: "mprotect" },
            r#"(in --config: "executable_heap": true)"#,
        ),
    ];
    for (notice, expected) in cases {
        let found = line_in(Wording::Config, &notice, 1);
        assert!(found.ends_with(expected), "{found}");
        assert!(!found.contains("tinykvm.allow"), "{found}");
    }
}
