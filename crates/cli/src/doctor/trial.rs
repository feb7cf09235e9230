//! A trial: the smallest program, loaded, called and reset.

use std::fs;
use std::time::Instant;

use tinykvm_runtime::{CallRequest, PlainTransaction, Programs, Verdict};

use super::finding::Finding;

/// Where the program lies in its memory.
const BASE: u64 = 0x40_0000;
/// Bytes of ELF header and program header.
const HEADERS: u64 = 64 + 56;

/// `register_func(GET, handler); wait_for_requests();` and a handler that answers 200 with an
/// empty body.
const CODE: &[u8] = &[
    0xbf, 1, 0, 0, 0, // mov $1, %edi (callback GET)
    0x48, 0x8d, 0x35, 17, 0, 0, 0, // lea handler(%rip), %rsi
    0xb8, 0, 0, 1, 0, // mov $0x10000, %eax (register_func)
    0xe7, 0, // out %eax, $0
    0xb8, 1, 0, 1, 0, // mov $0x10001, %eax (wait_for_requests)
    0xe7, 0, // out %eax, $0
    0x0f, 0x0b, // ud2
    0x90, // handler:
    0xbf, 200, 0, 0, 0, // mov $200, %edi (status)
    0x31, 0xf6, // xor %esi, %esi
    0x31, 0xd2, // xor %edx, %edx
    0x31, 0xc9, // xor %ecx, %ecx
    0x45, 0x31, 0xc0, // xor %r8d, %r8d
    0x45, 0x31, 0xc9, // xor %r9d, %r9d
    0xb8, 0x10, 0, 1, 0, // mov $0x10010, %eax (backend_response)
    0xe7, 0, // out %eax, $0
    0x0f, 0x0b, // ud2
];

/// A static executable of `CODE`.
fn executable() -> Vec<u8> {
    let size = HEADERS + CODE.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut half = |values: &[u16]| file.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    half(&[2, 62, 1, 0]); // an executable, x86-64, version 1
    let mut word = |values: &[u64]| file.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    word(&[BASE + HEADERS, 64, 0]); // entry, program headers, section headers
    let mut half = |values: &[u16]| file.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    half(&[0, 0, 64, 56, 1, 64, 0, 0]); // flags, sizes and numbers of headers
    half(&[1, 0, 5, 0]); // PT_LOAD, readable and executable
    let mut word = |values: &[u64]| file.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    word(&[0, BASE, BASE, size, size, 4096]);
    file.extend_from_slice(CODE);
    file
}

/// Runs it.
pub(super) fn trial() -> Finding {
    let path = std::env::temp_dir().join(format!("tinykvm-doctor-{}", std::process::id()));
    if let Err(error) = fs::write(&path, executable()) {
        return Finding::notice(format!("no trial: {}: {error}", path.display()));
    }
    let finding = run(&path.display().to_string());
    // It stays in the directory for temporary files if it must.
    let _ = fs::remove_file(&path);
    finding
}

fn run(path: &str) -> Finding {
    let programs = Programs::new();
    let config = serde_json::json!({ "filename": path, "max_memory": 16 }).to_string();
    let failed = |reason: &str| Finding::bad(format!("a trial program does not run: {reason}"));
    if let Err(error) = programs.configure("doctor", &config) {
        return failed(&error.to_string());
    }
    let Some(program) = programs.get("doctor") else {
        return failed("it is not configured");
    };
    let start = Instant::now();
    if let Err((verdict, reason)) = program.wait_until_ready() {
        return failed(&format!("{verdict}: {reason}"));
    }
    let boot = start.elapsed();
    let mut fastest = None;
    for _ in 0..200 {
        let mut transaction = PlainTransaction::backend();
        let start = Instant::now();
        let response = program.call(&CallRequest::default(), &mut transaction);
        let time = start.elapsed();
        if response.verdict != Verdict::Ok {
            return failed(&transaction.errors.join("; "));
        }
        fastest = fastest.min(Some(time)).or(Some(time));
    }
    Finding::good(format!(
        "a trial program runs: start {:.1} ms, fastest call with reset {:.0} us",
        boot.as_secs_f64() * 1e3,
        fastest.unwrap_or_default().as_secs_f64() * 1e6
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_one() {
        let file = executable();
        assert_eq!(file.len() as u64, HEADERS + CODE.len() as u64);
        tinykvm::Image::parse(file).expect("a program");
    }
}
