//! A program, and requests to it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tinykvm_runtime::{
    CallRequest, Journal, PlainTransaction, Program, Programs, Response, Verdict,
};
use tinykvm_testkit::{Toolchain, compile_c, compile_file, paths};

/// A program with its table, which has to live as long.
pub(crate) struct Bench {
    pub(crate) programs: Programs,
    pub(crate) program: Arc<Program>,
    pub(crate) journal: Arc<Lines>,
}

/// A journal to look at.
#[derive(Default)]
pub(crate) struct Lines(pub(crate) Mutex<Vec<String>>);

impl Journal for Lines {
    fn log(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }

    fn error(&self, line: &str) {
        self.0.lock().unwrap().push(format!("error: {line}"));
    }
}

/// A program from C source.
pub(crate) fn bench(source: &str) -> Bench {
    configured(source, "{}")
}

/// A program from C source with further configuration.
pub(crate) fn configured(source: &str, json: &str) -> Bench {
    from_file(&compile_c(source, &[]), json)
}

/// One of the programs in tests/guests.
pub(crate) fn shared(name: &str, json: &str) -> Bench {
    let source = paths::top().join("tests/guests").join(name);
    from_file(&compile_file(&source, Toolchain::Gcc), json)
}

/// A program from a file.
pub(crate) fn from_file(path: &Path, json: &str) -> Bench {
    let journal = Arc::new(Lines::default());
    let programs = Programs::with_journal(journal.clone());
    let file = format!(r#"{{"filename": "{}"}}"#, path.display());
    programs.configure("prog", &file).expect("a good file name");
    programs
        .configure("prog", json)
        .expect("a good configuration");
    let program = programs.get("prog").expect("just configured");
    Bench {
        programs,
        program,
        journal,
    }
}

/// The file of a program, for tests that configure by themselves.
pub(crate) fn file(source: &str) -> PathBuf {
    compile_c(source, &[])
}

/// What a call gave, all of it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) verdict: Verdict,
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
    pub(crate) transaction: PlainTransaction,
}

impl Reply {
    pub(crate) fn of(response: Response, transaction: PlainTransaction) -> Self {
        Self {
            verdict: response.verdict,
            status: response.status,
            content_type: String::from_utf8(response.content_type).unwrap(),
            body: response.body.into_bytes(),
            transaction,
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Fails unless the program answered with this status and text.
    pub(crate) fn is(&self, status: u16, text: &str) {
        let found = (self.verdict, self.status, self.text());
        assert_eq!(found, (Verdict::Ok, status, text.to_owned()), "{self:#?}");
    }

    /// Fails unless the program failed like this, with an empty 500.
    pub(crate) fn failed(&self, verdict: Verdict) {
        let found = (self.verdict, self.status, self.body.len());
        assert_eq!(found, (verdict, 500, 0), "{self:#?}");
    }

    /// The value of a figure in the verdict line.
    pub(crate) fn figure(&self, name: &str) -> String {
        let line = self.transaction.logged.last().expect("a verdict line");
        let start = line.find(&format!(" {name}=")).expect("the figure") + name.len() + 2;
        line[start..].split(' ').next().unwrap().to_owned()
    }
}

impl Bench {
    pub(crate) fn get(&self, url: &str) -> Reply {
        self.call(&get(url), PlainTransaction::backend())
    }

    pub(crate) fn post(&self, url: &str, parts: &[&[u8]]) -> Reply {
        let mut transaction = PlainTransaction::backend();
        transaction.body = parts.iter().map(|part| part.to_vec()).collect();
        self.call(&post(url), transaction)
    }

    pub(crate) fn call(
        &self,
        request: &CallRequest<'_>,
        mut transaction: PlainTransaction,
    ) -> Reply {
        let response = self.program.call(request, &mut transaction);
        Reply::of(response, transaction)
    }
}

pub(crate) fn get(url: &str) -> CallRequest<'_> {
    CallRequest {
        url: url.as_bytes(),
        argument: b"argument",
        method: b"GET",
        ..CallRequest::default()
    }
}

pub(crate) fn post(url: &str) -> CallRequest<'_> {
    CallRequest {
        method: b"POST",
        content_type: b"text/plain",
        has_body: true,
        ..get(url)
    }
}
