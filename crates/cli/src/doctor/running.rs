//! Workers of Varnish that run already. A process keeps the groups that it was started with, so
//! what `/etc/group` says today may not be true for them.

use std::fs;
use std::io::ErrorKind;

use super::finding::Finding;
use super::remedy::{UNIT, advised, remedy};
use super::users::{Rights, User, name_of, user};

/// Names of the server's program: Varnish's, Vinyl Cache's.
const PROGRAMS: [&str; 2] = ["varnishd", "vinyld"];

/// A process, as `/proc` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    id: u32,
    parent: u32,
    user: u32,
    groups: Vec<u32>,
    /// The server's program, if it is one of those.
    program: Option<&'static str>,
}

impl Process {
    /// From the texts of `/proc/ID/status` and `/proc/ID/cmdline`.
    fn new(id: u32, status: &str, command: &[u8]) -> Option<Self> {
        let numbers = |key: &str| -> Option<Vec<u32>> {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace()
                .map(|word| word.parse().ok())
                .collect()
        };
        let name = command.split(|&byte| byte == 0).next()?;
        let name = name.rsplit(|&byte| byte == b'/').next()?;
        // Real, effective, saved, and that of file access, which is the one that counts here.
        let mut groups = vec![*numbers("Gid:")?.get(3)?];
        groups.extend(numbers("Groups:")?);
        Some(Self {
            id,
            parent: *numbers("PPid:")?.first()?,
            user: *numbers("Uid:")?.get(3)?,
            groups,
            program: PROGRAMS
                .into_iter()
                .find(|program| program.as_bytes() == name),
        })
    }
}

/// All processes that can be looked at.
fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let id = entry.file_name().to_str()?.parse().ok()?;
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            Process::new(id, &status, &command)
        })
        .collect()
}

/// Those that are children of a server: they open the device.
fn workers(all: &[Process]) -> impl Iterator<Item = (&Process, &'static str)> {
    let is_server = |id: u32| {
        all.iter()
            .any(|process| process.id == id && process.program.is_some())
    };
    all.iter()
        .filter(move |process| is_server(process.parent))
        .filter_map(|process| Some((process, process.program?)))
}

/// Findings about the workers that run now.
pub(super) fn running(path: &str, rights: Rights, passwd: &str, group: &str) -> Vec<Finding> {
    let all = processes();
    let mut found = findings(&all, path, rights, passwd, group);
    found.extend(workers(&all).filter_map(|(worker, program)| {
        let seen = fs::metadata(format!("/proc/{}/root{path}", worker.id));
        let hidden = seen.is_err_and(|error| error.kind() == ErrorKind::NotFound);
        hidden.then(|| hidden_from(worker, program, path))
    }));
    found
}

/// The device is there, but not for that process.
fn hidden_from(worker: &Process, program: &str, path: &str) -> Finding {
    let mut finding = Finding::bad(format!(
        "{path} does not exist for the running {program} (process {}): its /dev is another one",
        worker.id
    ));
    finding = finding.remedy("A unit of systemd: systemctl edit varnish, add, and restart it:");
    for line in UNIT {
        finding = finding.remedy(format!("  {line}"));
    }
    finding.remedy("A container: pass the device in: --device /dev/kvm")
}

fn findings(
    all: &[Process],
    path: &str,
    rights: Rights,
    passwd: &str,
    group: &str,
) -> Vec<Finding> {
    workers(all)
        .map(|(worker, program)| {
            let name = name_of(worker.user, passwd);
            let who = format!("the running {program} (process {}, user {name})", worker.id);
            if rights.allow(worker.user, &worker.groups) {
                return Finding::good(format!("{who} can open {path}"));
            }
            let may = user(&name, passwd, group).is_some_and(|it| rights.allow(it.id, &it.groups));
            if may {
                let what =
                    format!("{who} can't open {path}: it was started before user {name} could");
                Finding::bad(what).remedy(format!("Restart {program}: systemctl restart varnish"))
            } else {
                let finding = Finding::bad(format!("{who} can't open {path}"));
                let user = user(&name, passwd, group).unwrap_or_else(|| User {
                    name,
                    id: worker.user,
                    groups: worker.groups.clone(),
                });
                let remedy = remedy(path, &user, rights, group);
                advised(finding, &remedy, &format!("then restart {program}"))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nvcache:x:101:102::/:/bin/false\n";
    const JOINED: &str = "kvm:x:103:vcache\nvarnish:x:102:\n";
    const KVM: Rights = Rights {
        owner: 0,
        group: 103,
        mode: 0o660,
    };

    fn status(parent: u32, user: u32, group: u32, groups: &str) -> String {
        format!(
            "Name:\tcache-main\nUmask:\t0022\nState:\tS (sleeping)\nPid:\t7\nPPid:\t{parent}\n\
             Uid:\t{user}\t{user}\t{user}\t{user}\nGid:\t{group}\t{group}\t{group}\t{group}\n\
             FDSize:\t256\nGroups:\t{groups} \nThreads:\t220\n"
        )
    }

    /// A server, its worker with these groups, and others.
    fn machine(groups: &str) -> Vec<Process> {
        let made = [
            (1, status(0, 0, 0, ""), &b"/sbin/init\0"[..]),
            (40, status(1, 0, 0, ""), b"/usr/sbin/varnishd\0-a\0:80\0"),
            (
                41,
                status(40, 101, 102, groups),
                b"/usr/sbin/varnishd\0-a\0",
            ),
            (42, status(40, 101, 102, ""), b"sh\0-c\0cc\0"),
            (50, status(1, 102, 102, ""), b"/usr/bin/varnishncsa\0"),
        ];
        let made = made.into_iter();
        made.map(|(id, status, command)| Process::new(id, &status, command).expect("whole"))
            .collect()
    }

    fn told(all: &[Process], group: &str) -> Vec<String> {
        let found = findings(all, "/dev/kvm", KVM, PASSWD, group);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_worker_from_before_the_group_was_joined_is_to_be_restarted() {
        let told = told(&machine("102"), JOINED);
        assert_eq!(told.len(), 1, "{told:?}");
        let text = &told[0];
        assert!(
            text.starts_with(
                "[!!] the running varnishd (process 41, user vcache) can't open /dev/kvm"
            ),
            "{text}"
        );
        assert!(text.contains("started before user vcache could"), "{text}");
        assert!(text.contains("Restart varnishd"), "{text}");
    }

    #[test]
    fn a_worker_with_the_group_is_well() {
        let all = machine("102 103");
        let well = "[ok] the running varnishd (process 41, user vcache) can open /dev/kvm\n";
        assert_eq!(told(&all, JOINED), [well]);
        // Also if the group was left since.
        assert_eq!(told(&all, ""), [well]);
        assert!(told(&all[..1], JOINED).is_empty());
    }

    #[test]
    fn a_worker_whose_user_may_not_is_told_how() {
        let told = told(&machine("102"), "kvm:x:103:\n");
        let text = &told[0];
        assert!(text.contains("As root, then restart varnishd:"), "{text}");
        assert!(
            text.contains("\n         usermod -aG kvm vcache\n"),
            "{text}"
        );
    }

    #[test]
    fn a_unit_that_hides_the_device_is_told_how_to_show_it() {
        let all = machine("102 103");
        let text = hidden_from(&all[2], "varnishd", "/dev/kvm").to_string();
        assert!(text.contains("does not exist for the running varnishd (process 41)"));
        assert!(text.contains("\n         PrivateDevices=no\n"), "{text}");
        assert!(
            text.contains("\n         DeviceAllow=/dev/kvm rw\n"),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_description_of_a_process_is_none() {
        assert_eq!(Process::new(1, "", b"varnishd\0"), None);
        assert_eq!(Process::new(1, "PPid:\tx\nUid:\t1\n", b"varnishd\0"), None);
    }
}
