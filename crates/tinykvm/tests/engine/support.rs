//! The guest, booted and frozen once, and calls of its functions.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tinykvm::{
    BootOptions, Booting, Engine, Exit, Fork, Guest, Image, Limits, Placement, Protection, Template,
};
use tinykvm_testkit::compile_c;
use tinykvm_testkit::harness::Case;

/// Call numbers that the guest uses.
pub const FROZEN: u32 = 0x10001;
pub const ANSWER: u32 = 0x10010;
const MAP_A_PAGE: u32 = 0x100;

/// Time for a call that is expected to end.
pub const BUDGET: Duration = Duration::from_secs(10);

pub fn image() -> Arc<Image> {
    static IMAGE: OnceLock<Arc<Image>> = OnceLock::new();
    Arc::clone(IMAGE.get_or_init(|| {
        let flags = [
            "-nostdlib",
            "-mavx2",
            "-mfsgsbase",
            "-O1",
            "-fno-stack-protector",
            "-mpku",
        ];
        let path = compile_c(include_str!("guest.c"), &flags);
        Arc::new(Image::parse(std::fs::read(path).unwrap()).unwrap())
    }))
}

pub fn boot(limits: Limits) -> Booting {
    let options = BootOptions {
        image: image(),
        interpreter: None,
        limits,
        vdso: None,
    };
    let mut boot = Booting::new(Engine::get().unwrap(), &options).unwrap();
    boot.start(boot.loaded().start, boot.loaded().stack_top);
    loop {
        match boot.run(BUDGET).unwrap() {
            Exit::Hypercall { number: FROZEN } => return boot,
            Exit::Hypercall { number: MAP_A_PAGE } => {
                let place = boot
                    .map(Placement::Anywhere, 4096, Protection::READ_WRITE)
                    .unwrap();
                boot.registers_mut().rax = place;
            }
            Exit::Hypercall { .. } => {}
            other => panic!("{other:x?}"),
        }
    }
}

pub fn template() -> Arc<Template> {
    static TEMPLATE: OnceLock<Arc<Template>> = OnceLock::new();
    Arc::clone(TEMPLATE.get_or_init(|| template_with(Limits::default())))
}

pub fn template_with(limits: Limits) -> Arc<Template> {
    Arc::new(boot(limits).freeze().unwrap())
}

pub fn fork() -> Fork {
    template().fork().unwrap()
}

pub fn function(name: &str) -> u64 {
    image()
        .symbol(name)
        .unwrap_or_else(|| panic!("the guest has no {name}"))
}

/// Calls a function and returns how it stopped; system calls get the answer -38.
pub fn call(fork: &mut Fork, name: &str, arguments: &[u64]) -> Exit {
    call_within(fork, name, arguments, BUDGET)
}

pub fn call_within(fork: &mut Fork, name: &str, arguments: &[u64], budget: Duration) -> Exit {
    let mut six = [0; 6];
    six[..arguments.len()].copy_from_slice(arguments);
    fork.begin(budget);
    fork.prepare_call(function(name));
    fork.enter(six).unwrap();
    go_on(fork)
}

/// Runs on until something but a system call.
pub fn go_on(fork: &mut Fork) -> Exit {
    loop {
        match fork.run().unwrap() {
            Exit::Syscall => fork.registers_mut().rax = 38u64.wrapping_neg(),
            exit => return exit,
        }
    }
}

/// Calls a function that must answer, and returns the answer's first three words.
pub fn ask(fork: &mut Fork, name: &str, arguments: &[u64]) -> [u64; 3] {
    let exit = call(fork, name, arguments);
    assert_eq!(exit, Exit::Hypercall { number: ANSWER }, "{name}");
    let registers = fork.registers();
    [registers.rdi, registers.rsi, registers.rdx]
}

/// Guests are a hundred times slower here.
pub fn emulated() -> bool {
    std::env::var_os("TINYKVM_EMULATED").is_some()
}

/// A test on KVM that fails by panicking.
pub fn case(name: &str, test: fn()) -> Case {
    Case::kvm(name, move || {
        test();
        Ok(())
    })
}
