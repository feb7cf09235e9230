//! The vDSO image: what C libraries need to find in it, and that its clocks are right when it
//! runs behind a page like the one that the engine writes.

use std::fs;
use std::path::Path;
use std::process::Command;

use goblin::elf::Elf;
use goblin::elf::dynamic::{DT_GNU_HASH, DT_HASH, DT_VERDEF};
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_DYNAMIC, PT_LOAD};
use goblin::elf::sym::{STB_GLOBAL, STT_FUNC};
use tinykvm_linux::VDSO;
use tinykvm_testkit::{Toolchain, compile_file};

const FUNCTIONS: [&str; 5] = [
    "__vdso_clock_gettime",
    "__vdso_gettimeofday",
    "__vdso_time",
    "__vdso_clock_getres",
    "__vdso_getcpu",
];

#[test]
fn it_can_be_mapped_as_it_is() {
    assert!(VDSO.len() <= 8192, "{} bytes", VDSO.len());
    let elf = Elf::parse(VDSO).unwrap();
    let loads: Vec<_> = elf
        .program_headers
        .iter()
        .filter(|p| p.p_type == PT_LOAD)
        .collect();
    let [load] = loads[..] else {
        panic!("{} segments", loads.len())
    };
    assert_eq!(
        (load.p_offset, load.p_vaddr, load.p_flags),
        (0, 0, PF_R | PF_X)
    );
    assert_eq!(load.p_filesz, load.p_memsz);
    assert!(load.p_memsz <= VDSO.len() as u64);
    // The headers are inside: C libraries read them from memory.
    assert!(load.p_filesz >= elf.header.e_phoff + u64::from(elf.header.e_phnum) * 56);
    // A writable dynamic section would be relocated by glibc in place.
    let dynamic = elf
        .program_headers
        .iter()
        .find(|p| p.p_type == PT_DYNAMIC)
        .unwrap();
    assert_eq!(dynamic.p_flags & PF_W, 0);
    assert!(elf.dynrels.is_empty() && elf.dynrelas.is_empty() && elf.pltrelocs.is_empty());
    assert!(elf.libraries.is_empty());
}

#[test]
fn c_libraries_find_their_functions() {
    let elf = Elf::parse(VDSO).unwrap();
    assert_eq!(elf.soname, Some("linux-vdso.so.1"));
    let tags: Vec<u64> = elf
        .dynamic
        .as_ref()
        .unwrap()
        .dyns
        .iter()
        .map(|d| d.d_tag)
        .collect();
    for tag in [DT_HASH, DT_GNU_HASH, DT_VERDEF] {
        assert!(tags.contains(&tag), "tag {tag:#x}");
    }
    let versions = elf.verdef.as_ref().unwrap();
    let version = versions
        .iter()
        .find(|definition| {
            let name = definition.iter().next().unwrap().vda_name;
            elf.dynstrtab.get_at(name) == Some("LINUX_2.6")
        })
        .unwrap()
        .vd_ndx;
    for wanted in FUNCTIONS {
        let (index, symbol) = elf
            .dynsyms
            .iter()
            .enumerate()
            .find(|(_, symbol)| elf.dynstrtab.get_at(symbol.st_name) == Some(wanted))
            .unwrap_or_else(|| panic!("{wanted}"));
        assert_eq!(
            (symbol.st_type(), symbol.st_bind()),
            (STT_FUNC, STB_GLOBAL),
            "{wanted}"
        );
        assert_ne!(symbol.st_size, 0);
        let has = elf
            .versym
            .as_ref()
            .unwrap()
            .get_at(index)
            .unwrap()
            .version();
        assert_eq!(has, version, "{wanted}");
    }
}

#[test]
fn its_clocks_are_right() {
    let elf = Elf::parse(VDSO).unwrap();
    let offsets = FUNCTIONS.map(|wanted| {
        let mut symbols = elf.dynsyms.iter();
        let found = symbols
            .find(|s| elf.dynstrtab.get_at(s.st_name) == Some(wanted))
            .unwrap();
        found.st_value.to_string()
    });
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vdso_harness.c");
    let harness = compile_file(&source, Toolchain::Gcc);
    let image = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vdso.so");
    fs::write(&image, VDSO).unwrap();
    let result = Command::new(harness)
        .arg(&image)
        .args(&offsets)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&result.stdout);
    assert!(result.status.success(), "{}: {said}", result.status);
}
