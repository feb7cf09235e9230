//! Socket options: a list of those that are known. A few reach the host socket; the others only
//! read back as they were set.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::sockopt;

use crate::wire::errno::{EDOM, EINVAL, ENOPROTOOPT, Errno};
use crate::wire::record::{timeval, u32_at, u64_at};

// asm-generic/socket.h, linux/in.h, linux/tcp.h, linux/in6.h
pub(crate) const SOL_SOCKET: u32 = 1;
const IP: u32 = 0;
const TCP: u32 = 6;
const IPV6: u32 = 41;
const SO_SNDBUF: u32 = 7;
const SO_RCVBUF: u32 = 8;
const SO_KEEPALIVE: u32 = 9;
const SO_LINGER: u32 = 13;
const SO_RCVTIMEO: u32 = 20;
const SO_SNDTIMEO: u32 = 21;
/// The same for systems whose time had 32 bits.
const SO_RCVTIMEO_NEW: u32 = 66;
const SO_SNDTIMEO_NEW: u32 = 67;
const TCP_NODELAY: u32 = 1;
const TCP_CORK: u32 = 3;
const TCP_KEEPIDLE: u32 = 4;
const TCP_KEEPINTVL: u32 = 5;
const TCP_KEEPCNT: u32 = 6;
const TCP_QUICKACK: u32 = 12;
const TCP_USER_TIMEOUT: u32 = 18;

/// Options that are an `int`, and what they are at first. Reused addresses, priorities and the
/// like make no difference for sockets that only connect.
const NUMBERS: &[(u32, u32, u32)] = &[
    (SOL_SOCKET, 2, 0), // SO_REUSEADDR
    (SOL_SOCKET, 6, 0), // SO_BROADCAST
    (SOL_SOCKET, SO_SNDBUF, 212_992),
    (SOL_SOCKET, SO_RCVBUF, 212_992),
    (SOL_SOCKET, SO_KEEPALIVE, 0),
    (SOL_SOCKET, 10, 0), // SO_OOBINLINE
    (SOL_SOCKET, 12, 0), // SO_PRIORITY
    (SOL_SOCKET, 15, 0), // SO_REUSEPORT
    (SOL_SOCKET, 16, 0), // SO_PASSCRED
    (SOL_SOCKET, 18, 1), // SO_RCVLOWAT
    (SOL_SOCKET, 29, 0), // SO_TIMESTAMP
    (IP, 1, 0),          // IP_TOS
    (IP, 2, 64),         // IP_TTL
    (IP, 8, 0),          // IP_PKTINFO
    (IP, 10, 1),         // IP_MTU_DISCOVER
    (IP, 11, 0),         // IP_RECVERR
    (IP, 24, 0),         // IP_BIND_ADDRESS_NO_PORT
    (TCP, TCP_NODELAY, 0),
    (TCP, TCP_CORK, 0),
    (TCP, TCP_KEEPIDLE, 7200),
    (TCP, TCP_KEEPINTVL, 75),
    (TCP, TCP_KEEPCNT, 9),
    (TCP, 7, 6), // TCP_SYNCNT
    (TCP, TCP_QUICKACK, 1),
    (TCP, TCP_USER_TIMEOUT, 0),
    (IPV6, 16, 64), // IPV6_UNICAST_HOPS
    (IPV6, 23, 1),  // IPV6_MTU_DISCOVER
    (IPV6, 25, 0),  // IPV6_RECVERR
    (IPV6, 26, 0),  // IPV6_V6ONLY
    (IPV6, 49, 0),  // IPV6_RECVPKTINFO
    (IPV6, 67, 0),  // IPV6_TCLASS
];

/// What was set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    numbers: BTreeMap<(u32, u32), u32>,
    linger: Option<u32>,
    pub(crate) receive_limit: Option<Duration>,
    pub(crate) send_limit: Option<Duration>,
}

impl Options {
    /// Sets an option, and on the host if there is a socket.
    ///
    /// # Errors
    /// `EINVAL` if the value is too short, `ENOPROTOOPT` if the option is not known, `EDOM` for a
    /// time that cannot be.
    pub(crate) fn set(
        &mut self,
        level: u32,
        name: u32,
        value: &[u8],
        host: Option<&OwnedFd>,
    ) -> Result<(), Errno> {
        match (level, name) {
            (SOL_SOCKET, SO_RCVTIMEO | SO_RCVTIMEO_NEW) => self.receive_limit = limit(value)?,
            (SOL_SOCKET, SO_SNDTIMEO | SO_SNDTIMEO_NEW) => self.send_limit = limit(value)?,
            (SOL_SOCKET, SO_LINGER) => {
                if value.len() < 8 {
                    return Err(EINVAL);
                }
                let on = u32_at(value, 0) != 0;
                self.linger = on.then_some(u32_at(value, 4));
                if let Some(host) = host {
                    self.apply_linger(host);
                }
            }
            _ => {
                let known = |&(at, option, _): &(u32, u32, u32)| (at, option) == (level, name);
                if !NUMBERS.iter().any(known) {
                    return Err(ENOPROTOOPT);
                }
                if value.len() < 4 {
                    return Err(EINVAL);
                }
                let value = bounded(level, name, u32_at(value, 0));
                self.numbers.insert((level, name), value);
                if let Some(host) = host {
                    apply(host, level, name, value);
                }
            }
        }
        Ok(())
    }

    /// What an option is set to.
    ///
    /// # Errors
    /// `ENOPROTOOPT` if it is not known.
    pub(crate) fn get(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        let time = |limit: Option<Duration>| timeval(limit.unwrap_or_default()).as_bytes().to_vec();
        match (level, name) {
            (SOL_SOCKET, SO_RCVTIMEO | SO_RCVTIMEO_NEW) => Ok(time(self.receive_limit)),
            (SOL_SOCKET, SO_SNDTIMEO | SO_SNDTIMEO_NEW) => Ok(time(self.send_limit)),
            (SOL_SOCKET, SO_LINGER) => {
                let on = u32::from(self.linger.is_some()).to_le_bytes();
                Ok([on, self.linger.unwrap_or(0).to_le_bytes()].concat())
            }
            _ => {
                let known = |&&(at, option, _): &&(u32, u32, u32)| (at, option) == (level, name);
                let (.., first) = NUMBERS.iter().find(known).ok_or(ENOPROTOOPT)?;
                let value = self.numbers.get(&(level, name)).unwrap_or(first);
                Ok(value.to_le_bytes().to_vec())
            }
        }
    }

    /// Gives a new host socket all that was set before.
    pub(crate) fn apply_all(&self, host: &OwnedFd) {
        for (&(level, name), &value) in &self.numbers {
            apply(host, level, name, value);
        }
        self.apply_linger(host);
    }

    /// A host socket is never closed slowly: that would hold up the host. At once is possible.
    fn apply_linger(&self, host: &OwnedFd) {
        let at_once = (self.linger == Some(0)).then_some(Duration::ZERO);
        let _ = sockopt::set_socket_linger(host, at_once);
    }
}

/// The value of an option within what a program may have.
fn bounded(level: u32, name: u32, value: u32) -> u32 {
    match (level, name) {
        // Linux doubles it for its own structures, and tells so.
        (SOL_SOCKET, SO_SNDBUF | SO_RCVBUF) => value.clamp(2304, 212_992) * 2,
        _ => value,
    }
}

/// Sets an option of a host socket, if it is one that makes a difference. A refusal is no error:
/// the option then stays as it is.
fn apply(host: &OwnedFd, level: u32, name: u32, value: u32) {
    let on = value != 0;
    let seconds = Duration::from_secs(u64::from(value.clamp(1, 32_767)));
    let size = usize::try_from(value / 2).unwrap_or(0);
    let _ = match (level, name) {
        (SOL_SOCKET, SO_KEEPALIVE) => sockopt::set_socket_keepalive(host, on),
        (SOL_SOCKET, SO_SNDBUF) => sockopt::set_socket_send_buffer_size(host, size),
        (SOL_SOCKET, SO_RCVBUF) => sockopt::set_socket_recv_buffer_size(host, size),
        (TCP, TCP_NODELAY) => sockopt::set_tcp_nodelay(host, on),
        (TCP, TCP_CORK) => sockopt::set_tcp_cork(host, on),
        (TCP, TCP_QUICKACK) => sockopt::set_tcp_quickack(host, on),
        (TCP, TCP_KEEPIDLE) => sockopt::set_tcp_keepidle(host, seconds),
        (TCP, TCP_KEEPINTVL) => sockopt::set_tcp_keepintvl(host, seconds),
        (TCP, TCP_KEEPCNT) => sockopt::set_tcp_keepcnt(host, value.clamp(1, 127)),
        (TCP, TCP_USER_TIMEOUT) => sockopt::set_tcp_user_timeout(host, value),
        _ => Ok(()),
    };
}

/// A `struct timeval`; zero is no limit.
fn limit(value: &[u8]) -> Result<Option<Duration>, Errno> {
    if value.len() < 16 {
        return Err(EINVAL);
    }
    let (seconds, micros) = (u64_at(value, 0), u64_at(value, 8));
    if micros >= 1_000_000 {
        return Err(EDOM);
    }
    // Negative: it does not wait at all, and says that nothing was set.
    if i64::try_from(seconds).is_err() {
        return Ok(Some(Duration::ZERO));
    }
    let time = Duration::from_secs(seconds) + Duration::from_micros(micros);
    Ok((!time.is_zero()).then_some(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(options: &Options, level: u32, name: u32) -> u32 {
        u32_at(&options.get(level, name).unwrap(), 0)
    }

    #[test]
    fn known_options_read_back() {
        let mut options = Options::default();
        assert_eq!(number(&options, TCP, TCP_KEEPCNT), 9);
        for &(level, name, _) in NUMBERS.iter().filter(|(_, name, _)| ![7, 8].contains(name)) {
            options
                .set(level, name, &7_u32.to_le_bytes(), None)
                .unwrap();
            assert_eq!(number(&options, level, name), 7, "{level} {name}");
        }
    }

    #[test]
    fn buffers_are_bounded() {
        let mut options = Options::default();
        for (wanted, found) in [(u32::MAX, 425_984), (0, 4608), (10_000, 20_000)] {
            options
                .set(SOL_SOCKET, SO_RCVBUF, &wanted.to_le_bytes(), None)
                .unwrap();
            assert_eq!(number(&options, SOL_SOCKET, SO_RCVBUF), found);
        }
    }

    #[test]
    fn others_are_refused() {
        let mut options = Options::default();
        // SO_BINDTODEVICE, SO_MARK, TCP_FASTOPEN_CONNECT, TCP_CONGESTION, IP_ADD_MEMBERSHIP,
        // IP_TRANSPARENT, TCP_REPAIR
        for (level, name) in [
            (1, 25),
            (1, 36),
            (6, 30),
            (6, 13),
            (0, 35),
            (0, 19),
            (6, 19),
            (255, 1),
        ] {
            assert_eq!(options.set(level, name, &[0; 64], None), Err(ENOPROTOOPT));
            assert_eq!(options.get(level, name), Err(ENOPROTOOPT));
        }
        assert_eq!(options.set(TCP, TCP_NODELAY, &[1, 0, 0], None), Err(EINVAL));
        assert_eq!(
            options.set(SOL_SOCKET, SO_LINGER, &[1; 7], None),
            Err(EINVAL)
        );
    }

    #[test]
    fn times_are_kept() {
        let mut options = Options::default();
        let value = timeval(Duration::from_millis(1500));
        options
            .set(SOL_SOCKET, SO_RCVTIMEO, value.as_bytes(), None)
            .unwrap();
        assert_eq!(options.receive_limit, Some(Duration::from_millis(1500)));
        assert_eq!(
            options.get(SOL_SOCKET, SO_RCVTIMEO).unwrap(),
            value.as_bytes()
        );
        options
            .set(SOL_SOCKET, SO_RCVTIMEO, &[0; 16], None)
            .unwrap();
        assert_eq!(options.receive_limit, None);
        let never = [u64::MAX.to_le_bytes(), [0; 8]].concat();
        options.set(SOL_SOCKET, SO_RCVTIMEO, &never, None).unwrap();
        assert_eq!(options.receive_limit, Some(Duration::ZERO));
        assert_eq!(options.get(SOL_SOCKET, SO_RCVTIMEO).unwrap(), [0; 16]);
        let bad = [&[0; 8][..], &1_000_000_u64.to_le_bytes()].concat();
        assert_eq!(options.set(SOL_SOCKET, SO_SNDTIMEO, &bad, None), Err(EDOM));
    }
}
