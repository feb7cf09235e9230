//! The life of a program: [`Booting`](booting::Booting), [`Template`](template::Template),
//! [`Fork`](fork::Fork).

pub(crate) mod backtrace;
pub(crate) mod booting;
pub(crate) mod delegate;
pub(crate) mod fork;
pub(crate) mod lent;
pub(crate) mod template;
