//! Builds the vDSO image that guests get (see `vdso/vdso.c`) into `OUT_DIR/vdso.so`.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let sources = Path::new("vdso");
    let script = sources.join("vdso.lds");
    let code = sources.join("vdso.c");
    for file in [&script, &code] {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let image = out.join("vdso.so");

    // No default flags: the guest's image must not depend on the profile or on CFLAGS, which may
    // ask for instrumentation that calls into a runtime.
    let compiler = cc::Build::new()
        .no_default_flags(true)
        .cargo_metadata(false)
        .try_get_compiler()?;
    let status = std::process::Command::new(compiler.path())
        .args([
            "-m64",
            "-O2",
            "-fPIC",
            "-ffreestanding",
            "-fno-builtin",
            "-fno-stack-protector",
            "-fcf-protection=none",
            "-fasynchronous-unwind-tables",
            "-mgeneral-regs-only",
            "-std=gnu11",
            "-Wall",
            "-Wextra",
            "-nostdlib",
            "-shared",
            "-Wl,-soname,linux-vdso.so.1",
            "-Wl,--hash-style=both",
            "-Wl,--eh-frame-hdr",
            "-Wl,--build-id=sha1",
            "-Wl,-z,max-page-size=4096",
            "-Wl,-z,noexecstack",
            "-Wl,-Bsymbolic",
            "-Wl,--no-undefined",
            "-Wl,--strip-all",
        ])
        .arg(format!("-Wl,-T,{}", script.display()))
        .arg("-o")
        .args([&image, &code])
        .status()?;
    if !status.success() {
        return Err(format!(
            "{} could not build the vDSO image: {status}",
            compiler.path().display()
        )
        .into());
    }
    Ok(())
}
