//! How a program runs: its start, its calls, who has the processor, and signals on their way to it.

pub(crate) mod answer;
pub(crate) mod delivery;
pub(crate) mod scheduler;
pub(crate) mod start;
pub(crate) mod table;
