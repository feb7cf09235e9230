//! The C header: `guest/c/include/tinykvm_abi.h` is what this crate says, no more, no less.
//!
//! `BLESS=1 cargo test -p tinykvm-abi` rewrites it.

use std::format;
use std::fs;
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

use cbindgen::{Builder, Config, DocumentationStyle, EnumConfig, ExportConfig, Language, Style};

use crate::structs::{
    BackendResponseExtra, CurlFields, CurlOp, CurlOptions, FilterOutput, FilterStart, KvmRequest,
    KvmRequestHeader, KvmSocketEvent, Meminfo, ResponseHeader, SharedMemoryInfo, StreamingContent,
    VirtBuffer,
};

const TOP: &str = "\
/* The contract between TinyKVM guest programs and their host: numbers and structs.
 *
 * Generated from crates/abi; do not edit. Programs include tinykvm.h, not this file.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef TINYKVM_ABI_H
#define TINYKVM_ABI_H

#ifndef __cplusplus
#include <stdbool.h>
#endif
#include <stddef.h>
#include <stdint.h>
";

/// Module, prefix of its constants in C, heading.
const SECTIONS: &[(&str, &str, &str)] = &[
    ("port", "TINYKVM_", "I/O ports"),
    (
        "calls",
        "TINYKVM_CALL_",
        "Hypercalls: numbers, arguments, results",
    ),
    (
        "callbacks",
        "TINYKVM_CALLBACK_",
        "Callbacks: indices of register_func",
    ),
    (
        "sides",
        "TINYKVM_",
        "Whose headers: the first argument of the HTTP calls",
    ),
    ("filters", "TINYKVM_FILTER_", "Filters of bodies"),
    ("socket_events", "TINYKVM_SOCKET_", "Socket events"),
    ("values", "TINYKVM_", "Values with a meaning of their own"),
    ("limits", "TINYKVM_LIMIT_", "Limits"),
    ("structs/mod", "", "Structs in guest memory"),
];

/// What types are called in C.
const NAMES: &[(&str, &str)] = &[
    ("KvmRequestHeader", "kvm_request_header"),
    ("KvmRequest", "kvm_request"),
    ("ResponseHeader", "ResponseHeader"),
    ("BackendResponseExtra", "BackendResponseExtra"),
    ("Meminfo", "meminfo"),
    ("StreamingContent", "streaming_content"),
    ("VirtBuffer", "virtbuffer"),
    ("SharedMemoryInfo", "shared_memory_info"),
    ("CurlOp", "curl_op"),
    ("CurlFields", "curl_fields"),
    ("CurlOptions", "curl_options"),
    ("KvmSocketEvent", "kvm_socket_event"),
    ("FilterStart", "filter_start"),
    ("FilterOutput", "filter_output"),
    ("CStringAddress", "const char *"),
    ("TextAddress", "const char *"),
    ("OctetsAddress", "const uint8_t *"),
    ("BytesAddress", "const void *"),
    ("BufferAddress", "void *"),
    ("RequestHeadersAddress", "const struct kvm_request_header *"),
    ("ResponseHeadersAddress", "const struct ResponseHeader *"),
    ("Flag", "bool"),
];

fn section(root: &Path, module: &str, prefix: &str) -> String {
    let export = ExportConfig {
        include: NAMES.iter().map(|(name, _)| (*name).to_string()).collect(),
        exclude: NAMES
            .iter()
            .filter(|(name, _)| name.ends_with("Address") || *name == "Flag")
            .map(|(name, _)| (*name).to_string())
            .collect(),
        rename: NAMES
            .iter()
            .map(|(from, to)| ((*from).to_string(), (*to).to_string()))
            .collect(),
        prefix: (!prefix.is_empty()).then(|| prefix.to_string()),
        renaming_overrides_prefixing: true,
        ..ExportConfig::default()
    };
    let config = Config {
        language: Language::C,
        style: Style::Tag,
        no_includes: true,
        documentation_style: DocumentationStyle::Doxy,
        enumeration: EnumConfig::default(),
        export,
        line_length: 100,
        ..Config::default()
    };
    let bindings = Builder::new()
        .with_config(config)
        .with_src(root.join(format!("src/{module}.rs")))
        .generate()
        .expect("cbindgen understands the module");
    let mut text = Vec::new();
    bindings.write(&mut text);
    plain(
        &String::from_utf8(text).expect("a header is text"),
        module == "calls",
    )
}

/// Turns Rust's links into plain names, and call numbers into the hexadecimal that they are
/// known by.
fn plain(text: &str, hexadecimal: bool) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with('*') {
            out += &without_links(line);
        } else if let (true, Some((define, number))) = (hexadecimal, line.rsplit_once(' '))
            && line.starts_with("#define")
        {
            let number: u32 = number.parse().expect("a call number");
            out += &format!("{define} {number:#x}");
        } else {
            out += &line.replace(" * ", " *");
        }
        out += "\n";
    }
    out
}

fn without_links(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, link)) = rest.split_once('[')
        && let Some((text, after)) = link.split_once(']')
    {
        out += before;
        out += text;
        let target = after
            .strip_prefix("(crate::")
            .and_then(|path| path.split_once(')'));
        rest = target.map_or(after, |(_, after)| after);
    }
    out + rest
}

/// The tripwires once more, for the C compiler.
fn assertions() -> String {
    let layouts = [
        KvmRequestHeader::LAYOUT,
        KvmRequest::LAYOUT,
        ResponseHeader::LAYOUT,
        BackendResponseExtra::LAYOUT,
        Meminfo::LAYOUT,
        StreamingContent::LAYOUT,
        VirtBuffer::LAYOUT,
        SharedMemoryInfo::LAYOUT,
        CurlOp::LAYOUT,
        CurlFields::LAYOUT,
        CurlOptions::LAYOUT,
        KvmSocketEvent::LAYOUT,
        FilterStart::LAYOUT,
        FilterOutput::LAYOUT,
    ];
    let mut text = String::from(
        "#ifdef __cplusplus\n#define TINYKVM_ASSERT static_assert\n#else\n\
         #define TINYKVM_ASSERT __extension__ _Static_assert\n#endif\n\
         #define TINYKVM_SIZE(name, size) \\\n\
         \x20   TINYKVM_ASSERT(sizeof(struct name) == size, \"size of \" #name)\n\
         #define TINYKVM_OFFSET(name, field, offset) \\\n\
         \x20   TINYKVM_ASSERT(offsetof(struct name, field) == offset, \"offset of \" #field)\n\n",
    );
    for layout in layouts {
        text += &format!("TINYKVM_SIZE({}, {});\n", layout.c_name, layout.size);
        for (field, offset) in layout.fields {
            text += &format!("TINYKVM_OFFSET({}, {field}, {offset});\n", layout.c_name);
        }
    }
    text + "\n#undef TINYKVM_OFFSET\n#undef TINYKVM_SIZE\n#undef TINYKVM_ASSERT\n"
}

fn generate(root: &Path) -> String {
    let mut text = String::from(TOP);
    for (module, prefix, heading) in SECTIONS {
        let body = section(root, module, prefix);
        text += &format!("\n/* ---- {heading} ---- */\n\n{}\n", body.trim());
    }
    text += &format!("\n/* ---- Layout ---- */\n\n{}", assertions());
    text += "\n#endif /* TINYKVM_ABI_H */\n";
    text
}

#[test]
fn the_committed_header_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("../../guest/c/include/tinykvm_abi.h");
    let wanted = generate(root);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &wanted).expect("the header can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == wanted,
        "{} is out of date; `BLESS=1 cargo test -p tinykvm-abi` rewrites it",
        path.display()
    );
}
