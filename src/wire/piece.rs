//! Parameters too large to be copied into a batch: their bytes go to the socket from where they are, or are made on the way.
//! Invariant: a piece yields exactly as many bytes as it said it has, or the connection ends: its length is sent first.

use bytes::Bytes;

/// One value of a statement, in text format.
pub enum Value<'p> {
    Null,
    /// Copied into the batch.
    Bytes(&'p [u8]),
    /// Sent from where it is.
    Piece(Piece),
}

impl<'p> From<Option<&'p [u8]>> for Value<'p> {
    fn from(value: Option<&'p [u8]>) -> Self {
        value.map_or(Self::Null, Self::Bytes)
    }
}

/// Bytes that somebody else holds too, or that do not exist yet.
pub enum Piece {
    Whole(Bytes),
    Made(Box<dyn Source>),
}

impl Piece {
    pub fn bytes(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Made(source) => source.bytes(),
        }
    }
}

/// A value that is made while it is sent.
pub trait Source {
    /// How many bytes it will have been in all.
    fn bytes(&self) -> usize;
    /// Appends the next part, about `limits::CLIENT_WRITE_BYTES` of it; nothing once it is complete.
    fn next(&mut self, out: &mut Vec<u8>);
}

/// Pieces of a batch: each goes out before the batch's byte of that index.
#[derive(Default)]
pub(super) struct Pieces(Vec<(usize, Piece)>);

impl Pieces {
    pub fn insert(&mut self, place: usize, piece: Piece) {
        self.0.push((place, piece));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl IntoIterator for Pieces {
    type Item = (usize, Piece);
    type IntoIter = std::vec::IntoIter<(usize, Piece)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
