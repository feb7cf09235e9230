//! Who a program is: the numbers of its process and its user.

/// True if an argument is the only process, by its number before or after the freeze.
pub(crate) fn is_self(id: i32) -> bool {
    matches!(u32::try_from(id), Ok(PROCESS_ID | FORKED_ID))
}

/// The only process of a guest, and its first thread. (0 is never a process in Linux, and some
/// programs take it for an error.)
pub(crate) const PROCESS_ID: u32 = 1;

/// The process after the freeze, as `getpid` has it: another one, as after `fork`. Generators of
/// random numbers in libraries (OpenSSL's for one) tell by this that they need a new seed. Threads
/// keep their numbers.
pub(crate) const FORKED_ID: u32 = (1 << 22) - 2;

/// User and group, real and effective, of every program; the auxiliary vector says the same.
pub(crate) const USER_ID: u32 = 1000;
