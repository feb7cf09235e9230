//! Collecting, printing and writing figures.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use tinykvm_testkit::paths;

/// Named numbers.
#[derive(Debug, Default)]
pub(crate) struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// Notes and prints a figure.
    pub(crate) fn add(&mut self, name: &str, value: f64) {
        println!("  {name:<28} {value:>12.3}");
        self.0.insert(name.to_owned(), value);
    }

    /// Notes the median of `times` in microseconds as `name`, and the 99th percentile.
    pub(crate) fn add_times(&mut self, name: &str, times: &mut [Duration]) {
        times.sort_unstable();
        let stem = name.strip_suffix("_us").unwrap_or(name);
        self.add(name, micros(times[times.len() / 2]));
        self.add(
            &format!("{stem}_p99_us"),
            micros(times[times.len() * 99 / 100]),
        );
    }

    /// A figure noted before.
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.0[name]
    }

    /// A figure, if it was noted.
    pub(crate) fn find(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Writes all figures to `target/bench.json`, one flat object.
    pub(crate) fn write(&self) {
        let path = paths::target().join("bench.json");
        fs::write(&path, serde_json::to_string_pretty(&self.0).unwrap() + "\n").unwrap();
        println!("written to {}", path.display());
    }
}

/// A duration in microseconds.
pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The middle one of some numbers.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// How long `work` takes.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

/// Tells what all this is measured on.
pub(crate) fn print_machine() {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find(|line| line.starts_with("model name"))
        .unwrap_or("model name: ?");
    println!("cpu         {}", model.split(": ").nth(1).unwrap_or("?"));
    println!(
        "cores       {}",
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!("kernel      {}", kernel.trim());
    println!("kvm         {}", tinykvm::Engine::get().unwrap().flavour());
    for entry in fs::read_dir("/sys/devices/system/cpu/vulnerabilities")
        .into_iter()
        .flatten()
        .flatten()
    {
        let state = fs::read_to_string(entry.path()).unwrap_or_default();
        if state.starts_with("Mitigation") || state.starts_with("Vulnerable") {
            println!(
                "mitigation  {}: {}",
                entry.file_name().display(),
                state.trim()
            );
        }
    }
}
