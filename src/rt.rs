//! The only file (with its folder) that names monoio: driver choice, streams, timers, the one spawn.
//! Invariant: no polled read or write is ever dropped. What must end early ends by `sys::fd::shutdown` of its socket,
//! which completes the operation in flight on both drivers (`watch`).
//! Timers tick at 1 ms.

pub mod mailbox;
pub mod stream;
pub mod watch;

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

pub use stream::{Reader, Stream, Writer};

use crate::sys;

/// Which kernel interface a thread's loop runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Driver {
    IoUring,
    Epoll,
}

/// Names the driver that `run` will use in this process: epoll where `MONOIO_FORCE_LEGACY_DRIVER` is set or the kernel
/// (or a container's seccomp profile) refuses io_uring.
pub fn driver() -> Driver {
    if std::env::var_os("MONOIO_FORCE_LEGACY_DRIVER").is_some_and(|value| value == "1") {
        return Driver::Epoll;
    }
    match io_uring::IoUring::new(8) {
        Ok(_) => Driver::IoUring,
        Err(_) => Driver::Epoll,
    }
}

/// Runs `main` to its end on a loop of this thread's own. Tries a ring with the flags that make it cheap
/// (6.4 µs a trivial request against 7.1 µs plain), then a plain ring, then epoll.
pub fn run<F: Future>(driver: Driver, main: F) -> io::Result<F::Output> {
    if driver == Driver::IoUring {
        let mut flagged = io_uring::IoUring::builder();
        flagged.setup_coop_taskrun().setup_single_issuer().setup_defer_taskrun();
        for ring in [flagged, io_uring::IoUring::builder()] {
            let built = RuntimeBuilder::<IoUringDriver>::new().uring_builder(ring).enable_timer().build();
            if let Ok(mut runtime) = built {
                stream::set_blocking_mode(Driver::IoUring);
                return Ok(runtime.block_on(main));
            }
        }
    }
    let mut runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?;
    stream::set_blocking_mode(Driver::Epoll);
    Ok(runtime.block_on(main))
}

/// Memory that this thread has freed goes back to the system, before the loop waits: after something outsized.
pub fn give_back_memory() {
    sys::memory::give_back();
}

/// A future that a panic inside does not leave: monoio catches none, and one would unwind the whole core.
struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = self.0.as_mut();
        match catch_unwind(AssertUnwindSafe(|| inner.poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(payload) => Poll::Ready(Err(panic_text(payload.as_ref()))),
        }
    }
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}

/// The one spawn: the task runs on this thread; a panic in it ends it alone and goes to `on_panic`.
pub fn spawn<F>(task: F, on_panic: impl FnOnce(String) + 'static)
where
    F: Future<Output = ()> + 'static,
{
    let caught = Caught(Box::pin(task));
    drop(monoio::spawn(async move {
        if let Err(message) = caught.await {
            on_panic(message);
        }
    }));
}

pub async fn sleep(duration: Duration) {
    monoio::time::sleep(duration).await;
}

/// Lets other tasks of this core run. Costs about a millisecond (a self-waking yield would starve the ring): only for
/// work that has run for several.
pub async fn yield_now() {
    monoio::time::sleep(Duration::ZERO).await;
}

/// The deadline passed first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed;

/// Waits for `future` until the deadline. Cancel: drops the future, so it must not be a read or write.
pub async fn within<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    monoio::time::timeout(duration, future).await.map_err(|_| Elapsed)
}

/// Waits for `future` until the time is over (`None`). Borrows it, so that it can be awaited further.
pub async fn within_borrowed<F: Future>(future: Pin<&mut F>, duration: Duration) -> Option<F::Output> {
    match first(future, pin!(sleep(duration))).await {
        First::Left(value) => Some(value),
        First::Right(()) => None,
    }
}

/// What came first of two.
pub enum First<A, B> {
    Left(A),
    Right(B),
}

/// Waits for whichever is ready first. Borrows both, so that the other one can be awaited further: neither is dropped.
pub async fn first<A: Future, B: Future>(mut left: Pin<&mut A>, mut right: Pin<&mut B>) -> First<A::Output, B::Output> {
    std::future::poll_fn(move |context| {
        if let Poll::Ready(value) = left.as_mut().poll(context) {
            return Poll::Ready(First::Left(value));
        }
        if let Poll::Ready(value) = right.as_mut().poll(context) {
            return Poll::Ready(First::Right(value));
        }
        Poll::Pending
    })
    .await
}

/// Waits for both, polled in one task: how a large batch is written while its answers are read.
pub async fn both<A: Future, B: Future>(left: A, right: B) -> (A::Output, B::Output) {
    let (mut left, mut right) = (pin!(left), pin!(right));
    let (mut left_value, mut right_value) = (None, None);
    std::future::poll_fn(move |context| {
        if left_value.is_none()
            && let Poll::Ready(value) = left.as_mut().poll(context)
        {
            left_value = Some(value);
        }
        if right_value.is_none()
            && let Poll::Ready(value) = right.as_mut().poll(context)
        {
            right_value = Some(value);
        }
        match (left_value.take(), right_value.take()) {
            (Some(left), Some(right)) => Poll::Ready((left, right)),
            (left, right) => {
                (left_value, right_value) = (left, right);
                Poll::Pending
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn a_panic_ends_its_task_alone() {
        for driver in [Driver::Epoll, driver()] {
            let seen = Rc::new(RefCell::new(String::new()));
            let heard = seen.clone();
            run(driver, async move {
                spawn(async { panic!("on purpose") }, move |message| *heard.borrow_mut() = message);
                sleep(Duration::from_millis(5)).await;
            })
            .unwrap();
            assert_eq!(*seen.borrow(), "on purpose");
        }
    }
}
