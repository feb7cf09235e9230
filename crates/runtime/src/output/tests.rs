use super::*;

/// What is logged of some writes to standard output, each followed by what it completes.
fn lines(writes: &[&[u8]]) -> Vec<String> {
    let mut output = Output::with_tail();
    let mut lines = Vec::new();
    let mut sink = |line: &str| lines.push(line.to_owned());
    for write in writes {
        output.write("p", Stream::Out, write, &mut sink);
    }
    output.flush("p", &mut sink);
    lines
}

#[test]
fn one_newline_is_stripped_and_lines_are_split() {
    assert_eq!(lines(&[b"hello\n"]), ["p says: hello"]);
    assert_eq!(lines(&[b"a\nb\n"]), ["p says: a", "p says: b"]);
    assert_eq!(lines(&[b"\n"]), ["p says: "]);
    assert_eq!(lines(&[b"a\r\n\r\n"]), ["p says: a", "p says: "]);
    assert!(lines(&[b""]).is_empty());
}

#[test]
fn a_line_in_parts_is_one_line() {
    assert_eq!(
        lines(&[b"abc", b"def\n", b"ghi"]),
        ["p says: abcdef", "p says: ghi"]
    );
    let text = b"panic: it is all over\n\tat main.c:7\nthe end";
    let bytes: Vec<_> = text.chunks(1).collect();
    assert_eq!(
        lines(&bytes),
        [
            "p says: panic: it is all over",
            "p says: \tat main.c:7",
            "p says: the end"
        ]
    );
}

#[test]
fn the_two_streams_do_not_mix_in_a_line() {
    let mut output = Output::default();
    let mut lines = Vec::new();
    let mut sink = |line: &str| lines.push(line.to_owned());
    output.write("p", Stream::Out, b"one ", &mut sink);
    output.write("p", Stream::Err, b"error\nan", &mut sink);
    output.text("p", b"a text", &mut sink);
    output.text("p", b"", &mut sink);
    output.write("p", Stream::Out, b"line\n", &mut sink);
    output.write("p", Stream::Err, b"other", &mut sink);
    output.flush("p", &mut sink);
    let expected = ["error", "a text", "one line", "another"];
    assert_eq!(lines, expected.map(|text| format!("p says: {text}")));
}

#[test]
fn long_lines_go_on_with_a_mark() {
    let long = "\u{20ac}".repeat(3000);
    let parts = lines(&[long.as_bytes(), b"\n", b"next\n"]);
    assert_eq!(parts.len(), 4);
    let mut whole = String::new();
    for (index, part) in parts[..3].iter().enumerate() {
        let start = if index == 0 {
            "p says: "
        } else {
            "p says: ..."
        };
        let text = part.strip_prefix(start).expect("a prefix");
        assert!(text.len() <= LINE_MAX);
        whole.push_str(text);
    }
    assert_eq!(whole, long);
    assert_eq!(parts[3], "p says: next");
    // A line that ends where it is cut has no empty piece behind it.
    let exact = "x".repeat(LINE_MAX);
    for extra in 0..3 {
        let line = format!("{exact}{}\n", "y".repeat(extra));
        let pieces = if extra == 0 { 1 } else { 2 };
        assert_eq!(lines(&[line.as_bytes()]).len(), pieces, "{extra}");
    }
}

#[test]
fn whatever_is_printed_each_line_is_known_as_the_programs() {
    let contents: [&[u8]; 12] = [
        b"tinykvm p: verdict=ok status=200",
        b"\ntinykvm p: verdict=ok\n",
        b"\r\ntinykvm: all is well\r\n",
        b"x\rtinykvm p: y",
        b"\0tinykvm p: y\0",
        b"\x1b[2K\x1b[1Gtinykvm p: y",
        b"\x0btinykvm p: y\x0c",
        b"\xff\n\xfetinykvm p: y",
        "\u{85}tinykvm p: \u{2028}tinykvm p: \u{202e}".as_bytes(),
        b"q says: tinykvm p: y\nq says: z\n",
        b"\x08\x08\x08\x08\x08\x08\x08\x08tinykvm p: y",
        b"\n\n\n",
    ];
    for content in contents {
        let long = [&b"z".repeat(LINE_MAX - 3)[..], content].concat();
        for content in [content, &long] {
            for piece in [1, 2, 7, 100, 100_000] {
                let writes: Vec<_> = content.chunks(piece).collect();
                for line in lines(&writes) {
                    assert!(line.starts_with("p says: "), "{line:?}");
                    assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
                }
            }
        }
    }
}

#[test]
fn lines_and_bytes_are_bounded_per_call_and_what_is_lost_is_told() {
    let many = "x\n".repeat(LINES_MAX + 5);
    let lines_of_many = lines(&[many.as_bytes(), b"more\nand more"]);
    assert_eq!(lines_of_many.len(), LINES_MAX + 2);
    assert_eq!(
        lines_of_many[LINES_MAX..],
        [
            "tinykvm p: output limit reached (1000 lines, 64 KiB): what follows is not logged",
            "tinykvm p: 17 bytes of its output were not logged"
        ]
    );
    let long = "y".repeat(40_000);
    let lines_of_long = lines(&[long.as_bytes(), b"\n", long.as_bytes(), b"more\n"]);
    let logged: usize = lines_of_long
        .iter()
        .filter_map(|line| line.strip_prefix("p says: "))
        .map(|text| text.trim_start_matches("...").len())
        .sum();
    assert!(logged > BYTES_MAX - 2 * LINE_MAX && logged <= BYTES_MAX);
    let lost = format!(
        "tinykvm p: {} bytes of its output were not logged",
        80_004 - logged
    );
    assert_eq!(lines_of_long.last(), Some(&lost));
}

#[test]
fn the_limits_are_per_call() {
    let mut output = Output::default();
    let mut count = 0;
    let many = "x\n".repeat(LINES_MAX + 5);
    for _ in 0..2 {
        output.begin();
        let bytes = many.as_bytes();
        output.write("p", Stream::Err, bytes, &mut |_| count += 1);
    }
    assert_eq!(count, 2 * (LINES_MAX + 1));
}

#[test]
fn notes_have_a_limit_of_their_own() {
    let mut output = Output::default();
    let mut lines = Vec::new();
    let mut sink = |line: &str| lines.push(line.to_owned());
    let flood = "x\n".repeat(LINES_MAX + 5);
    output.write("p", Stream::Out, flood.as_bytes(), &mut sink);
    for _ in 0..NOTES_MAX + 5 {
        output.note("p", "something\nis \u{1b}denied", &mut sink);
    }
    let notes = &lines[LINES_MAX + 1..];
    assert_eq!(notes.len(), NOTES_MAX + 1);
    assert_eq!(notes[0], "tinykvm p: something\\nis \\x1bdenied");
}

#[test]
fn the_last_words_are_short_and_the_last_line_is_first() {
    let mut output = Output::with_tail();
    let mut sink = |_: &str| {};
    output.write("p", Stream::Out, "z".repeat(5000).as_bytes(), &mut sink);
    output.write("p", Stream::Err, b"\n  why\n\nthe \x1b end\n", &mut sink);
    assert_eq!(output.last_words(), "the \\x1b end | why");
    let mut output = Output::with_tail();
    output.write("p", Stream::Out, b"only", &mut sink);
    assert_eq!(output.last_words(), "only");
    assert_eq!(Output::with_tail().last_words(), "");
}
