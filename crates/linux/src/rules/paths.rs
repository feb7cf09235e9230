//! Paths as programs see them, as text: clean ones are absolute, without `.`, `..`, empty parts and a
//! slash at the end; the root is the empty path.

/// An absolute path without `.`, empty parts and a slash at its end; `..` goes up. `/` becomes
/// the empty path.
pub(crate) fn normal(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    join(&parts)
}

/// Parts with a slash in front of each.
pub(crate) fn join(parts: &[&[u8]]) -> Vec<u8> {
    let mut path = Vec::new();
    for part in parts {
        path.push(b'/');
        path.extend_from_slice(part);
    }
    path
}

/// True if there is a `..` in it.
pub(crate) fn has_parents(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').any(|part| part == b"..")
}

/// True if only a directory can be meant: the last part is empty, `.` or `..`.
pub(crate) fn ends_as_directory(path: &[u8]) -> bool {
    let last = path.rsplit(|&byte| byte == b'/').next();
    matches!(last, Some(b"" | b"." | b".."))
}

/// True if a clean path lies below another.
pub(crate) fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// Names of the parts directly below `directory` on the way to `paths`.
pub(crate) fn children<'a>(
    directory: &[u8],
    paths: impl Iterator<Item = &'a [u8]>,
) -> Vec<Vec<u8>> {
    let next = |path: &'a [u8]| {
        let rest = path.strip_prefix(directory)?.strip_prefix(b"/")?;
        let end = rest.iter().position(|&byte| byte == b'/');
        Some(rest[..end.unwrap_or(rest.len())].to_vec())
    };
    let mut names: Vec<_> = paths.filter_map(next).collect();
    names.sort();
    names.dedup();
    names
}

/// Shows a clean path as the program knows it.
pub(crate) fn shown(clean: &[u8]) -> Vec<u8> {
    if clean.is_empty() {
        b"/".to_vec()
    } else {
        clean.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_and_parts() {
        for (path, parents, directory) in [
            ("/", false, true),
            ("/a", false, false),
            ("/a/", false, true),
            ("/a/.", false, true),
            ("/a/..", true, true),
            ("/../a", true, false),
            ("/a../..b/...", false, false),
            ("/.a", false, false),
        ] {
            assert_eq!(has_parents(path.as_bytes()), parents, "{path}");
            assert_eq!(ends_as_directory(path.as_bytes()), directory, "{path}");
        }
        assert_eq!(shown(b""), b"/");
        assert_eq!(shown(b"/a/b"), b"/a/b");
    }
}
