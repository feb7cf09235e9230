//! `tinykvm bench`.

use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tinykvm_runtime::{PlainTransaction, Program, Verdict};

use crate::args::Bench;
use crate::call::{Prepared, prepare_all};
use crate::console::{Error, not_ready, print, status};

/// Calls before the measured ones, by each thread.
const WARM_UP: u32 = 100;

/// More calls than this are not measured: the time of each is kept.
const MOST: u64 = 100_000_000;

/// Measures warm calls, each with its reset.
pub(crate) fn bench(options: &Bench) -> Result<ExitCode, Error> {
    let threads = options.threads;
    if u64::from(options.count) * u64::from(threads) > MOST {
        let what = format!("--count times --threads is more than {MOST} calls");
        return Err(Error::Argument(what));
    }
    let forks = format!(r#"{{"concurrency": {threads}}}"#);
    let configured = options.target.configure(&forks, false)?;
    configured.set_main_arguments(&options.main.arguments)?;
    let program = &configured.program;
    let requests = prepare_all(&options.request, &options.further, program)?;
    if u16::from(threads) > program.concurrency() {
        say!(
            "tinykvm: {threads} threads have {} VMs (\"concurrency\"): what is measured has waiting in it",
            program.concurrency()
        );
    }
    let booting = Instant::now();
    if let Err((verdict, reason)) = program.wait_until_ready() {
        return Ok(not_ready(verdict, &reason));
    }
    let boot = booting.elapsed();
    let results: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| measure(program, &requests, options)))
            .collect();
        running
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect()
    });
    let mut times = Vec::new();
    let mut longest = Duration::ZERO;
    for result in results {
        match result {
            Ok(Ok(measured)) => {
                longest = longest.max(measured.iter().sum());
                times.extend(measured);
            }
            Ok(Err(failed)) => {
                for line in &failed.lines {
                    say!("{line}");
                }
                say!("tinykvm: {}", failed.what);
                return Ok(failed.status);
            }
            Err(_) => return Err(Error::Argument("a thread of the benchmark died".to_owned())),
        }
    }
    times.sort_unstable();
    print(report(&times, boot, longest, threads).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// A call that was not answered, or not as it should be.
struct Failed {
    what: String,
    status: ExitCode,
    lines: Vec<String>,
}

/// The times of `count` calls, for which the requests take turns.
fn measure(
    program: &Arc<Program>,
    requests: &[Prepared],
    options: &Bench,
) -> Result<Vec<Duration>, Failed> {
    let mut turns: Vec<_> = requests
        .iter()
        .map(|prepared| (prepared.request(), prepared.transaction()))
        .collect();
    let mut times = Vec::with_capacity(usize::try_from(options.count).unwrap_or(0));
    let several = u32::try_from(turns.len()).unwrap_or(u32::MAX);
    // Each request has been made before it is measured.
    let warm_up = WARM_UP.next_multiple_of(several);
    for number in 0..warm_up.saturating_add(options.count) {
        let turn = usize::try_from(number % several).unwrap_or(0);
        let (request, transaction) = &mut turns[turn];
        forget(transaction);
        let start = Instant::now();
        let response = program.call(request, transaction);
        let (verdict, answered, body) = (response.verdict, response.status, response.body);
        drop(body);
        let time = start.elapsed();
        let url = String::from_utf8_lossy(request.url);
        if verdict != Verdict::Ok {
            return Err(Failed {
                what: format!("a call of {url} ended with verdict {verdict}"),
                status: status(verdict),
                lines: std::mem::take(&mut transaction.errors),
            });
        }
        if !is_expected(answered, options.status) {
            let expected = options
                .status
                .map_or_else(|| "below 400".to_owned(), |wanted| wanted.to_string());
            return Err(Failed {
                what: format!(
                    "a call of {url} was answered with status {answered}, not {expected} \
                     (--status says which one is expected)"
                ),
                status: ExitCode::FAILURE,
                lines: std::mem::take(&mut transaction.logged),
            });
        }
        if number >= warm_up {
            times.push(time);
        }
    }
    Ok(times)
}

/// Whether an answer with this status is what was to be measured.
fn is_expected(answered: u16, wanted: Option<u16>) -> bool {
    wanted.map_or(answered < 400, |wanted| answered == wanted)
}

/// Makes a used transaction as good as new.
fn forget(transaction: &mut PlainTransaction) {
    transaction.logged.clear();
    transaction.errors.clear();
    transaction.cacheable = None;
    if let Some(response) = &mut transaction.response {
        response.clear();
    }
}

fn report(times: &[Duration], boot: Duration, longest: Duration, threads: u8) -> String {
    let at = |share: f64| {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a position in a list, from a share of at most 1"
        )]
        let index = ((times.len() - 1) as f64 * share) as usize;
        times[index].as_secs_f64() * 1e6
    };
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52 calls")]
    let rate = times.len() as f64 / longest.as_secs_f64();
    format!(
        "start    {:.1} ms\ncalls    {} in {threads} thread(s)\nfastest  {:.1} us\n\
         median   {:.1} us\np99      {:.1} us\nslowest  {:.1} us\nrate     {rate:.0} calls/s\n",
        boot.as_secs_f64() * 1e3,
        times.len(),
        at(0.0),
        at(0.5),
        at(0.99),
        at(1.0),
    )
}
