use std::fs::File;

use super::*;
use crate::rules::permissions::tests::Top;
use crate::rules::permissions::{Extent, PathRule};

#[test]
fn lines_of_mounts_are_read() {
    let line = br"36 35 98:0 /mnt1 /mnt\0402/with\134all rw,noatime master:1 - ext3 /dev/root rw";
    let expected = Mount {
        id: 36,
        device: b"98:0".to_vec(),
        root: b"/mnt1".to_vec(),
        point: br"/mnt 2/with\all".to_vec(),
    };
    assert_eq!(mount(line), Some(expected));
    let line = b"1 0 8:1 / / rw - ext4 /dev/sda rw";
    let root = mount(line).unwrap();
    assert_eq!((root.root, root.point), (Vec::new(), Vec::new()));
    assert_eq!(mount(b"1 0 8:1 /"), None);
    assert_eq!(mount(b"one 0 8:1 / /"), None);
    assert!(mounts().is_some_and(|mounts| !mounts.is_empty()));
}

#[test]
fn what_is_left_of_a_path() {
    let cases: [(&str, &str, Option<&str>); 6] = [
        ("/a/b", "/a", Some("/b")),
        ("/a", "/a", Some("")),
        ("/ab", "/a", None),
        ("/a", "/a/b", None),
        ("/a", "", Some("/a")),
        ("", "", Some("")),
    ];
    for (path, directory, expected) in cases {
        let found = rest(path.as_bytes(), directory.as_bytes());
        assert_eq!(found, expected.map(str::as_bytes), "{path} {directory}");
    }
}

fn with(top: &Top, rules: &[(&str, &str, Extent, bool)]) -> Permissions {
    let mut permissions = Permissions::default();
    for &(shown, real, extent, writable) in rules {
        let rule = PathRule {
            writable,
            ..top.rule(shown, real, extent)
        };
        let _ = permissions.allow(&rule);
    }
    permissions
}

#[test]
fn a_file_is_written_by_any_of_its_names() {
    let top = Top::new("reach");
    for name in [
        "tree/file",
        "tree/sub/file",
        "else/file",
        "else/own",
        "single",
    ] {
        top.file(name);
    }
    let link = |to: &str, at: &str| std::fs::hard_link(top.0.join(to), top.0.join(at)).unwrap();
    link("tree/file", "else/linked");
    link("else/own", "else/again");
    let (tree, exact, rw) = (Extent::Tree, Extent::Exact, true);
    let written = |permissions: &Permissions| -> Vec<&str> {
        let all = [
            "tree/file",
            "tree/sub/file",
            "else/file",
            "else/linked",
            "else/own",
            "single",
        ];
        let may = |name: &&str| permissions.may_write(&File::open(top.0.join(name)).unwrap());
        all.into_iter().filter(may).collect()
    };
    let none: [&str; 0] = [];
    // That a link of it lies in a tree can't be told from its other names.
    let linked = ["else/linked", "else/own"];
    for (rules, expected) in [
        (&[][..], &none[..]),
        (&[("/t", "tree", tree, false)], &none),
        (
            &[("/t", "tree", tree, rw)],
            &["tree/file", "tree/sub/file", linked[0], linked[1]],
        ),
        // The same directory twice; and one in the other, where the inner one decides.
        (
            &[("/r", "tree", tree, false), ("/t", "tree", tree, rw)],
            &["tree/file", "tree/sub/file", linked[0], linked[1]],
        ),
        (
            &[
                ("/t", "tree", tree, rw),
                ("/t/sub", "tree/sub", tree, false),
            ],
            &["tree/file", linked[0], linked[1]],
        ),
        (
            &[("/t", "tree", tree, false), ("/u", "tree/sub", tree, rw)],
            &["tree/file", "tree/sub/file", linked[0], linked[1]],
        ),
        (&[("/one", "single", exact, rw)], &["single"]),
        (&[("/one", "single", exact, false)], &none),
        (
            &[("/one", "tree/file", exact, rw)],
            &["tree/file", linked[0]],
        ),
        (
            &[("/none", "none", tree, rw), ("/l", "/t", Extent::Link, rw)],
            &none,
        ),
    ] {
        assert_eq!(written(&with(&top, rules)), expected, "{rules:?}");
    }
    let mut state = Permissions::default();
    state.allow_state(&top.0.join("else/file")).unwrap();
    assert_eq!(written(&state), ["else/file"]);
    // Of an audit, the program's own rules.
    let mut audit = Permissions::audit().unwrap();
    assert_eq!(written(&audit), none);
    let rule = PathRule {
        writable: true,
        ..top.rule("/one", "single", exact)
    };
    audit.allow(&rule).unwrap();
    assert_eq!(written(&audit), ["single"]);
}

/// A disk at `/`; another one's `/data`, and a directory of the first, are mounted in `/srv/t`.
fn example() -> Vec<Mount> {
    let mount = |id, device: &str, root: &str, point: &str| Mount {
        id,
        device: device.into(),
        root: root.into(),
        point: point.into(),
    };
    vec![
        mount(1, "8:1", "", ""),
        mount(2, "8:2", "/data", "/srv/t/disk"),
        mount(3, "8:1", "/home/x", "/srv/t/home"),
        mount(4, "8:2", "", "/media"),
        mount(5, "8:3", "", "/srv/tea"),
    ]
}

#[test]
fn mounts_are_other_names() {
    let all = example();
    let place = |mount: usize, path: &str, inner: &str| Place {
        mount: &all[mount],
        path: path.into(),
        inner: inner.into(),
    };
    let tree = place(0, "/srv/t", "/srv/t");
    let top = Top::new("mounts");
    top.file("file");
    let rule = |shown: &'static str, writable| (shown, "", Extent::Tree, writable);
    let plain = with(&top, &[rule("/shown", true)]);
    let inner = with(&top, &[rule("/shown", true), rule("/shown/home", false)]);
    for (file, reached, with_inner) in [
        (place(0, "/srv/t/a", "/srv/t/a"), true, true),
        (place(0, "/srv/tea", "/srv/tea"), false, false),
        (place(0, "/srv/u/a", "/srv/u/a"), false, false),
        (place(1, "/srv/t/disk/a", "/data/a"), true, true),
        (place(3, "/media/data/a", "/data/a"), true, true),
        (place(3, "/media/a", "/a"), false, false),
        (place(0, "/home/x/a", "/home/x/a"), true, false),
        (place(0, "/home/y/a", "/home/y/a"), false, false),
        (place(4, "/srv/tea/a", "/srv/t/a"), false, false),
    ] {
        let shown = String::from_utf8(file.path.clone()).unwrap();
        let found =
            |permissions: &Permissions| permissions.is_reached(b"/shown", &tree, &file, &all);
        assert_eq!(found(&plain), reached, "{shown}");
        assert_eq!(found(&inner), with_inner, "{shown}");
    }
    for (device, shows) in [("8:1", true), ("8:2", true), ("8:3", false), ("8:4", false)] {
        let found = shows_device(&tree, device.as_bytes(), &all);
        assert_eq!(found, shows, "{device}");
    }
    let tree = place(3, "/media/x", "/x");
    assert!(shows_device(&tree, b"8:2", &all) && !shows_device(&tree, b"8:1", &all));
}

#[test]
fn a_file_has_its_place() {
    let top = Top::new("place");
    top.file("file");
    let real = std::fs::canonicalize(&top.0).unwrap().join("file");
    let mounts = mounts().unwrap();
    let file = File::open(&real).unwrap();
    let place = place(&file, &mounts).unwrap();
    assert_eq!(place.path, real.as_os_str().as_encoded_bytes());
    let inner = rest(&place.path, &place.mount.point).unwrap();
    assert_eq!(place.inner, [&place.mount.root, inner].concat());
    let found = rustix::fs::statx(&file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).unwrap();
    assert_eq!(place.mount.id, found.stx_mnt_id);
}

#[test]
fn who_changes_a_file() {
    let mut found = rustix::fs::fstat(File::open("/proc/self/exe").unwrap()).unwrap();
    let user = Uid::from_raw(1000);
    for (owner, mode, changes) in [
        (1000, 0o444, true),
        (1000, 0o644, true),
        (0, 0o755, false),
        (0, 0o664, true),
        (0, 0o646, true),
        (1001, 0o644, false),
        (1001, 0, false),
    ] {
        found.st_uid = owner;
        found.st_mode = REGULAR | mode;
        assert_eq!(is_changed_by(user, &found), changes, "{owner} {mode:o}");
        assert!(is_changed_by(Uid::ROOT, &found));
    }
}

/// `S_IFREG`
const REGULAR: u32 = 0o100_000;
