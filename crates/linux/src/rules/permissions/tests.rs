use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use rustix::fs::FileType;

use super::*;

/// A directory of the host, empty at first.
pub(super) struct Top(pub(super) PathBuf);

impl Top {
    pub(super) fn new(name: &str) -> Self {
        let name = format!("tinykvm-rules-{name}-{}", std::process::id());
        let top = Self(std::env::temp_dir().join(name));
        let _ = fs::remove_dir_all(&top.0);
        fs::create_dir_all(&top.0).unwrap();
        top
    }

    pub(super) fn file(&self, name: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }

    pub(super) fn rule(&self, shown: &str, real: &str, extent: Extent) -> PathRule {
        PathRule {
            shown: shown.into(),
            real: match extent {
                Extent::Link => real.into(),
                _ => self.0.join(real),
            },
            extent,
            writable: false,
        }
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read(permissions: &Permissions, path: &str) -> Result<String, ErrorKind> {
    let file = permissions.open_for_reading(path.as_bytes());
    let mut text = String::new();
    file.map_err(|error| error.kind())?
        .read_to_string(&mut text)
        .unwrap();
    Ok(text)
}

/// As the program would open it: links lead to what it has there.
#[test]
fn files_are_opened_before_there_is_a_program() {
    let top = Top::new("before");
    for name in ["lib/real", "lib/deep/inner", "other/file", "single"] {
        top.file(name);
    }
    let link = |to: &str, at: &str| symlink(to, top.0.join(at)).unwrap();
    link("real", "lib/in");
    link("/shown/real", "lib/absolute");
    link("../../elsewhere/file", "lib/deep/out");
    link("../out_of_all", "lib/away");
    link("/etc/passwd", "lib/host");
    link("/shown/round", "lib/round");
    let mut permissions = Permissions::default();
    for (shown, real, extent) in [
        ("/shown", "lib", Extent::Tree),
        ("/elsewhere", "other", Extent::Tree),
        ("/one", "single", Extent::Exact),
        ("/short", "/shown/real", Extent::Link),
        ("/circle", "/circle", Extent::Link),
    ] {
        permissions.allow(&top.rule(shown, real, extent)).unwrap();
    }
    permissions
        .allow(&top.rule("/none", "none", Extent::Tree))
        .unwrap_err();
    let fifo = top.0.join("lib/fifo");
    rustix::fs::mknodat(CWD, fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    for (path, expected) in [
        // Without waiting for a writer.
        ("/shown/fifo", Ok("")),
        ("/shown/real", Ok("lib/real")),
        ("/shown/./deep/../real", Ok("lib/real")),
        ("/shown/in", Ok("lib/real")),
        ("/shown/absolute", Ok("lib/real")),
        ("/shown/deep/out", Ok("other/file")),
        ("/one", Ok("single")),
        ("/short", Ok("lib/real")),
        ("/shown/away", Err(ErrorKind::PermissionDenied)),
        ("/shown/host", Err(ErrorKind::PermissionDenied)),
        ("/etc/passwd", Err(ErrorKind::PermissionDenied)),
        ("/showns", Err(ErrorKind::PermissionDenied)),
        ("/one/below", Err(ErrorKind::PermissionDenied)),
        ("/none", Err(ErrorKind::NotFound)),
        ("/none/below", Err(ErrorKind::NotFound)),
        ("/shown/nothing", Err(ErrorKind::NotFound)),
    ] {
        let expected = expected.map(str::to_owned);
        assert_eq!(read(&permissions, path), expected, "{path}");
    }
    for round in ["/shown/round", "/circle"] {
        let error = permissions.open_for_reading(round.as_bytes()).unwrap_err();
        assert_eq!(
            error.raw_os_error(),
            Some(rustix::io::Errno::LOOP.raw_os_error())
        );
    }
}

#[test]
fn directories_are_there_by_a_rule_or_on_the_way_to_one() {
    let top = Top::new("directories");
    for name in ["tree/sub/file", "shelf/book", "single"] {
        top.file(name);
    }
    let mut permissions = Permissions::default();
    for (shown, real, extent) in [
        ("/srv/tree", "tree", Extent::Tree),
        ("/shelf", "shelf", Extent::Exact),
        ("/one", "single", Extent::Exact),
        ("/short", "/srv/tree/sub", Extent::Link),
    ] {
        permissions.allow(&top.rule(shown, real, extent)).unwrap();
    }
    for (path, there) in [
        ("/", true),
        ("/srv", true),
        ("/srv/tree", true),
        ("/srv/tree/", true),
        ("/srv/tree/sub", true),
        ("/srv/tree/sub/file", false),
        ("/srv/tree/none", false),
        ("/srv/tre", false),
        ("/shelf", true),
        ("/shelf/book", false),
        ("/one", false),
        ("/short", true),
        ("/elsewhere", false),
    ] {
        assert_eq!(permissions.has_directory(path.as_bytes()), there, "{path}");
    }
    assert!(!Permissions::default().has_directory(b"/srv"));
}

#[test]
fn what_is_not_a_rule_about_paths() {
    let top = Top::new("beside");
    top.file("tree/file");
    let mut permissions = Permissions::default();
    let rule = top.rule("/tree", "tree", Extent::Tree);
    permissions.allow(&rule).unwrap();
    assert!(!permissions.is_audit() && Permissions::audit().unwrap().is_audit());
    assert!(permissions.state().is_none() && permissions.local_time().is_none());
    assert!(!permissions.has_link());
    assert_eq!(format!("{permissions:?}"), r#"["/tree"]"#);
    permissions.set_local_time(b"zone".to_vec());
    permissions.allow_state(&top.0.join("state")).unwrap();
    assert_eq!(permissions.local_time(), Some(&b"zone"[..]));
    assert!(permissions.state().unwrap().writable);
    permissions
        .allow_state(&top.0.join("none/at/all"))
        .unwrap_err();
}

/// A directory of the host's kernel is no tree of files; single files of it can be had.
#[test]
fn kernel_file_systems_are_told_from_others() {
    let mut permissions = Permissions::default();
    for (real, kernel) in [
        ("/proc", true),
        ("/proc/self", true),
        ("/sys", true),
        ("/", false),
    ] {
        let rule = |extent| PathRule {
            shown: b"/shown".to_vec(),
            real: real.into(),
            extent,
            writable: false,
        };
        let added = permissions.allow(&rule(Extent::Tree));
        assert_eq!(
            matches!(added, Err(GrantError::Kernel { .. })),
            kernel,
            "{real}"
        );
        assert!(permissions.allow(&rule(Extent::Exact)).is_ok());
        permissions = Permissions::default();
    }
}

#[test]
fn what_an_audit_alone_allows() {
    let top = Top::new("audited");
    top.file("tree/file");
    let mut own = Permissions::default();
    let mut audit = Permissions::audit().unwrap();
    for permissions in [&mut own, &mut audit] {
        let rule = top.rule("/mine", "tree", Extent::Tree);
        permissions.allow(&rule).unwrap();
    }
    for (path, alone) in [
        ("/etc/passwd", true),
        ("/", true),
        ("/mine", false),
        ("/mine/../mine/file", false),
    ] {
        assert_eq!(audit.is_audited(path.as_bytes()), alone, "{path}");
        assert!(!own.is_audited(path.as_bytes()), "{path}");
    }
}

#[test]
fn of_several_rules_for_a_path_the_first_that_is_there_counts() {
    let top = Top::new("several");
    for name in ["first/name", "second/name", "file"] {
        top.file(name);
    }
    let mut permissions = Permissions::default();
    let mut add = |shown: &str, real: &str, extent, writable| {
        let mut rule = top.rule(shown, real, extent);
        rule.writable = writable;
        permissions.allow(&rule).is_ok()
    };
    assert!(add("/a", "first", Extent::Tree, false));
    assert!(add("/a", "second", Extent::Tree, true));
    assert!(!add("/b", "none", Extent::Tree, false));
    assert!(add("/b/", "second", Extent::Tree, false));
    assert!(!add("/b", "none", Extent::Tree, false));
    assert!(add("/c", "second", Extent::Exact, false));
    assert!(add("/c", "first", Extent::Tree, false));
    assert!(add("/c", "file", Extent::Exact, false));
    assert!(add("/d", "/a", Extent::Link, false));
    assert!(add("/d", "second", Extent::Tree, false));
    assert!(!add("relative", "first", Extent::Tree, false));
    assert!(!add("/nul\0", "first", Extent::Tree, false));
    for (path, expected) in [
        ("/a/name", "first/name"),
        ("/b/name", "second/name"),
        ("/c/name", "first/name"),
        ("/d", "first/name"),
    ] {
        let path = if path == "/d" { "/d/name" } else { path };
        let found = read(&permissions, path);
        match path {
            // A link is one path: nothing lies below it, but where it leads.
            "/d/name" => assert_eq!(found, Err(ErrorKind::PermissionDenied)),
            _ => assert_eq!(found.as_deref(), Ok(expected), "{path}"),
        }
    }
    let writable = |path: &str| permissions.find(path.as_bytes()).unwrap().0.writable;
    assert!(writable("/a") && writable("/a/name") && !writable("/b") && !writable("/c"));
    assert!(permissions.has_link() && permissions.has_below(b"") && !permissions.has_below(b"/a"));
    assert_eq!(permissions.children(b""), [b"a", b"b", b"c", b"d"]);
}
