//! The table of programs.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::config::{ConfigError, Settings, apply, check_name};
use crate::counters::{add, counters};
use crate::journal::{Journal, Silent};
use crate::permissions::Access;
use crate::program::Program;

/// The programs of one configuration (one VCL). Everything is given back when this is dropped.
pub struct Programs {
    journal: Arc<dyn Journal>,
    table: RwLock<HashMap<String, Arc<Program>>>,
}

impl Programs {
    /// An empty table. What happens while programs are loaded is not logged.
    #[must_use]
    pub fn new() -> Self {
        Self::with_journal(Arc::new(Silent))
    }

    /// An empty table that logs what happens while programs are loaded.
    #[must_use]
    pub fn with_journal(journal: Arc<dyn Journal>) -> Self {
        Self {
            journal,
            table: RwLock::default(),
        }
    }

    /// Configures a program: a known one gets the keys as overrides, an unknown one is defined,
    /// for which `filename` is needed. Nothing changes on an error.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn configure(&self, name: &str, json: &str) -> Result<(), ConfigError> {
        check_name(name)?;
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = table.get(name) {
            return program.configure(json);
        }
        if let Some(other) = table.keys().find(|key| key.eq_ignore_ascii_case(name)) {
            return Err(ConfigError::SameName {
                program: name.to_owned(),
                other: other.clone(),
            });
        }
        let settings = apply(&Settings::default(), json)?;
        if settings.filename.is_empty() {
            return Err(ConfigError::NoFile {
                program: name.to_owned(),
            });
        }
        let program = Program::new(name, settings, Arc::clone(&self.journal));
        table.insert(name.to_owned(), Arc::new(program));
        Ok(())
    }

    /// Gives a program another file than its configuration says, from its start on: for tools that
    /// are told on their command line. For configurations, another file is another program.
    ///
    /// # Errors
    /// [`ConfigError::UnknownProgram`], [`ConfigError::AlreadyStarted`].
    pub fn replace_file(&self, name: &str, file: &str) -> Result<(), ConfigError> {
        self.known(name)?.replace_file(file)
    }

    /// Lets a program have something of the host, from its start on.
    ///
    /// # Errors
    /// [`ConfigError::UnknownProgram`], [`ConfigError::AlreadyStarted`],
    /// [`ConfigError::BadPermission`].
    pub fn allow(&self, name: &str, access: Access, what: &str) -> Result<(), ConfigError> {
        self.known(name)?.allow(access, what)
    }

    /// Lets a program have all files and the network that the user of this process has, and tells
    /// [`Journal::used`] what it uses beyond its own rules. It finds out what a trusted program
    /// needs; no configuration can ask for it.
    ///
    /// # Errors
    /// [`ConfigError::UnknownProgram`], [`ConfigError::AlreadyStarted`].
    pub fn audit(&self, name: &str) -> Result<(), ConfigError> {
        self.known(name)?.audit()
    }

    /// Replaces the arguments of a program's `main()` behind `argv[0]`, from its next start on.
    ///
    /// # Errors
    /// [`ConfigError::UnknownProgram`], [`ConfigError::NoArguments`].
    pub fn main_arguments(&self, name: &str, arguments: Vec<Vec<u8>>) -> Result<(), ConfigError> {
        let program = self.known(name)?;
        if arguments.is_empty() {
            return Err(ConfigError::NoArguments {
                program: name.to_owned(),
            });
        }
        program.set_main_arguments(arguments);
        Ok(())
    }

    /// Looks a program up. One that is not there is counted.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Program>> {
        let program = self.find(name);
        if program.is_none() {
            add(&counters().program_notfound, 1);
        }
        program
    }

    /// Begins to load a program in the background. What comes of it is known by calling it.
    ///
    /// # Errors
    /// [`ConfigError::UnknownProgram`].
    pub fn start(&self, name: &str) -> Result<(), ConfigError> {
        self.known(name)?.start();
        Ok(())
    }

    /// Gives every fork and template back. Forks in use follow when their responses are dropped, and
    /// what is starting when its thread, which is told to stop, has noticed: nothing here waits for
    /// a program. Calls from now on fail.
    pub fn close(&self) {
        let programs: Vec<_> = self
            .table
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect();
        for program in &programs {
            program.turn_away();
        }
        for program in programs {
            program.close();
        }
    }

    fn find(&self, name: &str) -> Option<Arc<Program>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.get(name).cloned()
    }

    fn known(&self, name: &str) -> Result<Arc<Program>, ConfigError> {
        self.find(name).ok_or_else(|| self.unknown(name))
    }

    /// Says of a program that is not configured which ones are.
    #[must_use]
    pub fn unknown(&self, name: &str) -> ConfigError {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut configured: Vec<_> = table.keys().cloned().collect();
        configured.sort_unstable();
        ConfigError::UnknownProgram {
            program: name.to_owned(),
            configured,
        }
    }
}

impl Default for Programs {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(table.keys()).finish()
    }
}
