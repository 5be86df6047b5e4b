//! Training at one level alone, level by level, and jointly.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::AdamConfig;

use super::*;
use crate::gradient::{Memory, Run, gradient};

/// All values of a module, in its order.
fn values(module: &impl Module) -> Vec<f64> {
    struct Values(Vec<f64>);
    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(host(param.val()).unwrap());
        }
    }
    let mut values = Values(Vec::new());
    module.visit(&mut values);
    values.0
}

/// The values of each level, and of the couplers.
fn parts(model: &MultiGranularityModel) -> Vec<Vec<f64>> {
    let levels = model.levels.iter().map(values);
    levels.chain([values(&model.couplers)]).collect()
}

const NAMES: [&str; 4] = ["cells", "population", "system", "couplers"];

/// Steps of Adam towards what another model shows, on the named parts only; the loss before each and after the last.
fn train(
    mut model: MultiGranularityModel,
    target: &Tensor<3>,
    names: &[&str],
    steps: usize,
) -> (MultiGranularityModel, Vec<f64>) {
    let grid = grid(16);
    let run = Run {
        initial: None,
        batch: 1,
        input: &NoInput,
        grid: &grid,
        every: 1,
        memory: &Memory::Segments(4),
    };
    let loss = |seen: Tensor<3>| {
        let error = seen - target.clone().autodiff();
        // Voltages are hundreds of times as large as the rest.
        let cells = error.clone().narrow(2, 0, 2).mul_scalar(0.02);
        let rest = error.narrow(2, 2, 5);
        (cells.clone() * cells).sum() + (rest.clone() * rest).sum()
    };
    let mut optimizer = AdamConfig::new().init();
    let mut losses = Vec::new();
    for _ in 0..steps {
        // The gradients of a clone that trains some parts move those parts of the model.
        let part = model.clone().train_only(names).unwrap();
        let found = gradient(&part, &run, loss).unwrap();
        losses.push(found.loss);
        model = optimizer.step(0.01, model, found.parameters);
    }
    losses.push(gradient(&model, &run, loss).unwrap().loss);
    (model, losses)
}

#[test]
fn a_loss_falls_at_one_level_level_by_level_and_jointly() {
    let place = f64_autodiff();
    let model = trainable_levels().init(&place).unwrap();
    let mut other = trainable_levels();
    other.seed = 4;
    if let Some(crate::unit::UnitConfig::HodgkinHuxley(cells)) = &mut other.levels[0].unit {
        cells.current = 9.0.into();
    }
    let other = other.init(&f64_place()).unwrap();
    let start = other.initial_state(1).unwrap();
    let (target, _) = record(&other.dynamics().unwrap(), start, &NoInput, &grid(16)).unwrap();

    let falls = |losses: &[f64], by: f64, what: &str| {
        let [first, .., last] = losses else {
            panic!("{what}: {losses:?}")
        };
        assert!(*last < by * first, "{what}: {losses:?}");
    };
    let stays = |before: &MultiGranularityModel, after: &MultiGranularityModel, names: &[&str]| {
        let (before, after) = (parts(before), parts(after));
        for ((name, before), after) in NAMES.iter().zip(before).zip(after) {
            let same = before == after;
            assert_eq!(same, !names.contains(name), "{name} of {names:?}");
        }
    };
    let (alone, losses) = train(model.clone(), &target, &["population"], 8);
    falls(&losses, 0.99, "alone");
    stays(&model, &alone, &["population"]);

    let mut turn = model.clone();
    let mut course = Vec::new();
    for name in NAMES {
        let (next, losses) = train(turn.clone(), &target, &[name], 4);
        falls(&losses, 1.0, name);
        stays(&turn, &next, &[name]);
        course.extend(losses);
        turn = next;
    }
    falls(&course, 0.95, "in turn");

    let (joint, losses) = train(model.clone(), &target, &NAMES, 8);
    falls(&losses, 0.95, "jointly");
    stays(&model, &joint, &NAMES);
    // Nothing that was taken out of training for a while is out for good.
    assert_eq!(tracked(&joint), tracked(&model));
    let frozen = model.clone().train_only(&["system"]).unwrap();
    let (after, _) = train(frozen.clone(), &target, &NAMES, 2);
    stays(&frozen, &after, &["system"]);
}
