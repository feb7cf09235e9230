//! The vDSO image.

/// An ELF shared object, `linux-vdso.so.1`, with the clock calls of the vDSO interface
/// (version `LINUX_2.6`). It is mapped read-only and executable, right behind the page that the
/// host writes (see `vdso/vdso.c` for the layout), and needs no relocation.
pub const VDSO: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vdso.so"));
