//! `tinykvm doctor`: can programs run here, and if not, what to do about it.

mod access;
mod finding;
mod host;
pub(crate) mod program;
mod remedy;
mod running;
mod trial;
mod users;

use std::process::ExitCode;

use tinykvm::{Engine, EngineError, Flavour, requirements};

use crate::console::{Error, print};
use finding::{Finding, Level};

/// Looks at everything and prints what was found.
pub(crate) fn doctor() -> Result<ExitCode, Error> {
    let mut findings = host::kernel();
    findings.extend(access::device());
    findings.extend(kvm());
    findings.extend(host::resources());
    // Others may lack access, but the trial runs as this user.
    if Engine::get().is_ok() {
        findings.push(trial::trial());
    }
    let problems = findings
        .iter()
        .filter(|finding| finding.level == Level::Bad)
        .count();
    let mut text: String = findings.iter().map(ToString::to_string).collect();
    text.push_str(&match problems {
        0 => "Programs can run here.\n".to_owned(),
        1 => "There is 1 problem.\n".to_owned(),
        more => format!("There are {more} problems.\n"),
    });
    print(text.as_bytes())?;
    Ok(match problems {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// What KVM itself has to offer.
fn kvm() -> Vec<Finding> {
    let mut findings = Vec::new();
    match requirements() {
        Ok(all) => {
            for need in &all {
                let what = format!("{}: {}", need.name, need.purpose);
                findings.push(if need.present {
                    Finding::good(what)
                } else {
                    Finding::bad(format!("{what}: missing"))
                        .remedy("A newer kernel has it: Linux 5.11 or later is needed.")
                });
            }
        }
        // Why the device can't be opened is found out elsewhere.
        Err(_) => return findings,
    }
    findings.push(match Engine::get() {
        Ok(engine) => match engine.flavour() {
            Flavour::Hardware => Finding::good("KVM uses hardware virtualisation"),
            Flavour::Pvm => Finding::good("KVM is the software kind (PVM)")
                .remedy("Code runs at full speed; calls between host and program cost more."),
        },
        Err(EngineError::Missing { name }) => Finding::bad(format!("KVM lacks {name}")),
        Err(error) => Finding::bad(format!("KVM does not run a test program: {error}"))
            .remedy("If other hypervisors run on this machine, stop them and try again."),
    });
    findings
}
