//! `epoll`.

mod set;
