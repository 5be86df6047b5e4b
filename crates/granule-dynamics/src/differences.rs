//! Gradients against differences, for the tests of this crate.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::gradient::{Backward, Memory, Run, gradient, taped};
use crate::model::{Clock, Input, Model};
use crate::simulate::{Grid, record};
use crate::{Place, host};

struct Trained(Vec<(ParamId, usize)>);

impl ModuleVisitor for Trained {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().is_require_grad() {
            self.0.push((param.id, param.val().shape().num_elements()));
        }
    }
}

/// The trained parameters of a module with their sizes.
pub(crate) fn trained<M: Module>(module: &M) -> Vec<(ParamId, usize)> {
    let mut trained = Trained(Vec::new());
    module.visit(&mut trained);
    trained.0
}

struct Slopes<'a> {
    gradients: &'a mut GradientsParams,
    found: Vec<(ParamId, Vec<f64>)>,
}

impl ModuleVisitor for Slopes<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(slope) = self.gradients.remove::<D>(param.id) {
            self.found.push((param.id, host(slope).unwrap()));
        }
    }
}

/// The gradients of those parameters of a module that have one.
pub(crate) fn slopes<M: Module>(
    module: &M,
    mut gradients: GradientsParams,
) -> Vec<(ParamId, Vec<f64>)> {
    let mut slopes = Slopes {
        gradients: &mut gradients,
        found: Vec::new(),
    };
    module.visit(&mut slopes);
    slopes.found
}

/// Asserts that the gradient of a run is, to `tolerance` relative to the largest of each parameter, what the tape makes of it.
/// Returns why its steps are not recorded.
#[track_caller]
pub(crate) fn assert_as_on_the_tape<M: Model, I: Input + ?Sized>(
    model: &M,
    run: &Run<'_, I>,
    loss: impl Fn(Tensor<3>) -> Tensor<1>,
    tolerance: f64,
) -> Option<String> {
    let found = gradient(model, run, &loss).unwrap();
    if found.tape.is_some() {
        return found.tape;
    }
    let expected = taped(model, run, &loss).unwrap();
    let close = |found: &[f64], expected: &[f64], what: &str| {
        assert_eq!(found.len(), expected.len(), "{what}");
        let largest = expected.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        for (x, y) in found.iter().zip(expected) {
            assert!(
                (x - y).abs() <= tolerance * largest,
                "{what}, {:?}: {x} is not {y} of the tape, the largest {largest}",
                run.memory
            );
        }
    };
    let all = |of: Backward| {
        let variables = of.initial.into_tensors().into_iter();
        let variables = variables.map(|x| host(x).unwrap()).collect::<Vec<_>>();
        let seen = host(of.observed).unwrap();
        (of.loss, slopes(model, of.parameters), variables, seen)
    };
    let (found, expected) = (all(found), all(expected));
    close(&[found.0], &[expected.0], "the loss");
    close(&found.3, &expected.3, "what is observed");
    let ids = |of: &[(ParamId, Vec<f64>)]| of.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    assert_eq!(ids(&found.1), ids(&expected.1));
    for ((id, x), (_, y)) in found.1.iter().zip(&expected.1) {
        close(x, y, &format!("the gradient of {id}"));
    }
    for (x, y) in found.2.iter().zip(&expected.2) {
        close(x, y, "the gradient of the initial state");
    }
    None
}

struct Nudge {
    id: ParamId,
    element: usize,
    by: f64,
}

impl ModuleMapper for Nudge {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if param.id != self.id {
            return param;
        }
        param.map(|x| {
            let (place, shape, trained) = (Place::of(&x), x.dims(), x.is_require_grad());
            let mut values = host(x).unwrap();
            values[self.element] += self.by;
            place.tensor(values, shape).set_require_grad(trained)
        })
    }
}

/// The module with a number added to one element of one parameter.
pub(crate) fn nudged<M: Module>(module: &M, (id, element): (ParamId, usize), by: f64) -> M {
    module.clone().map(&mut Nudge { id, element, by })
}

/// The slope of `value` over one element of one parameter, by a central difference.
pub(crate) fn central<M: Module>(
    module: &M,
    at: (ParamId, usize),
    h: f64,
    value: impl Fn(&M) -> f64,
) -> f64 {
    let beside = |by: f64| value(&nudged(module, at, by));
    (beside(h) - beside(-h)) / (2.0 * h)
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
    for memory in [
        Memory::Full,
        Memory::Segments(3),
        Memory::Nested(vec![2, 2]),
        Memory::Truncated(4),
    ] {
        let run = Run {
            initial: None,
            batch: 2,
            input,
            grid: &grid,
            every: 1,
            memory: &memory,
        };
        if let Some(why) = assert_as_on_the_tape(model, &run, &loss, 1e-10) {
            eprintln!("on the tape: {why}");
        }
    }
    let whole = with(model, &Memory::Full);
    let floor = ROUNDING * whole.loss.abs().max(1.0) / h;
    let found = slopes(model, whole.parameters);
    for memory in [Memory::Segments(3), Memory::Nested(vec![2, 2])] {
        let again = slopes(model, with(model, &memory).parameters);
        assert_eq!(found.len(), again.len());
        for ((id, full), (other, parts)) in found.iter().zip(&again) {
            assert_eq!(id, other);
            let largest = full.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
            for (full, parts) in full.iter().zip(parts) {
                assert!(
                    (full - parts).abs() <= 1e-10 * largest,
                    "{parts} in segments is not {full}"
                );
            }
        }
    }
    let trained = trained(model);
    assert!(!trained.is_empty(), "nothing is trainable");
    let mut pairs = Vec::new();
    for (id, size) in trained {
        let slopes = found.iter().find(|(other, _)| *other == id);
        let first = pairs.len();
        for element in 0..size {
            let difference = central(model, (id, element), h, |moved| {
                let moved = moved.clone().valid();
                let initial = moved.initial_state(2).unwrap().without_autodiff();
                let input = |at: Clock| input.at(at).map(Tensor::without_autodiff);
                let seen = record(&moved.dynamics().unwrap(), initial, &input, &grid);
                host(loss(seen.unwrap().0.autodiff())).unwrap()[0]
            });
            let slope = slopes.map_or(0.0, |(_, slopes)| slopes[element]);
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
