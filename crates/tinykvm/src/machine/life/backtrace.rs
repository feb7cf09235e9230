//! Where a guest was: a symbolised backtrace.

use crate::arch::x86_64::stubs;
use crate::plan::elf::Image;
use crate::plan::layout::SYSTEM_USER_STUBS;
use crate::{Guest, Registers};

/// Frames shown at most.
const MAX_FRAMES: usize = 24;
/// Words of the stack that are looked at.
const MAX_WORDS: u64 = 1024;

/// One line for each frame, innermost first: `#0 0x401234 main+0x24`.
///
/// Programs are built without frame pointers as a rule, so the stack is scanned for addresses
/// of code that follow a call instruction. Stale ones may appear among them.
#[must_use]
pub fn backtrace(guest: &dyn Guest, image: &Image, registers: &Registers) -> Vec<String> {
    let mut lines = vec![line(0, registers.rip, registers.rip, image)];
    let returned = SYSTEM_USER_STUBS + stubs::user().returned;
    let mut at = registers.rsp & !7;
    for _ in 0..MAX_WORDS {
        if lines.len() == MAX_FRAMES {
            break;
        }
        let Ok(word) = guest.read_u64(at) else {
            break;
        };
        if word == returned {
            break; // What lies above is left over from `main`.
        }
        if image.is_code(word) && follows_call(guest, word) {
            // The call, not what follows it: the last call of a function may end it.
            lines.push(line(lines.len(), word, word - 1, image));
        }
        at = at.wrapping_add(8);
    }
    lines
}

fn line(number: usize, address: u64, inside: u64, image: &Image) -> String {
    match image.describe(inside) {
        Some((symbol, offset)) => {
            let offset = offset + (address - inside);
            format!("#{number} {address:#x} {symbol}+{offset:#x}")
        }
        None => format!("#{number} {address:#x}"),
    }
}

/// True if the bytes before `address` are a call: `e8 rel32`, or `ff /2` of 2 to 7 bytes.
fn follows_call(guest: &dyn Guest, address: u64) -> bool {
    let mut before = [0; 7];
    if guest.read(address.wrapping_sub(7), &mut before).is_err() {
        return false;
    }
    before[2] == 0xe8 || (0..=5).any(|at| before[at] == 0xff && before[at + 1] >> 3 & 7 == 2)
}
