//! Process-wide counters, for whatever exports them (Varnish's VSC, the command line tool).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::verdict::Verdict;

/// What has happened since the process started. `forks` and `programs` are gauges, the others
/// only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Calls of programs, however they ended.
    pub calls: AtomicU64,
    /// Calls with verdict [`Verdict::Ok`].
    pub ok: AtomicU64,
    /// Calls with verdict [`Verdict::Timeout`].
    pub timeout: AtomicU64,
    /// Calls with verdict [`Verdict::Memory`].
    pub memory: AtomicU64,
    /// Calls with verdict [`Verdict::Fault`].
    pub fault: AtomicU64,
    /// Calls with verdict [`Verdict::NoResponse`] or [`Verdict::Exit`].
    pub no_response: AtomicU64,
    /// Filtered bodies with verdict [`Verdict::Failed`].
    pub failed: AtomicU64,
    /// Calls with verdict [`Verdict::Overload`].
    pub overload: AtomicU64,
    /// Calls with verdict [`Verdict::NoKvm`].
    pub no_kvm: AtomicU64,
    /// Calls with verdict [`Verdict::NotLoaded`].
    pub not_loaded: AtomicU64,
    /// Calls with verdict [`Verdict::Transfer`].
    pub transfer: AtomicU64,
    /// Filtered bodies with verdict [`Verdict::Cancelled`].
    pub cancelled: AtomicU64,
    /// Bodies that were filtered, among the calls.
    pub filters: AtomicU64,
    /// Parts of bodies that filters were given.
    pub filter_chunks: AtomicU64,
    /// Bytes that filters were given.
    pub filter_bytes_in: AtomicU64,
    /// Bytes that filters made of them.
    pub filter_bytes_out: AtomicU64,
    /// Bodies that went on unchanged because the filter failed.
    pub filter_originals: AtomicU64,
    /// Bodies delivered without a filter that VCL had asked for, because it replaced the list.
    pub filters_left_out: AtomicU64,
    /// Forks brought back to the frozen state after a call.
    pub resets: AtomicU64,
    /// Forks thrown away and made anew after a call.
    pub rebuilds: AtomicU64,
    /// Pages copied back by all resets.
    pub reset_pages: AtomicU64,
    /// Forks that exist now.
    pub forks: AtomicU64,
    /// Programs that are loaded and ready now.
    pub programs: AtomicU64,
    /// Answers of programs with a status from 400 to 499.
    pub status_4xx: AtomicU64,
    /// Answers of programs with a status from 500 to 599, and failed calls.
    pub status_5xx: AtomicU64,
    /// Look-ups of a program that is not configured.
    pub program_notfound: AtomicU64,
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            calls: AtomicU64::new(0),
            ok: AtomicU64::new(0),
            timeout: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            fault: AtomicU64::new(0),
            no_response: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            overload: AtomicU64::new(0),
            no_kvm: AtomicU64::new(0),
            not_loaded: AtomicU64::new(0),
            transfer: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            filters: AtomicU64::new(0),
            filter_chunks: AtomicU64::new(0),
            filter_bytes_in: AtomicU64::new(0),
            filter_bytes_out: AtomicU64::new(0),
            filter_originals: AtomicU64::new(0),
            filters_left_out: AtomicU64::new(0),
            resets: AtomicU64::new(0),
            rebuilds: AtomicU64::new(0),
            reset_pages: AtomicU64::new(0),
            forks: AtomicU64::new(0),
            programs: AtomicU64::new(0),
            status_4xx: AtomicU64::new(0),
            status_5xx: AtomicU64::new(0),
            program_notfound: AtomicU64::new(0),
        }
    }

    /// Counts one body that went through a filter.
    pub(crate) fn filtered(&self, verdict: Verdict) {
        add(&self.filters, 1);
        self.ended(verdict);
    }

    /// Counts one finished call.
    pub(crate) fn finished(&self, verdict: Verdict, status: u16) {
        self.ended(verdict);
        match status {
            400..=499 => add(&self.status_4xx, 1),
            500..=599 => add(&self.status_5xx, 1),
            _ => {}
        }
    }

    fn ended(&self, verdict: Verdict) {
        add(&self.calls, 1);
        add(
            match verdict {
                Verdict::Ok => &self.ok,
                Verdict::Timeout => &self.timeout,
                Verdict::Memory => &self.memory,
                Verdict::Fault => &self.fault,
                Verdict::Exit | Verdict::NoResponse => &self.no_response,
                Verdict::Failed => &self.failed,
                Verdict::Overload => &self.overload,
                Verdict::NoKvm => &self.no_kvm,
                Verdict::NotLoaded => &self.not_loaded,
                Verdict::Transfer => &self.transfer,
                Verdict::Cancelled => &self.cancelled,
            },
            1,
        );
    }
}

/// Adds to a counter; counters order nothing, so the weakest ordering does.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

static COUNTERS: Counters = Counters::new();

/// The counters of this process.
pub fn counters() -> &'static Counters {
    &COUNTERS
}

/// One unit of a gauge for as long as it lives.
#[derive(Debug)]
pub(crate) struct Gauge(&'static AtomicU64);

impl Gauge {
    pub(crate) fn new(gauge: &'static AtomicU64) -> Self {
        add(gauge, 1);
        Self(gauge)
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_once_by_verdict_and_by_status() {
        let counters = Counters::new();
        for verdict in Verdict::ALL {
            counters.finished(verdict, 503);
        }
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!(value(&counters.calls), 12);
        assert_eq!(value(&counters.status_5xx), 12);
        assert_eq!(value(&counters.no_response), 2);
        let sum: u64 = [
            &counters.ok,
            &counters.timeout,
            &counters.memory,
            &counters.fault,
            &counters.no_response,
            &counters.failed,
            &counters.overload,
            &counters.no_kvm,
            &counters.not_loaded,
            &counters.transfer,
            &counters.cancelled,
        ]
        .iter()
        .map(|counter| value(counter))
        .sum();
        assert_eq!(sum, 12);
    }

    #[test]
    fn a_gauge_goes_back() {
        static GAUGE: AtomicU64 = AtomicU64::new(0);
        let held = (Gauge::new(&GAUGE), Gauge::new(&GAUGE));
        assert_eq!(GAUGE.load(Ordering::Relaxed), 2);
        drop(held);
        assert_eq!(GAUGE.load(Ordering::Relaxed), 0);
    }
}
