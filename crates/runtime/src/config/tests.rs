use super::*;
use crate::permissions::PathKind;

fn applied(text: &str) -> Result<Settings, ConfigError> {
    apply(&Settings::default(), text)
}

fn message(text: &str) -> String {
    applied(text)
        .expect_err("this configuration must be refused")
        .to_string()
}

#[test]
fn every_key_takes_effect() {
    let settings = applied(
        r#"{
        // where it is
        "filename": "/srv/prog", /* and how it runs */
        "group": "shop", "concurrency": 128,
        "max_boot_time": 2.5, "max_request_time": 1, "max_queue_time": 0.5, "max_queue": 7,
        "idle_time": 1.5,
        "max_memory": 8192, "max_request_memory": 4096, "limit_workmem_after_req": 16,
        "max_body": 3,
        "ephemeral": false, "ephemeral_keep_working_memory": false, "control_ephemeral": true,
        "executable_heap": true, "stdout": true, "verbose": true, "hugepage_arena_size": 512,
        "argv0": "it", "main_arguments": ["this", "is"], "environment": ["FOO=foo", "BAR="]
    }"#,
    )
    .expect("valid");
    let expected = Settings {
        filename: "/srv/prog".to_owned(),
        group: "shop".to_owned(),
        concurrency: 128,
        max_boot_time: Duration::from_millis(2500),
        max_request_time: Duration::from_secs(1),
        max_queue_time: Duration::from_millis(500),
        max_queue: 7,
        idle_time: Duration::from_millis(1500),
        max_memory: 8192 * MIB,
        max_request_memory: 4096 * MIB,
        keep_memory: Some(16 * MIB),
        max_body: 3 * MIB,
        ephemeral: false,
        keep_working_memory: false,
        control_ephemeral: true,
        executable_heap: true,
        argv0: Some("it".to_owned()),
        main_arguments: vec![b"this".to_vec(), b"is".to_vec()],
        environment: vec![b"FOO=foo".to_vec(), b"BAR=".to_vec()],
        stdout: true,
        ..Settings::default()
    };
    assert_eq!(settings, expected);
}

#[test]
fn later_documents_override_and_the_environment_grows() {
    let first = applied(r#"{"environment": ["A=1"], "main_arguments": ["x"], "concurrency": 9}"#);
    let second = apply(
        &first.expect("valid"),
        r#"{"environment": ["B=2"], "main_arguments": ["y"]}"#,
    )
    .expect("valid");
    assert_eq!(second.concurrency, 9);
    assert_eq!(second.main_arguments, [b"y".to_vec()]);
    assert_eq!(second.environment, [b"A=1".to_vec(), b"B=2".to_vec()]);
    let environment = second.full_environment("prog");
    assert_eq!(environment[0], b"LC_TYPE=C");
    let at = |string: &[u8]| environment.iter().position(|it| it == string);
    assert_eq!(at(b"B=2"), at(b"A=1").map(|first| first + 1));
    assert!(environment.contains(&b"KVM_NAME=prog".to_vec()));
    assert!(environment.contains(&b"KVM_DEBUG=0".to_vec()));
}

#[test]
fn of_two_environment_strings_with_one_name_the_later_one_stands() {
    let settings = applied(r#"{"environment": ["A=1", "TERM=vt100", "B=2", "A=3", "AB=4", "A="]}"#);
    let environment = settings.expect("valid").full_environment("prog");
    let named = |name: &str| -> Vec<String> {
        let strings = environment.iter().map(|it| String::from_utf8_lossy(it));
        let name = format!("{name}=");
        let named = strings.filter(|it| it.starts_with(&name));
        named.map(std::borrow::Cow::into_owned).collect()
    };
    assert_eq!(named("A"), ["A="]);
    assert_eq!(named("B"), ["B=2"]);
    assert_eq!(named("AB"), ["AB=4"]);
    assert_eq!(named("TERM"), ["TERM=vt100"]);
    assert_eq!(named("NO_COLOR"), ["NO_COLOR=1"]);
}

#[test]
fn both_ephemeral_modes() {
    let mode = |text| {
        let settings = applied(text).expect("valid");
        settings.after_call(settings.ephemeral)
    };
    assert_eq!(mode("{}"), AfterCall::Reset);
    assert_eq!(mode(r#"{"ephemeral": false}"#), AfterCall::Keep);
    let dropping = r#"{"ephemeral_keep_working_memory": false}"#;
    assert_eq!(mode(dropping), AfterCall::Drop);
    // Keeping working memory is about resetting, so it asks for that, in any order.
    let both = r#"{"ephemeral_keep_working_memory": true, "ephemeral": false}"#;
    assert_eq!(mode(both), AfterCall::Reset);
}

#[test]
fn unknown_keys_name_the_key_and_a_likely_one() {
    assert_eq!(
        message("{\n \"concurency\": 4 }"),
        "line 2: unknown key \"concurency\"; did you mean \"concurrency\"?"
    );
    assert_eq!(message(r#"{"zzz": 4}"#), "line 1: unknown key \"zzz\"");
}

#[test]
fn bad_values_say_what_was_found_and_what_is_allowed() {
    assert_eq!(
        message(r#"{"concurrency": 10450}"#),
        "line 1: key \"concurrency\" must be a whole number from 1 to 10000, found 10450"
    );
    for bad in ["0", "10001", "-1", "1.5", "\"4\"", "true", "null", "1e2"] {
        let text = message(&format!(r#"{{"concurrency": {bad}}}"#));
        assert!(text.ends_with(&format!("found {bad}")), "{text}");
    }
    for bad in ["0", "-1", "3601", "true", "\"8\""] {
        let text = message(&format!(r#"{{"max_request_time": {bad}}}"#));
        assert!(text.contains("seconds from 0.001 to 3600"), "{text}");
    }
    for bad in ["0", "-5", "1048576", "99999999999999999999999", "false"] {
        let text = message(&format!(r#"{{"max_memory": {bad}}}"#));
        assert!(text.contains("from 2 to 262141 (MiB)"), "{text}");
    }
    for (key, bad) in [
        ("ephemeral", "1"),
        ("filename", "\"\""),
        ("filename", "[]"),
        ("group", "7"),
        ("argv0", "\"\""),
        ("argv0", "[\"x\"]"),
        ("argv0", "\"a\\u0000b\""),
        ("main_arguments", "\"x\""),
        ("main_arguments", "[1]"),
        ("main_arguments", "[\"a\\u0000b\"]"),
        ("environment", "[\"NOVALUE\"]"),
        ("environment", "[\"=x\"]"),
        ("hugepage_arena_size", "3"),
    ] {
        let text = message(&format!(r#"{{"{key}": {bad}}}"#));
        assert!(text.contains(&format!("key \"{key}\" must be")), "{text}");
    }
}

#[test]
fn what_is_not_there_yet_says_so_unless_switched_off() {
    assert_eq!(
        message(r#"{"storage": true}"#),
        "line 1: key \"storage\" is not supported yet"
    );
    assert_eq!(
        message(r#"{"storage": true}"#),
        "line 1: key \"storage\" is not supported yet"
    );
    assert!(applied(r#"{"storage": false, "smp": 0, "allowed_paths": [], "key": ""}"#).is_ok());
}

#[test]
fn malformed_documents() {
    for bad in [
        r#"{"concurrency": 4,}"#,
        r#"{"main_arguments": ["a",]}"#,
        r#"{"concurrency": 4"#,
        r#"{concurrency: 4}"#,
        r#"{'concurrency': 4}"#,
        r#"{"concurrency": 0x10}"#,
        r#"{"concurrency": 4 "stdout": true}"#,
        r#"{"concurrency": 4} {}"#,
        "{ /* open",
        "nonsense",
    ] {
        let error = applied(bad).expect_err(bad);
        assert!(matches!(error, ConfigError::Json { .. }), "{bad}: {error}");
    }
    for bad in ["", " // nothing", "[]", "4", "null", "\"x\""] {
        let error = applied(bad).expect_err(bad);
        assert!(
            matches!(error, ConfigError::NotAnObject { .. }),
            "{bad}: {error}"
        );
    }
    assert_eq!(
        message("{\"stdout\": true,\n\n\"stdout\": true}"),
        "line 3: key \"stdout\" is given twice"
    );
    assert!(
        message(r#"{"request_hugepages": 2, "request_hugepage_arena_size": 2}"#)
            .contains("given twice")
    );
}

#[test]
fn comment_marks_in_strings_are_text() {
    let settings = applied(r#"{"filename": "/srv//a/*b*/"}"#).expect("valid");
    assert_eq!(settings.filename, "/srv//a/*b*/");
}

#[test]
fn variables_in_paths_and_strings() {
    let directory = std::env::current_dir().expect("a working directory");
    let text = r#"{"filename": "$PWD/x", "main_arguments": ["a$PWD"], "group": "$PWD"}"#;
    let settings = applied(text).expect("valid");
    assert_eq!(settings.filename, format!("{}/x", directory.display()));
    let argument = format!("a{}", directory.display()).into_bytes();
    assert_eq!(settings.main_arguments, [argument]);
    assert_eq!(settings.group, "$PWD");
}

#[test]
fn another_file_and_a_relative_one() {
    assert_eq!(
        message(r#"{"filename": "bin/prog"}"#),
        "line 1: key \"filename\" must be the absolute path of a file, found \"bin/prog\""
    );
}

#[test]
fn a_text_that_is_cut_off_says_how_that_happens() {
    // What VCL makes of {"{"filename": "/x"}"}.
    let cut = message(r#"{"filename": "/x"#);
    assert!(cut.contains("ends at the first \"}"), "{cut}");
    let whole = message(r#"{"filename": "/x",}"#);
    assert!(!whole.contains("ends at the first"), "{whole}");
}

#[test]
fn keys_that_contradict_each_other() {
    assert_eq!(
        message(r#"{"max_request_memory": 300}"#),
        "\"max_request_memory\" is 300 MiB, more than \"max_memory\", which is 256 MiB"
    );
    assert_eq!(
        message(r#"{"max_deliveries": 3, "concurrency": 2}"#),
        "\"max_deliveries\" is 3, more than \"concurrency\", which is 2"
    );
    for fine in [
        r#"{"max_memory": 16}"#,
        r#"{"concurrency": 1}"#,
        r#"{"max_request_memory": 300, "max_memory": 300}"#,
        r#"{"max_deliveries": 9, "concurrency": 9}"#,
    ] {
        assert!(applied(fine).is_ok(), "{fine}");
    }
    let base = applied(r#"{"max_request_memory": 200, "concurrency": 9, "max_deliveries": 9}"#);
    let base = base.expect("valid");
    for bad in [r#"{"max_memory": 100}"#, r#"{"concurrency": 8}"#] {
        assert!(apply(&base, bad).is_err(), "{bad}");
    }
}

#[test]
fn request_memory_never_exceeds_memory() {
    let settings = applied(r#"{"max_memory": 32}"#).expect("valid");
    assert_eq!(settings.request_memory(), 32 * MIB);
}

#[test]
fn names() {
    assert!(check_name("www.example.com").is_ok());
    let long = "x".repeat(101);
    let bad = [
        "",
        "a\nb",
        "a b",
        "a:",
        "caf\u{e9}",
        "tinykvm",
        "TinyKVM",
        "a/b",
        "\"",
        &long,
    ];
    for bad in bad {
        assert!(check_name(bad).is_err(), "{bad:?}");
        assert!(check_name(&name_from(bad)).is_ok(), "{bad:?}");
    }
    assert_eq!(name_from("my prog\u{e9}"), "my_prog_");
    assert_eq!(name_from("tinykvm"), "program_tinykvm");
}

#[test]
fn paths_that_may_be_had() {
    let settings = applied(
        r#"{"libraries": true, "current_working_directory": "/srv", "allowed_paths": [
            "/etc/app.conf",
            {"real": "/var/lib/app", "virtual": "/data", "prefix": true, "writable": true},
            {"real": "/data/current", "virtual": "/now", "symlink": true},
            {"real": "/etc/names", "prefix": false}
        ], "connect": ["unix:/run/app.sock"]}"#,
    )
    .expect("valid");
    let path = |shown: &str, real: &str, kind, writable| PathSetting {
        shown: shown.to_owned(),
        real: real.to_owned(),
        kind,
        writable,
    };
    let expected = [
        path("/etc/app.conf", "/etc/app.conf", PathKind::Any, false),
        path("/data", "/var/lib/app", PathKind::Tree, true),
        path("/now", "/data/current", PathKind::Link, false),
        path("/etc/names", "/etc/names", PathKind::File, false),
    ];
    assert_eq!(settings.paths, expected);
    assert!(settings.libraries && !settings.connect.is_empty());
    assert_eq!(settings.directory, "/srv");
    let more = apply(&settings, r#"{"allowed_paths": ["/more"]}"#).expect("valid");
    assert_eq!(more.paths.len(), 5, "lists of paths grow");
}

#[test]
fn paths_that_make_no_sense() {
    for wrong in [
        r#""/etc""#,
        "[1]",
        r#"["etc"]"#,
        r#"[{"virtual": "/a"}]"#,
        r#"[{"real": ""}]"#,
        r#"[{"real": "relative"}]"#,
        r#"[{"real": "/a", "virtual": "b"}]"#,
        r#"[{"real": "/a", "symlink": true}]"#,
        r#"[{"real": "/a", "virtual": "/b", "symlink": true, "writable": true}]"#,
        r#"[{"real": "/a", "writeable": true}]"#,
        r#"[{"real": "/a", "prefix": 1}]"#,
    ] {
        let document = format!(r#"{{"allowed_paths": {wrong}}}"#);
        let text = message(&document);
        assert!(
            text.contains("key \"allowed_paths\" must be"),
            "{wrong}: {text}"
        );
    }
    for (wrong, end) in [
        ("perfix", "have no key \"perfix\"; did you mean \"prefix\"?"),
        (
            "writeable",
            "have no key \"writeable\"; did you mean \"writable\"?",
        ),
        ("filename", "have no key \"filename\""),
    ] {
        let text = message(&format!(
            r#"{{"allowed_paths": [{{"real": "/a", "{wrong}": true}}]}}"#
        ));
        let (said, _) = text.rsplit_once(", found").expect("what was found");
        assert!(said.ends_with(end), "{text}");
    }
    assert!(message(r#"{"connect": ["nowhere"]}"#).contains("key \"connect\" must be"));
    assert!(message(r#"{"current_working_directory": "x"}"#).contains("an absolute path"));
}

/// A key for a number: its name, the least and the most, the next below and above, what a message
/// says is allowed, and what else has to be said so that the edges make sense.
type Numeric = (&'static str, [&'static str; 4], &'static str, &'static str);

const MEBIBYTES: [&str; 4] = ["1", "262141", "0", "262142"];
const TIMES: [&str; 4] = ["0.001", "3600", "0.0009", "3600.001"];
const COUNTS: [&str; 4] = ["1", "10000", "0", "10001"];
const ARENAS: [&str; 4] = ["0", "524288", "-2", "524290"];
const IN_MEBIBYTES: &str = "a whole number from 1 to 262141 (MiB)";
const IN_SECONDS: &str = "a number of seconds from 0.001 to 3600";
const IN_COUNTS: &str = "a whole number from 1 to 10000";
const IN_ARENAS: &str = "an even number from 0 to 524288 (MiB)";

#[rustfmt::skip]
const NUMERIC: [Numeric; 17] = [
    ("concurrency", COUNTS, IN_COUNTS, ""),
    ("max_deliveries", COUNTS, IN_COUNTS, r#""concurrency": 10000, "#),
    ("max_boot_time", TIMES, IN_SECONDS, ""),
    ("max_request_time", TIMES, IN_SECONDS, ""),
    ("max_queue_time", TIMES, IN_SECONDS, ""),
    ("idle_time", TIMES, IN_SECONDS, ""),
    ("max_queue", ["0", "100000", "-1", "100001"], "a whole number from 0 to 100000", ""),
    ("max_filter_time", TIMES, IN_SECONDS, ""),
    ("max_memory", ["2", "262141", "1", "262142"], "a whole number from 2 to 262141 (MiB)", ""),
    ("max_request_memory", MEBIBYTES, IN_MEBIBYTES, r#""max_memory": 262141, "#),
    ("req_mem_limit_after_reset", MEBIBYTES, IN_MEBIBYTES, ""),
    ("limit_workmem_after_req", MEBIBYTES, IN_MEBIBYTES, ""),
    ("max_body", MEBIBYTES, IN_MEBIBYTES, ""),
    ("address_space", ["1", "1048576", "0", "1048577"], "a whole number from 1 to 1048576 (MiB)", ""),
    ("hugepage_arena_size", ARENAS, IN_ARENAS, ""),
    ("request_hugepage_arena_size", ARENAS, IN_ARENAS, ""),
    ("request_hugepages", ARENAS, IN_ARENAS, ""),
];

#[test]
fn every_number_is_checked_at_and_over_both_edges() {
    for (key, [least, most, below, above], allowed, before) in NUMERIC {
        for good in [least, most] {
            let document = format!(r#"{{{before}"{key}": {good}}}"#);
            assert!(applied(&document).is_ok(), "{document}");
        }
        let huge = "9".repeat(400);
        let never = ["-1", "1e999", &huge, "\"4\"", "true", "null", "[1]", "{}"];
        for bad in [below, above].into_iter().chain(never) {
            let text = message(&format!(r#"{{{before}"{key}": {bad}}}"#));
            // A message calls a key by its own name, whatever it was called.
            let known = keys::KEYS.iter().find(|known| known.is_called(key));
            let name = known.map(|known| known.name).expect("a key");
            let begin = format!("line 1: key \"{name}\" must be {allowed}, found ");
            assert!(text.starts_with(&begin), "{text}");
        }
    }
}

#[test]
fn no_key_for_a_number_is_left_out() {
    let listed = |key: &keys::Key| NUMERIC.iter().any(|(name, ..)| key.is_called(name));
    for key in keys::KEYS.iter().filter(|key| !listed(key)) {
        for number in ["2", "100"] {
            let document = format!(r#"{{"{}": {number}}}"#, key.name);
            assert!(applied(&document).is_err(), "{document}");
        }
    }
}

#[test]
fn what_memory_can_be_is_in_the_manual() {
    let manual = include_str!("../../../../vmod.vcc");
    let memory = tinykvm::Limits::MEMORY;
    let (least, most) = (memory.start() / MIB, memory.end() / MIB);
    assert_eq!(memory, least * MIB..=most * MIB);
    let line = format!("Memory of the program, {least} to {most}");
    assert!(manual.contains(&line), "{line}");
}

/// The manual's table of keys: their names and defaults, in order.
fn keys_of_the_manual() -> Vec<(&'static str, &'static str)> {
    let manual = include_str!("../../../../vmod.vcc");
    let rule = "============================== =======";
    let mut table = manual.split(rule).skip(1);
    let body = table.nth(1).expect("a table of keys");
    let rows = body.lines().skip(1).filter(|row| !row.starts_with(' '));
    let cells = |row: &'static str| Some((row.get(..30)?.trim(), row.get(31..38)?.trim()));
    rows.filter_map(cells).collect()
}

#[test]
fn the_manual_has_every_key_with_its_default() {
    let manual = keys_of_the_manual();
    let mut named: Vec<_> = manual.iter().map(|(key, _)| *key).collect();
    let works = |key: &&keys::Key| matches!(key.effect, keys::Effect::Sets(_));
    let mut known: Vec<_> = keys::KEYS.iter().filter(works).map(|it| it.name).collect();
    named.sort_unstable();
    known.sort_unstable();
    assert_eq!(named, known);
    let mut compared = 0;
    for (key, default) in manual {
        if matches!(default, "" | "note" | "none") {
            continue;
        }
        let document = format!(r#"{{ "{key}": {default} }}"#);
        let settings = applied(&document).expect(&document);
        assert_eq!(settings, Settings::default(), "{document}");
        compared += 1;
    }
    assert!(compared >= 20, "{compared} defaults");
}
