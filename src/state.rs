//! What belongs to one VCL: its programs, with a director and a filter for each of them.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tinykvm_runtime::{Journal, Program, Programs};
use tinykvm_vrt::filter::opening::Opening;
use tinykvm_vrt::private::VclPrivate;
use tinykvm_vrt::{Ctx, Director, Private, Registration, Slot, Tag, ffi, log_global};

use crate::backend::ProgramBackend;
use crate::filter::{ProgramFilter, filter_name};
use crate::guard::Failure;

/// What happens while programs are loaded goes to the raw log, and the counters are shown anew.
struct RawLog;

impl Journal for RawLog {
    fn log(&self, line: &str) {
        log_global(Tag::VclLog, line);
        crate::counters::publish();
    }

    fn error(&self, line: &str) {
        log_global(Tag::Error, line);
        crate::counters::publish();
    }
}

/// How long the load of a VCL may wait for programs, all of them together. The manager ends a child
/// that does not answer its command within `cli_timeout`, 60 s.
const LOAD_PATIENCE: Duration = Duration::from_secs(40);

/// The private value of a VCL. Made while the VCL is loaded, freed when it is discarded.
pub(crate) struct Vcl {
    pub(crate) programs: Programs,
    directors: RwLock<HashMap<String, Director>>,
    filters: RwLock<HashMap<String, Registration>>,
    /// When its load began.
    begun: Instant,
    opening: RwLock<Option<Opening>>,
}

impl fmt::Debug for Vcl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vcl").finish_non_exhaustive()
    }
}

impl Private for Vcl {
    const NAME: &'static CStr = c"tinykvm programs";
}

impl VclPrivate for Vcl {}

impl Vcl {
    fn new() -> Self {
        Self {
            programs: Programs::with_journal(Arc::new(RawLog)),
            directors: RwLock::default(),
            filters: RwLock::default(),
            begun: Instant::now(),
            opening: RwLock::default(),
        }
    }

    /// The state of the VCL that calls.
    ///
    /// # Safety
    /// `slot` is the `PRIV_VCL` argument of the entry point.
    pub(crate) unsafe fn of<'a>(slot: *mut ffi::vmod_priv) -> Result<&'a Self, Failure> {
        // SAFETY: Varnish keeps this place for our value for as long as the VCL, which lives as
        // long as any call from it. The value is made by the event function, before any other.
        let slot = unsafe { Slot::<Self>::of_vcl(slot) };
        Ok(slot.ok_or("no state")?.get_or_insert(Self::new))
    }

    /// A program that VCL refers to by name.
    pub(crate) fn program(&self, name: Option<&[u8]>) -> Result<Arc<Program>, Failure> {
        let name = name.ok_or("program is not set")?;
        // The runtime counts the misses.
        let found = std::str::from_utf8(name)
            .ok()
            .and_then(|name| self.programs.get(name));
        found.ok_or_else(|| {
            crate::counters::publish();
            let name = name.escape_ascii().to_string();
            self.programs.unknown(&name).to_string().into()
        })
    }

    /// Waits, while the VCL is loaded, until a program is ready.
    pub(crate) fn wait_for(&self, name: &str) -> Result<(), Failure> {
        let program = self.program(Some(name.as_bytes()))?;
        let left = LOAD_PATIENCE.saturating_sub(self.begun.elapsed());
        program.wait_at_most(left).map_err(|reason| {
            let late = match self.begun.elapsed() < LOAD_PATIENCE {
                true => String::new(),
                false => format!(
                    "; the load of a VCL waits {LOAD_PATIENCE:?} at most (async=true does not wait)"
                ),
            };
            format!("program \"{name}\": {reason}{late}").into()
        })
    }

    /// Makes the program known to Varnish as a backend, unless it is.
    pub(crate) fn add_director(&self, ctx: &mut Ctx<'_>, name: &str) -> Result<(), Failure> {
        let mut directors = self
            .directors
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if directors.contains_key(name) {
            return Ok(());
        }
        let program = self.program(Some(name.as_bytes()))?;
        let backend = Box::new(ProgramBackend::new(program));
        let director = Director::new(ctx, &format!("tinykvm_{name}"), backend)
            .ok_or_else(|| format!("program \"{name}\": Varnish takes no more backends"))?;
        directors.insert(name.to_owned(), director);
        Ok(())
    }

    /// Makes the program known to Varnish as a filter, unless it is.
    pub(crate) fn add_filter(&self, ctx: &mut Ctx<'_>, name: &str) -> Result<(), Failure> {
        let mut filters = self.filters.write().unwrap_or_else(PoisonError::into_inner);
        if filters.contains_key(name) {
            return Ok(());
        }
        let mut opening = self.opening.write().unwrap_or_else(PoisonError::into_inner);
        if opening.is_none() {
            *opening = Some(Opening::new(ctx)?);
        }
        let program = self.program(Some(name.as_bytes()))?;
        let filter = Box::new(ProgramFilter::new(program));
        let known = Registration::new(ctx, &filter_name(name), filter)
            .map_err(|error| format!("program \"{name}\" as a filter: {error}"))?;
        filters.insert(name.to_owned(), known);
        Ok(())
    }

    /// True if Varnish knows the program as a filter.
    pub(crate) fn has_filter(&self, name: &str) -> bool {
        let filters = self.filters.read().unwrap_or_else(PoisonError::into_inner);
        filters.contains_key(name)
    }

    /// Makes the fetch of this call fail if its body does not go through the program.
    pub(crate) fn require_filter(&self, ctx: &mut Ctx<'_>, name: &str) -> Result<(), Failure> {
        let filters = self.filters.read().unwrap_or_else(PoisonError::into_inner);
        let known = filters.get(name).ok_or("it is no filter")?;
        known.require(ctx).map_err(|error| error.to_string().into())
    }

    /// Has it told if the delivery of this call does not go through the program.
    pub(crate) fn want_filter(&self, ctx: &Ctx<'_>, name: &str) {
        let filters = self.filters.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = filters.get(name) {
            known.want(ctx);
        }
    }

    /// Varnish forgets the filters: the VCL is discarded.
    pub(crate) fn remove_filters(&self, ctx: &mut Ctx<'_>) {
        let mut filters = self.filters.write().unwrap_or_else(PoisonError::into_inner);
        for (_, known) in filters.drain() {
            known.remove(ctx);
        }
        let mut opening = self.opening.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(opening) = opening.take() {
            opening.remove(ctx);
        }
    }

    /// True if the operator has taken the program out of service, as a backend and in all else.
    pub(crate) fn is_set_sick(&self, ctx: &Ctx<'_>, name: &str) -> bool {
        let directors = self.directors.read();
        let directors = directors.unwrap_or_else(PoisonError::into_inner);
        let director = directors.get(name);
        director.is_some_and(|director| director.was_set_sick(ctx))
    }

    /// The program's director, for VCL.
    pub(crate) fn director(&self, name: &str) -> Option<ffi::VCL_BACKEND> {
        let directors = self.directors.read();
        let directors = directors.unwrap_or_else(PoisonError::into_inner);
        directors.get(name).map(Director::raw)
    }
}

impl Drop for Vcl {
    fn drop(&mut self) {
        // No fetch is left that could use them, so programs can go, too.
        let directors = self.directors.get_mut();
        directors.unwrap_or_else(PoisonError::into_inner).clear();
        self.programs.close();
        crate::counters::publish();
    }
}
