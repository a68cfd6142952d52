//! The body of an answer: found by its framing, decoded as it comes, kept up to a limit.
//!
//! Nothing is buffered but what is kept, and every byte is taken once: data in whole pieces, chunk framing byte by
//! byte. A body can't fail: framing that makes no sense ends it, as its last byte would.

/// How much of a body is kept; what comes after it is read and dropped.
pub const BODY_BYTES_KEPT_MAX: usize = 64 << 10;

/// How much of a body is read at most, its chunk framing included.
///
/// Reading beyond what is kept spares the worker a reset connection in its log. A body without end is not worth it.
pub const BODY_BYTES_READ_MAX: usize = 2 << 20;

/// How the end of a body is found.
#[derive(Debug)]
pub(super) enum Framing {
    Length { left: u64 },
    Chunked(Chunk),
    UntilClose,
}

/// A body that is still coming, of an answer whose status is known.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) status: u16,
    pub(super) framing: Framing,
    /// How much of [`BODY_BYTES_READ_MAX`] is left.
    pub(super) bytes_left: usize,
}

impl Body {
    /// How many bytes can still matter.
    pub(super) fn room(&self) -> usize {
        match self.framing {
            Framing::Length { left } => clamp(left, self.bytes_left),
            Framing::Chunked(_) | Framing::UntilClose => self.bytes_left,
        }
    }

    /// Decodes some of `bytes`; says how many were taken, and whether the body is over.
    pub(super) fn take(&mut self, kept: &mut Vec<u8>, bytes: &[u8]) -> (usize, bool) {
        let bytes = &bytes[..bytes.len().min(self.bytes_left)];
        let (taken, is_over) = match &mut self.framing {
            Framing::Length { left } => (take_data(left, kept, bytes), *left == 0),
            Framing::UntilClose => (keep(kept, bytes), false),
            Framing::Chunked(chunk) => match chunk.take(kept, bytes) {
                (taken, Some(next)) => {
                    *chunk = next;
                    (taken, false)
                }
                (taken, None) => (taken, true),
            },
        };
        self.bytes_left -= taken;
        (taken, is_over || self.bytes_left == 0)
    }
}

/// Keeps of `data` what there is room for, and takes all of it.
fn keep(kept: &mut Vec<u8>, data: &[u8]) -> usize {
    let room = BODY_BYTES_KEPT_MAX - kept.len();
    kept.extend_from_slice(&data[..data.len().min(room)]);
    data.len()
}

/// Takes as much of `bytes` as is `left` of the data.
fn take_data(left: &mut u64, kept: &mut Vec<u8>, bytes: &[u8]) -> usize {
    let taken = keep(kept, &bytes[..clamp(*left, bytes.len())]);
    *left -= taken as u64;
    taken
}

/// The smaller of the two.
fn clamp(left: u64, max: usize) -> usize {
    usize::try_from(left).map_or(max, |left| left.min(max))
}

/// Where in a chunked body the next byte stands (RFC 9112 §7.1). Line ends may lack their CR.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chunk {
    /// In the hexadecimal size, of which `size` has been read.
    Size { size: Option<u64> },
    /// Between the size and its line end: an extension, which means nothing to us, or space.
    Extension { size: u64 },
    /// In the data.
    Data { left: u64 },
    /// At the line end that closes the data.
    DataEnd,
    /// In the trailers, which a blank line ends.
    Trailer { is_blank: bool },
}

impl Chunk {
    /// Before the first size.
    pub(super) const START: Self = Self::Size { size: None };

    /// Takes data in one go and framing a byte at a time; says how many of `bytes`, which are not empty, and what
    /// follows. `None` is the end: the body's last byte, or framing that makes no sense, behind which nothing can be
    /// trusted.
    fn take(self, kept: &mut Vec<u8>, bytes: &[u8]) -> (usize, Option<Self>) {
        let next = match (self, bytes[0]) {
            (Self::Data { mut left }, _) => {
                let taken = take_data(&mut left, kept, bytes);
                return (taken, Some(if left == 0 { Self::DataEnd } else { Self::Data { left } }));
            }
            (Self::Size { size: Some(size) } | Self::Extension { size }, b'\n') => Some(Self::after_size(size)),
            (Self::Size { size: Some(size) }, b';' | b' ' | b'\t' | b'\r') => Some(Self::Extension { size }),
            (Self::Size { size }, digit) => push_digit(size, digit, 16).map(|size| Self::Size { size: Some(size) }),
            (Self::DataEnd, b'\n') => Some(Self::START),
            (Self::Trailer { is_blank: true }, b'\n') => None,
            (Self::Trailer { is_blank: false }, b'\n') => Some(Self::Trailer { is_blank: true }),
            (Self::Extension { .. }, _) | (Self::DataEnd | Self::Trailer { .. }, b'\r') => Some(self),
            (Self::Trailer { .. }, _) => Some(Self::Trailer { is_blank: false }),
            (Self::DataEnd, _) => None,
        };
        (1, next)
    }

    fn after_size(size: u64) -> Self {
        if size == 0 { Self::Trailer { is_blank: true } } else { Self::Data { left: size } }
    }
}

/// `number` with one more digit; `None` if `byte` is none or the number gets too large.
pub(super) fn push_digit(number: Option<u64>, byte: u8, radix: u32) -> Option<u64> {
    let digit = char::from(byte).to_digit(radix)?;
    number.unwrap_or(0).checked_mul(radix.into())?.checked_add(digit.into())
}
