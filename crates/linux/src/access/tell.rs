//! Tells the host what a program did not get, or what an audit wants to know.

use crate::access::grant::Standing;
use crate::access::place::standing;
use crate::access::request::Right;
use crate::call::context::Context;
use crate::call::failure::Failure;
use crate::notice::{self, Less, Notice};
use crate::rules::paths::shown;
use crate::wire::errno::{EACCES, ENAMETOOLONG, ENOENT, Errno};

/// What a call fails with that is about a path where nothing is for the program; the host is told
/// if no rule is about it.
pub(crate) fn missing(
    context: &mut Context<'_>,
    raw: &[u8],
    clean: &[u8],
    right: Right,
) -> Failure {
    match absence(context, clean, right) {
        EACCES => denied(context, raw, clean, Less::ReadOnly),
        error => absent(context, raw, clean, right, error),
    }
}

/// Why nothing is at a clean path, as a look at each directory on the way shows it: the first that
/// is none, or does not exist, decides. Something new can't be made in a directory that exists.
fn absence(context: &Context<'_>, clean: &[u8], right: Right) -> Errno {
    /// `NAME_MAX` in linux/limits.h.
    const LONGEST_NAME: usize = 255;
    let mut end = 0;
    while let Some(rest) = clean.get(end + 1..) {
        let length = rest.iter().position(|&byte| byte == b'/');
        let name = length.unwrap_or(rest.len());
        end += 1 + name;
        if name > LONGEST_NAME {
            return ENAMETOOLONG;
        }
        match standing(context, &clean[..end]) {
            Standing::Directory => {}
            Standing::Other(error) => return error,
            Standing::Nothing if length.is_none() && right == Right::Create => return EACCES,
            Standing::Nothing => return ENOENT,
        }
    }
    ENOENT
}

/// Tells the host that a rule grants less than was asked for. `raw` is absolute, `clean` what it
/// leads to.
pub(crate) fn denied(context: &mut Context<'_>, raw: &[u8], clean: &[u8], less: Less) -> Failure {
    let path = shown(clean);
    let path = told_path(context, raw, &path, true);
    context.notice(Notice::Denied(path, less));
    EACCES.into()
}

/// Tells the host that a call was about a path that no rule is about.
pub(crate) fn absent(
    context: &mut Context<'_>,
    raw: &[u8],
    clean: &[u8],
    right: Right,
    error: Errno,
) -> Failure {
    let target = shown(clean);
    let path = told_path(context, raw, &target, right.changes());
    context.notice(Notice::Absent(path));
    error.into()
}

fn told_path<'a>(
    context: &Context<'_>,
    raw: &'a [u8],
    target: &'a [u8],
    write: bool,
) -> notice::Path<'a> {
    notice::Path {
        call: context.call,
        path: raw,
        target: (raw != target).then_some(target),
        write,
    }
}

/// Tells the host of an audit that what is at a path is changed, where no name was looked up.
pub(crate) fn report_change(context: &mut Context<'_>, clean: &[u8]) {
    let permissions = &context.process.options().permissions;
    let found = permissions.find(clean);
    // What rules of the program's own allow is no news.
    if permissions.is_audit() && found.is_some_and(|(grant, _)| grant.shown.is_empty()) {
        let path = shown(clean);
        context.host.used(context.call, &path, true);
    }
}
