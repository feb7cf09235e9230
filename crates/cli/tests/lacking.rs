//! What the terminal says of what a program did not get.

#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests report by panicking"
)]

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use std::process::ExitCode;

use support::{command, finished};
use tinykvm_testkit::compile_c;
use tinykvm_testkit::harness::{Case, run};

/// Looks for 75 files that nobody has, before it is ready and in a request, and opens what the
/// host has.
const SOURCE: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <tinykvm.h>
static void look(const char *where)
{
    char path[100];
    struct stat about;
    for (int i = 0; i < 75; i++) {
        snprintf(path, sizeof path, "/nonexistent/%s/%d.so", where, i);
        stat(path, &about);
    }
}
static void get(const char *url, const char *arg)
{
    look("request");
    open(url, O_RDONLY);
    backend_response_str(200, "text/plain", "hello\n");
}
int main(int argc, char **argv)
{
    look("start");
    for (int i = 1; i < argc; i++)
        open(argv[i], O_RDONLY);
    set_backend_get(get);
    wait_for_requests();
}
"#;

const IN_VAIN: &str = "not there on the host either";

fn main() -> ExitCode {
    run(vec![
        Case::kvm("what is looked for in vain is one line", one_line),
        Case::kvm("what the host has is a line with a key", keys),
        Case::kvm("links to what is made up can be looked at", made_up),
    ])
}

fn program() -> String {
    compile_c(SOURCE, &[]).display().to_string()
}

fn one_line() -> Result<(), String> {
    let program = program();
    for (arguments, count) in [
        (&["run", &program, "--name", "looks"][..], 75),
        (&["call", &program, "--name", "looks"], 150),
        (
            &["call", &program, "--name", "looks", "--next", "--next"],
            150,
        ),
        (&["bench", &program, "--name", "looks", "-n", "5"], 150),
    ] {
        let (status, _, err) = finished(&mut command(arguments));
        assert_eq!(status, 0, "{err}");
        let line = format!(
            "tinykvm looks: it looked for {count} paths that no rule is about and that are not \
             there on the host either, as interpreters do (-v shows them)"
        );
        let told: Vec<_> = err.lines().filter(|line| line.contains(IN_VAIN)).collect();
        assert_eq!(told, [line], "{arguments:?}: {err}");
        // What stands behind `run PROGRAM` is the program's.
        let verbose = [&arguments[..1], &["-v"], &arguments[1..]].concat();
        let (status, _, err) = finished(&mut command(&verbose));
        assert_eq!(status, 0, "{err}");
        if arguments[0] != "bench" {
            assert_eq!(err.matches(IN_VAIN).count(), count, "{verbose:?}: {err}");
        }
        assert!(!err.contains("it looked for"), "{err}");
    }
    Ok(())
}

fn keys() -> Result<(), String> {
    let program = program();
    let top = std::env::temp_dir().join(format!("tinykvm-lacking-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&top);
    std::fs::create_dir_all(top.join("directory")).unwrap();
    for file in ["one", "two"] {
        std::fs::write(top.join(file), "").unwrap();
    }
    let top = top.to_str().unwrap();
    let call = |config: &str| {
        let config = config.replace("TOP", top);
        let url = format!("{top}/two");
        finished(&mut command(&[
            "call", &program, "--url", &url, "--config", &config,
        ]))
    };
    let arguments = r#""main_arguments": ["TOP/one", "TOP/directory", "/proc/2/status"]"#;
    let (status, _, err) = call(&format!("{{ {arguments} }}"));
    assert_eq!(status, 0, "{err}");
    for line in [
        r#"openat of "TOP/one" is denied: no rule is about it (in --config: "allowed_paths": ["TOP/one"])"#,
        r#"openat of "TOP/directory" is denied: no rule is about it (in --config: "allowed_paths": ["TOP/directory"])"#,
        r#"openat of "/proc/2/status" is denied: a program is one process, of which /proc/self"#,
        r#"openat of "TOP/two" is denied: no rule is about it (in --config: "allowed_paths": ["TOP/two"])"#,
    ] {
        assert_eq!(
            err.matches(&line.replace("TOP", top)).count(),
            1,
            "{line}: {err}"
        );
    }
    assert!(!err.contains("tinykvm.allow"), "{err}");
    // What is suggested helps.
    let rules = r#""allowed_paths": ["TOP/one", "TOP/two", "TOP/directory"]"#;
    let (_, _, err) = call(&format!("{{ {arguments}, {rules} }}"));
    assert!(!err.contains("allowed_paths"), "{err}");
    std::fs::remove_dir_all(top).unwrap();
    Ok(())
}

/// A link of the host's, in a granted directory, to a file that is made up for the program.
fn made_up() -> Result<(), String> {
    const SOURCE: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <tinykvm.h>
int main(int argc, char **argv)
{
    struct stat about;
    struct statfs system;
    char text[10];
    int file = open(argv[1], O_RDONLY);
    printf("%d %d %d %d %d %d\n", stat(argv[1], &about), access(argv[1], R_OK),
           statfs(argv[1], &system), file >= 0, read(file, text, 9) > 0, lstat(argv[1], &about));
    printf("%d\n", open(argv[1], O_RDWR));
    wait_for_requests();
}
"#;
    let program = compile_c(SOURCE, &[]).display().to_string();
    let top = std::env::temp_dir().join(format!("tinykvm-made-up-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&top);
    std::fs::create_dir_all(&top).unwrap();
    let link = top.join("link");
    std::os::unix::fs::symlink("/etc/hostname", &link).unwrap();
    let link = link.to_str().unwrap();
    let config = format!(r#"{{ "allowed_paths": ["{}"] }}"#, top.display());
    let mut run = command(&["run", "--config", &config, &program, link]);
    let (status, out, err) = finished(&mut run);
    std::fs::remove_dir_all(&top).unwrap();
    assert_eq!((status, out.as_str()), (0, "0 0 0 1 1 0\n-1\n"), "{err}");
    let told: Vec<_> = err.lines().filter(|line| line.contains("denied")).collect();
    assert_eq!(told.len(), 1, "{err}");
    assert!(
        told[0].starts_with("tinykvm ") && told[0].contains("made up for the program and can't be"),
        "{err}"
    );
    Ok(())
}
