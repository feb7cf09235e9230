//! What programs do is in the log, and never as if the module had said it.

use tinykvm_runtime::PlainTransaction;
use tinykvm_testkit::harness::Case;

use super::support::{Bench, file, from_file, post, shared};

/// Ways that print the text and nothing else.
const PRINTS: [&str; 14] = [
    "write",
    "write_error",
    "bytes",
    "pieces",
    "writev",
    "sendfile",
    "stdout",
    "stderr",
    "proc",
    "dup",
    "dup_to",
    "log",
    "log_by_call",
    "panic",
];

/// Other ways, in which the host may say something that has the text in it.
const OTHERS: [&str; 9] = [
    "pwrite",
    "splice",
    "tty",
    "open",
    "connect",
    "name",
    "field",
    "name_of_field",
    "type",
];

/// What a line of the module's own would look like.
const FORGED: &str = "tinykvm prog: verdict=ok status=666";

/// Text that wants to be taken for a record of its own.
fn contents() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        "",
        "\n",
        "\r",
        "\r\n",
        "a\n",
        "\u{b}",
        "\u{c}",
        "\u{85}",
        "\u{2028}",
        "\u{2029}",
        "\u{8}",
        "\x1b[2K\x1b[1G",
        "\x1b[1A\r",
        "\u{9b}2K",
        "\u{202e}",
        "\u{2066}",
        "p says: \n",
        "a: \r\n",
        "error: ",
    ]
    .iter()
    .map(|before| format!("{before}{FORGED}\n{before}{FORGED}").into_bytes())
    .collect();
    for before in [&b"\0"[..], b"\xff\n", b"\xc3", b"\xe2\x80"] {
        all.push([before, FORGED.as_bytes()].concat());
    }
    for length in [79, 80, 81, 250, 4095, 4096, 4097] {
        let long = "x".repeat(length);
        all.push(format!("{long}{FORGED}\n{FORGED}").into_bytes());
    }
    all
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kvm(
            "nothing that a program does is a line of the module's",
            forged,
        ),
        Case::kvm("what is printed is in the log, whole and in order", whole),
        Case::kvm("last words", last_words),
        Case::kvm("names of a program's functions", symbols),
    ]
}

/// The log of a request.
fn say(bench: &Bench, way: &str, text: &[u8]) -> PlainTransaction {
    let mut transaction = PlainTransaction::backend();
    transaction.body = vec![text.to_vec()];
    let url = format!("/{way}");
    bench.program.call(&post(&url), &mut transaction);
    transaction
}

/// Fails unless everyone can see whose words a line is.
fn check(line: &str, way: &str) {
    let own = line.strip_prefix("tinykvm prog: ");
    assert!(
        line.starts_with("prog says: ") || own.is_some(),
        "{way}: {line:?}"
    );
    if let Some(text) = own {
        assert!(
            !text.starts_with("verdict=ok status=666"),
            "{way}: {line:?}"
        );
    }
    let hidden = ['\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}'];
    let bad = |c: char| (c.is_control() && c != '\t') || hidden.contains(&c);
    assert!(!line.chars().any(bad), "{way}: {line:?}");
}

fn forged() -> Result<(), String> {
    let bench = shared("says.c", r#"{"stdout": true}"#);
    for way in PRINTS.iter().chain(&OTHERS) {
        for text in contents() {
            let lines = say(&bench, way, &text);
            for line in lines.logged.iter().chain(&lines.errors) {
                check(line, way);
            }
        }
    }
    let journal = bench.journal.0.lock().map_err(|error| error.to_string())?;
    if journal.is_empty() {
        return Err("the journal has nothing".into());
    }
    for line in journal.iter() {
        check(line.strip_prefix("error: ").unwrap_or(line), "journal");
    }
    Ok(())
}

fn whole() -> Result<(), String> {
    let bench = shared("says.c", "{}");
    let text = "goroutine 1 [running]:\n\tmain.main()\n\nexit status 2\nno end";
    for way in PRINTS {
        let lines = say(&bench, way, text.as_bytes());
        let said: Vec<_> = lines
            .logged
            .iter()
            .filter_map(|line| line.strip_prefix("prog says: "))
            .collect();
        assert_eq!(said, text.split('\n').collect::<Vec<_>>(), "{way}");
    }
    Ok(())
}

/// A backtrace has names that stand in the program's file, and can be anything there.
fn symbols() -> Result<(), String> {
    let name = "a_function_whose_name_is_as_long_as_a_line_of_the_log";
    let source = format!(
        r#"
        #include <tinykvm.h>
        __attribute__((noinline)) void {name}(void) {{ *(volatile int *)8 = 1; }}
        static void get(const char *url, const char *arg) {{ {name}(); }}
        int main(void) {{ set_backend_get(get); wait_for_requests(); }}
        "#
    );
    let path = file(&source);
    let program = std::fs::read(&path).map_err(|error| error.to_string())?;
    for before in ["\n", "\r", "\x1b[1A\r", "\u{2028}", "\u{202e}"] {
        let mut wanted = format!("{before}{FORGED}").into_bytes();
        wanted.resize(name.len(), b'!');
        let mut changed = program.clone();
        let found = |bytes: &[u8]| {
            bytes
                .windows(name.len())
                .position(|at| at == name.as_bytes())
        };
        while let Some(at) = found(&changed) {
            changed[at..at + name.len()].copy_from_slice(&wanted);
        }
        assert_ne!(changed, program, "the program has no symbols");
        let other = path.with_extension(format!("renamed-{}", std::process::id()));
        std::fs::write(&other, &changed).map_err(|error| error.to_string())?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&other, mode).map_err(|error| error.to_string())?;
        let reply = from_file(&other, "{}").get("/");
        std::fs::remove_file(&other).map_err(|error| error.to_string())?;
        let lines = || {
            reply
                .transaction
                .logged
                .iter()
                .chain(&reply.transaction.errors)
        };
        assert!(
            lines().any(|line| line.contains("verdict=ok status=666")),
            "{reply:#?}"
        );
        for line in lines() {
            check(line, before);
        }
    }
    Ok(())
}

fn last_words() -> Result<(), String> {
    let words = format!("Traceback:\n  File \"x\"\nKeyError: 'tinykvm'\n{FORGED}");
    for piece in ["1", "1000"] {
        let arguments = format!(r#"{{"main_arguments": ["{piece}", {words:?}]}}"#);
        let bench = shared("says.c", &arguments);
        let (_, reason) = bench.program.wait_until_ready().expect_err("it exits");
        let last = format!("{FORGED} | KeyError: 'tinykvm' | File \"x\" | Traceback:");
        assert!(
            reason.ends_with(&format!("; its last output, the last line first: {last}")),
            "{reason}"
        );
        let journal = bench.journal.0.lock().map_err(|error| error.to_string())?;
        let said: Vec<_> = words
            .split('\n')
            .map(|line| format!("prog says: {line}"))
            .collect();
        assert_eq!(journal[..4], said);
        assert!(journal[4].starts_with("error: tinykvm prog: main() of "));
    }
    Ok(())
}
