//! What runs besides requests: the control plane and the threads. May be slow; never touches a core's state.

pub mod acceptor;
pub mod activation;
pub mod admin;
pub mod background;
pub mod boot;
pub mod cli;
pub mod cluster;
pub mod connector;
pub mod core_loop;
pub mod demo;
pub mod listener;
pub mod publish;
pub mod readiness;
pub mod reload;
pub mod signal;
pub mod supervisor;
pub mod survey;
