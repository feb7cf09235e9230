//! Makes personal data unreadable: e-mail addresses, numbers of payment cards, and the last part
//! of IPv4 addresses.
//!
//! The argument in VCL says what is looked for, for example `email,card`; without one it is all.

use std::io::{self, Write};
use std::sync::LazyLock;

use regex::bytes::Regex;
use tinykvm_guest::filter::{self, Action, Error, Filter, Output};

/// How an address, a card number or an IPv4 address looks. What it is, and whether it is one,
/// [`Kinds::replacement`] knows.
static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?x-u)
          [A-Za-z0-9._%+-]{1,64} @ [A-Za-z0-9-]{1,63} (?: \. [A-Za-z0-9-]{1,63} ){1,4}
        | \b [0-9]{1,3} (?: \. [0-9]{1,3} ){3} \b
        | \b [0-9] (?: [\ -]? [0-9] ){12,18} \b";
    Regex::new(pattern).expect("a pattern")
});

/// Nothing that the pattern finds is longer: an e-mail address with all that it may have.
const LONGEST: usize = 64 + 1 + 63 + 4 * 64;

fn main() {
    // The expression is compiled once, and its tables are filled by a text that has everything.
    // After that, memory is frozen, and every body finds them ready.
    let example = b"Joe <joe.doe@example.com> paid with 4111 1111 1111 1111 from 192.168.1.17\n";
    let mut warm = Scrub::new(Kinds::ALL);
    warm.feed(&example.repeat(10), &mut io::sink())
        .and_then(|()| warm.finish(&mut io::sink()))
        .expect("a sink takes everything");

    filter::serve(|start| match start.response_header("Content-Encoding") {
        None => Action::transform(Scrub::new(Kinds::named(&start.argument()))),
        // Varnish decodes gzip only. In what can't be read there could be everything.
        Some(encoding) => Action::fail(format!("can't read Content-Encoding: {encoding}")),
    })
}

/// What is looked for.
#[derive(Clone, Copy)]
struct Kinds {
    email: bool,
    card: bool,
    ip: bool,
}

impl Kinds {
    const ALL: Self = Self {
        email: true,
        card: true,
        ip: true,
    };

    fn named(names: &str) -> Self {
        if names.is_empty() {
            return Self::ALL;
        }
        let has = |name| names.split(',').any(|it| it.trim() == name);
        Self {
            email: has("email"),
            card: has("card"),
            ip: has("ip"),
        }
    }

    /// How much of what was found is to be replaced, and by what.
    fn replacement(self, found: &[u8]) -> Option<(usize, Vec<u8>)> {
        if found.contains(&b'@') {
            self.email.then(|| (found.len(), b"[email]".to_vec()))
        } else if let Some(last) = found.iter().rposition(|&byte| byte == b'.') {
            let wanted = self.ip && is_ip(found);
            wanted.then(|| (found.len(), [&found[..=last], b"0"].concat()))
        } else {
            let length = card_length(found).filter(|_| self.card)?;
            Some((
                length,
                [b"[card *", &found[length - 4..length], b"]"].concat(),
            ))
        }
    }
}

/// True if no part of the address is more than 255.
fn is_ip(found: &[u8]) -> bool {
    let number = |part: &[u8]| {
        part.iter()
            .fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0'))
    };
    found
        .split(|&byte| byte == b'.')
        .all(|part| number(part) <= 255)
}

/// The length of the card number that some groups of digits begin with. Whatever comes behind it
/// may look like a part of it ("4111 1111 1111 1111 123"), but does not fit its check digit.
fn card_length(found: &[u8]) -> Option<usize> {
    let ends_group = |&end: &usize| found.get(end).is_none_or(|byte| !byte.is_ascii_digit());
    let mut ends = (13..=found.len()).rev().filter(ends_group);
    ends.find(|&end| is_card(&found[..end]))
}

/// Luhn's check: every second digit from the right is doubled, and the sum ends with 0.
fn is_card(number: &[u8]) -> bool {
    let digits = number.iter().rev().filter(|byte| byte.is_ascii_digit());
    let values = digits.map(|byte| u32::from(byte - b'0')).enumerate();
    let weigh = |(place, digit): (usize, u32)| match (place % 2, digit) {
        (0, _) => digit,
        (_, 0..5) => 2 * digit,
        _ => 2 * digit - 9,
    };
    values.clone().count() >= 13 && values.map(weigh).sum::<u32>() % 10 == 0
}

/// The filter. It holds back what may be the beginning of something: the last `LONGEST` bytes.
struct Scrub {
    kinds: Kinds,
    held: Vec<u8>,
    /// So much of `held` is written. It is there because what begins a word depends on the byte
    /// before it.
    written: usize,
}

impl Scrub {
    fn new(kinds: Kinds) -> Self {
        Self {
            kinds,
            held: Vec::new(),
            written: 0,
        }
    }

    fn feed(&mut self, data: &[u8], out: &mut impl Write) -> io::Result<()> {
        self.held.extend_from_slice(data);
        let decided = self.held.len().saturating_sub(LONGEST);
        self.scrub(decided, out)
    }

    fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.scrub(self.held.len(), out)
    }

    /// Writes everything before `decided`, and what begins there. More of the body would not
    /// change what is found before it: all that belongs to that is here.
    fn scrub(&mut self, decided: usize, out: &mut impl Write) -> io::Result<()> {
        let mut at = self.written;
        while let Some(found) = PATTERN.find_at(&self.held, at) {
            if found.start() >= decided {
                break;
            }
            at = found.start() + 1;
            if let Some((length, text)) = self.kinds.replacement(found.as_bytes()) {
                out.write_all(&self.held[self.written..found.start()])?;
                out.write_all(&text)?;
                at = found.start() + length;
                self.written = at;
            }
        }
        if decided > self.written {
            out.write_all(&self.held[self.written..decided])?;
            self.written = decided;
        }
        let kept = self.written.saturating_sub(1);
        self.held.drain(..kept);
        self.written -= kept;
        Ok(())
    }
}

impl Filter for Scrub {
    fn chunk(&mut self, data: &[u8], out: &mut Output) -> Result<(), Error> {
        Ok(self.feed(data, out)?)
    }

    fn end(&mut self, out: &mut Output) -> Result<(), Error> {
        Ok(self.finish(out)?)
    }
}

#[cfg(test)]
mod tests {
    use filters_rust::cuts;

    use super::*;

    fn scrub(kinds: Kinds, parts: &[&[u8]]) -> String {
        let mut out = Vec::new();
        let mut filter = Scrub::new(kinds);
        for part in parts {
            filter.feed(part, &mut out).unwrap();
        }
        filter.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn all(text: &str) -> String {
        scrub(Kinds::ALL, &[text.as_bytes()])
    }

    #[test]
    fn addresses() {
        assert_eq!(all("to <a.b+c@mail.example.org>, ok."), "to <[email]>, ok.");
        assert_eq!(all("a@b, @c.de, d@.e, "), "a@b, @c.de, d@.e, ");
        assert_eq!(all("x@y.z@u.v"), "[email]@u.v");
    }

    #[test]
    fn card_numbers() {
        assert_eq!(all("4111111111111111"), "[card *1111]");
        assert_eq!(all("5500-0000-0000-0004."), "[card *0004].");
        assert_eq!(all("4111 1111 1111 1111 123"), "[card *1111] 123");
        assert_eq!(all("123 4111 1111 1111 1111"), "123 [card *1111]");
        assert_eq!(all("4111111111111112"), "4111111111111112");
        assert_eq!(all("x4111111111111111"), "x4111111111111111");
        assert_eq!(all("41111111111111110000"), "41111111111111110000");
    }

    #[test]
    fn ip_addresses() {
        assert_eq!(all("192.168.17.254 - -"), "192.168.17.0 - -");
        assert_eq!(all("256.1.1.1 and 1.2.3"), "256.1.1.1 and 1.2.3");
    }

    #[test]
    fn only_what_was_asked_for() {
        let text = b"joe@example.com 10.0.0.1 4111111111111111";
        let email = scrub(Kinds::named("email"), &[text]);
        assert_eq!(email, "[email] 10.0.0.1 4111111111111111");
        let others = scrub(Kinds::named("ip, card"), &[text]);
        assert_eq!(others, "joe@example.com 10.0.0.0 [card *1111]");
    }

    #[test]
    fn parts_end_anywhere() {
        let text = b"joe@example.com 10.0.0.1 4111-1111 1111 1111 2@3.4 ";
        let expected = "[email] 10.0.0.0 [card *1111] [email] ";
        for parts in cuts(text) {
            assert_eq!(scrub(Kinds::ALL, &parts), expected, "{parts:?}");
        }
    }

    #[test]
    fn parts_end_anywhere_in_long_words_without_an_end() {
        // Each of these begins where another could have begun before.
        let text = "12345678901234567890@a.b.c.d.e.f 1.2.3.4.5.6.7.8 4111 1111 1111 1111 "
            .repeat(40)
            .replace(' ', "-");
        let whole = all(&text);
        for size in [1, 2, 3, 7, 100, LONGEST - 1, LONGEST, LONGEST + 1, 1000] {
            let parts: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            assert_eq!(scrub(Kinds::ALL, &parts), whole, "{size}");
        }
    }
}
