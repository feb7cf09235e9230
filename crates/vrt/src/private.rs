//! Values of ours that Varnish keeps and gives back when their time is over.

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::ctx::Ctx;
use crate::log::{Tag, log_global};
use crate::{ffi, guard};

/// A type of which Varnish may own a value: it is dropped, and in a task used, on whichever thread
/// Varnish has at hand.
pub trait Private: Sized + Send + 'static {
    /// How Varnish names it, in panic messages.
    const NAME: &'static CStr;

    /// How Varnish frees it.
    const METHODS: &'static ffi::vmod_priv_methods = &ffi::vmod_priv_methods {
        magic: ffi::VMOD_PRIV_METHODS_MAGIC,
        type_: Self::NAME.as_ptr(),
        fini: Some(free::<Self>),
    };

    /// Its time is over. `ctx` is the call from VCL that ends it, as `std.rollback()` does, or one
    /// outside of VCL.
    fn over(self, _ctx: Option<&Ctx<'_>>) {}
}

/// A type of which a VCL may own a value: all threads use it at the same time.
pub trait VclPrivate: Private + Sync {}

/// A type of which a task may own a value: one thread at a time uses it.
pub trait TaskPrivate: Private {
    /// What tells the values of this type from others in the task: the address of a static.
    fn key() -> *const c_void;
}

/// Drops the value; Varnish calls it once, when the VCL or the task is over.
unsafe extern "C" fn free<T: Private>(ctx: *const ffi::vrt_ctx, value: *mut c_void) {
    // SAFETY: Varnish gives its context, or NULL; the pointer is the one that `Slot::get_or_insert`
    // took out of a box of this type, and Varnish forgets it.
    let (ctx, value) = unsafe { (Ctx::from_raw(ctx), Box::from_raw(value.cast::<T>())) };
    if let Err(caught) = guard::catch(|| value.over(ctx.as_ref())) {
        log_global(Tag::Error, &format!("tinykvm: {}", caught.message()));
    }
}

/// The place where Varnish keeps a value: of a VCL (`PRIV_VCL`), or of a task.
#[derive(Debug)]
pub struct Slot<'c, T> {
    raw: NonNull<ffi::vmod_priv>,
    owner: PhantomData<&'c T>,
}

impl<'c, T: VclPrivate> Slot<'c, T> {
    /// The place of a VCL's value.
    ///
    /// # Safety
    /// `raw` is NULL or the place that Varnish keeps for a `T` and for nothing else, and the
    /// value outlives `'c`.
    #[must_use]
    pub unsafe fn of_vcl(raw: *mut ffi::vmod_priv) -> Option<Self> {
        // SAFETY: as the caller says.
        unsafe { Self::from_raw(raw) }
    }
}

impl<'c, T: Private> Slot<'c, T> {
    /// # Safety
    /// `raw` is NULL or the place that Varnish keeps for a `T` and for nothing else, and the
    /// value outlives `'c`. Other threads may use it only if `T` is `Sync`.
    unsafe fn from_raw(raw: *mut ffi::vmod_priv) -> Option<Self> {
        Some(Self {
            raw: NonNull::new(raw)?,
            owner: PhantomData,
        })
    }

    /// The value, if it exists.
    #[must_use]
    pub fn get(&self) -> Option<&'c T> {
        // SAFETY: valid as the constructor's caller says; non-NULL is a boxed `T`, which is only
        // ever shared from here on.
        unsafe { self.raw.as_ref().priv_.cast::<T>().as_ref() }
    }

    /// The value, made if it does not exist yet. For a VCL's value this must happen first while
    /// the VCL is loaded, when one thread has it.
    pub fn get_or_insert(&mut self, make: impl FnOnce() -> T) -> &'c T {
        if let Some(value) = self.get() {
            return value;
        }
        let value = Box::into_raw(Box::new(make()));
        // SAFETY: valid, and no other thread looks before the value exists. Varnish frees it by
        // the methods that go with it.
        unsafe {
            let slot = self.raw.as_mut();
            slot.priv_ = value.cast();
            slot.methods = T::METHODS;
            &*value
        }
    }
}

impl<'c> Ctx<'c> {
    /// The place of the task's value of type `T`: one for each request or fetch, until it is
    /// over. `None` when there is no task or no workspace left.
    pub fn task<T: TaskPrivate>(&mut self) -> Option<Slot<'c, T>> {
        if !self.has_task() {
            return None;
        }
        // SAFETY: a checked context of a task of this thread; the slot belongs to that task, and
        // its values live at least as long as the context.
        unsafe { Slot::from_raw(ffi::VRT_priv_task(self.raw(), T::key())) }
    }

    /// The task's value of type `T`, if it exists.
    #[must_use]
    pub fn existing_task<T: TaskPrivate>(&self) -> Option<&'c T> {
        if !self.has_task() {
            return None;
        }
        // SAFETY: as above.
        let slot = unsafe { Slot::<T>::from_raw(ffi::VRT_priv_task_get(self.raw(), T::key())) };
        slot?.get()
    }
}
