//! Reading and replacing all weights.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Gradients, Tensor};
use granule_models::{Model as _, ModelError, Network, NoiseStream, StateDict, TensorValue, state};

use crate::support::{flex, samples, small_models};

struct Descend<'a>(&'a Gradients);

impl ModuleMapper for Descend<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = param.val().grad(self.0) else {
            return param;
        };
        param.map(|tensor| {
            let moved = tensor.inner().sub(gradient.mul_scalar(0.05));
            Tensor::from_inner(moved).require_grad()
        })
    }
}

fn train(
    mut network: Network,
    steps: std::ops::Range<u64>,
    features: usize,
    device: &Device,
) -> Network {
    for step in steps {
        let x = samples(4, features, device).mul_scalar(1.0 + step as f64);
        let output = network
            .forward_train(x, &mut NoiseStream::new(3, step))
            .unwrap();
        let gradients = output.powi_scalar(2).mean().backward();
        network = network.map(&mut Descend(&gradients));
    }
    network
}

#[test]
fn training_continues_bit_exactly_from_a_state() {
    let device = flex().autodiff();
    for (config, input) in small_models() {
        let start = || config.init(&input, 3, 1, &device).unwrap();
        let straight = train(start(), 0..4, input.len(), &device);

        let half = train(start(), 0..2, input.len(), &device);
        let saved = state::state_dict(&half).unwrap();
        let other = train(
            config.init(&input, 3, 99, &device).unwrap(),
            0..1,
            input.len(),
            &device,
        );
        let restored = state::load_state_dict(other, &saved).unwrap();
        assert_eq!(state::state_dict(&restored).unwrap(), saved);
        let resumed = train(restored, 2..4, input.len(), &device);

        let [a, b] = [straight, resumed].map(|n| state::state_dict(&n).unwrap());
        assert_eq!(a, b, "{}", config.name());
        assert_ne!(a, saved, "{} did not learn", config.name());
    }
}

#[test]
fn running_statistics_are_current_and_private() {
    let device = flex().autodiff();
    let (config, input) = small_models().into_iter().nth(3).unwrap();
    let network = config.init(&input, 3, 1, &device).unwrap();
    let before = state::state_dict(&network).unwrap();
    let statistic = "stages.0.0.norm.running_mean";
    assert_eq!(before.0[statistic].data, [0.0; 3]);

    // Burn keeps the update of another thread apart until it is merged.
    let x = samples(4, input.len(), &device);
    std::thread::scope(|scope| {
        scope.spawn(|| network.forward_train(x, &mut NoiseStream::none()).unwrap());
    });
    let after = state::state_dict(&network).unwrap();
    assert_ne!(after.0[statistic], before.0[statistic]);

    let clone = network.clone();
    let reset = state::load_state_dict(network, &before).unwrap();
    assert_eq!(state::state_dict(&reset).unwrap(), before);
    assert_eq!(state::state_dict(&clone).unwrap(), after);
}

#[test]
fn loading_keeps_ids_gradients_and_flags() {
    let device = flex().autodiff();
    for (config, input) in small_models() {
        let network = config.init(&input, 3, 1, &device).unwrap();
        let other = config.init(&input, 3, 2, &device).unwrap();
        let ids = state::parameter_ids(&network);
        let loaded = state::load_state_dict(network, &state::state_dict(&other).unwrap()).unwrap();
        assert_eq!(state::parameter_ids(&loaded), ids);
        // Trains at all: gradients are tracked, batch norm updates its statistics.
        let before = state::state_dict(&loaded).unwrap();
        let trained = state::state_dict(&train(loaded, 0..1, input.len(), &device)).unwrap();
        for (name, value) in &before.0 {
            let zero_gradient = name.ends_with("weight") && value.data.iter().all(|w| *w == 0.0);
            if state::is_running_statistic(name) || (name.ends_with("weight") && !zero_gradient) {
                assert_ne!(&trained.0[name], value, "{} {name}", config.name());
            }
        }
    }
}

#[test]
fn names_and_shapes_must_match_both_ways() {
    let device = flex();
    let (config, input) = small_models().remove(0);
    let network = config.init(&input, 3, 1, &device).unwrap();
    let whole = state::state_dict(&network).unwrap();
    let refused = |change: &dyn Fn(&mut StateDict)| {
        let mut state = whole.clone();
        change(&mut state);
        let loaded = state::load_state_dict(network.clone(), &state).unwrap_err();
        let built = config
            .init_from_state(&input, 3, &state, &device)
            .unwrap_err();
        assert_eq!(loaded.to_string(), built.to_string());
        loaded
    };
    let name = "layers.1.weight";
    let missing = refused(&|state| drop(state.0.remove(name)));
    assert!(matches!(missing, ModelError::MissingTensor { name: n } if n == name));
    let extra = TensorValue {
        shape: vec![1],
        data: vec![0.0],
    };
    let unexpected = refused(&|state| drop(state.0.insert("more".to_owned(), extra.clone())));
    assert!(matches!(unexpected, ModelError::UnexpectedTensor { name: n } if n == "more"));
    let shape = refused(&|state| state.0.get_mut(name).unwrap().shape.reverse());
    assert!(matches!(shape, ModelError::TensorShape { name: n, .. } if n == name));
    let short = refused(&|state| state.0.get_mut(name).unwrap().data.truncate(1));
    assert!(matches!(short, ModelError::TensorShape { .. }));
}
