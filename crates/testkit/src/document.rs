//! What a document tells its reader to do, taken from its text word for word, so that a test can do
//! it.
//!
//! A Markdown file has fenced blocks:
//!
//! * behind a line that is nothing but a path and a colon (`` `/srv/hello.py`: ``) a file;
//! * `sh`: commands;
//! * `console`: lines that begin with `$ ` are commands, what follows each is what it prints;
//! * behind `<!-- not run: REASON -->` something that is not run, for a reason.
//!
//! A block that is none of these is a mistake: it could be anything, and so nobody would try it.

/// A part of a document with a title.
#[derive(Debug, PartialEq, Eq)]
pub struct Section {
    /// Its title, without the marks in front.
    pub title: String,
    /// Its blocks, in order.
    pub steps: Vec<Step>,
}

/// One block.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A file and what is in it.
    File {
        /// Where it lies.
        path: String,
        /// What is in it.
        text: String,
    },
    /// Commands for a shell.
    Commands(String),
    /// A command, and what it has to print.
    Session {
        /// The command.
        command: String,
        /// Its standard output, with a line break behind each line.
        output: String,
    },
    /// Not run.
    Skipped {
        /// Why not.
        reason: String,
    },
}

/// The sections of a document that have a fenced block.
///
/// # Errors
/// With the line of a block that is none of the above, or does not end.
pub fn sections(markdown: &str) -> Result<Vec<Section>, String> {
    let mut sections = vec![Section {
        title: String::new(),
        steps: Vec::new(),
    }];
    // The last line with something on it.
    let mut above = "";
    let mut lines = (1..).zip(markdown.lines());
    while let Some((number, line)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let mut text = String::new();
            loop {
                match lines.next() {
                    None => return Err(format!("line {number}: a block without an end")),
                    Some((_, line)) if line.starts_with("```") => break,
                    Some((_, line)) => {
                        text.push_str(line);
                        text.push('\n');
                    }
                }
            }
            let steps =
                steps(above, language, text).map_err(|what| format!("line {number}: {what}"))?;
            if let Some(section) = sections.last_mut() {
                section.steps.extend(steps);
            }
            above = "";
        } else if line.starts_with("    ") {
            return Err(format!(
                "line {number}: an indented block: {line}; fences say what it is"
            ));
        } else if line.starts_with('#') {
            sections.push(Section {
                title: line.trim_start_matches('#').trim().to_owned(),
                steps: Vec::new(),
            });
            above = "";
        } else if !line.trim().is_empty() {
            above = line;
        }
    }
    sections.retain(|section| !section.steps.is_empty());
    Ok(sections)
}

fn steps(above: &str, language: &str, text: String) -> Result<Vec<Step>, String> {
    let reason = above.strip_prefix("<!-- not run: ");
    if let Some(reason) = reason.and_then(|rest| rest.strip_suffix(" -->")) {
        let reason = reason.to_owned();
        return Ok(vec![Step::Skipped { reason }]);
    }
    let path = above.strip_prefix('`').and_then(|it| it.strip_suffix("`:"));
    if let Some(path) = path {
        let path = path.to_owned();
        return Ok(vec![Step::File { path, text }]);
    }
    match language {
        "sh" => Ok(vec![Step::Commands(text)]),
        "console" => session(&text),
        _ => Err(format!(
            "a block ({language:?}) that is neither a file nor commands"
        )),
    }
}

fn session(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step::Session {
                command: command.to_owned(),
                output: String::new(),
            }),
            (None, Some(Step::Session { output, .. })) => {
                output.push_str(line);
                output.push('\n');
            }
            (None, _) => return Err("output without a command".to_owned()),
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
# Title

## One

Text.

`/srv/a`:

```c
int x;

```

```sh
cc a
```

Then:

```console
$ run a
1
2
$ run b
```

## Two, without blocks

## Three

<!-- not run: there is no such thing -->

```c
y
```
";

    #[test]
    fn blocks_are_what_is_above_them() {
        let sections = sections(DOCUMENT).unwrap();
        let titles: Vec<_> = sections.iter().map(|it| it.title.as_str()).collect();
        assert_eq!(titles, ["One", "Three"]);
        let session = |command: &str, output: &str| Step::Session {
            command: command.to_owned(),
            output: output.to_owned(),
        };
        let expected = [
            Step::File {
                path: "/srv/a".to_owned(),
                text: "int x;\n\n".to_owned(),
            },
            Step::Commands("cc a\n".to_owned()),
            session("run a", "1\n2\n"),
            session("run b", ""),
        ];
        assert_eq!(sections[0].steps, expected);
        let reason = "there is no such thing".to_owned();
        assert_eq!(sections[1].steps, [Step::Skipped { reason }]);
    }

    #[test]
    fn what_could_be_anything_is_a_mistake() {
        for (text, complaint) in [
            (
                "a\n\n```c\nx\n```\n\n",
                "line 3: a block (\"c\") that is neither",
            ),
            ("```\nx\n```\n\n", "line 1: a block (\"\") that is neither"),
            ("```sh\nx\n", "line 1: a block without an end"),
            ("a\n\n    x\n", "line 3: an indented block"),
            ("```console\nx\n```\n\n", "line 1: output without a command"),
        ] {
            let error = sections(text).unwrap_err();
            assert!(error.starts_with(complaint), "{text:?}: {error}");
        }
    }
}
