//! Gradients of every model against central differences, in f64.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Gradients, Tensor};
use granule_models::{Model as _, Network, NoiseStream};

use crate::support::{coarse_model, flex, ndarray, samples, small_models};

/// Casts every parameter to f64, and shifts one element of one of them.
#[derive(Default)]
struct Shift {
    target: usize,
    element: usize,
    by: f64,
    seen: usize,
}

impl ModuleMapper for Shift {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let grad = param.is_require_grad();
        let index = self.seen;
        self.seen += 1;
        param.map(|tensor| {
            let device = tensor.device();
            let shape = tensor.shape();
            let mut data: Vec<f64> = tensor.into_data().convert::<f64>().try_into_vec().unwrap();
            if self.by != 0.0 && index == self.target {
                data[self.element] += self.by;
            }
            let data = burn::tensor::TensorData::new(data, shape);
            Tensor::from_data(data, (&device, DType::F64)).set_require_grad(grad)
        })
    }
}

struct Collect<'a> {
    gradients: &'a Gradients,
    found: BTreeMap<usize, Vec<f64>>,
    seen: usize,
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            let data = gradient.into_data().convert::<f64>();
            self.found.insert(self.seen, data.try_into_vec().unwrap());
        }
        self.seen += 1;
    }
}

/// A scalar that weighs every output differently, with what the model adds to its loss.
fn objective(network: &Network, x: Tensor<2>) -> Tensor<1> {
    let mut noise = NoiseStream::new(5, 0);
    let output = network.forward_train(x, &mut noise).unwrap();
    let device = output.device();
    let [batch, width] = output.dims();
    let weights = samples(batch, width, &device).cast(DType::F64);
    let sum = output.mul(weights).sum();
    match noise.take_penalty() {
        Some(penalty) => sum.add(penalty),
        None => sum,
    }
}

fn check(device: &Device) {
    let device = device.clone().autodiff();
    let exact = small_models().into_iter().map(|(m, i)| (m, i, 1e-6, 1e-6));
    let (model, input) = coarse_model();
    for (config, input, step, tolerance) in exact.chain([(model, input, 1e-3, 3e-3)]) {
        let x = samples(3, input.len(), &device).cast(DType::F64);
        let fresh = || config.init(&input, 3, 4, &device).unwrap();
        let network = fresh().map(&mut Shift::default());
        let gradients = objective(&network, x.clone()).backward();
        let mut collect = Collect {
            gradients: &gradients,
            found: BTreeMap::new(),
            seen: 0,
        };
        network.visit(&mut collect);
        assert!(!collect.found.is_empty());

        let at = |target, element, by| {
            let mut shift = Shift {
                target,
                element,
                by,
                seen: 0,
            };
            let value = objective(&fresh().map(&mut shift), x.clone()).into_data();
            value.try_into_vec::<f64>().unwrap()[0]
        };
        for (target, gradient) in &collect.found {
            for element in [0, gradient.len() / 2, gradient.len() - 1] {
                let slope =
                    (at(*target, element, step) - at(*target, element, -step)) / (2.0 * step);
                let found = gradient[element];
                assert!(
                    (found - slope).abs() < tolerance * (1.0 + slope.abs()),
                    "{} parameter {target}[{element}]: {found} but {slope}",
                    config.name()
                );
            }
        }
    }
}

#[test]
fn gradients_match_central_differences_on_flex() {
    check(&flex());
}

#[test]
fn gradients_match_central_differences_on_ndarray() {
    check(&ndarray());
}
