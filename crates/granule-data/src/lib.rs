//! Data sets for granule: MNIST, CIFAR, image folders, arrays and a synthetic set, with download and verification.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
