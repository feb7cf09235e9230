//! Only warm calls, for a profiler.
use tinykvm_runtime::{CallRequest, PlainTransaction, Programs};
use tinykvm_testkit::{Toolchain, compile_file, paths};
pub(crate) fn run() {
    let path = compile_file(&paths::top().join("guest/examples/hello-c/hello.c"), Toolchain::Gcc);
    let programs = Programs::new();
    programs.configure("hello", &format!(r#"{{ "filename": "{}" }}"#, path.display())).unwrap();
    let hello = programs.get("hello").unwrap();
    let request = CallRequest { url: b"/", method: b"GET", ..CallRequest::default() };
    let mut t = PlainTransaction::backend();
    for _ in 0..200_000 { drop(hello.call(&request, &mut t)); t.logged.clear(); t.response = Some(Vec::new()); }
}
