//! A step within a script against the same step by itself.

use super::*;
use crate::script::{Recorded, Run, Script, record};

const STEPS: usize = 3;

/// With all constants shared by all cells.
fn shared(mut inputs: Inputs) -> Inputs {
    let first = inputs.states() + 1;
    inputs.values[first..]
        .iter_mut()
        .for_each(|constant| constant.truncate(1));
    inputs
}

/// A step of so many steps of cells.
fn script(inputs: &Inputs, dtype: DType, driven: bool, within: usize) -> Arc<Script> {
    script_of((inputs, dtype), driven, within, false)
}

/// The same, in which the cells of a row may go together: their voltages are summed.
fn script_of(
    (inputs, dtype): (&Inputs, DType),
    driven: bool,
    within: usize,
    together: bool,
) -> Arc<Script> {
    let states = vec![[inputs.batch, inputs.cells]; inputs.states()];
    let mut cells = None;
    let script = record(
        (&Device::flex(), dtype),
        &states,
        &[inputs.inflow],
        |_, device, x, inflow| {
            let cells = cells.get_or_insert_with(|| {
                let tensors = inputs.tensors(device, dtype);
                let membrane = inputs.membrane(&tensors);
                ConductanceStep::new(inputs.cells, &membrane, &tensors[0]).unwrap()
            });
            let inflow = driven.then(|| inflow[0].clone());
            let next = (0..within).try_fold(x.to_vec(), |x, _| cells.step(&x, inflow.clone(), DT));
            let next = next.ok_or(())?;
            let sum = together.then(|| next[0].clone().sum_dim(1));
            Ok::<_, ()>(Recorded {
                next,
                seen: sum.into_iter().collect(),
                given: Vec::new(),
            })
        },
    );
    Arc::new(script.unwrap())
}

/// The state after some steps of a script, and how many operations a step of it has.
fn recorded(inputs: &Inputs, dtype: DType) -> (Vec<Vec<f64>>, usize) {
    let device = Device::flex();
    let script = script(inputs, dtype, true, 1);
    let begin: Vec<Vec<f64>> = inputs
        .tensors(&device, dtype)
        .into_iter()
        .map(values)
        .collect();
    let (begin, inflow) = begin.split_at(inputs.states());
    let operations = script.operations();
    let mut run = Run::new(script, begin).unwrap();
    run.steps(STEPS, &[inflow[0].repeat(STEPS)], &[]).unwrap();
    (run.state(), operations)
}

#[test]
fn a_script_has_the_same_steps_bit_for_bit() {
    // Blocks that are full, parts of one, and several of them; every way of an inflow.
    let sizes = [
        (1, 8, [1, 1]),
        (2, 9, [2, 1]),
        (1, 130, [1, 130]),
        (3, 200, [1, 200]),
        (2, 70, [2, 70]),
        (1, 1300, [1, 1300]),
    ];
    for ((batch, cells, inflow), kind) in sizes.into_iter().flat_map(|x| KINDS.map(|k| (x, k))) {
        let own = Inputs::new(batch, cells, kind, inflow);
        for (inputs, dtype) in [shared(own.clone()), own]
            .iter()
            .flat_map(|x| [DType::F32, DType::F64].map(|dtype| (x, dtype)))
        {
            let (found, operations) = recorded(inputs, dtype);
            let tensors = inputs.tensors(&Device::flex(), dtype);
            let mut state = tensors.clone();
            for _ in 0..STEPS {
                let next = inputs.step(&state);
                state.splice(..inputs.states(), next);
            }
            let expected: Vec<Vec<f64>> = state.into_iter().map(values).collect();
            assert_eq!(
                found,
                expected[..inputs.states()],
                "{cells} {kind:?} {dtype:?}"
            );
            // One for each variable, but for what is made of the inflow.
            assert!(operations <= inputs.states() + 1, "{operations}");
        }
    }
}

/// Rows are then computed in ranges, of which the last may be of one cell.
#[test]
fn rows_that_go_together_have_the_constants_of_each_cell_to_the_last() {
    for cells in [8, 129, 257, 512, 513, 769] {
        let inputs = Inputs::new(1, cells, Kind::All, [1, cells]);
        let begin: Vec<Vec<f64>> = inputs
            .tensors(&Device::flex(), DType::F32)
            .into_iter()
            .map(values)
            .collect();
        let (begin, inflow) = begin.split_at(inputs.states());
        let state = |together: bool| {
            let script = script_of((&inputs, DType::F32), true, 1, together);
            assert_eq!(script.is_elementwise(), !together);
            let see = vec![crate::script::See::Never; script.seen().len()];
            let mut run = Run::new(script, begin).unwrap();
            run.steps(STEPS, &[inflow[0].repeat(STEPS)], &see).unwrap();
            run.state()
        };
        assert!(state(true) == state(false), "{cells}");
    }
}

/// Of what all cells share, each constant by itself is one that each cell has.
#[test]
fn cells_without_an_inflow_have_none() {
    for cells in [20, 300] {
        let own = Inputs::new(1, cells, Kind::Squid, [1, 1]);
        let (states, constants) = (own.states(), own.states() + 1..own.values.len());
        let each = constants.map(|index| {
            let mut inputs = shared(own.clone());
            let constant = inputs.values[index][0];
            let spread = scattered(cells, index).into_iter();
            inputs.values[index] = spread.map(|x| constant * (1.0 + 0.05 * x)).collect();
            inputs
        });
        let all = each.chain([own.clone(), shared(own.clone())]);
        for (inputs, dtype) in all.flat_map(|x| [DType::F32, DType::F64].map(|d| (x.clone(), d))) {
            let tensors = inputs.tensors(&Device::flex(), dtype);
            let membrane = inputs.membrane(&tensors);
            let step = ConductanceStep::new(cells, &membrane, &tensors[0]).unwrap();
            let expected = step.step(&tensors[..states], None, DT).unwrap();
            let begin: Vec<Vec<f64>> = tensors[..states].iter().cloned().map(values).collect();
            let mut run = Run::new(script(&inputs, dtype, false, 1), &begin).unwrap();
            run.steps(1, &[vec![7.0]], &[]).unwrap();
            let expected: Vec<Vec<f64>> = expected.into_iter().map(values).collect();
            assert_eq!(run.state(), expected);
        }
    }
}

#[test]
fn threads_and_steps_within_a_step_do_not_matter() {
    const COUNT: usize = 60;
    let inputs = Inputs::new(1, 1300, Kind::All, [1, 1300]);
    let begin: Vec<Vec<f64>> = inputs
        .tensors(&Device::flex(), DType::F32)
        .into_iter()
        .map(values)
        .collect();
    let (begin, inflow) = begin.split_at(inputs.states());
    let state = |threads: usize, within: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let script = script(&inputs, DType::F32, true, within);
        let steps = COUNT / within;
        pool.build().unwrap().install(|| {
            let mut run = Run::new(script, begin).unwrap();
            run.steps(steps, &[inflow[0].repeat(steps)], &[]).unwrap();
            run.state()
        })
    };
    let expected = state(1, 1);
    for (threads, within) in [(3, 1), (2, 4), (1, 60)] {
        assert!(state(threads, within) == expected, "{threads} {within}");
    }
}

#[test]
fn a_step_may_have_thousands_of_steps_of_cells() {
    let inputs = Inputs::new(1, 8, Kind::Squid, [1, 1]);
    let script = script(&inputs, DType::F32, true, 5000);
    assert!(script.operations() >= 5000 * inputs.states());
}

#[test]
fn few_cells_are_recorded_operation_by_operation() {
    let inputs = Inputs::new(1, 7, Kind::Squid, [1, 1]);
    let script = record(
        (&Device::flex(), DType::F64),
        &[[1, 7]],
        &[],
        |_, device, x, _| {
            let membrane = inputs.membrane(&inputs.tensors(device, DType::F64));
            assert!(ConductanceStep::new(7, &membrane, &x[0]).is_none());
            Ok::<_, ()>(Recorded {
                next: x.to_vec(),
                seen: Vec::new(),
                given: Vec::new(),
            })
        },
    );
    assert_eq!(script.unwrap().states(), [7]);
}

#[test]
fn the_series_near_zero_are_as_exact_as_the_number_format() {
    use cpu::Number;
    for i in -499_i32..=499 {
        let wide = 1e-3 * f64::from(i) + 3.7e-5;
        let narrow = wide as f32;
        let mut of_wide = vec![Number::phi1_near_zero::<true>(wide)];
        let mut of_narrow = vec![Number::phi1_near_zero::<false>(narrow)];
        if wide.abs() < f64::NEARER_ZERO {
            of_wide.push(Number::phi1_nearer_zero::<true>(wide));
        }
        if narrow.abs() < f32::NEARER_ZERO {
            of_narrow.push(Number::phi1_nearer_zero::<false>(narrow));
        }
        for found in of_wide {
            let exact = wide.exp_m1() / wide;
            assert!(((found - exact) / exact).abs() < 4e-16, "{wide}: {found}");
        }
        for found in of_narrow.into_iter().map(f64::from) {
            let exact = f64::from(narrow).exp_m1() / f64::from(narrow);
            assert!(
                ((found - exact) / exact).abs() < 1.2e-7,
                "{narrow}: {found}"
            );
        }
    }
}
