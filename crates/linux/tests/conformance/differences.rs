//! Cases whose outcome differs from Linux, and why.

/// Name of a case, or of an area with `::*`, and the reason.
pub(crate) const DIFFERENCES: &[(&str, &str)] = &[];

/// Cases that wait for what they need, and are not run meanwhile.
const AWAITED: &str = include_str!("awaited.txt");

/// Whether a case is left out; with `CONFORMANCE_ALL=1` none is.
pub(crate) fn is_awaited(name: &str) -> bool {
    std::env::var_os("CONFORMANCE_ALL").is_none() && AWAITED.lines().any(|line| line == name)
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
