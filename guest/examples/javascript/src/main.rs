//! Filters bodies with a script: the first argument of `main()` is a file of JavaScript.
//!
//! It has a function `chunk(text)`, and may have `begin(headers, request)` and `end()`:
//!
//! * `begin` sees the header fields of the response, by their names in small letters; what it
//!   changes in them is changed in the response. `request` has `method`, `url`, `argument`,
//!   `config`, `status` and `delivery`. If it returns false, the body goes on unchanged; if it
//!   returns `"whole"`, `chunk` gets all of it at once.
//! * `chunk` returns what to write for a part of the body, and `end` what comes behind it.
//!
//! The script is read and run once, before any body comes. Bodies are text, in UTF-8.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;

use rquickjs::function::IntoArgs;
use rquickjs::{CatchResultExt, Coerced, Context, Ctx, FromJs, Function, Object, Runtime, Value};
use tinykvm_guest::filter::{self, Action, Error, Filter, Output, Start};
use tinykvm_guest::headers::{self, Side};

thread_local! {
    /// The script, which has been run. All calls come on the thread of `main()`.
    static SCRIPT: OnceCell<Context> = const { OnceCell::new() };
    /// The state of `Math.random()`.
    static RANDOM: Cell<u64> = const { Cell::new(1) };
}

fn main() {
    let loaded = std::env::args().nth(1).ok_or("no script given".into());
    match loaded.and_then(|path| load(&path)) {
        Ok(context) => SCRIPT.with(|script| {
            let _ = script.set(context);
        }),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
    filter::serve(|start| begin(start).unwrap_or_else(Action::Fail))
}

/// Runs the script, which defines its functions.
fn load(path: &str) -> Result<Context, Error> {
    let context = Context::full(&Runtime::new()?)?;
    context.with(|ctx| {
        // The engine seeds its own before memory is frozen: all bodies would get the same numbers.
        let math: Object<'_> = ctx.globals().get("Math")?;
        math.set("random", Function::new(ctx.clone(), random)?)?;

        let result = ctx.eval_file::<(), _>(path).catch(&ctx);
        result.map_err(|error| format!("{path}: {error}"))?;
        match function(&ctx, "chunk")? {
            Some(_) => Ok::<(), Error>(()),
            None => Err(format!("{path} has no function chunk").into()),
        }
    })?;
    Ok(context)
}

fn begin(start: &Start<'_>) -> Result<Action, Error> {
    // Varnish decodes gzip only. What is still encoded is no text.
    if start.response_header("Content-Encoding").is_some() {
        return Ok(Action::Pass);
    }
    RANDOM.set(start.random()[0] | 1);
    let before = response_headers(start);
    with_script(|ctx| {
        let headers = Object::new(ctx.clone())?;
        for (name, value) in &before {
            headers.set(name, value)?;
        }
        let request = Object::new(ctx.clone())?;
        request.set("method", &*start.method())?;
        request.set("url", &*start.url())?;
        request.set("argument", &*start.argument())?;
        request.set("config", &*start.config())?;
        request.set("status", start.status())?;
        request.set("delivery", start.is_delivery())?;

        let answer = match function(ctx, "begin")? {
            Some(begin) => call::<Value<'_>>(ctx, &begin, (headers.clone(), request))?,
            None => Value::new_undefined(ctx.clone()),
        };
        change_headers(before, &headers)?;
        if answer.as_bool() == Some(false) {
            return Ok(Action::Pass);
        }
        Ok(match text(answer)?.as_str() {
            "whole" => Action::whole_body(Script::default()),
            _ => Action::transform(Script::default()),
        })
    })
}

/// The values of each name, in small letters.
fn response_headers(start: &Start<'_>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::<String, String>::new();
    for header in start.response_headers() {
        let values = headers.entry(header.name().to_ascii_lowercase());
        values
            .and_modify(|values| *values += &format!(", {}", header.value()))
            .or_insert_with(|| header.value().into_owned());
    }
    headers
}

/// Does to the response what the script has done to its object.
fn change_headers(mut before: BTreeMap<String, String>, after: &Object<'_>) -> Result<(), Error> {
    for field in after.props::<String, Value<'_>>() {
        let (name, value) = field?;
        let value = text(value)?;
        if before.remove(&name).as_ref() != Some(&value) && !value.is_empty() {
            while headers::remove(Side::Response, &name) {}
            headers::set(Side::Response, &name, &value)?;
        }
    }
    for name in before.keys() {
        while headers::remove(Side::Response, name) {}
    }
    Ok(())
}

/// The filter of one body.
#[derive(Default)]
struct Script {
    /// The beginning of a character whose end has not come yet.
    begun: Vec<u8>,
}

impl Script {
    /// What has come, up to the last character that is complete. What is no text becomes U+FFFD.
    fn decode(&mut self, data: &[u8]) -> String {
        let mut data = [&self.begun, data].concat();
        let last = data.utf8_chunks().last();
        let invalid = last.map_or(&[][..], |chunk| chunk.invalid());
        let incomplete = match str::from_utf8(invalid) {
            Err(error) if error.error_len().is_none() => invalid.len(),
            _ => 0,
        };
        self.begun = data.split_off(data.len() - incomplete);
        String::from_utf8_lossy(&data).into_owned()
    }

    fn run(&self, text_of_body: &str, out: &mut Output) -> Result<(), Error> {
        if text_of_body.is_empty() {
            return Ok(());
        }
        with_script(|ctx| {
            let chunk = function(ctx, "chunk")?.ok_or("there is no function chunk")?;
            let answer = call::<Value<'_>>(ctx, &chunk, (text_of_body,))?;
            out.write(text(answer)?.as_bytes());
            Ok(())
        })
    }
}

impl Filter for Script {
    fn chunk(&mut self, data: &[u8], out: &mut Output) -> Result<(), Error> {
        let text = self.decode(data);
        self.run(&text, out)
    }

    fn end(&mut self, out: &mut Output) -> Result<(), Error> {
        let rest = std::mem::take(&mut self.begun);
        self.run(&String::from_utf8_lossy(&rest), out)?;
        with_script(|ctx| {
            if let Some(end) = function(ctx, "end")? {
                out.write(text(call::<Value<'_>>(ctx, &end, ())?)?.as_bytes());
            }
            Ok(())
        })
    }
}

fn with_script<T>(work: impl FnOnce(&Ctx<'_>) -> Result<T, Error>) -> Result<T, Error> {
    SCRIPT.with(|script| {
        let script = script.get().ok_or("there is no script")?;
        script.with(|ctx| work(&ctx))
    })
}

fn function<'js>(ctx: &Ctx<'js>, name: &str) -> Result<Option<Function<'js>>, Error> {
    Ok(ctx.globals().get(name)?)
}

/// Calls a function. What it throws becomes an error with the place where that was.
fn call<'js, T: FromJs<'js>>(
    ctx: &Ctx<'js>,
    function: &Function<'js>,
    arguments: impl IntoArgs<'js>,
) -> Result<T, Error> {
    let result = function.call(arguments).catch(ctx);
    result.map_err(|error| error.to_string().into())
}

/// A value as text: `undefined` and `null` are none.
fn text(value: Value<'_>) -> Result<String, Error> {
    if value.is_undefined() || value.is_null() {
        return Ok(String::new());
    }
    Ok(value.get::<Coerced<String>>()?.0)
}

/// A number from 0 to 1 (xorshift).
fn random() -> f64 {
    let mut state = RANDOM.get();
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    RANDOM.set(state);
    // As many bits as it can have.
    (state >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_complete_wherever_a_part_ends() {
        let body = "aä€😀".as_bytes();
        for cut in 0..=body.len() {
            let mut script = Script::default();
            let text = script.decode(&body[..cut]) + &script.decode(&body[cut..]);
            assert_eq!(text, "aä€😀", "{cut}");
            assert!(script.begun.is_empty());
        }
    }

    #[test]
    fn what_is_no_text_does_not_wait() {
        assert_eq!(
            Script::default().decode(b"a\xffb\xe4c\xff"),
            "a\u{fffd}b\u{fffd}c\u{fffd}"
        );
    }
}
