//! The smallest useful guest program in Rust: a greeting for GET, the body in capitals for POST.

use tinykvm_guest::{Response, on_error, serve};

fn main() {
    // Whatever takes long (reading files, building tables) is done here, once.

    on_error(|failure| Response::text(format!("Sorry: {}", failure.reason())).status(500));

    serve(|request| match request.body() {
        None if request.url() == "/panic" => panic!("as asked for"),
        None => Response::text("Hello Rust World"),
        Some(body) => Response::new(200).body(
            request.content_type().into_owned(),
            body.to_ascii_uppercase(),
        ),
    })
}
