//! The only unsafe code of the crate: SIMD search (each routine with a plain twin that tests compare it with), questions to
//! descriptors and threads that the standard library can't ask, and one to the allocator. Nothing else may be here.
#![allow(unsafe_code)]

pub mod fd;
pub mod memory;
pub mod priority;
