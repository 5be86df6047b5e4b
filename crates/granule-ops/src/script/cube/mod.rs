//! Scripts of element by element on GPUs: the instructions of a step are one kernel, in which each unit takes all steps of a call
//! with one element, its buffers in registers.

mod kernel;
mod program;
#[cfg(all(test, feature = "flex"))]
mod tests;

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Shape};
use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::ops::into_data_sync;
use burn_cubecl::tensor::CubeTensor;

use super::{Lanes, Precision, Script, See, Seen, Steps};
use crate::gpu::one_for_each;
use program::{Program, Wanted};

/// Instructions that a kernel has at most: what compiles a kernel takes its time for each.
const MOST: usize = 4000;
/// The buffers that a kernel is given, and those that CubeCL adds.
const BINDINGS: u32 = 8;

/// A GPU with the state of a run.
#[derive(Clone, Debug)]
pub(super) struct Place {
    device: CubeDevice,
    state: Vec<Vec<f64>>,
}

impl Place {
    pub(super) fn new(device: CubeDevice, state: Vec<Vec<f64>>) -> Self {
        Self { device, state }
    }

    pub(super) fn restore(&mut self, state: &[Vec<f64>]) {
        self.state = state.to_vec();
    }

    /// Each variable row-major.
    pub(super) fn state(&self) -> &[Vec<f64>] {
        &self.state
    }
}

impl Script {
    /// The device where this script runs as a kernel: a GPU, for a script in f32 in which every element goes its own way and
    /// that is not too long.
    pub(super) fn gpu(&self, device: &Device) -> Option<CubeDevice> {
        let device = device.clone().without_autodiff();
        let DispatchDevice::Cube(device) = device.as_dispatch() else {
            return None;
        };
        let Precision::F32(steps) = &self.0 else {
            return None;
        };
        let bindings = device.client().properties().hardware.max_bindings;
        let fits = matches!(steps.lanes, Lanes::Apart(_))
            && steps.code.len() <= MOST
            && bindings >= BINDINGS;
        fits.then(|| device.clone())
    }
}

/// Arrays one after the other, first those of a single element; never nothing, which no buffer may be.
fn joined<'a>(arrays: impl Iterator<Item = (bool, &'a [f64])> + Clone) -> Vec<f32> {
    let of = |single: bool| {
        let own = arrays.clone().filter(move |(own, _)| *own == single);
        own.flat_map(|(_, values)| values.iter().map(|x| *x as f32))
    };
    let mut all: Vec<f32> = of(true).chain(of(false)).collect();
    if all.is_empty() {
        all.push(0.0);
    }
    all
}

fn upload(values: &[f32], device: &CubeDevice) -> CubeTensor {
    from_bytes(f32::as_bytes(values), DType::F32, device)
}

fn from_bytes(bytes: &[u8], dtype: DType, device: &CubeDevice) -> CubeTensor {
    let client = device.client();
    let handle = client.create_from_slice(bytes);
    let shape = Shape::new([bytes.len() / size_of::<f32>()]);
    CubeTensor::new_contiguous(client, device.clone(), shape, handle, dtype)
}

fn download(tensor: CubeTensor) -> Vec<f64> {
    into_data_sync(tensor).iter::<f64>().collect()
}

/// The values at whose place the mask is not 0, both of the steps after `before` ones, rows of `width` elements.
fn where_not_zero(mask: &[f64], values: &[f64], width: usize, before: usize) -> Seen {
    let mut seen = Seen::default();
    for (at, (mask, value)) in mask.iter().zip(values).enumerate() {
        if *mask != 0.0 {
            seen.values.push(*value);
            seen.places.push((before + at / width, at % width));
        }
    }
    seen
}

impl Steps<f32> {
    /// What the kernel keeps: each thing, all rows of what is seen at some places; then the masks that say at which.
    fn wanted(&self, see: &[See]) -> (Vec<Wanted>, Vec<usize>) {
        let mut masks: Vec<usize> = Vec::new();
        let mut wanted: Vec<Wanted> = Vec::with_capacity(see.len());
        for (slot, see) in self.seen.iter().zip(see) {
            let every = match see {
                See::Never => 0,
                See::Every(every) => *every,
                See::Where(_) => 1,
            };
            if let See::Where(thing) = see
                && !masks.contains(thing)
            {
                masks.push(*thing);
            }
            wanted.push(Wanted { slot: *slot, every });
        }
        let of_masks = masks.iter().map(|thing| Wanted {
            slot: self.seen[*thing],
            every: 1,
        });
        wanted.extend(of_masks);
        (wanted, masks)
    }

    /// Takes `steps` steps after `before` ones, as [`Run::steps`](super::Run::steps) does. `None` where the numbers of this call
    /// are beyond what a kernel counts.
    pub(super) fn run_on(
        &self,
        place: &mut Place,
        (before, steps): (usize, usize),
        given: &[Vec<f64>],
        see: &[See],
    ) -> Option<Vec<Seen>> {
        let Lanes::Apart(lanes) = self.lanes else {
            return None;
        };
        if steps == 0 {
            return Some(vec![Seen::default(); see.len()]);
        }
        let (wanted, masks) = self.wanted(see);
        let program = Program::new(self, &wanted);
        let single = |len: usize| len == 1;

        let states = self.lengths(&self.states);
        let sources = self.lengths(&self.given);
        let rows = |wanted: &Wanted| match wanted.every {
            0 => 0,
            every => (before + steps) / every - before / every,
        };
        let sizes: Vec<usize> = wanted
            .iter()
            .map(|wanted| rows(wanted) * self.lens[wanted.slot])
            .collect();
        let firsts = sizes.iter().scan(0, |length, size| {
            let first = *length;
            *length += size;
            Some(first)
        });
        let firsts: Vec<usize> = firsts.collect();
        let length: usize = sizes.iter().sum();
        let counted = |count: usize| u32::try_from(count).ok();
        let most = steps.checked_mul(sources.iter().sum::<usize>())?;
        counted(most.max(length).max(before.checked_add(steps)?))?;
        let [lane_count, before_count, step_count] = [lanes, before, steps].map(counted);

        let device = &place.device;
        let constants: Vec<Vec<f64>> = program
            .constants
            .iter()
            .map(|(slot, _)| self.slots[*slot].iter().map(|x| f64::from(*x)).collect())
            .collect();
        let all = |lengths: &[usize], arrays: &[Vec<f64>]| {
            let pairs = lengths.iter().zip(arrays);
            let pairs = pairs.map(|(len, values)| (single(*len), values.as_slice()));
            upload(&joined(pairs), device)
        };
        let lengths: Vec<usize> = constants.iter().map(Vec::len).collect();
        let begin = all(&states, &place.state);
        let constants = all(&lengths, &constants);
        let given = all(&sources, given);
        let mut offsets: Vec<u32> = firsts.iter().map(|x| *x as u32).collect();
        offsets.push(0);
        let offsets = from_bytes(u32::as_bytes(&offsets), DType::U32, device);
        let after = upload(&vec![0.0; states.iter().sum::<usize>().max(1)], device);
        let kept = upload(&vec![0.0; length.max(1)], device);

        let client = begin.client.clone();
        let (count, dim) = one_for_each(&client, lanes);
        kernel::steps::launch(
            &client,
            count,
            dim,
            begin.into_buffer_arg(),
            constants.into_buffer_arg(),
            given.into_buffer_arg(),
            offsets.into_buffer_arg(),
            after.clone().into_buffer_arg(),
            kept.clone().into_buffer_arg(),
            lane_count?,
            before_count?,
            step_count?,
            program.kernel,
        );
        let after = download(after);
        let singles = states.iter().filter(|len| single(**len)).count();
        let (mut next_single, mut next_wide) = (0, singles);
        let state = states.iter().map(|len| {
            let next = if single(*len) {
                &mut next_single
            } else {
                &mut next_wide
            };
            let first = *next;
            *next += len;
            after[first..first + len].to_vec()
        });
        place.state = state.collect();
        let kept = download(kept);
        let of = |thing: usize| &kept[firsts[thing]..][..sizes[thing]];
        let seen = see.iter().enumerate().map(|(thing, want)| match want {
            See::Where(of_thing) => {
                let mask = masks.iter().position(|mask| mask == of_thing);
                let mask = mask.map_or(&[][..], |mask| of(see.len() + mask));
                let width = self.lens[self.seen[*of_thing]];
                where_not_zero(mask, of(thing), width, before)
            }
            _ => Seen {
                values: of(thing).to_vec(),
                places: Vec::new(),
            },
        });
        Some(seen.collect())
    }
}
