//! Losses: on the host in double precision with their gradient, and as tensor operations.
//!
//! On a CPU the outputs of a batch are a few hundred numbers; one pass over them gives loss, hits and the gradient with
//! respect to the outputs, where a composed loss records a dozen operations on the tape.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use granule_ops::cross_entropy;

use crate::config::TrainConfig;

/// What outputs are compared with, one entry or row per sample.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Truth<'a> {
    Classes(&'a [u16]),
    Values(&'a [f32]),
    /// Of trials: what each output should be, and 1 where it counts, else 0.
    Trials {
        targets: &'a [f32],
        mask: &'a [f32],
    },
}

/// The same on a device.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "one for each batch, and never in collections"
)]
pub(crate) enum DeviceTruth {
    /// `[samples]`
    Classes(Tensor<1, Int>),
    /// `[samples, width]`
    Values(Tensor<2>),
    /// Of trials, `[samples, width]` each; the weights of all that counts are equal and add up to 1.
    Trials {
        targets: Tensor<2>,
        weights: Tensor<2>,
    },
}

/// Cross-entropy for classes, squared error for real values, the negative log-likelihood of Poisson's distribution for
/// counts; in trials the mean over all of a batch that counts.
#[derive(Debug, Clone)]
pub(crate) struct LossFunction {
    smoothing: f64,
    /// Of counts: what the rate of each output is a multiple of. A target is a count divided by it, an output the logarithm of
    /// the rate divided by it.
    rates: Option<Vec<f64>>,
    /// How much each class counts; all alike when absent.
    class_weights: Option<Vec<f64>>,
}

/// Totals over the samples of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Tally {
    /// The mean loss times the number of samples.
    pub loss: f64,
    /// Samples whose largest output is their class; 0 for real values.
    pub correct: u64,
}

impl LossFunction {
    /// The loss to minimise.
    pub fn training(config: &TrainConfig, class_weights: Option<Vec<f64>>) -> Self {
        Self {
            smoothing: config.label_smoothing,
            rates: None,
            class_weights,
        }
    }

    /// The loss of counts, where there are rates: λ − y ln λ, the mean over samples and outputs, which lacks ln y!.
    pub fn of_counts(self, rates: Option<Vec<f64>>) -> Self {
        Self { rates, ..self }
    }

    /// The loss to report: without label smoothing, every class alike.
    pub fn scoring() -> Self {
        Self {
            smoothing: 0.0,
            rates: None,
            class_weights: None,
        }
    }

    fn class_weight(&self, class: usize) -> f64 {
        match &self.class_weights {
            Some(weights) => weights.get(class).copied().unwrap_or(1.0),
            None => 1.0,
        }
    }

    /// What the mean loss of a batch is divided by: its samples, the sum of their classes' weights, or what counts in its
    /// trials. Means of several batches weighted so are the mean of all.
    pub fn amount(&self, truth: Truth<'_>, samples: usize) -> f64 {
        match truth {
            Truth::Classes(classes) if self.class_weights.is_some() => {
                let weights = classes.iter().map(|&class| self.class_weight(class.into()));
                weights.sum()
            }
            Truth::Trials { mask, .. } => mask.iter().copied().map(f64::from).sum(),
            Truth::Classes(_) | Truth::Values(_) => samples as f64,
        }
    }

    /// [`amount`](Self::amount) of classes on a device, `[1]`, where they differ.
    pub fn amount_on_device(&self, classes: &Tensor<1, Int>) -> Option<Tensor<1>> {
        let weights = self.class_weights_on(&classes.device())?;
        Some(weights.select(0, classes.clone()).sum())
    }

    fn class_weights_on(&self, device: &Device) -> Option<Tensor<1>> {
        let weights = self.class_weights.as_ref()?;
        let weights: Vec<f32> = weights.iter().map(|weight| *weight as f32).collect();
        let len = weights.len();
        Some(Tensor::from_data(TensorData::new(weights, [len]), device))
    }

    /// Takes the losses of `outputs`, row-major `[samples, width]`. With `gradient`, writes the derivative of the mean
    /// loss with respect to each output there.
    pub fn on_host(
        &self,
        outputs: &[f32],
        truth: Truth<'_>,
        width: usize,
        mut gradient: Option<&mut Vec<f32>>,
    ) -> Tally {
        let width = width.max(1);
        let samples = (outputs.len() / width).max(1) as f64;
        let mut tally = Tally::default();
        if let Some(gradient) = gradient.as_deref_mut() {
            gradient.clear();
            gradient.reserve(outputs.len());
        }
        if let Truth::Trials { targets, mask } = truth {
            tally.loss = samples * masked(outputs, targets, mask, gradient);
            return tally;
        }
        // By what the losses of samples are divided.
        let amount = match (truth, &self.class_weights) {
            (Truth::Classes(_), Some(_)) => positive(self.amount(truth, outputs.len() / width)),
            _ => samples,
        };
        let mut exponentials = vec![0.0f64; width];
        for (i, row) in outputs.chunks_exact(width).enumerate() {
            match truth {
                Truth::Classes(classes) => {
                    let class = classes.get(i).map(|&class| usize::from(class));
                    let target = |k: usize| {
                        let hit = f64::from(u8::from(class == Some(k)));
                        let share = hit * (1.0 - self.smoothing) + self.smoothing / width as f64;
                        share * self.class_weight(k)
                    };
                    tally.correct += u64::from(class == Some(argmax(row)));
                    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let largest = f64::from(largest);
                    let mut sum = 0.0;
                    for (exponential, &x) in exponentials.iter_mut().zip(row) {
                        *exponential = (f64::from(x) - largest).exp();
                        sum += *exponential;
                    }
                    let log_sum = largest + sum.ln();
                    for (k, &x) in row.iter().enumerate() {
                        let target = target(k);
                        if target != 0.0 {
                            tally.loss += target * (log_sum - f64::from(x));
                        }
                    }
                    if let Some(gradient) = gradient.as_deref_mut() {
                        // Targets without weights add up to 1.
                        let all = match &self.class_weights {
                            Some(_) => (0..width).map(target).sum(),
                            None => 1.0,
                        };
                        let slope =
                            |(k, e): (usize, &f64)| ((e / sum * all - target(k)) / amount) as f32;
                        gradient.extend(exponentials.iter().enumerate().map(slope));
                    }
                }
                Truth::Trials { .. } => {}
                Truth::Values(values) if let Some(rates) = &self.rates => {
                    let size = width as f64;
                    for (k, &x) in row.iter().enumerate() {
                        let target = values.get(i * width + k).copied().map_or(0.0, f64::from);
                        let rate = rates.get(k).copied().unwrap_or(1.0);
                        let (x, ratio) = (f64::from(x), f64::from(x).exp());
                        tally.loss += rate * (ratio - target * (x + rate.ln())) / size;
                        if let Some(gradient) = gradient.as_deref_mut() {
                            gradient.push((rate * (ratio - target) / (size * samples)) as f32);
                        }
                    }
                }
                Truth::Values(values) => {
                    let size = width as f64;
                    for (k, &x) in row.iter().enumerate() {
                        let target = values.get(i * width + k).copied().map_or(0.0, f64::from);
                        let error = f64::from(x) - target;
                        tally.loss += error * error / size;
                        if let Some(gradient) = gradient.as_deref_mut() {
                            gradient.push((2.0 * error / (size * samples)) as f32);
                        }
                    }
                }
            }
        }
        if amount != samples {
            tally.loss *= samples / amount;
        }
        tally
    }

    /// The mean loss `[1]` of `outputs` `[samples, width]`.
    pub fn on_device(&self, outputs: Tensor<2>, truth: DeviceTruth) -> Tensor<1> {
        let [_, width] = outputs.dims();
        match truth {
            DeviceTruth::Classes(classes) => {
                if let Some(weights) = self.class_weights_on(&classes.device()) {
                    return self.weighted(log_softmax(outputs, 1), classes, weights);
                }
                cross_entropy(outputs, classes, self.smoothing)
            }
            DeviceTruth::Values(values) if let Some(rates) = &self.rates => {
                let on = |of: fn(f64) -> f64| {
                    let data: Vec<f32> = rates.iter().map(|&rate| of(rate) as f32).collect();
                    Tensor::<2>::from_data(TensorData::new(data, [1, width]), &outputs.device())
                };
                let (rates, logarithms) = (on(|rate| rate), on(f64::ln));
                let ratios = outputs.clone().exp();
                ratios
                    .sub(values.mul(outputs.add(logarithms)))
                    .mul(rates)
                    .mean()
            }
            DeviceTruth::Values(values) => outputs.sub(values).square().mean(),
            DeviceTruth::Trials { targets, weights } => {
                outputs.sub(targets).square().mul(weights).sum()
            }
        }
    }

    /// The mean of cross-entropies weighted by class, `[1]`, from the logarithms of probabilities, `[samples, width]`.
    fn weighted(&self, log: Tensor<2>, classes: Tensor<1, Int>, weights: Tensor<1>) -> Tensor<1> {
        let [samples, width] = log.dims();
        let of_samples = weights.clone().select(0, classes.clone());
        let amount = of_samples.clone().sum();
        let amount = amount.clone().mask_fill(amount.lower_equal_elem(0.0), 1.0);
        let own = log.clone().gather(1, classes.reshape([samples, 1]));
        let own = own.reshape([samples]).mul(of_samples).sum();
        let likelihood = if self.smoothing == 0.0 {
            own
        } else {
            let all = log.mul(weights.reshape([1, width])).sum();
            own.mul_scalar(1.0 - self.smoothing)
                .add(all.mul_scalar(self.smoothing / width.max(1) as f64))
        };
        likelihood.div(amount).neg()
    }
}

/// The number, or 1 in place of 0.
fn positive(amount: f64) -> f64 {
    if amount > 0.0 { amount } else { 1.0 }
}

/// Σ m (x − t)² / Σ m, and with `gradient` its derivative 2 m (x − t) / Σ m; 0 where nothing counts.
fn masked(outputs: &[f32], targets: &[f32], mask: &[f32], gradient: Option<&mut Vec<f32>>) -> f64 {
    let count = counted(mask);
    let cells = || {
        let cells = outputs.iter().zip(targets).zip(mask);
        cells.map(|((x, target), m)| (f64::from(*m), f64::from(*x) - f64::from(*target)))
    };
    if let Some(gradient) = gradient {
        gradient.extend(cells().map(|(m, error)| (2.0 * m * error / count) as f32));
    }
    cells().map(|(m, error)| m * error * error).sum::<f64>() / count
}

/// Σ m, or 1 where nothing counts.
pub(crate) fn counted(mask: &[f32]) -> f64 {
    positive(mask.iter().copied().map(f64::from).sum())
}

/// Number of samples, `[1]`, whose largest output is their class.
pub(crate) fn correct_on_device(outputs: Tensor<2>, classes: Tensor<1, Int>) -> Tensor<1> {
    let [samples, _] = outputs.dims();
    let chosen = outputs.argmax(1).reshape([samples]);
    chosen.equal(classes).float().sum()
}

/// Index of the largest value, the first of equals; NaN is never larger.
pub(crate) fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    let mut largest = f32::NEG_INFINITY;
    for (k, &x) in row.iter().enumerate() {
        if x > largest {
            (best, largest) = (k, x);
        }
    }
    best
}

/// Softmax of one row at one index.
pub(crate) fn probability(row: &[f32], index: usize) -> f64 {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let exponential = |x: f32| (f64::from(x) - largest).exp();
    let sum: f64 = row.iter().map(|&x| exponential(x)).sum();
    row.get(index).map_or(f64::NAN, |&x| exponential(x) / sum)
}

#[cfg(test)]
mod tests {
    use granule_device::DeviceSpec;

    use super::*;

    const OUTPUTS: [f32; 6] = [1.0, -2.0, 0.5, 0.2, 0.1, 3.0];
    const CLASSES: [u16; 2] = [2, 0];
    const WEIGHTS: [f64; 3] = [0.5, 2.0, 4.0];
    /// Label smoothing and loss with these weights.
    const WEIGHTED: [(f64, f64); 2] = [(0.0, 1.216_264_08), (0.1, 1.236_802_77)];
    const VALUES: [f32; 6] = [0.3, -0.2, 0.7, 0.1, 0.9, -1.0];
    const TRIALS: Truth<'_> = Truth::Trials {
        targets: &VALUES,
        mask: &[1.0, 0.0, 1.0, 0.0, 0.0, 1.0],
    };

    fn loss(smoothing: f64, class_weights: Option<&[f64]>) -> LossFunction {
        LossFunction {
            smoothing,
            rates: None,
            class_weights: class_weights.map(<[f64]>::to_vec),
        }
    }

    fn two_rows(values: &[f32], device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values.to_vec(), [2, 3]), device)
    }

    /// The devices of this machine that the tests run on.
    fn devices() -> impl Iterator<Item = (&'static str, Device)> {
        let opened = |name: &'static str| match name.parse::<DeviceSpec>().unwrap().open() {
            Ok(device) => Some((name, device.burn().clone())),
            Err(error) => {
                println!("skipped: {name}: {error}");
                None
            }
        };
        ["flex", "ndarray", "wgpu:software"]
            .into_iter()
            .filter_map(opened)
    }

    fn device_truth(truth: Truth<'_>, device: &Device) -> DeviceTruth {
        match truth {
            Truth::Classes(classes) => {
                let classes: Vec<i32> = classes.iter().map(|&class| i32::from(class)).collect();
                let len = classes.len();
                let data = TensorData::new(classes, [len]);
                DeviceTruth::Classes(Tensor::from_data(data, device))
            }
            Truth::Values(values) => DeviceTruth::Values(two_rows(values, device)),
            Truth::Trials { targets, mask } => {
                let count = counted(mask) as f32;
                let weights: Vec<f32> = mask.iter().map(|m| m / count).collect();
                DeviceTruth::Trials {
                    targets: two_rows(targets, device),
                    weights: two_rows(&weights, device),
                }
            }
        }
    }

    /// torch.nn.functional.cross_entropy(…, label_smoothing=…) and mse_loss.
    #[test]
    fn losses_equal_pytorch() {
        let one_hot = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0];
        for (smoothing, truth, expected) in [
            (0.0, Truth::Classes(&CLASSES), 1.9570992),
            (0.1, Truth::Classes(&CLASSES), 1.94543254),
            (0.0, Truth::Values(&one_hot), 2.48333335),
        ] {
            let tally = loss(smoothing, None).on_host(&OUTPUTS, truth, 3, None);
            assert!(
                (tally.loss / 2.0 - expected).abs() < 1e-6,
                "{truth:?} {tally:?}"
            );
            assert_eq!(tally.correct, 0);
        }
    }

    /// Loss and gradient, the targets without autodiff as in a step.
    #[test]
    fn devices_agree_with_the_host() {
        for (name, device) in devices() {
            let weights = Some(&WEIGHTS[..]);
            for (smoothing, weights, truth) in [
                (0.0, None, Truth::Classes(&CLASSES)),
                (0.1, None, Truth::Classes(&CLASSES)),
                (0.0, weights, Truth::Classes(&CLASSES)),
                (0.1, weights, Truth::Classes(&CLASSES)),
                (0.0, Some(&[0.0, 1.0, 0.0][..]), Truth::Classes(&CLASSES)),
                (0.0, None, Truth::Values(&VALUES)),
                (0.0, None, TRIALS),
            ] {
                let function = loss(smoothing, weights);
                let mut expected = Vec::new();
                let tally = function.on_host(&OUTPUTS, truth, 3, Some(&mut expected));
                let outputs = two_rows(&OUTPUTS, &device.clone().autodiff()).require_grad();
                let loss = function.on_device(outputs.clone(), device_truth(truth, &device));
                let gradient = outputs.grad(&loss.backward()).unwrap();
                let loss = loss.without_autodiff().try_into_vec_as::<f32>().unwrap()[0];
                let difference = f64::from(loss) - tally.loss / 2.0;
                assert!(difference.abs() < 1e-6, "{name} {truth:?}: {loss}");
                for (a, b) in gradient
                    .try_into_vec_as::<f32>()
                    .unwrap()
                    .iter()
                    .zip(&expected)
                {
                    assert!((a - b).abs() < 1e-6, "{name} {truth:?}: {a} is not {b}");
                }
            }
        }
    }

    #[test]
    fn gradient_equals_pytorch_and_finite_differences() {
        let smooth = loss(0.1, None);
        let mut gradient = Vec::new();
        smooth.on_host(&OUTPUTS, Truth::Classes(&CLASSES), 3, Some(&mut gradient));
        let expected = [
            0.285_207_78,
            -0.001_637_224_1,
            -0.283_570_56,
            -0.439_417_96,
            0.007_988_993,
            0.431_428_94,
        ];
        for (found, expected) in gradient.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-7, "{found} {expected}");
        }
        for truth in [Truth::Classes(&CLASSES), Truth::Values(&VALUES), TRIALS] {
            smooth.on_host(&OUTPUTS, truth, 3, Some(&mut gradient));
            for i in 0..6 {
                let shifted = |by: f32| {
                    let mut outputs = OUTPUTS;
                    outputs[i] += by;
                    smooth.on_host(&outputs, truth, 3, None).loss / 2.0
                };
                let slope = (shifted(1e-3) - shifted(-1e-3)) / 2e-3;
                let gradient = f64::from(gradient[i]);
                let near = 1e-4 * gradient.abs().max(1.0);
                assert!((slope - gradient).abs() < near, "{slope} {gradient} {i}");
            }
        }
    }

    /// torch.nn.functional.cross_entropy(…, weight=…, label_smoothing=…).
    #[test]
    fn weighted_losses_equal_pytorch() {
        for (smoothing, expected) in WEIGHTED {
            let function = loss(smoothing, Some(&WEIGHTS));
            let truth = Truth::Classes(&CLASSES);
            let mut gradient = Vec::new();
            let tally = function.on_host(&OUTPUTS, truth, 3, Some(&mut gradient));
            assert!((tally.loss / 2.0 - expected).abs() < 1e-6, "{tally:?}");
            assert_eq!(function.amount(truth, 2), 4.5);
            for i in 0..6 {
                let shifted = |by: f32| {
                    let mut outputs = OUTPUTS;
                    outputs[i] += by;
                    function.on_host(&outputs, truth, 3, None).loss / 2.0
                };
                let slope = (shifted(1e-3) - shifted(-1e-3)) / 2e-3;
                assert!((slope - f64::from(gradient[i])).abs() < 1e-4, "{slope} {i}");
            }
        }
    }

    /// Mean of λ − y ln λ with λ = r eˣ and y = r t, as torch.nn.functional.poisson_nll_loss(ln λ, y).
    #[test]
    fn the_loss_of_counts_is_poissons_on_every_device() {
        const RATES: [f64; 3] = [0.5, 2.0, 4.0];
        const RATIOS: [f32; 6] = [2.0, 0.5, 0.0, 0.0, 1.5, 1.25];
        let function = LossFunction::scoring().of_counts(Some(RATES.to_vec()));
        let truth = Truth::Values(&RATIOS);
        let mut gradient = Vec::new();
        let tally = function.on_host(&OUTPUTS, truth, 3, Some(&mut gradient));
        let mut expected = 0.0;
        for at in 0..6 {
            let (x, ratio, rate) = (OUTPUTS[at], RATIOS[at], RATES[at % 3]);
            let logarithm = f64::from(x) + rate.ln();
            expected += logarithm.exp() - rate * f64::from(ratio) * logarithm;
            let shifted = |by: f32| {
                let mut outputs = OUTPUTS;
                outputs[at] += by;
                function.on_host(&outputs, truth, 3, None).loss / 2.0
            };
            let slope = (shifted(1e-3) - shifted(-1e-3)) / 2e-3;
            assert!(
                (slope - f64::from(gradient[at])).abs() < 1e-4 * slope.abs().max(1.0),
                "{at}"
            );
        }
        assert!(
            (tally.loss / 2.0 - expected / 6.0).abs() < 1e-6,
            "{tally:?}"
        );
        for (name, device) in devices() {
            let outputs = two_rows(&OUTPUTS, &device.clone().autodiff()).require_grad();
            let loss = function.on_device(outputs.clone(), device_truth(truth, &device));
            let found = outputs.grad(&loss.backward()).unwrap();
            let loss = loss.without_autodiff().try_into_vec_as::<f32>().unwrap()[0];
            assert!(
                (f64::from(loss) - expected / 6.0).abs() < 2e-5,
                "{name}: {loss}"
            );
            let found = found.try_into_vec_as::<f32>().unwrap();
            for (a, b) in found.iter().zip(&gradient) {
                assert!(
                    (a - b).abs() < 1e-5 * b.abs().max(1.0),
                    "{name}: {a} is not {b}"
                );
            }
        }
    }

    #[test]
    fn only_what_counts_is_in_the_loss_of_trials() {
        let plain = LossFunction::scoring();
        let tally = plain.on_host(&OUTPUTS, TRIALS, 3, None);
        let expected = (0.7_f64.powi(2) + 0.2_f64.powi(2) + 16.0) / 3.0;
        assert!((tally.loss / 2.0 - expected).abs() < 1e-6, "{tally:?}");
        let nothing = Truth::Trials {
            targets: &VALUES,
            mask: &[0.0; 6],
        };
        let mut slope = Vec::new();
        let tally = plain.on_host(&OUTPUTS, nothing, 3, Some(&mut slope));
        assert_eq!((tally.loss, slope), (0.0, vec![0.0; 6]));
    }

    #[test]
    fn large_and_infinite_outputs() {
        let plain = LossFunction::scoring();
        let tally = plain.on_host(&[1000.0, -1000.0], Truth::Classes(&[0]), 2, None);
        assert_eq!((tally.loss, tally.correct), (0.0, 1));
        for bad in [f32::NAN, f32::INFINITY] {
            let tally = plain.on_host(&[bad, 0.0], Truth::Classes(&[1]), 2, None);
            assert!(!tally.loss.is_finite());
        }
    }
}
