//! Every function that VCL calls goes through here: a failure fails the VCL, and a panic does the
//! same after it ended in `tinykvm_vrt::guard`, as it does for the backends' callbacks.

use std::ffi::c_int;

use tinykvm_vrt::{Ctx, Place, Tag, ffi, guard, log_global, strings};

/// Why a function can't do what VCL asks; for the operator to read.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl<T: Into<String>> From<T> for Failure {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl Failure {
    /// The same, and of which program.
    pub(crate) fn about(self, program: &str) -> Self {
        Self(format!("program \"{program}\": {}", self.0))
    }
}

/// Runs a function of the module for VCL.
///
/// # Safety
/// `ctx` is the context that Varnish gave to the entry point.
pub(crate) unsafe fn guard<T>(
    ctx: *const ffi::vrt_ctx,
    function: &str,
    fallback: T,
    work: impl FnOnce(&mut Ctx<'_>) -> Result<T, Failure>,
) -> T {
    // SAFETY: the caller's context is valid until the entry point returns.
    let Some(mut ctx) = (unsafe { Ctx::from_raw(ctx) }) else {
        log_global(Tag::Error, &format!("tinykvm.{function}(): no context"));
        return fallback;
    };
    let reason = match guard::catch(|| work(&mut ctx)) {
        Ok(Ok(value)) => return value,
        Ok(Err(Failure(reason))) => reason,
        Err(caught) => {
            ctx.log(
                Tag::Error,
                &format!("tinykvm.{function}(): {}", caught.message()),
            );
            caught.message()
        }
    };
    ctx.fail(&format!("tinykvm.{function}(): {reason}"));
    fallback
}

/// Runs what an event of the VCL makes necessary. Anything but 0 refuses the event.
pub(crate) fn guard_event(work: impl FnOnce() -> Result<(), Failure>) -> c_int {
    let reason = match guard::catch(work) {
        Ok(Ok(())) => return 0,
        Ok(Err(Failure(reason))) => reason,
        Err(caught) => caught.message(),
    };
    log_global(Tag::Error, &format!("tinykvm: {reason}"));
    1
}

/// Fails outside of some subroutines.
pub(crate) fn only_in(ctx: &Ctx<'_>, places: &[Place], names: &str) -> Result<(), Failure> {
    if places.contains(&ctx.place()) {
        Ok(())
    } else {
        Err(format!("can be called in {names} only").into())
    }
}

/// A string that VCL gives to a function; `None` if it is not set. A string that VCL puts together
/// is not set, too, if there was no workspace for it: then the VCL fails, rather than that a filter,
/// say, is told nothing.
///
/// # Safety
/// `string` is an argument that VCL gave to this function.
pub(crate) unsafe fn given<'a>(
    ctx: &Ctx<'_>,
    string: ffi::VCL_STRING,
    name: &str,
) -> Result<Option<&'a [u8]>, Failure> {
    // SAFETY: as the caller says.
    let bytes = unsafe { strings::bytes(string) };
    if bytes.is_none() && ctx.has_overflowed() {
        return Err(format!("{name} is lost: out of workspace").into());
    }
    Ok(bytes)
}

/// An argument that must be there, as text.
pub(crate) fn text<'a>(argument: Option<&'a [u8]>, name: &str) -> Result<&'a str, Failure> {
    let bytes = argument.ok_or_else(|| format!("{name} is not set"))?;
    if bytes.is_empty() {
        return Err(format!("{name} is empty").into());
    }
    std::str::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8").into())
}
