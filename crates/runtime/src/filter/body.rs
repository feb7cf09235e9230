//! A body on its way through a program, and what becomes of it when that fails.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::figures::Figures;
use super::headers::{Adjusted, Recorder};
use super::session::{Session, Want};
use super::{Begun, FilterRequest, Part, Sent, Upstream};
use crate::call::report;
use crate::config::OnFailure;
use crate::counters::{add, counters};
use crate::failure::Failure;
use crate::instance::{Fate, HoldError, Instance};
use crate::text::own_line;
use crate::transaction::{Log, Transaction};
use crate::verdict::Verdict;

/// A filter may write so many bytes for each that it was given, and `max_body` more: zeros cost a
/// program nothing, but whoever stores them. The most that deflate makes of a byte is 1032.
const MOST_OUTPUT: u64 = 1032;

/// A body on its way through a program.
pub struct BodyFilter {
    instance: Arc<Instance>,
    state: State,
    /// All that was taken in, as long as the original may still go on instead.
    replay: Option<Vec<u8>>,
    /// The header fields that went out with the body describe the program's output only.
    headers_bind: bool,
    bounds: Bounds,
    figures: Figures,
}

/// How much output there may be.
struct Bounds {
    /// What the header fields announce.
    announced: Option<u64>,
    /// What it may be beside a multiple of the input.
    spare: u64,
}

impl Bounds {
    /// Fails if output is more, or in the end less, than it may be when `more` bytes were taken.
    fn check(&self, figures: &Figures, more: u64, at_end: bool) -> Result<(), Failure> {
        let output = figures.output.saturating_add(more);
        let input = figures.input;
        let limit = input.saturating_mul(MOST_OUTPUT).saturating_add(self.spare);
        if output > limit {
            return Err(Failure::FilterTooMuch {
                input,
                output,
                limit,
            });
        }
        match self.announced {
            Some(announced) if output > announced || (at_end && output < announced) => {
                let more = output > announced;
                Err(Failure::FilterLength { announced, more })
            }
            _ => Ok(()),
        }
    }
}

enum State {
    Running(Box<Session>),
    /// The original body, from this byte of the replay on.
    Original(usize),
    Finished,
    Failed(String),
}

/// What comes next.
enum Next {
    Drain,
    Input,
    Original,
    Done,
}

impl BodyFilter {
    pub(super) fn begin(
        instance: &Arc<Instance>,
        request: &FilterRequest<'_>,
        asked: Instant,
        transaction: &mut dyn Transaction,
    ) -> Result<Begun, HoldError> {
        let held = instance.hold_for_filter(request.delivery)?;
        let figures = Figures::new(request.delivery, asked.elapsed());
        let session = Session::new(instance, held);
        let settings = &instance.settings;
        let original = settings.on_failure == OnFailure::Original;
        let mut filter = Self {
            instance: Arc::clone(instance),
            state: State::Running(Box::new(session)),
            replay: original.then(Vec::new),
            headers_bind: false,
            bounds: Bounds {
                announced: None,
                spare: settings.max_body,
            },
            figures,
        };
        let mut recorder = Recorder::new(transaction);
        let State::Running(session) = &mut filter.state else {
            return Ok(Begun::Pass);
        };
        match session.begin(request, &mut recorder) {
            Ok(false) => {
                filter.finish(transaction);
                Ok(Begun::Pass)
            }
            Ok(true) => {
                let Adjusted { changed, announced } = recorder.adjust();
                filter.headers_bind = changed && request.delivery;
                filter.bounds.announced = announced;
                Ok(Begun::Filter(filter))
            }
            Err(failure) => {
                filter.fail(&failure, transaction);
                Ok(match filter.state {
                    State::Failed(reason) => Begun::Failed(reason),
                    _ => Begun::Original,
                })
            }
        }
    }

    /// True if the program failed and the body is the original one: the header fields are to be,
    /// too.
    #[must_use]
    pub fn is_original(&self) -> bool {
        matches!(self.state, State::Original(_))
    }

    /// The length of the output that the program announced in Content-Length.
    #[must_use]
    pub fn announced_length(&self) -> Option<u64> {
        self.bounds.announced
    }

    /// The length of the output, if all of it is there and none of it was taken yet.
    #[must_use]
    pub fn known_length(&self) -> Option<u64> {
        match &self.state {
            State::Running(session) if self.figures.output == 0 => session.final_length(),
            _ => None,
        }
    }

    /// Reads input until there is some output, or the end of it, so that a failure up to then can
    /// still change everything. After it the header fields are settled: it is too late for the
    /// original.
    ///
    /// # Errors
    /// Why there is no body. It is logged already.
    pub fn prime(&mut self, upstream: &mut dyn Upstream, log: &mut dyn Log) -> Result<(), String> {
        while let Next::Input = self.next(log)? {
            self.take_in(upstream, log)?;
        }
        if !self.is_original() {
            self.replay = None;
        }
        Ok(())
    }

    /// Fills the beginning of `out`.
    ///
    /// # Errors
    /// Why the body can't go on. It is logged already.
    pub fn pull(
        &mut self,
        out: &mut [u8],
        upstream: &mut dyn Upstream,
        log: &mut dyn Log,
    ) -> Result<Part, String> {
        let mut done = 0;
        loop {
            match self.next(log)? {
                Next::Drain => {
                    done += self.copy_out(&mut out[done..], log);
                    if done == out.len() {
                        return Ok(Part::more(done));
                    }
                }
                // What there is goes on before anybody waits.
                Next::Input | Next::Original if done > 0 => return Ok(Part::more(done)),
                Next::Input => self.take_in(upstream, log)?,
                Next::Original => return self.pull_original(out, upstream),
                Next::Done => return Ok(Part::last(done)),
            }
        }
    }

    /// Takes the next part of the body; `flush`: output should not wait for the next, `end`: there
    /// is no next. Output goes to `sink`.
    ///
    /// # Errors
    /// Why the body can't go on. It is logged already.
    pub fn push(
        &mut self,
        bytes: &[u8],
        flush: bool,
        end: bool,
        sink: &mut dyn FnMut(&[u8]) -> Sent,
        log: &mut dyn Log,
    ) -> Result<(), String> {
        let mut rest = bytes;
        loop {
            match self.next(log)? {
                Next::Drain => self.pour_out(sink, log)?,
                Next::Original => return self.push_original(rest, sink),
                Next::Done => return Ok(()),
                Next::Input if rest.is_empty() => {
                    let State::Running(session) = &mut self.state else {
                        return Ok(());
                    };
                    if end {
                        session.end_input();
                    } else if !(flush && session.is_filled()) {
                        return Ok(());
                    } else {
                        self.submit(log)?;
                    }
                }
                Next::Input => rest = self.put(rest, log)?,
            }
        }
    }

    /// Lets the program's functions run as far as they go.
    fn next(&mut self, log: &mut dyn Log) -> Result<Next, String> {
        loop {
            let result = match &mut self.state {
                State::Running(session) => session.advance(&mut self.figures, log),
                State::Original(_) => return Ok(Next::Original),
                State::Finished => return Ok(Next::Done),
                State::Failed(reason) => return Err(reason.clone()),
            };
            match result {
                Ok(Want::Drain) => match self.check_output() {
                    Ok(()) => return Ok(Next::Drain),
                    Err(failure) => self.fail(&failure, log),
                },
                Ok(Want::Input) => return Ok(Next::Input),
                Ok(Want::Nothing) => match self.bounds.check(&self.figures, 0, true) {
                    Ok(()) => self.finish(log),
                    Err(failure) => self.fail(&failure, log),
                },
                Err(failure) => self.fail(&failure, log),
            }
        }
    }

    /// Fails if the output that is there is more than there may be: before any of it goes on.
    fn check_output(&self) -> Result<(), Failure> {
        match &self.state {
            State::Running(session) => {
                let length = session.output_length();
                self.bounds.check(&self.figures, length, false)
            }
            _ => Ok(()),
        }
    }

    /// Reads one part from upstream, and gives the program what has gathered.
    fn take_in(&mut self, upstream: &mut dyn Upstream, log: &mut dyn Log) -> Result<(), String> {
        let State::Running(session) = &mut self.state else {
            return Ok(());
        };
        let replay = &mut self.replay;
        let limit = self.instance.settings.max_body;
        let filled = session.fill(&mut |room| {
            let part = upstream.read(room)?;
            remember(replay, limit, &room[..part.length]);
            Some(part)
        });
        match filled {
            Ok(Some(part)) => {
                self.figures.input += part.length as u64;
                if part.last {
                    session.end_input();
                } else if session.is_full() || (session.is_filled() && !upstream.is_ready()) {
                    self.submit(log)?;
                }
                Ok(())
            }
            Ok(None) => Err(self.give_up("the body broke off", log)),
            Err(failure) => {
                self.fail(&failure, log);
                Ok(())
            }
        }
    }

    /// Copies what fits of `bytes`; returns the rest.
    fn put<'b>(&mut self, bytes: &'b [u8], log: &mut dyn Log) -> Result<&'b [u8], String> {
        let State::Running(session) = &mut self.state else {
            return Ok(bytes);
        };
        match session.put(bytes) {
            Ok(length) => {
                let (now, later) = bytes.split_at(length);
                let limit = self.instance.settings.max_body;
                remember(&mut self.replay, limit, now);
                self.figures.input += length as u64;
                if session.is_full() {
                    self.submit(log)?;
                }
                Ok(later)
            }
            Err(failure) => {
                self.fail(&failure, log);
                match &self.state {
                    State::Failed(reason) => Err(reason.clone()),
                    _ => Ok(bytes),
                }
            }
        }
    }

    fn submit(&mut self, log: &mut dyn Log) -> Result<(), String> {
        if let State::Running(session) = &mut self.state
            && let Err(failure) = session.chunk(&mut self.figures, log)
        {
            self.fail(&failure, log);
        }
        match &self.state {
            State::Failed(reason) => Err(reason.clone()),
            _ => Ok(()),
        }
    }

    fn copy_out(&mut self, out: &mut [u8], log: &mut dyn Log) -> usize {
        let State::Running(session) = &mut self.state else {
            return 0;
        };
        match session.output() {
            Ok(piece) => {
                let length = piece.len().min(out.len());
                out[..length].copy_from_slice(&piece[..length]);
                self.took(length);
                length
            }
            Err(failure) => {
                self.fail(&failure, log);
                0
            }
        }
    }

    fn pour_out(
        &mut self,
        sink: &mut dyn FnMut(&[u8]) -> Sent,
        log: &mut dyn Log,
    ) -> Result<(), String> {
        let State::Running(session) = &mut self.state else {
            return Ok(());
        };
        let piece = match session.output() {
            Ok(piece) => piece,
            Err(failure) => {
                self.fail(&failure, log);
                return Ok(());
            }
        };
        let length = piece.len();
        match sink(piece) {
            Sent::More => {
                self.took(length);
                Ok(())
            }
            Sent::Enough => {
                self.took(length);
                self.end(Verdict::Ok, false, Fate::Rebuilt, log);
                self.state = State::Finished;
                Ok(())
            }
            Sent::Failed => Err(self.give_up("the client is gone", log)),
        }
    }

    /// So much output was taken: there is no way back.
    fn took(&mut self, length: usize) {
        if let State::Running(session) = &mut self.state {
            session.consume(length as u64);
        }
        self.figures.output += length as u64;
        self.replay = None;
    }

    fn pull_original(
        &mut self,
        out: &mut [u8],
        upstream: &mut dyn Upstream,
    ) -> Result<Part, String> {
        let State::Original(at) = &mut self.state else {
            return Ok(Part::last(0));
        };
        let kept = self.replay.as_deref().unwrap_or_default();
        let rest = kept.get(*at..).unwrap_or_default();
        if !rest.is_empty() {
            let length = rest.len().min(out.len());
            out[..length].copy_from_slice(&rest[..length]);
            *at += length;
            return Ok(Part::more(length));
        }
        self.replay = None;
        if self.figures.input_ended {
            return Ok(Part::last(0));
        }
        let read = upstream.read(out);
        read.ok_or_else(|| own_line(&self.instance.name, "the body broke off"))
    }

    fn push_original(
        &mut self,
        rest: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> Sent,
    ) -> Result<(), String> {
        let kept = self.replay.take().unwrap_or_default();
        let mut parts = [kept.as_slice(), rest]
            .into_iter()
            .filter(|part| !part.is_empty());
        let sent = parts.try_for_each(|part| match sink(part) {
            Sent::More => Ok(()),
            other => Err(other),
        });
        match sent {
            Err(Sent::Failed) => Err(own_line(&self.instance.name, "the client is gone")),
            _ => Ok(()),
        }
    }

    /// All output was taken.
    fn finish(&mut self, log: &mut dyn Log) {
        self.end(Verdict::Ok, false, Fate::Configured, log);
        self.state = State::Finished;
    }

    fn fail(&mut self, failure: &Failure, log: &mut dyn Log) {
        let name = &self.instance.name;
        if let State::Running(session) = &mut self.state {
            session.flush(log);
            self.figures.input_ended = session.has_ended();
            match session.fork() {
                Some(fork) => report::failure(log, name, failure, fork, self.instance.image()),
                None => report::error(log, name, &failure.to_string()),
            }
        }
        let original = self.replay.is_some() && !self.headers_bind;
        if self.instance.settings.on_failure == OnFailure::Original && !original {
            let why = "the original body can't be delivered any more";
            report::error(log, name, why);
        }
        self.end(failure.verdict(), original, Fate::Rebuilt, log);
        self.state = match original {
            true => State::Original(0),
            false => {
                self.replay = None;
                State::Failed(own_line(&self.instance.name, &failure.to_string()))
            }
        };
    }

    /// The body ends for a reason that is none of the program's.
    fn give_up(&mut self, reason: &str, log: &mut dyn Log) -> String {
        self.end(Verdict::Cancelled, false, Fate::Rebuilt, log);
        let reason = own_line(&self.instance.name, reason);
        self.state = State::Failed(reason.clone());
        reason
    }

    /// There is no body: only the header fields are of interest.
    pub fn skip(mut self, log: &mut dyn Log) {
        self.finish(log);
    }

    /// Nobody wants the rest of the body.
    pub fn close(&mut self, log: &mut dyn Log) {
        match self.state {
            // Of an empty body nobody sees the end, where it is delivered.
            State::Running(_) if self.figures.input == 0 => self.finish(log),
            State::Running(_) => drop(self.give_up("the body was given up", log)),
            _ => {}
        }
    }

    /// Gives the fork back and says how it went.
    fn end(&mut self, verdict: Verdict, original: bool, fate: Fate, log: &mut dyn Log) {
        if let State::Running(mut session) = std::mem::replace(&mut self.state, State::Finished) {
            session.flush(log);
            session.release(fate, &mut self.figures);
            let name = &self.instance.name;
            self.figures.finish(name, verdict, original, log);
        }
        if original {
            add(&counters().filter_originals, 1);
        }
    }
}

/// Keeps input as long as the original may be wanted, and it is not too much to be kept.
fn remember(replay: &mut Option<Vec<u8>>, limit: u64, bytes: &[u8]) {
    if let Some(kept) = replay {
        if (kept.len() + bytes.len()) as u64 > limit {
            *replay = None;
        } else {
            kept.extend_from_slice(bytes);
        }
    }
}

impl fmt::Debug for BodyFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Running(_) => "running",
            State::Original(_) => "original",
            State::Finished => "finished",
            State::Failed(_) => "failed",
        };
        f.debug_struct("BodyFilter")
            .field("program", &self.instance.name)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
