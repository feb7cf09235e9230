//! Running the program with rules, to see whether they are enough, and which are needed.

use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use tinykvm_runtime::{Journal, Verdict};

use crate::args::Learn;
use crate::call::Prepared;
use crate::console::Error;
use crate::rules::{Rules, Single};
use crate::target::Configured;

/// What came of a start and some requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    start: Verdict,
    answers: Vec<Answer>,
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    verdict: Verdict,
    status: u16,
    body: Vec<u8>,
}

impl Outcome {
    /// The first verdict that is a failure.
    pub(super) fn worst(&self) -> Verdict {
        let verdicts = self.answers.iter().map(|answer| answer.verdict);
        let mut verdicts = std::iter::once(self.start).chain(verdicts);
        verdicts
            .find(|verdict| *verdict != Verdict::Ok)
            .unwrap_or(Verdict::Ok)
    }

    /// True if the program did the same: answered with the same statuses and, unless they differ
    /// by themselves, bodies.
    fn is_like(&self, other: &Self, bodies: bool) -> bool {
        let same = |one: &Answer, two: &Answer| {
            (one.verdict, one.status) == (two.verdict, two.status)
                && (!bodies || one.body == two.body)
        };
        let mut pairs = self.answers.iter().zip(&other.answers);
        self.start == other.start
            && self.answers.len() == other.answers.len()
            && pairs.all(|(one, two)| same(one, two))
    }
}

/// Starts the program and makes the requests.
pub(super) fn run(configured: &Configured, requests: &[Prepared], aloud: bool) -> Outcome {
    let program = &configured.program;
    let say = |line: &str| {
        if aloud {
            say!("{line}");
        }
    };
    if let Err((verdict, reason)) = program.wait_until_ready() {
        say(&format!("tinykvm: {verdict}: {reason}"));
        return Outcome {
            start: verdict,
            answers: Vec::new(),
        };
    }
    let answers = requests.iter().map(|request| {
        let mut transaction = request.transaction();
        let response = program.call(&request.request(), &mut transaction);
        transaction.errors.iter().for_each(|line| say(line));
        say(&format!(
            "tinykvm: answered with status {}",
            response.status
        ));
        Answer {
            verdict: response.verdict,
            status: response.status,
            body: response.body.into_bytes(),
        }
    });
    Outcome {
        start: Verdict::Ok,
        answers: answers.collect(),
    }
}

/// Says nothing.
#[derive(Debug)]
struct Silent;

impl Journal for Silent {
    fn log(&self, _: &str) {}

    fn error(&self, _: &str) {}
}

/// Where rules are tried.
pub(super) struct Bench<'a> {
    pub(super) options: &'a Learn,
    pub(super) requests: &'a [Prepared],
}

impl Bench<'_> {
    /// Takes what is not needed out of rules with which the program does as in `audit`, and
    /// returns it.
    pub(super) fn minimize(&self, rules: &mut Rules, audit: &Outcome) -> Result<Rules, Error> {
        let mut spare = Rules::default();
        let mut base = self.outcome(rules)?;
        if rules.libraries && !base.is_like(audit, false) {
            // Those of the host stand in the way of what --config has under their names.
            rules.libraries = false;
            base = self.outcome(rules)?;
            rules.libraries = !base.is_like(audit, false);
        }
        if !base.is_like(audit, false) {
            say!(
                "tinykvm: with these rules alone it does not do the same ({}): something can't be \
                 allowed, or differs from run to run",
                base.worst()
            );
            return Ok(spare);
        }
        let bodies = base.is_like(&self.outcome(rules)?, true);
        for group in Single::groups(rules) {
            self.spare(rules, &mut spare, &group, &|outcome| {
                outcome.is_like(&base, bodies)
            })?;
        }
        rules.sort();
        spare.sort();
        Ok(spare)
    }

    /// Takes of a group what is not needed: all of it, or else of its halves.
    fn spare(
        &self,
        rules: &mut Rules,
        spare: &mut Rules,
        group: &[Single],
        is_right: &dyn Fn(&Outcome) -> bool,
    ) -> Result<(), Error> {
        for single in group {
            rules.take(single);
        }
        if is_right(&self.outcome(rules)?) {
            group.iter().cloned().for_each(|single| spare.add(single));
            return Ok(());
        }
        for single in group {
            rules.add(single.clone());
        }
        if group.len() > 1 {
            let (one, other) = group.split_at(group.len() / 2);
            self.spare(rules, spare, one, is_right)?;
            self.spare(rules, spare, other, is_right)?;
        }
        Ok(())
    }

    /// What comes of the program with these rules.
    fn outcome(&self, rules: &Rules) -> Result<Outcome, Error> {
        let configured = self
            .options
            .target
            .configure_with("{}", |_, _| Arc::new(Silent))?;
        configured.set_main_arguments(&self.options.main.arguments)?;
        let scratch = Scratch::new(rules)?;
        let json = rules.with_temporary(scratch.path()).json().to_string();
        configured
            .programs
            .configure(configured.program.name(), &json)?;
        let outcome = run(&configured, self.requests, false);
        configured.programs.close();
        Ok(outcome)
    }
}

/// How many names for it are tried.
const MOST_TRIES: u32 = 100;

/// A directory for files with random names, while rules are tried.
struct Scratch(Option<std::path::PathBuf>);

impl Scratch {
    fn new(rules: &Rules) -> Result<Self, Error> {
        if rules.temporary().is_none() {
            return Ok(Self(None));
        }
        // Everybody can make directories there: this one is made here, and for this user alone.
        for number in 0..MOST_TRIES {
            let name = format!("tinykvm-learn-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(Some(path))),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(Error::io(path.display().to_string(), source)),
            }
        }
        let what = "no directory for temporary files can be made: all names are taken";
        Err(Error::Argument(what.to_owned()))
    }

    fn path(&self) -> Option<&str> {
        self.0.as_ref()?.to_str()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // What is left is in a directory for temporary files.
            let _ = std::fs::remove_dir_all(path);
        }
    }
}
