//! HTML without what no browser shows: white space that is followed by white space, and comments.
//!
//! It is careful: what it does not know for sure to mean nothing, it leaves. White space becomes
//! one space, never none (but between the attributes and the end of a tag), as words would run
//! into each other. Scripts, styles, and text that is shown as it was typed stay as they are.
//! Only CSS that says `white-space: pre` of other elements is not seen.

use std::io::{self, Write};

use memchr::memchr;

use crate::syntax::{Closing, PREFORMATTED, RAW, SCRIPT, Tag, ends_name, is_space};

/// Longer than any name that is looked for.
const LONG_NAME: usize = 16;

/// The filter.
pub(crate) struct Html {
    keep_comments: bool,
    at: Place,
    /// What can't be told yet: in [`Place::Open`] all since `<`, not written yet; in
    /// [`Place::Raw`] what may be the beginning of an end. In tags it is the name, in small
    /// letters, with `/` before it if it is an end tag.
    seen: Vec<u8>,
    /// How many elements are open whose text is shown as it was typed.
    preformatted: usize,
    last: Last,
}

/// What was written last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// White space in text (or nothing yet): more of it would not be seen.
    Space,
    Word,
    /// A tag, or what is like it; in a tag, anything but a gap.
    Tag,
    /// In a tag there was white space, which is not written yet.
    Gap,
}

#[derive(Clone, Copy)]
enum Place {
    Text,
    /// Behind `<`.
    Open,
    /// In the name of a tag.
    Name,
    Tag(Tag),
    Comment(Comment),
    /// In something like `<!DOCTYPE html>` or `<?xml?>`, up to the next `>`.
    Declaration,
    /// In this element of [`RAW`].
    Raw(&'static [u8]),
}

#[derive(Clone, Copy)]
struct Comment {
    keep: bool,
    /// A script has comments, too. An end tag in one may be none.
    in_script: bool,
    closing: Closing,
}

impl Html {
    pub(crate) fn new(keep_comments: bool) -> Self {
        Self {
            keep_comments,
            at: Place::Text,
            seen: Vec::with_capacity(LONG_NAME),
            preformatted: 0,
            last: Last::Space,
        }
    }

    pub(crate) fn feed(&mut self, data: &[u8], out: &mut impl Write) -> io::Result<()> {
        let mut rest = data;
        while !rest.is_empty() {
            // Each writes what becomes of the first bytes, and says how many these were.
            let used = match self.at {
                Place::Text => self.text(rest, out)?,
                Place::Open => self.open(rest[0], out)?,
                Place::Name => self.name(rest, out)?,
                Place::Tag(tag) => self.tag(tag, rest, out)?,
                Place::Comment(comment) => self.comment(comment, rest, out)?,
                Place::Declaration => self.declaration(rest, out)?,
                Place::Raw(element) => self.raw(element, rest, out)?,
            };
            rest = &rest[used..];
        }
        Ok(())
    }

    pub(crate) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        match self.at {
            Place::Open => out.write_all(&self.seen),
            _ => Ok(()),
        }
    }

    fn text(&mut self, data: &[u8], out: &mut impl Write) -> io::Result<usize> {
        let length = memchr(b'<', data).unwrap_or(data.len());
        if self.preformatted == 0 {
            self.words(&data[..length], out)?;
        } else if length > 0 {
            out.write_all(&data[..length])?;
            self.last = Last::Word;
        }
        if length == data.len() {
            return Ok(length);
        }
        self.at = Place::Open;
        self.seen.clear();
        self.seen.push(b'<');
        Ok(length + 1)
    }

    /// Writes text with one space for each run of white space.
    fn words(&mut self, text: &[u8], out: &mut impl Write) -> io::Result<()> {
        let mut from = 0;
        let mut last = self.last;
        for (at, &byte) in text.iter().enumerate() {
            if !is_space(byte) {
                last = Last::Word;
            } else if last == Last::Space {
                out.write_all(&text[from..at])?;
                from = at + 1;
            } else {
                last = Last::Space;
                if byte != b' ' {
                    out.write_all(&text[from..at])?;
                    out.write_all(b" ")?;
                    from = at + 1;
                }
            }
        }
        self.last = last;
        out.write_all(&text[from..])
    }

    fn open(&mut self, byte: u8, out: &mut impl Write) -> io::Result<usize> {
        let end_tag = self.seen == b"</";
        let next = match (&self.seen[..], byte) {
            (b"<", b'!' | b'/') | (b"<!" | b"<!-", b'-') | (b"<!--", b' ') => {
                self.seen.push(byte);
                return Ok(1);
            }
            (b"<" | b"</", b'a'..=b'z' | b'A'..=b'Z') => Place::Name,
            (b"<", b'?') | (b"</" | b"<!" | b"<!-", _) => Place::Declaration,
            (b"<", _) => Place::Text,
            // Those that begin with something else are meant for somebody: `<!--[if`, `<!--esi`.
            (b"<!--", _) => Place::Comment(Comment {
                keep: !is_space(byte) || self.keeps_comments(),
                in_script: false,
                closing: Closing::Start,
            }),
            // By `<!-- -->` frameworks find their way.
            _ => Place::Comment(Comment {
                keep: byte == b'-' || self.keeps_comments(),
                in_script: false,
                closing: Closing::No,
            }),
        };
        self.at = next;
        if !matches!(next, Place::Comment(Comment { keep: false, .. })) {
            out.write_all(&self.seen)?;
            self.last = match next {
                Place::Text => Last::Word,
                _ => Last::Tag,
            };
        }
        self.seen.clear();
        if end_tag {
            self.seen.push(b'/');
        }
        Ok(0)
    }

    /// Whether comments can't go here. Without one between them, what is before and behind it
    /// could become a tag, or a character's name (`&am<!-- -->p;`).
    fn keeps_comments(&self) -> bool {
        self.keep_comments || self.preformatted > 0 || self.last == Last::Word
    }

    fn name(&mut self, data: &[u8], out: &mut impl Write) -> io::Result<usize> {
        let end = data.iter().position(|byte| ends_name(*byte));
        let length = end.unwrap_or(data.len());
        out.write_all(&data[..length])?;
        let room = LONG_NAME - self.seen.len();
        let name = data[..length.min(room)].iter();
        self.seen.extend(name.map(u8::to_ascii_lowercase));
        if length < data.len() {
            self.at = Place::Tag(Tag::Between);
        }
        Ok(length)
    }

    fn tag(&mut self, mut tag: Tag, data: &[u8], out: &mut impl Write) -> io::Result<usize> {
        // What is to be written has begun here.
        let mut from = 0;
        let mut at = 0;
        while let Some(&byte) = data.get(at) {
            if let Tag::Quoted(quote) = tag {
                let end = memchr(quote, &data[at..]);
                tag = end.map_or(tag, |_| Tag::Between);
                at = end.map_or(data.len(), |end| at + end + 1);
                continue;
            }
            if is_space(byte) {
                // `/ >` is not `/>`, and one space between two attributes is as it should be.
                let next = data.get(at + 1);
                let single = byte == b' ' && next.is_some_and(|it| !is_space(*it) && *it != b'>');
                let stays = matches!(tag, Tag::Slash) || single && self.last != Last::Gap;
                if !stays {
                    out.write_all(&data[from..at])?;
                    from = at + 1;
                    self.last = Last::Gap;
                }
            } else {
                if self.last == Last::Gap && byte != b'>' {
                    out.write_all(b" ")?;
                }
                self.last = Last::Tag;
                if byte == b'>' {
                    out.write_all(&data[from..=at])?;
                    self.at = self.behind_tag();
                    return Ok(at + 1);
                }
            }
            tag = tag.next(byte);
            at += 1;
        }
        self.at = Place::Tag(tag);
        out.write_all(&data[from..])?;
        Ok(data.len())
    }

    fn behind_tag(&mut self) -> Place {
        let raw = RAW.into_iter().find(|element| self.seen == *element);
        match &self.seen[..] {
            [b'/', name @ ..] if PREFORMATTED.contains(&name) => {
                self.preformatted = self.preformatted.saturating_sub(1);
            }
            name if PREFORMATTED.contains(&name) => self.preformatted += 1,
            _ => {}
        }
        self.seen.clear();
        raw.map_or(Place::Text, Place::Raw)
    }

    fn comment(
        &mut self,
        mut comment: Comment,
        data: &[u8],
        out: &mut impl Write,
    ) -> io::Result<usize> {
        let mut at = 0;
        let mut ended = false;
        while at < data.len() && !ended {
            if let Closing::No = comment.closing {
                at += memchr(b'-', &data[at..]).unwrap_or(data.len() - at - 1);
            }
            match comment.closing.next(data[at]) {
                Some(closing) => comment.closing = closing,
                None => ended = true,
            }
            at += 1;
        }
        if comment.keep {
            out.write_all(&data[..at])?;
        }
        self.at = match ended {
            true if comment.in_script => Place::Raw(SCRIPT),
            true => Place::Text,
            false => Place::Comment(comment),
        };
        Ok(at)
    }

    fn declaration(&mut self, data: &[u8], out: &mut impl Write) -> io::Result<usize> {
        let end = memchr(b'>', data);
        let length = end.map_or(data.len(), |end| end + 1);
        out.write_all(&data[..length])?;
        if end.is_some() {
            self.at = Place::Text;
        }
        Ok(length)
    }

    fn raw(
        &mut self,
        element: &'static [u8],
        data: &[u8],
        out: &mut impl Write,
    ) -> io::Result<usize> {
        if self.seen.is_empty() {
            let found = memchr(b'<', data);
            let length = found.map_or(data.len(), |found| found + 1);
            self.seen.extend(found.map(|_| b'<'));
            out.write_all(&data[..length])?;
            return Ok(length);
        }
        if matches!(&self.seen[..], [b'<', b'/', name @ ..] if name == element)
            && ends_name(data[0])
        {
            self.seen.remove(0);
            self.at = Place::Tag(Tag::Between);
            return Ok(0);
        }
        self.seen.push(data[0].to_ascii_lowercase());
        let begins = match &self.seen[..] {
            [b'<', b'/', name @ ..] => element.starts_with(name),
            seen => element == SCRIPT && b"<!--".starts_with(seen),
        };
        if !begins {
            self.seen.clear();
            return Ok(0);
        }
        out.write_all(&data[..1])?;
        if self.seen == b"<!--" {
            self.seen.clear();
            self.at = Place::Comment(Comment {
                keep: true,
                in_script: true,
                closing: Closing::Start,
            });
        }
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use filters_rust::cuts;

    use super::*;

    #[track_caller]
    fn check_with(keep_comments: bool, input: &str, expected: &str) {
        for parts in cuts(input.as_bytes()) {
            let mut out = Vec::new();
            let mut filter = Html::new(keep_comments);
            for part in &parts {
                filter.feed(part, &mut out).unwrap();
            }
            filter.finish(&mut out).unwrap();
            assert_eq!(str::from_utf8(&out), Ok(expected), "{parts:?}");
        }
    }

    #[track_caller]
    fn check(input: &str, expected: &str) {
        check_with(false, input, expected);
    }

    #[track_caller]
    fn same(input: &str) {
        check(input, input);
    }

    #[test]
    fn white_space_becomes_one_space() {
        check(
            "\n<!DOCTYPE html>\n\n<p>\r\n  one\ttwo  \n</p>\n",
            "<!DOCTYPE html> <p> one two </p> ",
        );
        same("a <b>b</b> c < d <3 & e <");
    }

    #[test]
    fn tags_lose_gaps() {
        check(
            "<a\n  href = \"x  y\"\n\n title='>  <'   b=/c/  d  >x</a  >",
            "<a href = \"x  y\" title='>  <' b=/c/ d>x</a>",
        );
        check("<br  /><br / ><p a=\"b\"c  >", "<br /><br / ><p a=\"b\"c>");
        check("<p it's  =  x>  <p =\" y  >", "<p it's = x> <p =\" y>");
    }

    #[test]
    fn comments_go() {
        check("<p> <!-- a > - -- b --> <!--\nc --!> x</p>", "<p> x</p>");
        check("<!-- never ends", "");
    }

    #[test]
    fn comments_for_somebody_stay() {
        same("<!--[if IE]><p>  </p><![endif]--><!--esi <b/>--><!--#x--><!--><!---><!----><!-- -->");
        same("<!--$-->a<!-- -->b<!--/$-->");
        check_with(true, "<p>  <!--  a  --> </p>", "<p> <!--  a  --> </p>");
    }

    #[test]
    fn what_a_comment_keeps_apart_is_never_joined() {
        same("<<!-- x -->b> &am<!-- x -->p;");
    }

    #[test]
    fn text_as_it_was_typed_stays() {
        same("<pre>\n  a\n\n <b>  c</b> <!-- x --> </pre>");
        check(
            "<PRE > a  <pre>b  </pre> c  </Pre>  d  e",
            "<PRE> a  <pre>b  </pre> c  </Pre> d e",
        );
        same("<textarea>  <!-- a -->  </textare  </textarea>");
        same("<title>  a  <b>  </title>");
    }

    #[test]
    fn scripts_stay() {
        check(
            "<script>\n  a  =  \"<b>  </b>\" // </scriptx>  <</script  >  <style> b  { } </style>  ",
            "<script>\n  a  =  \"<b>  </b>\" // </scriptx>  <</script> <style> b  { } </style> ",
        );
        same("<script><!--  <script>  </script>  --></script>");
    }

    #[test]
    fn declarations_stay() {
        same("<?xml  a?> <!  x> </  y> </>");
    }
}
