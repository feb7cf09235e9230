//! Changes HTML while it passes by: where links go, when images are loaded, and what is at the
//! end of the head.
//!
//! The configuration in VCL is the HTML to put before `</head>`. The argument is two words: links
//! that begin with the first begin with the second instead. Without it `http://` becomes
//! `https://`.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use encoding_rs::Encoding;
use lol_html::errors::RewritingError;
use lol_html::html_content::{ContentType, Element};
use lol_html::{AsciiCompatibleEncoding, HtmlRewriter, Settings, element};
use tinykvm_guest::filter::{self, Action, Error, Filter, Output, Start};

fn main() {
    filter::serve(begin)
}

fn begin(start: &Start<'_>) -> Action {
    let content_type = start.response_header("Content-Type").unwrap_or_default();
    let content_type = content_type.to_ascii_lowercase();
    let is_encoded = start.response_header("Content-Encoding").is_some();
    if is_encoded || !content_type.starts_with("text/html") {
        return Action::Pass;
    }
    let Ok(encoding) = encoding(&content_type) else {
        return Action::Pass;
    };
    let argument = start.argument();
    Action::transform(Rewriter::new(
        encoding,
        argument.split_once(' ').unwrap_or(("http://", "https://")),
        &start.config(),
    ))
}

/// An encoding that tags can't be found in.
struct Unreadable;

/// The page's encoding; nothing if the Content-Type does not say.
fn encoding(content_type: &str) -> Result<Option<AsciiCompatibleEncoding>, Unreadable> {
    let Some((_, label)) = content_type.split_once("charset=") else {
        return Ok(None);
    };
    let label = label.split(';').next().unwrap_or_default();
    let encoding = Encoding::for_label(label.trim().trim_matches('"').as_bytes());
    let encoding = encoding.and_then(AsciiCompatibleEncoding::new);
    encoding.map(Some).ok_or(Unreadable)
}

type Sink = Box<dyn FnMut(&[u8])>;

/// The filter.
struct Rewriter {
    /// Taken when the page ends.
    rewriter: Option<HtmlRewriter<'static, Sink>>,
    /// What the rewriter has written, and did not go on its way yet.
    written: Rc<RefCell<Vec<u8>>>,
}

impl Rewriter {
    fn new(
        encoding: Option<AsciiCompatibleEncoding>,
        (from, to): (&str, &str),
        snippet: &str,
    ) -> Self {
        let (from, to, snippet) = (from.to_string(), to.to_string(), snippet.to_string());
        let settings = Settings::new()
            .with_encoding(encoding.unwrap_or_else(AsciiCompatibleEncoding::utf_8))
            .with_adjust_charset_on_meta_tag(encoding.is_none())
            // A page that can be read in two ways passes by; it is not to fail.
            .with_strict(false)
            .append_element_content_handler(element!("[href], [src]", move |element| {
                for name in ["href", "src"] {
                    move_link(element, name, &from, &to)?;
                }
                Ok(())
            }))
            .append_element_content_handler(element!(
                "img:not([loading]), iframe:not([loading])",
                |element| Ok(element.set_attribute("loading", "lazy")?)
            ))
            .append_element_content_handler(element!("head", move |head| {
                head.append(&snippet, ContentType::Html);
                Ok(())
            }));

        let written = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&written);
        let sink: Sink = Box::new(move |data| sink.borrow_mut().extend_from_slice(data));
        Self {
            rewriter: Some(HtmlRewriter::new(settings, sink)),
            written,
        }
    }

    fn feed(&mut self, data: &[u8]) -> Result<(), RewritingError> {
        match &mut self.rewriter {
            Some(rewriter) => rewriter.write(data),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<(), RewritingError> {
        match self.rewriter.take() {
            Some(rewriter) => rewriter.end(),
            None => Ok(()),
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut written = self.written.borrow_mut();
        out.write_all(&written)?;
        written.clear();
        Ok(())
    }
}

fn move_link(element: &mut Element<'_, '_>, name: &str, from: &str, to: &str) -> Result<(), Error> {
    let link = element.get_attribute(name).unwrap_or_default();
    if let Some(rest) = link.strip_prefix(from) {
        element.set_attribute(name, &format!("{to}{rest}"))?;
    }
    Ok(())
}

impl Filter for Rewriter {
    fn chunk(&mut self, data: &[u8], out: &mut Output) -> Result<(), Error> {
        self.feed(data)?;
        Ok(self.write(out)?)
    }

    fn end(&mut self, out: &mut Output) -> Result<(), Error> {
        self.finish()?;
        Ok(self.write(out)?)
    }
}

#[cfg(test)]
mod tests {
    use filters_rust::cuts;

    use super::*;

    #[track_caller]
    fn check(content_type: &str, input: &[u8], expected: &[u8]) {
        let encoding = encoding(content_type).ok().unwrap();
        for parts in cuts(input) {
            let links = ("http://a/", "https://b/");
            let mut filter = Rewriter::new(encoding, links, "<meta x>");
            let mut out = Vec::new();
            for part in &parts {
                filter.feed(part).unwrap();
                filter.write(&mut out).unwrap();
            }
            filter.finish().unwrap();
            filter.write(&mut out).unwrap();
            assert_eq!(
                out,
                expected,
                "{parts:?}: {}",
                String::from_utf8_lossy(&out)
            );
        }
    }

    #[test]
    fn links_move() {
        check(
            "text/html",
            b"<A HREF=http://a/c/?d>http://a/</a> <a href='http://c/'>",
            b"<A HREF=\"https://b/c/?d\">http://a/</a> <a href='http://c/'>",
        );
    }

    #[test]
    fn images_wait() {
        check(
            "text/html",
            b"<img src=\"http://a/b\"><img loading=eager>",
            b"<img src=\"https://b/b\" loading=\"lazy\"><img loading=eager>",
        );
    }

    #[test]
    fn the_head_gets_longer() {
        check(
            "text/html",
            b"<html><head><script>'</head>'</script></head>",
            b"<html><head><script>'</head>'</script><meta x></head>",
        );
    }

    #[test]
    fn encodings() {
        check(
            "text/html; charset=\"iso-8859-1\"",
            b"<a title=\xe4 href=http://a/\xe4>",
            b"<a title=\xe4 href=\"https://b/\xe4\">",
        );
        assert!(encoding("text/html; charset=utf-16").is_err());
        assert!(encoding("text/html; charset=nonsense").is_err());
    }
}
