//! What there is to know of the syntax of HTML.

/// Elements whose content is text, not tags, up to their end tag; and `noscript`, which is that
/// or not.
pub(crate) const RAW: [&[u8]; 10] = [
    b"iframe",
    b"noembed",
    b"noframes",
    b"noscript",
    b"plaintext",
    SCRIPT,
    b"style",
    b"textarea",
    b"title",
    b"xmp",
];

pub(crate) const SCRIPT: &[u8] = b"script";

/// Elements with tags in them, and white space that counts.
pub(crate) const PREFORMATTED: [&[u8]; 2] = [b"pre", b"listing"];

/// Where in a tag, behind its name.
#[derive(Clone, Copy)]
pub(crate) enum Tag {
    Between,
    Slash,
    Attribute,
    AfterAttribute,
    Equals,
    Value,
    Quoted(u8),
}

/// How much of a comment's `-->` there is.
#[derive(Clone, Copy)]
pub(crate) enum Closing {
    /// Right behind `<!--`, where `>` is enough.
    Start,
    No,
    Dash,
    Dashes,
    /// `--!`, which `>` makes an end, too.
    Bang,
}

impl Tag {
    pub(crate) fn next(self, byte: u8) -> Self {
        let space = is_space(byte);
        match (self, byte) {
            (Self::Quoted(quote), _) if byte == quote => Self::Between,
            (Self::Quoted(_), _) => self,
            (Self::Equals, b'"' | b'\'') => Self::Quoted(byte),
            (Self::Equals, _) if space => Self::Equals,
            (Self::Value, _) if space => Self::Between,
            (Self::Equals | Self::Value, _) => Self::Value,
            (Self::Attribute | Self::AfterAttribute, b'=') => Self::Equals,
            (_, b'/') => Self::Slash,
            (Self::Attribute | Self::AfterAttribute, _) if space => Self::AfterAttribute,
            (Self::Between | Self::Slash, _) if space => Self::Between,
            _ => Self::Attribute,
        }
    }
}

impl Closing {
    /// What it is behind this byte; nothing if the comment has ended.
    pub(crate) fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Start | Self::Dashes | Self::Bang, b'>') => return None,
            (Self::Start, b'-') => Self::Start,
            (Self::No | Self::Bang, b'-') => Self::Dash,
            (Self::Dash | Self::Dashes, b'-') => Self::Dashes,
            (Self::Dashes, b'!') => Self::Bang,
            _ => Self::No,
        })
    }
}

pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 12)
}

pub(crate) fn ends_name(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b'/' | b'>')
}
