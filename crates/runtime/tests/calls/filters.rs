//! Bodies through a program's filter, pulled and pushed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tinykvm_runtime::{
    Begun, BodyFilter, FilterRequest, Log, Part, PlainTransaction, Program, Programs, Sent,
    Upstream,
};
use tinykvm_testkit::harness::Case;
use tinykvm_testkit::kvm;
use tinykvm_testkit::{Toolchain, compile_file, paths};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kvm("filter: a part is one entry of the vCPU", one_entry),
        Case::kvm("filter: the same output whatever the parts are", any_parts),
        Case::kvm("filter: output of any amount", amounts),
        Case::kvm("filter: nothing is left for the next body", reset),
        Case::kvm("filter: failures and what they leave", failures),
        Case::kvm(
            "filter: the original is remembered within a limit",
            replay_limit,
        ),
        Case::kvm("filter: whole bodies have a limit", whole_limit),
        Case::kvm(
            "filter: times are limited, one by one and together",
            time_limits,
        ),
        Case::kvm("filter: waiting costs no time", waiting),
        Case::kvm("filter: an announced length is kept", announced),
        Case::kvm("filter: output has a limit", bounded),
        Case::kvm("filter: deliveries leave VMs for others", deliveries),
        Case::kvm("filter: who holds a VM never waits for one", nested),
        Case::kvm("filter: a program without one", no_filter),
        Case::kvm(
            "filter: what its functions say is not a line of the module's",
            words,
        ),
        Case::kvm("filter: a client that has enough or is gone", early_ends),
    ]
}

/// Keeps what is logged.
#[derive(Default)]
struct Lines(Vec<String>);

impl Log for Lines {
    fn log(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }

    fn error(&mut self, line: &str) {
        self.0.push(format!("error: {line}"));
    }
}

impl Lines {
    /// A figure of the line that every body has.
    fn figure(&self, name: &str) -> String {
        let line = self.0.iter().rev().find(|line| line.contains("verdict="));
        let line = line.unwrap_or_else(|| panic!("no verdict in {:?}", self.0));
        let found = line.split(' ').find_map(|word| word.strip_prefix(name));
        let found = found.and_then(|rest| rest.strip_prefix('='));
        found.unwrap_or_else(|| panic!("{line}")).to_owned()
    }
}

/// A body in parts.
struct Source {
    parts: Vec<Vec<u8>>,
    pause: Duration,
}

impl Source {
    fn new(parts: &[&[u8]]) -> Self {
        Self {
            parts: parts.iter().rev().map(|part| part.to_vec()).collect(),
            pause: Duration::ZERO,
        }
    }
}

impl Upstream for Source {
    fn read(&mut self, out: &mut [u8]) -> Option<Part> {
        std::thread::sleep(self.pause);
        let Some(mut part) = self.parts.pop() else {
            return Some(Part {
                length: 0,
                last: true,
            });
        };
        let length = part.len().min(out.len());
        out[..length].copy_from_slice(&part[..length]);
        if length < part.len() {
            self.parts.push(part.split_off(length));
        }
        Some(Part {
            length,
            last: self.parts.is_empty(),
        })
    }

    fn is_ready(&mut self) -> bool {
        false
    }
}

struct Filters {
    programs: Programs,
}

impl Filters {
    fn new(config: &str) -> Self {
        let path = compile_file(&paths::top().join("tests/guests/filter.c"), Toolchain::Gcc);
        let programs = Programs::new();
        let defined = format!(r#"{{ "filename": "{}" }}"#, path.display());
        programs.configure("f", &defined).expect("a program");
        programs.configure("f", config).expect("settings");
        Self { programs }
    }

    fn program(&self) -> Arc<Program> {
        self.programs.get("f").expect("configured")
    }

    fn begin(&self, argument: &str, delivery: bool) -> Begun {
        let request = FilterRequest {
            url: b"/",
            method: b"GET",
            argument: argument.as_bytes(),
            status: 200,
            delivery,
            ..FilterRequest::default()
        };
        let mut transaction = PlainTransaction::backend();
        self.program().begin_filter(&request, &mut transaction)
    }

    fn filter(&self, argument: &str) -> BodyFilter {
        match self.begin(argument, false) {
            Begun::Filter(filter) => filter,
            other => panic!("{argument}: {other:?}"),
        }
    }

    /// What comes out of a fetch that pulls `room` bytes at a time.
    fn pull(
        &self,
        argument: &str,
        source: &mut Source,
        room: usize,
    ) -> (Result<Vec<u8>, String>, Lines) {
        let mut log = Lines::default();
        let mut filter = self.filter(argument);
        let result = drain(&mut filter, source, room, &mut log);
        filter.close(&mut log);
        (result, log)
    }

    /// What comes out of a delivery of these parts.
    fn push(&self, argument: &str, parts: &[&[u8]]) -> (Result<Vec<u8>, String>, Lines) {
        let mut log = Lines::default();
        let mut all = Vec::new();
        let mut filter = match self.begin(argument, true) {
            Begun::Filter(filter) => filter,
            other => panic!("{argument}: {other:?}"),
        };
        let mut result = Ok(());
        for (at, part) in parts.iter().enumerate() {
            let end = at + 1 == parts.len();
            let mut sink = |bytes: &[u8]| {
                all.extend_from_slice(bytes);
                Sent::More
            };
            result = result.and_then(|()| filter.push(part, true, end, &mut sink, &mut log));
        }
        filter.close(&mut log);
        (result.map(|()| all), log)
    }
}

fn words() -> Result<(), String> {
    let filters = Filters::new("{}");
    for before in ["", "\n", "\r", "x\r\n", "\x1b[1A\r", "f~says:~\n"] {
        let said = format!("says:{before}tinykvm~f:~verdict=ok~filter=fetch\ntinykvm~f:~end\n");
        let (out, pulled) = filters.pull(&said, &mut Source::new(&[b"a", b"b"]), 100);
        assert_eq!(out.as_deref(), Ok(&b"ab"[..]));
        let (out, pushed) = filters.push(&format!("{said} end=fail"), &[b"a", b"b"]);
        out.expect_err("it fails at the end");
        for (log, ends) in [(pulled, "verdict=ok"), (pushed, "verdict=failed")] {
            let of_program = |line: &&String| line.starts_with("f says: ");
            let (said, own): (Vec<_>, Vec<_>) = log.0.iter().partition(of_program);
            // Two lines of each of the two parts, and of the end.
            let forged = said.iter().filter(|line| line.contains("tinykvm f: "));
            assert!(forged.count() >= 6, "{:?}", log.0);
            assert!(
                !said.iter().any(|line| line.contains(char::is_control)),
                "{said:?}"
            );
            let (verdicts, other): (Vec<&String>, Vec<&String>) =
                own.into_iter().partition(|line| line.contains("verdict="));
            assert_eq!(verdicts.len(), 1, "{:?}", log.0);
            assert!(
                verdicts[0].starts_with(&format!("tinykvm f: {ends} ")),
                "{verdicts:?}"
            );
            assert!(
                other
                    .iter()
                    .all(|line| line.starts_with("error: tinykvm f: ")),
                "{other:?}"
            );
        }
    }
    Ok(())
}

fn drain(
    filter: &mut BodyFilter,
    source: &mut Source,
    room: usize,
    log: &mut Lines,
) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    let mut out = vec![0; room];
    loop {
        let part = filter.pull(&mut out, source, log)?;
        all.extend_from_slice(&out[..part.length]);
        if part.last {
            return Ok(all);
        }
    }
}

fn text(length: usize) -> Vec<u8> {
    let letters = b"abcdefghijklmnopqrstuvwxyz";
    (0..length).map(|at| letters[at * 7 % 26]).collect()
}

fn one_entry() -> Result<(), String> {
    let filters = Filters::new(r#"{"concurrency": 1}"#);
    let body = text(200_000);
    let parts: Vec<&[u8]> = body.chunks(20_000).collect();
    let runs_of = |parts: &[&[u8]]| -> (u64, u64) {
        let (_, log) = filters.push("same", parts);
        let figure = |name| log.figure(name).parse().unwrap();
        (figure("chunks"), figure("runs"))
    };
    // The first one has waited for the program's start, and says so apart.
    let (_, log) = filters.push("same", &parts[..1]);
    let figure = |name| log.figure(name).trim_end_matches("us").parse::<u64>();
    assert!(figure("wait").unwrap() >= 500, "{:?}", log.0);
    assert!(figure("time").unwrap() > 0, "{:?}", log.0);
    let (_, alone) = runs_of(&parts[..1]);
    for _ in 0..3 {
        let (chunks, runs) = runs_of(&parts);
        assert_eq!(chunks, 10);
        assert_eq!(runs, alone + 9, "more than one entry for a part");
    }
    Ok(())
}

fn any_parts() -> Result<(), String> {
    let filters = Filters::new("{}");
    let body = text(10_000);
    let wanted = filters
        .pull("upper sum", &mut Source::new(&[&body]), 4096)
        .0?;
    assert!(wanted.starts_with(&body.to_ascii_uppercase()));
    for size in [1, 7, 255, 4096, 9999] {
        let parts: Vec<&[u8]> = body.chunks(size).take(200).collect();
        let all = parts.concat();
        let alone = filters
            .pull("upper sum", &mut Source::new(&[&all]), 100_000)
            .0?;
        let (pulled, _) = filters.pull("upper sum", &mut Source::new(&parts), size + 1);
        let (pushed, _) = filters.push("upper sum direct", &parts);
        assert!(pulled? == alone, "pulled by {size}");
        assert!(pushed? == alone, "pushed by {size}");
    }
    Ok(())
}

fn amounts() -> Result<(), String> {
    let filters = Filters::new("{}");
    let body = text(30_000);
    for (words, wanted) in [
        ("large", 64),
        ("twice", 2),
        ("nothing", 0),
        ("direct twice", 2),
    ] {
        for room in [1000, 16_384, 10_000_000] {
            let (all, log) = filters.pull(words, &mut Source::new(&[&body]), room);
            let all = all?;
            assert_eq!(all.len(), wanted * body.len(), "{words}");
            assert_eq!(log.figure("out"), all.len().to_string());
            assert_eq!(log.figure("in"), body.len().to_string());
            assert_eq!(log.figure("verdict"), "ok");
        }
    }
    Ok(())
}

fn reset() -> Result<(), String> {
    let filters = Filters::new(r#"{"concurrency": 1}"#);
    let mut log = Lines::default();
    for turn in 0..7 {
        let mut transaction = PlainTransaction::backend();
        let request = FilterRequest {
            argument: b"count sum",
            ..FilterRequest::default()
        };
        let begun = filters.program().begin_filter(&request, &mut transaction);
        let Begun::Filter(mut filter) = begun else {
            return Err(format!("{begun:?}"));
        };
        assert_eq!(transaction.response(), ["X-Count: 1"], "turn {turn}");
        // Given up in the middle, or just dropped, now and then: that leaves nothing either.
        if turn % 3 == 0 {
            let body = drain(&mut filter, &mut Source::new(&[b"abc"]), 100, &mut log)?;
            assert_eq!(body, b"abc\n3 00017862\n");
        }
        if turn % 3 != 1 {
            filter.close(&mut log);
        }
    }
    Ok(())
}

fn failures() -> Result<(), String> {
    let body = text(100_000);
    let parts: Vec<&[u8]> = body.chunks(10_000).collect();
    let verdicts = [
        ("crash", "fault"),
        ("exit", "exit"),
        ("fail", "failed"),
        ("hog", "memory"),
        ("overflow", "fault"),
    ];
    let error = Filters::new(r#"{"max_request_memory": 16}"#);
    let original = Filters::new(r#"{"max_request_memory": 16, "on_failure": "original"}"#);
    for (fault, verdict) in verdicts {
        for place in ["chunk", "later", "end"] {
            let words = format!("{place}={fault}");
            let (result, log) = error.pull(&words, &mut Source::new(&parts), 5000);
            assert!(result.is_err(), "{words}");
            assert_eq!(log.figure("verdict"), verdict, "{words}");
            // Without output before, all of the original comes, with it nothing can be saved.
            let quiet = format!("{words} nothing");
            let (result, log) = original.pull(&quiet, &mut Source::new(&parts), 5000);
            assert!(result? == body, "{words}: another body");
            assert_eq!(log.figure("verdict"), verdict, "{words}");
            assert_eq!(log.figure("then"), "original", "{words}");
            let (result, _) = original.push(&quiet, &parts);
            assert!(result? == body, "{words}: another body");
            if place != "chunk" {
                let (result, _) = original.pull(&words, &mut Source::new(&parts), 5000);
                assert!(result.is_err(), "{words}");
            }
        }
    }
    assert!(matches!(
        error.begin("begin=crash", false),
        Begun::Failed(_)
    ));
    assert!(matches!(
        original.begin("begin=crash", true),
        Begun::Original
    ));
    // The VMs are as good as before.
    let (result, _) = original.pull("upper", &mut Source::new(&parts), 5000);
    assert!(result? == body.to_ascii_uppercase());
    Ok(())
}

fn replay_limit() -> Result<(), String> {
    let filters = Filters::new(r#"{"max_body": 1, "on_failure": "original"}"#);
    let body = text(1_500_000);
    let parts: Vec<&[u8]> = body.chunks(100_000).collect();
    let (result, _) = filters.pull("nothing end=crash", &mut Source::new(&parts), 5000);
    assert!(result.is_err());
    let (result, _) = filters.pull("nothing end=crash", &mut Source::new(&parts[..10]), 5000);
    assert!(result? == body[..1_000_000]);
    Ok(())
}

fn whole_limit() -> Result<(), String> {
    let filters = Filters::new(r#"{"max_body": 1, "on_failure": "original"}"#);
    let mut backwards = text(1 << 20);
    let parts_of = |body: &[u8]| body.chunks(100_000).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let kept = parts_of(&backwards);
    let parts: Vec<&[u8]> = kept.iter().map(Vec::as_slice).collect();
    let (result, log) = filters.pull("whole", &mut Source::new(&parts), 50_000);
    backwards.reverse();
    assert!(result? == backwards);
    assert_eq!(log.figure("chunks"), "1");
    let more = [&text(1 << 20)[..], b"x"].concat();
    let kept = parts_of(&more);
    let parts: Vec<&[u8]> = kept.iter().map(Vec::as_slice).collect();
    let (result, log) = filters.pull("whole", &mut Source::new(&parts), 50_000);
    // What is too large to be filtered is too large to be remembered.
    assert!(result.is_err());
    assert_eq!(log.figure("verdict"), "transfer");
    Ok(())
}

fn time_limits() -> Result<(), String> {
    let filters = Filters::new(r#"{"max_request_time": 0.05}"#);
    let (result, log) = filters.pull("chunk=loop", &mut Source::new(&[b"abc"]), 100);
    assert!(result.is_err());
    assert_eq!(log.figure("verdict"), "timeout");
    let filters = Filters::new(r#"{"max_request_time": 5.0, "max_filter_time": 0.05}"#);
    let (result, log) = filters.pull("chunk=loop", &mut Source::new(&[b"abc"]), 100);
    assert!(result.is_err());
    assert_eq!(log.figure("verdict"), "timeout");
    Ok(())
}

fn waiting() -> Result<(), String> {
    // Emulated hardware needs more time for the work itself.
    let scale: u32 = if kvm::time_factor() == 1 { 1 } else { 5 };
    let limit = 0.1 * f64::from(scale);
    let json = format!(
        r#"{{"max_request_time": {limit}, "max_filter_time": {}}}"#,
        2.0 * limit
    );
    let filters = Filters::new(&json);
    let mut source = Source::new(&[b"abc", b"def", b"ghi"]);
    source.pause = Duration::from_millis(150) * scale;
    let (result, log) = filters.pull("upper", &mut source, 100);
    assert_eq!(result?, b"ABCDEFGHI");
    let time = log.figure("time");
    let micros: u64 = time.trim_end_matches("us").parse().unwrap();
    assert!(micros < 100_000 * u64::from(scale), "{time}");
    // A client that takes its time while the program is in the middle of a write.
    let mut filter = match filters.begin("large", true) {
        Begun::Filter(filter) => filter,
        other => return Err(format!("{other:?}")),
    };
    let mut count = 0;
    let mut slow = |bytes: &[u8]| {
        std::thread::sleep(Duration::from_millis(60) * scale);
        count += bytes.len();
        Sent::More
    };
    let mut log = Lines::default();
    filter.push(&text(30_000), true, true, &mut slow, &mut log)?;
    assert_eq!(count, 64 * 30_000);
    Ok(())
}

fn announced() -> Result<(), String> {
    let filters = Filters::new("{}");
    for (length, good) in [(3, true), (2, false), (4, false)] {
        let words = format!("announce:{length}");
        let (pulled, log) = filters.pull(&words, &mut Source::new(&[b"abc"]), 100);
        let (pushed, _) = filters.push(&words, &[b"abc"]);
        assert_eq!(pulled.is_ok(), good, "{length}: {:?}", log.0);
        assert_eq!(pushed.is_ok(), good, "{length}");
    }
    // What is too much is found out before the header fields go out.
    let (mut log, mut source) = (Lines::default(), Source::new(&[b"abc"]));
    let primed = filters.filter("announce:2").prime(&mut source, &mut log);
    assert!(primed.is_err_and(|reason| reason.contains("wrote more")));
    // So they can be what they were for the original.
    let filters = Filters::new(r#"{"on_failure": "original"}"#);
    for primed in [true, false] {
        let (mut log, mut source) = (Lines::default(), Source::new(&[b"abc"]));
        let mut filter = filters.filter("announce:2");
        if primed {
            filter.prime(&mut source, &mut log)?;
        }
        let result = drain(&mut filter, &mut source, 100, &mut log);
        assert_eq!(result.ok().as_deref(), Some(&b"abc"[..]), "{primed}");
    }
    Ok(())
}

fn bounded() -> Result<(), String> {
    let filters = Filters::new(r#"{"max_body": 1}"#);
    let (result, log) = filters.pull("terabyte", &mut Source::new(&[b"abc"]), 1 << 20);
    let reason = result.expect_err("a terabyte");
    assert!(
        reason.contains("bytes of 3; 1051672 bytes are allowed"),
        "{reason}"
    );
    assert_eq!(log.figure("verdict"), "failed");
    assert!(filters.push("terabyte", &[b"abc"]).0.is_err());
    Ok(())
}

fn deliveries() -> Result<(), String> {
    let filters =
        Filters::new(r#"{"concurrency": 3, "max_deliveries": 2, "max_queue_time": 0.05}"#);
    // Each for a client of its own.
    let elsewhere = || std::thread::scope(|scope| scope.spawn(|| filters.begin("", true)).join());
    let held = [elsewhere(), elsewhere()];
    assert!(
        held.iter()
            .all(|begun| matches!(begun, Ok(Begun::Filter(_))))
    );
    let third = elsewhere();
    assert!(matches!(third, Ok(Begun::Failed(_))), "{third:?}");
    // Fetches have one left.
    let (result, _) = filters.pull("upper", &mut Source::new(&[b"abc"]), 100);
    assert_eq!(result?, b"ABC");
    drop(held);
    assert!(matches!(filters.begin("", true), Begun::Filter(_)));
    Ok(())
}

/// Filters in a row, and pages in pages: all at once on one thread, of programs in any order.
fn nested() -> Result<(), String> {
    for (concurrency, deliveries) in [(1, 1), (2, 1), (2, 2), (3, 1)] {
        let json = format!(
            r#"{{"concurrency": {concurrency}, "max_deliveries": {deliveries}, "max_queue_time": 5.0}}"#
        );
        let programs = [Filters::new(&json), Filters::new(&json)];
        // Every thread takes its own order; if they waited for each other, it would take seconds.
        let started = Instant::now();
        std::thread::scope(|scope| {
            for order in [[0, 1], [1, 0]] {
                let (programs, json) = (&programs, &json);
                scope.spawn(move || {
                    for round in 0..3 {
                        let mut held = Vec::new();
                        for level in 0..6 {
                            let delivery = (level + round) % 3 > 0;
                            match programs[order[level % 2]].begin("upper", delivery) {
                                Begun::Filter(filter) => held.push(filter),
                                other => panic!("{json}, level {level}: {other:?}"),
                            }
                        }
                        for filter in &mut held {
                            let (mut all, mut log) = (Vec::new(), Lines::default());
                            let mut sink = |bytes: &[u8]| {
                                all.extend_from_slice(bytes);
                                Sent::More
                            };
                            let pushed = filter.push(b"abc", true, true, &mut sink, &mut log);
                            pushed.expect("a body");
                            assert_eq!(all, b"ABC");
                        }
                    }
                });
            }
        });
        assert!(started.elapsed() < Duration::from_secs(4), "{json}: waits");
        // Nobody keeps what there is for all.
        let (result, _) = programs[0].pull("upper", &mut Source::new(&[b"abc"]), 100);
        assert_eq!(result?, b"ABC");
    }
    Ok(())
}

fn no_filter() -> Result<(), String> {
    let path = compile_file(
        &paths::top().join("guest/examples/hello-c/hello.c"),
        Toolchain::Gcc,
    );
    let programs = Programs::new();
    let config = format!(r#"{{ "filename": "{}" }}"#, path.display());
    programs.configure("hello", &config).expect("a program");
    let program = programs.get("hello").expect("configured");
    assert_eq!(program.filters_encoded(), None);
    let mut transaction = PlainTransaction::backend();
    let begun = program.begin_filter(&FilterRequest::default(), &mut transaction);
    let Begun::Failed(reason) = begun else {
        return Err(format!("{begun:?}"));
    };
    assert!(reason.contains("set_filter"), "{reason}");
    Ok(())
}

fn early_ends() -> Result<(), String> {
    let filters = Filters::new("{}");
    for (answer, verdict) in [(Sent::Enough, "ok"), (Sent::Failed, "cancelled")] {
        let Begun::Filter(mut filter) = filters.begin("large", true) else {
            return Err("no filter".to_owned());
        };
        let mut log = Lines::default();
        let result = filter.push(&text(30_000), true, false, &mut |_| answer, &mut log);
        assert_eq!(result.is_ok(), answer == Sent::Enough);
        assert_eq!(log.figure("verdict"), verdict);
        filter.close(&mut log);
        // A source that is given up in the middle.
        let mut filter = filters.filter("upper");
        let mut log = Lines::default();
        let mut out = [0; 10];
        let mut source = Source::new(&[&text(1000), &text(1000)]);
        filter.pull(&mut out, &mut source, &mut log)?;
        filter.close(&mut log);
        assert_eq!(log.figure("verdict"), "cancelled");
    }
    Ok(())
}
