//! Finds the installed Varnish (or Vinyl Cache, its successor) and generates its bindings.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The names under which pkg-config may know the installed headers, in order of preference.
const PACKAGES: [&str; 2] = ["varnishapi", "vinylapi"];

fn pkg_config(arguments: &[&str]) -> Option<String> {
    let output = Command::new("pkg-config").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/wrapper.h");
    println!("cargo::rerun-if-changed=src/shim.c");
    println!("cargo::rerun-if-env-changed=PKG_CONFIG_PATH");

    let package = PACKAGES
        .into_iter()
        .find(|package| pkg_config(&["--exists", package]).is_some())
        .ok_or("pkg-config finds neither varnishapi nor vinylapi: install libvarnishapi-dev")?;
    let variable = |name: &str| {
        pkg_config(&["--variable", name, package])
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("{package}.pc does not define {name}"))
    };
    let include = variable("pkgincludedir")?;
    println!("cargo::metadata=include={include}");
    println!("cargo::metadata=vmodtool={}", variable("vmodtool")?);
    println!("cargo::metadata=vsctool={}", variable("vsctool")?);
    println!("cargo::rerun-if-changed={include}/vmod_abi.h");

    let bindings = bindgen::Builder::default()
        .header("src/wrapper.h")
        .clang_arg(format!("-I{include}"))
        .allowlist_function("(VRT|VSB|VFP|VDP|VRB|Obj|WS|VSL|http|VTIM|VCL|tinykvm)_?.*")
        .allowlist_type(
            "(vrt_ctx|busyobj|req|http|http_conn|ws|vfp|vdp|vdp_entry|vdi_methods|vmod_.*|params)",
        )
        .allowlist_type(
            "(director|objcore|obj_flags|vsc_seg|vsmw_cluster|vcl_event_e|txt|strands|oc_flags)",
        )
        .allowlist_var("(SLT|BS|SC|HTTP_HDR|VCL_MET|HTTP|WS|VSB|VDI|VRT|VMOD|DIRECTOR)_.*")
        .allowlist_var("(REQ|BUSYOBJ|OBJCORE|VFP|VDP|OC|OF|VTIM|cache)_.*")
        .allowlist_type("VCL_.*")
        .prepend_enum_name(false)
        .derive_debug(false)
        .layout_tests(false)
        .generate_comments(false)
        .generate()?
        .to_string();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("bindings.rs"), &bindings)?;

    cc::Build::new()
        .file("src/shim.c")
        .include(include)
        .warnings(false)
        .compile("tinykvm_vrt_shim");
    stand_ins(&bindings, &out)
}

/// Defines every symbol of varnishd for this package's unit tests, which run outside of it and
/// call none. Dependents are not given this library.
fn stand_ins(bindings: &str, out: &Path) -> Result<(), Box<dyn Error>> {
    let source = out.join("stand_ins.c");
    let names = |start: &'static str, end: char| {
        bindings.lines().filter_map(move |line| {
            line.trim_start()
                .strip_prefix(start)?
                .split_once(end)
                .map(|(name, _)| name)
        })
    };
    let functions = names("pub fn ", '(')
        .filter(|name| !name.starts_with("tinykvm_") && !name.contains(['<', '&']))
        .map(|name| format!("void {name}(void) {{ __builtin_trap(); }}\n"));
    let data = names("pub static ", ':')
        .map(|name| name.trim_start_matches("mut "))
        .map(|name| format!("char {name}[64];\n"));
    // Methods of generated types are among the names, some of them repeatedly.
    let lines: BTreeSet<String> = functions.chain(data).collect();
    fs::write(&source, lines.into_iter().collect::<String>())?;
    cc::Build::new()
        .file(source)
        .flag("-fno-builtin")
        .warnings(false)
        .cargo_metadata(false)
        .compile("stand_ins");
    let library = out.join("libstand_ins.a");
    println!("cargo::rustc-link-arg={}", library.display());
    Ok(())
}
