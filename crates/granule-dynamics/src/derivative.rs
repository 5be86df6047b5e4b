//! Functions whose derivative is written by hand.

use burn::tensor::Tensor;

use crate::state::taped;

/// `function` of `x`, elementwise, with one or two nodes on the tape where its operations would be a dozen.
///
/// `function` gets `x` off the tape, and whether its derivative is wanted beside its value. The result is
/// value + derivative·(x − x₀) with x₀ = x, which is the value exactly.
pub(crate) fn by_hand(
    x: Tensor<2>,
    function: impl FnOnce(Tensor<2>, bool) -> (Tensor<2>, Option<Tensor<2>>),
) -> Tensor<2> {
    if !crate::state::is_tracked(&x) {
        return function(x, false).0;
    }
    let plain = crate::state::plain(x.clone());
    match function(plain.clone(), true) {
        (value, Some(derivative)) => taped(value) + (x - taped(plain)) * taped(derivative),
        (value, None) => taped(value),
    }
}
