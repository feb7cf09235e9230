//! Why a file of the host can't be read: by whom, and where on the way.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The user that this process is for the host's file systems: `user vcache`.
pub(crate) fn user() -> String {
    // Not the owner of /proc/self, which is root for a process that gave rights away.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let id = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|line| line.split_whitespace().nth(1))
        .unwrap_or("?");
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    match name(&passwd, id) {
        Some(name) => format!("user {name}"),
        None => format!("user {id}"),
    }
}

/// The name of a user or group by its number, from the text of passwd or group.
fn name<'a>(text: &'a str, id: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then_some(name)
    })
}

/// What to say behind the host's error about reading `path`: for a permission, who lacks it and on
/// which directory or file; for what is missing, what on the way is missing first.
pub(crate) fn why_unreadable(path: &str, error: &io::Error) -> String {
    let path = Path::new(path);
    match error.kind() {
        io::ErrorKind::PermissionDenied => match closed(path) {
            Some(directory) => format!(
                ": {} may not pass through the directory {}, {}",
                user(),
                directory.display(),
                rights(&directory)
            ),
            None => format!(": {} may not read it, {}", user(), rights(path)),
        },
        io::ErrorKind::NotFound => match missing(path) {
            Some(directory) => format!(": there is no directory {}", directory.display()),
            None if path.is_symlink() => ": it is a link to nowhere".to_owned(),
            None => String::new(),
        },
        _ => String::new(),
    }
}

/// The directories on the way to a file, the outermost first.
fn way(path: &Path) -> Vec<PathBuf> {
    let mut way: Vec<_> = path.ancestors().skip(1).map(Path::to_owned).collect();
    way.reverse();
    way
}

/// The first directory that this user can't look into.
fn closed(path: &Path) -> Option<PathBuf> {
    way(path).into_iter().find(|directory| {
        let inside = fs::metadata(directory.join("."));
        inside.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    })
}

/// The first directory that does not exist.
fn missing(path: &Path) -> Option<PathBuf> {
    way(path).into_iter().find(|directory| {
        let found = fs::metadata(directory);
        found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    })
}

/// Owner and mode of a file, as far as they can be seen.
fn rights(path: &Path) -> String {
    let Ok(about) = fs::metadata(path) else {
        return "of which nothing more is known".to_owned();
    };
    let text = |file| fs::read_to_string(file).unwrap_or_default();
    let (owner, group) = (about.uid().to_string(), about.gid().to_string());
    format!(
        "which is of {}:{}, mode {:04o}",
        name(&text("/etc/passwd"), &owner).unwrap_or(&owner),
        name(&text("/etc/group"), &group).unwrap_or(&group),
        about.mode() & 0o7777
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nvcache:x:101:102::/:/bin/false\n";
        assert_eq!(name(passwd, "101"), Some("vcache"));
        assert_eq!(name(passwd, "102"), None);
        assert!(user().starts_with("user "));
    }

    #[test]
    fn what_is_missing_first() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let why = why_unreadable("/nowhere/at/all", &missing);
        assert_eq!(why, ": there is no directory /nowhere");
        assert_eq!(why_unreadable("/nowhere", &missing), "");
    }

    #[test]
    fn who_may_not_read_what() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let why = why_unreadable("/etc/passwd", &denied);
        assert!(
            why.ends_with(" may not read it, which is of root:root, mode 0644"),
            "{why}"
        );
    }
}
