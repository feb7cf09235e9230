//! What must differ between requests, and clocks.
//!
//! The answer to `/unique` has a line `name value` for each of these, and may have more of what must
//! differ.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::calls::Started;

/// How many answers are compared.
const ANSWERS: usize = 64;
/// In how many threads they are asked for, so that there are several forks.
const THREADS: usize = 4;
/// How far a clock may be off.
const CLOCK: Duration = Duration::from_millis(1);
/// How often the clock is looked at: the host may be busy once.
const CLOCK_TRIES: usize = 5;

/// Values by their names.
type Values = HashMap<String, String>;

/// Checks a started program.
pub(crate) fn check(started: &Started) -> Result<(), String> {
    let answers = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| several(started)))
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(
                thread
                    .join()
                    .map_err(|_| "a thread panicked".to_owned())??,
            );
        }
        Ok::<_, String>(all)
    })?;
    let clocks = ["monotonic", "realtime"];
    let given = answers.first().into_iter().flat_map(HashMap::keys);
    let random = given
        .map(String::as_str)
        .filter(|name| !clocks.contains(name));
    for name in random.chain(["urandom", "uuid", "random"]) {
        let values: HashSet<_> = answers
            .iter()
            .filter_map(|answer| answer.get(name))
            .collect();
        if values.len() != ANSWERS {
            return Err(format!(
                "{name}: {} values in {ANSWERS} requests",
                values.len()
            ));
        }
    }
    monotonic(&answers)?;
    let mut tried = realtime(started);
    for _ in 1..CLOCK_TRIES {
        if tried.is_ok() {
            break;
        }
        tried = realtime(started);
    }
    tried
}

/// The answers of one thread.
fn several(started: &Started) -> Result<Vec<Values>, String> {
    (0..ANSWERS / THREADS).map(|_| values(started)).collect()
}

fn values(started: &Started) -> Result<Values, String> {
    let body = started.call("/unique")?.body;
    let lines = body.lines().filter_map(|line| line.split_once(' '));
    Ok(lines
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

fn nanoseconds(values: &Values, name: &str) -> Result<u64, String> {
    let value = values.get(name).map(String::as_str).unwrap_or_default();
    value.parse().map_err(|_| format!("{name} is {value:?}"))
}

/// In each thread, time must not go back from request to request.
fn monotonic(answers: &[Values]) -> Result<(), String> {
    for of_thread in answers.chunks(ANSWERS / THREADS) {
        let mut before = 0;
        for values in of_thread {
            let now = nanoseconds(values, "monotonic")?;
            if now < before {
                return Err(format!("monotonic time went back from {before} to {now}"));
            }
            before = now;
        }
    }
    Ok(())
}

fn realtime(started: &Started) -> Result<(), String> {
    let host = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    };
    let before = host().saturating_sub(CLOCK);
    let guest = Duration::from_nanos(nanoseconds(&values(started)?, "realtime")?);
    let after = host() + CLOCK;
    if guest < before || guest > after {
        return Err(format!(
            "its clock says {guest:?}; it is {before:?} to {after:?}"
        ));
    }
    Ok(())
}
