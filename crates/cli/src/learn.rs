//! `tinykvm learn`: what does a program need of the host?
//!
//! It is run with everything allowed, which tells what it uses; twice, if it creates files, since
//! names may be random. What it used becomes rules. Then it is run with these rules alone, and
//! without each of them: what makes no difference is not needed.

mod record;
mod reduce;
mod trial;

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tinykvm_runtime::{Document, Verdict};

use crate::args::Learn;
use crate::call::Prepared;
use crate::console::{Error, print, status, tell_text};
use crate::rules::Rules;
use record::{MOST, Record, Recorder};
use trial::{Bench, Outcome};

const WARNING: &str = "\
tinykvm: WARNING: while it is learned what the program needs, it has all files and the network
tinykvm: of the user who runs this. Do this only with programs that you trust. It is started, and
tinykvm: the requests are made, several times (--once: one time, and no rule is tried).
";

/// What this can't find out.
const REMARKS: &str = "\
tinykvm: this is what the start and these requests needed; others may need more. Not learned: variables of the
tinykvm: environment.
";

/// Runs the program with everything allowed, and prints what it needs.
pub(crate) fn learn(options: &Learn) -> Result<ExitCode, Error> {
    let requests = requests(options)?;
    tell_text(WARNING);
    if requests.is_empty() {
        say!("tinykvm: no request is made: --url, --arg, --body or the like describe one");
    }
    let (mut record, outcome, name, file) = audit(options, &requests, true)?;
    let worst = outcome.worst();
    if !options.once && record.has_created() {
        record.add(audit(options, &requests, false)?.0);
    }
    for path in &record.unspeakable {
        say!("tinykvm: {path:?} was used, but no rule can name it");
    }
    if record.full {
        say!("tinykvm: more than {MOST} paths were used: what is printed is not all");
    }
    let home = std::env::var("HOME").unwrap_or_default();
    let mut rules = Rules {
        exec_memory: record.exec_memory,
        ..reduce::reduce(&record.paths, &record.places, &home, &name)
    };
    if worst == Verdict::NotLoaded && rules.vcl(&name).is_empty() {
        say!("tinykvm: it does not start, whatever it may have: there are no rules to print");
        return Ok(status(worst));
    }
    for directory in &rules.unnamed {
        say!(
            "tinykvm: files with random names are created in {directory}: no rule allows that, \
             since it would be one about all of {directory}; give the program another directory"
        );
    }
    let mut spare = Rules::default();
    if !options.once && worst == Verdict::Ok {
        let bench = Bench {
            options,
            requests: &requests,
        };
        spare = bench.minimize(&mut rules, &outcome)?;
    }
    if let Some(directory) = rules.temporary() {
        say!("tinykvm: make the directory first, for the user of Varnish: {directory}");
    }
    tell_text(REMARKS);
    let text = if options.json {
        for rule in spare.vcl(&name).lines() {
            say!("tinykvm: not needed for these requests: {}", rule.trim());
        }
        let json = json(options, &name, &file, &rules)?;
        let json = serde_json::to_string_pretty(&json);
        format!(
            "{}\n",
            json.map_err(|error| Error::Argument(error.to_string()))?
        )
    } else {
        vcl(options, &name, &file, &rules, &spare)?
    };
    print(text.as_bytes())?;
    Ok(status(worst))
}

/// The requests that the options describe: one for each URL, and one if there is anything else.
fn requests(options: &Learn) -> Result<Vec<Prepared>, Error> {
    let fields = &options.fields;
    if options.url.is_empty() && !fields.is_given() {
        return Ok(Vec::new());
    }
    let configured = options.target.configure("{}", false)?;
    let first = options.url.first().map_or("/", String::as_str);
    let first = fields.prepare(first, configured.program.max_body())?;
    let others = options.url.iter().skip(1);
    // All have the same body, which may be there once.
    let others: Vec<_> = others
        .map(|url| first.with_url(url))
        .collect::<Result<_, _>>()?;
    Ok(std::iter::once(first).chain(others).collect())
}

/// Runs the program with everything allowed: what it used, what came of it, its name and file.
fn audit(
    options: &Learn,
    requests: &[Prepared],
    aloud: bool,
) -> Result<(Record, Outcome, String, String), Error> {
    let recorder = Arc::new(Recorder::new(aloud));
    let journal = Arc::clone(&recorder);
    let configured = options.target.configure_with("{}", |_, _| journal)?;
    configured.set_main_arguments(&options.main.arguments)?;
    let name = configured.program.name().to_owned();
    configured.programs.audit(&name)?;
    let outcome = trial::run(&configured, requests, aloud);
    configured.programs.close();
    Ok((recorder.take(), outcome, name, configured.file.clone()))
}

/// The arguments of `main()` on the command line, if there are any.
fn main_arguments(options: &Learn) -> Result<Option<Vec<&str>>, Error> {
    let arguments = &options.main.arguments;
    let texts: Option<Vec<_>> = arguments.iter().map(|one| one.to_str()).collect();
    let texts = texts.ok_or_else(|| {
        Error::Argument("an argument of main() is not UTF-8: JSON can't have it".to_owned())
    })?;
    Ok(Some(texts).filter(|texts| !texts.is_empty()))
}

/// The whole configuration, in the form in which --config was given.
fn json(options: &Learn, name: &str, file: &str, rules: &Rules) -> Result<Value, Error> {
    let document = options.target.document()?;
    let given = document.as_ref().map_or("{}", Document::json);
    let mut config: Map<String, Value> =
        serde_json::from_str(given).map_err(|error| Error::Argument(error.to_string()))?;
    if options.target.program.is_some() || !config.contains_key("filename") {
        config.insert("filename".to_owned(), json!(file));
    }
    if let Some(arguments) = main_arguments(options)? {
        config.insert("main_arguments".to_owned(), json!(arguments));
    }
    if let Value::Object(rules) = rules.json() {
        for (key, value) in rules {
            match (config.get_mut(&key), value) {
                (Some(Value::Array(all)), Value::Array(more)) => all.extend(more),
                (_, value) => drop(config.insert(key, value)),
            }
        }
    }
    Ok(match document.as_ref().and_then(Document::name) {
        Some(_) => json!({ name: config }),
        None => Value::Object(config),
    })
}

/// VCL for a file of its own, or to be pasted into one.
fn vcl(
    options: &Learn,
    name: &str,
    file: &str,
    rules: &Rules,
    spare: &Rules,
) -> Result<String, Error> {
    // To import it twice, once with `from`, is an error.
    let mut text = "# For VCL that has: import tinykvm;\nsub vcl_init {\n".to_owned();
    let mut configure = |json: &str| -> Result<(), Error> {
        // Unlike {" "}, this can have all JSON in it: there, no string ends before another begins.
        if json.contains("\"\"\"") {
            let what = "a comment in --config has three quotes, which VCL would take for the end";
            return Err(Error::Argument(what.to_owned()));
        }
        text.push_str(&format!(
            "    tinykvm.configure(\"{name}\", \"\"\"{json}\"\"\");\n"
        ));
        Ok(())
    };
    let document = options.target.document()?;
    let given = document.as_ref().filter(|given| given.file().is_some());
    if given.is_none() || options.target.program.is_some() {
        configure(&json!({ "filename": file }).to_string())?;
    }
    if let Some(document) = &document {
        configure(document.text().trim())?;
    }
    if let Some(arguments) = main_arguments(options)? {
        configure(&json!({ "main_arguments": arguments }).to_string())?;
    }
    if let Some(json) = rules.only_json() {
        configure(&json.to_string())?;
    }
    text.push_str(&rules.vcl(name));
    let spare = spare.vcl(name);
    if !spare.is_empty() {
        text.push_str("    # Used, but these requests were answered in the same way without:\n");
        for rule in spare.lines() {
            text.push_str(&format!("    # {}\n", rule.trim()));
        }
    }
    text.push_str("}\n");
    Ok(text)
}
