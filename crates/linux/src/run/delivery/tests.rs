use tinykvm::{Exception, Guest, Protection, Registers};

use crate::host::Flow;
use crate::tests::Machine;
use crate::wire::record::{u32_at, u64_at};

const SIGUSR1: u32 = 10;
const SIGUSR2: u32 = 12;
const SIGSEGV: i32 = 11;
const HANDLER: u64 = 0x40_1000;
const RESTORER: u64 = 0x40_2000;
const SA_ONSTACK: u64 = 0x0800_0000;
const SA_RESTORER: u64 = 0x0400_0000;
const SA_NODEFER: u64 = 0x4000_0000;
const SA_RESETHAND: u64 = 0x8000_0000;
const STACK: u64 = 0x5000_0000;
const STACK_TOP: u64 = STACK + 0x10000;
const OTHER_STACK: u64 = 0x6000_0000;

/// A machine with a stack and recognisable registers.
fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.guest.map_at(STACK, 0x10000, Protection::READ_WRITE);
    machine
        .guest
        .map_at(OTHER_STACK, 0x4000, Protection::READ_WRITE);
    *machine.guest.registers_mut() = Registers {
        rbx: 0xb,
        rbp: 0xbb,
        r12: 12,
        r13: 13,
        r14: 14,
        r15: 15,
        rsp: STACK_TOP - 0x1238,
        rip: 0x40_3000,
        rcx: 0x40_3000,
        rflags: 0x3747,
        r11: 0x3747,
        ..Registers::default()
    };
    machine
}

fn set_action(machine: &mut Machine, signal: u32, flags: u64, mask: u64) {
    let action = machine.words(&[HANDLER, flags, RESTORER, mask]);
    machine.value("rt_sigaction", &[signal.into(), action, 0, 8]);
}

/// What the handler does at its end: `ret` into the restorer, which makes the call.
fn return_from_handler(machine: &mut Machine) -> Flow {
    let registers = machine.guest.registers_mut();
    registers.rsp += 8;
    registers.rip = RESTORER + 9;
    machine.flow("rt_sigreturn", &[])
}

fn blocked(machine: &mut Machine) -> u64 {
    let old = machine.room(8);
    machine.value("rt_sigprocmask", &[0, 0, old, 8]);
    machine.word(old)
}

#[test]
fn a_handler_sees_the_linux_frame() {
    let mut machine = machine();
    set_action(&mut machine, SIGUSR1, SA_RESTORER, 1 << 4);
    let before = *machine.guest.registers();
    assert_eq!(
        machine.flow("tgkill", &[1, 1, SIGUSR1.into()]),
        Flow::Continue
    );

    let inside = *machine.guest.registers();
    assert_eq!(inside.rip, HANDLER);
    assert_eq!((inside.rdi, inside.rax), (u64::from(SIGUSR1), 0));
    assert_eq!(inside.rsp % 16, 8, "as after a call");
    assert!(
        inside.rsp + 440 + 128 <= before.rsp,
        "the red zone is left alone"
    );
    assert_eq!(inside.rdx, inside.rsp + 8);
    assert_eq!(inside.rsi, inside.rsp + 312);
    assert_eq!(inside.rflags, before.rflags & !0x1_0500, "no DF, TF, RF");
    assert_eq!((inside.rcx, inside.r11), (inside.rip, inside.rflags));
    assert_eq!(machine.word(inside.rsp), RESTORER);

    let context = machine.guest.bytes(inside.rdx, 304);
    assert_eq!(u64_at(&context, 0), 7);
    assert_eq!(u32_at(&context, 24), 2, "no alternate stack");
    let machine_context = &context[40..296];
    let names = [
        (4, 12),
        (5, 13),
        (6, 14),
        (7, 15),
        (8, 1),
        (9, 1),
        (10, 0xbb),
        (11, 0xb),
        (12, SIGUSR1.into()),
        (13, 0),
        (14, before.rcx),
        (15, before.rsp),
        (16, before.rip),
        (17, before.rflags),
    ];
    for (index, value) in names {
        assert_eq!(
            u64_at(machine_context, 8 * index),
            value,
            "register {index}"
        );
    }
    assert_eq!(u32_at(machine_context, 144), 0x33);
    let area = u64_at(machine_context, 184);
    assert!(area.is_multiple_of(64) && area >= inside.rsp + 440 && area + 580 <= before.rsp - 128);
    let vectors = machine.guest.bytes(area, 580);
    assert_eq!(u32_at(&vectors, 464), 0x4650_5853);
    assert_eq!((u32_at(&vectors, 468), u32_at(&vectors, 480)), (580, 576));
    assert_eq!(u64_at(&vectors, 472), 3, "an area without room for AVX");
    assert_eq!(u64_at(&vectors, 512), 3, "the legacy part counts");
    assert_eq!(u32_at(&vectors, 576), 0x4650_5845);
    assert_eq!(u64_at(&context, 296), 0, "nothing was blocked");

    let info = machine.guest.bytes(inside.rsi, 128);
    assert_eq!(u32_at(&info, 0), SIGUSR1);
    assert_eq!(u32_at(&info, 8).cast_signed(), -6, "SI_TKILL");
    assert_eq!((u32_at(&info, 16), u32_at(&info, 20)), (1, 1000));
}

#[test]
fn returning_restores_registers_and_mask() {
    let mut machine = machine();
    set_action(&mut machine, SIGUSR1, SA_RESTORER, 1 << 4);
    let before = *machine.guest.registers();
    machine.flow("kill", &[1, SIGUSR1.into()]);
    assert_eq!(blocked_now(&machine), 1 << 4 | 1 << (SIGUSR1 - 1));
    let inside = *machine.guest.registers();
    *machine.guest.registers_mut() = Registers {
        rbx: 1,
        rbp: 2,
        r12: 3,
        r13: 4,
        r14: 5,
        r15: 6,
        r8: 7,
        r9: 8,
        r10: 9,
        r11: 10,
        rsi: 11,
        rdi: 12,
        rcx: 13,
        rdx: 14,
        ..inside
    };
    assert_eq!(return_from_handler(&mut machine), Flow::Continue);
    let after = *machine.guest.registers();
    let expected = Registers {
        rax: 0,
        rdi: 1,
        rsi: SIGUSR1.into(),
        r10: 0,
        // The trap flag is not restored.
        rflags: before.rflags & !0x100,
        ..before
    };
    assert_eq!(after, expected);
    assert_eq!(blocked(&mut machine), 0);
}

/// The mask without a call, which would change the registers.
fn blocked_now(machine: &Machine) -> u64 {
    machine.process.state().thread().signals.blocked
}

#[test]
fn a_handler_may_edit_where_it_returns_to() {
    let mut machine = machine();
    set_action(&mut machine, SIGUSR1, SA_RESTORER, 0);
    machine.flow("kill", &[1, SIGUSR1.into()]);
    let context = machine.guest.registers().rdx;
    let rflags = machine.guest.registers().rflags;
    machine
        .guest
        .write(context + 40 + 8 * 16, &0x40_5000_u64.to_le_bytes())
        .unwrap();
    machine
        .guest
        .write(context + 40 + 8 * 13, &77_u64.to_le_bytes())
        .unwrap();
    machine
        .guest
        .write(context + 40 + 8 * 17, &u64::MAX.to_le_bytes())
        .unwrap();
    machine
        .guest
        .write(context + 296, &u64::MAX.to_le_bytes())
        .unwrap();
    assert_eq!(return_from_handler(&mut machine), Flow::Continue);
    let after = machine.guest.registers();
    assert_eq!((after.rip, after.rax), (0x40_5000, 77));
    assert_eq!(
        after.rflags & !rflags,
        0x5_0cd5 & !rflags,
        "only what a program may set"
    );
    assert_eq!(blocked_now(&machine), !(1 << 8 | 1 << 18));
}

#[test]
fn flags_of_the_action() {
    let mut machine = machine();
    set_action(
        &mut machine,
        SIGUSR1,
        SA_RESTORER | SA_NODEFER | SA_RESETHAND,
        0,
    );
    machine.flow("kill", &[1, SIGUSR1.into()]);
    assert_eq!(machine.guest.registers().rip, HANDLER);
    assert_eq!(blocked_now(&machine), 0);
    assert_eq!(
        machine.flow("kill", &[1, SIGUSR1.into()]),
        Flow::Signal { number: 10 }
    );
}

#[test]
fn several_pending_signals_stack_up() {
    let mut machine = machine();
    set_action(&mut machine, SIGUSR1, SA_RESTORER, 0);
    set_action(&mut machine, SIGUSR2, SA_RESTORER, 0);
    let set = machine.words(&[1 << (SIGUSR1 - 1) | 1 << (SIGUSR2 - 1)]);
    machine.value("rt_sigprocmask", &[0, set, 0, 8]);
    machine.value("kill", &[1, SIGUSR2.into()]);
    machine.value("kill", &[1, SIGUSR1.into()]);
    let before = *machine.guest.registers();
    assert_eq!(
        machine.flow("rt_sigprocmask", &[1, set, 0, 8]),
        Flow::Continue
    );
    // The one with the higher number runs first: its frame was built last.
    assert_eq!(machine.guest.registers().rdi, u64::from(SIGUSR2));
    assert_eq!(return_from_handler(&mut machine), Flow::Continue);
    assert_eq!(machine.guest.registers().rdi, u64::from(SIGUSR1));
    assert_eq!(machine.guest.registers().rip, HANDLER);
    assert_eq!(return_from_handler(&mut machine), Flow::Continue);
    assert_eq!(machine.guest.registers().rsp, before.rsp);
    assert_eq!(machine.guest.registers().rip, before.rip);
}

#[test]
fn the_alternate_stack_is_used_once() {
    let mut machine = machine();
    let stack = machine.words(&[OTHER_STACK, 0, 0x4000]);
    machine.value("sigaltstack", &[stack, 0]);
    set_action(
        &mut machine,
        SIGUSR1,
        SA_RESTORER | SA_ONSTACK | SA_NODEFER,
        0,
    );
    machine.flow("kill", &[1, SIGUSR1.into()]);
    let first = machine.guest.registers().rsp;
    assert!((OTHER_STACK..OTHER_STACK + 0x4000 - 440).contains(&first));
    assert!(first > OTHER_STACK + 0x4000 - (580 + 63) - 440 - 24);
    machine.flow("kill", &[1, SIGUSR1.into()]);
    let second = machine.guest.registers().rsp;
    assert!(
        second <= first - 440 - 128,
        "nested: below, not at the top again"
    );
    assert_eq!(return_from_handler(&mut machine), Flow::Continue);
    assert_eq!(machine.guest.registers().rsp, first);
    assert_eq!(return_from_handler(&mut machine), Flow::Continue);
    assert_eq!(machine.guest.registers().rsp, STACK_TOP - 0x1238);
    assert_eq!(
        machine.process.state().thread().signals.alternate.base,
        OTHER_STACK
    );
}

#[test]
fn an_alternate_stack_can_disarm_itself() {
    let mut machine = machine();
    let stack = machine.words(&[OTHER_STACK, 1 << 31, 0x4000]);
    machine.value("sigaltstack", &[stack, 0]);
    set_action(&mut machine, SIGUSR1, SA_RESTORER | SA_ONSTACK, 0);
    machine.flow("kill", &[1, SIGUSR1.into()]);
    assert_eq!(machine.process.state().thread().signals.alternate.size, 0);
    assert_eq!(return_from_handler(&mut machine), Flow::Continue);
    assert_eq!(
        machine.process.state().thread().signals.alternate.size,
        0x4000
    );
}

#[test]
fn a_frame_that_does_not_fit_is_the_end() {
    let end = Flow::Signal { number: SIGSEGV };
    // No restorer.
    let mut one = machine();
    set_action(&mut one, SIGUSR1, 0, 0);
    assert_eq!(one.flow("kill", &[1, SIGUSR1.into()]), end);
    // A stack that is not there, or at the very end of the address space.
    for rsp in [STACK + 200, 100, 0, u64::MAX] {
        let mut machine = machine();
        set_action(&mut machine, SIGUSR1, SA_RESTORER, 0);
        machine.guest.registers_mut().rsp = rsp;
        assert_eq!(machine.flow("kill", &[1, SIGUSR1.into()]), end, "{rsp:#x}");
    }
    // An alternate stack that the second frame overflows, although there is memory below.
    let mut machine = machine();
    let stack = machine.words(&[OTHER_STACK + 0x2000, 0, 2048]);
    machine.value("sigaltstack", &[stack, 0]);
    set_action(
        &mut machine,
        SIGUSR1,
        SA_RESTORER | SA_ONSTACK | SA_NODEFER,
        0,
    );
    for expected in [Flow::Continue, end] {
        assert_eq!(machine.flow("kill", &[1, SIGUSR1.into()]), expected);
    }
}

#[test]
fn a_bad_return_is_the_end() {
    let end = Flow::Signal { number: SIGSEGV };
    let mut one = machine();
    one.guest.registers_mut().rsp = 0x1234;
    assert_eq!(one.flow("rt_sigreturn", &[]), end);
    for rip in [0x7fff_ffff_f000, 1 << 63, u64::MAX] {
        let mut machine = machine();
        set_action(&mut machine, SIGUSR1, SA_RESTORER, 0);
        machine.flow("kill", &[1, SIGUSR1.into()]);
        let context = machine.guest.registers().rdx;
        machine
            .guest
            .write(context + 40 + 8 * 16, &rip.to_le_bytes())
            .unwrap();
        assert_eq!(return_from_handler(&mut machine), end);
    }
}

#[test]
fn handlers_outside_user_memory_are_the_end() {
    let mut machine = machine();
    let action = machine.words(&[1 << 63, SA_RESTORER, RESTORER, 0]);
    machine.value("rt_sigaction", &[SIGUSR1.into(), action, 0, 8]);
    assert_eq!(
        machine.flow("kill", &[1, SIGUSR1.into()]),
        Flow::Signal { number: SIGSEGV }
    );
}

/// An exception at the registers of the machine.
fn exception(machine: &Machine, vector: u8) -> Exception {
    let registers = *machine.guest.registers();
    Exception {
        vector,
        error_code: 7,
        address: 0x1234,
        registers,
    }
}

#[test]
fn faults_tell_whether_something_is_mapped() {
    for (address, code) in [(0xFFF, 1), (0x1000, 2), (0x1FFF, 2), (0x2000, 1)] {
        let mut machine = machine();
        machine.guest.map_at(0x1000, 0x1000, Protection::NONE);
        set_action(&mut machine, SIGSEGV.cast_unsigned(), SA_RESTORER, 0);
        let fault = Exception {
            address,
            ..exception(&machine, 14)
        };
        let flow = machine.process.fault(&mut machine.guest, &fault);
        assert_eq!(flow, Flow::Continue);
        let info = machine.guest.bytes(machine.guest.registers().rsi, 128);
        assert_eq!(u32_at(&info, 8), code, "at {address:#x}");
    }
}

#[test]
fn faults_go_to_their_handler() {
    // Vector, signal, code, address.
    let cases = [
        (0, 8, 1, 0x40_3000),
        (1, 5, 2, 0x40_3000),
        (3, 5, 0x80, 0),
        (6, 4, 2, 0x40_3000),
        (11, 7, 0x80, 0),
        (13, 11, 0x80, 0),
        (14, 11, 1, 0x1234),
        (17, 7, 1, 0),
        (19, 8, 7, 0x40_3000),
    ];
    for (vector, signal, code, address) in cases {
        let mut machine = machine();
        let fault = exception(&machine, vector);
        let before = *machine.guest.registers();
        let no_handler = machine.process.fault(&mut machine.guest, &fault);
        assert_eq!(no_handler, Flow::Signal { number: signal });
        assert_eq!(
            *machine.guest.registers(),
            before,
            "nothing changed, for the report"
        );

        set_action(&mut machine, signal.cast_unsigned(), SA_RESTORER, 0);
        *machine.guest.registers_mut() = Registers::default();
        assert_eq!(
            machine.process.fault(&mut machine.guest, &fault),
            Flow::Continue
        );
        let inside = *machine.guest.registers();
        assert_eq!(inside.rdi, u64::from(signal.cast_unsigned()));
        let info = machine.guest.bytes(inside.rsi, 128);
        assert_eq!(
            (u32_at(&info, 8), u64_at(&info, 16)),
            (code, address),
            "vector {vector}"
        );
        let context = machine.guest.bytes(inside.rdx + 40, 256);
        assert_eq!(
            (u64_at(&context, 152), u64_at(&context, 160)),
            (7, vector.into())
        );
        assert_eq!(u64_at(&context, 176), 0x1234);
        assert_eq!(u64_at(&context, 8 * 16), before.rip);
        // A fault in the handler is the end, because the signal is blocked.
        let again = machine.process.fault(&mut machine.guest, &fault);
        assert_eq!(again, Flow::Signal { number: signal });
    }
}

#[test]
fn an_ignored_fault_is_the_end() {
    let mut machine = machine();
    let ignore = machine.words(&[1, 0, 0, 0]);
    machine.value("rt_sigaction", &[11, ignore, 0, 8]);
    let fault = exception(&machine, 14);
    let flow = machine.process.fault(&mut machine.guest, &fault);
    assert_eq!(flow, Flow::Signal { number: SIGSEGV });
}
