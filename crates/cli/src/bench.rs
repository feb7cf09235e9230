//! `tinykvm bench`.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use tinykvm_runtime::{PlainTransaction, Program, Verdict};

use crate::args::Bench;
use crate::call::Prepared;
use crate::console::{Error, print, status};

/// Calls before the measured ones, by each thread.
const WARM_UP: u32 = 100;

/// Measures warm calls, each with its reset.
pub(crate) fn bench(options: &Bench) -> Result<ExitCode, Error> {
    let prepared = options.request.prepare()?;
    let threads = options.threads;
    let forks = format!(r#"{{"concurrency": {threads}}}"#);
    let configured = options.target.configure(&forks, false)?;
    let program = &configured.program;
    let booting = Instant::now();
    if let Err((verdict, reason)) = program.wait_until_ready() {
        eprintln!("tinykvm: {verdict}: {reason}");
        return Ok(status(verdict));
    }
    let boot = booting.elapsed();
    let results: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| measure(program, &prepared, options.count)))
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
                    eprintln!("{line}");
                }
                eprintln!("tinykvm: a call ended with verdict {}", failed.verdict);
                return Ok(status(failed.verdict));
            }
            Err(_) => return Err(Error::Argument("a thread of the benchmark died".to_owned())),
        }
    }
    times.sort_unstable();
    print(report(&times, boot, longest, threads).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// A call that was not answered.
struct Failed {
    verdict: Verdict,
    lines: Vec<String>,
}

/// The times of `count` calls.
fn measure(
    program: &std::sync::Arc<Program>,
    prepared: &Prepared,
    count: u32,
) -> Result<Vec<Duration>, Failed> {
    let request = prepared.request();
    let mut transaction = prepared.transaction();
    let mut times = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    for number in 0..WARM_UP + count {
        forget(&mut transaction);
        let start = Instant::now();
        let response = program.call(&request, &mut transaction);
        let (verdict, body) = (response.verdict, response.body);
        drop(body);
        let time = start.elapsed();
        if verdict != Verdict::Ok {
            let lines = transaction.errors;
            return Err(Failed { verdict, lines });
        }
        if number >= WARM_UP {
            times.push(time);
        }
    }
    Ok(times)
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
