//! What a command reads: files, and standard input for one of them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::OnceLock;

use crate::console::Error;

/// The option that standard input is for.
static TAKEN: OnceLock<&'static str> = OnceLock::new();

/// Opens a file, or standard input for `-`, for an option. Also: what it is called in messages.
pub(crate) fn open(path: &Path, option: &'static str) -> Result<(Box<dyn Read>, String), Error> {
    if path == Path::new("-") {
        if let Err(option) = TAKEN.set(option) {
            let other = TAKEN.get().copied().unwrap_or_default();
            return Err(Error::Argument(format!(
                "standard input can be read once: for {other}, or for {option}"
            )));
        }
        return Ok((Box::new(io::stdin()), "standard input".to_owned()));
    }
    let shown = path.display().to_string();
    match File::open(path) {
        Ok(file) => Ok((Box::new(file), shown)),
        Err(error) => {
            // As curl has it.
            let name = shown
                .strip_prefix('@')
                .filter(|name| Path::new(name).exists());
            let hint = name.map_or_else(String::new, |name| format!(" (without the @: {name})"));
            Err(Error::Argument(format!("{shown}: {error}{hint}")))
        }
    }
}

/// Reads it, but no more than one byte above `most`: some files have no end.
pub(crate) fn input(
    path: &Path,
    option: &'static str,
    most: usize,
) -> Result<(Vec<u8>, String), Error> {
    let (source, what) = open(path, option)?;
    let mut bytes = Vec::new();
    let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    match source.take(most).read_to_end(&mut bytes) {
        Ok(_) => Ok((bytes, what)),
        Err(error) => Err(Error::io(what, error)),
    }
}
