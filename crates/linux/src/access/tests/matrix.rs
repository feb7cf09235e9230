//! Every call with a path, by every way of naming a file, with every permission.
//!
//! What no rule is about does not exist, and where a rule grants less than was asked for, a case is
//! denied: both with one line for the host and nothing changed. Or a case does what the host does,
//! and nothing changes outside of what the program may write.

mod calls;
mod descriptors;
mod directories;
mod ends;
mod ground;

use super::*;
use crate::access::tests::matrix::calls::{CALLS, Case};
use crate::access::tests::matrix::ground::{Ground, WAYS};
use crate::access::tests::tree::{CWD, Tree, outcome};
use crate::run::table::{self, Access};
use crate::tests::Machine;
use crate::wire::errno::{EACCES, EISDIR, ELOOP, ENOENT, ENOTDIR, Errno};

/// What a program may do with the tree that a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum May {
    Nothing,
    Read,
    Write,
}

impl May {
    const ALL: [Self; 3] = [Self::Nothing, Self::Read, Self::Write];

    /// The tree with this permission.
    fn top(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// What a call is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    File,
    Directory,
    /// A name that is free.
    New,
}

impl Thing {
    fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "empty",
            Self::New => "new",
        }
    }
}

/// What a call does with a link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtLink {
    /// It is about what the link leads to.
    Follows,
    /// It is about the link.
    Itself,
    /// It fails.
    Refuses(Errno),
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leads {
    /// To the thing in the tree.
    Inside,
    /// To the thing in the tree, by a link at its end.
    Link,
    /// Out of the tree, by a link at its end.
    LinkOut,
    /// To a link that leads to itself.
    Loop,
    /// Out of the tree.
    Out,
    /// Nowhere, which is told to whom the call is allowed.
    Fails(Errno),
    /// Nowhere, which shows on the way, to who may look.
    DeadEnd(Errno),
    /// Nowhere, which everybody is told.
    Never(Errno),
}

/// What must come of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// No rule is about it: it does not exist.
    Absent,
    /// A rule grants less.
    Denied,
    Fails(Errno),
    Done,
}

impl Case {
    fn expected(&self, may: May, leads: Leads) -> Expected {
        let needed = if self.writes { May::Write } else { May::Read };
        let inside = self.otherwise.map_or(Expected::Done, Expected::Fails);
        let at_link = |followed| match self.at_link {
            AtLink::Follows => followed,
            AtLink::Itself => Expected::Done,
            AtLink::Refuses(error) => Expected::Fails(error),
        };
        match leads {
            Leads::Never(error) => Expected::Fails(error),
            Leads::Out => Expected::Absent,
            _ if may == May::Nothing => Expected::Absent,
            Leads::DeadEnd(error) => Expected::Fails(error),
            Leads::LinkOut if self.at_link == AtLink::Follows => Expected::Absent,
            Leads::Loop if self.at_link == AtLink::Follows => Expected::Fails(ELOOP),
            _ if may < needed => Expected::Denied,
            Leads::Inside => inside,
            Leads::Link => at_link(inside),
            Leads::LinkOut => at_link(Expected::Absent),
            Leads::Loop => at_link(Expected::Fails(ELOOP)),
            Leads::Fails(error) => Expected::Fails(error),
        }
    }
}

/// A place for cases, which is made anew after those that change it.
#[derive(Debug)]
struct Checker {
    ground: Option<Ground>,
    cases: usize,
}

impl Checker {
    fn new() -> Self {
        Self {
            ground: None,
            cases: 0,
        }
    }

    /// Runs a case on a fresh program, and checks what comes of it. `run` gives the program
    /// directory and path.
    fn check(
        &mut self,
        case: &Case,
        expected: Expected,
        label: &str,
        run: impl FnOnce(&mut Machine) -> (i32, Vec<u8>),
    ) {
        let ground = self.ground.take().unwrap_or_else(Ground::new);
        let mut machine = ground.tree.machine();
        let (fd, path) = run(&mut machine);
        assert!(machine.host.denied.is_empty(), "{label}: preparation");
        let path = machine.guest.put_c_string(path);
        let found = outcome(case.run(&mut machine, fd, path));
        let label = format!("{label}: {case:x?}: {found:?}");
        let denials = usize::from(matches!(expected, Expected::Absent | Expected::Denied));
        let denied = &machine.host.denied;
        assert_eq!(denied.len(), denials, "{label}: {denied:?}");
        assert!(denied.iter().all(|(call, _)| *call == case.call), "{label}");
        match expected {
            Expected::Absent => assert_eq!(found, Err(ENOENT), "{label}"),
            Expected::Denied => assert_eq!(found, Err(EACCES), "{label}"),
            Expected::Fails(error) => assert_eq!(found, Err(error), "{label}"),
            Expected::Done => assert!(found.is_ok(), "{label}"),
        }
        let effect = case.effect && expected == Expected::Done;
        if case.writes {
            assert_eq!(ground.changes(), (effect, false), "{label}");
        }
        self.ground = (!effect).then_some(ground);
        self.cases += 1;
    }
}

#[test]
fn every_call_with_a_path_is_in_the_matrix() {
    for call in table::CALLS {
        let with_path = matches!(call.access, Access::Path { .. });
        let here = CALLS.iter().any(|case| case.call == call.name);
        assert_eq!(here, with_path, "{}", call.name);
    }
}

#[test]
fn every_call_by_every_way_with_every_permission() {
    let mut checker = Checker::new();
    for may in May::ALL {
        for &(way, leads) in WAYS {
            for case in CALLS {
                let path = ground::path(way, may.top(), case.thing.name());
                let label = format!("{may:?} {}", way.escape_ascii());
                let expected = case.expected(may, leads);
                checker.check(case, expected, &label, |_| (CWD, path));
            }
        }
    }
    assert!(checker.cases > 10_000, "{}", checker.cases);
}

#[test]
fn odd_paths() {
    let tree = Tree::new();
    let mut machine = tree.machine();
    assert!(matches!(
        machine.open(&format!("/write/{}", "x/".repeat(2040)), 0o101),
        Err(EISDIR)
    ));
    assert_eq!(machine.open("/write/file/", 0), Err(ENOTDIR));
    assert_eq!(machine.open("/write/file/.", 0), Err(ENOTDIR));
    assert_eq!(machine.open("/read/nothing", 0), Err(ENOENT));
    assert_eq!(machine.open("/read/nothing/at/all", 0), Err(ENOENT));
    assert_eq!(machine.open("/read/file/below", 0), Err(ENOTDIR));
}
