use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer, SgdConfig};

use super::*;
use crate::linalg::symmetric_eigen;
use crate::testing::{assert_close, f64_autodiff, host_device};

/// Asserts that W keeps what the configuration promises; `pattern` is where connections may be.
#[track_caller]
fn assert_kept(name: &str, network: &RateNetwork, pattern: &[bool]) {
    let config = network.config();
    let n = config.units;
    let w = recurrent(network);
    for (at, (w, allowed)) in w.iter().zip(pattern).enumerate() {
        assert!(w.is_finite());
        assert!(*allowed || *w == 0.0, "{name}: connection {at} is {w}");
    }
    if config.dale_ratio.is_some() {
        for (row, excitatory) in w.chunks_exact(n).zip(config.excitatory()) {
            let kept = row
                .iter()
                .all(|w| if excitatory { *w >= 0.0 } else { *w <= 0.0 });
            assert!(kept, "{name}: {row:?}");
        }
    }
    if let Recurrence::LowRank { rank, .. } = config.recurrence {
        let mut gram = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                gram[i * n + j] = (0..n).map(|k| w[i * n + k] * w[j * n + k]).sum();
            }
        }
        let (squares, _) = symmetric_eigen(&gram, n).unwrap();
        assert!(squares[rank].abs() < 1e-12 * squares[0], "{squares:?}");
    }
    if config.excitatory_output {
        let out = host(network.readout.as_ref().unwrap().weights()).unwrap();
        let outputs = out.len() / n;
        for (row, excitatory) in out.chunks_exact(outputs).zip(config.excitatory()) {
            assert!(excitatory || row.iter().all(|w| *w == 0.0), "{name}");
        }
    }
    if let Some([low, high]) = config.time_constant_bounds {
        let taus = network.time_constant.values().unwrap();
        assert!(
            taus.iter().all(|tau| low <= *tau && *tau <= high),
            "{taus:?}"
        );
    }
}

#[test]
fn constraints_hold_after_every_step_of_every_optimiser() {
    let optimisers: [(fn() -> ModuleOptimizer, f64); 2] = [
        (|| AdamConfig::new().init(), 0.05),
        (|| SgdConfig::new().init(), 0.5),
    ];
    for place in [
        f64_autodiff(),
        Place::f32(&host_device("ndarray").autodiff()),
    ] {
        for (name, mut config) in constrained() {
            config.time_constant_bounds = Some([25.0, 400.0]);
            for (optimiser, rate) in &optimisers {
                let mut optimiser = optimiser();
                let mut network = config.init(3, 2, 4, &place).unwrap();
                let first = recurrent(&network);
                let pattern: Vec<bool> = first.iter().map(|w| *w != 0.0).collect();
                assert_kept(name, &network, &pattern);
                for step in 0..8 {
                    let inputs = random(step, [4, 6, 3], &place);
                    let out = network.forward(inputs, None).unwrap().outputs;
                    let target = random(100 + step, [4, 6, 2], &place);
                    let loss = (out - target.mul_scalar(3.0)).powi_scalar(2).sum();
                    let gradients = GradientsParams::from_grads(loss.backward(), &network);
                    network = optimiser.step(*rate, network, gradients);
                    assert_kept(name, &network, &pattern);
                }
                let moved = recurrent(&network).iter().zip(&first).any(|(a, b)| a != b);
                assert!(moved, "{name}");
            }
        }
    }
}

#[test]
fn units_are_excitatory_in_the_asked_for_share_of_every_block() {
    let count = |config: &RateNetworkConfig| config.excitatory().iter().filter(|e| **e).count();
    for (ratio, expected) in [(0.0, 0), (0.75, 75), (0.8, 80), (1.0, 100)] {
        let config = RateNetworkConfig {
            dale_ratio: Some(ratio),
            ..config(100)
        };
        assert_eq!(count(&config), expected);
        let w = recurrent(&config.init(1, 1, 0, &f64_autodiff()).unwrap());
        assert_eq!(w.iter().filter(|w| **w > 0.0).count(), 100 * expected);
    }
    let blocks = &constrained()[3].1;
    let expected = [
        true, true, true, false, false, false, true, true, false, false,
    ];
    assert_eq!(blocks.excitatory(), expected);
}

#[test]
fn excitation_and_inhibition_balance_at_the_beginning() {
    let config = RateNetworkConfig {
        dale_ratio: Some(0.8),
        ..config(100)
    };
    let w = recurrent(&config.init(1, 1, 3, &f64_autodiff()).unwrap());
    let [excitation, inhibition] = [1.0, -1.0].map(|sign| {
        let part = w.iter().map(|w| (sign * w).max(0.0));
        part.sum::<f64>()
    });
    assert_close(excitation / inhibition, 1.0, 1e-12);
}

#[test]
fn drawn_connections_have_the_asked_for_number_of_inputs() {
    let inputs = |w: &[f64], n: usize, pre: std::ops::Range<usize>| -> Vec<usize> {
        let one = |post: usize| pre.clone().filter(|pre| w[pre * n + post] != 0.0).count();
        (0..n).map(one).collect()
    };
    let place = f64_autodiff();
    let sparse = RateNetworkConfig {
        recurrence: Recurrence::Sparse { density: 0.1 },
        autapses: false,
        ..config(51)
    };
    let one = recurrent(&sparse.init(1, 1, 1, &place).unwrap());
    assert!(inputs(&one, 51, 0..51).iter().all(|count| *count == 5));
    assert!((0..51).all(|i| one[i * 52] == 0.0));
    let same = recurrent(&sparse.init(1, 1, 1, &place).unwrap());
    let other = recurrent(&sparse.init(1, 1, 2, &place).unwrap());
    assert_eq!(one, same);
    let pattern = |w: &[f64]| w.iter().map(|w| *w != 0.0).collect::<Vec<_>>();
    assert_ne!(pattern(&one), pattern(&other));

    let (_, blocks) = &constrained()[3];
    let w = recurrent(&blocks.init(1, 1, 1, &place).unwrap());
    assert_eq!(inputs(&w, 10, 0..6), [5, 5, 5, 5, 5, 5, 3, 3, 3, 3]);
    assert_eq!(inputs(&w, 10, 6..10), [0, 0, 0, 0, 0, 0, 3, 3, 3, 3]);
    // However thin, every unit keeps one input.
    let thin = RateNetworkConfig {
        recurrence: Recurrence::Sparse { density: 1e-3 },
        ..config(30)
    };
    let w = recurrent(&thin.init(1, 1, 1, &place).unwrap());
    assert!(inputs(&w, 30, 0..30).iter().all(|count| *count == 1));
}
