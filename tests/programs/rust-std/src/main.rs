//! Rust's standard library: threads that wait frozen, threads of a request, channels, locks,
//! panics that are caught, hash maps, files of its own process.

#[path = "../../common/program.rs"]
mod program;

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::thread;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A thread that is started before the freeze and answers in requests.
struct Worker {
    work: Sender<u32>,
    results: Receiver<u64>,
}

impl Worker {
    fn start() -> Self {
        let (work, incoming) = channel::<u32>();
        let (outgoing, results) = channel();
        thread::spawn(move || {
            for number in incoming {
                let collatz = std::iter::successors(Some(u64::from(number) + 1), |&n| match n {
                    1 => None,
                    n if n % 2 == 0 => Some(n / 2),
                    n => Some(3 * n + 1),
                });
                outgoing.send(collatz.sum()).expect("main() listens");
            }
        });
        Self { work, results }
    }

    fn ask(&self, number: u32) -> u64 {
        self.work.send(number).expect("the worker listens");
        self.results.recv().expect("the worker answers")
    }
}

/// Threads that borrow, and a lock that they share.
fn words(number: u32) -> BTreeMap<char, usize> {
    let text = format!("{number} quick brown foxes, {} lazy dogs", number * 3);
    let counts = RwLock::new(HashMap::new());
    thread::scope(|scope| {
        for half in [&text[..text.len() / 2], &text[text.len() / 2..]] {
            let counts = &counts;
            scope.spawn(move || {
                for letter in half.chars() {
                    *counts.write().expect("no panic").entry(letter).or_insert(0) += 1;
                }
            });
        }
    });
    counts.into_inner().expect("no panic").into_iter().collect()
}

/// A condition that another thread brings about, and one that never comes.
fn conditions() -> (bool, bool) {
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let other = Arc::clone(&pair);
    let thread = thread::spawn(move || {
        *other.0.lock().expect("no panic") = true;
        other.1.notify_all();
    });
    let (lock, condition) = &*pair;
    let ready = lock.lock().expect("no panic");
    let ready = *condition
        .wait_while(ready, |ready| !*ready)
        .expect("no panic");
    thread.join().expect("no panic");
    let lock = Mutex::new(());
    let guard = lock.lock().expect("no panic");
    let short = Duration::from_micros(50);
    let (_guard, timeout) = condition.wait_timeout(guard, short).expect("no panic");
    (ready, timeout.timed_out())
}

fn panics(number: u32) -> String {
    let result = catch_unwind(AssertUnwindSafe(|| {
        assert!(number.is_multiple_of(2), "odd: {number}");
        number
    }));
    match result {
        Ok(number) => number.to_string(),
        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let worker = Worker::start();
    program::serve(
        move |number| {
            format!(
                "{} {:?} {:?} {}",
                worker.ask(number),
                words(number),
                conditions(),
                panics(number)
            )
        },
        || uuid::Uuid::new_v4().to_string(),
        // The seed of `rand::rng()` was taken before the freeze; this one is taken now.
        || SmallRng::from_os_rng().random::<u64>().to_string(),
    );
}
