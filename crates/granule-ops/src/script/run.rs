//! Many steps of a script.

use std::sync::Arc;

use rayon::prelude::*;

use super::cpu::{Given, Many, Number, Part, Seen};
use super::{Script, Slot, Steps, either};
use crate::vectorised::vectorised;

/// Bytes that the buffers of a tile should fit in: the nearest cache.
const NEAR: usize = 24 << 10;
/// Elements of a part of longer buffers.
const LANES: usize = 256;
/// Elementary steps that are worth a second thread.
const PARALLEL: usize = 1 << 16;

/// A script with its state.
#[derive(Clone, Debug)]
pub struct Run {
    script: Arc<Script>,
    done: usize,
    state: Vec<Vec<f64>>,
}

impl Run {
    /// A run from a state, each variable row-major. `None` where it does not fit the script.
    pub fn new(script: Arc<Script>, state: Vec<Vec<f64>>) -> Option<Self> {
        let fits = script.states().into_iter().eq(state.iter().map(Vec::len));
        fits.then_some(Self {
            script,
            done: 0,
            state,
        })
    }

    /// The steps done.
    pub fn done(&self) -> usize {
        self.done
    }

    /// The state, each variable row-major.
    pub fn state(&self) -> &[Vec<f64>] {
        &self.state
    }

    /// Takes `steps` steps. `given` has what is given for them, each source for all steps in a row; `every` says of each thing
    /// that can be seen after how many steps it is, counted from the beginning of the run, never for 0. Returns what was seen,
    /// each thing row after row; `None` where what is given does not fit.
    pub fn steps(
        &mut self,
        steps: usize,
        given: &[Vec<f64>],
        every: &[usize],
    ) -> Option<Vec<Vec<f64>>> {
        let lengths = self.script.given();
        let fits = lengths.len() == given.len()
            && lengths
                .iter()
                .zip(given)
                .all(|(len, given)| given.len() == len * steps)
            && every.len() == self.script.seen().len();
        if !fits {
            return None;
        }
        if steps == 0 {
            return Some(vec![Vec::new(); every.len()]);
        }
        let script = Arc::clone(&self.script);
        let (state, seen) =
            either!(&script.0, own => own.run(&self.state, self.done, steps, given, every));
        self.state = state;
        self.done += steps;
        Some(seen)
    }
}

fn convert<T: Number>(values: &[f64]) -> Vec<T> {
    values.iter().map(|x| T::of(*x)).collect()
}

/// In the same memory, where the numbers are as wide.
fn back<T: Number>(values: Vec<T>) -> Vec<f64> {
    values.into_iter().map(Number::to_f64).collect()
}

/// One after the other.
fn joined<T: Number>(own: Vec<Vec<T>>) -> Vec<f64> {
    let mut own = own.into_iter();
    let first = own.next().map(back).unwrap_or_default();
    own.fold(first, |mut all, more| {
        all.extend(back(more));
        all
    })
}

/// What the tiles have of each thing; of one that all elements share each tile has all, and the first one's counts.
fn by_thing<T>(tiles: Vec<Vec<Vec<T>>>, lengths: Vec<usize>) -> impl Iterator<Item = Vec<Vec<T>>> {
    let mut tiles: Vec<_> = tiles.into_iter().map(IntoIterator::into_iter).collect();
    lengths.into_iter().map(move |len| {
        let mut own: Vec<Vec<T>> = tiles.iter_mut().filter_map(Iterator::next).collect();
        if len == 1 {
            own.truncate(1);
        }
        own
    })
}

/// The rows of all elements from those of the tiles.
fn rows<T: Number>(own: &[Vec<T>], tiles: &[std::ops::Range<usize>]) -> Vec<f64> {
    let parts: Vec<(&[T], usize)> = own
        .iter()
        .map(Vec::as_slice)
        .zip(tiles.iter().map(ExactSizeIterator::len))
        .collect();
    let count = parts
        .first()
        .map_or(0, |(own, width)| own.len() / (*width).max(1));
    let row = |row: usize| {
        let parts = parts.iter();
        parts.flat_map(move |(own, width)| own[row * width..][..*width].iter().map(|x| x.to_f64()))
    };
    (0..count).flat_map(row).collect()
}

impl<T: Number> Steps<T> {
    /// The state after some steps, and what was seen.
    fn run(
        &self,
        state: &[Vec<f64>],
        before: usize,
        steps: usize,
        given: &[Vec<f64>],
        every: &[usize],
    ) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let state: Vec<Vec<T>> = state.iter().map(|x| convert(x)).collect();
        let given: Vec<Vec<T>> = given.iter().map(|x| convert(x)).collect();
        let wanted: Vec<(Slot, usize)> = self
            .seen
            .iter()
            .copied()
            .zip(every.iter().copied())
            .collect();
        let tiles = self.tiles();
        let run = |tile: &std::ops::Range<usize>| {
            self.tile(tile, &state, (before, steps), &given, &wanted)
        };
        let ran: Vec<_> = match tiles.as_slice() {
            [one] => vec![run(one)],
            tiles if self.code.len() * steps * self.lanes.unwrap_or_default() < PARALLEL => {
                tiles.iter().map(run).collect()
            }
            tiles => tiles.par_iter().map(run).collect(),
        };
        let (states, seen): (Vec<_>, Vec<_>) = ran.into_iter().unzip();
        let states = by_thing(states, self.lengths(&self.states));
        let state = states.map(joined);
        let seen = by_thing(seen, self.lengths(&self.seen)).map(|own| match own.len() {
            0 | 1 => joined(own),
            _ => rows(&own, &tiles),
        });
        (state.collect(), seen.collect())
    }

    /// Runs of instructions of element by element on buffers of one length, which go part by part; others by themselves.
    fn parts(&self, slots: &[Vec<T>]) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for (at, instruction) in self.code.iter().enumerate() {
            let len = slots[instruction.to].len();
            let elementwise = instruction.work.is_elementwise();
            match parts.last_mut() {
                Some(last) if last.elementwise && elementwise && last.len == len => {
                    last.end = at + 1
                }
                _ => parts.push(Part {
                    end: at + 1,
                    len,
                    elementwise,
                    step: len,
                }),
            }
        }
        for part in &mut parts {
            if part.elementwise && part.len > 2 * LANES {
                part.step = LANES;
            }
        }
        parts
    }

    /// The elements that go together.
    fn tiles(&self) -> Vec<std::ops::Range<usize>> {
        let Some(lanes) = self.lanes else {
            return std::iter::once(0..0).collect();
        };
        let wide = self.slots.iter().filter(|x| x.len() > 1).count().max(1);
        let most = (NEAR / (wide * size_of::<T>())).clamp(32, 512) / 16 * 16;
        // Two tiles at least where there is enough for both.
        let tile = most.min(lanes.div_ceil(2).next_multiple_of(16).max(32));
        (0..lanes)
            .step_by(tile)
            .map(|first| first..(first + tile).min(lanes))
            .collect()
    }

    fn tile(
        &self,
        tile: &std::ops::Range<usize>,
        state: &[Vec<T>],
        (before, steps): (usize, usize),
        given: &[Vec<T>],
        wanted: &[(Slot, usize)],
    ) -> (Vec<Vec<T>>, Vec<Vec<T>>) {
        let part = |values: &[T]| match values.len() {
            len if self.lanes.is_none() || len == 1 => values.to_vec(),
            _ => values[tile.clone()].to_vec(),
        };
        let mut slots: Vec<Vec<T>> = self.slots.iter().map(|x| part(x)).collect();
        for (slot, x) in self.states.iter().zip(state) {
            slots[*slot] = part(x);
        }
        let sources = self.given.iter().zip(given).map(|(slot, values)| {
            let stride = self.slots[*slot].len();
            Given {
                to: *slot,
                values,
                stride,
                part: match stride {
                    len if self.lanes.is_none() || len == 1 => 0..len,
                    _ => tile.clone(),
                },
            }
        });
        let sources: Vec<_> = sources.collect();
        let kept = wanted.iter().filter(|(_, every)| *every > 0);
        let kept = kept.map(|(slot, every)| Seen {
            of: *slot,
            every: *every,
            kept: Vec::with_capacity((steps / every + 1) * slots[*slot].len()),
        });
        let mut kept: Vec<_> = kept.collect();
        let parts = self.parts(&slots);
        vectorised(Many {
            code: &self.code,
            parts: &parts,
            matrices: &self.matrices,
            swaps: &self.swaps,
            slots: &mut slots,
            given: &sources,
            seen: &mut kept,
            before,
            steps,
        });
        let mut kept = kept.into_iter();
        let seen = wanted.iter().map(|(_, every)| match every {
            0 => Vec::new(),
            _ => kept.next().map(|seen| seen.kept).unwrap_or_default(),
        });
        let seen = seen.collect();
        let state = self
            .states
            .iter()
            .map(|slot| std::mem::take(&mut slots[*slot]))
            .collect();
        (state, seen)
    }
}
