//! What lets a user open the device: commands for root. docs/access.md has the same ones.

use super::finding::Finding;
use super::users::{Rights, User, group_named, name_of};

/// The group that systems have for this, and its name where that is taken by another number, as in
/// a container whose host counts its groups otherwise.
const GROUP: &str = "kvm";
const GROUP_OF_HOST: &str = "hostkvm";

/// What udev is told where it does not do this by itself.
const RULE: &str = r#"KERNEL=="kvm", GROUP="kvm", MODE="0660", OPTIONS+="static_node=kvm""#;
const RULE_FILE: &str = "/etc/udev/rules.d/65-kvm.rules";

/// Lines of a unit that let varnishd see the device.
pub(super) const UNIT: [&str; 4] = [
    "[Service]",
    "PrivateDevices=no",
    "DevicePolicy=closed",
    "DeviceAllow=/dev/kvm rw",
];

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Remedy {
    /// Commands after which the user may open the device as soon as it is started anew.
    pub(super) commands: Vec<String>,
    /// A command that keeps it across boots, if the device itself was changed.
    pub(super) to_keep: Option<String>,
}

/// What lets `user` open the device at `path`, that has these `rights`, given the text of
/// `/etc/group`.
pub(super) fn remedy(path: &str, user: &User, rights: Rights, group: &str) -> Remedy {
    const BOTH: u32 = 6;
    // Root's group is for nobody else.
    let by_group = rights.mode >> 3 & BOTH == BOTH && rights.group != 0 && user.id != rights.owner;
    let mut found = Remedy::default();
    let mut members = GROUP.to_owned();
    let taken = group_named(GROUP, group);
    if by_group {
        members = name_of(rights.group, group);
        if members == rights.group.to_string() {
            members = if taken.is_none() {
                GROUP
            } else {
                GROUP_OF_HOST
            }
            .to_owned();
            let add = format!("groupadd -g {} {members}", rights.group);
            found.commands.push(add);
        }
    } else {
        if taken.is_none() {
            found.commands.push(format!("groupadd -r {GROUP}"));
        }
        let change = format!("chgrp {GROUP} {path} && chmod 660 {path}");
        found.commands.push(change);
        found.to_keep = Some(format!("echo '{RULE}' >{RULE_FILE}"));
    }
    let is_member = group_named(&members, group).is_some_and(|id| user.groups.contains(&id));
    if !is_member {
        let add = format!("usermod -aG {members} {}", user.name);
        found.commands.push(add);
    }
    found
}

/// A finding with what is to be done about it.
pub(super) fn advised(finding: Finding, remedy: &Remedy, end: &str) -> Finding {
    let mut finding = finding.remedy(format!("As root, {end}:"));
    for command in &remedy.commands {
        finding = finding.remedy(format!("  {command}"));
    }
    match &remedy.to_keep {
        Some(command) => finding
            .remedy("To keep it across boots, where there is udev:")
            .remedy(format!("  {command}")),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::super::users::user;
    use super::*;

    const DOCUMENT: &str = include_str!("../../../../docs/access.md");

    /// What the commands leave: the device's rights and the text of /etc/group.
    fn apply(commands: &[String], mut rights: Rights, group: &str) -> (Rights, String) {
        let mut group = group.to_owned();
        for words in commands.iter().flat_map(|line| line.split(" && ")) {
            let words: Vec<_> = words.split(' ').collect();
            match words[..] {
                ["groupadd", "-r", name] => {
                    assert_eq!(group_named(name, &group), None, "{group}");
                    group.push_str(&format!("{name}:x:999:\n"));
                }
                ["groupadd", "-g", id, name] => {
                    assert_eq!(group_named(name, &group), None, "{group}");
                    assert_eq!(name_of(id.parse().unwrap(), &group), id, "{group}");
                    group.push_str(&format!("{name}:x:{id}:\n"));
                }
                ["chgrp", name, "/dev/kvm"] => {
                    rights.group = group_named(name, &group).expect("there");
                }
                ["chmod", mode, "/dev/kvm"] => {
                    rights.mode = u32::from_str_radix(mode, 8).unwrap();
                }
                ["usermod", "-aG", name, user] => {
                    let lines = group.lines().map(|line| match line.split_once(':') {
                        Some((found, _)) if found == name && line.ends_with(':') => {
                            format!("{line}{user}\n")
                        }
                        Some((found, _)) if found == name => format!("{line},{user}\n"),
                        _ => format!("{line}\n"),
                    });
                    let changed: String = lines.collect();
                    assert_ne!(changed, group, "no group {name}");
                    group = changed;
                }
                _ => panic!("{words:?}"),
            }
        }
        (rights, group)
    }

    #[test]
    fn what_the_doctor_says_lets_the_user_in_whatever_the_device_and_the_groups_are() {
        let passwd = "root:x:0:0::/:\nvcache:x:101:102::/:\nvarnish:x:103:102::/:\n";
        let groups = [
            "root:x:0:\nvarnish:x:102:\n",
            "root:x:0:\nvarnish:x:102:\nkvm:x:36:\n",
            "root:x:0:\nvarnish:x:102:\nkvm:x:36:qemu\nother:x:104:\n",
            "root:x:0:\nvarnish:x:102:\nkvm:x:104:vcache,varnish\n",
            "root:x:0:\nvarnish:x:102:\nrender:x:104:qemu\n",
        ];
        let mut count = 0;
        for group in groups {
            for name in ["vcache", "varnish"] {
                for (owner, gid) in [(0, 0), (0, 36), (0, 104), (0, 993), (0, 102), (101, 104)] {
                    for mode in [0o600, 0o660, 0o640, 0o606, 0o066, 0o000] {
                        let rights = Rights {
                            owner,
                            group: gid,
                            mode,
                        };
                        let before = user(name, passwd, group).expect("there");
                        if rights.allow(before.id, &before.groups) {
                            continue;
                        }
                        let found = remedy("/dev/kvm", &before, rights, group);
                        let (changed, group) = apply(&found.commands, rights, group);
                        let after = user(name, passwd, &group).expect("there");
                        let shown = format!("{rights:?} {group:?}: {found:?}");
                        assert!(changed.allow(after.id, &after.groups), "{shown}");
                        // What is done to the device is gone at the next boot; groups stay.
                        assert_eq!(found.to_keep.is_some(), changed != rights, "{shown}");
                        count += 1;
                    }
                }
            }
        }
        assert!(count > 100, "{count}");
    }

    #[test]
    fn the_document_gives_the_same_advice() {
        let document: Vec<_> = DOCUMENT.lines().map(str::trim).collect();
        let vcache = user("vcache", "vcache:x:101:102::/:\n", "").expect("there");
        let rights = |group, mode| Rights {
            owner: 0,
            group,
            mode,
        };
        let without_udev = remedy("/dev/kvm", &vcache, rights(0, 0o600), "");
        let usual = remedy("/dev/kvm", &vcache, rights(36, 0o660), "kvm:x:36:\n");
        let other = remedy("/dev/kvm", &vcache, rights(993, 0o660), "kvm:x:36:\n");
        let commands = [without_udev.commands, usual.commands, other.commands].concat();
        let in_document = |line: &str| {
            let line = line.replace("993", "$(stat -c %g /dev/kvm)");
            assert!(document.contains(&line.as_str()), "{line}");
        };
        commands.iter().for_each(|line| in_document(line));
        in_document(&without_udev.to_keep.expect("changed"));
        UNIT.iter().for_each(|line| in_document(line));
    }
}
