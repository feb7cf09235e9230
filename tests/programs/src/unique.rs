//! What must differ between requests, and clocks.
//!
//! The answer to `/unique` has a line `name value` (or `name=value`) for each of these.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Unique;
use crate::calls::Started;

/// The names of the clocks, in nanoseconds. All else must differ.
pub(crate) const MONOTONIC: &str = "monotonic";
pub(crate) const REALTIME: &str = "realtime";

/// How many answers are compared.
const ANSWERS: usize = 64;
/// In how many threads they are asked for, so that there are several forks.
const THREADS: usize = 4;
/// How far a clock may be off.
const CLOCK: Duration = Duration::from_millis(1);
/// How often the clock is looked at: the host may be busy once.
const CLOCK_TRIES: usize = 5;

/// An answer, and when it was given.
struct Answer {
    values: HashMap<String, String>,
    begun: Instant,
    ended: Instant,
}

/// Checks a started program.
pub(crate) fn check(started: &Started, unique: &Unique) -> Result<(), String> {
    let answers = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| several(started, unique)))
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            let answers = thread
                .join()
                .map_err(|_| "a thread panicked".to_owned())??;
            all.extend(answers);
        }
        Ok::<_, String>(all)
    })?;
    differ(&answers, unique)?;
    let has = |clock: &str| unique.names.iter().any(|name| name == clock);
    if has(MONOTONIC) {
        monotonic(&answers)?;
    }
    if !has(REALTIME) {
        return Ok(());
    }
    let mut tried = realtime(started, unique);
    for _ in 1..CLOCK_TRIES {
        if tried.is_ok() {
            break;
        }
        tried = realtime(started, unique);
    }
    tried
}

/// The answers of one thread.
fn several(started: &Started, unique: &Unique) -> Result<Vec<Answer>, String> {
    let each = (0..ANSWERS / THREADS).map(|_| answer(started, unique));
    each.collect()
}

fn answer(started: &Started, unique: &Unique) -> Result<Answer, String> {
    let begun = Instant::now();
    let body = started.call_with("/unique", &unique.argument)?.body;
    let ended = Instant::now();
    let lines = body.lines().filter_map(|line| line.split_once([' ', '=']));
    Ok(Answer {
        values: lines
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        begun,
        ended,
    })
}

/// All that must be there is there, and no value comes twice.
fn differ(answers: &[Answer], unique: &Unique) -> Result<(), String> {
    let given = answers.iter().flat_map(|answer| answer.values.keys());
    let names: HashSet<_> = given.chain(&unique.names).collect();
    for name in names {
        if name == MONOTONIC || name == REALTIME {
            continue;
        }
        let values = answers.iter().filter_map(|answer| answer.values.get(name));
        let different = values.collect::<HashSet<_>>().len();
        if different != answers.len() {
            let count = answers.len();
            return Err(format!("{name}: {different} values in {count} requests"));
        }
    }
    Ok(())
}

fn nanoseconds(answer: &Answer, name: &str) -> Result<u64, String> {
    let value = answer.values.get(name).map_or("", String::as_str);
    value.parse().map_err(|_| format!("{name} is {value:?}"))
}

/// A request that began after another one had ended finds a later time, whichever fork it has.
fn monotonic(answers: &[Answer]) -> Result<(), String> {
    for earlier in answers {
        let before = nanoseconds(earlier, MONOTONIC)?;
        for later in answers.iter().filter(|it| it.begun >= earlier.ended) {
            let now = nanoseconds(later, MONOTONIC)?;
            if now < before {
                return Err(format!("monotonic time went back from {before} to {now}"));
            }
        }
    }
    Ok(())
}

fn realtime(started: &Started, unique: &Unique) -> Result<(), String> {
    let host = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    };
    let before = host().saturating_sub(CLOCK);
    let guest = Duration::from_nanos(nanoseconds(&answer(started, unique)?, REALTIME)?);
    let after = host() + CLOCK;
    if guest < before || guest > after {
        return Err(format!(
            "its clock says {guest:?}; it is {before:?} to {after:?}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers one after the other.
    fn answers(name: &str, values: &[&str]) -> Vec<Answer> {
        let start = Instant::now();
        let at = |number: u64| start + Duration::from_secs(number);
        (0..)
            .zip(values)
            .map(|(number, value)| Answer {
                values: HashMap::from([(name.to_owned(), (*value).to_owned())]),
                begun: at(2 * number),
                ended: at(2 * number + 1),
            })
            .collect()
    }

    fn wanted(names: &[&str]) -> Unique {
        Unique {
            argument: String::new(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn what_comes_twice_or_not_at_all_is_found() {
        let unique = wanted(&["uuid"]);
        assert!(differ(&answers("uuid", &["a", "b", "c"]), &unique).is_ok());
        assert!(differ(&answers("uuid", &["a", "b", "a"]), &unique).is_err());
        assert!(differ(&answers("other", &["a", "b", "c"]), &unique).is_err());
        assert!(differ(&answers("other", &["a", "a", "c"]), &wanted(&[])).is_err());
        assert!(differ(&answers(REALTIME, &["1", "1"]), &wanted(&[REALTIME])).is_ok());
    }

    #[test]
    fn time_that_goes_back_is_found() {
        assert!(monotonic(&answers(MONOTONIC, &["1", "1", "3"])).is_ok());
        assert!(monotonic(&answers(MONOTONIC, &["1", "3", "2"])).is_err());
        assert!(monotonic(&answers("uuid", &["1"])).is_err());
        // Of two at the same time, each may be the first.
        let mut two = answers(MONOTONIC, &["3", "2"]);
        two[1].begun = two[0].begun;
        assert!(monotonic(&two).is_ok());
    }
}
