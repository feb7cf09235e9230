//! Building the engine's own pages in a fresh guest memory.

use super::editor::Editor;
use crate::arch::x86_64::{descriptors, stubs};
use crate::machine::flavour::Flavour;
use crate::mem::Mapping;
use crate::plan::layout::{
    EXCEPTION_STUBS, GDT, HOST_PAGE_PHYSICAL, IDT, MAIN_PHYSICAL, SYSTEM, SYSTEM_HOST_PAGE,
    SYSTEM_USER_STUBS, SYSTEM_VDSO, SYSTEM_VECTOR_AREA, SYSTEM_VECTOR_IMAGE, TSS, USER_STUBS, VDSO,
    VDSO_SIZE, VECTOR_AREA, VECTOR_AREA_SIZE, VECTOR_IMAGE, VECTOR_IMAGE_SIZE, WINDOW,
};
use crate::plan::page_table::{self, Access, LARGE_SIZE};
use crate::units::to_usize;
use crate::{EngineError, PAGE_SIZE, Protection};

const FULL: EngineError = EngineError::Internal("no room for the engine's own pages");

/// Writes descriptor tables and stubs, and the vDSO image if there is one.
pub(crate) fn write(main: &mut Mapping, vdso: Option<&[u8]>) -> Result<(), EngineError> {
    let mut put = |at: u64, bytes: &[u8]| {
        main.bytes_mut(at, bytes.len())
            .map(|place| place.copy_from_slice(bytes))
            .ok_or(FULL)
    };
    let gdt: Vec<u8> = descriptors::gdt(SYSTEM)
        .iter()
        .flat_map(|d| d.to_le_bytes())
        .collect();
    put(GDT, &gdt)?;
    put(IDT, &descriptors::idt(SYSTEM))?;
    put(EXCEPTION_STUBS, &stubs::kernel())?;
    put(TSS, &descriptors::task_segment(SYSTEM))?;
    put(USER_STUBS, stubs::user().code)?;
    if let Some(image) = vdso {
        if image.len() as u64 > VDSO_SIZE {
            return Err(EngineError::Internal("the vDSO image is too large"));
        }
        put(VDSO, image)?;
    }
    Ok(())
}

/// Where `syscall` enters: ring 0 on hardware, the user page under PVM.
pub(crate) fn syscall_entry(flavour: Flavour) -> u64 {
    match flavour {
        Flavour::Hardware => SYSTEM + EXCEPTION_STUBS + stubs::KERNEL_SYSCALL,
        Flavour::Pvm => SYSTEM_USER_STUBS + stubs::user().syscall,
    }
}

/// Where the `out` of a system call is.
pub(crate) fn syscall_out(flavour: Flavour) -> u64 {
    match flavour {
        Flavour::Hardware => SYSTEM + EXCEPTION_STUBS + stubs::kernel_syscall_out(),
        Flavour::Pvm => SYSTEM_USER_STUBS + stubs::user().syscall_out,
    }
}

/// Maps the vector area, for the guest to save and load vector state.
pub(crate) fn map_vector_area(editor: &mut Editor<'_>) -> Result<(), EngineError> {
    let root = editor.root();
    let access = Access::User(Protection::READ_WRITE);
    for offset in (0..VECTOR_AREA_SIZE).step_by(4096) {
        let physical = MAIN_PHYSICAL + VECTOR_AREA + offset;
        let address = SYSTEM_VECTOR_AREA + offset;
        page_table::map(editor, root, address, physical, access).ok_or(FULL)?;
    }
    Ok(())
}

/// Maps the engine's own pages. `vdso` is the length of the vDSO image.
pub(crate) fn map(editor: &mut Editor<'_>, vdso: u64) -> Result<(), EngineError> {
    let root = editor.root();
    let mut page = |address, physical, access| {
        page_table::map(editor, root, address, physical, access)
            .map(drop)
            .ok_or(FULL)
    };
    for offset in (0..USER_STUBS).step_by(4096) {
        page(SYSTEM + offset, MAIN_PHYSICAL + offset, Access::Supervisor)?;
    }
    let code = Access::User(Protection::READ_EXECUTE);
    page(SYSTEM_USER_STUBS, MAIN_PHYSICAL + USER_STUBS, code)?;
    page(
        SYSTEM_HOST_PAGE,
        HOST_PAGE_PHYSICAL,
        Access::User(Protection::READ),
    )?;
    for offset in (0..vdso.div_ceil(PAGE_SIZE) * PAGE_SIZE).step_by(4096) {
        page(SYSTEM_VDSO + offset, MAIN_PHYSICAL + VDSO + offset, code)?;
    }
    map_window(editor)?;
    map_vector_image(editor, Protection::READ_WRITE)
}

/// Maps all of main memory for ring 0, in large pages.
fn map_window(editor: &mut Editor<'_>) -> Result<(), EngineError> {
    let root = editor.root();
    for offset in (0..editor.main_length()).step_by(to_usize(LARGE_SIZE)) {
        let physical = MAIN_PHYSICAL + offset;
        page_table::map_large(editor, root, WINDOW + offset, physical, Access::Supervisor)
            .ok_or(FULL)?;
    }
    Ok(())
}

/// Maps the vector image: writable while the program boots, read-only in forks.
pub(crate) fn map_vector_image(
    editor: &mut Editor<'_>,
    allow: Protection,
) -> Result<(), EngineError> {
    let root = editor.root();
    for offset in (0..VECTOR_IMAGE_SIZE).step_by(4096) {
        let physical = MAIN_PHYSICAL + VECTOR_IMAGE + offset;
        page_table::map(
            editor,
            root,
            SYSTEM_VECTOR_IMAGE + offset,
            physical,
            Access::User(allow),
        )
        .ok_or(FULL)?;
    }
    Ok(())
}
