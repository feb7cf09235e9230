//! Processor exceptions and page permissions.

use tinykvm::{Exception, Exit, backtrace};
use tinykvm_testkit::harness::Case;

use super::support::*;

pub fn cases() -> Vec<Case> {
    vec![
        case("exceptions_have_their_vector_and_place", vectors),
        case("the_null_page_is_absent", null),
        case("code_is_not_writable", code),
        case("constants_are_not_writable", constants),
        case("data_and_stack_are_not_executable", data),
        case("the_stack_has_a_guard", overflow),
        case("the_engines_pages_are_out_of_reach", engine_pages),
        case("what_the_host_provides_is_read_only", read_only),
        case("a_backtrace_names_the_callers", names),
        case("a_fork_answers_after_a_fault", after_fault),
    ]
}

fn fault(name: &str, arguments: &[u64]) -> Exception {
    match call(&mut fork(), name, arguments) {
        Exit::Exception(exception) => exception,
        other => panic!("{name}: {other:x?}"),
    }
}

fn vectors() {
    for (name, vector) in [
        ("undefined", 6),
        ("divide", 0),
        ("breakpoint", 3),
        ("non_canonical", 13),
        ("halt", 13),
    ] {
        let exception = fault(name, &[0]);
        assert_eq!(exception.vector, vector, "{exception}");
        let (symbol, _) = image().describe(exception.registers.rip).unwrap();
        assert_eq!(symbol, name);
    }
    // The last symbols of a table have no size: that they have no end either is not said.
    for outside in [0, 0xfff, 0x7fff_0000_0000, u64::MAX] {
        assert_eq!(image().describe(outside), None, "{outside:#x}");
    }
}

/// A page fault at `address` with these error-code bits (1 present, 2 write, 16 fetch).
fn page_fault(name: &str, address: u64, bits: u64) {
    let exception = fault(name, &[address]);
    assert_eq!(exception.vector, 14, "{exception}");
    assert_eq!(exception.address, address, "{exception}");
    assert_eq!(exception.error_code & 0x13, bits, "{exception}");
    assert_eq!(exception.error_code & 4, 4, "from user mode");
}

fn null() {
    page_fault("read_at", 0, 0);
    page_fault("write_at", 0xff8, 2);
    page_fault("call_at", 0, 16);
    page_fault("read_at", 0xfff8, 0);
}

fn code() {
    page_fault("write_at", function("count"), 3);
}

fn constants() {
    page_fault("write_at", function("constant"), 3);
    assert_eq!(ask(&mut fork(), "read_at", &[function("constant")])[0], 5);
}

fn data() {
    page_fault("call_at", function("global"), 17);
    page_fault("call_at", template_stack(), 17);
}

fn template_stack() -> u64 {
    let mut fork = fork();
    fork.begin(BUDGET);
    fork.prepare_call(function("count"));
    tinykvm::Guest::registers(&fork).rsp & !4095
}

fn overflow() {
    let exception = fault("overflow", &[]);
    assert_eq!(
        (exception.vector, exception.error_code & 3),
        (14, 2),
        "{exception}"
    );
    let bottom = template_stack() & !0xf_ffff;
    assert!(exception.address < bottom, "below the stack");
}

/// Where the engine keeps descriptor tables, stubs and exception stack.
const SYSTEM: u64 = 0x7fff_ff80_0000;

fn engine_pages() {
    for page in 0..7 {
        page_fault("read_at", SYSTEM + page * 4096, 1);
        page_fault("write_at", SYSTEM + page * 4096, 3);
    }
}

fn read_only() {
    for page in [0x10, 0x11, 0x14, 0x20] {
        let address = SYSTEM + page * 4096;
        ask(&mut fork(), "read_at", &[address]);
        page_fault("write_at", address, 3);
    }
}

fn names() {
    let mut fork = fork();
    let Exit::Exception(exception) = call(&mut fork, "outer_fault", &[]) else {
        panic!()
    };
    let lines = backtrace(&fork, &image(), &exception.registers);
    let text = lines.join("\n");
    assert!(lines[0].contains("leaf_fault+"), "{text}");
    assert!(lines[1].contains("middle_fault+"), "{text}");
    assert!(lines[2].contains("outer_fault+"), "{text}");
    assert_eq!(lines.len(), 3, "nothing of main's own frames: {text}");
    let shown = exception.to_string();
    assert!(
        shown.contains("page fault at rip 0x") && shown.contains("write to unmapped address 0x10")
    );
}

fn after_fault() {
    for name in ["undefined", "overflow", "leaf_fault"] {
        let mut fork = fork();
        assert!(matches!(call(&mut fork, name, &[]), Exit::Exception(_)));
        assert_eq!(
            ask(&mut fork, "count", &[])[0],
            8,
            "as an error callback would"
        );
        fork.reset().unwrap();
        assert_eq!(ask(&mut fork, "count", &[])[0], 8);
    }
}
