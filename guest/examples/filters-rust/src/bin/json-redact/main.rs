//! Takes values out of JSON, or makes them unreadable, while it passes by.
//!
//! The configuration in VCL says which: `user.email, orders.*.price, **.password`. A path is made
//! of names; `*` is any name, and `**` any number of them, also none. A list has no part in it:
//! `users.email` is that of a user, and of each user in a list.
//!
//! The argument is `remove`, or what to put in the place of values: `"***"` without one.
//!
//! What is not JSON fails, and does not go on: it could have what it should not.

mod paths;
mod redact;

use paths::Paths;
use redact::{Instead, Redact};
use tinykvm_guest::filter::{self, Action, Error, Filter, Output, Start};

fn main() {
    filter::serve(begin)
}

fn begin(start: &Start<'_>) -> Action {
    let content_type = start.response_header("Content-Type").unwrap_or_default();
    if !content_type.to_ascii_lowercase().contains("json") {
        return Action::Pass;
    }
    let instead = match &*start.argument() {
        "" => Instead::Text("\"***\"".to_string()),
        "remove" => Instead::Nothing,
        text => Instead::Text(text.to_string()),
    };
    Action::transform(Redact::new(Paths::parse(&start.config()), instead))
}

impl Filter for Redact {
    fn chunk(&mut self, data: &[u8], out: &mut Output) -> Result<(), Error> {
        self.feed(data, out)
    }

    fn end(&mut self, _: &mut Output) -> Result<(), Error> {
        self.finish()
    }
}
