//! Calls with two paths: both ends must be allowed, by whatever way they are named.

use crate::access::tests::matrix::ground::{self, Ground};
use crate::access::tests::matrix::{Leads, May};
use crate::access::tests::tree::{CWD, outcome};
use crate::tests::int;
use crate::wire::errno::{EACCES, ENOENT};

/// The calls, and what they need of the path that they come from.
const CALLS: &[(&str, &[u64])] = &[
    ("rename", &[]),
    ("link", &[]),
    ("renameat", &[]),
    ("renameat2", &[1]),
    ("renameat2", &[2]),
    ("linkat", &[0]),
    ("linkat", &[0x400]),
];

const WAYS: &[(&[u8], Leads)] = &[
    (b"/T/X", Leads::Inside),
    (b"/T/sub/../X", Leads::Inside),
    (b"/T/absolute-sub/../X", Leads::Inside),
    (b"/proc/self/root/T/dir/../X", Leads::Inside),
    (b"/T/gone/X", Leads::Out),
    (b"/T/magic-gone/X", Leads::Out),
    (b"/T/../outside/X", Leads::Out),
    (b"/proc/self/root/outside/X", Leads::Out),
];

fn every_end() -> Vec<(May, &'static [u8], Leads)> {
    let with = |may| WAYS.iter().map(move |&(way, leads)| (may, way, leads));
    May::ALL.into_iter().flat_map(with).collect()
}

#[test]
fn both_ends_must_be_allowed() {
    let mut ground = Ground::new();
    for &(call, flags) in CALLS {
        for (from_may, from_way, from_leads) in every_end() {
            for (to_may, to_way, to_leads) in every_end() {
                // An exchange needs something at both ends.
                let exchange = (call, flags) == ("renameat2", &[2]);
                let thing = if exchange { "other" } else { "new" };
                let from = ground::path(from_way, from_may.top(), "file");
                let to = ground::path(to_way, to_may.top(), thing);
                let mut machine = ground.tree.machine();
                let paths = [&from, &to].map(|path| machine.guest.put_c_string(path));
                let mut arguments = if call.contains("at") {
                    vec![int(CWD), paths[0], int(CWD), paths[1]]
                } else {
                    paths.to_vec()
                };
                arguments.extend_from_slice(flags);
                let found = outcome(machine.call(call, &arguments));
                let allowed = |may, leads| may == May::Write && leads == Leads::Inside;
                let done = allowed(from_may, from_leads) && allowed(to_may, to_leads);
                let label = format!(
                    "{call}{flags:?} {} {}: {found:?}",
                    from.escape_ascii(),
                    to.escape_ascii()
                );
                let fails = |may, leads| match (may, leads) {
                    (May::Nothing, _) | (_, Leads::Out) => Some(ENOENT),
                    (May::Read, _) => Some(EACCES),
                    (May::Write, _) => None,
                };
                // If both ends fail, either may decide.
                let errors = [fails(from_may, from_leads), fails(to_may, to_leads)];
                match found {
                    Ok(_) => assert_eq!(errors, [None, None], "{label}"),
                    Err(error) => assert!(errors.contains(&Some(error)), "{label}"),
                }
                assert_eq!(machine.host.denied.len(), usize::from(!done), "{label}");
                assert_eq!(ground.changes(), (done, false), "{label}");
                if done {
                    ground = Ground::new();
                }
            }
        }
    }
}
