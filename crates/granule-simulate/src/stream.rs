//! The record of a run handed on while it runs, so that its memory does not grow with its duration.

use std::ops::ControlFlow;

use super::outcome::Trace;
use super::run::{Experiment, Ran};
use granule_dynamics::DynamicsError;
use granule_dynamics::unit::SpikeStatistics;

/// Numbers that are held before they are handed on: 4 MiB.
const HELD: usize = 1 << 19;

/// The next part of a record.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// The instants, ms.
    pub times: &'a [f64],
    /// The recorded variables, as many samples as there are instants; the same variables in every block.
    pub traces: &'a [Trace],
    /// The channels of the input likewise.
    pub stimulus: &'a [Trace],
    /// Times, ms, and cells of the spikes since the block before, in the order of time; none of models without spikes.
    pub spikes: Option<&'a [(f64, usize)]>,
}

/// What takes a record part by part. Breaking ends the run.
pub type TakeBlock<'a> = dyn FnMut(Block<'_>) -> ControlFlow<()> + 'a;

/// Where a record goes.
pub(super) struct Stream<'a> {
    take: &'a mut TakeBlock<'a>,
    /// Numbers that are held before they are handed on.
    held: usize,
    /// Of each cell.
    pub(super) spikes: Vec<SpikeStatistics>,
}

impl<'a> Stream<'a> {
    pub(super) fn new(take: &'a mut TakeBlock<'a>) -> Self {
        Self {
            take,
            held: HELD,
            spikes: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn held(self, held: usize) -> Self {
        Self { held, ..self }
    }
}

impl Ran<'_> {
    /// Hands on what is held where the record goes away while it is made, and it is a block or the run `has_ended`.
    pub(super) fn hand_on(
        &mut self,
        of: &Experiment,
        has_ended: bool,
    ) -> Result<ControlFlow<()>, DynamicsError> {
        let Some(stream) = &mut self.stream else {
            return Ok(ControlFlow::Continue(()));
        };
        let readers = self.readers.iter();
        let waiting = readers.fold(0, |all, (_, reader)| all + reader.held());
        let held = self.recorder.held() * (1 + self.recorder.columns());
        if held + self.given.len() + waiting < stream.held && !has_ended {
            return Ok(ControlFlow::Continue(()));
        }
        // A level may be ahead of the whole where the run was stopped.
        let kept = of.records_from()..=self.reached.1;
        let mut spikes = Vec::new();
        let mut first = 0;
        for (_, reader) in &mut self.readers {
            reader.drain(|cell, time| {
                if kept.contains(&time) {
                    spikes.push((time, first + cell));
                }
            })?;
            first += reader.cells();
        }
        in_order(&mut spikes);
        stream.spikes.resize(first, SpikeStatistics::default());
        for (time, cell) in &spikes {
            stream.spikes[*cell].add(*time);
        }
        let stimulus = of.channels(&self.given);
        self.given.clear();
        let (times, traces) = self.recorder.since()?;
        let heard = (stream.take)(Block {
            times,
            traces,
            stimulus: &stimulus,
            spikes: (!self.readers.is_empty()).then_some(&spikes),
        });
        self.recorder.clear();
        Ok(heard)
    }
}

/// Sorts spikes by time, those of one time by cell.
pub(super) fn in_order(spikes: &mut [(f64, usize)]) {
    spikes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
}
