//! A backend implemented in Rust.

use std::ffi::c_int;
use std::ptr::{self, NonNull};

use crate::ctx::Ctx;
use crate::log::{Tag, log_global};
use crate::source::{Pending, Source};
use crate::strings::c_text;
use crate::{ffi, guard};

/// What a fetch asks a backend for.
pub trait Backend: Send + Sync + 'static {
    /// Makes the answer: status and header fields are set on [`Ctx::response`], the body is
    /// returned. `None` is a failed fetch (`vcl_backend_error`, 503), and why is in the log.
    fn answer(&self, ctx: &mut Ctx<'_>) -> Option<Answer>;

    /// False if it is known that it will give no answer. Asked by VCL and by the operator's command
    /// line, so it does not wait.
    fn is_healthy(&self) -> bool;
}

/// The body of an answer.
pub struct Answer {
    /// Where it comes from.
    pub source: Box<dyn Source>,
    /// How much of it the fetch will read: all of it, or 0 for an answer that has none (to HEAD,
    /// and with status 204 and 304).
    pub length: u64,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// A backend that Varnish knows: VCL can use it, `backend.list` shows it, and it can be set sick.
/// It lives as long as the VCL for which it was made.
#[derive(Debug)]
pub struct Director {
    raw: ffi::VCL_BACKEND,
}

// SAFETY: Varnish's own threads share directors; the backend behind it is `Send` and `Sync`.
unsafe impl Send for Director {}
// SAFETY: as above.
unsafe impl Sync for Director {}

/// What the director's pointer leads to.
struct Owned(Box<dyn Backend>);

/// The description of all our directors. Varnish only reads it.
struct Methods(ffi::vdi_methods);

// SAFETY: constant, and the string in it is too.
unsafe impl Sync for Methods {}

static METHODS: Methods = Methods(ffi::vdi_methods {
    magic: ffi::VDI_METHODS_MAGIC,
    type_: c"tinykvm".as_ptr(),
    healthy: Some(healthy),
    gethdrs: Some(get_headers),
    finish: Some(finish),
    destroy: Some(destroy),
    // SAFETY: what is left are optional functions; all zero is "none", in every release.
    ..unsafe { std::mem::zeroed() }
});

impl Director {
    /// Tells Varnish of a backend. `None` if it refuses (the VCL is being given up).
    ///
    /// Only while VCL is loaded: fetches refer to the result without counting.
    #[must_use]
    pub fn new(ctx: &mut Ctx<'_>, name: &str, backend: Box<dyn Backend>) -> Option<Self> {
        let owned = Box::into_raw(Box::new(Owned(backend)));
        let name = c_text(name);
        // SAFETY: a checked context, constant methods, a pointer that stays valid until
        // `destroy`, and a format that takes one string.
        let raw = unsafe {
            ffi::VRT_AddDirector(
                ctx.raw(),
                &raw const METHODS.0,
                owned.cast(),
                c"%s".as_ptr(),
                name.as_ptr(),
            )
        };
        if raw.is_null() {
            // SAFETY: Varnish did not take it.
            drop(unsafe { Box::from_raw(owned) });
            return None;
        }
        // SAFETY: the director that was just made; nobody else has it yet. It is only deleted
        // with its VCL, when no fetch is left, so references need not be counted.
        unsafe { ffi::VRT_StaticDirector(raw) };
        Some(Self { raw })
    }

    /// True if the operator has taken it out of service (`backend.set_health ... sick`).
    #[must_use]
    pub fn was_set_sick(&self, ctx: &Ctx<'_>) -> bool {
        // SAFETY: a checked context, and a director of ours, which is there as long as this.
        unsafe { was_set_sick(ctx.raw(), self.raw) }
    }

    /// As VCL's type BACKEND.
    #[must_use]
    pub fn raw(&self) -> ffi::VCL_BACKEND {
        self.raw
    }
}

impl Drop for Director {
    fn drop(&mut self) {
        // SAFETY: ours, and deleted once; Varnish calls `destroy`.
        unsafe { ffi::VRT_DelDirector(&raw mut self.raw) };
    }
}

/// Frees the backend; Varnish calls it once, when nothing refers to the director.
unsafe extern "C" fn destroy(director: ffi::VCL_BACKEND) {
    let dropped = guard::catch(|| {
        // SAFETY: a director of ours; its pointer is the box that `new` gave it.
        drop(unsafe { Box::from_raw((*director).priv_.cast::<Owned>()) });
    });
    if let Err(caught) = dropped {
        log_global(Tag::Error, &format!("tinykvm: {}", caught.message()));
    }
}

/// # Safety
/// A valid context, and a director of ours.
unsafe fn was_set_sick(context: *const ffi::vrt_ctx, director: ffi::VCL_BACKEND) -> bool {
    // SAFETY: as the caller says.
    unsafe {
        // What the operator says goes first; without that, it is what the backend says.
        let owned = &*(*director).priv_.cast::<Owned>();
        ffi::VRT_Healthy(context, director, ptr::null_mut()) == 0 && owned.0.is_healthy()
    }
}

unsafe extern "C" fn healthy(
    _context: *const ffi::vrt_ctx,
    director: ffi::VCL_BACKEND,
    changed: *mut ffi::VCL_TIME,
) -> ffi::VCL_BOOL {
    let healthy = guard::catch(|| {
        // SAFETY: a director of ours, which exists while Varnish asks for it; NULL or a time of
        // Varnish's.
        unsafe {
            if let Some(changed) = changed.as_mut() {
                *changed = (*(*director).vdir).health_changed;
            }
            (*(*director).priv_.cast::<Owned>()).0.is_healthy()
        }
    });
    ffi::VCL_BOOL::from(healthy.unwrap_or(false))
}

unsafe extern "C" fn get_headers(
    context: *const ffi::vrt_ctx,
    director: ffi::VCL_BACKEND,
) -> c_int {
    // SAFETY: Varnish gives its context.
    let Some(mut ctx) = (unsafe { Ctx::from_raw(context) }) else {
        return -1;
    };
    let answered = guard::catch(|| {
        // SAFETY: a checked context, and the director that this is called for.
        if unsafe { was_set_sick(context, director) } {
            ctx.log(Tag::Error, "tinykvm: this backend was set sick");
            return None;
        }
        // SAFETY: a director of ours, which exists while a fetch uses it.
        let owned = unsafe { &*(*director).priv_.cast::<Owned>() };
        let answer = quietly(&mut ctx, |ctx| owned.0.answer(ctx))?;
        attach(&mut ctx, answer)
    });
    match answered {
        Ok(Some(())) => 0,
        Ok(None) => -1,
        Err(caught) => {
            ctx.log(Tag::Error, &format!("tinykvm: {}", caught.message()));
            -1
        }
    }
}

/// Up to this version Varnish logs the whole answer when it has it; since then backends log it
/// while they make it.
const LAST_THAT_LOGS_ANSWERS: u32 = 15;

/// Makes an answer without logging what Varnish will log.
fn quietly<T>(ctx: &mut Ctx<'_>, make: impl FnOnce(&mut Ctx<'_>) -> T) -> T {
    if ffi::VRT_MAJOR_VERSION > LAST_THAT_LOGS_ANSWERS {
        return make(ctx);
    }
    let log = ctx.response_mut().map(|mut message| message.mute());
    let made = guard::catch(|| make(ctx));
    if let (Some(mut message), Some(log)) = (ctx.response_mut(), log) {
        // SAFETY: the same fetch has the same response.
        unsafe { message.unmute(log) };
    }
    made.unwrap_or_else(|caught| caught.resume())
}

/// Gives the body to the fetch, through the structure that it keeps for a connection.
fn attach(ctx: &mut Ctx<'_>, answer: Answer) -> Option<()> {
    let mut fetch = ctx.busyobj()?;
    let mut workspace = ctx.workspace()?;
    // SAFETY: a plain structure of C, valid when all zero.
    let Ok(mut connection) = (unsafe { workspace.zeroed::<ffi::http_conn>() }) else {
        ctx.log(
            Tag::Error,
            "tinykvm: out of workspace for the answer's body",
        );
        return None;
    };
    let length = answer.length;
    let mut pending = Pending::new(answer.source, length);
    // SAFETY: the fetch of this call and its filters; `pending` is on the heap and stays there
    // until `finish` drops it.
    let (connection, pushed) = unsafe {
        let pushed = pending.push(fetch.as_ref().vfc);
        (connection.as_mut(), pushed)
    };
    if !pushed {
        ctx.log(
            Tag::Error,
            "tinykvm: out of workspace for the answer's body",
        );
        return None;
    }
    connection.magic = ffi::HTTP_CONN_MAGIC;
    connection.doclose = (&raw const ffi::SC_NULL).cast();
    connection.content_length = isize::try_from(length).ok()?;
    connection.body_status = if length == 0 {
        (&raw const ffi::BS_NONE).cast()
    } else {
        (&raw const ffi::BS_LENGTH).cast()
    };
    connection.priv_ = Box::into_raw(pending).cast();
    // SAFETY: the fetch of this call; the structure lives on its workspace.
    unsafe { fetch.as_mut() }.htc = connection;
    Some(())
}

/// Drops what is left of the answer. Varnish calls it once after each answer, however the fetch
/// went on.
unsafe extern "C" fn finish(context: *const ffi::vrt_ctx, _director: ffi::VCL_BACKEND) {
    // SAFETY: Varnish gives its context.
    let fetch = unsafe { Ctx::from_raw(context) }.and_then(|ctx| ctx.busyobj());
    let Some(mut fetch) = fetch else { return };
    // SAFETY: the fetch of this call; its connection is the one that `attach` gave it.
    let pending = unsafe {
        let connection = ptr::replace(&raw mut fetch.as_mut().htc, ptr::null_mut());
        let Some(mut connection) = NonNull::new(connection) else {
            return;
        };
        let pending = ptr::replace(&raw mut connection.as_mut().priv_, ptr::null_mut());
        NonNull::new(pending.cast::<Pending>())
    };
    if let Some(pending) = pending {
        // SAFETY: the box that `attach` gave away, taken back once.
        drop(unsafe { Box::from_raw(pending.as_ptr()) });
    }
}
