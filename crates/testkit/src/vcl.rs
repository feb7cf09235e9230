//! The VCL in documents, made whole so that it can be compiled.
//!
//! VCL is a fenced block that says `vcl`; and a block without a language (indented, fenced, or behind
//! `::` in the module's manual) that begins as VCL does: see `begins_as_vcl`. One that is not to be
//! compiled has `<!-- not compiled: REASON -->` above it.
//!
//! A block that begins with `vcl 4` is whole. Before any other come the version, the imports and the
//! backend that it does not have itself. Statements outside of a subroutine go to the one where the
//! functions that they call may be called.

/// A block of VCL.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// The line where it begins.
    pub line: usize,
    /// Its text, without the indentation that all of it has.
    pub text: String,
}

/// With which words VCL begins.
const WORDS: [&str; 9] = [
    "vcl ", "sub ", "import ", "backend ", "acl ", "set ", "unset ", "if (", "return (",
];

/// Where a function may be called.
const PLACES: [(&str, &str); 8] = [
    ("configure", "vcl_init"),
    ("allow", "vcl_init"),
    ("start", "vcl_init"),
    ("program", "vcl_backend_fetch"),
    ("filter", "vcl_backend_response"),
    ("synth", "vcl_synth"),
    ("to_string", "vcl_recv"),
    ("main_arguments", "vcl_recv"),
];

/// True if the first line that is no comment is VCL's: one of some words, or a call of the module
/// with its parentheses.
fn begins_as_vcl(text: &str) -> bool {
    let comment = |line: &&str| line.is_empty() || line.starts_with("//") || line.starts_with('#');
    let Some(line) = text.lines().map(str::trim).find(|line| !comment(line)) else {
        return false;
    };
    let call = line
        .strip_prefix("tinykvm.")
        .and_then(|it| it.split_once('('));
    let known = call.is_some_and(|(name, _)| PLACES.iter().any(|place| place.0 == name));
    known || WORDS.iter().any(|word| line.starts_with(word))
}

/// All VCL of a document.
#[must_use]
pub fn blocks(document: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = (1..).zip(document.lines()).peekable();
    let mut above = "";
    while let Some((number, line)) = lines.next() {
        let mut text = String::new();
        let mut vcl = false;
        let mut start = number;
        if let Some(language) = line.trim_start().strip_prefix("```") {
            start += 1;
            for (_, inner) in lines.by_ref() {
                if inner.trim_start().starts_with("```") {
                    break;
                }
                text = text + inner + "\n";
            }
            vcl = language == "vcl" || (language.is_empty() && begins_as_vcl(&text));
        } else if line.starts_with("    ") {
            text = format!("{line}\n");
            let inside = |it: &(usize, &str)| it.1.starts_with("    ") || it.1.trim().is_empty();
            while let Some((_, inner)) = lines.next_if(inside) {
                text = text + inner + "\n";
            }
            vcl = begins_as_vcl(&text);
        }
        if vcl && !above.starts_with("<!-- not compiled: ") {
            let text = plain(&text);
            found.push(Block { line: start, text });
        }
        if !line.trim().is_empty() {
            above = line;
        }
    }
    found
}

/// Without the indentation that all lines have.
fn plain(text: &str) -> String {
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let filled = text.lines().filter(|line| !line.trim().is_empty());
    let common = filled.map(indentation).min().unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| line.get(common..).unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned() + "\n"
}

/// A block as the whole of a file.
///
/// # Errors
/// When statements call functions that can't be called in one subroutine.
pub fn whole(block: &str) -> Result<String, String> {
    if block.lines().any(|line| line.starts_with("vcl 4")) {
        return Ok(block.to_owned());
    }
    let begins = |word: &str| block.lines().any(|line| line.starts_with(word));
    let mut file = String::from("vcl 4.1;\n");
    for module in ["tinykvm", "std"] {
        let import = format!("import {module};");
        if !begins(&import) && block.contains(&format!("{module}.")) {
            file = file + &import + "\n";
        }
    }
    if !begins("backend ") {
        file += "backend default none;\n";
    }
    if begins("sub ") {
        return Ok(file + block);
    }
    let (above, statements): (Vec<&str>, Vec<&str>) =
        block.lines().partition(|line| line.starts_with("import "));
    let called = |name: &str| block.contains(&format!("tinykvm.{name}("));
    let mut places = PLACES.iter().filter(|(name, _)| called(name));
    let place = places.next().map_or("vcl_recv", |it| it.1);
    // `main_arguments` is at home everywhere.
    if let Some(other) = places.find(|it| it.0 != "main_arguments" && it.1 != place) {
        return Err(format!("{} is not for {place}", other.0));
    }
    let (above, statements) = (above.join("\n"), statements.join("\n"));
    Ok(format!("{file}{above}\nsub {place} {{\n{statements}\n}}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
Text.

```vcl
sub vcl_recv { }
```

```python
tinykvm.serve(answer)
```

    tinykvm.start(\"p\");

    tinykvm site: openat of \"/x\" (tinykvm.allow(\"site\", read, \"/x\"))

Example::

    // A comment.
    import std;

      tinykvm.main_arguments(\"p\");

<!-- not compiled: it is wrong -->

    set req.url = 7;
";

    #[test]
    fn vcl_is_found_and_nothing_else() {
        let found = blocks(DOCUMENT);
        let lines: Vec<_> = found.iter().map(|it| it.line).collect();
        assert_eq!(lines, [4, 11, 17]);
        let last = "// A comment.\nimport std;\n\n  tinykvm.main_arguments(\"p\");\n";
        assert_eq!(found[2].text, last);
    }

    #[test]
    fn statements_go_where_they_may_stand() {
        let file = whole("set bereq.backend = tinykvm.program(\"p\");\n").unwrap();
        assert!(file.starts_with("vcl 4.1;\nimport tinykvm;\nbackend default none;\n"));
        assert!(file.contains("sub vcl_backend_fetch {\nset "), "{file}");
        let file = whole("import std;\ntinykvm.start(\"p\");\n").unwrap();
        assert_eq!(file.matches("import std;").count(), 1);
        assert!(file.contains("import std;\nsub vcl_init {"), "{file}");
        let file = whole("sub a { }\n").unwrap();
        assert!(!file.contains("vcl_recv"), "{file}");
        assert_eq!(whole("vcl 4.0;\n").unwrap(), "vcl 4.0;\n");
        whole("tinykvm.start(\"p\");\ntinykvm.filter(\"p\");\n").unwrap_err();
    }
}
