//! Gives freed memory back to the system. The allocator does so by itself, but only while it is being used: a process that
//! waits after a large request would stay large until the next one.

// Links the allocator's library into programs that allocate with another one, tests above all.
use libmimalloc_sys as _;

unsafe extern "C" {
    fn mi_collect(force: bool);
}

/// What this thread has freed goes back now. Takes some microseconds to a millisecond.
pub fn give_back() {
    // SAFETY: may be called at any time by any thread; it touches what is free alone. The signature is mimalloc.h's.
    unsafe { mi_collect(true) }
}
