//! JSON without the white space between its values.

use std::io::{self, Write};

use memchr::memchr2;

/// The filter. Whether what passes by is right JSON, it does not look at.
#[derive(Default)]
pub(crate) struct Json {
    at: Place,
}

#[derive(Clone, Copy, Default)]
enum Place {
    #[default]
    Outside,
    String,
    /// In a string, behind a backslash.
    Escape,
}

impl Json {
    pub(crate) fn feed(&mut self, data: &[u8], out: &mut impl Write) -> io::Result<()> {
        // What is to be written has begun here.
        let mut from = 0;
        let mut at = 0;
        while let Some(&byte) = data.get(at) {
            match self.at {
                Place::Outside if byte == b'"' => {
                    self.at = Place::String;
                    at += 1;
                }
                Place::Outside if is_space(byte) => {
                    out.write_all(&data[from..at])?;
                    let spaces = data[at..].iter().take_while(|byte| is_space(**byte));
                    at += spaces.count();
                    from = at;
                }
                Place::Outside => at += 1,
                Place::String => match memchr2(b'"', b'\\', &data[at..]) {
                    Some(length) => {
                        at += length + 1;
                        self.at = match data[at - 1] {
                            b'"' => Place::Outside,
                            _ => Place::Escape,
                        };
                    }
                    None => at = data.len(),
                },
                Place::Escape => {
                    self.at = Place::String;
                    at += 1;
                }
            }
        }
        out.write_all(&data[from..])
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use filters_rust::cuts;

    use super::*;

    #[track_caller]
    fn check(input: &str, expected: &str) {
        for parts in cuts(input.as_bytes()) {
            let mut out = Vec::new();
            let mut filter = Json::default();
            for part in &parts {
                filter.feed(part, &mut out).unwrap();
            }
            assert_eq!(str::from_utf8(&out), Ok(expected), "{parts:?}");
        }
    }

    #[test]
    fn space_goes_where_it_means_nothing() {
        check(
            "\u{feff}{ \"a b\" :\r\n\t[ 1 , -2.5e+3,\n null ] , \"c\": { } }\n",
            "\u{feff}{\"a b\":[1,-2.5e+3,null],\"c\":{}}",
        );
        check("  \n ", "");
    }

    #[test]
    fn strings_stay() {
        check(
            r#"[ " \" " , "\\" , " \\\" " ]"#,
            r#"[" \" ","\\"," \\\" "]"#,
        );
        check(" \"never  ended ", "\"never  ended ");
    }
}
