//! Runs, gradients and devices that the tests of every system share.

use burn::tensor::Tensor;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{Integrated, System};
use crate::differences::{assert_as_on_the_tape, nudged, slopes, trained};
use crate::gradient::{Memory, Run, gradient};
use crate::model::{ConstantInput, Input, Model};
use crate::simulate::{Grid, record};
use crate::solver::Rk4;
use crate::testing::{f32_places, f64_autodiff, f64_place};
use crate::{Place, State, host};

fn grid(dt: f64, steps: usize) -> Grid {
    Grid::Uniform {
        start: 0.0,
        dt,
        steps,
    }
}

/// What a system of one row shows at the beginning and after each step of RK4, and its last state.
pub(crate) fn trace<S: System>(
    system: &S,
    input: &dyn Input,
    dt: f64,
    steps: usize,
) -> (Vec<Vec<f64>>, State) {
    let model = Integrated::new(system.clone(), Rk4);
    let initial = model.initial_state(1).unwrap();
    let (seen, last) =
        record(&model.dynamics().unwrap(), initial, input, &grid(dt, steps)).unwrap();
    let width = seen.dims()[2];
    let rows = host(seen)
        .unwrap()
        .chunks(width)
        .map(<[f64]>::to_vec)
        .collect();
    (rows, last)
}

/// Numbers between 0 and 1.
pub(crate) fn uniform(seed: u64) -> impl FnMut() -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    move || (random.next_u64() >> 11) as f64 * 2.0_f64.powi(-53)
}

/// The frequency between 1 and 40 Hz with the largest power, of samples `dt` seconds apart.
pub(crate) fn peak_frequency(signal: &[f64], dt: f64) -> f64 {
    let mean = signal.iter().sum::<f64>() / signal.len() as f64;
    let power = |frequency: f64| {
        let (mut re, mut im) = (0.0, 0.0);
        for (i, x) in signal.iter().enumerate() {
            let phase = std::f64::consts::TAU * i as f64;
            let window = 1.0 - (phase / signal.len() as f64).cos();
            let (sin, cos) = (phase * frequency * dt).sin_cos();
            re += window * (x - mean) * cos;
            im += window * (x - mean) * sin;
        }
        re * re + im * im
    };
    let frequencies = (4..=160).map(|i| 0.25 * f64::from(i));
    frequencies
        .max_by(|a, b| power(*a).total_cmp(&power(*b)))
        .unwrap()
}

/// Every element of every trainable parameter: reverse mode against differences of fourth order, in double precision, to a
/// relative 1e-6; and one memory policy against another.
pub(crate) fn model_gradients_agree<M: Model>(
    make: impl Fn(&Place) -> M,
    input: &[f64],
    dt: f64,
    steps: usize,
) {
    let place = f64_autodiff();
    let model = make(&place);
    let grid = grid(dt, steps);
    let plain = f64_place();
    let input = ConstantInput(plain.tensor(input.to_vec(), [1, input.len()]));
    let show = |model: &M| {
        let model = model.clone().valid();
        let initial = model.initial_state(1).unwrap().without_autodiff();
        record(&model.dynamics().unwrap(), initial, &input, &grid)
            .unwrap()
            .0
    };
    let largest = host(show(&model))
        .unwrap()
        .into_iter()
        .fold(0.0_f64, |m, x| m.max(x.abs()));
    let loss = |seen: Tensor<3>| seen.mul_scalar(1.0 / largest).sin().sum();
    let run = Run {
        initial: None,
        batch: 1,
        input: &input,
        grid: &grid,
        every: 1,
        memory: &Memory::Segments(3),
    };
    let tape = assert_as_on_the_tape(&model, &run, loss, 1e-10);
    assert!(tape.is_none(), "{tape:?}");
    let found = slopes(&model, gradient(&model, &run, loss).unwrap().parameters);
    let run = Run {
        memory: &Memory::Full,
        ..run
    };
    let whole = slopes(&model, gradient(&model, &run, loss).unwrap().parameters);
    for ((_, segments), (_, full)) in found.iter().zip(&whole) {
        for (segments, full) in segments.iter().zip(full) {
            assert!(
                (segments - full).abs() <= 1e-10 * full.abs(),
                "{segments} {full}"
            );
        }
    }
    let trained = trained(&model);
    assert!(!trained.is_empty());
    for (id, size) in trained {
        let Some((_, gradients)) = found.iter().find(|(other, _)| *other == id) else {
            panic!("no gradient reached {id}");
        };
        assert_eq!(gradients.len(), size);
        for (element, gradient) in gradients.iter().enumerate() {
            let at = |by: f64| {
                let moved = nudged(&model, (id, element), by);
                host(loss(show(&moved))).unwrap()[0]
            };
            let h = 1e-3 / (1.0 + gradient.abs());
            let difference = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            let error = (gradient - difference).abs();
            assert!(*gradient != 0.0, "{id} {element} has no effect");
            assert!(
                error <= 1e-6 * difference.abs() + 1e-9,
                "{id} {element}: {gradient} instead of {difference}"
            );
        }
    }
}

/// [`model_gradients_agree`] for a system under RK4.
pub(crate) fn every_gradient_agrees<S: System>(
    make: impl Fn(&Place) -> S,
    input: &[f64],
    dt: f64,
    steps: usize,
) {
    model_gradients_agree(|place| Integrated::new(make(place), Rk4), input, dt, steps);
}

/// A run in single precision on every device ends where one in double precision does.
pub(crate) fn model_agrees_on_every_device<M: Model>(
    make: impl Fn(&Place) -> M,
    input: &[f64],
    dt: f64,
    steps: usize,
    tolerance: f64,
) {
    let end = |place: &Place| -> Vec<f64> {
        let model = make(place);
        let input = ConstantInput(place.tensor(input.to_vec(), [1, input.len()]));
        let initial = model.initial_state(2).unwrap();
        let (seen, last) = record(
            &model.dynamics().unwrap(),
            initial,
            &input,
            &grid(dt, steps),
        )
        .unwrap();
        let last = last.into_tensors().into_iter().map(|x| host(x).unwrap());
        host(seen)
            .unwrap()
            .into_iter()
            .chain(last.flatten())
            .collect()
    };
    let exact = end(&f64_place());
    for (name, place) in f32_places() {
        for (found, expected) in end(&place).into_iter().zip(&exact) {
            let limit = tolerance * expected.abs().max(1.0);
            assert!(
                (found - expected).abs() <= limit,
                "{name}: {found} instead of {expected}"
            );
        }
    }
}

/// [`model_agrees_on_every_device`] for a system under RK4.
pub(crate) fn agrees_on_every_device<S: System>(
    make: impl Fn(&Place) -> S,
    input: &[f64],
    dt: f64,
    steps: usize,
    tolerance: f64,
) {
    let make = |place: &Place| Integrated::new(make(place), Rk4);
    model_agrees_on_every_device(make, input, dt, steps, tolerance);
}
