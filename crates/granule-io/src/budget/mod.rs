//! How much memory may still be taken, asked before it is.
//!
//! A loader asks for what a file needs as soon as its header says so ([`ask`]), and takes it with an allocation that may
//! fail ([`reserve`], [`with_capacity`], [`filled`], [`collect`]). A refusal is a [`MemoryError`] that names the file, what it needs
//! and what is there. Nothing is booked: an answer holds for the moment, so ask again for what comes next.
//!
//! There is as much as the least of these leaves:
//! - what [`set_limit`] allows this process in all (`granule --memory`, the variable `GRANULE_MEMORY`);
//! - what the machine has free, and on Linux the control group that the process is in (a container, a batch job);
//! - the limits of the process on its address space and its data (`ulimit -v`, `ulimit -d`).

mod machine;

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{ByteSize, ParseByteSizeError};

/// The environment variable that holds the limit, as `2GiB`.
pub const MEMORY_VARIABLE: &str = "GRANULE_MEMORY";

/// Smaller amounts are granted unasked, a batch of training samples among them: asking takes as long as filling them.
const UNASKED: u64 = 512 << 10;

const UNLIMITED: u64 = u64::MAX;

static LIMIT: AtomicU64 = AtomicU64::new(UNLIMITED);

/// Something needs more memory than there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what}: needs {needed} of memory, {}; use less of the data, smaller pieces, or {}",
    Left(*available, *limit), remedy(*limit)
)]
pub struct MemoryError {
    /// What needs it: a file, or the part of the work.
    pub what: String,
    /// How much it needs.
    pub needed: ByteSize,
    /// How much there was when it asked.
    pub available: ByteSize,
    /// What the process may take in all, if that was set.
    pub limit: Option<ByteSize>,
}

struct Left(ByteSize, Option<ByteSize>);

impl Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self(ByteSize(0), Some(limit)) => {
                write!(
                    f,
                    "nothing is left within the limit of {limit}, which the program itself takes up"
                )
            }
            Self(available, Some(limit)) => {
                write!(f, "{available} are left within the limit of {limit}")
            }
            Self(available, None) => write!(f, "{available} are there"),
        }
    }
}

fn remedy(limit: Option<ByteSize>) -> &'static str {
    match limit {
        Some(_) => "allow more with --memory or GRANULE_MEMORY",
        None => "a machine with more",
    }
}

/// Limits the memory that this process may hold in all; `None` is what the machine has.
pub fn set_limit(limit: Option<ByteSize>) {
    LIMIT.store(limit.map_or(UNLIMITED, |limit| limit.0), Ordering::Relaxed);
}

/// The limit that was set.
pub fn limit() -> Option<ByteSize> {
    match LIMIT.load(Ordering::Relaxed) {
        UNLIMITED => None,
        limit => Some(ByteSize(limit)),
    }
}

/// The limit that [`MEMORY_VARIABLE`] names; `None` when it is unset or empty.
///
/// # Errors
/// For a value that is not a size.
pub fn limit_from_environment() -> Result<Option<ByteSize>, ParseByteSizeError> {
    match std::env::var_os(MEMORY_VARIABLE) {
        Some(text) if !text.is_empty() => text.to_string_lossy().parse().map(Some),
        _ => Ok(None),
    }
}

/// The memory that may be taken now; `u64::MAX` on a machine that does not say.
pub fn available() -> ByteSize {
    let free = machine::free();
    let within = match limit() {
        Some(limit) => limit.0.saturating_sub(machine::resident()),
        None => u64::MAX,
    };
    ByteSize(free.min(within))
}

/// Asks whether `bytes` may be taken. `what` needs them: the path of a file, or the part of the work.
///
/// # Errors
/// When there is less.
pub fn ask(what: impl Display, bytes: u64) -> Result<(), MemoryError> {
    if bytes <= UNASKED {
        return Ok(());
    }
    let available = available();
    if bytes <= available.0 {
        Ok(())
    } else {
        Err(refusal(what, bytes, available))
    }
}

/// As [`ask`] for `count` elements of type `T`; a product beyond all memory is refused as such.
///
/// # Errors
/// When there is less.
pub fn ask_for<T>(what: impl Display, count: usize) -> Result<(), MemoryError> {
    ask(what, bytes_of::<T>(count))
}

/// As [`ask_for`] for an array of numbers in double precision with these extents.
///
/// # Errors
/// When there is less.
pub fn ask_for_numbers(what: impl Display, extents: &[usize]) -> Result<(), MemoryError> {
    let count = extents
        .iter()
        .fold(1, |all: usize, n| all.saturating_mul(*n));
    ask_for::<f64>(what, count)
}

/// How many samples of so many numbers wait before they are read off a device in one go: some, so that no step waits for
/// it, but no more than take a few dozen MiB.
pub fn waiting_samples(numbers: usize) -> usize {
    const SAMPLES: usize = 128;
    const NUMBERS: usize = 1 << 22;
    (NUMBERS / numbers.max(1)).clamp(1, SAMPLES)
}

/// Room for exactly `additional` more elements.
///
/// # Errors
/// When there is less, or the allocator refuses.
pub fn reserve<T>(
    vec: &mut Vec<T>,
    additional: usize,
    what: impl Display,
) -> Result<(), MemoryError> {
    if vec.capacity() - vec.len() >= additional {
        return Ok(());
    }
    ask_for::<T>(&what, additional)?;
    // Where a vector grows, all of it may have to move.
    let whole = vec.len().saturating_add(additional);
    vec.try_reserve_exact(additional)
        .map_err(|_| refusal(what, bytes_of::<T>(whole), available()))
}

/// An empty vector with room for exactly `count` elements.
///
/// # Errors
/// When there is less memory, or the allocator refuses.
pub fn with_capacity<T>(count: usize, what: impl Display) -> Result<Vec<T>, MemoryError> {
    let mut vec = Vec::new();
    reserve(&mut vec, count, what)?;
    Ok(vec)
}

/// `count` times `value`.
///
/// # Errors
/// When there is less memory, or the allocator refuses.
pub fn filled<T: Clone>(value: T, count: usize, what: impl Display) -> Result<Vec<T>, MemoryError> {
    let mut vec = with_capacity(count, what)?;
    vec.resize(count, value);
    Ok(vec)
}

/// The first `count` of `items`.
///
/// # Errors
/// When there is less memory, or the allocator refuses.
pub fn collect<T>(
    items: impl IntoIterator<Item = T>,
    count: usize,
    what: impl Display,
) -> Result<Vec<T>, MemoryError> {
    let mut vec = with_capacity(count, what)?;
    vec.extend(items.into_iter().take(count));
    Ok(vec)
}

/// Appends `items`; room is made by doubling, near the end of the memory by an eighth, so that many small pieces are
/// cheap.
///
/// # Errors
/// When there is less memory, or the allocator refuses.
pub fn extend<T: Clone>(
    vec: &mut Vec<T>,
    items: &[T],
    what: impl Display,
) -> Result<(), MemoryError> {
    let (room, len) = (vec.capacity() - vec.len(), vec.len());
    if room < items.len() && reserve(vec, items.len().max(len), &what).is_err() {
        reserve(vec, items.len().max(len / 8), what)?;
    }
    vec.extend_from_slice(items);
    Ok(())
}

fn bytes_of<T>(count: usize) -> u64 {
    (count as u64).saturating_mul(size_of::<T>() as u64)
}

fn refusal(what: impl Display, needed: u64, available: ByteSize) -> MemoryError {
    MemoryError {
        what: what.to_string(),
        needed: ByteSize(needed),
        available,
        limit: limit(),
    }
}

#[cfg(test)]
mod tests;
