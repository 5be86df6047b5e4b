//! Gradients of runs against central differences, for the tests of this crate.

use burn::module::{ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use crate::gradient::{Memory, Run, gradient};
use crate::host;
use crate::model::{Clock, Input, Model};
use crate::simulate::{Grid, record};

/// The trainable parameters of a module with their sizes.
#[derive(Default)]
struct Trainable(Vec<(ParamId, usize)>);

impl ModuleVisitor for Trainable {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().is_require_grad() {
            self.0.push((param.id, param.val().shape().num_elements()));
        }
    }
}

/// Moves one element of one parameter.
struct Move {
    id: ParamId,
    element: usize,
    by: f64,
}

impl ModuleMapper for Move {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if param.id != self.id {
            return param;
        }
        let (element, by) = (self.element, self.by);
        param.map(|x| {
            let place = crate::Place::of(&x);
            let shape = x.dims();
            let mut change = vec![0.0; shape.iter().product()];
            change[element] = by;
            let change = place.tensor::<D>(change, shape).without_autodiff();
            Tensor::from_inner(x.without_autodiff() + change).require_grad()
        })
    }
}

/// What rounding leaves of a loss, relative to it: two losses of which many steps and outputs are summed.
const ROUNDING: f64 = 64.0 * f64::EPSILON;

/// Asserts that the gradient of `loss` with respect to every element of every trainable parameter agrees with central
/// differences of `h` in the raw values, to `tolerance` relative to the largest of the same parameter and what rounding
/// makes of the difference of two losses, in any case to `tolerance` relative to the largest of all; and that it is the same
/// to 10⁻¹⁰ whether the run is kept in full, in segments or in segments of segments.
#[track_caller]
pub(crate) fn assert_gradient<M: Model>(
    model: &M,
    input: &dyn Input,
    (dt, steps): (f64, usize),
    loss: impl Fn(Tensor<3>) -> Tensor<1>,
    h: f64,
    tolerance: f64,
) {
    let grid = Grid::Uniform {
        start: 0.0,
        dt,
        steps,
    };
    let with = |model: &M, memory: &Memory| {
        let run = Run {
            initial: None,
            batch: 2,
            input,
            grid: &grid,
            every: 1,
            memory,
        };
        gradient(model, &run, &loss).unwrap()
    };
    let mut found = with(model, &Memory::Full);
    let floor = ROUNDING * found.loss.abs().max(1.0) / h;
    let mut again = [Memory::Segments(3), Memory::Nested(vec![2, 2])]
        .map(|memory| with(model, &memory).parameters);
    let mut trainable = Trainable::default();
    model.visit(&mut trainable);
    assert!(!trainable.0.is_empty(), "nothing is trainable");
    let mut pairs = Vec::new();
    for (id, size) in trainable.0 {
        let slopes = found.parameters.remove::<2>(id).map(|x| host(x).unwrap());
        for other in &mut again {
            let other = other.remove::<2>(id).map(|x| host(x).unwrap());
            let both = slopes.iter().flatten().zip(other.iter().flatten());
            let largest = slopes.iter().flatten().fold(0.0_f64, |m, x| m.max(x.abs()));
            assert_eq!(slopes.is_some(), other.is_some());
            for (full, parts) in both {
                assert!(
                    (full - parts).abs() <= 1e-10 * largest,
                    "{parts} in segments is not {full}"
                );
            }
        }
        let first = pairs.len();
        for element in 0..size {
            let at = |by: f64| {
                let moved = model.clone().map(&mut Move { id, element, by }).valid();
                let initial = moved.initial_state(2).unwrap().without_autodiff();
                let input = |at: Clock| input.at(at).map(Tensor::without_autodiff);
                let seen = record(&moved.dynamics().unwrap(), initial, &input, &grid);
                host(loss(seen.unwrap().0.autodiff())).unwrap()[0]
            };
            let difference = (at(h) - at(-h)) / (2.0 * h);
            let slope = slopes.as_ref().map_or(0.0, |slopes| slopes[element]);
            pairs.push((slope, difference));
        }
        let own = &pairs[first..];
        let largest = own.iter().fold(0.0_f64, |m, (_, d)| m.max(d.abs()));
        for (slope, difference) in own {
            assert!(
                (slope - difference).abs() <= tolerance * largest + floor,
                "{slope} is not {difference}, of one parameter: {own:?}"
            );
        }
    }
    let scale = pairs.iter().map(|(_, d)| d.abs()).fold(0.0, f64::max);
    assert!(scale > 1e-6, "no parameter matters: {pairs:?}");
    for (slope, difference) in &pairs {
        assert!(
            (slope - difference).abs() <= tolerance * scale,
            "{slope} is not {difference}: {pairs:?}"
        );
        assert!(
            difference.abs() > 1e-9 * scale,
            "one parameter does not matter: {pairs:?}"
        );
    }
}
