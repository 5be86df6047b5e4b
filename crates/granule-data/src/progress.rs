/// Receives the progress of a long operation, such as a download or the decoding of a folder.
pub trait Progress: Sync {
    /// A step named `what` begins; `total` is its length in the units of [`advance`](Self::advance), when known.
    fn start(&self, what: &str, total: Option<u64>);
    /// `n` more units (bytes of a file, images of a folder) are done.
    fn advance(&self, n: u64);
    /// The step is over.
    fn finish(&self);
    /// Something the user should know that is not an error.
    fn warn(&self, text: &str);
}

/// Ignores every message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _what: &str, _total: Option<u64>) {}
    fn advance(&self, _n: u64) {}
    fn finish(&self) {}
    fn warn(&self, _text: &str) {}
}
