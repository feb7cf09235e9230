//! Bodies through filters: in Varnish beside its own filters, and compression beside a native run.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tinykvm_runtime::{
    Begun, FilterRequest, Log, Part, PlainTransaction, Program, Programs, Upstream,
};
use tinykvm_testkit::compile::build_cargo;
use tinykvm_testkit::{Toolchain, compile_file_with, paths};

use crate::figures::{Figures, median, micros, timed};
use crate::varnish::{ADDRESS, load, start};

const ROUNDS: usize = 3;
/// Of the compression, which is quick.
const RUNS: usize = 7;
/// The size of bodies in Varnish.
const BODY: usize = 1 << 20;
/// The size of what is compressed.
const LARGE: usize = 64 << 20;

/// Text as programs write it: records of JSON that resemble each other.
fn json(size: usize) -> String {
    let mut text = String::from("[\n");
    let mut state = 1_u64;
    while text.len() < size {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let number = state >> 33;
        text += &format!(
            "    {{ \"id\": {}, \"name\": \"user {}\", \"tags\": [ \"a{}\", \"b\" ], \"active\": {} }},\n",
            number,
            number % 5000,
            number % 17,
            number.is_multiple_of(2)
        );
    }
    text.truncate(size - 4);
    text += "0\n]\n";
    text
}

fn guest(name: &str, flags: &[&str]) -> PathBuf {
    let source = paths::top().join("benches/guests").join(name);
    compile_file_with(&source, Toolchain::Gcc, flags)
}

pub(crate) fn run(figures: &mut Figures) {
    println!("filters: bodies of 1 MiB per second, beside no filter");
    in_varnish(figures);
    println!("filters: zstd beside a native run");
    compression(figures);
}

/// The example that removes white space from JSON.
fn minify() -> PathBuf {
    let programs = build_cargo(&paths::top().join("guest/examples/filters-rust"));
    let found = programs.into_iter().find(|(name, _)| name == "minify");
    found.expect("an example of that name").1
}

fn vcl(body: &Path, identity: &Path, minify: &Path) -> String {
    let module = paths::target().join("release/libvmod_tinykvm.so");
    format!(
        r#"vcl 4.1;
import std;
import tinykvm from "{module}";
backend self {{ .host = "{address}"; .port = "{port}"; }}
backend none none;
sub vcl_init {{
    tinykvm.configure("identity", {{"{{ "filename": "{identity}", "concurrency": 32 }}"}});
    tinykvm.configure("minify", {{"{{ "filename": "{minify}", "concurrency": 32 }}"}});
    tinykvm.start("identity");
    tinykvm.start("minify");
}}
sub vcl_recv {{
    if (req.url ~ "^/fetch/") {{ return (pass); }}
    set req.http.X-Filter = regsub(req.url, "^/deliver/", "");
    set req.url = "/source";
    unset req.http.Accept-Encoding;
    return (hash);
}}
sub vcl_backend_fetch {{
    if (bereq.url ~ "^/fetch/") {{
        set bereq.http.X-Filter = regsub(bereq.url, "^/fetch/", "");
        set bereq.url = "/source";
        set bereq.backend = self;
    }} else {{
        set bereq.backend = none;
    }}
}}
sub vcl_backend_error {{
    set beresp.status = 200;
    set beresp.ttl = 1h;
    set beresp.http.Content-Type = "application/json";
    synthetic(std.fileread("{body}"));
    return (deliver);
}}
sub vcl_backend_response {{
    if (bereq.http.X-Filter == "identity") {{ tinykvm.filter("identity"); }}
    if (bereq.http.X-Filter == "minify") {{ tinykvm.filter("minify"); }}
    if (bereq.http.X-Filter == "gzip") {{ set beresp.do_gzip = true; }}
}}
sub vcl_deliver {{
    if (req.http.X-Filter == "identity") {{ tinykvm.filter("identity"); }}
    if (req.http.X-Filter == "minify") {{ tinykvm.filter("minify"); }}
}}
"#,
        module = module.display(),
        address = ADDRESS.split(':').next().unwrap_or_default(),
        port = ADDRESS.split(':').nth(1).unwrap_or_default(),
        identity = identity.display(),
        minify = minify.display(),
        body = body.display(),
    )
}

fn in_varnish(figures: &mut Figures) {
    let body = std::env::temp_dir().join(format!("tinykvm-bench-body-{}", std::process::id()));
    fs::write(&body, json(BODY)).unwrap();
    let varnishd = start(&vcl(&body, &guest("identity.c", &[]), &minify()));
    let kinds = [
        "fetch/none",
        "fetch/identity",
        "fetch/minify",
        "fetch/gzip",
        "deliver/none",
        "deliver/identity",
        "deliver/minify",
    ];
    let mut rates: Vec<Vec<f64>> = kinds.map(|_| Vec::new()).into();
    for kind in kinds {
        load(&format!("/{kind}"));
    }
    for _ in 0..ROUNDS {
        for (kind, rates) in kinds.iter().zip(&mut rates) {
            rates.push(load(&format!("/{kind}")));
        }
    }
    drop(varnishd);
    let _ = fs::remove_file(&body);
    let rates: Vec<f64> = rates.iter_mut().map(|rates| median(rates)).collect();
    for (kind, rate) in kinds.iter().zip(&rates) {
        figures.add(&format!("filter_{}_rps", kind.replace('/', "_")), *rate);
    }
    let ratio = |of: usize, to: usize| rates[of] / rates[to];
    figures.add("filter_fetch_identity_ratio", ratio(1, 0));
    figures.add("filter_fetch_minify_ratio", ratio(2, 0));
    figures.add("filter_fetch_gzip_ratio", ratio(3, 0));
    figures.add("filter_deliver_identity_ratio", ratio(5, 4));
    figures.add("filter_deliver_minify_ratio", ratio(6, 4));
}

/// Compression at the level of the runtime, and the same in a process.
fn compression(figures: &mut Figures) {
    let file = std::env::temp_dir().join(format!("tinykvm-bench-data-{}", std::process::id()));
    fs::write(&file, json(LARGE)).unwrap();
    let native = guest("zstd.c", &["-DNATIVE", "-lzstd"]);
    let programs = Programs::new();
    let path = guest("zstd.c", &["-lzstd"]);
    let config = format!(r#"{{ "filename": "{}" }}"#, path.display());
    programs.configure("zstd", &config).unwrap();
    let program = programs.get("zstd").unwrap();
    let (mut guests, mut natives) = (Vec::new(), Vec::new());
    filter(&program, &file);
    for _ in 0..RUNS {
        guests.push(micros(filter(&program, &file)));
        let output = Command::new(&native).arg(&file).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        natives.push(text.trim().parse::<f64>().unwrap());
    }
    let _ = fs::remove_file(&file);
    // The fastest of each: what disturbs is not theirs.
    let (guest, native) = (fastest(&guests), fastest(&natives));
    figures.add("filter_zstd_us", guest);
    figures.add("filter_zstd_native_us", native);
    figures.add("filter_zstd_ratio", native / guest);
    programs.close();
}

fn fastest(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

/// A body that is read from a file, as the native run reads it.
struct FromFile {
    file: File,
    left: usize,
}

impl Upstream for FromFile {
    fn read(&mut self, out: &mut [u8]) -> Option<Part> {
        let length = self.file.read(out).ok()?;
        self.left -= length;
        let last = self.left == 0;
        Some(Part { length, last })
    }

    fn is_ready(&mut self) -> bool {
        self.left > 0
    }
}

struct Silent;

impl Log for Silent {
    fn log(&mut self, _: &str) {}
    fn error(&mut self, line: &str) {
        println!("{line}");
    }
}

fn filter(program: &Arc<Program>, path: &Path) -> Duration {
    let mut transaction = PlainTransaction::backend();
    let mut out = vec![0; 64 * 1024];
    let mut source = FromFile {
        file: File::open(path).unwrap(),
        left: LARGE,
    };
    let (time, ()) = timed(|| {
        let begun = program.begin_filter(&FilterRequest::default(), &mut transaction);
        let Begun::Filter(mut filter) = begun else {
            panic!("{begun:?}");
        };
        while !filter
            .pull(&mut out, &mut source, &mut Silent)
            .unwrap()
            .last
        {}
    });
    time
}
