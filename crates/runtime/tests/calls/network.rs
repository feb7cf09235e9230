//! Where a program's sockets may go: against listeners of the test.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tinykvm_runtime::Verdict;
use tinykvm_testkit::harness::Case;
use tinykvm_testkit::kvm::time_factor;

use crate::support::{Bench, Reply, shared};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kvm("connections that rules allow", allowed),
        Case::kvm("connections that no rule allows", denied),
        Case::kvm("socket files by rule", socket_files),
        Case::kvm("a name by the synthetic hosts file", local_name),
        Case::kvm("a peer that never answers", silent_peer),
        Case::kvm("a connection that is never made", no_connection),
        Case::kvm("connections from before the freeze are broken", kept),
        Case::kvm("nobody connects to a program", listening),
    ]
}

/// How long a listener waits for a program that does not do what it should.
const PATIENCE: Duration = Duration::from_secs(5);

/// A listener that answers what it is told with "you said ...", until it is dropped.
struct Echo {
    accepted: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// `accept` does not wait.
    fn start<S: Read + Write>(accept: impl Fn() -> std::io::Result<S> + Send + 'static) -> Self {
        let accepted = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (count, end) = (Arc::clone(&accepted), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                match accept() {
                    Ok(mut peer) => {
                        count.fetch_add(1, Ordering::Relaxed);
                        let mut bytes = [0; 999];
                        if let Ok(length) = peer.read(&mut bytes) {
                            let answer = [b"you said ", &bytes[..length]].concat();
                            let _ = peer.write_all(&answer);
                        }
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock);
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            }
        });
        Self {
            accepted,
            stop,
            thread: Some(thread),
        }
    }

    fn tcp(at: &str) -> (Self, SocketAddr) {
        let listener = TcpListener::bind(at).unwrap();
        let at = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let echo = Self::start(move || {
            let (peer, _) = listener.accept()?;
            peer.set_nonblocking(false)?;
            peer.set_read_timeout(Some(PATIENCE))?;
            Ok(peer)
        });
        (echo, at)
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The program with these rules.
fn with_rules(rules: &[&str], more: &str) -> Bench {
    let json = format!(r#"{{"concurrency": 1, "connect": {rules:?}{more}}}"#);
    shared("network.c", &json)
}

/// What was denied, as the log of the request says it.
fn denials(reply: &Reply) -> Vec<&String> {
    let lines = reply.transaction.logged.iter();
    lines.filter(|line| line.contains("denied")).collect()
}

fn allowed() -> Result<(), String> {
    let (echo, at) = Echo::tcp("127.0.0.1:0");
    let (other, elsewhere) = Echo::tcp("127.0.0.2:0");
    let address = with_rules(&[&at.to_string()], "");
    let ports = with_rules(&["127.0.0.1:1-65535"], "");
    let network = with_rules(&[&format!("127.0.0.0/30:{}", elsewhere.port())], "");
    for _ in 0..3 {
        for bench in [&address, &ports] {
            bench
                .get(&format!("/ask?{at}"))
                .is(200, "you said argument");
            bench.get(&format!("/connect?{at}")).is(200, "connected");
        }
        network
            .get(&format!("/ask?{elsewhere}"))
            .is(200, "you said argument");
    }
    // The last ones may still be on their way.
    let start = Instant::now();
    while echo.accepted() < 12 && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!((echo.accepted(), other.accepted()), (12, 3));
    let reply = network.get(&format!("/ask?{at}"));
    reply.is(403, "EACCES");

    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let at = receiver.local_addr().unwrap();
    let datagrams = with_rules(&[&at.to_string()], "");
    datagrams.get(&format!("/datagram?{at}")).is(200, "sent");
    let mut bytes = [0; 99];
    let length = receiver.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"argument");
    Ok(())
}

fn denied() -> Result<(), String> {
    let (echo, at) = Echo::tcp("127.0.0.1:0");
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagrams = receiver.local_addr().unwrap();
    for rules in [
        &[][..],
        &["127.0.0.1:1", "127.0.0.2:*"],
        &["10.0.0.0/8:*", "0.0.0.0/0:*", "dns"],
        &["unix:/run/app.sock", "example.invalid:*"],
    ] {
        let bench = with_rules(rules, "");
        for call in ["connect", "ask"] {
            let reply = bench.get(&format!("/{call}?{at}"));
            reply.is(403, "EACCES");
            // Once per program.
            let lines = denials(&reply);
            let told = usize::from(call == "connect");
            assert_eq!(lines.len(), told, "{:?}", reply.transaction.logged);
            assert!(
                lines
                    .iter()
                    .all(|line| line.contains("connect") && line.contains(&at.to_string())),
                "{lines:?}"
            );
        }
        let reply = bench.get(&format!("/datagram?{datagrams}"));
        reply.is(403, "EACCES");
        let lines = denials(&reply);
        assert!(
            lines.len() == 1 && lines[0].contains("sendto"),
            "{:?}",
            reply.transaction.logged
        );
    }
    assert_eq!(echo.accepted(), 0);
    receiver.set_nonblocking(true).unwrap();
    assert!(receiver.recv(&mut [0; 9]).is_err());
    Ok(())
}

fn socket_files() -> Result<(), String> {
    let file = |name: &str| -> (Echo, PathBuf) {
        let name = format!("tinykvm-calls-{name}-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let echo = Echo::start(move || {
            let (peer, _) = listener.accept()?;
            peer.set_nonblocking(false)?;
            peer.set_read_timeout(Some(PATIENCE))?;
            Ok(peer)
        });
        (echo, path)
    };
    let (_good, good) = file("good");
    let (bad, forbidden) = file("bad");
    let bench = with_rules(&[&format!("unix:{}", good.display())], "");
    for round in 0..3 {
        bench
            .get(&format!("/ask?{}", good.display()))
            .is(200, "you said argument");
        // No rule is about it: it does not exist, which is told once.
        let reply = bench.get(&format!("/ask?{}", forbidden.display()));
        reply.is(403, "ENOENT");
        assert_eq!(denials(&reply).len(), usize::from(round == 0));
    }
    assert_eq!(bad.accepted(), 0);
    // The right to a file is none to connect to it.
    let directory = good.parent().unwrap().display();
    let json = format!(
        r#"{{"allowed_paths": [{{"real": "{directory}", "prefix": true, "writable": true}}]}}"#
    );
    let bench = shared("network.c", &json);
    bench
        .get(&format!("/ask?{}", good.display()))
        .is(403, "EACCES");
    for path in [good, forbidden] {
        std::fs::remove_file(path).unwrap();
    }
    Ok(())
}

fn local_name() -> Result<(), String> {
    let (_echo, at) = Echo::tcp("127.0.0.1:0");
    let port = at.port();
    let bench = with_rules(&[&format!("localhost:{port}")], "");
    bench
        .get(&format!("/name?localhost:{port}"))
        .is(200, "you said argument");
    // Another port, and a rule about the network instead of the name.
    let other = with_rules(&["localhost:1"], "");
    other
        .get(&format!("/name?localhost:{port}"))
        .is(403, "EACCES");
    Ok(())
}

/// What a request has that waits in vain, and the configuration that says so.
fn short_limit() -> (Duration, String) {
    let limit = Duration::from_millis(300) * time_factor();
    let json = format!(r#", "max_request_time": {}"#, limit.as_secs_f64());
    (limit, json)
}

/// The request is stopped at its limit, and the next one is answered.
fn cut(bench: &Bench, limit: Duration, url: &str, next: SocketAddr) {
    for _ in 0..2 {
        let start = Instant::now();
        bench.get(url).failed(Verdict::Timeout);
        let took = start.elapsed();
        assert!(took * 10 >= limit * 9 && took < limit * 6, "{took:?}");
        bench
            .get(&format!("/ask?{next}"))
            .is(200, "you said argument");
    }
}

fn silent_peer() -> Result<(), String> {
    let (_echo, next) = Echo::tcp("127.0.0.1:0");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();
    let (limit, short) = short_limit();
    let bench = with_rules(&[&at.to_string(), &next.to_string()], &short);
    bench
        .get(&format!("/ask?{next}"))
        .is(200, "you said argument");
    cut(&bench, limit, &format!("/ask?{at}"), next);
    // What the requests had open is closed.
    for _ in 0..2 {
        let (mut peer, _) = silent.accept().unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut said = Vec::new();
        peer.read_to_end(&mut said).unwrap();
        assert_eq!(said, b"argument");
    }
    Ok(())
}

fn no_connection() -> Result<(), String> {
    let (_echo, next) = Echo::tcp("127.0.0.1:0");
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = full.local_addr().unwrap();
    // Nobody takes what waits there, and at some point it takes no more.
    let patience = Duration::from_millis(300);
    let waiting: Vec<_> = (0..5000)
        .map_while(|_| TcpStream::connect_timeout(&at, patience).ok())
        .collect();
    assert!(waiting.len() < 5000, "it takes everybody");
    let (limit, short) = short_limit();
    let bench = with_rules(&[&at.to_string(), &next.to_string()], &short);
    bench
        .get(&format!("/ask?{next}"))
        .is(200, "you said argument");
    cut(&bench, limit, &format!("/connect?{at}"), next);
    Ok(())
}

fn kept() -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let (_echo, next) = Echo::tcp("127.0.0.1:0");
    let peer = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut said = Vec::new();
        // It ends at the freeze.
        peer.read_to_end(&mut said).unwrap();
        said
    });
    let rules = [at.to_string(), next.to_string()];
    let json = format!(r#"{{"concurrency": 2, "connect": {rules:?}, "main_arguments": ["{at}"]}}"#);
    let bench = shared("network.c", &json);
    for _ in 0..4 {
        bench.get("/kept").is(200, "ECONNRESET EPIPE");
        bench
            .get(&format!("/ask?{next}"))
            .is(200, "you said argument");
    }
    assert_eq!(peer.join().unwrap(), b"from main");
    Ok(())
}

fn listening() -> Result<(), String> {
    let bench = with_rules(&["127.0.0.1:*"], "");
    for (url, call) in [
        ("/bind?127.0.0.1:0", "bind"),
        ("/bind?0.0.0.0:8080", "bind"),
        ("/bind?/tmp/tinykvm-calls-bind.sock", "bind"),
        ("/listen", "listen"),
    ] {
        let reply = bench.get(url);
        reply.is(403, "EACCES");
        let lines = denials(&reply);
        assert!(
            lines.len() == 1 && lines[0].contains(call),
            "{url}: {:?}",
            reply.transaction.logged
        );
    }
    assert!(!PathBuf::from("/tmp/tinykvm-calls-bind.sock").exists());
    bench.get("/bind?0.0.0.0:0").is(200, "bound");
    Ok(())
}
