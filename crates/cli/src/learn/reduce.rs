//! From what was used to the rules that allow it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tinykvm_runtime::is_library;

use super::Use;
use crate::rules::{Extent, PathRule, Rules};

/// More paths than this in one directory become one rule about the directory.
const MANY: usize = 8;

/// The rules that allow what was used.
pub(super) fn reduce(used: &BTreeMap<String, Use>, places: &BTreeSet<String>, home: &str) -> Rules {
    let mut rules = BTreeMap::new();
    let mut libraries = false;
    for (path, how) in used {
        if !how.write && is_library(path) {
            libraries |= how.opened;
            continue;
        }
        // Directories on the way to what is allowed can be looked at anyway.
        if !how.opened && used.keys().any(|other| is_below(other, path)) {
            continue;
        }
        let (path, rule) = rule(path, *how);
        add(&mut rules, path, rule);
    }
    for writable in [true, false] {
        collapse(&mut rules, writable, home);
    }
    let covered = |path: &str, rule: &Rule| {
        rules.iter().any(|(other, tree)| {
            tree.0 == Extent::Tree && (tree.1 || !rule.1) && is_below(path, other)
        })
    };
    let paths = rules
        .iter()
        .filter(|(path, rule)| !covered(path, rule))
        .map(|(path, &(extent, writable))| PathRule {
            path: path.clone(),
            extent,
            writable,
        })
        .collect();
    Rules {
        libraries,
        paths,
        connect: places
            .iter()
            .filter(|place| is_there(place))
            .cloned()
            .collect(),
        exec_memory: false,
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

fn rule(path: &str, how: Use) -> (String, Rule) {
    let real = Path::new(path);
    if real.is_dir() {
        // A directory that changes gets new names, which the next run may choose otherwise.
        let extent = if how.write {
            Extent::Tree
        } else {
            Extent::Names
        };
        return (path.to_owned(), (extent, how.write));
    }
    // A file that came and went: its name may be another one the next time.
    if how.created && real.symlink_metadata().is_err() {
        let parent = parent(path);
        if !parent.is_empty() {
            return (parent.to_owned(), (Extent::Tree, true));
        }
    }
    (path.to_owned(), (Extent::File, how.write))
}

fn add(rules: &mut BTreeMap<String, Rule>, path: String, rule: Rule) {
    let known = rules.entry(path).or_insert(rule);
    known.1 |= rule.1;
    if rule.0 == Extent::Tree {
        known.0 = Extent::Tree;
    }
}

/// Puts trees in the place of many rules, the deepest directories first.
fn collapse(rules: &mut BTreeMap<String, Rule>, writable: bool, home: &str) {
    let directories: BTreeSet<_> = rules.keys().flat_map(|path| ancestors(path)).collect();
    let mut directories: Vec<_> = directories.into_iter().collect();
    directories.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
    for directory in directories {
        // Never everything of a user, or a whole branch of the system.
        let wide = directory.matches('/').count() < 2;
        if wide || directory == home || is_below(home, &directory) {
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
