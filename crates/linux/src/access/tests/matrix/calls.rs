//! Every call with a path, with the arguments under which it does something.

use Argument::{Cwd, Fd, Is, Path, Room, Text};

use crate::access::tests::matrix::{AtLink, Thing};
use crate::tests::{Machine, int};
use crate::wire::errno::{EEXIST, EINVAL, ELOOP, ENOTDIR, EOPNOTSUPP, Errno};
use crate::wire::file::AT_FDCWD;

/// An argument of a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Argument {
    /// The directory that a path is relative to.
    Fd,
    /// The path that a case is about.
    Path,
    /// A number.
    Is(u64),
    /// `AT_FDCWD`
    Cwd,
    /// Zeroed memory: a buffer for results, or times (1970), or how to open.
    Room,
    /// Another path, or text.
    Text(&'static str),
}

/// A call of the table, one way to use it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    /// As in the table.
    pub(super) call: &'static str,
    pub(super) arguments: &'static [Argument],
    /// What it is meant for.
    pub(super) thing: Thing,
    /// It needs the right to write.
    pub(super) writes: bool,
    /// Something is another than before if it succeeds.
    pub(super) effect: bool,
    pub(super) at_link: AtLink,
    /// What it says of something that is no link.
    pub(super) otherwise: Option<Errno>,
}

impl Case {
    const fn at_link(self, at_link: AtLink) -> Self {
        Self { at_link, ..self }
    }

    const fn refuses_links(self, error: Errno) -> Self {
        self.at_link(AtLink::Refuses(error))
    }

    const fn on_links(self) -> Self {
        self.at_link(AtLink::Itself)
    }

    const fn otherwise(self, error: Errno) -> Self {
        Self {
            otherwise: Some(error),
            ..self
        }
    }

    /// It may change something, but does not.
    const fn idle(self) -> Self {
        Self {
            effect: false,
            ..self
        }
    }

    /// True if it takes a directory.
    pub(super) fn has_directory(&self) -> bool {
        self.arguments.iter().any(|argument| matches!(argument, Fd))
    }

    /// Makes the call.
    pub(super) fn run(&self, machine: &mut Machine, fd: i32, path: u64) -> i64 {
        let arguments: Vec<u64> = self
            .arguments
            .iter()
            .map(|argument| match argument {
                Fd => int(fd),
                Path => path,
                Is(number) => *number,
                Cwd => int(AT_FDCWD),
                Room => machine.room(256),
                Text(text) => machine.guest.put_c_string(text),
            })
            .collect();
        machine.call(self.call, &arguments)
    }
}

/// Looks at a file.
const fn looks(call: &'static str, arguments: &'static [Argument]) -> Case {
    Case {
        call,
        arguments,
        thing: Thing::File,
        writes: false,
        effect: false,
        at_link: AtLink::Follows,
        otherwise: None,
    }
}

/// Changes a file.
const fn changes(call: &'static str, arguments: &'static [Argument]) -> Case {
    Case {
        writes: true,
        effect: true,
        ..looks(call, arguments)
    }
}

/// Makes something at a name that is free.
const fn makes(call: &'static str, arguments: &'static [Argument]) -> Case {
    Case {
        thing: Thing::New,
        ..changes(call, arguments).refuses_links(EEXIST)
    }
}

/// The same call for a directory.
const fn directory(case: Case) -> Case {
    Case {
        thing: Thing::Directory,
        ..case
    }
}

/// Where links and renames of a case lead to, and come from: beside all that a case names.
const BESIDE: Argument = Text("/write/beside");
const OTHER: Argument = Text("/write/other");

// asm-generic/fcntl.h, linux/fcntl.h
const O_WRONLY: Argument = Is(1);
const O_RDWR: Argument = Is(2);
const O_CREAT: Argument = Is(0o100);
const O_CREAT_EXCL: Argument = Is(0o300);
const O_TRUNC: Argument = Is(0o1000);
const O_APPEND: Argument = Is(0o2000);
const O_ALL: Argument = Is(0o3102);
const O_DIRECTORY: Argument = Is(0o200_000);
const O_NOFOLLOW: Argument = Is(0o400_000);
const O_PATH: Argument = Is(0o10_000_000);
const O_PATH_NOFOLLOW: Argument = Is(0o10_400_000);
const MODE: Argument = Is(0o604);
const NOFOLLOW: Argument = Is(0x100);
const REMOVEDIR: Argument = Is(0x200);
const FOLLOW: Argument = Is(0x400);
const NONE: Argument = Is(0);
const OWN: Argument = Is(1000);
const PLAIN_FILE: Argument = Is(0o100_600);

pub(super) const CALLS: &[Case] = &[
    looks("open", &[Path, NONE]),
    looks("open", &[Path, O_PATH]),
    looks("open", &[Path, O_NOFOLLOW]).refuses_links(ELOOP),
    looks("open", &[Path, O_PATH_NOFOLLOW]).on_links(),
    changes("open", &[Path, O_WRONLY]).idle(),
    changes("open", &[Path, O_RDWR]).idle(),
    changes("open", &[Path, O_TRUNC]),
    changes("open", &[Path, O_APPEND]).idle(),
    changes("open", &[Path, O_CREAT, MODE]).idle(),
    changes("open", &[Path, O_ALL, MODE]),
    makes("open", &[Path, O_CREAT, MODE]).at_link(AtLink::Follows),
    makes("open", &[Path, O_ALL, MODE]).at_link(AtLink::Follows),
    makes("open", &[Path, O_CREAT_EXCL, MODE]),
    directory(looks("open", &[Path, O_DIRECTORY])),
    directory(looks("open", &[Path, NONE])),
    looks("openat", &[Fd, Path, NONE]),
    looks("openat", &[Fd, Path, O_PATH]),
    looks("openat", &[Fd, Path, O_PATH_NOFOLLOW]).on_links(),
    changes("openat", &[Fd, Path, O_WRONLY]).idle(),
    changes("openat", &[Fd, Path, O_RDWR]).idle(),
    changes("openat", &[Fd, Path, O_TRUNC]),
    changes("openat", &[Fd, Path, O_APPEND]).idle(),
    changes("openat", &[Fd, Path, O_CREAT, MODE]).idle(),
    changes("openat", &[Fd, Path, O_ALL, MODE]),
    makes("openat", &[Fd, Path, O_CREAT, MODE]).at_link(AtLink::Follows),
    makes("openat", &[Fd, Path, O_CREAT_EXCL, MODE]),
    directory(looks("openat", &[Fd, Path, O_DIRECTORY])),
    looks("openat2", &[Fd, Path, Room, Is(24)]),
    changes("creat", &[Path, MODE]),
    makes("creat", &[Path, MODE]).at_link(AtLink::Follows),
    looks("stat", &[Path, Room]),
    directory(looks("stat", &[Path, Room])),
    looks("lstat", &[Path, Room]).on_links(),
    looks("newfstatat", &[Fd, Path, Room, NONE]),
    looks("newfstatat", &[Fd, Path, Room, NOFOLLOW]).on_links(),
    looks("statx", &[Fd, Path, NONE, Is(0x7ff), Room]),
    looks("statx", &[Fd, Path, NOFOLLOW, Is(0x7ff), Room]).on_links(),
    looks("statfs", &[Path, Room]),
    looks("access", &[Path, Is(4)]),
    changes("access", &[Path, Is(2)]).idle(),
    directory(looks("access", &[Path, Is(1)])),
    looks("faccessat", &[Fd, Path, Is(4)]),
    changes("faccessat", &[Fd, Path, Is(6)]).idle(),
    looks("faccessat2", &[Fd, Path, NONE, NONE]),
    looks("faccessat2", &[Fd, Path, Is(4), NOFOLLOW]).on_links(),
    changes("faccessat2", &[Fd, Path, Is(2), NONE]).idle(),
    looks("readlink", &[Path, Room, Is(256)])
        .on_links()
        .otherwise(EINVAL),
    looks("readlinkat", &[Fd, Path, Room, Is(256)])
        .on_links()
        .otherwise(EINVAL),
    directory(looks("chdir", &[Path])),
    looks("chdir", &[Path]).otherwise(ENOTDIR),
    changes("truncate", &[Path, Is(3)]),
    changes("chmod", &[Path, MODE]),
    directory(changes("chmod", &[Path, MODE])),
    changes("fchmodat", &[Fd, Path, MODE]),
    changes("fchmodat2", &[Fd, Path, MODE, NONE]),
    changes("fchmodat2", &[Fd, Path, MODE, NOFOLLOW]).refuses_links(EOPNOTSUPP),
    changes("chown", &[Path, OWN, OWN]).idle(),
    changes("lchown", &[Path, OWN, OWN]).idle().on_links(),
    changes("fchownat", &[Fd, Path, OWN, OWN, NONE]).idle(),
    changes("fchownat", &[Fd, Path, OWN, OWN, NOFOLLOW])
        .idle()
        .on_links(),
    changes("utime", &[Path, Room]),
    changes("utimes", &[Path, Room]),
    directory(changes("utimes", &[Path, Room])),
    changes("futimesat", &[Fd, Path, Room]),
    changes("utimensat", &[Fd, Path, Room, NONE]),
    changes("utimensat", &[Fd, Path, Room, NOFOLLOW]).on_links(),
    makes("mkdir", &[Path, MODE]),
    makes("mkdirat", &[Fd, Path, MODE]),
    makes("mknod", &[Path, PLAIN_FILE]),
    makes("mknodat", &[Fd, Path, PLAIN_FILE]),
    makes("symlink", &[Text("file"), Path]),
    makes("symlinkat", &[Text("file"), Fd, Path]),
    changes("unlink", &[Path]).on_links(),
    changes("unlinkat", &[Fd, Path, NONE]).on_links(),
    directory(changes("unlinkat", &[Fd, Path, REMOVEDIR])).refuses_links(ENOTDIR),
    directory(changes("rmdir", &[Path])).refuses_links(ENOTDIR),
    changes("link", &[Path, BESIDE]).on_links(),
    makes("link", &[OTHER, Path]),
    changes("linkat", &[Fd, Path, Cwd, BESIDE, NONE]).on_links(),
    changes("linkat", &[Fd, Path, Cwd, BESIDE, FOLLOW]),
    makes("linkat", &[Cwd, OTHER, Fd, Path, NONE]),
    changes("rename", &[Path, BESIDE]).on_links(),
    changes("rename", &[OTHER, Path]).on_links(),
    makes("rename", &[OTHER, Path]).on_links(),
    directory(changes("rename", &[Path, BESIDE])).on_links(),
    changes("renameat", &[Fd, Path, Cwd, BESIDE]).on_links(),
    changes("renameat", &[Cwd, OTHER, Fd, Path]).on_links(),
    changes("renameat2", &[Fd, Path, Cwd, BESIDE, Is(1)]).on_links(),
    changes("renameat2", &[Cwd, OTHER, Fd, Path, Is(2)]).on_links(),
    makes("renameat2", &[Cwd, OTHER, Fd, Path, Is(1)]),
];
