//! Where the sequences of a policy run: files of the fuzzer's own, rules for them, a listener.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tinykvm_linux::{ConnectRules, Extent, PathRule, Permissions, Process, ProcessOptions};

use crate::arena::Names;
use crate::calls;
use crate::listener::Listener;
use crate::policy::{Policy, implemented};
use crate::sequence::{Setting, state};

/// Where nobody listens.
const CLOSED_PORTS: [&str; 2] = ["127.0.0.1:1", "127.0.0.1:7"];

/// Trees of the same files: to read, to read in what is written, in the places of libraries.
const TREES: [&str; 4] = ["ro", "rw/locked", "listed", "lib"];

/// The room; its directory is removed in the end.
#[derive(Debug)]
pub(crate) struct Room {
    base: PathBuf,
    options: ProcessOptions,
    listener: Option<Listener>,
    /// What must stay as it is, and how it was.
    fixed: BTreeMap<PathBuf, String>,
}

/// An error with its path.
fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{}: {error}", path.display()))
}

impl Room {
    pub(crate) fn new(policy: Policy) -> Result<Self, String> {
        let name = format!("tinykvm-fuzz-{}-{policy}", std::process::id());
        let base = std::env::temp_dir().join(name);
        let made = ["", "rw", "other"]
            .iter()
            .try_for_each(|name| fs::create_dir(base.join(name)));
        at(&base, made)?;
        let mut room = Self {
            options: ProcessOptions {
                arguments: vec![b"program".to_vec()],
                executable: b"/bin/program".to_vec(),
                memory: 16 << 20,
                directory: base.join("rw").into_os_string().into_encoded_bytes(),
                ..ProcessOptions::default()
            },
            base,
            listener: None,
            fixed: BTreeMap::new(),
        };
        if policy == Policy::Allow {
            room.furnish()?;
        }
        Ok(room)
    }

    /// Files, somebody who listens, and rules for all of it.
    fn furnish(&mut self) -> Result<(), String> {
        for tree in TREES {
            let tree = self.base.join(tree);
            at(&tree, plant(&tree))?;
        }
        at(&self.base, fs::write(self.base.join("fixed"), "fixed"))?;
        self.clean()?;
        self.fixed = at(&self.base, self.look())?;
        let socket = self.base.join("sock");
        let listener = Listener::start(&socket)?;
        let mut connect = ConnectRules::default();
        let places = [
            format!("127.0.0.1:{}", listener.port),
            format!("unix:{}", socket.display()),
        ];
        let closed = CLOSED_PORTS.map(str::to_owned);
        for place in places.iter().chain(&closed) {
            connect.add(place).map_err(|error| error.to_string())?;
        }
        self.listener = Some(listener);
        self.options.connect = connect;
        self.options.permissions = Arc::new(self.permissions()?);
        Ok(())
    }

    fn permissions(&self) -> Result<Permissions, String> {
        let own = |name: &str| self.base.join(name);
        let shown = |name: &str| own(name).as_os_str().as_bytes().to_vec();
        // As the program sees it, what it is, how much, and whether it may be changed.
        let rules = [
            (shown("rw"), own("rw"), Extent::Tree, true),
            (shown("rw/locked"), own("rw/locked"), Extent::Tree, false),
            (shown("ro"), own("ro"), Extent::Tree, false),
            (shown("single"), own("single"), Extent::Exact, true),
            (shown("fixed"), own("fixed"), Extent::Exact, false),
            (shown("listed"), own("listed"), Extent::Exact, false),
            (b"/shown".to_vec(), own("other"), Extent::Tree, true),
            (shown("link"), own("rw/a"), Extent::Link, false),
            (shown("outside"), "/etc/passwd".into(), Extent::Link, false),
            // As "libraries" grants them, but of its own.
            (b"/lib".to_vec(), own("lib"), Extent::Tree, false),
            (b"/lib64".to_vec(), own("lib"), Extent::Tree, false),
            (b"/usr/lib".to_vec(), own("lib"), Extent::Tree, false),
        ];
        let mut all = Permissions::default();
        for (shown, real, extent, writable) in rules {
            let rule = PathRule {
                shown,
                real,
                extent,
                writable,
            };
            all.allow(&rule).map_err(|error| error.to_string())?;
        }
        let state = all.allow_state(&own("program.state"));
        state.map_err(|error| error.to_string())?;
        Ok(all)
    }

    pub(crate) fn setting(&self, verbose: bool) -> Setting {
        let template = Process::new(&self.options);
        Setting {
            calls: calls::calls(&implemented(&self.options)),
            before: state(&template),
            template,
            names: Names {
                directory: self.base.join("rw").display().to_string(),
                port: self.listener.as_ref().map_or(3, |listener| listener.port),
                socket: self.base.join("sock").display().to_string(),
            },
            verbose,
        }
    }

    /// What may only be read is as it was.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.fixed.is_empty() {
            return Ok(());
        }
        let now = at(&self.base, self.look())?;
        if now == self.fixed {
            return Ok(());
        }
        let changed = now
            .iter()
            .find(|(path, _)| self.fixed.get(*path) != now.get(*path));
        let gone = self.fixed.keys().find(|path| !now.contains_key(*path));
        Err(format!(
            "what may only be read has changed: {changed:?}, or is gone: {gone:?}"
        ))
    }

    /// How all looks that may only be read, and the names beside it.
    fn look(&self) -> io::Result<BTreeMap<PathBuf, String>> {
        let mut all = BTreeMap::new();
        for tree in TREES {
            look(&self.base.join(tree), &mut all)?;
        }
        look(&self.base.join("fixed"), &mut all)?;
        Ok(all)
    }

    /// Removes what a sequence left.
    pub(crate) fn clean(&self) -> Result<(), String> {
        for written in ["rw", "other"] {
            let written = self.base.join(written);
            for entry in at(&written, fs::read_dir(&written))? {
                let path = at(&written, entry)?.path();
                if !path.ends_with("rw/locked") {
                    at(&path, remove(&path))?;
                }
            }
        }
        let made = fs::create_dir(self.base.join("rw/dir"));
        at(&self.base, made)?;
        let files = [
            ("single", "single"),
            ("program.state", ""),
            ("rw/a", "some text"),
            ("rw/dir/f", "more"),
        ];
        for (name, text) in files {
            let path = self.base.join(name);
            if path.symlink_metadata().is_ok() {
                at(&path, remove(&path))?;
            }
            at(&path, fs::write(&path, text))?;
        }
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.listener = None;
        let _ = fs::remove_dir_all(&self.base);
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

/// Some files, a directory, and links: inside, upwards, and out.
fn plant(tree: &Path) -> io::Result<()> {
    fs::create_dir_all(tree.join("dir"))?;
    fs::write(tree.join("a"), "contents of a file")?;
    fs::write(tree.join("dir/f"), vec![b'f'; 5000])?;
    fs::write(tree.join("ld-linux-x86-64.so.2"), "no loader")?;
    symlink("a", tree.join("link"))?;
    symlink("../rw", tree.join("up"))?;
    symlink("/etc/passwd", tree.join("out"))
}

/// Notes what something is, what is in it, and when it was changed.
fn look(path: &Path, all: &mut BTreeMap<PathBuf, String>) -> io::Result<()> {
    let about = path.symlink_metadata()?;
    let contents = if about.is_dir() {
        for entry in fs::read_dir(path)? {
            look(&entry?.path(), all)?;
        }
        String::new()
    } else if about.is_symlink() {
        fs::read_link(path)?.display().to_string()
    } else {
        fs::read_to_string(path).unwrap_or_default()
    };
    let (mode, owner, links) = (about.mode(), about.uid(), about.nlink());
    let time = (about.mtime(), about.mtime_nsec());
    let text = format!("{mode:o} {owner} {links} {time:?} {contents}");
    all.insert(path.to_owned(), text);
    Ok(())
}
