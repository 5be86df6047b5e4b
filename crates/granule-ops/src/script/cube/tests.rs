//! The kernel against the same script on the CPU.

use std::sync::Arc;

use burn::tensor::activation::{log_sigmoid, sigmoid};
use burn::tensor::{DType, Device, Tensor};

use super::super::{Recorded, Run, Script, See, record};
use crate::testing::{assert_close, gpu, numbers};

type Body = dyn Fn(&[Tensor<2>], &[Tensor<2>]) -> (Vec<Tensor<2>>, Vec<Tensor<2>>);

fn script(states: &[[usize; 2]], given: &[[usize; 2]], body: &Body) -> Script {
    let recorded = record(
        (&Device::flex(), DType::F32),
        states,
        given,
        |_, _, x, u| {
            let (next, seen) = body(x, u);
            let given = Vec::new();
            Ok::<_, ()>(Recorded { next, seen, given })
        },
    );
    recorded.unwrap()
}

/// Runs in two calls, which is the same as one: first the state at the end, then what is seen.
#[track_caller]
fn agree(states: &[[usize; 2]], given: &[[usize; 2]], see: &[See], body: &Body) {
    let Some(gpu) = gpu() else { return };
    let script = Arc::new(script(states, given, body));
    assert!(script.runs_on(&gpu));
    let counted = |shapes: &[[usize; 2]], times: usize, seed: u64| -> Vec<Vec<f64>> {
        let of = |(i, shape): (usize, &[usize; 2])| {
            let own = numbers(times * shape[0] * shape[1], seed + i as u64);
            own.into_iter().map(|x| f64::from(x as f32)).collect()
        };
        shapes.iter().enumerate().map(of).collect()
    };
    let run = |device: &Device| {
        let begin = counted(states, 1, 1);
        let mut run = Run::new(Arc::clone(&script), &begin).unwrap().on(device);
        let (mut values, mut places) = (vec![Vec::new(); see.len()], vec![Vec::new(); see.len()]);
        for (steps, seed) in [(5, 20), (8, 30)] {
            let seen = run.steps(steps, &counted(given, steps, seed), see).unwrap();
            for (thing, seen) in seen.into_iter().enumerate() {
                values[thing].extend(seen.values);
                places[thing].extend(seen.places);
            }
        }
        (run.state(), values, places)
    };
    let (here, there) = (run(&Device::flex()), run(&gpu));
    let pairs = here
        .0
        .iter()
        .chain(&here.1)
        .zip(there.0.iter().chain(&there.1));
    for (index, (here, there)) in pairs.enumerate() {
        assert_close(there, here, 1e-5, &format!("{states:?}: {index}"));
    }
}

#[test]
fn elementary_functions_are_those_of_the_cpu() {
    agree(
        &[[1, 7], [1, 7]],
        &[[1, 7]],
        &[See::Every(1); 3],
        &|x, u| {
            let (a, b, u) = (x[0].clone(), x[1].clone(), u[0].clone());
            let positive = a.clone().abs() + 0.1;
            let sum = a.clone().exp() * 0.1 - b.clone().tanh() / 3.0
                + positive.clone().log()
                + positive.clone().log1p()
                + positive.clone().sqrt()
                + (b.clone() * 3.0).sin() * (-a.clone()).cos()
                + positive.clone().recip() * 0.01
                + positive.clone().powf_scalar(0.7)
                + a.clone().powf_scalar(2.0)
                + positive.powf_scalar(-3.0) * 1e-3;
            let smooth = sigmoid(a.clone()) - log_sigmoid(b.clone())
                + (u.clone() * 5.0).floor() * 0.1
                + (u.clone() * 5.0).ceil() * 0.1
                + (u.clone() * 5.0).round() * 0.1
                + a.clone().sign();
            let above = a.clone().greater(b.clone());
            let chosen = b.clone().mask_where(above.clone(), u.clone());
            let least = a.clone().min_pair(u.clone()) + b.clone().max_pair(u) + above.float();
            (
                vec![chosen * 0.5 + sum.clone() * 0.01, a * 0.9],
                vec![sum, smooth, least],
            )
        },
    );
}

/// One element, several workgroups; a variable of one element among wide ones; a constant for each element; variables that take
/// each other's places; intervals that no call is a multiple of, and what is never seen.
#[test]
fn shapes_and_intervals_are_those_of_the_cpu() {
    for lanes in [1, 3, 700] {
        let each: Vec<f32> = (0..lanes).map(|i| 0.5 + (i % 5) as f32 * 0.1).collect();
        agree(
            &[[1, lanes], [1, lanes], [1, 1]],
            &[[1, lanes], [1, 1]],
            &[See::Every(3), See::Every(1), See::Never, See::Every(2)],
            &move |x, u| {
                let each = Tensor::<1>::from_data(each.as_slice(), &x[0].device());
                let each = each.unsqueeze::<2>();
                let (a, b, one) = (x[0].clone(), x[1].clone(), x[2].clone());
                let next = a.clone() * each + u[0].clone() * 0.1 + one.clone() * u[1].clone();
                let one = one * 0.9 + u[1].clone();
                (
                    vec![b.clone(), next.clone(), one.clone()],
                    vec![next, one, a, b],
                )
            },
        );
    }
}

/// Events: what is seen where something is not 0.
#[test]
fn what_is_seen_at_some_places_is_that_of_the_cpu() {
    for lanes in [1, 300] {
        agree(
            &[[1, lanes], [1, 1]],
            &[[1, lanes]],
            &[See::Where(0), See::Where(0), See::Every(2)],
            &|x, u| {
                let next = x[0].clone() * 0.5 + u[0].clone();
                let above = next.clone().greater_elem(0.7).float();
                let one = x[1].clone() + 0.25;
                (vec![next.clone(), one.clone()], vec![above, next, one])
            },
        );
    }
}

#[test]
fn steps_that_mix_elements_have_no_kernel() {
    let Some(gpu) = gpu() else { return };
    let body = |x: &[Tensor<2>], _: &[Tensor<2>]| {
        let mean = x[0].clone() - x[0].clone().mean_dim(1);
        (vec![mean], Vec::new())
    };
    assert!(!script(&[[1, 4]], &[], &body).runs_on(&gpu));
    assert!(script(&[[1, 4]], &[], &body).runs_on(&Device::flex()));
}

/// More steps than a launch takes; and a step that was saved is gone back to, whatever was seen since.
#[test]
fn a_long_run_and_one_that_goes_back_are_those_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let body = |x: &[Tensor<2>], u: &[Tensor<2>]| {
        let (mut a, one) = (x[0].clone(), x[1].clone());
        for _ in 0..10 {
            a = a * 0.99 + u[0].clone() * 0.01 + one.clone() * 1e-3;
        }
        (vec![a.clone(), one * 0.999], vec![a])
    };
    let script = Arc::new(script(&[[1, 3], [1, 1]], &[[1, 3]], &body));
    let begin = [vec![0.5, -0.25, 1.0], vec![1.0]];
    let steps = 700;
    let given = [numbers(3 * steps, 5)];
    let run = |device: &Device| {
        let mut run = Run::new(Arc::clone(&script), &begin).unwrap().on(device);
        let mut all = run.steps(steps, &given, &[See::Every(50)]).unwrap();
        let (saved, state) = (run.saved(), run.state());
        all.extend(run.steps(steps, &given, &[See::Never]).unwrap());
        run.restore(&saved);
        assert_eq!((run.done(), run.state()), (steps, state));
        all.extend(run.steps(steps, &given, &[See::Every(100)]).unwrap());
        let seen = all.into_iter().flat_map(|seen| seen.values);
        seen.chain(run.state().concat()).collect::<Vec<f64>>()
    };
    let (found, expected) = (run(&gpu), run(&Device::flex()));
    assert_close(&found, &expected, 1e-5, "there and back");
}
