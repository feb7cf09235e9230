//! The stack that a program starts with: `argc`, `argv`, `envp` and the auxiliary vector, as in
//! the System V ABI (x86-64, 3.4.1) and as Linux orders it.
//!
//! ```text
//!   stack top      8 zero bytes
//!                  path of the executable
//!                  strings of the environment     (ascending, without gaps)
//!                  strings of the arguments
//!                  "x86_64"
//!                  0..15 bytes of padding
//!                  auxiliary vector, AT_NULL last
//!                  envp, null last
//!                  argv, null last
//!   rsp (mod 16 = 0)  argc
//! ```

use thiserror::Error;
use tinykvm::{Guest, Loaded};

use crate::process::Process;
use crate::process::clock::TICKS;
use crate::process::options::ProcessOptions;
use crate::wire::ids::USER_ID;

/// The part of the stack that the strings and vectors may take at most, as in Linux.
const SHARE: u64 = 4;

/// `AT_MINSIGSTKSZ`: what a signal handler's stack needs besides the handler itself. More than
/// today's frame takes, so that programs built around it keep working with vector state in it.
const SIGNAL_STACK: u64 = 4096;

// Types of the auxiliary vector: linux/auxvec.h, asm/auxvec.h
const AT_PHDR: u64 = 3;
const AT_PHENT: u64 = 4;
const AT_PHNUM: u64 = 5;
const AT_PAGESZ: u64 = 6;
const AT_BASE: u64 = 7;
const AT_FLAGS: u64 = 8;
const AT_ENTRY: u64 = 9;
const AT_UID: u64 = 11;
const AT_EUID: u64 = 12;
const AT_GID: u64 = 13;
const AT_EGID: u64 = 14;
const AT_PLATFORM: u64 = 15;
const AT_HWCAP: u64 = 16;
const AT_CLKTCK: u64 = 17;
const AT_SECURE: u64 = 23;
const AT_RANDOM: u64 = 25;
const AT_HWCAP2: u64 = 26;
const AT_EXECFN: u64 = 31;
const AT_SYSINFO_EHDR: u64 = 33;
const AT_MINSIGSTKSZ: u64 = 51;

/// Why a program cannot be started.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StartError {
    /// Arguments and environment are too long.
    #[error("arguments and environment need {size} bytes of stack, and {limit} are allowed")]
    TooLong {
        /// Bytes needed.
        size: usize,
        /// Bytes allowed.
        limit: u64,
    },
    /// A string that would end early for the program.
    #[error("argument, environment or executable {text:?} contains a NUL byte")]
    EmbeddedNul {
        /// The string.
        text: String,
    },
    /// The stack is not writable there.
    #[error("the initial stack of {size} bytes below {top:#x} is not writable")]
    BadStack {
        /// End of the stack.
        top: u64,
        /// Bytes needed.
        size: usize,
    },
}

/// The bytes of an initial stack and where they go; `address` is the program's first RSP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InitialStack {
    pub(crate) address: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Process {
    /// Writes the initial stack and returns the stack pointer to start with. The program's CPU
    /// clock starts here, and the size of its stack becomes its limit.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn build_stack(
        &mut self,
        guest: &mut dyn Guest,
        loaded: &Loaded,
    ) -> Result<u64, StartError> {
        let stack = lay_out(self.options(), loaded)?;
        guest
            .write(stack.address, &stack.bytes)
            .map_err(|_| StartError::BadStack {
                top: loaded.stack_top,
                size: stack.bytes.len(),
            })?;
        let state = self.state_mut();
        state.started = guest.monotonic();
        state.set_stack_limit(loaded.stack_size);
        Ok(stack.address)
    }
}

/// The strings at the upper end, in the order of their addresses.
struct Strings {
    bytes: Vec<u8>,
    platform: usize,
    arguments: Vec<usize>,
    environment: Vec<usize>,
    executable: usize,
}

impl Strings {
    fn collect(options: &ProcessOptions) -> Result<Self, StartError> {
        let mut bytes = Vec::new();
        let mut add = |text: &[u8]| {
            if text.contains(&0) {
                let text = String::from_utf8_lossy(text).into_owned();
                return Err(StartError::EmbeddedNul { text });
            }
            let at = bytes.len();
            bytes.extend_from_slice(text);
            bytes.push(0);
            Ok(at)
        };
        let platform = add(b"x86_64")?;
        let arguments = options
            .arguments
            .iter()
            .map(|text| add(text))
            .collect::<Result<_, _>>()?;
        let environment = options
            .environment
            .iter()
            .map(|text| add(text))
            .collect::<Result<_, _>>()?;
        let executable = add(&options.executable)?;
        bytes.extend_from_slice(&[0; 8]);
        Ok(Self {
            bytes,
            platform,
            arguments,
            environment,
            executable,
        })
    }
}

/// Computes the initial stack; touches nothing.
pub(crate) fn lay_out(
    options: &ProcessOptions,
    loaded: &Loaded,
) -> Result<InitialStack, StartError> {
    let strings = Strings::collect(options)?;
    let bad = |size| StartError::BadStack {
        top: loaded.stack_top,
        size,
    };
    let base = loaded
        .stack_top
        .checked_sub(strings.bytes.len() as u64)
        .ok_or_else(|| bad(strings.bytes.len()))?;
    let at = |offset: &usize| base + *offset as u64;

    let mut words = vec![options.arguments.len() as u64];
    words.extend(strings.arguments.iter().map(at));
    words.push(0);
    words.extend(strings.environment.iter().map(at));
    words.push(0);
    let auxiliary = auxiliary_vector(loaded, at(&strings.platform), at(&strings.executable));
    words.extend(
        auxiliary
            .into_iter()
            .flat_map(|(kind, value)| [kind, value]),
    );

    let length = words.len() * 8;
    let address = base.checked_sub(length as u64).ok_or_else(|| bad(length))? & !15;
    let gap = usize::try_from(base - address).map_err(|_| bad(length))?;
    let size = gap + strings.bytes.len();
    let limit = loaded.stack_size / SHARE;
    if size as u64 > limit {
        return Err(StartError::TooLong { size, limit });
    }
    let mut bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
    bytes.resize(gap, 0);
    bytes.extend_from_slice(&strings.bytes);
    Ok(InitialStack { address, bytes })
}

/// The auxiliary vector.
fn auxiliary_vector(loaded: &Loaded, platform: u64, executable: u64) -> Vec<(u64, u64)> {
    let user = u64::from(USER_ID);
    let mut vector = Vec::new();
    if let Some(vdso) = loaded.vdso {
        vector.push((AT_SYSINFO_EHDR, vdso));
    }
    vector.extend([
        (AT_MINSIGSTKSZ, SIGNAL_STACK),
        (AT_HWCAP, u64::from(std::arch::x86_64::__cpuid(1).edx)),
        (AT_PAGESZ, tinykvm::PAGE_SIZE),
        (AT_CLKTCK, TICKS),
        (AT_PHDR, loaded.phdr),
        (AT_PHENT, loaded.phent),
        (AT_PHNUM, loaded.phnum),
        (AT_BASE, loaded.interpreter),
        (AT_FLAGS, 0),
        (AT_ENTRY, loaded.entry),
        (AT_UID, user),
        (AT_EUID, user),
        (AT_GID, user),
        (AT_EGID, user),
        (AT_SECURE, 0),
        (AT_RANDOM, loaded.random),
        // Bit 1 would allow instructions that write segment bases, which not every KVM lets run.
        (AT_HWCAP2, 0),
        (AT_EXECFN, executable),
        (AT_PLATFORM, platform),
        (0, 0),
    ]);
    vector
}

#[cfg(test)]
mod tests;
