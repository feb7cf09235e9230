//! Where sockets may go: the one place that decides about it.
//!
//! A rule is one of
//!
//! | rule | allows |
//! |---|---|
//! | `192.0.2.7:443`, `[2001:db8::1]:443` | one address |
//! | `10.0.0.0/8:5432`, `[fd00::/8]:*` | a network |
//! | `db.example.com:5432` | the addresses of a name, and to ask for them by DNS |
//! | `*.example.com:443` | those of all names below it |
//! | `unix:/run/app.sock` | one socket file |
//! | `dns` | to ask for any name |
//!
//! A port is a number, a range `8000-8080`, or `*`. Rules never allow anything but what they say:
//! addresses that mean the host itself or its link ([`is_local`]) only follow from a rule that
//! lies among them, or from the name `localhost`; not from a wide network, and not from a name,
//! whatever its DNS says.

mod learnt;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;

use thiserror::Error;

pub(crate) use learnt::{Learnt, LearntAddresses};

/// A rule that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("connect rule \"{rule}\": {problem}")]
pub struct ConnectRuleError {
    /// The rule.
    pub rule: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// The rules of a program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectRules {
    rules: Vec<Rule>,
    resolvers: Vec<SocketAddr>,
    audit: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Network {
        network: Network,
        ports: RangeInclusive<u16>,
    },
    Name {
        name: Name,
        ports: RangeInclusive<u16>,
        /// What the host's resolver said when the rules were made ready.
        addresses: BTreeSet<IpAddr>,
    },
    Unix(Vec<u8>),
    Dns,
}

/// An address and how many of its bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A name in lower case, or all names below one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    text: String,
    below: bool,
}

impl ConnectRules {
    /// Allows every place, reported to [`Host::connected`](crate::host::Host::connected). Not for
    /// programs that are not trusted.
    pub fn audit(&mut self) {
        self.audit = true;
    }

    /// True after [`Self::audit`].
    pub(crate) fn is_audit(&self) -> bool {
        self.audit
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// [`ConnectRuleError`] if it cannot be understood.
    pub fn add(&mut self, rule: &str) -> Result<(), ConnectRuleError> {
        let parsed = Rule::parse(rule).map_err(|problem| ConnectRuleError {
            rule: rule.to_string(),
            problem,
        })?;
        if !self.rules.contains(&parsed) {
            self.rules.push(parsed);
        }
        Ok(())
    }

    /// Asks the host's resolver for the names in the rules. This takes the time that it takes:
    /// not for a thread that serves requests. Names that are not found are just not allowed yet.
    pub fn resolve(&mut self) {
        for rule in &mut self.rules {
            if let Rule::Name {
                name, addresses, ..
            } = rule
                && !name.below
                && let Ok(found) = (name.text.as_str(), 0).to_socket_addrs()
            {
                *addresses = found.map(|address| address.ip().to_canonical()).collect();
            }
        }
    }

    /// The host's resolvers (see [`resolvers_in`]): the program may send them queries for the names
    /// in its rules.
    pub fn set_resolvers(&mut self, resolvers: Vec<SocketAddr>) {
        self.resolvers = resolvers;
    }

    /// The resolvers that the program can ask: none if its rules have no name.
    #[must_use]
    pub fn resolvers(&self) -> &[SocketAddr] {
        if self.uses_dns() {
            &self.resolvers
        } else {
            &[]
        }
    }

    /// True if this is a resolver that the program can ask.
    pub(crate) fn is_resolver(&self, address: SocketAddr) -> bool {
        let plain = SocketAddr::new(address.ip().to_canonical(), address.port());
        self.resolvers().contains(&plain)
    }

    /// True if nothing is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && !self.audit
    }

    /// Names in the rules with the addresses that were found, for `/etc/hosts`.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        self.rules.iter().flat_map(|rule| match rule {
            Rule::Name {
                name, addresses, ..
            } => {
                let text = name.text.as_str();
                let may = addresses.iter().filter(|&&address| name.may_be(address));
                may.map(|&address| (text, address)).collect()
            }
            _ => Vec::new(),
        })
    }

    /// True if some name can be asked for by DNS.
    #[must_use]
    pub fn uses_dns(&self) -> bool {
        let asks = |rule: &Rule| matches!(rule, Rule::Name { .. } | Rule::Dns);
        self.audit || self.rules.iter().any(asks)
    }

    /// True if a socket may go to this address.
    pub(crate) fn allows(&self, to: SocketAddr, learnt: &LearntAddresses) -> bool {
        self.audit || self.names(to, learnt)
    }

    /// True if a rule says so, whether this is an audit or not.
    pub(crate) fn names(&self, to: SocketAddr, learnt: &LearntAddresses) -> bool {
        let (address, port) = (to.ip().to_canonical(), to.port());
        self.rules.iter().any(|rule| match rule {
            Rule::Network { network, ports } => ports.contains(&port) && network.allows(address),
            Rule::Name {
                name,
                ports,
                addresses,
            } => {
                let told = |one: &Learnt| one.address == address && name.matches(&one.name);
                ports.contains(&port)
                    && name.may_be(address)
                    && (addresses.contains(&address)
                        || (name.is_localhost() && address.is_loopback())
                        || learnt.iter().any(told))
            }
            Rule::Unix(_) | Rule::Dns => false,
        })
    }

    /// True if a socket may go to this socket file: an absolute path without `.` and `..`.
    pub(crate) fn allows_unix(&self, path: &[u8]) -> bool {
        self.audit || self.names_unix(path)
    }

    /// True if a rule says so, whether this is an audit or not.
    pub(crate) fn names_unix(&self, path: &[u8]) -> bool {
        let is_it = |rule: &Rule| matches!(rule, Rule::Unix(allowed) if allowed == path);
        self.rules.iter().any(is_it)
    }

    /// True if a rule gives access to the addresses of this name.
    pub(crate) fn names_rule(&self, wanted: &str) -> bool {
        let is_it = |rule: &Rule| matches!(rule, Rule::Name { name, .. } if name.matches(wanted));
        self.audit || self.rules.iter().any(is_it)
    }

    /// True if the program may ask DNS for this name.
    pub(crate) fn allows_name(&self, wanted: &str) -> bool {
        self.rules.contains(&Rule::Dns) || self.names_rule(wanted)
    }
}

/// The resolvers that a `resolv.conf` names (resolv.conf(5)); without any, the host itself.
#[must_use]
pub fn resolvers_in(configuration: &str) -> Vec<SocketAddr> {
    const PORT: u16 = 53;
    let servers = configuration
        .lines()
        .filter_map(|line| line.strip_prefix("nameserver"))
        .filter(|rest| rest.starts_with([' ', '\t']))
        .filter_map(|rest| rest.split_whitespace().next()?.parse::<IpAddr>().ok());
    let mut found: Vec<_> = servers
        .map(|at| SocketAddr::new(at, PORT))
        .take(3)
        .collect();
    if found.is_empty() {
        found.push((Ipv4Addr::LOCALHOST, PORT).into());
    }
    found
}

impl Rule {
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "dns" {
            return Ok(Self::Dns);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            let plain = path.starts_with('/')
                && !path.ends_with('/')
                && !path.contains("//")
                && !path.contains('\0')
                && path.split('/').all(|part| part != "." && part != "..");
            return if plain && path.len() < 108 {
                Ok(Self::Unix(path.as_bytes().to_vec()))
            } else {
                Err("the path must be absolute, without . or .., and shorter than 108 bytes")
            };
        }
        let (target, ports) = if let Some(rest) = text.strip_prefix('[') {
            let (target, ports) = rest.split_once(']').ok_or("] is missing")?;
            let ports = ports.strip_prefix(':').ok_or("a port is missing")?;
            (Network::parse(target, true)?, ports)
        } else {
            let (target, ports) = text.rsplit_once(':').ok_or("a port is missing")?;
            if target.contains(':') {
                return Err("an IPv6 address goes into [ ]");
            }
            let starts_like_address = target.starts_with(|c: char| c.is_ascii_digit());
            let numbers = target
                .split('/')
                .next()
                .is_some_and(|part| part.chars().all(|c| c.is_ascii_digit() || c == '.'));
            if !(starts_like_address && numbers) {
                return Ok(Self::Name {
                    name: Name::parse(target)?,
                    ports: parse_ports(ports)?,
                    addresses: BTreeSet::new(),
                });
            }
            (Network::parse(target, false)?, ports)
        };
        Ok(Self::Network {
            network: target,
            ports: parse_ports(ports)?,
        })
    }
}

/// `443`, `8000-8080` or `*`.
fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, &'static str> {
    const PROBLEM: &str = "the port must be a number from 1 to 65535, a range, or *";
    let number = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 && !text.starts_with('+') => Ok(port),
        _ => Err(PROBLEM),
    };
    match text.split_once('-') {
        _ if text == "*" => Ok(1..=u16::MAX),
        None => number(text).map(|port| port..=port),
        Some((first, last)) => {
            let range = number(first)?..=number(last)?;
            if range.is_empty() {
                return Err(PROBLEM);
            }
            Ok(range)
        }
    }
}

impl Network {
    fn parse(text: &str, in_brackets: bool) -> Result<Self, &'static str> {
        const PROBLEM: &str = "this is no address";
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = if in_brackets {
            address.parse::<Ipv6Addr>().map_err(|_| PROBLEM)?.into()
        } else {
            address.parse::<Ipv4Addr>().map_err(|_| PROBLEM)?.into()
        };
        let most = if in_brackets { 128 } else { 32 };
        let prefix = match prefix {
            None => most,
            Some(text) => text
                .parse()
                .ok()
                .filter(|&prefix| prefix <= most && text.bytes().all(|b| b.is_ascii_digit()))
                .ok_or("the length of the network's prefix is wrong")?,
        };
        if address.to_canonical() != address {
            return Err("write an IPv4 address without ::ffff:");
        }
        let network = Self { address, prefix };
        if bits(address) & !network.mask() != 0 {
            return Err("the address has bits that the prefix leaves out");
        }
        Ok(network)
    }

    /// The bits that count.
    fn mask(self) -> u128 {
        let left_out = 128 - u32::from(self.prefix);
        u128::MAX.checked_shl(left_out).unwrap_or(0)
    }

    /// True if the address lies in the network.
    fn covers(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && (bits(self.address) ^ bits(address)) & self.mask() == 0
    }

    /// True if the network allows the address: a local one only if all of the network is local.
    fn allows(self, address: IpAddr) -> bool {
        self.covers(address) && (!is_local(address) || self.is_local())
    }

    fn is_local(self) -> bool {
        LOCAL.iter().any(|&(address, prefix)| {
            let local = Self { address, prefix };
            prefix <= self.prefix && local.covers(self.address)
        })
    }
}

/// The address in the upper bits of a number.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Networks that mean the host itself, its link, or many hosts at once.
const LOCAL: &[(IpAddr, u8)] = &[
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4),
    (IpAddr::V4(Ipv4Addr::BROADCAST), 32),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
];

/// True for an address of one of the networks [`LOCAL`].
fn is_local(address: IpAddr) -> bool {
    let covers = |&(local, prefix): &(IpAddr, u8)| {
        Network {
            address: local,
            prefix,
        }
        .covers(address)
    };
    LOCAL.iter().any(covers)
}

impl Name {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (text, below) = match text.strip_prefix("*.") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.len() > 253 || !text.split('.').all(label) {
            return Err("this is no host name");
        }
        Ok(Self {
            text: text.to_ascii_lowercase(),
            below,
        })
    }

    /// True if this is the name asked for, or one below.
    fn matches(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if self.below {
            let above = name
                .strip_suffix(&self.text)
                .and_then(|rest| rest.strip_suffix('.'));
            above.is_some_and(|rest| !rest.is_empty())
        } else {
            name == self.text
        }
    }

    fn is_localhost(&self) -> bool {
        !self.below && self.text == "localhost"
    }

    /// True if the name can stand for the address: no name but `localhost` for a local one.
    fn may_be(&self, address: IpAddr) -> bool {
        !is_local(address) || (self.is_localhost() && address.is_loopback())
    }
}

#[cfg(test)]
mod tests;
