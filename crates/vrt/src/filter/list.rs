//! Lists of filters: `beresp.filters` and `resp.filters`, and where another one goes in them.

use std::ffi::{CStr, c_char};
use std::ptr;

use crate::ctx::{Ctx, Place};
use crate::workspace::Workspace;
use crate::{NotTaken, ffi};

/// What Varnish's own filters make of a body that is stored: what comes before them sees it plain.
const AFTER_PLAIN: [&str; 3] = ["esi", "esi_gzip", "gzip"];

/// Adds a filter to the list for a fetch. It sees the body decoded, as `testgunzip` in the list says
/// that it is compressed and is to stay so, or `gunzip` that it is being decoded; `encoded`: it sees
/// the body as the backend sends it.
#[must_use]
pub fn with_fetch_filter(list: &str, name: &str, encoded: bool) -> String {
    let mut all: Vec<&str> = list.split_whitespace().collect();
    let own =
        |filter: &&str| AFTER_PLAIN.contains(filter) || ["gunzip", "testgunzip"].contains(filter);
    if encoded {
        let at = all.iter().position(own).unwrap_or(all.len());
        all.insert(at, name);
    } else if let Some(at) = all.iter().position(|&filter| filter == "testgunzip") {
        all.splice(at..=at, ["gunzip", name, "gzip"]);
    } else {
        let plain = |filter: &&str| AFTER_PLAIN.contains(filter);
        let at = all.iter().position(plain).unwrap_or(all.len());
        all.insert(at, name);
    }
    all.join(" ")
}

/// Adds a filter to the list for a delivery: behind ESI, before ranges. It sees the body decoded;
/// `encoded`: as it is stored. `compressed` says that it is stored compressed.
///
/// An `included` part is to leave plain whatever filter it goes through: Varnish puts it into a
/// compressed page by itself, and with what it knows of the stored body if that is what comes.
#[must_use]
pub fn with_delivery_filter(
    list: &str,
    name: &str,
    encoded: bool,
    compressed: bool,
    included: bool,
) -> String {
    let mut all: Vec<&str> = list.split_whitespace().collect();
    let place = |all: &[&str], wanted: &[&str]| {
        let found = all.iter().position(|filter| wanted.contains(filter));
        found.unwrap_or(all.len())
    };
    if encoded {
        let at = place(&all, &["gunzip", "range"]);
        all.insert(at, name);
        if included && compressed && !all.contains(&"gunzip") {
            all.insert(at + 1, "gunzip");
        }
        return all.join(" ");
    }
    if compressed && !all.contains(&"gunzip") {
        let behind_esi = all.iter().position(|&filter| filter == "esi");
        all.insert(behind_esi.map_or(0, |at| at + 1), "gunzip");
    }
    all.insert(place(&all, &["range"]), name);
    all.join(" ")
}

const LIST: &str = "the list of filters";

impl Ctx<'_> {
    /// The list of filters of the response, as far as it is decided in this subroutine.
    ///
    /// # Errors
    /// This is no place that has one, the answer was taken away, or there is no workspace to
    /// write the list that Varnish itself would use.
    pub fn filters(&self) -> Result<String, NotTaken> {
        let none = NotTaken { what: LIST };
        // Varnish looks at the message to make its own list.
        self.response().ok_or(none)?;
        let read = || -> *const c_char {
            // SAFETY: a checked context of a subroutine that has this variable.
            unsafe {
                match self.place() {
                    Place::BackendResponse => ffi::VRT_r_beresp_filters(self.raw()),
                    Place::Deliver | Place::Synth => ffi::VRT_r_resp_filters(self.raw()),
                    _ => ptr::null(),
                }
            }
        };
        // SAFETY: NULL, or the workspace of this task, which only this thread uses.
        let workspace = unsafe { Workspace::from_raw((*self.raw()).ws) };
        // Where anything was lost before, the list would be empty: without `gunzip`, without `esi`.
        let list = workspace.ok_or(none)?.unmarked(read).map_err(|_| none)?;
        if list.is_null() {
            return Err(none);
        }
        // SAFETY: a string of VCL.
        let list = unsafe { CStr::from_ptr(list) };
        Ok(list.to_string_lossy().into_owned())
    }

    /// Decides the list of filters of the response.
    ///
    /// # Errors
    /// It is what it was before.
    pub fn set_filters(&mut self, list: &str) -> Result<(), NotTaken> {
        let none = NotTaken { what: LIST };
        // Varnish takes a string that is in the workspace already as it is. Others it copies, unless
        // anything was lost in the workspace before: a header field too many is enough.
        let text = self
            .workspace()
            .ok_or(none)?
            .copy_string(list.as_bytes())
            .map_err(|_| none)?;
        let mut parts = [text];
        let strands = ffi::strands {
            n: 1,
            p: parts.as_mut_ptr(),
        };
        // SAFETY: a checked context of a subroutine that has this variable, and one string, which
        // lives as long as the task.
        unsafe {
            match self.place() {
                Place::BackendResponse => {
                    ffi::VRT_l_beresp_filters(self.raw(), ptr::null(), &raw const strands);
                }
                Place::Deliver | Place::Synth => {
                    ffi::VRT_l_resp_filters(self.raw(), ptr::null(), &raw const strands);
                }
                _ => {}
            }
        }
        NotTaken::unless(self.filters()? == list, LIST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetch_filters_see_plain_bodies_in_the_order_of_their_calls() {
        let add = |list: &str| {
            let one = with_fetch_filter(list, "a", false);
            with_fetch_filter(&one, "b", false)
        };
        assert_eq!(add(""), "a b");
        assert_eq!(add(" gzip"), "a b gzip");
        assert_eq!(add(" esi"), "a b esi");
        assert_eq!(add(" gunzip"), "gunzip a b");
        assert_eq!(add(" gunzip esi_gzip"), "gunzip a b esi_gzip");
        assert_eq!(add(" testgunzip"), "gunzip a b gzip");
    }

    #[test]
    fn fetch_filters_may_see_what_the_backend_sends() {
        let add = |list: &str| {
            let one = with_fetch_filter(list, "a", true);
            with_fetch_filter(&one, "b", true)
        };
        assert_eq!(add(""), "a b");
        assert_eq!(add(" gunzip esi"), "a b gunzip esi");
        assert_eq!(add(" testgunzip"), "a b testgunzip");
    }

    #[test]
    fn delivery_filters_see_plain_bodies_and_ranges_come_after() {
        let add = |list: &str, compressed| {
            let one = with_delivery_filter(list, "a", false, compressed, false);
            with_delivery_filter(&one, "b", false, compressed, false)
        };
        assert_eq!(add("", false), "a b");
        assert_eq!(add(" esi range", false), "esi a b range");
        assert_eq!(add(" esi range", true), "esi gunzip a b range");
        assert_eq!(add(" gunzip", true), "gunzip a b");
        assert_eq!(add("", true), "gunzip a b");
    }

    #[test]
    fn delivery_filters_may_see_what_is_stored() {
        let list = with_delivery_filter(" esi gunzip range", "a", true, true, false);
        assert_eq!(list, "esi a gunzip range");
        assert_eq!(with_delivery_filter("", "a", true, true, false), "a");
    }

    #[test]
    fn included_parts_are_plain_in_the_end() {
        let add = |list: &str, compressed| with_delivery_filter(list, "a", true, compressed, true);
        assert_eq!(add("esi", true), "esi a gunzip");
        assert_eq!(add("gunzip", true), "a gunzip");
        assert_eq!(add("esi", false), "esi a");
    }
}
