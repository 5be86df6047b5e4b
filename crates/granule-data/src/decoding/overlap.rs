//! Whether what is tested on was learnt from.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use granule_io::budget;

use super::source::Source;
use crate::DataError;
use crate::shared::hash_floats;

/// Bins in a row that are compared, and how many of them have to differ from one another: a stretch in which nothing happens
/// occurs again and again.
const BLOCK: usize = 16;
const DIFFERENT: usize = 12;

/// Refuses a part to test on of which a stretch stands in the part to learn from.
pub(super) fn check(train: &Source, test: &Source) -> Result<(), DataError> {
    let bins = train.bins().saturating_add(test.bins());
    // Hashes of bins and of blocks, and the table of those that were learnt from.
    budget::ask_for::<[u64; 8]>("the comparison of what is learnt from and tested on", bins)?;
    let learnt: HashMap<u64, usize> = blocks(train).into_iter().rev().collect();
    let found = blocks(test)
        .into_iter()
        .find_map(|(hash, bin)| Some((bin, *learnt.get(&hash)?)));
    let Some((bin, first)) = found else {
        return Ok(());
    };
    let reason = format!(
        "train and test overlap: its bins from {bin} on, counted from 0, are those of {} from {first} on",
        train.signal.display()
    );
    Err(DataError::format(&test.signal, reason))
}

/// The hash of every block of bins that tells itself apart, and its first bin.
fn blocks(source: &Source) -> Vec<(u64, usize)> {
    let hash = |bin: usize| {
        let mut hasher = DefaultHasher::new();
        hash_floats(source.row(bin), &mut hasher);
        hasher.finish()
    };
    let rows: Vec<u64> = (0..source.bins()).map(hash).collect();
    let of_block = |(bin, block): (usize, &[u64])| {
        let mut sorted: Vec<u64> = block.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut hasher = DefaultHasher::new();
        block.hash(&mut hasher);
        (sorted.len() >= DIFFERENT).then(|| (hasher.finish(), bin))
    };
    rows.windows(BLOCK)
        .enumerate()
        .filter_map(of_block)
        .collect()
}
