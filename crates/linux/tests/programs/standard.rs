// What the standard library does at the start, in a panic, and without files.
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

fn main() {
    let start = Instant::now();
    let map: HashMap<u32, u32> = (0..10).map(|i| (i, i * i)).collect();
    let greeting = std::env::var("GREETING").unwrap();
    println!("{greeting} {} {}", std::env::args().nth(1).unwrap(), map.len());
    let caught = std::panic::catch_unwind(|| panic!("a panic for the test"));
    println!("{}", if caught.is_err() { "caught" } else { "lost" });
    let thread = std::thread::spawn(|| 1).join();
    println!("{}", if thread.is_ok() { "threads" } else { "?" });
    let file = std::fs::read("/etc/shadow").map_err(|error| error.kind());
    println!("{}", if file == Err(std::io::ErrorKind::NotFound) { "no files" } else { "?" });
    std::thread::sleep(Duration::from_millis(1));
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(SystemTime::now() > SystemTime::UNIX_EPOCH);
    assert_eq!(std::env::current_exe().unwrap().to_str(), Some("/bin/program"));
    std::process::exit(7);
}
