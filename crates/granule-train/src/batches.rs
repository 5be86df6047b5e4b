//! Cutting training batches: on the host, ahead of the loop on a thread, or on the device from bytes uploaded once.

use std::ops::ControlFlow;
use std::sync::mpsc;
use std::thread;

use burn::tensor::{Device, Tensor, TensorData};
use granule_data::{Augmentation, AugmentationKey, Normalization, Split, Targets};
use granule_device::{Adapter, DeviceSpec, OpenDevice};
use granule_io::budget;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::batch::{AuxiliaryCounts, Batch, BatchTruth, Scaling};
use crate::error::TrainError;
use crate::resident::Resident;

/// The training samples and the order in which every epoch takes them.
pub(crate) struct Batches<'a> {
    split: &'a Split,
    scaling: Scaling<'a>,
    auxiliary: Option<&'a AuxiliaryCounts>,
    augmentation: Option<&'a Augmentation>,
    indices: &'a [usize],
    batch_size: usize,
    seed: u64,
    /// With autodiff.
    device: Device,
    way: Way,
}

enum Way {
    /// Cut on the training thread; a CPU gains nothing from doing it elsewhere.
    Inline,
    /// Cut one batch ahead on another thread.
    Ahead,
    /// Cut on the device.
    Resident(Box<Resident>),
}

/// How batches are cut; chosen by [`Batches::new`] unless a test asks for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cutting {
    Inline,
    Ahead,
    Resident,
}

/// Largest data set that is uploaded whole. Graphics drivers bound one binding: 128 MiB is what every one of them allows,
/// and real GPUs allow 1 GiB and more.
fn resident_limit(device: &OpenDevice) -> usize {
    match device.spec() {
        DeviceSpec::Wgpu(Adapter::Software(_)) | DeviceSpec::Vulkan(Adapter::Software(_)) => {
            128 << 20
        }
        _ => 1 << 30,
    }
}

/// Samples in the order of an epoch, decided by (seed, epoch), in batches of `size` from batch `first` on.
pub(crate) fn shuffled(
    mut samples: Vec<usize>,
    (seed, epoch): (u64, u64),
    first: usize,
    size: usize,
) -> Vec<Vec<usize>> {
    shuffle(&mut samples, seed, epoch, Purpose::Order);
    let batches = samples.chunks(size.max(1)).skip(first);
    batches.map(<[usize]>::to_vec).collect()
}

impl<'a> Batches<'a> {
    /// Batches of the samples at `indices`, cut the best way for the device.
    pub fn new(
        split: &'a Split,
        scaling: Scaling<'a>,
        augmentation: &'a Augmentation,
        indices: &'a [usize],
        batch_size: usize,
        seed: u64,
        device: &OpenDevice,
    ) -> Result<Self, TrainError> {
        let augmentation = Some(augmentation).filter(|augmentation| !augmentation.is_identity());
        let cutting = match (device.is_host(), augmentation) {
            (true, None) => Cutting::Inline,
            // Windows of a series are more than the series.
            (false, None)
                if split.starts().is_none() && Resident::bytes(split) <= resident_limit(device) =>
            {
                Cutting::Resident
            }
            _ => Cutting::Ahead,
        };
        let mut batches = Self {
            split,
            scaling,
            auxiliary: None,
            augmentation,
            indices,
            batch_size: batch_size.max(1),
            seed,
            device: device.burn().clone().autodiff(),
            way: Way::Inline,
        };
        batches.set_cutting(cutting)?;
        Ok(batches)
    }

    /// The same, of windows, with what is learnt beside the targets.
    pub fn with_auxiliary(self, auxiliary: Option<&'a AuxiliaryCounts>) -> Self {
        Self { auxiliary, ..self }
    }

    pub fn set_cutting(&mut self, cutting: Cutting) -> Result<(), TrainError> {
        self.way = match cutting {
            Cutting::Inline => Way::Inline,
            Cutting::Ahead => Way::Ahead,
            Cutting::Resident => {
                let device = self.device.clone().without_autodiff();
                Way::Resident(Box::new(Resident::upload(
                    self.split,
                    self.scaling,
                    &device,
                )?))
            }
        };
        Ok(())
    }

    /// Calls `step` with the batches of one epoch from batch `first` on, until it breaks or fails.
    pub fn run(
        &self,
        epoch: u64,
        first: usize,
        mut step: impl FnMut(Batch) -> Result<ControlFlow<()>, TrainError>,
    ) -> Result<(), TrainError> {
        let order = self.order(epoch)?;
        let chunks = || order.chunks(self.batch_size).skip(first);
        match &self.way {
            Way::Inline => {
                for chunk in chunks() {
                    let data = self.gather(chunk, epoch)?;
                    if step(self.batch(chunk, data)?)?.is_break() {
                        break;
                    }
                }
                Ok(())
            }
            Way::Ahead => thread::scope(|scope| {
                let (sender, receiver) = mpsc::sync_channel(1);
                scope.spawn(move || {
                    for chunk in chunks() {
                        let data = self.gather(chunk, epoch);
                        if sender.send((chunk, data)).is_err() {
                            break;
                        }
                    }
                });
                for (chunk, data) in receiver {
                    if step(self.batch(chunk, data?)?)?.is_break() {
                        break;
                    }
                }
                Ok(())
            }),
            Way::Resident(resident) => {
                let order_on_device = resident.order(&order)?;
                let mut start = first * self.batch_size;
                for chunk in chunks() {
                    let batch = resident.batch(&order_on_device, start, chunk.len());
                    start += chunk.len();
                    if step(batch)?.is_break() {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// The training samples in the order of an epoch, decided by (seed, epoch).
    fn order(&self, epoch: u64) -> Result<Vec<usize>, TrainError> {
        let indices = self.indices.iter().copied();
        let what = "the order of an epoch";
        let mut order = budget::collect(indices, self.indices.len(), what)?;
        shuffle(&mut order, self.seed, epoch, Purpose::Order);
        Ok(order)
    }

    fn gather(&self, chunk: &[usize], epoch: u64) -> Result<Vec<f32>, TrainError> {
        let key = AugmentationKey {
            seed: self.seed,
            epoch,
        };
        let augmentation = self.augmentation.map(|augmentation| (augmentation, key));
        let mut data = Vec::new();
        self.split
            .gather(chunk, self.scaling.inputs, augmentation, &mut data)?;
        Ok(data)
    }

    fn batch(&self, chunk: &[usize], data: Vec<f32>) -> Result<Batch, TrainError> {
        let shape = [chunk.len(), self.split.shape().len()];
        let truth = truth(self.split, chunk, self.scaling.targets)?;
        Ok(Batch {
            inputs: Tensor::from_data(TensorData::new(data, shape), &self.device),
            truth: match (truth, self.auxiliary) {
                (BatchTruth::HostValues(targets), Some(auxiliary)) => {
                    BatchTruth::HostValues(auxiliary.add(self.split, chunk, &targets))
                }
                (truth, _) => truth,
            },
            len: chunk.len(),
        })
    }
}

/// The targets of the samples at `indices`, real values normalised.
pub(crate) fn truth(
    split: &Split,
    indices: &[usize],
    targets: &Normalization,
) -> Result<BatchTruth, TrainError> {
    Ok(match split.targets() {
        Targets::Classes(classes) => BatchTruth::HostClasses(
            indices
                .iter()
                .filter_map(|&i| classes.get(i).copied())
                .collect(),
        ),
        Targets::Values { .. } => {
            let mut values = Vec::new();
            split.gather_targets(indices, targets, &mut values)?;
            BatchTruth::HostValues(values)
        }
    })
}

/// What random numbers are drawn for; keeps the streams apart.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Order,
    Validation,
    LimitTrain,
    LimitTest,
    Baseline,
    Folds,
    Permutation,
    Importance,
}

/// Shuffles by draws from (seed, round, purpose) alone: Fisher and Yates with unbiased indices.
pub(crate) fn shuffle<T>(items: &mut [T], seed: u64, round: u64, purpose: Purpose) {
    let mut key = [0u8; 32];
    let words = [seed, round, purpose as u64, 0x6f72_6465_7221];
    for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let mut random = ChaCha8Rng::from_seed(key);
    for i in (1..items.len()).rev() {
        items.swap(i, below(&mut random, i as u64 + 1) as usize);
    }
}

/// A number below `bound`, each alike (Lemire, 2019, arXiv:1805.10941).
fn below(random: &mut ChaCha8Rng, bound: u64) -> u64 {
    loop {
        let product = u128::from(random.next_u64()) * u128::from(bound);
        if product as u64 >= bound.wrapping_neg() % bound {
            return (product >> 64) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use granule_data::{Features, Shape};

    use super::*;

    fn images() -> Split {
        let shape = Shape::Image {
            channels: 3,
            height: 3,
            width: 5,
        };
        let pixels = (0..20 * 45).map(|i| (i * 37 % 256) as u8).collect();
        let classes = (0..20).map(|i| i % 7).collect();
        Split::new(shape, Features::Bytes(pixels), Targets::Classes(classes)).unwrap()
    }

    fn vectors() -> Split {
        let values = (0..20 * 3).map(|i| i as f32 * 0.37 - 4.0).collect();
        let targets = Targets::Values {
            data: (0..20 * 2).map(|i| i as f32).collect(),
            width: 2,
        };
        Split::new(Shape::Vector { len: 3 }, Features::Floats(values), targets).unwrap()
    }

    /// Inputs and targets of every batch of an epoch.
    fn cut(batches: &Batches<'_>, first: usize) -> Vec<(Vec<f32>, Vec<f32>)> {
        let mut cut = Vec::new();
        batches
            .run(3, first, |batch| {
                let inputs = batch
                    .inputs
                    .without_autodiff()
                    .try_into_vec_as::<f32>()
                    .unwrap();
                let truth = match batch.truth {
                    BatchTruth::HostClasses(classes) => {
                        classes.into_iter().map(f32::from).collect()
                    }
                    BatchTruth::HostValues(values) => values,
                    BatchTruth::Trials { targets, .. } => targets,
                    BatchTruth::DeviceClasses(classes) => {
                        classes.float().try_into_vec_as::<f32>().unwrap()
                    }
                    BatchTruth::DeviceValues(values) => values.try_into_vec_as::<f32>().unwrap(),
                };
                cut.push((inputs, truth));
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        cut
    }

    #[test]
    fn every_way_cuts_the_same_batches() {
        let indices: Vec<usize> = (0..20).filter(|i| i % 4 != 1).collect();
        for name in ["flex", "ndarray", "wgpu:software"] {
            let device = match name.parse::<DeviceSpec>().unwrap().open() {
                Ok(device) => device,
                Err(error) => {
                    println!("skipped: {name}: {error}");
                    continue;
                }
            };
            let far = vectors()
                .centred(vec![1e9, 0.0, -3.0], vec![2.5; 2])
                .unwrap();
            for split in [images(), vectors(), far] {
                for (inputs, targets) in [
                    (Normalization::default(), Normalization::default()),
                    (Normalization::of(&split), Normalization::of_targets(&split)),
                ] {
                    let identity = Augmentation::default();
                    let scaling = Scaling {
                        inputs: &inputs,
                        targets: &targets,
                        counts: false,
                    };
                    let mut batches =
                        Batches::new(&split, scaling, &identity, &indices, 4, 9, &device).unwrap();
                    batches.set_cutting(Cutting::Inline).unwrap();
                    let expected = cut(&batches, 0);
                    assert_eq!(expected.len(), 4);
                    assert_eq!(expected[3].0.len(), 3 * split.shape().len());
                    for cutting in [Cutting::Ahead, Cutting::Resident] {
                        batches.set_cutting(cutting).unwrap();
                        for first in [0, 2] {
                            let found = cut(&batches, first);
                            assert_eq!(found.len(), 4 - first, "{name} {cutting:?}");
                            for (found, expected) in found.iter().zip(&expected[first..]) {
                                assert_eq!(found.1, expected.1, "{name} {cutting:?}");
                                for (a, b) in found.0.iter().zip(&expected.0) {
                                    assert!(
                                        (a - b).abs() <= 1e-6 * b.abs().max(1.0),
                                        "{name} {cutting:?}: {a} is not {b}"
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn orders_are_permutations_that_depend_on_seed_and_epoch() {
        let order = |seed, epoch| {
            let mut items: Vec<usize> = (0..100).collect();
            shuffle(&mut items, seed, epoch, Purpose::Order);
            items
        };
        let mut sorted = order(1, 0);
        assert_eq!(order(1, 0), sorted);
        assert_ne!(order(1, 1), sorted);
        assert_ne!(order(2, 0), sorted);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn every_place_is_as_likely() {
        let mut counts = [[0u32; 4]; 4];
        for round in 0..4000 {
            let mut items = [0, 1, 2, 3];
            shuffle(&mut items, 5, round, Purpose::Order);
            for (place, item) in items.into_iter().enumerate() {
                counts[place][item] += 1;
            }
        }
        assert!(
            counts
                .iter()
                .flatten()
                .all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_break_ends_the_thread_that_cuts_ahead() {
        let split = images();
        let (identity, normalization) = (Augmentation::default(), Normalization::default());
        let indices: Vec<usize> = (0..20).collect();
        let device = DeviceSpec::Flex.open().unwrap();
        let scaling = Scaling {
            inputs: &normalization,
            targets: &normalization,
            counts: false,
        };
        let mut batches =
            Batches::new(&split, scaling, &identity, &indices, 2, 9, &device).unwrap();
        batches.set_cutting(Cutting::Ahead).unwrap();
        let mut steps = 0;
        batches
            .run(0, 0, |_| {
                steps += 1;
                Ok(ControlFlow::Break(()))
            })
            .unwrap();
        assert_eq!(steps, 1);
    }
}
