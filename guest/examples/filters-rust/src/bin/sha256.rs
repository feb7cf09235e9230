//! Passes a body on, and writes a line with its SHA-256 behind it.
//!
//! The configuration in VCL is the text to write, in which `{}` becomes the checksum: for HTML
//! something like `<!-- {} -->`. Without one it is the plain checksum, and a line feed.

use sha2::{Digest, Sha256};
use tinykvm_guest::filter::{self, Action, Error, Filter, Output};
use tinykvm_guest::headers::{self, Side};

fn main() {
    filter::serve(|start| {
        // Behind what Varnish can't decode, a line of text would be an error.
        if start.response_header("Content-Encoding").is_some() {
            return Action::Pass;
        }
        let config = start.config();
        let text = if config.is_empty() { "{}\n" } else { &*config };
        // How long the body gets is known before it is there, if it is known how long it was. On
        // its way to a client this is worth saying: ranges can be answered, and there is no need
        // for chunks.
        if let Some(length) = start.length() {
            let length = length + trailer(text, &[0; 32]).len() as u64;
            let _ = headers::set(Side::Response, "Content-Length", &length.to_string());
        }
        Action::transform(Checksum {
            sum: Sha256::new(),
            text: text.to_string(),
        })
    })
}

struct Checksum {
    sum: Sha256,
    text: String,
}

impl Filter for Checksum {
    fn chunk(&mut self, data: &[u8], out: &mut Output) -> Result<(), Error> {
        self.sum.update(data);
        out.write(data);
        Ok(())
    }

    fn end(&mut self, out: &mut Output) -> Result<(), Error> {
        let sum = self.sum.finalize_reset();
        out.write(trailer(&self.text, &sum).as_bytes());
        Ok(())
    }
}

fn trailer(text: &str, sum: &[u8]) -> String {
    let digits: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    text.replace("{}", &digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_goes_where_the_braces_are() {
        let sum = Sha256::digest("abc");
        let expected = "<!-- ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad -->";
        assert_eq!(trailer("<!-- {} -->", &sum), expected);
        assert_eq!(trailer("none", &sum), "none");
    }
}
