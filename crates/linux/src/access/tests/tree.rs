//! A directory of the host with files, and a program that may have parts of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::process::options::ProcessOptions;
use crate::rules::permissions::{Extent, PathRule, Permissions};
use crate::tests::Machine;
use crate::wire::errno::Errno;
use crate::wire::file::AT_FDCWD;

pub(super) const CWD: i32 = AT_FDCWD;

/// `read` and `write` with the same contents, and `secret` beside them.
#[derive(Debug)]
pub(super) struct Tree(PathBuf);

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Tree {
    /// A directory with nothing in it.
    pub(super) fn empty() -> Self {
        // Tens of thousands of files are made and looked at: in memory, where there is such a place.
        let memory = PathBuf::from("/dev/shm");
        if rustix::fs::access(&memory, rustix::fs::Access::WRITE_OK).is_ok() {
            Self::below(&memory)
        } else {
            Self::below(&std::env::temp_dir())
        }
    }

    /// The same in a directory of the host.
    pub(super) fn below(top: &Path) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tinykvm-access-{}-{number}", std::process::id());
        let tree = Self(top.join(name));
        fs::create_dir_all(&tree.0).unwrap();
        tree
    }

    pub(super) fn new() -> Self {
        let tree = Self::empty();
        for top in ["read", "write", "none"] {
            fs::create_dir_all(tree.path(&format!("{top}/dir"))).unwrap();
            tree.file(&format!("{top}/file"), "content");
            tree.file(&format!("{top}/dir/inner"), "inner");
            let link = |to: &str, name: &str| {
                symlink(to, tree.path(&format!("{top}/{name}"))).unwrap();
            };
            link("file", "in");
            link("../secret", "out");
            link(&format!("/{top}/file"), "absolute");
            link("/secret", "absolute_out");
            link("/proc/self/root/secret", "magic");
            link("self", "self");
        }
        fs::remove_dir_all(tree.path("none")).unwrap();
        tree.file("secret", "secret");
        tree
    }

    /// How many descriptors this process has on what is below.
    pub(super) fn open_host_descriptors(&self) -> usize {
        let entries = fs::read_dir("/proc/self/fd").unwrap();
        entries
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter(|target| target.starts_with(&self.0))
            .count()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn file(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    pub(super) fn rule(&self, shown: &str, real: &str, extent: Extent, writable: bool) -> PathRule {
        PathRule {
            shown: shown.into(),
            real: self.path(real),
            extent,
            writable,
        }
    }

    pub(super) fn allow(
        &self,
        permissions: &mut Permissions,
        shown: &str,
        real: &str,
        extent: Extent,
        writable: bool,
    ) {
        // What does not exist yet is granted all the same.
        let _ = permissions.allow(&self.rule(shown, real, extent, writable));
    }

    /// A program that may read `/read` and write `/write`.
    pub(super) fn machine(&self) -> Machine {
        self.machine_with(|_, _| {})
    }

    pub(super) fn machine_with(&self, more: impl FnOnce(&mut Permissions, &Self)) -> Machine {
        let mut permissions = Permissions::default();
        self.allow(&mut permissions, "/read", "read", Extent::Tree, false);
        self.allow(&mut permissions, "/write", "write", Extent::Tree, true);
        more(&mut permissions, self);
        Machine::with(&ProcessOptions {
            executable: b"/bin/program".to_vec(),
            permissions: Arc::new(permissions),
            ..ProcessOptions::default()
        })
    }

    /// The names in a directory, without `.` and `..`.
    pub(super) fn names(&self, machine: &mut Machine, path: &str) -> Vec<String> {
        let fd = machine.open(path, 0o200_000).unwrap();
        let buffer = machine.room(4096);
        let mut names = Vec::new();
        loop {
            let count = machine.value("getdents64", &[fd, buffer, 4096]);
            if count == 0 {
                break;
            }
            let bytes = machine.guest.bytes(buffer, usize::try_from(count).unwrap());
            let mut at = 0;
            while at < bytes.len() {
                let length = usize::from(u16::from_le_bytes([bytes[at + 16], bytes[at + 17]]));
                let name = &bytes[at + 19..at + length];
                let end = name.iter().position(|&byte| byte == 0).unwrap();
                names.push(String::from_utf8_lossy(&name[..end]).into_owned());
                at += length;
            }
        }
        machine.value("close", &[fd]);
        names.retain(|name| name != "." && name != "..");
        names.sort();
        names
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Machine {
    /// `open` with these flags: the descriptor, or the error.
    pub(super) fn open(&mut self, path: &str, flags: u64) -> Result<u64, Errno> {
        let path = self.guest.put_c_string(path);
        outcome(self.call("open", &[path, flags, 0o666]))
    }
}

/// A result as the guest sees it.
pub(super) fn outcome(result: i64) -> Result<u64, Errno> {
    u64::try_from(result).map_err(|_| Errno::from_result(result))
}

/// Makes a call whose arguments are paths.
pub(super) fn try_call(machine: &mut Machine, call: &str, paths: &[&str]) -> Result<u64, Errno> {
    let paths: Vec<u64> = paths
        .iter()
        .map(|path| machine.guest.put_c_string(path))
        .collect();
    outcome(machine.call(call, &paths))
}

/// What a file contains as the program sees it.
pub(super) fn content(machine: &mut Machine, path: &str) -> Vec<u8> {
    let fd = machine
        .open(path, 0)
        .unwrap_or_else(|error| panic!("{path}: {error:?}"));
    let buffer = machine.room(64);
    let count = machine.value("read", &[fd, buffer, 64]);
    machine.value("close", &[fd]);
    machine
        .guest
        .bytes(buffer, usize::try_from(count).unwrap())
        .to_vec()
}
