//! Runs the installed Varnish's generators on `vmod.vcc` and `vmod.vsc`, compiles what they make,
//! and binds it. Where Varnish is was found out by the build script of `tinykvm-vrt`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn generate(tool: &str, arguments: &[&str], source: &Path, out: &Path) -> Result<(), String> {
    let status = Command::new("python3")
        .arg(tool)
        .args(arguments)
        .arg(source)
        .current_dir(out)
        .status()
        .map_err(|error| format!("python3 {tool}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{tool} failed on {}: {status}", source.display()))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let include = env::var("DEP_VARNISH_INCLUDE")?;
    for file in ["vmod.vcc", "vmod.vsc", "src/vcc_glue.c"] {
        println!("cargo::rerun-if-changed={file}");
    }

    let vmodtool = env::var("DEP_VARNISH_VMODTOOL")?;
    generate(&vmodtool, &["--strict"], &here.join("vmod.vcc"), &out)?;
    let vsctool = env::var("DEP_VARNISH_VSCTOOL")?;
    generate(&vsctool, &["-ch"], &here.join("vmod.vsc"), &out)?;
    // The generated files want one.
    fs::write(out.join("config.h"), "")?;

    let bindings = bindgen::Builder::default()
        .header_contents(
            "vcc.h",
            "#include \"cache/cache.h\"\n#include \"vcc_if.h\"\n#include \"VSC_tinykvm.h\"\n",
        )
        .clang_args([format!("-I{include}"), format!("-I{}", out.display())])
        .allowlist_function("(vmod|VSC_tinykvm)_.*")
        .allowlist_type("VSC_tinykvm")
        .allowlist_recursively(false)
        .raw_line("use tinykvm_vrt::ffi::*;")
        .layout_tests(false)
        .generate()?
        .to_string();
    fs::write(out.join("vcc_if.rs"), &bindings)?;

    // Every function of vmod.vcc must exist in Rust, with the types that VCL calls it with.
    let pairs = bindings
        .lines()
        .filter_map(|line| {
            line.trim_start()
                .strip_prefix("pub fn vmod_")?
                .split_once('(')
        })
        .map(|(name, _)| format!("let _ = [abi::vmod_{name}, vcl::vmod_{name}];\n"));
    let check = format!("fn same_types() {{\n{}}}\n", pairs.collect::<String>());
    fs::write(out.join("same_types.rs"), check)?;

    cc::Build::new()
        .files([here.join("src/vcc_glue.c"), out.join("VSC_tinykvm.c")])
        .includes([Path::new(&include), &out])
        .warnings(false)
        // Nothing in Rust refers to the constructor in it.
        .link_lib_modifier("+whole-archive")
        .compile("tinykvm_vcc");
    // Worker threads and the destructors of their variables outlive the last VCL that uses us.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    Ok(())
}
