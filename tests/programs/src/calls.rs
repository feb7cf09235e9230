//! A program started, called, checked and measured.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tinykvm_runtime::{CallRequest, Journal, PlainTransaction, Programs, Response, Verdict};

use crate::native::Native;
use crate::{Program, native, unique};

/// How many requests are made of each program.
pub(crate) const REQUESTS: usize = 100;
/// After each of so many there is one for the program's count of requests.
const COUNT_EVERY: usize = 10;

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// From the start to the frozen program, in milliseconds.
    pub freeze_ms: u64,
    /// Pages that a reset copies back.
    pub dirty_pages: u64,
    /// How often a request leaves the virtual machine: system calls that are answered in the guest
    /// do not count.
    pub exits: u64,
    /// A call and its reset in microseconds.
    pub warm_call_us: f64,
    /// The same work natively.
    pub native_us: f64,
}

/// Lines of the log that belong to no request.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Lines {
    fn all(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.clone()
    }
}

impl Journal for Lines {
    fn log(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line.to_owned());
    }

    fn error(&self, line: &str) {
        self.log(line);
    }
}

/// One call that was answered.
pub(crate) struct Reply {
    pub(crate) body: String,
    time: Duration,
    pages: u64,
    exits: u64,
}

/// A program that is started.
pub(crate) struct Started {
    programs: Programs,
    lines: Arc<Lines>,
    name: String,
}

impl Started {
    fn new(program: &Program) -> Result<Self, String> {
        let lines = Arc::new(Lines::default());
        let programs = Programs::with_journal(lines.clone());
        programs
            .configure(&program.name, &program.config.to_string())
            .map_err(|error| error.to_string())?;
        Ok(Self {
            programs,
            lines,
            name: program.name.clone(),
        })
    }

    /// Makes a request without an argument.
    fn call(&self, url: &str) -> Result<Reply, String> {
        self.call_with(url, "")
    }

    pub(crate) fn call_with(&self, url: &str, argument: &str) -> Result<Reply, String> {
        let program = self.programs.get(&self.name).ok_or("it is not there")?;
        let mut transaction = PlainTransaction::backend();
        let request = CallRequest {
            url: url.as_bytes(),
            argument: argument.as_bytes(),
            method: b"GET",
            ..CallRequest::default()
        };
        let begun = Instant::now();
        let response = program.call(&request, &mut transaction);
        let Response {
            verdict,
            status,
            body,
            ..
        } = response;
        let body = String::from_utf8_lossy(&body.into_bytes()).into_owned();
        let time = begun.elapsed();
        if verdict != Verdict::Ok || status != 200 {
            let mut said = self.lines.all();
            if verdict != Verdict::NotLoaded {
                said = transaction.logged;
                said.extend(transaction.errors);
            }
            return Err(format!(
                "{url}: {verdict}, status {status}, {body:?}: {}",
                last(&said)
            ));
        }
        let pages = figure(&transaction.logged, "pages=").unwrap_or(0);
        let exits = figure(&transaction.logged, "runs=").unwrap_or(0);
        Ok(Reply {
            body,
            time,
            pages,
            exits,
        })
    }

    /// An error that nobody catches is answered with status 500, and told to the log as text without
    /// control characters: no colours.
    fn complains(&self, url: &str, complaint: &str) -> Result<(), String> {
        let program = self.programs.get(&self.name).ok_or("it is not there")?;
        let mut transaction = PlainTransaction::backend();
        let request = CallRequest {
            url: url.as_bytes(),
            method: b"GET",
            ..CallRequest::default()
        };
        let Response {
            verdict, status, ..
        } = program.call(&request, &mut transaction);
        let said = last(&transaction.logged);
        if verdict != Verdict::Ok || status != 500 || !said.contains(complaint) {
            return Err(format!(
                "{url}: {verdict}, status {status}, without {complaint:?}: {said}"
            ));
        }
        if said.contains(['\x1b', '\u{fffd}']) || said.contains("x1b") || said.contains("u{1b}") {
            return Err(format!("{url}: coloured: {said:?}"));
        }
        Ok(())
    }

    /// How long the start took.
    fn freeze_ms(&self) -> Result<u64, String> {
        figure(&self.lines.all(), "ready after ").ok_or_else(|| "no time of the start".to_owned())
    }
}

/// The end of a log, for a message.
fn last(lines: &[String]) -> String {
    let from = lines.len().saturating_sub(40);
    lines.get(from..).unwrap_or_default().join("; ")
}

/// The number behind `name` in the last line that has it.
fn figure(lines: &[String], name: &str) -> Option<u64> {
    let (_, rest) = lines.iter().rev().find_map(|line| line.split_once(name))?;
    let end = rest.find(|digit: char| !digit.is_ascii_digit());
    rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
}

/// Starts a program that is prepared, calls it, checks what it answers against a native run. One
/// that can't run has no figures.
///
/// # Errors
/// With what is wrong about it.
pub fn run(program: &Program) -> Result<Option<Figures>, String> {
    match program.missing {
        true => fails(program).map(|()| None),
        false => works(program).map(Some),
    }
}

/// A program fails as its description says.
fn fails(program: &Program) -> Result<(), String> {
    let started = Started::new(program)?;
    let outcome = started.call_with("/0", &program.argument);
    started.programs.close();
    match outcome {
        Ok(reply) => Err(format!(
            "it is said not to run, and answers {:?}",
            reply.body
        )),
        Err(reason) if !program.error.is_empty() && reason.contains(&program.error) => Ok(()),
        Err(reason) => Err(format!("it fails without {:?}: {reason}", program.error)),
    }
}

fn works(program: &Program) -> Result<Figures, String> {
    let native = native::run(program)?;
    let started = Started::new(program)?;
    let (mut times, mut pages, mut exits) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..REQUESTS {
        let argument = program.argument.replace("${number}", &number.to_string());
        let reply = started.call_with(&format!("/{number}"), &argument)?;
        check(program, &native, number, &reply.body)?;
        times.push(reply.time);
        pages.push(reply.pages);
        exits.push(reply.exits);
        if number % COUNT_EVERY == 0 && !program.only_answers {
            let count = started.call("/count")?.body;
            if count != "1" {
                return Err(format!(
                    "it is not reset: its count of requests is {count:?}"
                ));
            }
        }
    }
    if !program.unique.names.is_empty() {
        unique::check(&started, &program.unique)?;
    }
    for (url, complaint) in [
        ("/fail", &program.complaint),
        ("/nothing", &program.nothing),
    ] {
        if !complaint.is_empty() {
            started.complains(url, complaint)?;
        }
    }
    let freeze_ms = started.freeze_ms()?;
    started.programs.close();
    Ok(Figures {
        freeze_ms,
        dirty_pages: median(&mut pages),
        exits: median(&mut exits),
        warm_call_us: median(&mut times).as_secs_f64() * 1e6,
        native_us: native.time_us,
    })
}

fn check(program: &Program, native: &Native, number: usize, body: &str) -> Result<(), String> {
    if let Some(answer) = program.answer.as_ref().filter(|_| number == 0)
        && body != answer
    {
        return Err(format!("the first answer is {body:?}, not {answer:?}"));
    }
    match native.answers.get(number) {
        Some(answer) if answer == body => Ok(()),
        Some(answer) => Err(format!("request {number}: {body:?}, natively {answer:?}")),
        None => Err(format!("natively there is no answer {number}")),
    }
}

fn median<T: Ord + Copy + Default>(values: &mut [T]) -> T {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
