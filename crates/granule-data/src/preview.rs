//! Images of a few samples of each class.
