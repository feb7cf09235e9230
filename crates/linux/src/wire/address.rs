//! Socket addresses as they lie in guest memory.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::wire::errno::{EAFNOSUPPORT, EINVAL, Errno};
use crate::wire::record::Record;

// linux/socket.h
pub(crate) const AF_UNSPEC: u16 = 0;
pub(crate) const AF_UNIX: u16 = 1;
pub(crate) const AF_INET: u16 = 2;
pub(crate) const AF_INET6: u16 = 10;

/// The longest address that is looked at (`struct sockaddr_storage`).
pub(crate) const LONGEST: usize = 128;
/// Length of the path in a `struct sockaddr_un`.
const UNIX_PATH: usize = 108;

/// An address that a program gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// `AF_UNSPEC`: none.
    Unspecified,
    /// `AF_INET`, `AF_INET6`
    Internet(SocketAddr),
    /// `AF_UNIX`: a path; empty without a name, and with a NUL in front in the abstract namespace.
    Unix(Vec<u8>),
}

impl Address {
    /// Takes an address apart.
    ///
    /// # Errors
    /// `EINVAL` if it is too short, `EAFNOSUPPORT` for any other family.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Errno> {
        let (family, rest) = bytes.split_first_chunk().ok_or(EINVAL)?;
        match u16::from_le_bytes(*family) {
            AF_UNSPEC => Ok(Self::Unspecified),
            AF_INET => {
                let rest: &[u8; 14] = rest.first_chunk().ok_or(EINVAL)?;
                let [p, q, a, b, c, d, ..] = *rest;
                let address = Ipv4Addr::new(a, b, c, d);
                Ok(Self::Internet((address, u16::from_be_bytes([p, q])).into()))
            }
            AF_INET6 => {
                // The scope at the end may be missing.
                let rest: &[u8; 22] = rest.first_chunk().ok_or(EINVAL)?;
                let [p, q, f0, f1, f2, f3, address @ ..] = *rest;
                let scope = bytes.get(24..).and_then(|rest| rest.first_chunk());
                let scope = scope.map_or(0, |&scope| u32::from_le_bytes(scope));
                Ok(Self::Internet(SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from(address),
                    u16::from_be_bytes([p, q]),
                    u32::from_be_bytes([f0, f1, f2, f3]),
                    scope,
                ))))
            }
            AF_UNIX => {
                let rest = rest.get(..UNIX_PATH).unwrap_or(rest);
                if rest.first().is_none_or(|&first| first == 0) {
                    return Ok(Self::Unix(rest.to_vec()));
                }
                let end = rest.iter().position(|&byte| byte == 0);
                Ok(Self::Unix(rest[..end.unwrap_or(rest.len())].to_vec()))
            }
            _ => Err(EAFNOSUPPORT),
        }
    }

    /// The address as the kernel writes it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Unspecified => AF_UNSPEC.to_le_bytes().to_vec(),
            Self::Internet(SocketAddr::V4(address)) => Record::<16>::new()
                .u16(0, AF_INET)
                .bytes(2, &address.port().to_be_bytes())
                .bytes(4, &address.ip().octets())
                .as_bytes()
                .to_vec(),
            Self::Internet(SocketAddr::V6(address)) => Record::<28>::new()
                .u16(0, AF_INET6)
                .bytes(2, &address.port().to_be_bytes())
                .bytes(4, &address.flowinfo().to_be_bytes())
                .bytes(8, &address.ip().octets())
                .u32(24, address.scope_id())
                .as_bytes()
                .to_vec(),
            Self::Unix(path) => {
                let mut bytes = AF_UNIX.to_le_bytes().to_vec();
                bytes.extend_from_slice(path);
                if path.first().is_some_and(|&first| first != 0) {
                    bytes.push(0);
                }
                bytes
            }
        }
    }

    /// The family that a socket must have for it.
    pub(crate) fn family(&self) -> u16 {
        match self {
            Self::Unspecified => AF_UNSPEC,
            Self::Internet(SocketAddr::V4(_)) => AF_INET,
            Self::Internet(SocketAddr::V6(_)) => AF_INET6,
            Self::Unix(_) => AF_UNIX,
        }
    }
}

/// The address on the host without what could lead elsewhere: the flow label, and a scope where
/// there is none.
pub(crate) fn plain(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => {
            SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into()
        }
        SocketAddr::V6(v6) => (IpAddr::V6(*v6.ip()), v6.port()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internet_addresses_come_back() {
        for text in [
            "192.0.2.7:443",
            "[2001:db8::1]:80",
            "[fe80::1%3]:65535",
            "0.0.0.0:0",
        ] {
            let address = Address::Internet(text.parse().unwrap());
            assert_eq!(Address::parse(&address.encode()), Ok(address), "{text}");
        }
        let bytes = [2, 0, 1, 0xbb, 192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0];
        let address = "192.0.2.7:443".parse().unwrap();
        assert_eq!(Address::parse(&bytes), Ok(Address::Internet(address)));
    }

    #[test]
    fn socket_files_and_their_namespaces() {
        let named = Address::Unix(b"/run/x".to_vec());
        assert_eq!(named.encode(), b"\x01\0/run/x\0");
        assert_eq!(Address::parse(b"\x01\0/run/x"), Ok(named.clone()));
        assert_eq!(Address::parse(b"\x01\0/run/x\0junk"), Ok(named));
        assert_eq!(Address::parse(b"\x01\0"), Ok(Address::Unix(vec![])));
        assert_eq!(
            Address::parse(b"\x01\0\0name"),
            Ok(Address::Unix(b"\0name".to_vec()))
        );
        let Ok(Address::Unix(long)) = Address::parse(&[&[1, 0][..], &[b'x'; 126]].concat()) else {
            panic!("a path")
        };
        assert_eq!(long.len(), 108);
    }

    #[test]
    fn what_is_short_or_unknown_is_an_error() {
        for bytes in [&b""[..], b"\x02", b"\x02\0\0\x50\x7f\0\0\x01", &[10; 1]] {
            assert_eq!(Address::parse(bytes), Err(EINVAL));
        }
        assert_eq!(
            Address::parse(&[&[10, 0][..], &[0; 21]].concat()),
            Err(EINVAL)
        );
        assert!(Address::parse(&[&[10, 0][..], &[0; 22]].concat()).is_ok());
        assert_eq!(Address::parse(&[16, 0, 0, 0]), Err(EAFNOSUPPORT));
        assert_eq!(Address::parse(&[0, 0]), Ok(Address::Unspecified));
    }

    #[test]
    fn scopes_are_for_the_link_only() {
        let plainly = |text: &str| plain(text.parse().unwrap()).to_string();
        assert_eq!(plainly("[fe80::1%3]:1"), "[fe80::1%3]:1");
        assert_eq!(plainly("[2001:db8::1%3]:1"), "[2001:db8::1]:1");
    }
}
