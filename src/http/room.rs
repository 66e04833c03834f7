//! What the request bodies of one core's connections take together, so that many large ones at once are refused and not a
//! reason for the kernel to end the process. Counted is what has come, not what was announced.
//! Invariant: a connection's share goes back when the next request is waited for, and with the connection.
//! Limits: `ConnectionLimits::bodies_bytes_max`.

use std::cell::Cell;
use std::rc::Rc;

use super::Refusal;

/// The sum over a core. Clones are the same sum.
#[derive(Clone, Debug, Default)]
pub(super) struct Bodies(Rc<Cell<usize>>);

/// One connection's part of it.
#[derive(Debug)]
pub(super) struct BodyShare {
    bodies: Bodies,
    held: usize,
}

impl Bodies {
    pub fn share(&self) -> BodyShare {
        BodyShare { bodies: self.clone(), held: 0 }
    }
}

impl BodyShare {
    /// The body at hand has grown to this many bytes; refused, and not counted, where all of them together are too many.
    pub fn grow_to(&mut self, bytes: usize, bodies_bytes_max: usize) -> Result<(), Refusal> {
        let grown = bytes.saturating_sub(self.held);
        let total = self.bodies.0.get().saturating_add(grown);
        if total > bodies_bytes_max {
            return Err(Refusal::BodiesTooLarge);
        }
        self.bodies.0.set(total);
        self.held += grown;
        Ok(())
    }

    pub fn give_back(&mut self) {
        self.bodies.0.set(self.bodies.0.get() - std::mem::take(&mut self.held));
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_one_limit_and_go_back() {
        let bodies = Bodies::default();
        let (mut one, mut other) = (bodies.share(), bodies.share());
        assert_eq!(one.grow_to(40, 100), Ok(()));
        assert_eq!(one.grow_to(60, 100), Ok(()));
        assert_eq!(other.grow_to(41, 100), Err(Refusal::BodiesTooLarge));
        assert_eq!(other.grow_to(40, 100), Ok(()));
        assert_eq!(one.grow_to(61, 100), Err(Refusal::BodiesTooLarge));
        drop(other);
        assert_eq!(one.grow_to(100, 100), Ok(()));
        one.give_back();
        assert_eq!(bodies.0.get(), 0);
        assert_eq!(one.grow_to(usize::MAX, 100), Err(Refusal::BodiesTooLarge));
    }
}
