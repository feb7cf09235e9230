//! Programs for the engine's benchmarks: booted with the Linux personality, called without HTTP.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tinykvm::{BootOptions, Booting, Engine, Exit, Fork, Guest, Image, Limits, Template};
use tinykvm_linux::{Host, Notice, Process, ProcessOptions, Stream, VDSO};

/// Call numbers of the guest ABI.
const REGISTER_FUNC: u32 = 0x10000;
const WAIT_FOR_REQUESTS: u32 = 0x10001;
const BUDGET: Duration = Duration::from_secs(60);

/// A program's output, which nobody reads.
struct Silent;

impl Host for Silent {
    fn output(&mut self, _: Stream, _: &[u8]) {}
    fn notice(&mut self, _: Notice<'_>, _: u64) {}
    fn sleep(&mut self, _: Duration) -> bool {
        true
    }
}

/// A frozen program and the address of its callback for GET.
pub(crate) struct Program {
    pub(crate) template: Arc<Template>,
    pub(crate) on_get: u64,
}

/// Boots a program up to its wait call and freezes it.
pub(crate) fn freeze(path: &Path, limits: Limits) -> Program {
    let image = Arc::new(Image::parse(std::fs::read(path).unwrap()).unwrap());
    let options = BootOptions {
        image,
        interpreter: None,
        limits,
        vdso: Some(VDSO),
    };
    let mut boot = Booting::new(Engine::get().unwrap(), &options).unwrap();
    let mut process = Process::new(&ProcessOptions {
        arguments: vec![b"bench".to_vec()],
        ..ProcessOptions::default()
    });
    let loaded = *boot.loaded();
    let rsp = process.build_stack(&mut boot, &loaded).unwrap();
    boot.start(loaded.start, rsp);
    let mut on_get = 0;
    loop {
        match boot.run(BUDGET).unwrap() {
            Exit::Syscall => drop(process.syscall(&mut boot, &mut Silent)),
            Exit::Hypercall {
                number: REGISTER_FUNC,
            } => on_get = boot.registers().rsi,
            Exit::Hypercall {
                number: WAIT_FOR_REQUESTS,
            } => break,
            other => panic!("{}: {other:?}", path.display()),
        }
    }
    Program {
        template: Arc::new(boot.freeze().unwrap()),
        on_get,
    }
}

/// Calls the program's GET callback; it must answer without a system call.
pub(crate) fn get(program: &Program, fork: &mut Fork, url: &[u8]) {
    fork.begin(BUDGET);
    fork.prepare_call(program.on_get);
    let url = fork.push(url, 8).unwrap();
    fork.enter([url, url, 0, 0, 0, 0]).unwrap();
    let exit = fork.run().unwrap();
    assert!(matches!(exit, Exit::Hypercall { .. }), "{exit:?}");
}
