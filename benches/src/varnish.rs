//! Requests per second through varnishd: a program's answers beside plain VCL.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tinykvm_testkit::{Toolchain, compile_file, paths};

use crate::figures::{Figures, median};

pub(crate) const ADDRESS: &str = "127.0.0.1:18080";
const ROUNDS: usize = 5;

pub(crate) struct Varnishd {
    process: Child,
    directory: PathBuf,
}

impl Drop for Varnishd {
    fn drop(&mut self) {
        // The manager ends its child when it is told to.
        let pid = self.process.id().to_string();
        let _ = Command::new("sh")
            .args(["-c", "kill -TERM \"$0\"", &pid])
            .status();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn vcl(hello: &str) -> String {
    let module = paths::target().join("release/libvmod_tinykvm.so");
    format!(
        r#"vcl 4.1;
import tinykvm from "{module}";
backend none none;
sub vcl_init {{
    tinykvm.configure("hello", {{"{{ "filename": "{hello}", "concurrency": 32 }}"}});
    tinykvm.start("hello");
}}
sub vcl_recv {{
    if (req.url == "/program") {{ return (pass); }}
    return (synth(200));
}}
sub vcl_backend_fetch {{ set bereq.backend = tinykvm.program("hello", "/"); }}
sub vcl_synth {{
    if (req.url == "/synth") {{ tinykvm.synth(0, "hello", "/"); }} else {{
        set resp.http.Content-Type = "text/plain";
        synthetic("Hello World");
    }}
    return (deliver);
}}
"#,
        module = module.display()
    )
}

pub(crate) fn start(vcl: &str) -> Varnishd {
    let directory = std::env::temp_dir().join(format!("tinykvm-bench-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("bench.vcl");
    fs::write(&file, vcl).unwrap();
    let process = Command::new("varnishd")
        .args(["-j", "none", "-F", "-a", ADDRESS, "-n"])
        .arg(directory.join("work"))
        .arg("-f")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("varnishd is installed");
    let varnishd = Varnishd { process, directory };
    let start = Instant::now();
    while TcpStream::connect(ADDRESS).is_err() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "varnishd does not answer"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    varnishd
}

/// Requests per second as wrk measures them; every answer must be a 200.
pub(crate) fn load(path: &str) -> f64 {
    let output = Command::new("wrk")
        .args(["-t1", "-c8", "-d2s", &format!("http://{ADDRESS}{path}")])
        .output()
        .expect("wrk is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("Non-2xx"), "{path}: {text}");
    let line = text
        .lines()
        .find(|line| line.starts_with("Requests/sec"))
        .expect("wrk's summary");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

pub(crate) fn run(figures: &mut Figures) {
    println!("varnish: requests per second beside plain VCL synth");
    let source = paths::top().join("guest/examples/hello-c/hello.c");
    let hello = compile_file(&source, Toolchain::Gcc);
    let _varnishd = start(&vcl(&hello.display().to_string()));
    let (mut plain, mut synth, mut program) = (Vec::new(), Vec::new(), Vec::new());
    for path in ["/plain", "/synth", "/program"] {
        load(path);
    }
    for _ in 0..ROUNDS {
        plain.push(load("/plain"));
        synth.push(load("/synth"));
        program.push(load("/program"));
    }
    let (plain, synth, program) = (median(&mut plain), median(&mut synth), median(&mut program));
    figures.add("vcl_synth_rps", plain);
    figures.add("vmod_synth_rps", synth);
    figures.add("vmod_program_rps", program);
    figures.add("vmod_synth_rps_ratio", synth / plain);
    figures.add("vmod_program_rps_ratio", program / plain);
}
