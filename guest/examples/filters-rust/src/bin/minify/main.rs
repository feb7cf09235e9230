//! Makes JSON and HTML smaller, as the Content-Type says, while it passes by. Everything else
//! goes on unchanged.
//!
//! The argument in VCL can be `keep-comments`: in HTML, all of them stay.

mod html;
mod json;
mod syntax;

use html::Html;
use json::Json;
use tinykvm_guest::filter::{self, Action, Error, Filter, Output, Start};

fn main() {
    filter::serve(begin)
}

fn begin(start: &Start<'_>) -> Action {
    let content_type = start.response_header("Content-Type").unwrap_or_default();
    let content_type = content_type.to_ascii_lowercase();
    // Varnish decodes gzip only. What is still encoded can't be read.
    if start.response_header("Content-Encoding").is_some() {
        return Action::Pass;
    }
    // In these characters, a byte that looks like a space may be a part of something else.
    if content_type.contains("utf-16") || content_type.contains("utf-32") {
        return Action::Pass;
    }
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/json" => Action::transform(Json::default()),
        other if other.ends_with("+json") => Action::transform(Json::default()),
        "text/html" => Action::transform(Html::new(start.argument() == "keep-comments")),
        _ => Action::Pass,
    }
}

impl Filter for Json {
    fn chunk(&mut self, data: &[u8], out: &mut Output) -> Result<(), Error> {
        Ok(self.feed(data, out)?)
    }
}

impl Filter for Html {
    fn chunk(&mut self, data: &[u8], out: &mut Output) -> Result<(), Error> {
        Ok(self.feed(data, out)?)
    }

    fn end(&mut self, out: &mut Output) -> Result<(), Error> {
        Ok(self.finish(out)?)
    }
}
