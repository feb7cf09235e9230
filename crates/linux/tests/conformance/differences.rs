//! Cases whose outcome differs from Linux, and why.

/// Name of a case, or of an area with `::*`, and the reason.
pub(crate) const DIFFERENCES: &[(&str, &str)] = &[
    (
        "directories::devices",
        "The end of /dev/null is where it was sought to.",
    ),
    (
        "directories::extended_status",
        "Files are created with mode 0600, whatever the program asks.",
    ),
    (
        "directories::hard_links",
        "Files are created with mode 0600, whatever the program asks.",
    ),
    (
        "directories::modes",
        "Files are created with mode 0600 and directories with 0700.",
    ),
    (
        "directories::symbolic_links",
        "A link to what the program may not reach can't be made.",
    ),
    (
        "directories::working_directory",
        "getcwd names a directory as it was entered, by the name of a link if it was one.",
    ),
    (
        "errors::read",
        "A length beyond the end of memory is cut, and an error only if bytes would land there.",
    ),
    (
        "errors::sendfile",
        "A directory as the source is EISDIR, not EINVAL.",
    ),
    (
        "errors::splice",
        "splice is EINVAL for all descriptors, after which libraries copy.",
    ),
    (
        "errors::write",
        "A length beyond the end of memory is cut, and an error only if bytes would come from there.",
    ),
    (
        "faults::file_that_ends_before_its_mapping",
        "Memory behind the end of a mapped file reads as zero; there is no SIGBUS.",
    ),
    (
        "faults::made_executable",
        "What was writable does not become executable, unless the program is allowed exec_memory.",
    ),
    (
        "faults::port",
        "The instruction out is how guests call the engine: one with a wrong port is a fault of another kind.",
    ),
    (
        "faults::single_steps",
        "The trap flag does not come back with the return from a handler: programs can't single-step themselves.",
    ),
    (
        "faults::unhandled_bus_error",
        "Memory behind the end of a mapped file reads as zero; there is no SIGBUS.",
    ),
    (
        "faults::writable_and_executable",
        "Memory is not writable and executable at once, unless the program is allowed exec_memory.",
    ),
    (
        "files::access_modes",
        "A descriptor opened with O_PATH has an offset, and changes of a mode by it are EACCES; access mode 3 is not known.",
    ),
    (
        "files::mapped_read_only",
        "A directory can't be mapped, with another error.",
    ),
    (
        "files::mapped_shared_and_written",
        "Files are not written through mappings: a writable shared mapping of a file is ENODEV.",
    ),
    (
        "memory::advice",
        "Advice about a range with holes does nothing, instead of something up to the hole.",
    ),
    (
        "memory::mapped_memory_file",
        "Files are not written through mappings: a writable shared mapping of a file is ENODEV.",
    ),
    (
        "memory::protecting_across_a_hole",
        "mprotect of a range with holes does nothing, instead of something up to the hole.",
    ),
    (
        "memory::residency",
        "All that is mapped counts as resident.",
    ),
    (
        "memory::shared_anonymous_memory",
        "There is one process: shared anonymous memory is private memory, and MADV_DONTNEED empties it.",
    ),
    ("misc::new_process", "There is one process: fork is ENOSYS."),
    (
        "misc::other_program",
        "There is one program: execve is ENOSYS.",
    ),
    (
        "pipes::pipe_size",
        "The size of something that is no pipe is EINVAL, not EBADF.",
    ),
    (
        "pipes::socket_options",
        "An option of an unknown level is ENOPROTOOPT, not EOPNOTSUPP.",
    ),
    (
        "pipes::spliced",
        "splice and tee are EINVAL for all descriptors, after which libraries copy.",
    ),
    (
        "signals::information_that_may_be_made_up",
        "si_errno and the sender's user of information that a program made up are not kept.",
    ),
];

/// Why a case differs; `None` if it must not.
pub(crate) fn reason(name: &str) -> Option<&'static str> {
    DIFFERENCES
        .iter()
        .find(|(listed, _)| *listed == name)
        .map(|&(_, reason)| reason)
}

/// Fails if the list names something that is no case, or a case twice.
pub(crate) fn check(names: &[String]) -> Result<(), String> {
    for (index, (listed, _)) in DIFFERENCES.iter().enumerate() {
        if !names.iter().any(|name| name == listed) {
            return Err(format!("{listed} is no case"));
        }
        if DIFFERENCES[..index]
            .iter()
            .any(|(other, _)| other == listed)
        {
            return Err(format!("{listed} is listed twice"));
        }
    }
    Ok(())
}
