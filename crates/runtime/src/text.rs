//! Text that is shown to people: in logs, in messages, on terminals.
//!
//! Every record about a program begins with what tells whose words follow: `tinykvm NAME: ` are the
//! module's own, `NAME says: ` are the program's. Whatever comes from a program, a file or a client
//! goes through [`printable`] before it is shown, so that no byte of it ends a record, begins one,
//! or does anything to a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What a line of the module's own about no program begins with, and the name that no program may
/// have: `tinykvm says: ...` would be taken for a line about a program called `says`.
pub(crate) const OWN: &str = "tinykvm";

/// A line of the module's own about a program, with what could disturb escaped.
pub(crate) fn own_line(name: &str, text: &str) -> String {
    format!("{OWN} {name}: {}", printable(text.as_bytes()))
}

/// A size as configurations have it, in MiB, rounded up; what is less than that in bytes.
pub(crate) fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        ..MIB => format!("{bytes} bytes"),
        _ => format!("{} MiB", bytes.div_ceil(MIB)),
    }
}

/// Text without anything that could disturb a log or a terminal: control bytes, bytes that are not
/// UTF-8, and characters that nobody sees or that change the order of others are written as
/// `\x1b` and `\u{202e}`. Tabs stay.
#[must_use]
pub fn printable(bytes: &[u8]) -> Cow<'_, str> {
    let plain = |byte: &u8| (b' '..=b'~').contains(byte) || *byte == b'\t';
    if bytes.iter().all(plain)
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push(&mut text, character);
        }
        for byte in chunk.invalid() {
            push_byte(&mut text, *byte);
        }
    }
    Cow::Owned(text)
}

fn push(text: &mut String, character: char) {
    match character {
        '\t' => text.push('\t'),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\0'..='\x1f' | '\x7f' => {
            push_byte(text, u8::try_from(u32::from(character)).unwrap_or_default());
        }
        // Writing to a string does not fail.
        _ if is_hidden(character) => {
            let _ = write!(text, "{}", character.escape_unicode());
        }
        _ => text.push(character),
    }
}

fn push_byte(text: &mut String, byte: u8) {
    // Writing to a string does not fail.
    let _ = write!(text, "\\x{byte:02x}");
}

/// Characters that end lines, change the direction of others, or are not seen at all. Joiners
/// (U+200C, U+200D) are parts of words in some languages, and of emoji.
fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\u{80}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The longest start of `bytes` with at most `limit` bytes that does not end within a character.
pub(crate) fn cut(bytes: &[u8], limit: usize) -> usize {
    if bytes.len() <= limit {
        return bytes.len();
    }
    let is_inside = |byte: &u8| byte & 0xc0 == 0x80;
    // A character has up to three bytes behind its first one.
    (limit.saturating_sub(3)..=limit)
        .rev()
        .find(|&at| at > 0 && !bytes.get(at).is_some_and(is_inside))
        .unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_disturbs_is_escaped() {
        for (bytes, shown) in [
            (&b"plain text\twith a tab"[..], "plain text\twith a tab"),
            (b"", ""),
            (b"a\r\nb\0", "a\\r\\nb\\x00"),
            (b"\x1b[2J\x07\x7f", "\\x1b[2J\\x07\\x7f"),
            (b"\xff\xfea", "\\xff\\xfea"),
            (b"cut \xe2\x82", "cut \\xe2\\x82"),
            (
                "caf\u{e9} \u{1f468}\u{200d}\u{1f469}".as_bytes(),
                "caf\u{e9} \u{1f468}\u{200d}\u{1f469}",
            ),
            ("\u{85}\u{9b}31m".as_bytes(), "\\u{85}\\u{9b}31m"),
            (
                "a\u{2028}b\u{202e}c\u{2066}".as_bytes(),
                "a\\u{2028}b\\u{202e}c\\u{2066}",
            ),
            (
                "\u{feff}\u{200f}\u{e0041}".as_bytes(),
                "\\u{feff}\\u{200f}\\u{e0041}",
            ),
        ] {
            assert_eq!(printable(bytes), shown, "{bytes:?}");
        }
    }

    #[test]
    fn no_byte_gives_a_character_that_does_something() {
        for first in 0..=255_u8 {
            for second in 0..=255_u8 {
                let shown = printable(&[first, second]).into_owned();
                assert!(
                    shown.chars().all(|c| c == '\t' || !c.is_control()),
                    "{first:#x} {second:#x}"
                );
            }
        }
    }

    #[test]
    fn a_cut_is_between_characters() {
        let text = "aa\u{20ac}\u{1f468}".as_bytes();
        let cuts: Vec<_> = (0..=10).map(|limit| cut(text, limit)).collect();
        assert_eq!(cuts, [0, 1, 2, 2, 2, 5, 5, 5, 5, 9, 9]);
        // What is not text is cut where the limit is.
        assert_eq!(cut(&[0x80; 20], 10), 10);
    }

    #[test]
    fn lines_of_our_own() {
        assert_eq!(own_line("p", "a\nb"), "tinykvm p: a\\nb");
    }
}
