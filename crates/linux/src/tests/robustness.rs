//! Whatever a program passes, no call panics, and a bad pointer is `EFAULT`.

use proptest::prelude::*;
use tinykvm::{Guest, Protection};

use crate::host::Flow;
use crate::run::table::{self, Access};
use crate::tests::{Machine, NOWHERE};
use crate::wire::errno::EFAULT;

/// Calls that read or write memory at an argument, with arguments under which they do. A pointer
/// argument is `P`, and each one in turn is made bad while the others are good.
const P: u64 = 0xdead_0000;
const POINTERS: &[(&str, &[u64])] = &[
    ("write", &[1, P, 5]),
    ("fstat", &[1, P]),
    ("fstatfs", &[1, P]),
    ("poll", &[P, 1, 0]),
    ("rt_sigaction", &[10, P, P, 8]),
    ("rt_sigprocmask", &[0, P, P, 8]),
    ("ioctl", &[1, 0x5421, P]),
    ("ioctl", &[0, 0x541b, P]),
    ("writev", &[1, P, 1]),
    ("nanosleep", &[P, 0]),
    ("uname", &[P]),
    ("getcwd", &[P, 100]),
    ("readlink", &[P, P, 100]),
    ("gettimeofday", &[P, P]),
    ("getrlimit", &[7, P]),
    ("setrlimit", &[7, P]),
    ("getrusage", &[0, P]),
    ("sysinfo", &[P]),
    ("times", &[P]),
    ("getresuid", &[P, P, P]),
    ("getresgid", &[P, P, P]),
    ("rt_sigpending", &[P, 8]),
    ("sigaltstack", &[P, P]),
    ("sched_getparam", &[0, P]),
    ("sched_setscheduler", &[0, 0, P]),
    ("prctl", &[15, P]),
    ("prctl", &[16, P]),
    ("arch_prctl", &[0x1003, P]),
    ("arch_prctl", &[0x1004, P]),
    ("time", &[P]),
    ("getitimer", &[0, P]),
    ("setitimer", &[0, P, P]),
    ("clock_settime", &[0, P]),
    ("rt_sigtimedwait", &[P, 0, P, 8]),
    ("rt_sigqueueinfo", &[1, 10, P]),
    ("rt_tgsigqueueinfo", &[1, 1, 10, P]),
    ("rt_sigsuspend", &[P, 8]),
    ("timer_create", &[1, P, 0x1000]),
    ("timer_create", &[1, 0, P]),
    ("timer_settime", &[0, 0, P, P]),
    ("timer_gettime", &[0, P]),
    ("clone3", &[P, 88]),
    ("futex", &[P, 5, 1, 1, 0x1000, 0]),
    ("futex", &[P, 6, 0]),
    ("futex", &[P, 7, 0]),
    ("futex", &[P, 8, 0]),
    ("futex", &[P, 0, 1]),
    ("futex", &[P, 0, 0, P]),
    ("futex", &[P, 4, 1, 1, 0x1000, 0]),
    ("sched_setaffinity", &[0, 8, P]),
    ("sched_getaffinity", &[0, 8, P]),
    ("clock_gettime", &[1, P]),
    ("clock_getres", &[1, P]),
    ("clock_nanosleep", &[1, 0, P, 0]),
    ("newfstatat", &[1, P, P, 0x1000]),
    ("readlinkat", &[0, P, P, 100]),
    ("ppoll", &[P, 1, P, P, 8]),
    ("get_robust_list", &[0, P, P]),
    ("prlimit64", &[0, 7, P, P]),
    ("getcpu", &[P, P]),
    ("getrandom", &[P, 16, 0]),
    ("statx", &[1, P, 0x1000, 0, P]),
    ("signalfd", &[u64::MAX, P, 8]),
    ("signalfd4", &[u64::MAX, P, 8, 0]),
    ("pipe", &[P]),
    ("pipe2", &[P, 0]),
    ("socketpair", &[1, 1, 0, P]),
    ("select", &[3, P, P, P, P]),
    ("pselect6", &[3, P, P, P, P, P]),
    ("epoll_ctl", &[1, 1, 1, P]),
    ("epoll_pwait", &[1, 0x1000, 1, 0, P, 8]),
    ("epoll_pwait2", &[1, 0x1000, 1, P, P, 8]),
    ("timerfd_settime", &[1, 0, P, 0]),
    ("memfd_create", &[P, 0]),
];

/// Calls without a pointer that is followed, or (second line) only passed to the address space.
const NO_POINTERS: &[&str] = &[
    "setuid",
    "setgid",
    "setpriority",
    "preadv2",
    "pwritev2",
    "read",
    "close",
    "lseek",
    "rt_sigreturn",
    "pread64",
    "pwrite64",
    "readv",
    "sched_yield",
    "dup",
    "mmap",
    "mprotect",
    "munmap",
    "brk",
    "mremap",
    "msync",
    "mincore",
    "madvise",
    "mlock",
    "munlock",
    "mlock2",
    "mlockall",
    "munlockall",
    "dup2",
    "getpid",
    "clone",
    "exit",
    "kill",
    "fcntl",
    "umask",
    "getuid",
    "getgid",
    "geteuid",
    "getegid",
    "setpgid",
    "getppid",
    "getpgrp",
    "setsid",
    "getgroups",
    "getpgid",
    "getsid",
    "capget",
    "capset",
    "getpriority",
    "sched_getscheduler",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "gettid",
    "tkill",
    "getdents64",
    "set_tid_address",
    "exit_group",
    "tgkill",
    "set_robust_list",
    "dup3",
    "preadv",
    "pwritev",
    "membarrier",
    "rseq",
    "pause",
    "alarm",
    "timer_getoverrun",
    "timer_delete",
    "wait4",
    "waitid",
    "close_range",
    "timerfd_create",
    "eventfd",
    "eventfd2",
    "epoll_create",
    "epoll_create1",
    "socket",
    // On their own kind of descriptor they do; see the tests beside them.
    "epoll_wait",
    "timerfd_gettime",
    "connect",
    "accept",
    "accept4",
    "sendto",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "sendmmsg",
    "recvmmsg",
    "shutdown",
    "bind",
    "listen",
    "getsockname",
    "getpeername",
    "setsockopt",
    "getsockopt",
    "sendfile",
    "fsync",
    "flock",
    "fdatasync",
    "ftruncate",
    "getdents",
    "fchdir",
    "fchmod",
    "fchown",
    "sync",
    "readahead",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "getxattr",
    "lgetxattr",
    "fgetxattr",
    "listxattr",
    "llistxattr",
    "flistxattr",
    "removexattr",
    "lremovexattr",
    "fremovexattr",
    "fadvise64",
    "splice",
    "tee",
    "sync_file_range",
    "vmsplice",
    "fallocate",
    "syncfs",
    "copy_file_range",
];

/// Memory that suits every call in the list: a path, a small timespec, a signal set, zeroes. It
/// reads as the path where a call wants one.
fn good_memory(machine: &mut Machine, name: &str, position: usize) -> u64 {
    let path = match (name, position) {
        ("readlink", 0) | ("readlinkat", 1) => &b"/proc/self/exe\0"[..],
        ("writev", 1) => {
            let text = machine.guest.put(b"text");
            return machine.words(&[text, 4]);
        }
        ("ppoll", 0) | ("poll", 0) => &[1, 0, 0, 0, 4, 0, 0, 0],
        ("sched_setaffinity", 2) => &[1],
        ("sigaltstack", 0) => return machine.words(&[0, 2, 0]),
        _ => &[],
    };
    let mut bytes = path.to_vec();
    bytes.resize(512, 0);
    machine.guest.put(&bytes)
}

#[test]
fn every_bad_pointer_is_efault() {
    for &(name, template) in POINTERS {
        let pointers = (0..template.len()).filter(|&index| template[index] == P);
        for bad in pointers {
            for address in [NOWHERE, 1, u64::MAX, 0x7fff_ffff_effc, 0x8000_0000_0000] {
                // Not aligned, which the futex calls look at first.
                let skipped = name == "futex" && address % 4 != 0;
                if skipped {
                    continue;
                }
                let mut machine = Machine::new();
                if name.starts_with("timer_") {
                    let id = machine.room(4);
                    machine.value("timer_create", &[1, 0, id]);
                }
                let mut arguments = template.to_vec();
                for (index, argument) in arguments.iter_mut().enumerate() {
                    if *argument == P {
                        *argument = good_memory(&mut machine, name, index);
                    }
                }
                arguments[bad] = address;
                machine.fails(name, &arguments, EFAULT);
            }
        }
    }
}

#[test]
fn paths_at_bad_addresses_are_efault() {
    for call in table::CALLS {
        let Access::Path { argument, .. } = call.access else {
            continue;
        };
        let mut machine = Machine::new();
        let arguments = machine.path_arguments(call, argument, NOWHERE);
        machine.fails(call.name, &arguments, EFAULT);
    }
}

#[test]
fn every_call_is_in_one_of_the_lists() {
    for call in table::CALLS {
        let path = call.access != Access::None;
        let pointers = POINTERS.iter().any(|(name, _)| *name == call.name);
        let none = NO_POINTERS.contains(&call.name);
        assert!((path || pointers) != none, "{}", call.name);
    }
}

/// Every call with every pattern of one odd value in all arguments, and then one argument odd.
#[test]
fn no_call_panics_on_odd_arguments() {
    let odd = [
        0,
        1,
        7,
        4095,
        0x1000,
        0x7fff_ffff,
        0x8000_0000,
        u64::from(u32::MAX),
        NOWHERE,
        0x7fff_ffff_e000,
        0x7fff_ffff_f000,
        0x8000_0000_0000,
        1 << 63,
        u64::MAX - 4095,
        u64::MAX,
    ];
    for call in table::CALLS {
        for value in odd {
            let mut machine = Machine::new();
            machine.flow(call.name, &[value; 6]);
            for position in 0..6 {
                for others in [0, 1, 0x1000] {
                    let mut arguments = [others; 6];
                    arguments[position] = value;
                    machine.flow(call.name, &arguments);
                }
            }
        }
    }
}

/// Values that calls give a meaning to, next to anything at all.
fn argument() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..64_u64,
        2 => any::<i32>().prop_map(crate::tests::int),
        4 => (0..16_u64, 0..0x1100_u64).prop_map(|(page, offset)| BASE + page * 0x1000 + offset),
        2 => (0..32_u64).prop_map(|page| BASE + page * 0x1000),
        1 => (12..48_u32).prop_map(|bits| 1 << bits),
        1 => any::<u64>(),
    ]
}

/// Where the sequences find memory: 16 pages with all kinds of protection.
const BASE: u64 = 0x5000_0000;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        20 => (0..table::CALLS.len()).prop_map(|at| u64::from(table::CALLS[at].number)),
        1 => 0..600_u64,
        1 => any::<u64>(),
    ]
}

proptest! {
    #[test]
    fn no_sequence_of_calls_panics(
        contents in prop::collection::vec(any::<u8>(), 0x100),
        calls in prop::collection::vec((number(), prop::array::uniform6(argument())), 1..60),
    ) {
        let mut machine = Machine::new();
        machine.guest = machine.guest.with_memory_limit(16 << 20);
        machine.guest.map_at(BASE, 0x8000, Protection::READ_WRITE);
        machine.guest.map_at(BASE + 0xa000, 0x2000, Protection::READ);
        machine.guest.map_at(BASE + 0xc000, 0x2000, Protection::NONE);
        machine.guest.write(BASE, &contents.repeat(0x80)).unwrap();
        machine.guest.registers_mut().rsp = BASE + 0x7000;
        let template = machine.process.clone();
        let before = format!("{:?}", template.state());
        for (number, arguments) in calls {
            if machine.flow_number(number, &arguments) != Flow::Continue {
                break;
            }
        }
        machine.process.reset_from(&template);
        prop_assert_eq!(before, format!("{:?}", machine.process.state()));
    }
}
