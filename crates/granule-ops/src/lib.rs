//! Fused tensor operations with hand-written backward passes.
