//! What every reader and writer of files shares.
#![warn(missing_docs)]
