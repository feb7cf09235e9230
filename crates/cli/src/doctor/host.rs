//! The kernel, memory and limits.

use std::fs;

use super::finding::Finding;

/// The first kernel with everything that is needed.
const KERNEL: (u32, u32) = (5, 11);
/// Memory that a few small programs need, in KiB.
const MEMORY: u64 = 512 * 1024;
/// Open files for a few programs: each fork takes a handful.
const FILES: u64 = 4096;

/// Findings about the kernel.
pub(super) fn kernel() -> Vec<Finding> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    vec![match version(release) {
        Some(version) if version < KERNEL => {
            Finding::bad(format!("Linux {release}")).remedy("Linux 5.11 or later is needed.")
        }
        _ => Finding::good(format!("Linux {release}")),
    }]
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Findings about what programs need besides KVM.
pub(super) fn resources() -> Vec<Finding> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let mut findings = Vec::new();
    findings.extend(memory(&read("/proc/meminfo")));
    findings.extend(overcommit(read("/proc/sys/vm/overcommit_memory").trim()));
    let limits = read("/proc/self/limits");
    findings.extend(open_files(&limits));
    findings.extend(address_space(&limits));
    findings
}

fn memory(meminfo: &str) -> Option<Finding> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let available: u64 = line.split_whitespace().next()?.parse().ok()?;
    let what = format!("{} MiB of memory are available", available / 1024);
    Some(if available < MEMORY {
        Finding::notice(what)
            .remedy("Each program needs its own, and each of its VMs up to its max_request_memory.")
    } else {
        Finding::good(what)
    })
}

fn overcommit(mode: &str) -> Option<Finding> {
    (mode == "2").then(|| {
        Finding::notice("memory is never overcommitted (vm.overcommit_memory = 2)")
            .remedy("VMs reserve more than they use; with large programs this may fail.")
            .remedy("sysctl vm.overcommit_memory=0 is the usual setting.")
    })
}

/// A soft limit from /proc/self/limits; `None` if there is none.
fn limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn open_files(limits: &str) -> Option<Finding> {
    let files = limit(limits, "Max open files")?;
    let what = format!("{files} open files are allowed");
    Some(if files < FILES {
        Finding::notice(what)
            .remedy("Each VM takes three or four. varnishd's own limit counts (LimitNOFILE=).")
    } else {
        Finding::good(what)
    })
}

fn address_space(limits: &str) -> Option<Finding> {
    let bytes = limit(limits, "Max address space")?;
    Some(
        Finding::notice(format!("address space is limited to {} MiB", bytes >> 20))
            .remedy("Each VM maps its program's max_memory: ulimit -v unlimited"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn kernel_versions() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("5.11-rc1"), Some((5, 11)));
        assert_eq!(version("odd"), None);
        assert!(version("5.10.200").expect("a version") < KERNEL);
    }

    #[test]
    fn figures() {
        let little = memory("MemTotal: 1 kB\nMemAvailable:     1024 kB\n").expect("there");
        assert_eq!(little.level, Level::Notice);
        assert!(little.what.starts_with("1 MiB"));
        let limits = "Limit   Soft Limit  Hard Limit Units\nMax open files   1024   524288   files\n\
                      Max address space  unlimited unlimited bytes\n";
        assert_eq!(open_files(limits).expect("there").level, Level::Notice);
        assert!(address_space(limits).is_none());
        assert!(overcommit("0").is_none());
        assert!(overcommit("2").is_some());
    }
}
