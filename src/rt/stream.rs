//! Sockets of a core: TCP or unix, split into a reading and a writing half that may work at the same time.
//! Cancel: dropping a polled read or write may lose bytes; nothing here is ever raced and dropped.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use bytes::Bytes;
use monoio::buf::{IoBuf, IoBufMut, SliceMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, OwnedReadHalf, OwnedWriteHalf, Splitable};
use monoio::net::{TcpStream, UnixStream};

use super::Driver;

thread_local! {
    static DRIVER: Cell<Driver> = const { Cell::new(Driver::Epoll) };
}

/// io_uring waits by itself and answers EAGAIN on a non-blocking socket; epoll needs one.
pub(super) fn set_blocking_mode(driver: Driver) {
    DRIVER.set(driver);
}

fn nonblocking() -> bool {
    DRIVER.get() == Driver::Epoll
}

/// A connected socket that belongs to this thread's loop.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Takes a socket over from a thread without a loop. Must run on the loop that will use it.
    pub fn from_tcp(socket: std::net::TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(nonblocking())?;
        TcpStream::from_std(socket).map(Self::Tcp)
    }

    pub fn from_unix(socket: std::os::unix::net::UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(nonblocking())?;
        UnixStream::from_std(socket).map(Self::Unix)
    }

    pub fn raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(socket) => socket.as_raw_fd(),
            Self::Unix(socket) => socket.as_raw_fd(),
        }
    }

    pub fn split(self) -> (Reader, Writer) {
        match self {
            Self::Tcp(socket) => {
                let (reader, writer) = socket.into_split();
                (Reader::Tcp(reader), Writer::Tcp(writer))
            }
            Self::Unix(socket) => {
                let (reader, writer) = socket.into_split();
                (Reader::Unix(reader), Writer::Unix(writer))
            }
        }
    }
}

#[derive(Debug)]
pub enum Reader {
    Tcp(OwnedReadHalf<TcpStream>),
    Unix(OwnedReadHalf<UnixStream>),
}

impl Reader {
    /// Appends what one read brings, at most `bytes_max`, to `buffer`; 0 is the end of the stream. The buffer comes back
    /// whatever happens.
    pub async fn append(&mut self, mut buffer: Vec<u8>, bytes_max: usize) -> (io::Result<usize>, Vec<u8>) {
        let begin = buffer.len();
        buffer.reserve(bytes_max);
        let space = SliceMut::new(buffer, begin, begin + bytes_max);
        let (result, space) = match self {
            Self::Tcp(half) => read(half, space).await,
            Self::Unix(half) => read(half, space).await,
        };
        (result, space.into_inner())
    }
}

async fn read<R: AsyncReadRent, B: IoBufMut>(half: &mut R, space: B) -> (io::Result<usize>, B) {
    half.read(space).await
}

#[derive(Debug)]
pub enum Writer {
    Tcp(OwnedWriteHalf<TcpStream>),
    Unix(OwnedWriteHalf<UnixStream>),
}

impl Writer {
    /// Writes `buffer[begin..]` whole. The buffer comes back whatever happens.
    pub async fn write_from(&mut self, buffer: Vec<u8>, begin: usize) -> (io::Result<()>, Vec<u8>) {
        let end = buffer.len();
        self.write_part(buffer, begin, end).await
    }

    /// Writes `buffer[begin..end]` whole. The buffer comes back whatever happens.
    pub async fn write_part(&mut self, buffer: Vec<u8>, begin: usize, end: usize) -> (io::Result<()>, Vec<u8>) {
        let end = end.min(buffer.len());
        if begin >= end {
            return (Ok(()), buffer);
        }
        let slice = buffer.slice(begin..end);
        let (result, slice) = match self {
            Self::Tcp(half) => half.write_all(slice).await,
            Self::Unix(half) => half.write_all(slice).await,
        };
        (result.map(|_| ()), slice.into_inner())
    }

    /// Writes bytes that others hold too.
    pub async fn write_bytes(&mut self, bytes: Bytes) -> io::Result<()> {
        let (result, _) = match self {
            Self::Tcp(half) => half.write_all(bytes).await,
            Self::Unix(half) => half.write_all(bytes).await,
        };
        result.map(|_| ())
    }

    /// Tells the peer that nothing more comes.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(half) => half.shutdown().await,
            Self::Unix(half) => half.shutdown().await,
        }
    }
}
