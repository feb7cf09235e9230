//! The command line.

use std::time::Duration;

use crate::policy::Policy;

/// When it is enough.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Calls(u64),
    Time(Duration),
}

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) until: Until,
    /// From which the seeds of the sequences are made.
    pub(crate) start: u64,
    /// The only sequence to run.
    pub(crate) seed: Option<u64>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) verbose: bool,
    pub(crate) corpus: Vec<u64>,
}

impl Options {
    pub(crate) fn from_arguments() -> Result<Self, String> {
        let mut options = Self {
            until: Until::Calls(10_000_000),
            start: 1,
            seed: None,
            policies: vec![Policy::Deny, Policy::Allow],
            verbose: false,
            corpus: corpus()?,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--calls" => options.until = Until::Calls(number(&value()?)?),
                "--seconds" => {
                    options.until = Until::Time(Duration::from_secs(number(&value()?)?));
                }
                "--start" => options.start = number(&value()?)?,
                "--seed" => options.seed = Some(number(&value()?)?),
                "--policy" => options.policies = vec![value()?.parse()?],
                "--verbose" => options.verbose = true,
                _ => return Err(format!("unknown argument {argument}")),
            }
        }
        Ok(options)
    }
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| format!("{text}: {error}"))
}

/// The committed seeds: one in a line, and what it once found behind it.
fn corpus() -> Result<Vec<u64>, String> {
    include_str!("../corpus/seeds")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| number(line.split(' ').next().unwrap_or(line)))
        .collect()
}
