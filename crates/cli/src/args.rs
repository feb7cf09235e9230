//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;

use clap::{Args, Parser, Subcommand};

/// Between two requests of one command, as curl has it.
const NEXT: &str = "--next";

/// Runs HTTP programs in KVM virtual machines, as the Varnish module does, without Varnish.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit status: 0 the program answered, or is ready; 1 it failed, or a \
    problem was found; 2 wrong arguments or configuration, or files or output that can't be read or \
    written; 3 it can't be loaded; 4 KVM is not usable; 5 overload. \
    That nobody reads the output any more is no failure.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts a program up to its wait call and shows what it prints.
    #[command(after_help = EXIT_CODES)]
    Run(Run),
    /// Makes requests: the bodies go to standard output, everything else to standard error.
    ///
    /// Options of a further request to the same started program stand behind --next:
    /// tinykvm call PROGRAM --url /one --next --url /two -X POST --body FILE
    #[command(after_help = EXIT_CODES)]
    Call(Call),
    /// Sends a body through a filter: what becomes of it goes to standard output.
    #[command(after_help = EXIT_CODES)]
    Filter(Filter),
    /// Measures warm calls. Requests behind --next (see `call`) take turns.
    #[command(after_help = EXIT_CODES)]
    Bench(Bench),
    /// Says whether programs can run on this host, and what to do if not; or what files a program
    /// needs to start.
    #[command(after_help = EXIT_CODES)]
    Doctor(Doctor),
    /// Runs a program with everything allowed, and prints the permissions that it needed, as VCL.
    ///
    /// Without --url, --arg, --body or the like it is only started. Everything means all files and the network that you have: only for programs you trust.
    #[command(after_help = EXIT_CODES)]
    Learn(Learn),
}

impl Arguments {
    /// Reads the command line of this process. Ends it with a message if it makes no sense, and
    /// after `--help`.
    pub(crate) fn read() -> Self {
        Self::from_words(std::env::args_os().collect()).unwrap_or_else(|error| error.exit())
    }

    /// The same for these words, of which the first is the command's own name.
    fn from_words(words: Vec<OsString>) -> Result<Self, clap::Error> {
        match words.get(1).and_then(|command| command.to_str()) {
            Some("call" | "bench") => Self::with_requests(&words),
            Some("run" | "learn") => Self::with_main_arguments(&words),
            _ => Self::try_parse_from(words),
        }
    }

    /// Requests behind the first are commands of their own for the parser.
    fn with_requests(words: &[OsString]) -> Result<Self, clap::Error> {
        let mut groups = words.split(|word| word == NEXT);
        let mut arguments = Self::try_parse_from(groups.next().unwrap_or_default())?;
        let name = OsString::from(format!("tinykvm ... {NEXT}"));
        let further = groups
            .map(|group| NextRequest::try_parse_from(std::iter::once(&name).chain(group)))
            .collect::<Result<Vec<_>, _>>()?;
        if let Command::Call(Call {
            further: place,
            main,
            ..
        })
        | Command::Bench(Bench {
            further: place,
            main,
            ..
        }) = &mut arguments.command
        {
            for next in further {
                place.push(next.request);
                main.arguments.extend(next.main.arguments);
            }
        }
        Ok(arguments)
    }

    /// Where the configuration names the program, what stands behind `--` is for `main()`; the
    /// parser would take the first of it for the program.
    fn with_main_arguments(words: &[OsString]) -> Result<Self, clap::Error> {
        let dashes = words.iter().position(|word| word == "--");
        if let Some(at) = dashes
            && let Ok(mut arguments) = Self::try_parse_from(&words[..at])
            && let Command::Run(Run { target, main, .. })
            | Command::Learn(Learn { target, main, .. }) = &mut arguments.command
            && target.program.is_none()
            && target.config.is_some()
        {
            main.arguments = words[at + 1..].to_vec();
            return Ok(arguments);
        }
        Self::try_parse_from(words)
    }
}

/// What stands behind a `--next`.
#[derive(Debug, Parser)]
struct NextRequest {
    #[command(flatten)]
    request: Request,

    #[command(flatten)]
    main: LastArguments,
}

/// A program and how it is configured.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The program: an x86-64 Linux executable. Not needed if --config has a "filename", which it
    /// replaces.
    pub(crate) program: Option<PathBuf>,

    /// Configuration as in VCL: JSON text, or the name of a file with it; `-` is standard input.
    /// `{ "NAME": { ... } }` names the program, too.
    #[arg(long, value_name = "JSON|FILE", allow_hyphen_values = true)]
    pub(crate) config: Option<String>,

    /// What --config says, read once: a pipe says it once only.
    #[arg(skip)]
    pub(crate) read: OnceLock<String>,

    /// What the program is called, or which program of several in --config is meant. Without this,
    /// what --config calls it, or its file without the extension.
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// Show each path that the program looks for in vain, where no rule is about it and the host
    /// does not have it either. Without this they are counted.
    #[arg(long, short = 'v')]
    pub(crate) verbose: bool,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) target: Target,

    #[command(flatten)]
    pub(crate) main: MainArguments,
}

/// Arguments of a program's `main()`.
#[derive(Debug, Args)]
pub(crate) struct MainArguments {
    /// Arguments of its `main()`; behind `--` if --config names the program.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

/// The same behind options that end with them.
#[derive(Debug, Args)]
pub(crate) struct LastArguments {
    /// Arguments of its `main()`.
    #[arg(last = true)]
    pub(crate) arguments: Vec<OsString>,
}

/// What is requested.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// The URL that the program gets.
    #[arg(long, default_value = "/", allow_hyphen_values = true)]
    pub(crate) url: String,

    #[command(flatten)]
    pub(crate) fields: Fields,
}

/// What else is requested.
#[derive(Debug, Args)]
pub(crate) struct Fields {
    /// The argument that the program gets.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub(crate) arg: String,

    /// The method; POST if there is a body, else GET.
    #[arg(long, short = 'X')]
    pub(crate) method: Option<String>,

    /// The request body is in this file; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) body: Option<PathBuf>,

    /// A header field of the request. `Content-Type` is also the body's type.
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    pub(crate) header: Vec<String>,
}

/// Options of `call`.
#[derive(Debug, Args)]
pub(crate) struct Call {
    #[command(flatten)]
    pub(crate) target: Target,

    #[command(flatten)]
    pub(crate) request: Request,

    #[command(flatten)]
    pub(crate) main: LastArguments,

    /// Print status and header fields before the body, to standard output.
    #[arg(long, short = 'i')]
    pub(crate) include: bool,

    /// Requests behind the first.
    #[arg(skip)]
    pub(crate) further: Vec<Request>,
}

/// Options of `filter`.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    #[command(flatten)]
    pub(crate) target: Target,

    #[command(flatten)]
    pub(crate) main: LastArguments,

    /// The URL of the request.
    #[arg(long, default_value = "/", allow_hyphen_values = true)]
    pub(crate) url: String,

    /// The argument that VCL would pass.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub(crate) arg: String,

    /// The configuration that VCL would pass.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub(crate) filter_config: String,

    /// The body is in this file; `-` is standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) body: PathBuf,

    /// A header field of the response, as the backend would send it.
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    pub(crate) header: Vec<String>,

    /// A header field of the request.
    #[arg(long, value_name = "NAME: VALUE")]
    pub(crate) request_header: Vec<String>,

    /// Give the body in parts of at most so many bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) part: u32,

    /// The body is on its way to a client, not into the cache.
    #[arg(long)]
    pub(crate) delivery: bool,

    /// Print the header fields before the body, to standard output.
    #[arg(long, short = 'i')]
    pub(crate) include: bool,
}

/// Options of `bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) target: Target,

    #[command(flatten)]
    pub(crate) request: Request,

    #[command(flatten)]
    pub(crate) main: LastArguments,

    /// How many calls are measured, by each thread.
    #[arg(long, short = 'n', default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,

    /// How many threads call at the same time, each with a VM of its own.
    #[arg(long, short = 't', default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) threads: u8,

    /// The status that each answer has to have. Without this, one of 400 or more is a failure.
    #[arg(long, value_parser = clap::value_parser!(u16).range(100..=999))]
    pub(crate) status: Option<u16>,

    /// Requests behind the first.
    #[arg(skip)]
    pub(crate) further: Vec<Request>,
}

/// Options of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Look at this program's dynamic loader and libraries instead of the host.
    pub(crate) program: Option<PathBuf>,
}

/// Options of `learn`.
#[derive(Debug, Args)]
pub(crate) struct Learn {
    #[command(flatten)]
    pub(crate) target: Target,

    /// Make a request with this URL when the program is ready. Can be given several times.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) url: Vec<String>,

    /// Print the whole configuration as JSON, for `--config` or `tinykvm.configure()`, instead of
    /// VCL.
    #[arg(long)]
    pub(crate) json: bool,

    /// Run the program once, and print rules for all that it used. Without this, the rules are
    /// tried: the program is run with them alone, and without each.
    #[arg(long)]
    pub(crate) once: bool,

    #[command(flatten)]
    pub(crate) fields: Fields,

    #[command(flatten)]
    pub(crate) main: MainArguments,
}
