//! What the synthetic texts say.

use std::fmt::Write;

use crate::call::context::Context;
use crate::wire::ids::{PROCESS_ID, USER_ID};

/// The most bytes of one text.
const LONGEST: usize = 4 << 20;

/// A text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    Backlog,
    Cgroup,
    CommandLine,
    CpuMax,
    Empty,
    Environment,
    FileSystems,
    Group,
    HostConf,
    Hostname,
    Hosts,
    HugePages,
    LastCapability,
    Limits,
    Load,
    LocalTime,
    Many,
    Maps,
    Memory,
    MemoryMax,
    MostMappings,
    MostProcesses,
    MountInfo,
    Mounts,
    Name,
    NameServices,
    One,
    OwnMemory,
    OwnStat,
    OwnStatus,
    Passwd,
    Processor,
    Release,
    Resolver,
    SystemName,
    SystemStat,
    Uptime,
    Uuid,
    Version,
    Zero,
}

/// A zone file (RFC 9636) that says UTC.
const UTC: &[u8] =
    b"TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x04\
\0\0\0\0\0\0UTC\0\
TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x04\
\0\0\0\0\0\0UTC\0\nUTC0\n";

impl Text {
    /// The bytes, as they are now.
    pub(crate) fn bytes(self, context: &Context<'_>) -> Vec<u8> {
        let options = context.process.options();
        match self {
            Self::CommandLine => terminated(&options.arguments),
            Self::Environment => terminated(&options.environment),
            Self::LocalTime => options
                .permissions
                .local_time()
                .map_or_else(|| UTC.to_vec(), <[u8]>::to_vec),
            Self::Maps => maps(context).into_bytes(),
            Self::Name => {
                let mut name = name(context).into_bytes();
                name.push(b'\n');
                name
            }
            Self::Uuid => uuid().into_bytes(),
            Self::Memory | Self::MemoryMax => memory(context, self).into_bytes(),
            Self::OwnMemory | Self::OwnStat | Self::OwnStatus => own(context, self).into_bytes(),
            Self::Uptime => {
                let up = context.guest.monotonic();
                format!("{}.{:02} 0.00\n", up.as_secs(), up.subsec_millis() / 10).into_bytes()
            }
            Self::Processor => processor().into_bytes(),
            Self::Limits => limits(context).into_bytes(),
            Self::Resolver => resolvers(context).into_bytes(),
            other => other.fixed().as_bytes().to_vec(),
        }
    }

    /// Texts that never change.
    fn fixed(self) -> &'static str {
        match self {
            Self::Backlog => "4096\n",
            Self::Cgroup => "0::/\n",
            Self::CpuMax => "max 100000\n",
            Self::FileSystems => "nodev\ttmpfs\nnodev\tproc\n",
            Self::Group => "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n",
            Self::HostConf => "multi on\n",
            Self::Hostname => "tinykvm\n",
            Self::Hosts => "127.0.0.1\tlocalhost tinykvm\n::1\tlocalhost\n",
            Self::HugePages => "always [madvise] never\n",
            Self::LastCapability => "40\n",
            Self::Load => "0.00 0.00 0.00 1/1 1\n",
            Self::Many => "1048576\n",
            Self::MostMappings => "65530\n",
            Self::MostProcesses => "32768\n",
            Self::MountInfo => {
                "1 1 0:1 / / rw - tmpfs tmpfs rw\n\
                 2 1 0:2 / /proc rw,nosuid,nodev,noexec - proc proc rw\n\
                 3 1 0:3 / /sys/fs/cgroup ro,nosuid,nodev,noexec - cgroup2 cgroup2 rw\n"
            }
            Self::Mounts => "tmpfs / tmpfs rw 0 0\nproc /proc proc rw,nosuid,nodev,noexec 0 0\n",
            Self::NameServices => {
                "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\nservices: files\n"
            }
            Self::One => "1\n",
            Self::Passwd => {
                "root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000:user:/:/bin/sh\n\
                 nobody:x:65534:65534:nobody:/:/bin/sh\n"
            }
            Self::Release => "6.1.0\n",
            Self::SystemName => "Linux\n",
            Self::SystemStat => {
                "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\nintr 0\nctxt 0\nbtime 0\n\
                 processes 1\nprocs_running 1\nprocs_blocked 0\n"
            }
            Self::Version => "Linux version 6.1.0 (tinykvm) #1 SMP\n",
            Self::Zero => "0\n",
            _ => "",
        }
    }
}

fn terminated(strings: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for string in strings {
        bytes.extend_from_slice(string);
        bytes.push(0);
    }
    bytes
}

/// The host's resolvers if the program may ask them, and else one that never answers.
fn resolvers(context: &Context<'_>) -> String {
    let known = context.process.options().connect.resolvers();
    if known.is_empty() {
        return "nameserver 127.0.0.53\n".to_owned();
    }
    known.iter().fold(String::new(), |mut text, address| {
        let _ = writeln!(text, "nameserver {}", address.ip());
        text
    })
}

/// The name of the running thread.
fn name(context: &Context<'_>) -> String {
    let name = context.thread().name;
    let end = name.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&name[..end.unwrap_or(name.len())]).into_owned()
}

/// A random number in the form of RFC 9562, version 4.
fn uuid() -> String {
    let mut bytes = [0; 16];
    // Without randomness it is the nil one, which nobody takes for random.
    let _ = getrandom::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::new();
    for (at, byte) in bytes.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    text
}

/// `maps`: ranges and rights; nothing has a name.
fn maps(context: &Context<'_>) -> String {
    let mut text = String::new();
    let mut at = 0;
    while let Some(range) = context.guest.mapped(at) {
        let right = |on: bool, letter: char| if on { letter } else { '-' };
        let _ = writeln!(
            text,
            "{:08x}-{:08x} {}{}{}p 00000000 00:00 0 ",
            range.start,
            range.end,
            right(range.allow.read, 'r'),
            right(range.allow.write, 'w'),
            right(range.allow.execute, 'x'),
        );
        if range.end <= at || text.len() > LONGEST {
            break;
        }
        at = range.end;
    }
    text
}

/// Bytes that are mapped accessibly.
fn mapped(context: &Context<'_>) -> u64 {
    let (mut total, mut at) = (0_u64, 0);
    for _ in 0..LONGEST / 64 {
        let Some(range) = context.guest.mapped(at) else {
            break;
        };
        if !range.allow.is_none() {
            total = total.saturating_add(range.end - range.start);
        }
        if range.end <= at {
            break;
        }
        at = range.end;
    }
    total
}

fn memory(context: &Context<'_>, which: Text) -> String {
    let total = context.process.options().memory;
    if which == Text::MemoryMax {
        return format!("{total}\n");
    }
    let free = total.saturating_sub(mapped(context)) >> 10;
    let total = total >> 10;
    format!(
        "MemTotal:       {total:8} kB\nMemFree:        {free:8} kB\nMemAvailable:   {free:8} kB\n\
         Buffers:               0 kB\nCached:                0 kB\nSwapTotal:             0 kB\n\
         SwapFree:              0 kB\nHugePages_Total:       0\nHugepagesize:       2048 kB\n"
    )
}

fn own(context: &Context<'_>, which: Text) -> String {
    let bytes = mapped(context);
    let (kilobytes, pages) = (bytes >> 10, bytes >> 12);
    let name = name(context);
    let id = PROCESS_ID;
    match which {
        Text::OwnMemory => format!("{pages} {pages} 0 0 0 {pages} 0\n"),
        Text::OwnStat => format!(
            "{id} ({name}) R 0 {id} {id} 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 0 {bytes} {pages} \
             18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
        ),
        _ => format!(
            "Name:\t{name}\nUmask:\t{:04o}\nState:\tR (running)\nTgid:\t{id}\nNgid:\t0\nPid:\t{id}\n\
             PPid:\t0\nTracerPid:\t0\nUid:\t{USER_ID}\t{USER_ID}\t{USER_ID}\t{USER_ID}\n\
             Gid:\t{USER_ID}\t{USER_ID}\t{USER_ID}\t{USER_ID}\nFDSize:\t64\nGroups:\t\n\
             VmPeak:\t{kilobytes:8} kB\nVmSize:\t{kilobytes:8} kB\nVmRSS:\t{kilobytes:8} kB\n\
             VmData:\t{kilobytes:8} kB\nThreads:\t1\nNoNewPrivs:\t1\nSeccomp:\t0\n\
             Cpus_allowed:\t1\nCpus_allowed_list:\t0\n",
            context.state().umask
        ),
    }
}

fn limits(context: &Context<'_>) -> String {
    let files = context.state().open_files();
    format!(
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max open files            {:<20} {:<20} files     \n",
        files.current, files.maximum
    )
}

fn processor() -> String {
    let mut flags = String::from("fpu tsc cx8 cmov mmx fxsr sse sse2 syscall nx lm");
    let mut add = |name: &str, there: bool| {
        if there {
            flags.push(' ');
            flags.push_str(name);
        }
    };
    add("pni", std::is_x86_feature_detected!("sse3"));
    add("ssse3", std::is_x86_feature_detected!("ssse3"));
    add("sse4_1", std::is_x86_feature_detected!("sse4.1"));
    add("sse4_2", std::is_x86_feature_detected!("sse4.2"));
    add("popcnt", std::is_x86_feature_detected!("popcnt"));
    add("aes", std::is_x86_feature_detected!("aes"));
    add("avx", std::is_x86_feature_detected!("avx"));
    add("avx2", std::is_x86_feature_detected!("avx2"));
    add("fma", std::is_x86_feature_detected!("fma"));
    add("bmi1", std::is_x86_feature_detected!("bmi1"));
    add("bmi2", std::is_x86_feature_detected!("bmi2"));
    format!(
        "processor\t: 0\nvendor_id\t: tinykvm\ncpu family\t: 6\nmodel\t\t: 0\n\
         model name\t: tinykvm\nstepping\t: 0\ncpu MHz\t\t: 2000.000\ncache size\t: 1024 KB\n\
         physical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\nfpu\t\t: yes\n\
         flags\t\t: {flags}\nbogomips\t: 4000.00\nclflush size\t: 64\n\
         address sizes\t: 40 bits physical, 48 bits virtual\n\n"
    )
}
