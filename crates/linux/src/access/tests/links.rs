//! Links that programs leave on the host stay inside of what was granted, whatever is made, moved
//! and named, in whatever order.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::{fs, thread};

use crate::access::tests::tree::{CWD, Tree, try_call};
use crate::rules::permissions::Extent;
use crate::tests::{Machine, int};
use crate::wire::errno::{EACCES, EXDEV};

/// A sequence of numbers that looks random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[usize::try_from(self.below(list.len() as u64)).unwrap()]
    }

    fn path(&mut self) -> String {
        if self.below(12) == 0 {
            return "/single".to_owned();
        }
        let mut path = self.of(&["/one", "/one", "/two"]).to_owned();
        for _ in 0..=self.below(4) {
            path.push('/');
            path.push_str(self.of(&["a", "b", "c", "l", "m", "kept"]));
        }
        path
    }
}

const TARGETS: [&str; 12] = [
    "a",
    ".",
    "b/c",
    "..",
    "../a",
    "../../a",
    "../../..",
    "../../../b",
    "a/..",
    "a/../../b",
    "/",
    "/etc/passwd",
];

/// Two directories and a file that may be changed, with links of the host's in the first.
fn ground() -> Tree {
    let tree = Tree::empty();
    for directory in ["one/a/kept", "one/b/c", "two/a"] {
        fs::create_dir_all(tree.path(directory)).unwrap();
    }
    symlink("../../b", tree.path("one/a/kept/l")).unwrap();
    symlink("..", tree.path("one/b/c/m")).unwrap();
    tree
}

fn program(tree: &Tree) -> Machine {
    tree.machine_with(|permissions, tree| {
        tree.allow(permissions, "/one", "one", Extent::Tree, true);
        tree.allow(permissions, "/two", "two", Extent::Tree, true);
        tree.allow(permissions, "/single", "single", Extent::Exact, true);
    })
}

/// One step of a program; true if it changed something.
fn step(machine: &mut Machine, numbers: &mut Numbers) -> bool {
    let (one, other) = (numbers.path(), numbers.path());
    let paths = [one.as_str(), other.as_str()];
    let done = match numbers.below(12) {
        0 | 1 => try_call(machine, "mkdir", &paths[..1]),
        2..=4 => try_call(machine, "symlink", &[numbers.of(&TARGETS), &one]),
        5 => try_call(machine, "link", &paths),
        6 => try_call(machine, "unlink", &paths[..1]),
        7 => {
            let [from, to] = paths.map(|path| machine.guest.put_c_string(path));
            let flow = machine.call("renameat2", &[int(CWD), from, int(CWD), to, 2]);
            return flow == 0;
        }
        8 if numbers.below(4) == 0 => try_call(machine, "rmdir", &paths[..1]),
        _ => try_call(machine, "rename", &paths),
    };
    done.is_ok()
}

/// How many links there are below a directory that is `depth` below the top. Fails if one leads
/// further up than to the top.
fn links(directory: &Path, depth: usize) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            count += links(&entry.path(), depth + 1);
        } else if kind.is_symlink() {
            check(&entry.path(), depth);
            count += 1;
        }
    }
    count
}

fn check(link: &Path, depth: usize) {
    let target = fs::read_link(link).unwrap();
    let mut left = depth;
    for part in target.components() {
        match part {
            std::path::Component::ParentDir => {
                assert!(left > 0, "{} -> {}", link.display(), target.display());
                left -= 1;
            }
            std::path::Component::Normal(_) => left = 0,
            std::path::Component::CurDir => {}
            _ => panic!("{} -> {}", link.display(), target.display()),
        }
    }
}

fn check_all(tree: &Tree) -> usize {
    let single = tree.path("single");
    assert!(!single.is_symlink(), "a link beside what was granted");
    let inside = if single.is_dir() {
        links(&single, 0)
    } else {
        0
    };
    links(&tree.path("one"), 0) + links(&tree.path("two"), 0) + inside
}

#[test]
fn links_stay_inside_whatever_is_moved() {
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    let (mut done, mut most) = (0, 0);
    for _ in 0..60 {
        let tree = ground();
        let mut machine = program(&tree);
        for _ in 0..300 {
            done += usize::from(step(&mut machine, &mut numbers));
            most = most.max(check_all(&tree));
        }
    }
    assert!(done > 1000 && most > 5, "{done} {most}");
}

#[test]
fn links_stay_inside_whoever_moves_at_the_same_time() {
    for round in 1..12 {
        let tree = ground();
        thread::scope(|scope| {
            for hand in 1..4 {
                let tree = &tree;
                scope.spawn(move || {
                    let mut machine = program(tree);
                    let mut numbers = Numbers((4 * round + hand) * 0x9e37_79b9_7f4a);
                    for _ in 0..400 {
                        step(&mut machine, &mut numbers);
                    }
                });
            }
        });
        check_all(&tree);
    }
}

#[test]
fn moves_that_keep_links_inside_are_done() {
    let tree = ground();
    let mut machine = program(&tree);
    let mut ok = |call: &str, paths: &[&str]| {
        assert_eq!(
            try_call(&mut machine, call, paths),
            Ok(0),
            "{call} {paths:?}"
        );
    };
    ok("mkdir", &["/one/a/d"]);
    ok("mkdir", &["/one/a/d/e"]);
    ok("symlink", &["../../b", "/one/a/d/l"]);
    ok("symlink", &["../x", "/one/a/d/e/m"]);
    // Within its directory, and deeper.
    ok("rename", &["/one/a/d/l", "/one/a/d/n"]);
    ok("rename", &["/one/a/d/n", "/one/a/d/e/n"]);
    ok("rename", &["/one/a/d", "/one/a/f"]);
    ok("mkdir", &["/one/b/g"]);
    ok("rename", &["/one/a/f", "/one/b/g/f"]);
    // Up as far as its links allow.
    ok("rename", &["/one/b/g/f", "/one/f"]);
    // To another tree.
    ok("rename", &["/one/f/e", "/two/a/e"]);
    check_all(&tree);
}

#[test]
fn moves_that_lead_links_out_are_denied() {
    let tree = ground();
    let mut machine = program(&tree);
    assert_eq!(try_call(&mut machine, "mkdir", &["/one/a/d"]), Ok(0));
    let link = ["../../x", "/one/a/d/l"];
    assert_eq!(try_call(&mut machine, "symlink", &link), Ok(0));
    for (call, from, to) in [
        ("rename", "/one/a/d", "/one/d"),
        ("rename", "/one/a/d/l", "/one/a/l"),
        ("rename", "/one/a/d/l", "/two/l"),
        ("link", "/one/a/d/l", "/one/l"),
        ("rename", "/one/a", "/single"),
        ("rename", "/one/a/kept", "/two/kept"),
    ] {
        machine.host.denied.clear();
        let found = try_call(&mut machine, call, &[from, to]);
        assert_eq!(found, Err(EACCES), "{call} {from} {to}");
        assert_eq!(machine.host.denied, [(call, to.as_bytes().to_vec())]);
    }
    // By a short way to a place that is not deep.
    assert_eq!(
        try_call(&mut machine, "symlink", &["..", "/one/a/s"]),
        Ok(0)
    );
    let short = ["../../x", "/one/a/d/../s/a/s/t"];
    assert_eq!(try_call(&mut machine, "symlink", &short), Err(EACCES));
    let short = ["../x", "/one/a/s/t"];
    assert_eq!(try_call(&mut machine, "symlink", &short), Err(EACCES));
    check_all(&tree);
}

#[test]
fn directories_that_are_too_much_to_look_at_are_copied() {
    let tree = ground();
    for number in 0..=10_000 {
        fs::write(tree.path(&format!("one/b/c/{number}")), "").unwrap();
    }
    let mut machine = program(&tree);
    let up = ["/one/b/c", "/one/c"];
    assert_eq!(try_call(&mut machine, "rename", &up), Err(EXDEV));
    let down = ["/one/b/c", "/one/a/c"];
    assert_eq!(try_call(&mut machine, "rename", &down), Ok(0));
}
