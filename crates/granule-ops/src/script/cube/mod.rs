//! Scripts of element by element on GPUs: the instructions of a step are one kernel, in which each unit takes all steps of a call
//! with one element, its buffers in registers.

mod kernel;
mod program;
#[cfg(all(test, feature = "flex"))]
mod tests;

use std::sync::Arc;

use burn::backend::DispatchDevice;
use burn::tensor::{Device, Shape};
use burn_cubecl::CubeDevice;
use burn_cubecl::ops::into_data_sync;
use burn_cubecl::tensor::CubeTensor;

use super::instruction::Work;
use super::{Lanes, Precision, Script, See, Seen, Steps};
use crate::gpu::{one_for_each, steps_of_launch, unwritten, upload, upload_indices};
use program::{Kernel, Program, Wanted};

/// Instructions that a kernel has at most: what compiles a kernel takes its time for each.
const MOST: usize = 4000;
/// The buffers that a kernel is given, and those that CubeCL adds.
const BINDINGS: u32 = 8;

/// A GPU with the state of a run.
#[derive(Clone, Debug)]
pub(super) struct Place {
    device: CubeDevice,
    state: State,
    prepared: Option<Arc<Prepared>>,
}

/// Where the state is: what a launch leaves stays on the device.
#[derive(Clone, Debug)]
enum State {
    /// Each variable row-major.
    Host(Vec<Vec<f64>>),
    /// As the kernel has them.
    Device(Box<CubeTensor>),
}

/// What the calls of a run that see the same have in common.
#[derive(Debug)]
struct Prepared {
    see: Vec<See>,
    /// What the kernel keeps, and the masks among it.
    wanted: Vec<Wanted>,
    masks: Vec<usize>,
    kernel: Kernel,
    constants: CubeTensor,
}

impl Place {
    pub(super) fn new(device: CubeDevice, state: Vec<Vec<f64>>) -> Self {
        Self {
            device,
            state: State::Host(state),
            prepared: None,
        }
    }

    pub(super) fn restore(&mut self, state: &[Vec<f64>]) {
        self.state = State::Host(state.to_vec());
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
            && steps.once.settings.is_empty()
            && steps.variables == steps.states.len()
            && !steps
                .code
                .iter()
                .any(|own| matches!(own.work, Work::Advance(_)))
            && steps.code.len() <= MOST
            && bindings >= BINDINGS;
        fits.then(|| device.clone())
    }
}

/// Arrays one after the other, first those of a single element.
fn joined<'a>(arrays: impl Iterator<Item = (bool, &'a [f32])> + Clone) -> Vec<f32> {
    let of = |single: bool| {
        let own = arrays.clone().filter(move |(own, _)| *own == single);
        own.flat_map(|(_, values)| values)
    };
    of(true).chain(of(false)).copied().collect()
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

    /// Each variable of the state, row-major.
    pub(super) fn state_on(&self, place: &Place) -> Vec<Vec<f64>> {
        let state = match &place.state {
            State::Host(state) => return state.clone(),
            State::Device(state) => download(CubeTensor::clone(state)),
        };
        let lengths = self.lengths(&self.states);
        let singles = lengths.iter().filter(|len| **len == 1).count();
        let (mut next_single, mut next_wide) = (0, singles);
        let each = lengths.iter().map(|len| {
            let next = match len {
                1 => &mut next_single,
                _ => &mut next_wide,
            };
            let first = *next;
            *next += len;
            state[first..first + len].to_vec()
        });
        each.collect()
    }

    fn prepared(&self, place: &mut Place, see: &[See]) -> Arc<Prepared> {
        if let Some(prepared) = &place.prepared
            && prepared.see == see
        {
            return Arc::clone(prepared);
        }
        let (wanted, masks) = self.wanted(see);
        let program = Program::new(self, &wanted);
        let constants = program.constants.iter();
        let constants = constants.map(|(slot, _)| self.slots[*slot].iter().copied());
        let constants: Vec<Vec<f32>> = constants.map(Iterator::collect).collect();
        let prepared = Arc::new(Prepared {
            see: see.to_vec(),
            wanted,
            masks,
            kernel: program.kernel,
            constants: upload(
                &joined(constants.iter().map(|x| (x.len() == 1, &x[..]))),
                &place.device,
            ),
        });
        place.prepared = Some(Arc::clone(&prepared));
        prepared
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
        let prepared = self.prepared(place, see);
        let Prepared { wanted, masks, .. } = &*prepared;

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
        let (lane_count, before_count, step_count) = (lane_count?, before_count?, step_count?);

        let device = place.device.clone();
        let all = |lengths: &[usize], arrays: &[Vec<f64>]| {
            let arrays = arrays.iter().map(|values| values.iter().map(|x| *x as f32));
            let arrays: Vec<Vec<f32>> = arrays.map(Iterator::collect).collect();
            let pairs = lengths.iter().zip(&arrays);
            let pairs = pairs.map(|(len, values)| (*len == 1, &values[..]));
            upload(&joined(pairs), &device)
        };
        let mut state = match &place.state {
            State::Host(state) => all(&states, state),
            State::Device(state) => CubeTensor::clone(state),
        };
        let given = all(&sources, given);
        let mut offsets: Vec<u32> = firsts.iter().map(|x| *x as u32).collect();
        offsets.push(0);
        let offsets = upload_indices(&offsets, &device);
        let kept = unwritten(&state, Shape::new([length.max(1)]));
        let elements = states.iter().sum::<usize>();

        let client = state.client.clone();
        let most = steps_of_launch(prepared.kernel.code.len(), lanes);
        for first in (0..steps).step_by(most) {
            let after = unwritten(&state, Shape::new([elements.max(1)]));
            let (count, dim) = one_for_each(&client, lanes);
            kernel::steps::launch(
                &client,
                count,
                dim,
                state.into_buffer_arg(),
                prepared.constants.clone().into_buffer_arg(),
                given.clone().into_buffer_arg(),
                offsets.clone().into_buffer_arg(),
                after.clone().into_buffer_arg(),
                kept.clone().into_buffer_arg(),
                lane_count,
                before_count,
                step_count,
                counted(first)?,
                counted(most.min(steps - first))?,
                prepared.kernel.clone(),
            );
            state = after;
        }
        place.state = State::Device(Box::new(state));
        let kept = if length > 0 {
            download(kept)
        } else {
            Vec::new()
        };
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
