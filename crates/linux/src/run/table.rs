//! The table of system calls: number, name, handler, and what it needs from the host.

use crate::call::context::Context;
use crate::call::failure::Answer;
use crate::calls::futex::{self, robust};
use crate::calls::{
    clock, clone, descriptor, epoll, eventfd, io, ioctl, kill, lock, memfd, memory, network, path,
    pipe, poll, signal, signalfd, sigreturn, sigwait, system, thread, timer, timerfd,
};

/// What a system call needs from the host (a column of the table of calls).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing: the call is about the program itself.
    None,
    /// A file or directory by path.
    Path {
        /// Which argument is the path.
        argument: usize,
    },
}

/// A function that answers a call.
pub(crate) type Handler = fn(&mut Context<'_>) -> Answer;

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    /// Number in RAX (asm/unistd_64.h).
    pub(crate) number: u16,
    /// Name as in the manual pages.
    pub(crate) name: &'static str,
    /// Answers it.
    pub(crate) handler: Handler,
    /// What it needs from the host.
    #[allow(
        dead_code,
        reason = "for readers, and for tests of all calls with a path"
    )]
    pub(crate) access: Access,
}

/// A call about the program itself.
const fn own(number: u16, name: &'static str, handler: Handler) -> Call {
    Call {
        number,
        name,
        handler,
        access: Access::None,
    }
}

/// A call with a path in argument `argument`.
const fn on_path(number: u16, name: &'static str, handler: Handler, argument: usize) -> Call {
    Call {
        number,
        name,
        handler,
        access: Access::Path { argument },
    }
}

/// Every call that exists, in the order of the numbers.
pub(crate) static CALLS: &[Call] = &[
    own(0, "read", io::read),
    own(1, "write", io::write),
    on_path(2, "open", path::open, 0),
    own(3, "close", descriptor::close),
    on_path(4, "stat", path::stat, 0),
    own(5, "fstat", path::fstat),
    on_path(6, "lstat", path::lstat, 0),
    own(7, "poll", poll::poll),
    own(8, "lseek", io::lseek),
    own(9, "mmap", memory::mmap),
    own(10, "mprotect", memory::mprotect),
    own(11, "munmap", memory::munmap),
    own(12, "brk", memory::brk),
    own(13, "rt_sigaction", signal::rt_sigaction),
    own(14, "rt_sigprocmask", signal::rt_sigprocmask),
    own(15, "rt_sigreturn", sigreturn::rt_sigreturn),
    own(16, "ioctl", ioctl::ioctl),
    own(17, "pread64", io::pread),
    own(18, "pwrite64", io::pwrite),
    own(19, "readv", io::readv),
    own(20, "writev", io::writev),
    on_path(21, "access", path::access, 0),
    own(22, "pipe", pipe::pipe),
    own(23, "select", poll::select),
    own(24, "sched_yield", thread::sched_yield),
    own(25, "mremap", memory::mremap),
    own(26, "msync", memory::msync),
    own(27, "mincore", memory::mincore),
    own(28, "madvise", memory::madvise),
    own(32, "dup", descriptor::dup),
    own(33, "dup2", descriptor::dup2),
    own(34, "pause", sigwait::pause),
    own(35, "nanosleep", clock::nanosleep),
    own(36, "getitimer", timer::getitimer),
    own(37, "alarm", timer::alarm),
    own(38, "setitimer", timer::setitimer),
    own(39, "getpid", thread::getpid),
    own(40, "sendfile", path::sendfile),
    own(41, "socket", network::socket),
    own(42, "connect", network::connect),
    own(43, "accept", network::accept),
    own(44, "sendto", network::sendto),
    own(45, "recvfrom", network::recvfrom),
    own(46, "sendmsg", network::sendmsg),
    own(47, "recvmsg", network::recvmsg),
    own(48, "shutdown", network::shutdown),
    own(49, "bind", network::bind),
    own(50, "listen", network::listen),
    own(51, "getsockname", network::getsockname),
    own(52, "getpeername", network::getpeername),
    own(53, "socketpair", network::socketpair),
    own(54, "setsockopt", network::setsockopt),
    own(55, "getsockopt", network::getsockopt),
    own(56, "clone", clone::clone),
    own(60, "exit", clone::exit),
    own(61, "wait4", thread::wait4),
    own(62, "kill", kill::kill),
    own(63, "uname", system::uname),
    own(72, "fcntl", descriptor::fcntl),
    own(73, "flock", lock::flock),
    own(74, "fsync", path::fsync),
    own(75, "fdatasync", path::fdatasync),
    on_path(76, "truncate", path::truncate, 0),
    own(77, "ftruncate", path::ftruncate),
    own(78, "getdents", path::getdents),
    own(79, "getcwd", path::getcwd),
    on_path(80, "chdir", path::chdir, 0),
    own(81, "fchdir", path::fchdir),
    on_path(82, "rename", path::rename, 0),
    on_path(83, "mkdir", path::mkdir, 0),
    on_path(84, "rmdir", path::rmdir, 0),
    on_path(85, "creat", path::creat, 0),
    on_path(86, "link", path::link, 0),
    on_path(87, "unlink", path::unlink, 0),
    on_path(88, "symlink", path::symlink, 1),
    on_path(89, "readlink", path::readlink, 0),
    on_path(90, "chmod", path::chmod, 0),
    own(91, "fchmod", path::fchmod),
    on_path(92, "chown", path::chown, 0),
    own(93, "fchown", path::fchown),
    on_path(94, "lchown", path::lchown, 0),
    own(95, "umask", system::umask),
    own(96, "gettimeofday", clock::gettimeofday),
    own(97, "getrlimit", system::getrlimit),
    own(98, "getrusage", clock::getrusage),
    own(99, "sysinfo", system::sysinfo),
    own(100, "times", clock::times),
    own(102, "getuid", system::user_id),
    own(104, "getgid", system::user_id),
    own(105, "setuid", system::set_user_id),
    own(106, "setgid", system::set_user_id),
    own(107, "geteuid", system::user_id),
    own(108, "getegid", system::user_id),
    own(109, "setpgid", thread::not_permitted),
    own(110, "getppid", thread::nothing),
    own(111, "getpgrp", thread::own_id),
    own(112, "setsid", thread::not_permitted),
    own(115, "getgroups", thread::getgroups),
    own(118, "getresuid", system::user_ids),
    own(120, "getresgid", system::user_ids),
    own(121, "getpgid", thread::id_of),
    own(124, "getsid", thread::id_of),
    own(125, "capget", thread::not_permitted),
    own(126, "capset", thread::not_permitted),
    own(127, "rt_sigpending", signal::rt_sigpending),
    own(128, "rt_sigtimedwait", sigwait::rt_sigtimedwait),
    own(129, "rt_sigqueueinfo", kill::rt_sigqueueinfo),
    own(130, "rt_sigsuspend", sigwait::rt_sigsuspend),
    own(131, "sigaltstack", signal::sigaltstack),
    on_path(132, "utime", path::utime, 0),
    on_path(133, "mknod", path::mknod, 0),
    on_path(137, "statfs", path::statfs, 0),
    own(138, "fstatfs", path::fstatfs),
    own(140, "getpriority", thread::getpriority),
    own(141, "setpriority", thread::setpriority),
    own(143, "sched_getparam", thread::sched_getparam),
    own(144, "sched_setscheduler", thread::sched_setscheduler),
    own(145, "sched_getscheduler", thread::sched_getscheduler),
    own(146, "sched_get_priority_max", thread::sched_priority_max),
    own(147, "sched_get_priority_min", thread::sched_priority_min),
    own(149, "mlock", memory::mlock),
    own(150, "munlock", memory::mlock),
    own(151, "mlockall", memory::mlockall),
    own(152, "munlockall", thread::nothing),
    own(157, "prctl", system::prctl),
    own(158, "arch_prctl", system::arch_prctl),
    own(160, "setrlimit", system::setrlimit),
    own(162, "sync", path::sync),
    own(186, "gettid", thread::gettid),
    own(187, "readahead", path::readahead),
    own(188, "setxattr", path::unsupported),
    own(189, "lsetxattr", path::unsupported),
    own(190, "fsetxattr", path::unsupported),
    own(191, "getxattr", path::unsupported),
    own(192, "lgetxattr", path::unsupported),
    own(193, "fgetxattr", path::unsupported),
    own(194, "listxattr", path::unsupported),
    own(195, "llistxattr", path::unsupported),
    own(196, "flistxattr", path::unsupported),
    own(197, "removexattr", path::unsupported),
    own(198, "lremovexattr", path::unsupported),
    own(199, "fremovexattr", path::unsupported),
    own(200, "tkill", kill::tkill),
    own(201, "time", clock::time),
    own(202, "futex", futex::futex),
    own(203, "sched_setaffinity", thread::sched_setaffinity),
    own(204, "sched_getaffinity", thread::sched_getaffinity),
    own(213, "epoll_create", epoll::epoll_create),
    own(217, "getdents64", path::getdents64),
    own(218, "set_tid_address", clone::set_tid_address),
    own(221, "fadvise64", path::fadvise),
    own(222, "timer_create", timer::timer_create),
    own(223, "timer_settime", timer::timer_settime),
    own(224, "timer_gettime", timer::timer_gettime),
    own(225, "timer_getoverrun", timer::timer_getoverrun),
    own(226, "timer_delete", timer::timer_delete),
    own(227, "clock_settime", clock::clock_settime),
    own(228, "clock_gettime", clock::clock_gettime),
    own(229, "clock_getres", clock::clock_getres),
    own(230, "clock_nanosleep", clock::clock_nanosleep),
    own(231, "exit_group", clone::exit_group),
    own(232, "epoll_wait", epoll::epoll_wait),
    own(233, "epoll_ctl", epoll::epoll_ctl),
    own(234, "tgkill", kill::tgkill),
    on_path(235, "utimes", path::utimes, 0),
    own(247, "waitid", thread::no_children),
    on_path(257, "openat", path::openat, 1),
    on_path(258, "mkdirat", path::mkdirat, 1),
    on_path(259, "mknodat", path::mknodat, 1),
    on_path(260, "fchownat", path::fchownat, 1),
    on_path(261, "futimesat", path::futimesat, 1),
    on_path(262, "newfstatat", path::newfstatat, 1),
    on_path(263, "unlinkat", path::unlinkat, 1),
    on_path(264, "renameat", path::renameat, 1),
    on_path(265, "linkat", path::linkat, 1),
    on_path(266, "symlinkat", path::symlinkat, 2),
    on_path(267, "readlinkat", path::readlinkat, 1),
    on_path(268, "fchmodat", path::fchmodat, 1),
    on_path(269, "faccessat", path::faccessat, 1),
    own(270, "pselect6", poll::pselect6),
    own(271, "ppoll", poll::ppoll),
    own(273, "set_robust_list", robust::set_robust_list),
    own(274, "get_robust_list", robust::get_robust_list),
    own(275, "splice", path::splice),
    own(276, "tee", path::splice),
    own(277, "sync_file_range", path::fdatasync),
    own(278, "vmsplice", path::splice),
    on_path(280, "utimensat", path::utimensat, 1),
    own(281, "epoll_pwait", epoll::epoll_pwait),
    own(282, "signalfd", signalfd::signalfd),
    own(283, "timerfd_create", timerfd::timerfd_create),
    own(284, "eventfd", eventfd::eventfd),
    own(285, "fallocate", path::fallocate),
    own(286, "timerfd_settime", timerfd::timerfd_settime),
    own(287, "timerfd_gettime", timerfd::timerfd_gettime),
    own(288, "accept4", network::accept),
    own(289, "signalfd4", signalfd::signalfd4),
    own(290, "eventfd2", eventfd::eventfd2),
    own(291, "epoll_create1", epoll::epoll_create1),
    own(292, "dup3", descriptor::dup3),
    own(293, "pipe2", pipe::pipe2),
    own(295, "preadv", io::preadv),
    own(296, "pwritev", io::pwritev),
    own(297, "rt_tgsigqueueinfo", kill::rt_tgsigqueueinfo),
    own(299, "recvmmsg", network::recvmmsg),
    own(302, "prlimit64", system::prlimit),
    own(306, "syncfs", path::syncfs),
    own(307, "sendmmsg", network::sendmmsg),
    own(309, "getcpu", thread::getcpu),
    on_path(316, "renameat2", path::renameat2, 1),
    own(318, "getrandom", system::getrandom),
    own(319, "memfd_create", memfd::memfd_create),
    own(324, "membarrier", thread::membarrier),
    own(325, "mlock2", memory::mlock2),
    own(326, "copy_file_range", path::copy_file_range),
    own(327, "preadv2", io::preadv2),
    own(328, "pwritev2", io::pwritev2),
    on_path(332, "statx", path::statx, 1),
    own(334, "rseq", thread::not_supported),
    own(435, "clone3", clone::clone3),
    own(436, "close_range", descriptor::close_range),
    on_path(437, "openat2", path::openat2, 1),
    on_path(439, "faccessat2", path::faccessat2, 1),
    own(441, "epoll_pwait2", epoll::epoll_pwait2),
    on_path(452, "fchmodat2", path::fchmodat2, 1),
];

/// One more than the highest number that any x86-64 call has.
const NUMBERS: usize = 512;
/// In the index: no such call.
const NONE: u16 = u16::MAX;

/// From a number to its place in [`CALLS`].
static INDEX: [u16; NUMBERS] = {
    let mut index = [NONE; NUMBERS];
    let mut place = 0;
    while place < CALLS.len() {
        assert!(place < NONE as usize, "the place fits");
        assert!(
            index[CALLS[place].number as usize] == NONE,
            "each number once"
        );
        #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
        {
            index[CALLS[place].number as usize] = place as u16;
        }
        place += 1;
    }
    index
};

/// The name that Linux has for a number.
pub(crate) fn name_of(number: u32) -> Option<&'static str> {
    let number = usize::try_from(number).ok()?;
    syscalls::x86_64::Sysno::new(number).map(|known| known.name())
}

/// The line of a call, if it exists.
pub(crate) fn find(number: u32) -> Option<&'static Call> {
    let place = INDEX.get(usize::try_from(number).ok()?)?;
    CALLS.get(usize::from(*place))
}
