//! A large read-only file that many forks share.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tinykvm::{
    BootOptions, Booting, Engine, Exit, Fork, Guest, Image, Limits, Placement, Protection, Template,
};
use tinykvm_testkit::{Toolchain, compile, paths};

use crate::figures::{Figures, timed};

/// Bytes of the file; the environment variable `FILE_MB` says otherwise.
const LENGTH: u64 = 4 << 30;
const FORKS: usize = 8;
const BUDGET: Duration = Duration::from_secs(600);

/// The file, which is removed at the end.
struct Model {
    path: PathBuf,
    length: u64,
}

impl Model {
    fn new() -> Self {
        let megabytes = std::env::var("FILE_MB")
            .ok()
            .and_then(|text| text.parse().ok());
        let length = megabytes.map_or(LENGTH, |count: u64| count << 20);
        let path = paths::target().join("bench-model");
        let mut file = File::create(&path).unwrap();
        let mut word = 0u64;
        let mut chunk = Vec::with_capacity(1 << 20);
        for _ in 0..length >> 20 {
            chunk.clear();
            while chunk.len() < 1 << 20 {
                word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                chunk.extend_from_slice(&word.to_le_bytes());
            }
            file.write_all(&chunk).unwrap();
        }
        // As a file that was not written just now.
        file.sync_all().unwrap();
        Self { path, length }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Seconds of a native pass in a process of its own, and the sum.
fn native(program: &Path, model: &Model) -> (f64, u64) {
    let output = Command::new(program).arg(&model.path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (time, sum) = text.trim().split_once(' ').unwrap();
    (time.parse::<f64>().unwrap() / 1e9, sum.parse().unwrap())
}

fn freeze(image: &Arc<Image>, model: &Model) -> (Arc<Template>, u64) {
    let options = BootOptions {
        image: Arc::clone(image),
        interpreter: None,
        limits: Limits::default(),
        vdso: None,
    };
    let mut boot = Booting::new(Engine::get().unwrap(), &options).unwrap();
    boot.start(boot.loaded().start, boot.loaded().stack_top);
    assert!(matches!(boot.run(BUDGET).unwrap(), Exit::Hypercall { .. }));
    let file = File::open(&model.path).unwrap();
    let at = boot
        .map_file(
            Placement::Anywhere,
            model.length,
            Protection::READ,
            file.as_fd(),
            0,
        )
        .unwrap()
        .unwrap();
    (Arc::new(boot.freeze().unwrap()), at)
}

fn pass(fork: &mut Fork, function: u64, at: u64, length: u64) -> (f64, u64) {
    fork.begin(BUDGET);
    fork.prepare_call(function);
    fork.enter([at, length, 0, 0, 0, 0]).unwrap();
    let (time, exit) = timed(|| fork.run().unwrap());
    assert!(matches!(exit, Exit::Hypercall { .. }), "{exit:?}");
    (time.as_secs_f64(), fork.registers().rdi)
}

/// Megabytes of memory that this process has, shared or not.
fn resident() -> f64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes / 1024.0
}

pub(crate) fn run(figures: &mut Figures) {
    println!("files: a large file that {FORKS} forks read");
    let source = paths::top().join("benches/guests/pass.c");
    let built = |flags: &[&str]| compile::compile_file_with(&source, Toolchain::Gcc, flags);
    let program = built(&["-DNATIVE"]);
    let guest = built(&["-nostdlib", "-fno-stack-protector"]);
    let image = Arc::new(Image::open(File::open(guest).unwrap()).unwrap());
    let function = image.symbol("pass").unwrap();
    let model = Model::new();
    let before = resident();
    let (template, at) = freeze(&image, &model);
    let mut forks: Vec<Fork> = (0..FORKS).map(|_| template.fork().unwrap()).collect();
    let mut ratios = Vec::new();
    for (index, fork) in forks.iter_mut().enumerate() {
        // The first fork reads before anybody else does.
        let before = (index > 0).then(|| native(&program, &model).0);
        let (first, sum) = pass(fork, function, at, model.length);
        let (second, _) = pass(fork, function, at, model.length);
        let (again, expected) = native(&program, &model);
        assert_eq!(sum, expected);
        let outside = f64::midpoint(before.unwrap_or(again), again);
        if index == 0 {
            figures.add("file_native_s", outside);
            figures.add("file_first_fork_s", first);
        } else {
            ratios.push(first / outside);
        }
        if index == 1 {
            figures.add("file_second_fork_s", first);
            figures.add("file_second_pass_s", second);
        }
    }
    let mut times: Vec<_> = (0..9)
        .map(|_| timed(|| template.fork().unwrap()).0)
        .collect();
    figures.add_times("file_fork_us", &mut times);
    ratios.sort_by(f64::total_cmp);
    figures.add("file_pass_over_native", ratios[ratios.len() / 2]);
    let megabytes = f64::from(u32::try_from(model.length >> 20).unwrap());
    figures.add("file_resident_beyond_mb", resident() - before - megabytes);
}
