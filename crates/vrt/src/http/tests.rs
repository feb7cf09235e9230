//! What needs no function of Varnish: reading and searching a table made by hand.

use std::ptr;

use super::*;

/// A message on the heap, as Varnish lays it out.
struct Table {
    http: ffi::http,
    hd: Vec<ffi::txt>,
    hdf: Vec<u8>,
    workspace: ffi::ws,
}

impl Table {
    fn new(fields: &'static [&'static str]) -> Box<Self> {
        let start = ["GET", "/path", "HTTP/1.1", "", ""];
        let hd: Vec<_> = start.iter().chain(fields).map(|text| txt(text)).collect();
        // SAFETY: plain structures of C, valid when all zero.
        let (mut http, workspace): (ffi::http, ffi::ws) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        http.magic = ffi::HTTP_MAGIC;
        http.nhd = u16::try_from(hd.len()).unwrap();
        http.shd = http.nhd;
        let hdf = vec![0; hd.len()];
        let mut table = Box::new(Self {
            http,
            hd,
            hdf,
            workspace,
        });
        table.http.hd = table.hd.as_mut_ptr();
        table.http.hdf = table.hdf.as_mut_ptr();
        table.http.ws = &raw mut table.workspace;
        table
    }

    fn message(&mut self) -> HttpMut<'_> {
        // SAFETY: made above, and borrowed for as long as the result.
        unsafe { HttpMut::from_raw(&raw mut self.http) }.unwrap()
    }
}

fn txt(text: &'static str) -> ffi::txt {
    let range = text.as_bytes().as_ptr_range();
    ffi::txt {
        b: range.start.cast(),
        e: range.end.cast(),
    }
}

#[test]
fn a_field_is_found_by_its_whole_name_whatever_its_case() {
    let mut table = Table::new(&["Accept-Encoding: gzip", "accept: */*", "Accept:  b "]);
    let message = table.message();
    assert_eq!(message.method(), b"GET");
    assert_eq!(message.len(), 3);
    assert_eq!(message.position(b"ACCEPT"), Some(1));
    assert_eq!(message.value(b"Accept"), Some(&b"*/*"[..]));
    assert_eq!(message.field(2), Some(&b"Accept:  b "[..]));
    assert_eq!(message.position(b"Acc"), None);
    assert_eq!(message.position(b"Accept-Encoding: gzip: more"), None);
    assert_eq!(message.field(3), None);
    assert_eq!(message.field(usize::MAX), None);
}

#[test]
fn removing_keeps_the_others_in_order() {
    let mut table = Table::new(&["A: 1", "B: 2", "A: 3", "C: 4"]);
    let mut message = table.message();
    assert_eq!(message.remove(b"a"), Some(0));
    let left: Vec<_> = message.fields().map(<[u8]>::to_vec).collect();
    assert_eq!(left, [&b"B: 2"[..], b"A: 3", b"C: 4"]);
    message.remove_all(b"A");
    assert_eq!(message.remove(b"A"), None);
    assert_eq!(message.len(), 2);
}

#[test]
fn fields_are_put_back_into_their_own_message_only() {
    let mut table = Table::new(&["A: 1", "B: 2"]);
    let saved = table.message().save();
    assert_eq!(table.message().remove(b"A"), Some(0));
    assert_eq!(table.message().restore(&saved), Ok(()));
    assert_eq!(table.message().position(b"A"), Some(0));

    let mut other = Table::new(&["C: 3"]);
    let refused = other.message().restore(&saved);
    assert_eq!(refused, Err(FieldError::OtherMessage));
    assert_eq!(other.message().field(0), Some(&b"C: 3"[..]));
}

#[test]
fn a_full_table_is_an_error() {
    let mut table = Table::new(&["A: 1"]);
    assert_eq!(table.message().append(b"B: 2"), Err(FieldError::TableFull));
    assert_eq!(
        table.message().replace(1, b"B: 2"),
        Err(FieldError::NoField)
    );
    assert_eq!(table.message().len(), 1);
}

#[test]
fn a_field_can_not_bring_another_with_it() {
    let mut table = Table::new(&["A: 1"]);
    for field in [&b"A: 2\r\nB: 3"[..], b"A: 2\nB: 3", b"A: \0"] {
        assert_eq!(
            table.message().replace(0, field),
            Err(FieldError::Malformed)
        );
    }
}

#[test]
fn what_is_not_a_message_is_refused() {
    let mut table = Table::new(&[]);
    assert!(table.message().is_empty());
    table.http.ws = ptr::null_mut();
    // SAFETY: a structure that is there, and NULL.
    unsafe {
        assert!(Http::from_raw(&raw mut table.http).is_none());
        assert!(Http::from_raw(ptr::null_mut()).is_none());
    }
    table.http.ws = &raw mut table.workspace;
    table.http.magic = 0;
    // SAFETY: a structure that is there.
    assert!(unsafe { Http::from_raw(&raw mut table.http) }.is_none());
}
