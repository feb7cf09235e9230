//! Who may open the KVM device.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use tinykvm::DEVICE_PATH_VARIABLE;

use super::finding::Finding;
use super::remedy::{advised, remedy};
use super::running::running;
use super::users::{Rights, User, name_of, user};

/// Users as which worker processes run: Varnish's, Vinyl Cache's. Of each the first that there is
/// counts: where there is `vcache`, `varnish` does not open devices.
const SERVERS: [&[&str]; 2] = [&["vcache", "varnish", "varnishd"], &["vinyl"]];

/// Findings about the device file.
pub(super) fn device() -> Vec<Finding> {
    let path = std::env::var(DEVICE_PATH_VARIABLE).unwrap_or_else(|_| "/dev/kvm".to_owned());
    let about = match fs::metadata(&path) {
        Ok(about) => about,
        Err(error) if error.kind() == ErrorKind::NotFound => return vec![missing(&path)],
        Err(error) => return vec![Finding::bad(format!("{path}: {error}"))],
    };
    if !about.file_type().is_char_device() {
        return vec![Finding::bad(format!("{path} is not a device"))];
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let group = fs::read_to_string("/etc/group").unwrap_or_default();
    let rights = Rights {
        owner: about.uid(),
        group: about.gid(),
        mode: about.mode() & 0o777,
    };
    let shown = format!(
        "{path} belongs to {}:{}, mode {:04o}",
        name_of(rights.owner, &passwd),
        name_of(rights.group, &group),
        rights.mode
    );
    let own = fs::metadata("/proc/self").map_or(0, |about| about.uid());
    let own = user(&name_of(own, &passwd), &passwd, &group);
    let mut findings = vec![this_process(&path, &shown, own.as_ref(), rights, &group)];
    for names in SERVERS {
        let user = names.iter().find_map(|name| user(name, &passwd, &group));
        if let Some(user) = user {
            findings.push(server(&path, &user, rights, &group));
        }
    }
    if findings.len() == 1 {
        findings.push(Finding::notice(
            "no user of Varnish (vcache, varnish) on this machine",
        ));
    }
    findings.extend(running(&path, rights, &passwd, &group));
    findings
}

fn missing(path: &str) -> Finding {
    let finding = Finding::bad(format!("{path} does not exist"));
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let module = if flags.contains(" svm") {
        Some("kvm_amd")
    } else if flags.contains(" vmx") {
        Some("kvm_intel")
    } else {
        None
    };
    match module {
        Some(module) => finding
            .remedy(format!(
                "The processor can do it. Load the module: modprobe {module}"
            ))
            .remedy("In a container, pass the device in: --device /dev/kvm"),
        None => finding
            .remedy("The processor shows no virtualisation (vmx, svm).")
            .remedy("Switch it on in the firmware; in a virtual machine, enable nested")
            .remedy("virtualisation, or use a kernel with software KVM (PVM)."),
    }
}

fn this_process(
    path: &str,
    shown: &str,
    user: Option<&User>,
    rights: Rights,
    group: &str,
) -> Finding {
    let error = match fs::OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => return Finding::good(format!("{shown}; this user can open it")),
        Err(error) => error,
    };
    let finding = Finding::bad(format!("{shown}; this user can't open it: {error}"));
    match user {
        Some(user) if rights.allow(user.id, &user.groups) => finding.remedy(
            "Log in again if the user has joined the group since; in a container, pass the device \
             in: --device /dev/kvm",
        ),
        Some(user) => advised(
            finding,
            &remedy(path, user, rights, group),
            "then log in again",
        ),
        None => finding.remedy("This user has no name: its group has to be one that may."),
    }
}

fn server(path: &str, user: &User, rights: Rights, group: &str) -> Finding {
    let name = &user.name;
    if rights.allow(user.id, &user.groups) {
        return Finding::good(format!("user {name} can open {path}"));
    }
    let finding = Finding::bad(format!(
        "user {name} can't open {path}, so programs don't run in varnishd's worker"
    ));
    let remedy = remedy(path, user, rights, group);
    advised(finding, &remedy, "then restart varnishd")
        .remedy("For a trial only: varnishd -j none runs the worker as the user that starts it.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nvcache:x:101:102::/nonexistent:/bin/false\n";

    #[test]
    fn a_remedy_for_whoever_is_locked_out() {
        let vcache = user("vcache", PASSWD, "").expect("there");
        let rights = Rights {
            owner: 0,
            group: 0,
            mode: 0o600,
        };
        let text = server("/dev/kvm", &vcache, rights, "").to_string();
        assert!(text.starts_with("[!!] user vcache can't open /dev/kvm"));
        let commands = "\n         groupadd -r kvm\n         \
                        chgrp kvm /dev/kvm && chmod 660 /dev/kvm\n         \
                        usermod -aG kvm vcache\n";
        assert!(text.contains(commands), "{text}");
        assert!(text.contains("then restart varnishd:"), "{text}");
        assert!(text.contains("65-kvm.rules"), "{text}");
    }
}
