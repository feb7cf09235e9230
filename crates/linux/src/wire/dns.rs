//! Looks into DNS messages (RFC 1035, 4.1): what is asked, and which addresses the answer has.

use std::net::IpAddr;

/// Length of the header.
const HEADER: usize = 12;
/// More labels than a name can have.
const MOST_LABELS: usize = 128;

/// The name in a query: a message with one question, in plain letters, and nothing that answers.
/// Whatever else a message could carry to somewhere else is refused.
pub(crate) fn asked(query: &[u8]) -> Option<String> {
    let flags = u16_at(query, 2)?;
    let [questions, answers, authorities] = [4, 6, 8].map(|at| u16_at(query, at));
    let opcode_and_response = flags & 0xf800;
    if opcode_and_response != 0 || (questions, answers, authorities) != (Some(1), Some(0), Some(0))
    {
        return None;
    }
    let (name, end) = name(query, HEADER)?;
    // Type and class follow, and then an EDNS record (RFC 6891) at most.
    let rest = query.get(end + 4..)?;
    let additional = u16_at(query, 10)?;
    (additional <= 1 && rest.len() <= 64).then_some(name)
}

/// The name that was asked for and the addresses in an answer.
pub(crate) fn answered(message: &[u8]) -> Option<(String, Vec<IpAddr>)> {
    // A response, without an error.
    if u16_at(message, 2)? & 0x800f != 0x8000 || u16_at(message, 4)? != 1 {
        return None;
    }
    let (asked, end) = name(message, HEADER)?;
    let mut at = end + 4;
    let mut addresses = Vec::new();
    for _ in 0..u16_at(message, 6)? {
        let Some((kind, data, next)) = record(message, at) else {
            break;
        };
        match kind {
            1 => addresses.extend(data.first_chunk::<4>().map(|&bytes| IpAddr::from(bytes))),
            28 => addresses.extend(data.first_chunk::<16>().map(|&bytes| IpAddr::from(bytes))),
            _ => {}
        }
        at = next;
    }
    Some((asked, addresses))
}

/// Type, data and end of the record at `at`.
fn record(message: &[u8], at: usize) -> Option<(u16, &[u8], usize)> {
    let (_, at) = name(message, at)?;
    let kind = u16_at(message, at)?;
    let class = u16_at(message, at + 2)?;
    let length = usize::from(u16_at(message, at + 8)?);
    let start = at + 10;
    let data = message.get(start..start + length)?;
    // IN; of another class nothing is an address.
    let kind = if class == 1 { kind } else { 0 };
    Some((kind, data, start + length))
}

/// The name at `at` and where it ends. Names may point backwards for their rest.
fn name(message: &[u8], start: usize) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut at = start;
    let mut end = None;
    for _ in 0..MOST_LABELS {
        let length = usize::from(*message.get(at)?);
        if length & 0xc0 == 0xc0 {
            let target = usize::from(u16_at(message, at)? & 0x3fff);
            end = end.or(Some(at + 2));
            if target >= at {
                return None;
            }
            at = target;
            continue;
        }
        if length > 63 {
            return None;
        }
        if length == 0 {
            return Some((text, end.unwrap_or(at + 1)));
        }
        let label = message.get(at + 1..at + 1 + length)?;
        let plain = |&byte: &u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !label.iter().all(plain) {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(
            label
                .iter()
                .map(|&byte| char::from(byte.to_ascii_lowercase())),
        );
        at += 1 + length;
    }
    None
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests;
