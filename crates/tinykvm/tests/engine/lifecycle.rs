//! Booting, freezing, forking, calling, going on.

use tinykvm::{Engine, Exit, Guest, ioctl_count};
use tinykvm_testkit::harness::Case;

use super::support::*;

pub fn cases() -> Vec<Case> {
    vec![
        case("a_function_gets_six_arguments_and_answers", six_arguments),
        case("a_function_that_returns_gives_its_value", returns),
        case(
            "system_calls_keep_registers_and_flags",
            system_calls_keep_registers,
        ),
        case("abi_calls_keep_every_register", abi_calls_keep_registers),
        case("an_inputs_stack_is_below_mains_and_zero", stack_is_zero),
        case("inputs_lie_below_each_other_where_they_should", inputs),
        case("resume_goes_on_behind_the_wait_call", resume),
        case("vector_state_of_the_freeze_is_in_every_call", frozen_vector),
        case("forks_do_not_see_each_other", isolation),
        case("a_warm_call_is_one_kvm_run_and_no_other_ioctl", one_ioctl),
        case("dropped_forks_leave_nothing_open", descriptors),
        case("forks_move_between_threads", threads),
        case("a_fork_keeps_its_number", number),
        case("boot_failures_are_exits", boot_failures),
    ]
}

fn six_arguments() {
    let mut fork = fork();
    assert_eq!(ask(&mut fork, "sum", &[1, 2, 3, 4, 5, 6])[0], 654_321);
}

fn returns() {
    let mut fork = fork();
    assert_eq!(
        call(&mut fork, "twice", &[21]),
        Exit::Returned { value: 42 }
    );
}

fn system_calls_keep_registers() {
    let sum = 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10 + 11 + 12 + 1;
    assert_eq!(ask(&mut fork(), "kept_registers", &[])[0], sum);
    assert_eq!(ask(&mut fork(), "ask", &[39])[0], 38u64.wrapping_neg());
}

fn abi_calls_keep_registers() {
    let mut fork = fork();
    assert_eq!(
        call(&mut fork, "kept_by_out", &[]),
        Exit::Hypercall { number: 0x77 }
    );
    assert_eq!(go_on(&mut fork), Exit::Hypercall { number: ANSWER });
    assert_eq!(fork.registers().rdi, 1 + 1 + 2 + 1, "carry, rcx, r11, xmm3");
    assert_eq!(fork.registers().rsi, 0x77, "an unanswered call leaves rax");
}

fn stack_is_zero() {
    // main's earlier calls left 64 KB of ones there before the freeze.
    let mut fork = fork();
    assert_eq!(ask(&mut fork, "stack_below", &[])[0], 0);
}

fn inputs() {
    let mut fork = fork();
    fork.begin(BUDGET);
    fork.prepare_call(function("sum"));
    let mut pushed: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut below = fork.registers().rsp;
    for power in 0..13 {
        for length in [0, 1, 7, 8, 9, 100, 5000] {
            let bytes = vec![u8::try_from(pushed.len()).unwrap() | 1; length];
            let align = 1 << power;
            let at = fork.push(&bytes, align).unwrap();
            assert!(at.is_multiple_of(align), "{at:#x} at {align}");
            let end = at + length as u64;
            assert!(
                end <= below && below - end < align,
                "{at:#x}, {length} below {below:#x}"
            );
            below = at;
            pushed.push((at, bytes));
        }
    }
    for (at, bytes) in pushed {
        assert_eq!(fork.read_vec(at, bytes.len()).unwrap(), bytes);
    }
    // More than there is below address 0.
    let rsp = fork.registers().rsp;
    fork.registers_mut().rsp = 10;
    assert_eq!(fork.push(&[0; 11], 8).unwrap_err().address, 10);
    fork.registers_mut().rsp = rsp;
    fork.end();
    fork.reset().unwrap();
    assert_eq!(ask(&mut fork, "sum", &[1, 2, 3, 4, 5, 6])[0], 654_321);
}

fn resume() {
    let mut fork = fork();
    assert_eq!(fork.frozen_registers().rax, u64::from(FROZEN));
    for _ in 0..3 {
        fork.begin(BUDGET);
        fork.prepare_resume();
        assert_eq!(go_on(&mut fork), Exit::Hypercall { number: ANSWER });
        assert_eq!(
            (fork.registers().rdi, fork.registers().rsi),
            (0x123_4567, 8)
        );
        assert_eq!(go_on(&mut fork), Exit::Hypercall { number: ANSWER });
        assert_eq!(fork.registers().rsi, 9);
        fork.reset().unwrap();
    }
}

fn frozen_vector() {
    let mut fork = fork();
    for _ in 0..2 {
        assert_eq!(ask(&mut fork, "frozen_vector", &[])[0], u64::MAX);
        fork.reset().unwrap();
    }
}

fn isolation() {
    let (mut one, mut other) = (fork(), fork());
    assert_eq!(ask(&mut one, "count", &[])[0], 8);
    assert_eq!(ask(&mut one, "count", &[])[0], 9);
    assert_eq!(ask(&mut other, "count", &[])[0], 8);
}

fn one_ioctl() {
    let mut fork = fork();
    for _ in 0..3 {
        ask(&mut fork, "count", &[]);
        fork.reset().unwrap();
    }
    let (ioctls, runs) = (ioctl_count(), fork.vcpu_runs());
    for _ in 0..100 {
        ask(&mut fork, "count", &[]);
        fork.reset().unwrap();
    }
    assert_eq!(fork.vcpu_runs() - runs, 100);
    assert_eq!(ioctl_count() - ioctls, 100);
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn descriptors() {
    let template = template_with(tinykvm::Limits::default());
    drop(template.fork().unwrap());
    let mappings = || {
        std::fs::read_to_string("/proc/self/maps")
            .unwrap()
            .matches("kvm")
            .count()
    };
    // Other tests run beside this one: look for growth with the number of forks.
    let before = (open_files(), mappings());
    for _ in 0..50 {
        drop(template.fork().unwrap());
    }
    assert!(
        open_files() < before.0 + 40,
        "{} then {}",
        before.0,
        open_files()
    );
    assert!(mappings() < before.1 + 40);
}

fn threads() {
    let mut fork = fork();
    for expected in 8..12 {
        let run = move || {
            let answer = ask(&mut fork, "count", &[])[0];
            (fork, answer)
        };
        let (back, answer) = std::thread::spawn(run).join().unwrap();
        assert_eq!(answer, expected);
        fork = back;
    }
}

/// The second word of the vCPU's record, which the guest finds at `%gs`.
fn number() {
    let mut fork = fork();
    fork.set_index(7);
    for _ in 0..2 {
        assert_eq!(ask(&mut fork, "probe_gs", &[])[0], 7 << 32);
        fork.reset().unwrap();
        assert_eq!(ask(&mut fork, "probe_gs", &[])[0], 7 << 32);
        fork.rebuild().unwrap();
    }
}

fn boot_failures() {
    let image = image();
    let options = tinykvm::BootOptions {
        image: std::sync::Arc::clone(&image),
        interpreter: None,
        limits: tinykvm::Limits::default(),
        vdso: None,
    };
    let mut boot = tinykvm::Booting::new(Engine::get().unwrap(), &options).unwrap();
    boot.start(function("undefined"), boot.loaded().stack_top);
    assert!(matches!(boot.run(BUDGET).unwrap(), Exit::Exception(e) if e.vector == 6));
    boot.start(function("forever"), boot.loaded().stack_top);
    let short = std::time::Duration::from_millis(20);
    assert_eq!(boot.run(short).unwrap(), Exit::Deadline);
}
