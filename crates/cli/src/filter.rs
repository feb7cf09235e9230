//! `tinykvm filter`: a body through a program, as Varnish would send it.

use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use tinykvm_runtime::{
    Begun, BodyFilter, FilterRequest, Log, Part, PlainTransaction, Upstream, Verdict,
};

use crate::args::Filter;
use crate::call::{check_words, split};
use crate::console::{Error, not_ready, print, print_body, status, tell_text};
use crate::input::open;

/// How much output is taken at a time.
const PIECE: usize = 64 * 1024;

/// A body that is read in small parts.
struct Source {
    from: Box<dyn Read>,
    part: usize,
    what: String,
    failed: Option<io::Error>,
}

impl Source {
    fn open(path: &Path, part: u32) -> Result<Self, Error> {
        let (from, what) = open(path, "--body")?;
        Ok(Self {
            from,
            part: usize::try_from(part).unwrap_or(usize::MAX),
            what,
            failed: None,
        })
    }
}

impl Upstream for Source {
    fn read(&mut self, out: &mut [u8]) -> Option<Part> {
        let room = out.len().min(self.part);
        loop {
            match self.from.read(&mut out[..room]) {
                Ok(length) => {
                    return Some(Part {
                        length,
                        last: length == 0,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = Some(error);
                    return None;
                }
            }
        }
    }

    fn is_ready(&mut self) -> bool {
        false
    }
}

/// Everything but the body goes to standard error.
struct Terminal;

impl Log for Terminal {
    fn log(&mut self, line: &str) {
        say!("{line}");
    }

    fn error(&mut self, line: &str) {
        say!("{line}");
    }
}

fn fields(given: &[String]) -> Result<Vec<Vec<u8>>, Error> {
    let field = |field: &String| -> Result<Vec<u8>, Error> {
        let (name, value) = split(field)?;
        Ok(format!("{name}: {value}").into_bytes())
    };
    given.iter().map(field).collect()
}

/// Sends a body through a program.
pub(crate) fn filter(options: &Filter) -> Result<ExitCode, Error> {
    let configured = options.target.configure("{}", false)?;
    configured.set_main_arguments(&options.main.arguments)?;
    check_words(&options.url, None)?;
    let mut transaction = PlainTransaction {
        request: fields(&options.request_header)?,
        response: Some(fields(&options.header)?),
        ..PlainTransaction::backend()
    };
    let mut source = Source::open(&options.body, options.part)?;
    if let Err((verdict, reason)) = configured.program.wait_until_ready() {
        return Ok(not_ready(verdict, &reason));
    }
    let request = FilterRequest {
        url: options.url.as_bytes(),
        method: b"GET",
        argument: options.arg.as_bytes(),
        config: options.filter_config.as_bytes(),
        status: 200,
        length: None,
        delivery: options.delivery,
    };
    let begun = configured.program.begin_filter(&request, &mut transaction);
    for line in transaction.errors.iter().chain(&transaction.logged) {
        say!("{line}");
    }
    let head = transaction.response().join("\n") + "\n\n";
    if options.include {
        print(head.as_bytes())?;
    } else {
        tell_text(&head);
    }
    match begun {
        Begun::Filter(filter) => send(filter, &mut source),
        Begun::Failed(_) => Ok(ExitCode::FAILURE),
        Begun::Pass => {
            say!("passed");
            copy(&mut source)
        }
        Begun::Original => copy(&mut source).map(|_| ExitCode::FAILURE),
    }
}

fn send(mut filter: BodyFilter, source: &mut Source) -> Result<ExitCode, Error> {
    let mut piece = vec![0; PIECE];
    loop {
        let pulled = filter.pull(&mut piece, source, &mut Terminal);
        if let Some(error) = source.failed.take() {
            return Err(Error::io(&source.what, error));
        }
        let Ok(part) = pulled else {
            return Ok(ExitCode::FAILURE);
        };
        print_body(&piece[..part.length])?;
        if part.last {
            let failed = filter.is_original();
            return Ok(if failed {
                ExitCode::FAILURE
            } else {
                status(Verdict::Ok)
            });
        }
    }
}

/// The body as it is.
fn copy(source: &mut Source) -> Result<ExitCode, Error> {
    let mut piece = vec![0; PIECE];
    while let Some(part) = source.read(&mut piece) {
        print_body(&piece[..part.length])?;
        if part.last {
            return Ok(status(Verdict::Ok));
        }
    }
    let failed = source.failed.take();
    Err(Error::io(
        &source.what,
        failed.unwrap_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof)),
    ))
}
