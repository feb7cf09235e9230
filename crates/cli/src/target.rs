//! The program that a command is about.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tinykvm_runtime::{ConfigError, Document, Journal, Program, Programs, name_from};

use crate::args::Target;
use crate::console::{Error, InVain, Terminal};
use crate::input::input;

/// A configured program. The table must live as long as it is used.
#[derive(Debug)]
pub(crate) struct Configured {
    /// The table that it is in.
    pub(crate) programs: Programs,
    /// The program.
    pub(crate) program: Arc<Program>,
    /// Its file, absolute.
    pub(crate) file: String,
    in_vain: Arc<InVain>,
}

impl Drop for Configured {
    fn drop(&mut self) {
        self.in_vain.tell();
    }
}

impl Configured {
    /// Replaces the arguments of its `main()`, if the command line has some.
    pub(crate) fn set_main_arguments(&self, arguments: &[OsString]) -> Result<(), Error> {
        let arguments = arguments.iter();
        let arguments: Vec<_> = arguments.map(|one| one.as_bytes().to_vec()).collect();
        if !arguments.is_empty() {
            let name = self.program.name();
            self.programs.main_arguments(name, arguments)?;
        }
        Ok(())
    }
}

impl Target {
    /// Configures the program; `extra` is a configuration that the command itself wants, which
    /// the user's overrides.
    pub(crate) fn configure(&self, extra: &str, output: bool) -> Result<Configured, Error> {
        self.configure_with(extra, |name, in_vain| {
            Arc::new(Terminal::new(name, output, in_vain))
        })
    }

    /// The same with another journal, made for the program's name.
    pub(crate) fn configure_with<J: Journal + 'static>(
        &self,
        extra: &str,
        journal: impl FnOnce(&str, Arc<InVain>) -> Arc<J>,
    ) -> Result<Configured, Error> {
        let document = self.document()?;
        let file = self.file(document.as_ref())?;
        let name = match (&self.name, document.as_ref().and_then(Document::name)) {
            (Some(name), _) => name.clone(),
            (None, Some(name)) => name.to_owned(),
            (None, None) => name_of(Path::new(&file)),
        };
        let in_vain = Arc::new(InVain::new(&name, self.verbose));
        let programs = Programs::with_journal(journal(&name, Arc::clone(&in_vain)));
        // Not expanded like a path in a configuration: the shell, or that, has done it.
        let configured = document.as_ref().and_then(Document::file).unwrap_or(&file);
        let filename = serde_json::json!({ "filename": configured }).to_string();
        programs.configure(&name, &filename)?;
        programs.configure(&name, extra)?;
        if let Some(document) = &document {
            programs.configure(&name, document.text())?;
            // What the command line says is meant for this time.
            programs.replace_file(&name, &file)?;
        }
        let program = programs
            .get(&name)
            .ok_or_else(|| Error::Argument("no such program".to_owned()))?;
        Ok(Configured {
            programs,
            program,
            file,
            in_vain,
        })
    }

    /// The configuration that the user gives.
    pub(crate) fn document(&self) -> Result<Option<Document>, Error> {
        let Some(config) = &self.config else {
            return Ok(None);
        };
        let text = match self.read.get() {
            Some(text) => text.clone(),
            None => {
                let text = text_of(config)?;
                self.read.get_or_init(|| text).clone()
            }
        };
        let document = Document::parse(&text, self.name.as_deref()).map_err(|error| match error {
            ConfigError::SeveralPrograms { .. } => {
                Error::Argument(format!("{error} (--name NAME)"))
            }
            error => error.into(),
        });
        document.map(Some)
    }

    /// The program's file, absolute: that of the command line, else that of the configuration.
    fn file(&self, document: Option<&Document>) -> Result<String, Error> {
        let file = match (&self.program, document.and_then(Document::file)) {
            (Some(file), _) => file.clone(),
            (None, Some(file)) => PathBuf::from(file),
            (None, None) => {
                let missing = "which program? Name its file, or a --config with a \"filename\"";
                return Err(Error::Argument(missing.to_owned()));
            }
        };
        let file = std::path::absolute(&file)
            .map_err(|source| Error::io(file.display().to_string(), source))?;
        file.into_os_string()
            .into_string()
            .map_err(|_| Error::Argument("the program's path is not UTF-8".to_owned()))
    }
}

/// What a program is called: its file without the extension, as far as a name can have that.
pub(crate) fn name_of(program: &Path) -> String {
    name_from(&program.file_stem().unwrap_or_default().to_string_lossy())
}

/// JSON text as it is, or the contents of a file.
fn text_of(config: &str) -> Result<String, Error> {
    /// More than any configuration is, and less than what has no end.
    const MOST: usize = 16 << 20;
    let text = config.trim_start();
    // A comment may be in front, which looks like a path.
    if text.starts_with(['{', '[']) || text.starts_with('/') && text.contains('{') {
        return Ok(config.to_owned());
    }
    let (bytes, what) = input(Path::new(config), "--config", MOST)?;
    if bytes.len() > MOST {
        return Err(Error::Argument(format!(
            "{what}: larger than 16 MiB: that is no configuration"
        )));
    }
    String::from_utf8(bytes).map_err(|_| Error::Argument(format!("{what}: not UTF-8")))
}
