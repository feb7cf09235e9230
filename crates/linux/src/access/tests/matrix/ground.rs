//! The files that the cases are about, and the ways to name them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use crate::access::tests::matrix::Leads;
use crate::access::tests::tree::Tree;
use crate::wire::errno::{ENAMETOOLONG, ENOENT, ENOTDIR};

/// Names of the things.
const THINGS: [&str; 3] = ["file", "empty", "new"];
/// Begins names that are not UTF-8.
const ODD: &[u8] = b"\xff\xfe\x01\n ";

/// Ways to name a thing: `T` is the tree, `X` the thing, `L` a name as long as names can be with
/// the thing's at its end. `P` makes the path as long as paths can be, and `Q` longer by one.
pub(super) const WAYS: &[(&[u8], Leads)] = &[
    (b"/T/X", Leads::Inside),
    (b"//T//./X", Leads::Inside),
    (b"/T/dir/../X", Leads::Inside),
    (b"/../T/X", Leads::Inside),
    (b"/T/../../T/X", Leads::Inside),
    (b"/T/sub/X", Leads::Inside),
    (b"/T/sub/../X", Leads::Inside),
    (b"/T/absolute-sub/X", Leads::Inside),
    (b"/proc/self/root/T/X", Leads::Inside),
    (b"/proc/self/cwd/T/X", Leads::Inside),
    (b"/proc/thread-self/root/T/dir/../X", Leads::Inside),
    (b"/proc/1/root/proc/self/root/T/sub/X", Leads::Inside),
    (b"/T/\xff\xfe\x01\n X", Leads::Inside),
    (b"/T/X\0/../../outside/X", Leads::Inside),
    (b"/T/L", Leads::Inside),
    (b"P/T/X", Leads::Inside),
    (b"/T/in-X", Leads::Link),
    (b"/T/absolute-X", Leads::Link),
    (b"/T/dir/../in-X", Leads::Link),
    (b"/proc/self/root/T/in-X", Leads::Link),
    (b"/T/\xff\xfe\x01\n in-X", Leads::Link),
    (b"/T/out-X", Leads::LinkOut),
    (b"/T/absolute-out-X", Leads::LinkOut),
    (b"/T/magic-X", Leads::LinkOut),
    (b"/T/dir/../out-X", Leads::LinkOut),
    (b"/T/loop", Leads::Loop),
    (b"/T/../outside/X", Leads::Out),
    (b"/T/dir/../../outside/X", Leads::Out),
    (b"/T/gone/X", Leads::Out),
    (b"/T/gone/../X", Leads::Out),
    (b"/T/gone/\xff\xfe\x01\n X", Leads::Out),
    (b"/T/gone/L", Leads::Out),
    (b"/T/absolute-gone/X", Leads::Out),
    (b"/T/magic-gone/X", Leads::Out),
    (b"/proc/self/root/outside/X", Leads::Out),
    (b"/T/../../../../../../outside/X", Leads::Out),
    (b"/T/gone/X\0/../../read/file", Leads::Out),
    (b"P/outside/X", Leads::Out),
    (b"/T/nothing/X", Leads::Fails(ENOENT)),
    (b"/T/nothing/../X", Leads::DeadEnd(ENOENT)),
    (b"/T/other/X", Leads::Fails(ENOTDIR)),
    (b"/T/other/../X", Leads::DeadEnd(ENOTDIR)),
    (b"/T/1L", Leads::Fails(ENAMETOOLONG)),
    (b"/T/dir/../1L", Leads::Fails(ENAMETOOLONG)),
    (b"Q/T/X", Leads::Never(ENAMETOOLONG)),
];

/// A name of 255 bytes that ends like this.
fn long(end: &str) -> String {
    format!("{:l<width$}{end}", "", width = 255 - end.len())
}

/// The path that a way means for a tree and a thing.
pub(super) fn path(way: &[u8], top: &str, thing: &str) -> Vec<u8> {
    let mut path = Vec::new();
    for &byte in way {
        match byte {
            b'T' => path.extend_from_slice(top.as_bytes()),
            b'X' => path.extend_from_slice(thing.as_bytes()),
            b'L' => path.extend_from_slice(long(thing).as_bytes()),
            byte => path.push(byte),
        }
    }
    // With the NUL at the end, 4096 bytes.
    let length = match path.first() {
        Some(b'P') => 4095,
        Some(b'Q') => 4096,
        _ => return path,
    };
    let rest = path.split_off(1);
    let missing = length - rest.len();
    path = b"/.".repeat(missing / 2);
    path.resize(missing, b'/');
    [path, rest].concat()
}

/// What is in the directories that a program may read, and write, and outside of them.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) tree: Tree,
    before: Picture,
}

/// Everything about the files in a directory that a call could change: mode, links, number, size,
/// time.
type Picture = BTreeMap<PathBuf, (u32, u64, u64, u64, (i64, i64))>;

impl Ground {
    pub(super) fn new() -> Self {
        let tree = Tree::empty();
        for top in ["read", "write", "outside"] {
            fill(&tree.path(top), top);
        }
        let before = picture(&tree.path(""));
        Self { tree, before }
    }

    /// What is different by now: whether at all, and whether outside of what can be written.
    pub(super) fn changes(&self) -> (bool, bool) {
        let now = picture(&self.tree.path(""));
        let writable = self.tree.path("write");
        let elsewhere = |picture: &Picture| -> Picture {
            let outside = |path: &&PathBuf| !path.starts_with(&writable);
            let kept = picture.keys().filter(outside);
            kept.map(|path| (path.clone(), picture[path])).collect()
        };
        (
            now != self.before,
            elsewhere(&now) != elsewhere(&self.before),
        )
    }
}

fn fill(top: &Path, name: &str) {
    let join = |name: &[u8]| top.join(OsStr::from_bytes(name));
    let things = |directory: &Path| {
        fs::create_dir_all(directory.join("empty")).unwrap();
        fs::write(directory.join("file"), "content").unwrap();
    };
    things(&top.join("dir"));
    things(top);
    fs::write(top.join("other"), "other").unwrap();
    let odd = |name: &str| [ODD, name.as_bytes()].concat();
    fs::write(join(&odd("file")), "content").unwrap();
    fs::create_dir(join(&odd("empty"))).unwrap();
    fs::write(join(long("file").as_bytes()), "content").unwrap();
    fs::create_dir(join(long("empty").as_bytes())).unwrap();
    let link = |to: String, from: &[u8]| symlink(to, join(from)).unwrap();
    for thing in THINGS {
        link(thing.to_owned(), format!("in-{thing}").as_bytes());
        link(thing.to_owned(), &odd(&format!("in-{thing}")));
        link(
            format!("/{name}/{thing}"),
            format!("absolute-{thing}").as_bytes(),
        );
        link(
            format!("../outside/{thing}"),
            format!("out-{thing}").as_bytes(),
        );
        link(
            format!("/outside/{thing}"),
            format!("absolute-out-{thing}").as_bytes(),
        );
        link(
            format!("/proc/self/root/outside/{thing}"),
            format!("magic-{thing}").as_bytes(),
        );
    }
    link("dir".to_owned(), b"sub");
    link(format!("/{name}/dir"), b"absolute-sub");
    link("../outside".to_owned(), b"gone");
    link("/outside".to_owned(), b"absolute-gone");
    link("/proc/self/root/outside".to_owned(), b"magic-gone");
    link("loop".to_owned(), b"loop");
}

fn picture(top: &Path) -> Picture {
    let mut picture = Picture::new();
    let mut left = vec![top.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let about = entry.metadata().unwrap();
            if about.is_dir() {
                left.push(entry.path());
            }
            let changed = (about.mtime(), about.mtime_nsec());
            let what = (
                about.mode(),
                about.nlink(),
                about.ino(),
                about.size(),
                changed,
            );
            picture.insert(entry.path(), what);
        }
    }
    picture
}
