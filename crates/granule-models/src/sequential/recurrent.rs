//! What recurrent layers share.

use burn::module::Module;
use burn::tensor::Tensor;
use granule_dynamics::Place;
use granule_dynamics::population::{
    GatedCell, GatedCells, GatedNetworkConfig, RateNetwork, SequenceModel,
};

use super::{Builder, Features, Layer, Site};
use crate::layers::check_size;
use crate::parameters::Parameters;
use crate::rate::fixed_of;
use crate::sequence::{Readout, extents, to_steps};
use crate::{InputShape, Mode, ModelError};

/// A recurrent network along the steps of a sequence, or the rows of an image.
#[derive(Module, Debug)]
pub struct Recurrent {
    /// The network.
    pub cells: Cells,
    #[module(skip)]
    input: InputShape,
    #[module(skip)]
    readout: Readout,
}

/// The network of a recurrent layer.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "few of them, and Burn's modules cannot be boxed"
)]
pub enum Cells {
    /// Gated cells.
    Gated(GatedCells),
    /// A rate network without a readout.
    Rate(RateNetwork),
}

impl Recurrent {
    /// The shape that so many units give.
    pub(super) fn shape(
        site: &Site,
        units: usize,
        readout: Readout,
    ) -> Result<InputShape, ModelError> {
        let input = site.input();
        let Ok((steps, 1..)) = extents(&input) else {
            let problem = "takes images, whose rows are steps, or sequences";
            return Err(site.misfit(problem, "put it before the first flatten"));
        };
        Ok(match readout.of(&input) {
            Readout::Sequence => InputShape::Sequence {
                steps,
                channels: units,
            },
            _ => InputShape::Vector { len: units },
        })
    }

    /// The shape that gated cells give.
    pub(super) fn gated_shape(
        site: &Site,
        units: usize,
        readout: Readout,
    ) -> Result<InputShape, ModelError> {
        check_size(site.field("units"), units)?;
        Self::shape(site, units, readout)
    }

    /// The layer of the cells that `cells` makes of the inputs of a step, a seed, none where they are stored, and a place.
    pub(super) fn build(
        at: &Builder,
        p: &mut Parameters<'_>,
        readout: Readout,
        cells: impl FnOnce(usize, Option<u64>, &Place) -> Result<Cells, ModelError>,
    ) -> Result<Self, ModelError> {
        let input = at.input();
        let (_, inputs) = extents(&input)?;
        p.seeded(at.index(), |seed, device| {
            Ok(Self {
                cells: cells(inputs, seed, &Place::f32(device))?,
                input,
                readout: readout.of(&input),
            })
        })
    }

    /// The layer of gated cells.
    pub(super) fn gated(
        at: &Builder,
        p: &mut Parameters<'_>,
        cell: GatedCell,
        units: usize,
        readout: Readout,
    ) -> Result<Self, ModelError> {
        Self::build(at, p, readout, |inputs, seed, place| {
            let network = GatedNetworkConfig { cell, units };
            let cells = network.cells(inputs, seed.unwrap_or_default(), place)?;
            Ok(Cells::Gated(cells))
        })
    }

    fn states(&self, steps: Tensor<3>) -> Result<Tensor<3>, ModelError> {
        Ok(match &self.cells {
            Cells::Gated(cells) => cells.states(steps)?,
            Cells::Rate(network) => network.forward(steps, None)?.rates,
        })
    }
}

impl Layer for Recurrent {
    fn run(&self, x: Features, _: &mut Mode<'_>) -> Result<Features, ModelError> {
        let states = self.states(to_steps(x.flat(), &self.input))?;
        Ok(Features::Vector(self.readout.take(states)))
    }

    fn fixed_count(&self) -> usize {
        match &self.cells {
            Cells::Gated(_) => 0,
            Cells::Rate(network) => fixed_of(network),
        }
    }
}
