//! Trunkline: a REST server in front of PostgreSQL that answers as PostgREST 16.2 does.
//!
//! Bytes travel one way through the stages, and the modules stand in that order:
//! `accept → http → request → auth → plan (on one catalog snapshot) → sql → pool/wire → json → respond → http`.
//! `serve` alone sees every stage; `server` is what runs besides requests. `ARCHITECTURE.md` has the map.
#![deny(unsafe_code)]

pub mod error;
pub mod limits;
pub mod media;
pub mod name;

pub mod auth;
pub mod catalog;
pub mod http;
pub mod json;
pub mod plan;
pub mod pool;
pub mod request;
pub mod respond;
pub mod serve;
pub mod sql;
pub mod wire;

pub mod config;
pub mod observe;
pub mod rt;
pub mod server;
pub mod sys;
