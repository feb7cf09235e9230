//! Makes a page of HTML from Markdown. It has to see all of a text, as what a word at its
//! beginning means can depend on a line at its end.
//!
//! The configuration in VCL is put into the page's head: a style sheet, for example.

use std::iter;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};
use tinykvm_guest::filter::{self, Action, Error, Filter, Output, Start};
use tinykvm_guest::headers::{self, Side, TableFull};

fn main() {
    filter::serve(|start| begin(start).unwrap_or_else(Action::fail))
}

fn begin(start: &Start<'_>) -> Result<Action, TableFull> {
    let content_type = start.response_header("Content-Type").unwrap_or_default();
    let is_encoded = start.response_header("Content-Encoding").is_some();
    if is_encoded || !content_type.to_ascii_lowercase().contains("markdown") {
        return Ok(Action::Pass);
    }
    headers::set(Side::Response, "Content-Type", "text/html; charset=utf-8")?;
    Ok(Action::whole_body(Page {
        head: start.config().into_owned(),
    }))
}

struct Page {
    head: String,
}

impl Filter for Page {
    fn chunk(&mut self, data: &[u8], out: &mut Output) -> Result<(), Error> {
        out.write(page(&String::from_utf8_lossy(data), &self.head).as_bytes());
        Ok(())
    }
}

fn page(text: &str, head: &str) -> String {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS;
    let mut body = String::with_capacity(2 * text.len());
    html::push_html(&mut body, Parser::new_ext(text, options));

    // As text, the title gets its `<` and `&` escaped.
    let mut title = String::new();
    let heading = heading(Parser::new_ext(text, options));
    html::push_html(&mut title, iter::once(Event::Text(heading.into())));

    format!(
        "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         {head}</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

/// The text of the first heading.
fn heading<'a>(events: impl Iterator<Item = Event<'a>>) -> String {
    let heading = events
        .skip_while(|event| !matches!(event, Event::Start(Tag::Heading { .. })))
        .take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
    heading
        .filter_map(|event| match event {
            Event::Text(text) | Event::Code(text) => Some(text.into_string()),
            Event::SoftBreak => Some(" ".to_string()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_first_heading_as_title() {
        let expected = "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n\
             <title>A &lt; b</title>\n<style></style>\n</head>\n<body>\n\
             <p>Text.</p>\n<h1>A &lt; <code>b</code></h1>\n<h1>C</h1>\n</body>\n</html>\n";
        let text = "Text.\n\n# A < `b`\n# C\n";
        assert_eq!(page(text, "<style></style>\n"), expected);
    }

    #[test]
    fn tables() {
        let page = page("|a|b|\n|-|-|\n|1|2|\n", "");
        assert!(page.contains("<td>1</td><td>2</td>"), "{page}");
        assert!(page.contains("<title></title>"), "{page}");
    }
}
