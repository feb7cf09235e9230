//! The symbol by which varnishd knows a module.

/// Filled with the generated `struct vmod_data` when the module is loaded; see `vcc_glue.c`.
#[unsafe(no_mangle)]
#[allow(
    non_upper_case_globals,
    reason = "the name is the one that varnishd looks for"
)]
pub(crate) static mut Vmod_tinykvm_Data: [usize; 32] = [0; 32];
