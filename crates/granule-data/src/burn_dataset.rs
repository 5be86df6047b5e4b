//! Burn's `Dataset` trait.
