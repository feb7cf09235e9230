//! What is wrong with a crate's order.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Crate, Module};

/// Which part of a folder uses which, with an example: the file, the other file, what is used.
type Uses<'a> = BTreeMap<&'a str, BTreeMap<&'a str, String>>;

/// One line for each thing that is wrong.
pub(crate) fn complaints(of: &Crate) -> Vec<String> {
    let used: BTreeMap<&Module, BTreeMap<Module, String>> = of
        .modules()
        .map(|module| (module, of.used_by(module)))
        .collect();
    let mut found = Vec::new();
    for folder in of.modules() {
        if of.children(folder).next().is_none() {
            continue;
        }
        let uses = uses_in(folder, &used);
        if let Some(circle) = circle(&uses) {
            found.push(format!("a circle{}: {circle}", inside(folder)));
        }
        match of.drawing(folder) {
            Some(lines) => found.extend(against_drawing(of, folder, &lines, &uses)),
            None if folder.is_empty() => {
                found.push("lib.rs has no drawing under \"# Layers\"".to_owned());
            }
            None => {}
        }
    }
    found
}

fn inside(folder: &Module) -> String {
    if folder.is_empty() {
        String::new()
    } else {
        format!(" in {}", folder.join("/"))
    }
}

/// What the parts of a folder use of each other. The folder's own file is no part: it brings them
/// together.
fn uses_in<'a>(
    folder: &Module,
    used: &'a BTreeMap<&'a Module, BTreeMap<Module, String>>,
) -> Uses<'a> {
    let part = |module: &'a Module| -> Option<&'a str> {
        let below = module.strip_prefix(folder.as_slice())?;
        Some(below.first().map_or("", String::as_str))
    };
    let mut uses = Uses::new();
    for (from, targets) in used {
        for (to, what) in targets {
            if let (Some(one), Some(other)) = (part(from), part(to))
                && one != other
            {
                let example = format!("{} uses {what} of {}", name(from), name(to));
                uses.entry(one).or_default().entry(other).or_insert(example);
            }
        }
    }
    uses
}

fn name(module: &Module) -> String {
    if module.is_empty() {
        "lib.rs".to_owned()
    } else {
        module.join("/")
    }
}

/// The examples along a shortest circle, if there is one.
fn circle(uses: &Uses<'_>) -> Option<String> {
    let mut shortest: Option<Vec<&str>> = None;
    for start in uses.keys() {
        // Breadth first, back to the start.
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut wave = vec![*start];
        while !wave.is_empty() && !before.contains_key(start) {
            let mut next = Vec::new();
            for from in wave {
                for to in uses.get(from).into_iter().flat_map(BTreeMap::keys) {
                    if !before.contains_key(to) {
                        before.insert(to, from);
                        next.push(*to);
                    }
                }
            }
            wave = next;
        }
        if before.contains_key(start) {
            let mut path = vec![*start];
            let mut at = before[start];
            while at != *start {
                path.push(at);
                at = before[at];
            }
            path.push(start);
            path.reverse();
            if shortest.as_ref().is_none_or(|best| path.len() < best.len()) {
                shortest = Some(path);
            }
        }
    }
    let path = shortest?;
    let steps = path.windows(2).map(|pair| uses[pair[0]][pair[1]].clone());
    Some(steps.collect::<Vec<_>>().join(", "))
}

/// Modules that a drawing leaves out, names twice or does not know, and uses against it.
fn against_drawing(of: &Crate, folder: &Module, lines: &[String], uses: &Uses<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut level: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, line) in lines.iter().enumerate() {
        let names = line
            .split_once("  ")
            .map_or(line.as_str(), |(names, _)| names);
        for part in names
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            if level.insert(part, number).is_some() {
                found.push(format!("the drawing{} names {part} twice", inside(folder)));
            }
        }
    }
    let there: BTreeSet<&str> = of.children(folder).map(String::as_str).collect();
    let drawn: BTreeSet<&str> = level.keys().copied().collect();
    for part in there.difference(&drawn) {
        found.push(format!("the drawing{} leaves out {part}", inside(folder)));
    }
    for part in drawn.difference(&there) {
        found.push(format!(
            "the drawing{} names {part}, which is not there",
            inside(folder)
        ));
    }
    for (from, targets) in uses {
        for (to, example) in targets {
            if let (Some(upper), Some(lower)) = (level.get(from), level.get(to))
                && upper >= lower
            {
                found.push(format!("against the drawing: {example}"));
            }
        }
    }
    found
}
