//! From what was used to the rules that allow it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tinykvm_runtime::is_library;

use super::record::Use;
use crate::rules::{Extent, PathRule, Rules, is_speakable};

/// More paths than this in one directory become one rule about the directory.
const MANY: usize = 8;

/// Directories for temporary files, which everybody shares.
const SHARED: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// The rules that allow what was used. `home` is that of the user, `program` the program's name.
pub(super) fn reduce(
    used: &BTreeMap<String, Use>,
    places: &BTreeSet<String>,
    home: &str,
    program: &str,
) -> Rules {
    let mut found = Found {
        home,
        ..Found::default()
    };
    for (path, how) in used {
        if !how.write && is_library(path) {
            found.libraries |= how.opened;
            continue;
        }
        // Directories on the way to what is allowed can be looked at anyway.
        if !how.opened && used.keys().any(|other| is_below(other, path)) {
            continue;
        }
        found.use_path(path, *how);
    }
    // With a directory of its own in the place of a shared one, the program does not see those on
    // the way to what it has in the shared one.
    for path in used.keys() {
        let hidden = found.temporary.iter().any(|shared| is_below(path, shared));
        let own = |own: &String| own == path || is_below(path, own);
        if hidden && !found.own.iter().any(own) && Path::new(path).is_dir() {
            found.add(path.clone(), (Extent::Names, false));
        }
    }
    found.collapse_all();
    // A tree does not have what links in it lead to, and neither have the libraries.
    for (path, how) in used {
        let library = !how.write && is_library(path);
        if found.rules.contains_key(path) || !(library || found.covering(path).is_some()) {
            continue;
        }
        let Ok(target) = Path::new(path).canonicalize() else {
            continue;
        };
        let Some(target) = target.to_str().filter(|target| is_speakable(target)) else {
            continue;
        };
        let library = !how.write && is_library(target);
        if target != path && !library && !found.allows(target, how.write) {
            found.add(target.to_owned(), (Extent::File, how.write));
        }
    }
    found.collapse_all();
    found.finish(places, program)
}

/// What was found so far.
#[derive(Default)]
struct Found<'a> {
    home: &'a str,
    rules: BTreeMap<String, Rule>,
    libraries: bool,
    /// Shared directories in which files of its own are created.
    temporary: BTreeSet<&'static str>,
    /// What it created in them.
    own: BTreeSet<String>,
    unnamed: BTreeSet<String>,
}

impl Found<'_> {
    /// A rule for one path.
    fn use_path(&mut self, path: &str, how: Use) {
        let real = Path::new(path);
        let shared = |path: &str| SHARED.into_iter().find(|shared| *shared == path);
        // In the order of names, so a directory comes before what is in it.
        if self.own.iter().any(|own| is_below(path, own)) {
            return;
        }
        if let Some(shared) = shared(parent(path)).filter(|_| how.created) {
            self.temporary.insert(shared);
            self.own.insert(path.to_owned());
            return;
        }
        if real.is_dir() {
            // A directory that changes gets new names, which the next run may choose otherwise.
            match (how.write, shared(path)) {
                (true, Some(shared)) => drop(self.temporary.insert(shared)),
                (true, None) => self.add(path.to_owned(), (Extent::Tree, true)),
                (false, _) => self.add(path.to_owned(), (Extent::Names, false)),
            }
            return;
        }
        let parent = parent(path);
        let gone = how.created && real.symlink_metadata().is_err();
        // Its name may be another one the next time.
        if gone || how.random {
            if self.is_wide(parent) {
                self.unnamed.insert(parent.to_owned());
            } else {
                self.add(parent.to_owned(), (Extent::Tree, true));
            }
            return;
        }
        self.add(path.to_owned(), (Extent::File, how.write));
    }

    /// Everything of a user, a whole branch of the system, or what everybody shares.
    fn is_wide(&self, directory: &str) -> bool {
        let shallow = directory.matches('/').count() < 2;
        let own = directory == self.home || is_below(self.home, directory);
        shallow || own || SHARED.contains(&directory)
    }

    fn add(&mut self, path: String, rule: Rule) {
        add(&mut self.rules, path, rule);
    }

    fn collapse_all(&mut self) {
        for writable in [true, false] {
            let wide: Vec<_> = (self.rules.keys().flat_map(|path| ancestors(path)))
                .filter(|directory| self.is_wide(directory))
                .collect();
            collapse(&mut self.rules, writable, &wide);
        }
    }

    /// The tree that a path is in.
    fn covering(&self, path: &str) -> Option<Rule> {
        let trees = self.rules.iter().filter(|(_, rule)| rule.0 == Extent::Tree);
        let mut found = trees.filter(|(tree, _)| is_below(path, tree));
        found.next().map(|(_, rule)| *rule)
    }

    fn allows(&self, path: &str, write: bool) -> bool {
        let exact = self.rules.get(path).copied();
        let rule = exact.or_else(|| self.covering(path));
        rule.is_some_and(|rule| rule.1 || !write)
    }

    fn finish(self, places: &BTreeSet<String>, program: &str) -> Rules {
        let covered = |path: &str, rule: &Rule| {
            self.rules.iter().any(|(other, tree)| {
                tree.0 == Extent::Tree && (tree.1 || !rule.1) && is_below(path, other)
            })
        };
        let own = |path: &str| self.temporary.contains(path);
        let mut paths: Vec<_> = self
            .rules
            .iter()
            .filter(|(path, rule)| !covered(path, rule) && !own(path))
            .map(|(path, &(extent, writable))| PathRule {
                path: path.clone(),
                extent,
                writable,
                instead: None,
            })
            .collect();
        let temporary = self.temporary.iter();
        paths.extend(temporary.map(|path| PathRule::own_temporary(path, program)));
        paths.sort();
        Rules {
            libraries: self.libraries,
            paths,
            connect: places
                .iter()
                .filter(|place| is_there(place))
                .cloned()
                .collect(),
            exec_memory: false,
            unnamed: self.unnamed.into_iter().collect(),
        }
    }
}

/// False for a socket file that was only looked for.
fn is_there(place: &str) -> bool {
    place
        .strip_prefix("unix:")
        .is_none_or(|path| Path::new(path).symlink_metadata().is_ok())
}

/// How much, and whether it may be changed.
type Rule = (Extent, bool);

fn add(rules: &mut BTreeMap<String, Rule>, path: String, rule: Rule) {
    let known = rules.entry(path).or_insert(rule);
    known.1 |= rule.1;
    if rule.0 == Extent::Tree {
        known.0 = Extent::Tree;
    }
}

/// Puts trees in the place of many rules, the deepest directories first; never a wide one.
fn collapse(rules: &mut BTreeMap<String, Rule>, writable: bool, wide: &[String]) {
    let directories: BTreeSet<_> = rules.keys().flat_map(|path| ancestors(path)).collect();
    let mut directories: Vec<_> = directories.into_iter().collect();
    directories.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
    for directory in directories {
        if wide.contains(&directory) {
            continue;
        }
        let inside: Vec<_> = rules
            .iter()
            .filter(|(path, rule)| rule.1 == writable && is_below(path, &directory))
            .map(|(path, _)| path.clone())
            .collect();
        if inside.len() > MANY {
            for path in inside {
                rules.remove(&path);
            }
            add(rules, directory, (Extent::Tree, writable));
        }
    }
}

fn ancestors(path: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut path = parent(path);
    while !path.is_empty() {
        all.push(path.to_owned());
        path = parent(path);
    }
    all
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory.trim_end_matches('/'))
        .is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
