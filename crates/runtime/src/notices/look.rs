//! What the host has where a program was refused something.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use tinykvm_linux::NoticePath;

use super::advice::{Extent, Rule, advice};
use crate::fields::shown;
use crate::journal::Wording;
use crate::permissions::is_library;

/// A look that is to be taken.
#[derive(Debug)]
pub(super) struct Look {
    path: Vec<u8>,
    write: bool,
    /// It was opened or entered: if it is a directory, what is in it is wanted, too.
    opened: bool,
    /// Why it was refused.
    refused: &'static str,
}

/// Why: there is no rule.
const NO_RULE: &str = "no rule is about it";
/// Why: there is one that grants less.
const READ_ONLY: &str = "it is not granted to be changed";

/// What is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// Nothing, and the program wanted to create it in this directory.
    Room(String),
    /// It belongs to a process, of which there is one, and no file of the host.
    Process,
    /// It belongs to the host's kernel, and is a directory.
    OfKernel,
    Directory,
    File,
    Socket,
    /// Something that no rule grants.
    Special(&'static str),
}

impl Look {
    /// At what no rule is about.
    pub(super) fn new(path: &NoticePath<'_>) -> Self {
        Self {
            refused: NO_RULE,
            path: path.meant().to_vec(),
            write: path.write,
            opened: ["open", "chdir", "creat"]
                .iter()
                .any(|start| path.call.starts_with(start)),
        }
    }

    /// At what may be read only.
    pub(super) fn read_only(path: &NoticePath<'_>) -> Self {
        Self {
            refused: READ_ONLY,
            write: true,
            ..Self::new(path)
        }
    }

    /// True if the program looked for what is not there, and no more.
    pub(super) fn is_in_vain(&self, found: &Found) -> bool {
        *found == Found::Nothing && self.refused == NO_RULE
    }

    /// Takes it.
    pub(super) fn found(&self) -> Found {
        if is_of_process(&self.path) {
            return Found::Process;
        }
        let path = Path::new(OsStr::from_bytes(&self.path));
        let Ok(about) = fs::metadata(path) else {
            let parent = path.parent().filter(|parent| self.write && parent.is_dir());
            return match parent {
                Some(parent) => Found::Room(shown(parent.as_os_str().as_bytes())),
                None => Found::Nothing,
            };
        };
        let kind = about.file_type();
        let kernel = ["/proc", "/sys"].iter().any(|top| path.starts_with(top));
        if kind.is_dir() {
            return match kernel {
                true => Found::OfKernel,
                false => Found::Directory,
            };
        }
        if kind.is_socket() {
            return Found::Socket;
        }
        if kind.is_fifo() {
            return Found::Special("a FIFO");
        }
        match kind.is_file() {
            true => Found::File,
            false => Found::Special("a device"),
        }
    }
}

/// True for what the host has about a process: there is one for the program, and that is none of
/// the host's.
fn is_of_process(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/proc/") else {
        return [
            &b"/dev/fd"[..],
            b"/dev/stdin",
            b"/dev/stdout",
            b"/dev/stderr",
        ]
        .iter()
        .any(|own| {
            path.strip_prefix(*own)
                .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        });
    };
    let name = rest.split(|&byte| byte == b'/').next().unwrap_or_default();
    matches!(name, b"self" | b"thread-self" | b"mounts" | b"net")
        || !name.is_empty() && name.iter().all(u8::is_ascii_digit)
}

impl Found {
    /// What the operator is told, and what would help.
    pub(super) fn text(&self, look: &Look, program: &str, wording: Wording) -> String {
        let path = shown(&look.path);
        let rule = |path: &str, extent: Extent| {
            let rule = Rule::Path {
                path,
                extent,
                write: look.write,
            };
            format!("{} ({})", look.refused, advice(wording, program, rule))
        };
        let nothing = || format!("{}; not there on the host either", look.refused);
        match self {
            Self::Nothing => nothing(),
            // A rule about all of the host would be too much to suggest.
            Self::Room(parent) if parent == "/" => nothing(),
            Self::Room(parent) if look.refused == READ_ONLY => rule(parent, Extent::Tree),
            Self::Room(parent) => format!(
                "there is nothing to be changed, and to create it {}",
                rule(parent, Extent::Tree)
            ),
            Self::Process => "a program is one process, of which /proc/self has what is made up \
                 for it; no rule grants more"
                .to_owned(),
            Self::OfKernel => "it belongs to the host's kernel, of which rules grant single files \
                 only"
                .to_owned(),
            Self::Directory if path == "/" => format!(
                "{}, and a rule about all of the host would be too much",
                look.refused
            ),
            Self::Directory | Self::File if !look.write && is_library(&path) => {
                let rule = advice(wording, program, Rule::Libraries);
                format!("no rule is about it ({rule})")
            }
            Self::Directory if look.opened || look.write => rule(&path, Extent::Tree),
            Self::Directory => rule(&path, Extent::Names),
            Self::File => rule(&path, Extent::File),
            Self::Socket => {
                let rule = advice(wording, program, Rule::Connect(&format!("unix:{path}")));
                format!("no rule is about it; it is a socket ({rule})")
            }
            Self::Special(what) => format!("it is {what}, and no rule grants that"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(call: &'static str, path: &Path, write: bool, wording: Wording) -> String {
        let path = NoticePath {
            call,
            path: path.as_os_str().as_bytes(),
            target: None,
            write,
        };
        let look = Look::new(&path);
        look.found().text(&look, "p", wording)
    }

    /// Files of the host to look at.
    struct Ground(std::path::PathBuf);

    impl Ground {
        fn new(name: &str) -> Self {
            let top = std::env::temp_dir().join(format!("tinykvm-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&top);
            fs::create_dir_all(top.join("directory")).unwrap();
            fs::write(top.join("file"), "").unwrap();
            std::os::unix::fs::symlink("file", top.join("link")).unwrap();
            std::os::unix::fs::symlink("nowhere", top.join("dangling")).unwrap();
            Self(top)
        }

        fn check(&self, call: &'static str, path: &str, write: bool, texts: [&str; 2]) {
            for (wording, expected) in [Wording::Vcl, Wording::Config].into_iter().zip(texts) {
                let found = text(call, &self.0.join(path), write, wording);
                let expected = expected.replace("TOP", self.0.to_str().unwrap());
                assert_eq!(found, expected, "{call} {path} {write} {wording:?}");
            }
        }
    }

    impl Drop for Ground {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_suggested_grants_what_was_asked_for() {
        let ground = Ground::new("suggested");
        let check = |call, path, write, vcl: &str, config: &str| {
            let vcl = format!("no rule is about it (tinykvm.allow(\"p\", {vcl}))");
            let config =
                format!("no rule is about it (in --config: \"allowed_paths\": [{config}])");
            ground.check(call, path, write, [&vcl, &config]);
        };
        let file = (r#"read, "TOP/file""#, r#""TOP/file""#);
        check("openat", "file", false, file.0, file.1);
        check("stat", "file", false, file.0, file.1);
        check(
            "open",
            "link",
            false,
            r#"read, "TOP/link""#,
            r#""TOP/link""#,
        );
        let change = r#"{"real": "TOP/file", "writable": true}"#;
        check("openat", "file", true, r#"write, "TOP/file""#, change);
        // Who opens a directory wants what is in it; who looks at it wants itself.
        let tree = (r#"read, "TOP/directory/""#, r#""TOP/directory""#);
        check("openat", "directory", false, tree.0, tree.1);
        check("chdir", "directory", false, tree.0, tree.1);
        let names = r#"{"real": "TOP/directory", "prefix": false}"#;
        check(
            "statx",
            "directory",
            false,
            r#"read, "TOP/directory""#,
            names,
        );
        let change = r#"{"real": "TOP/directory", "writable": true}"#;
        check(
            "mkdir",
            "directory",
            true,
            r#"write, "TOP/directory/""#,
            change,
        );
    }

    #[test]
    fn what_is_not_there_can_be_created_in_its_directory() {
        let ground = Ground::new("created");
        let nothing = ["no rule is about it; not there on the host either"; 2];
        ground.check("openat", "dangling", false, nothing);
        ground.check("openat", "nothing", false, nothing);
        ground.check("openat", "nothing/below", true, nothing);
        let create = "there is nothing to be changed, and to create it no rule is about it";
        let vcl = r#"(tinykvm.allow("p", write, "TOP/directory/"))"#;
        let config =
            r#"(in --config: "allowed_paths": [{"real": "TOP/directory", "writable": true}])"#;
        let texts = [vcl, config].map(|rule| format!("{create} {rule}"));
        ground.check("openat", "directory/new", true, [&texts[0], &texts[1]]);
    }

    #[test]
    fn what_may_be_read_only_gets_a_rule_to_write() {
        let ground = Ground::new("changed");
        for (path, expected) in [
            ("file", r#"(tinykvm.allow("p", write, "TOP/file"))"#),
            (
                "directory",
                r#"(tinykvm.allow("p", write, "TOP/directory/"))"#,
            ),
            (
                "directory/xyz123",
                r#"(tinykvm.allow("p", write, "TOP/directory/"))"#,
            ),
            ("nothing/below", "; not there on the host either"),
        ] {
            let whole = ground.0.join(path);
            let path = NoticePath {
                call: "openat",
                path: whole.as_os_str().as_bytes(),
                target: None,
                write: true,
            };
            let look = Look::read_only(&path);
            let found = look.found();
            assert!(!look.is_in_vain(&found));
            let text = found.text(&look, "p", Wording::Vcl);
            let expected = expected.replace("TOP", ground.0.to_str().unwrap());
            assert!(text.contains("it is not granted to be changed"), "{text}");
            assert!(text.ends_with(&expected), "{text}");
        }
    }

    #[test]
    fn a_socket_is_connected_to() {
        let ground = Ground::new("socket");
        let _socket = std::os::unix::net::UnixListener::bind(ground.0.join("socket")).unwrap();
        let vcl = r#"(tinykvm.allow("p", connect, "unix:TOP/socket"))"#;
        let config = r#"(in --config: "connect": ["unix:TOP/socket"])"#;
        let texts = [vcl, config].map(|rule| format!("no rule is about it; it is a socket {rule}"));
        ground.check("stat", "socket", false, [&texts[0], &texts[1]]);
    }

    #[test]
    fn what_no_rule_grants_is_not_suggested() {
        let one = "a program is one process, of which /proc/self has what is made up for it; no \
                   rule grants more";
        let kernel = "it belongs to the host's kernel, of which rules grant single files only";
        let cases = [
            ("/proc/1/status", one),
            ("/proc/1", one),
            ("/proc/4194304/maps", one),
            ("/proc/self/maps", one),
            ("/proc/thread-self/status", one),
            ("/proc/mounts", one),
            ("/dev/fd/99", one),
            ("/proc/sys", kernel),
            ("/sys/", kernel),
            ("/dev/null", "it is a device, and no rule grants that"),
            (
                "/",
                "no rule is about it, and a rule about all of the host would be too much",
            ),
            (
                "/usr/lib",
                "no rule is about it (tinykvm.allow(\"p\", read, \"libraries\"))",
            ),
            (
                "/proc/sys/kernel/ostype",
                "no rule is about it (tinykvm.allow(\"p\", read, \"/proc/sys/kernel/ostype\"))",
            ),
        ];
        for (path, expected) in cases {
            let found = text("openat", Path::new(path), false, Wording::Vcl);
            assert_eq!(found, expected, "{path}");
        }
        assert!(!is_of_process(b"/dev/fdx") && !is_of_process(b"/proc/selfish"));
    }
}
