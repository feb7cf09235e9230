//! What a socket may reach: asks the rules, and makes the host's form of the address.

use std::net::SocketAddr;

use rustix::net::SocketAddrUnix;

use crate::call::context::Context;
use crate::call::failure::Failure;
use crate::notice::Notice;
use crate::rules::paths::normal;
use crate::wire::address::{Address, plain};
use crate::wire::errno::{EACCES, ECONNREFUSED, EINVAL, ENOENT, Errno};

/// A place that a socket may go to.
#[derive(Debug)]
pub(super) enum Target {
    Internet(SocketAddr),
    Unix(SocketAddrUnix),
    /// The host's resolver, for queries that the rules allow.
    Resolver(SocketAddr),
}

/// Decides whether a socket may go to an address; denied is logged.
pub(super) fn permit(
    context: &mut Context<'_>,
    to: &Address,
    stream: bool,
) -> Result<Target, Failure> {
    let rules = &context.process.options().connect;
    match to {
        Address::Internet(address) => {
            let address = plain(*address);
            let resolver = !stream && rules.is_resolver(address);
            // In an audit the resolver's answers tell names, so it is taken for what it is.
            if resolver && rules.is_audit() {
                return Ok(Target::Resolver(address));
            }
            let learnt = &context.state().objects.learnt;
            if rules.allows(address, learnt) {
                if rules.is_audit() && !rules.names(address, learnt) {
                    let rule = internet_rule(context, address);
                    context.host.connected(&rule);
                }
                return Ok(Target::Internet(address));
            }
            if resolver {
                return Ok(Target::Resolver(address));
            }
            Err(unreachable(context, &address.to_string(), EACCES))
        }
        Address::Unix(path) => {
            if rules.allows_unix(path) {
                let host = SocketAddrUnix::new(path.as_slice()).map_err(|_| EINVAL)?;
                if rules.is_audit() && !rules.names_unix(path) {
                    let rule = format!("unix:{}", String::from_utf8_lossy(path));
                    context.host.connected(&rule);
                }
                return Ok(Target::Unix(host));
            }
            let permissions = &context.process.options().permissions;
            let error = match path.first() {
                // In the other space of names nobody listens.
                None | Some(0) => ECONNREFUSED,
                // The right to a file is none to connect to it.
                Some(_) if permissions.find(&normal(path)).is_some() => EACCES,
                // As any path that no rule is about.
                Some(_) => ENOENT,
            };
            let name = format!("unix:{}", String::from_utf8_lossy(path));
            Err(unreachable(context, &name, error))
        }
        Address::Unspecified => Err(EINVAL.into()),
    }
}

fn unreachable(context: &mut Context<'_>, to: &str, error: Errno) -> Failure {
    let call = context.call;
    context.notice(Notice::Unreachable { call, to });
    error.into()
}

/// The rule that would allow this address: by the name that it was found by, if any.
fn internet_rule(context: &Context<'_>, address: SocketAddr) -> String {
    let learnt = &context.state().objects.learnt;
    let same = |one: &&crate::rules::connect::Learnt| one.address == address.ip().to_canonical();
    match learnt.iter().find(same) {
        Some(found) => format!("{}:{}", found.name, address.port()),
        None => address.to_string(),
    }
}

/// Decides whether the host's resolver may be asked this.
pub(super) fn permit_query(context: &mut Context<'_>, query: &[u8]) -> Result<(), Failure> {
    let name = crate::wire::dns::asked(query);
    let call = context.call;
    let rules = &context.process.options().connect;
    match name {
        Some(name) if rules.allows_name(&name) => Ok(()),
        Some(name) => {
            let name = Some(name.as_str());
            context.notice(Notice::Query { call, name });
            Err(EACCES.into())
        }
        None => {
            context.notice(Notice::Query { call, name: None });
            Err(EACCES.into())
        }
    }
}

/// Remembers the addresses in an answer of the host's resolver.
pub(super) fn learn(context: &mut Context<'_>, answer: &[u8]) {
    let Some((name, addresses)) = crate::wire::dns::answered(answer) else {
        return;
    };
    if !context.process.options().connect.names_rule(&name) {
        return;
    }
    for address in addresses {
        let learnt = crate::rules::connect::Learnt {
            name: name.clone(),
            address: address.to_canonical(),
        };
        context.state_mut().objects.learnt.insert(learnt);
    }
}
