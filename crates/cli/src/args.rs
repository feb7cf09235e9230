//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Runs HTTP programs in KVM virtual machines, as the Varnish module does, without Varnish.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit status: 0 the program answered, or is ready; 1 it failed; \
    2 wrong arguments or configuration; 3 it can't be loaded; 4 KVM is not usable; 5 overload";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts a program up to its wait call and shows what it prints.
    Run(Run),
    /// Makes one request: the body goes to standard output, everything else to standard error.
    Call(Call),
    /// Sends a body through a filter: what becomes of it goes to standard output.
    Filter(Filter),
    /// Measures warm calls.
    Bench(Bench),
    /// Says whether programs can run on this host, and what to do if not; or what files a program
    /// needs to start.
    Doctor(Doctor),
    /// Runs a program with everything allowed, and prints the permissions that it needed.
    ///
    /// Everything means all files and the network that you have: only for programs you trust.
    Learn(Learn),
}

/// A program and how it is configured.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The program: a static x86-64 Linux executable.
    pub(crate) program: PathBuf,

    /// Configuration as in VCL: JSON text, or the name of a file with it.
    #[arg(long, value_name = "JSON|FILE")]
    pub(crate) config: Option<String>,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) target: Target,

    /// Arguments of its `main()`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

/// What is requested.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// The URL that the program gets.
    #[arg(long, default_value = "/")]
    pub(crate) url: String,

    #[command(flatten)]
    pub(crate) fields: Fields,
}

/// What else is requested.
#[derive(Debug, Args)]
pub(crate) struct Fields {
    /// The argument that the program gets.
    #[arg(long, default_value = "")]
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

    /// Print status and header fields before the body, to standard output.
    #[arg(long, short = 'i')]
    pub(crate) include: bool,
}

/// Options of `filter`.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    #[command(flatten)]
    pub(crate) target: Target,

    /// The URL of the request.
    #[arg(long, default_value = "/")]
    pub(crate) url: String,

    /// The argument that VCL would pass.
    #[arg(long, default_value = "")]
    pub(crate) arg: String,

    /// The configuration that VCL would pass.
    #[arg(long, default_value = "")]
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

    /// How many calls are measured, by each thread.
    #[arg(long, short = 'n', default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,

    /// How many threads call at the same time, each with a VM of its own.
    #[arg(long, short = 't', default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) threads: u8,
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
    #[arg(long)]
    pub(crate) url: Vec<String>,

    /// Print only JSON, as it can be given to `--config`.
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) fields: Fields,

    /// Arguments of its `main()`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}
