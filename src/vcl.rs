//! The functions that VCL calls, as `vmod.vcc` declares them.

mod allow;
mod configure;
mod event;
mod filter;
mod now;
mod program;
mod synth;
mod to_string;

pub(crate) use allow::vmod_allow;
pub(crate) use configure::{vmod_configure, vmod_main_arguments, vmod_start};
pub(crate) use event::vmod_event;
pub(crate) use filter::vmod_filter;
pub(crate) use program::vmod_program;
pub(crate) use synth::vmod_synth;
pub(crate) use to_string::vmod_to_string;
