//! Cases whose outcome differs from Linux, and why.

/// Name of a case, or of an area with `::*`, and the reason.
pub(crate) const DIFFERENCES: &[(&str, &str)] = &[];

/// Areas (`name::*`) and cases that wait for what they need, and are not run meanwhile.
const AWAITED: &[&str] = &[
    "threads::*",
    "futex::*",
    "signals::*",
    "signals_more::*",
    "faults::*",
    "timers::*",
    "memory::*",
    "pipes::*",
    "events::*",
    "files::*",
    "directories::*",
    "errors::*",
    "misc::*",
];

/// Whether a case is run.
pub(crate) fn is_awaited(name: &str) -> bool {
    let area = name.split_once("::").map(|(area, _)| format!("{area}::*"));
    std::env::var_os("CONFORMANCE_ALL").is_none()
        && AWAITED
            .iter()
            .any(|&it| it == name || Some(it) == area.as_deref())
}

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
