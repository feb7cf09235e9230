//! Files that only the program sees: small texts, made when they are opened, and memory devices.
//! They need no permission and tell nothing about the host.
//!
//! [`TABLE`] lists them all, but for what is below `/proc/1/fd`.

use crate::access::text::Text;
use crate::call::context::Context;
use crate::objects::device::Device;
use crate::objects::metadata::Metadata;
use crate::objects::object::Object;
use crate::wire::file::{S_IFDIR, S_IFLNK, S_IFREG};

/// Something at a synthetic path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// A file with a text.
    Text(Text),
    /// A memory device.
    Device(Device),
    /// A symbolic link.
    Link(Vec<u8>),
    /// A directory with these names.
    Directory(Vec<Vec<u8>>),
    /// What a descriptor of the program stands for, if that has no path.
    Descriptor(i32),
}

/// A line of the table.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Text(Text),
    Device(Device),
    Link(&'static str),
    /// The program's own file.
    Executable,
    /// The working directory.
    WorkingDirectory,
}

/// Every synthetic file, sorted by path.
static TABLE: &[(&str, Entry)] = &[
    ("/dev/fd", Entry::Link("/proc/self/fd")),
    ("/dev/full", Entry::Device(Device::Full)),
    ("/dev/null", Entry::Device(Device::Null)),
    ("/dev/random", Entry::Device(Device::Random)),
    ("/dev/stderr", Entry::Link("/proc/self/fd/2")),
    ("/dev/stdin", Entry::Link("/proc/self/fd/0")),
    ("/dev/stdout", Entry::Link("/proc/self/fd/1")),
    ("/dev/urandom", Entry::Device(Device::Urandom)),
    ("/dev/zero", Entry::Device(Device::Zero)),
    ("/etc/group", Entry::Text(Text::Group)),
    ("/etc/host.conf", Entry::Text(Text::HostConf)),
    ("/etc/hostname", Entry::Text(Text::Hostname)),
    ("/etc/hosts", Entry::Text(Text::Hosts)),
    ("/etc/localtime", Entry::Text(Text::LocalTime)),
    ("/etc/nsswitch.conf", Entry::Text(Text::NameServices)),
    ("/etc/passwd", Entry::Text(Text::Passwd)),
    ("/etc/resolv.conf", Entry::Text(Text::Resolver)),
    ("/proc/1/auxv", Entry::Text(Text::Empty)),
    ("/proc/1/cgroup", Entry::Text(Text::Cgroup)),
    ("/proc/1/cmdline", Entry::Text(Text::CommandLine)),
    ("/proc/1/comm", Entry::Text(Text::Name)),
    ("/proc/1/cwd", Entry::WorkingDirectory),
    ("/proc/1/environ", Entry::Text(Text::Environment)),
    ("/proc/1/exe", Entry::Executable),
    ("/proc/1/limits", Entry::Text(Text::Limits)),
    ("/proc/1/maps", Entry::Text(Text::Maps)),
    ("/proc/1/mountinfo", Entry::Text(Text::MountInfo)),
    ("/proc/1/mounts", Entry::Text(Text::Mounts)),
    ("/proc/1/oom_score_adj", Entry::Text(Text::Zero)),
    ("/proc/1/root", Entry::Link("/")),
    ("/proc/1/stat", Entry::Text(Text::OwnStat)),
    ("/proc/1/statm", Entry::Text(Text::OwnMemory)),
    ("/proc/1/status", Entry::Text(Text::OwnStatus)),
    ("/proc/1/task/1", Entry::Link("/proc/1")),
    ("/proc/cpuinfo", Entry::Text(Text::Processor)),
    ("/proc/filesystems", Entry::Text(Text::FileSystems)),
    ("/proc/loadavg", Entry::Text(Text::Load)),
    ("/proc/meminfo", Entry::Text(Text::Memory)),
    ("/proc/mounts", Entry::Link("self/mounts")),
    ("/proc/self", Entry::Link("1")),
    ("/proc/stat", Entry::Text(Text::SystemStat)),
    ("/proc/sys/fs/file-max", Entry::Text(Text::Many)),
    ("/proc/sys/fs/pipe-max-size", Entry::Text(Text::Many)),
    (
        "/proc/sys/kernel/cap_last_cap",
        Entry::Text(Text::LastCapability),
    ),
    ("/proc/sys/kernel/hostname", Entry::Text(Text::Hostname)),
    ("/proc/sys/kernel/osrelease", Entry::Text(Text::Release)),
    ("/proc/sys/kernel/ostype", Entry::Text(Text::SystemName)),
    ("/proc/sys/kernel/pid_max", Entry::Text(Text::MostProcesses)),
    ("/proc/sys/kernel/random/boot_id", Entry::Text(Text::Uuid)),
    ("/proc/sys/kernel/random/uuid", Entry::Text(Text::Uuid)),
    (
        "/proc/sys/kernel/threads-max",
        Entry::Text(Text::MostProcesses),
    ),
    ("/proc/sys/net/core/somaxconn", Entry::Text(Text::Backlog)),
    (
        "/proc/sys/vm/max_map_count",
        Entry::Text(Text::MostMappings),
    ),
    ("/proc/sys/vm/overcommit_memory", Entry::Text(Text::One)),
    ("/proc/thread-self", Entry::Link("1/task/1")),
    ("/proc/uptime", Entry::Text(Text::Uptime)),
    ("/proc/version", Entry::Text(Text::Version)),
    ("/sys/devices/system/cpu/online", Entry::Text(Text::Zero)),
    ("/sys/devices/system/cpu/possible", Entry::Text(Text::Zero)),
    ("/sys/devices/system/cpu/present", Entry::Text(Text::Zero)),
    ("/sys/fs/cgroup/cpu.max", Entry::Text(Text::CpuMax)),
    ("/sys/fs/cgroup/memory.max", Entry::Text(Text::MemoryMax)),
    (
        "/sys/kernel/mm/transparent_hugepage/enabled",
        Entry::Text(Text::HugePages),
    ),
];

/// Where the descriptors are.
const DESCRIPTORS: &[u8] = b"/proc/1/fd";

/// What is at a clean path, if it is in the table or one of the descriptors.
pub(crate) fn find(context: &Context<'_>, path: &[u8]) -> Option<Node> {
    if let Ok(index) = TABLE.binary_search_by(|(known, _)| known.as_bytes().cmp(path)) {
        let (_, entry) = TABLE.get(index)?;
        return Some(match entry {
            Entry::Text(text) => Node::Text(*text),
            Entry::Device(device) => Node::Device(*device),
            Entry::Link(target) => Node::Link(target.as_bytes().to_vec()),
            Entry::Executable => {
                let options = context.process.options();
                Node::Link(if options.file.is_empty() {
                    options.executable.clone()
                } else {
                    options.file.clone()
                })
            }
            Entry::WorkingDirectory => {
                Node::Link(crate::rules::paths::shown(&context.state().directory))
            }
        });
    }
    let rest = path.strip_prefix(DESCRIPTORS)?;
    let table = &context.state().descriptors;
    if rest.is_empty() {
        let names = table
            .numbers()
            .map(|number| number.to_string().into_bytes());
        return Some(Node::Directory(names.collect()));
    }
    let number = std::str::from_utf8(rest.strip_prefix(b"/")?).ok()?;
    let fd: i32 = number.parse().ok()?;
    let open = table.get(fd).ok().filter(|_| fd.to_string() == number)?;
    Some(match &open.object {
        Object::Directory(directory) => Node::Link(crate::rules::paths::shown(directory.path())),
        Object::File(file) => Node::Link(crate::rules::paths::shown(file.path())),
        _ => Node::Descriptor(fd),
    })
}

/// True if a path as the program gave it may have a synthetic link in it.
pub(crate) fn may_link(raw: &[u8]) -> bool {
    let clean = crate::rules::paths::normal(raw);
    clean.starts_with(b"/proc") || clean.starts_with(b"/dev")
}

/// Names directly below a clean path on the way to synthetic files.
pub(crate) fn children(directory: &[u8]) -> Vec<Vec<u8>> {
    let paths = TABLE.iter().map(|(path, _)| path.as_bytes());
    crate::rules::paths::children(directory, paths.chain([DESCRIPTORS]))
}

impl Node {
    /// True for a directory.
    pub(crate) fn is_directory(&self) -> bool {
        matches!(self, Self::Directory(_))
    }

    /// True if it can be opened for writing.
    pub(crate) fn takes_writes(&self) -> bool {
        matches!(self, Self::Device(_) | Self::Descriptor(_))
    }

    /// What `stat` says.
    pub(crate) fn metadata(&self, path: &[u8]) -> Metadata {
        let mode = match self {
            Self::Text(_) => S_IFREG | 0o444,
            Self::Device(device) => return device.metadata(),
            Self::Link(_) | Self::Descriptor(_) => S_IFLNK | 0o777,
            Self::Directory(_) => S_IFDIR | 0o555,
        };
        Metadata::made_up(mode, path)
    }
}

#[cfg(test)]
mod tests;
