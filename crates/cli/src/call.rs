//! `tinykvm call`, and requests as the command line describes them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tinykvm_runtime::{CallRequest, PlainTransaction, Program, Response, Verdict};

use crate::args::{Call, Fields, Request};
use crate::console::{Error, print, print_body, status, tell_text};
use crate::input::input;

/// How much of the body is copied at a time.
const CHUNK: usize = 64 * 1024;

/// A request with all that belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    url: String,
    argument: String,
    method: String,
    content_type: String,
    headers: Vec<Vec<u8>>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// Reads the body, as far as a program takes one, and checks the fields.
    pub(crate) fn prepare(&self, max_body: u64) -> Result<Prepared, Error> {
        self.fields.prepare(&self.url, max_body)
    }
}

impl Fields {
    /// True if anything of a request is said.
    pub(crate) fn is_given(&self) -> bool {
        let Self {
            arg,
            method,
            body,
            header,
        } = self;
        !arg.is_empty() || method.is_some() || body.is_some() || !header.is_empty()
    }

    /// Reads the body, as far as a program takes one, and checks the fields of a request with this
    /// URL.
    pub(crate) fn prepare(&self, url: &str, max_body: u64) -> Result<Prepared, Error> {
        check_words(url, self.method.as_deref())?;
        let most = usize::try_from(max_body).unwrap_or(usize::MAX);
        let read = |path: &PathBuf| input(path, "--body", most).map(|(bytes, _)| bytes);
        let body = self.body.as_ref().map(read).transpose()?;
        let mut content_type = String::new();
        let mut headers = Vec::new();
        for field in &self.header {
            let (name, value) = split(field)?;
            if name.eq_ignore_ascii_case("content-type") {
                value.clone_into(&mut content_type);
            }
            headers.push(format!("{name}: {value}").into_bytes());
        }
        let default = if body.is_some() { "POST" } else { "GET" };
        Ok(Prepared {
            url: url.to_owned(),
            argument: self.arg.clone(),
            method: self.method.clone().unwrap_or_else(|| default.to_owned()),
            content_type,
            headers,
            body,
        })
    }
}

/// Fails for what no request line can have.
pub(crate) fn check_words(url: &str, method: Option<&str>) -> Result<(), Error> {
    if url.is_empty() || url.contains(|letter: char| letter.is_control() || letter == ' ') {
        let what = format!("--url {url:?}: a URL has at least one character, and no space");
        return Err(Error::Argument(what));
    }
    match method {
        Some(method) if !is_token(method) => {
            let what = format!("--method {method:?}: a method is one word, such as POST");
            Err(Error::Argument(what))
        }
        _ => Ok(()),
    }
}

/// Name and value of a field on the command line.
pub(crate) fn split(field: &str) -> Result<(&str, &str), Error> {
    let (name, value) = field
        .split_once(':')
        .ok_or_else(|| Error::Argument(format!("header {field:?} has no colon")))?;
    let blank = [' ', '\t'];
    let (name, value) = (name.trim_matches(blank), value.trim_matches(blank));
    if !is_token(name) {
        return Err(Error::Argument(format!(
            "header {field:?}: {name:?} is no name of a field"
        )));
    }
    if value.contains(['\r', '\n', '\0']) {
        return Err(Error::Argument(format!(
            "header {field:?}: a value is one line"
        )));
    }
    Ok((name, value))
}

/// A word as HTTP has it for methods and names of fields.
fn is_token(word: &str) -> bool {
    let odd = b"!#$%&'*+-.^_`|~";
    let is_of_tokens = |byte: u8| byte.is_ascii_alphanumeric() || odd.contains(&byte);
    !word.is_empty() && word.bytes().all(is_of_tokens)
}

impl Prepared {
    /// The same with another URL.
    pub(crate) fn with_url(&self, url: &str) -> Result<Self, Error> {
        check_words(url, None)?;
        Ok(Self {
            url: url.to_owned(),
            ..self.clone()
        })
    }

    /// The request as the program gets it.
    pub(crate) fn request(&self) -> CallRequest<'_> {
        CallRequest {
            url: self.url.as_bytes(),
            argument: self.argument.as_bytes(),
            method: self.method.as_bytes(),
            content_type: self.content_type.as_bytes(),
            has_body: self.body.is_some(),
            soft_reset: false,
        }
    }

    /// A transaction that carries it.
    pub(crate) fn transaction(&self) -> PlainTransaction {
        PlainTransaction {
            request: self.headers.clone(),
            body: self.body.iter().cloned().collect(),
            ..PlainTransaction::backend()
        }
    }
}

/// The first request of a command and those behind `--next`, for this program.
pub(crate) fn prepare_all(
    first: &Request,
    further: &[Request],
    program: &Program,
) -> Result<Vec<Prepared>, Error> {
    let all = std::iter::once(first).chain(further);
    let most = program.max_body();
    all.map(|request| request.prepare(most)).collect()
}

/// Makes the requests and shows the responses. The exit status is that of the first failure.
pub(crate) fn call(options: &Call) -> Result<ExitCode, Error> {
    let configured = options.target.configure("{}", false)?;
    configured.set_main_arguments(&options.main.arguments)?;
    let requests = prepare_all(&options.request, &options.further, &configured.program)?;
    let mut worst = Verdict::Ok;
    for prepared in &requests {
        let verdict = one(&configured.program, prepared, options.include)?;
        if worst == Verdict::Ok {
            worst = verdict;
        }
    }
    Ok(status(worst))
}

fn one(program: &Arc<Program>, prepared: &Prepared, include: bool) -> Result<Verdict, Error> {
    let mut transaction = prepared.transaction();
    let response = program.call(&prepared.request(), &mut transaction);
    for line in transaction.errors.iter().chain(&transaction.logged) {
        say!("{line}");
    }
    let head = head(&response, &transaction);
    if include {
        print(head.as_bytes())?;
    } else {
        tell_text(&head);
    }
    let verdict = response.verdict;
    let mut body = response.body;
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = body.read(&mut chunk);
        if count == 0 {
            break;
        }
        print_body(&chunk[..count])?;
    }
    Ok(verdict)
}

/// Status and header fields of the response.
fn head(response: &Response, transaction: &PlainTransaction) -> String {
    let mut head = format!("status: {}\n", response.status);
    if response.verdict != Verdict::Ok {
        head.push_str(&format!("verdict: {}\n", response.verdict));
    }
    if !response.content_type.is_empty() {
        let content_type = String::from_utf8_lossy(&response.content_type);
        head.push_str(&format!("Content-Type: {content_type}\n"));
    }
    head.push_str(&format!("Content-Length: {}\n", response.body.len()));
    for field in transaction.response() {
        head.push_str(&field);
        head.push('\n');
    }
    if let Some(told) = transaction.cacheable {
        let (ttl, grace, keep) = (told.ttl, told.grace, told.keep);
        let cacheable = told.cacheable;
        head.push_str(&format!(
            "cacheable: {cacheable} ttl={ttl:?} grace={grace:?} keep={keep:?}\n"
        ));
    }
    head.push('\n');
    head
}
