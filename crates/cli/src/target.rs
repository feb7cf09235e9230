//! The program that a command is about.

use std::path::Path;
use std::sync::Arc;

use tinykvm_runtime::{Journal, Program, Programs};

use crate::args::Target;
use crate::console::{Error, Terminal};

/// A configured program. The table must live as long as it is used.
#[derive(Debug)]
pub(crate) struct Configured {
    /// The table that it is in.
    pub(crate) programs: Programs,
    /// The program.
    pub(crate) program: Arc<Program>,
}

impl Target {
    /// Configures the program; `extra` is a configuration that the command itself wants, which
    /// the user's overrides.
    pub(crate) fn configure(&self, extra: &str, output: bool) -> Result<Configured, Error> {
        let journal = Arc::new(Terminal::new(&name_of(&self.program), output));
        self.configure_with(extra, journal)
    }

    /// The same with another journal.
    pub(crate) fn configure_with(
        &self,
        extra: &str,
        journal: Arc<dyn Journal>,
    ) -> Result<Configured, Error> {
        let name = name_of(&self.program);
        let programs = Programs::with_journal(journal);
        let path = self
            .program
            .to_str()
            .ok_or_else(|| Error::Argument("the program's path is not UTF-8".to_owned()))?;
        // Not expanded like a path in a configuration: the shell has done that.
        let filename = serde_json::json!({ "filename": path }).to_string();
        programs.configure(&name, &filename)?;
        programs.configure(&name, extra)?;
        if let Some(config) = &self.config {
            programs.configure(&name, &text_of(config)?)?;
        }
        let program = programs
            .get(&name)
            .ok_or_else(|| Error::Argument("no such program".to_owned()))?;
        Ok(Configured { programs, program })
    }
}

/// What a program is called: its file without the extension.
pub(crate) fn name_of(program: &Path) -> String {
    program
        .file_stem()
        .map_or_else(|| "program".into(), |stem| stem.to_string_lossy())
        .into_owned()
}

/// JSON text as it is, or the contents of a file.
fn text_of(config: &str) -> Result<String, Error> {
    if config.trim_start().starts_with(['{', '/']) && config.contains('{') {
        return Ok(config.to_owned());
    }
    std::fs::read_to_string(Path::new(config)).map_err(|source| Error::io(config, source))
}
