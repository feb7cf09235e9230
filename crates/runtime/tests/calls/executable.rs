//! What a program can write it can't execute, unless it has that right: by every way of getting
//! bytes into memory, from every place that they can come from, before the freeze and in requests.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use tinykvm_testkit::harness::Case;

use crate::support::{Bench, shared};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kvm("what a program writes is not executed", without_the_right),
        Case::kvm("what a program writes is executed by right", with_the_right),
    ]
}

/// Places of code that is not the program's own writing.
const CODE: [&str; 2] = ["read only", "kept"];
const PLACES: usize = 18;
const WAYS: usize = 19;
/// The size of a file that is mapped in place.
const LARGE: u64 = 4 << 20;

/// The files of a program.
struct Ground(PathBuf);

impl Ground {
    fn new(name: &str) -> Self {
        let name = format!("tinykvm-executable-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        for directory in ["tree/below", "tree/kept", "read"] {
            fs::create_dir_all(path.join(directory)).unwrap();
        }
        for code in ["read/code", "tree/kept/code"] {
            fs::write(path.join(code), [0xb8, 42, 0, 0, 0, 0xc3]).unwrap();
            let file = fs::File::options()
                .write(true)
                .open(path.join(code))
                .unwrap();
            file.set_len(LARGE).unwrap();
        }
        fs::write(path.join("tree/twice"), "").unwrap();
        fs::hard_link(path.join("tree/twice"), path.join("read/twice")).unwrap();
        Self(path)
    }

    fn bench(&self, right: bool) -> Bench {
        let rule = |shown: &str, real: &str, more: &str| {
            let real = self.0.join(real);
            let real = real.display();
            format!(r#"{{"virtual": "{shown}", "real": "{real}", {more}}}"#)
        };
        let rules = [
            rule("/tree", "tree", r#""prefix": true, "writable": true"#),
            rule("/tree/kept", "tree/kept", r#""prefix": true"#),
            rule("/same", "tree", r#""prefix": true"#),
            rule("/within", "tree/below", r#""prefix": true"#),
            rule("/above", "", r#""prefix": true"#),
            rule("/read", "read", r#""prefix": true"#),
            rule("/exact", "exact", r#""prefix": false, "writable": true"#),
        ];
        let rules = rules.join(", ");
        let json = format!(
            r#"{{"allowed_paths": [{rules}], "executable_heap": {right}, "max_memory": 512,
                "max_request_memory": 256, "max_request_time": 20}}"#
        );
        shared("executable.c", &json)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a request told, by place and way.
fn told(bench: &Bench, url: &str) -> BTreeMap<(String, String), String> {
    let reply = bench.get(url);
    assert_eq!(reply.status, 200, "{url} {reply:?}");
    let text = reply.text();
    let line = |line: &str| {
        let (what, result) = line.split_once(": ").expect("a result");
        let (place, way) = what.split_once('/').expect("a place and a way");
        ((place.to_owned(), way.to_owned()), result.to_owned())
    };
    text.lines().map(line).collect()
}

fn expected(place: &str, way: &str, right: bool) -> &'static [&'static str] {
    match way {
        "read into code" => &["EFAULT"],
        "by own memory" => &["ENOENT", "EACCES"],
        "by key" | "by personality" | "by process write" => &["ENOSYS"],
        _ if right => &["42"],
        "read in" | "written privately" | "all rights" => &["EACCES"],
        _ if CODE.contains(&place) => &["42"],
        _ => &["EACCES"],
    }
}

fn check(right: bool) -> Result<(), String> {
    let ground = Ground::new(if right { "with" } else { "without" });
    let bench = ground.bench(right);
    let large = (0..PLACES).map(|place| (format!("/large/{place}"), WAYS));
    let all = ["/early", "/small"].map(|url| (url.to_owned(), PLACES * WAYS));
    let mut wrong = Vec::new();
    for (url, count) in all.into_iter().chain(large) {
        let found = told(&bench, &url);
        assert_eq!(found.len(), count, "{url} {found:?}");
        for ((place, way), result) in found {
            if !expected(&place, &way, right).contains(&result.as_str()) {
                wrong.push(format!("{url} {place}/{way}: {result}"));
            }
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("exec_memory {right}:\n{}", wrong.join("\n")))
}

fn without_the_right() -> Result<(), String> {
    check(false)
}

fn with_the_right() -> Result<(), String> {
    check(true)
}
