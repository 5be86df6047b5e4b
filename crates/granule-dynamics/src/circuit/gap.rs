//! Gap junctions: conductances between the potentials of two cells, without a delay.

use burn::module::Module;
use burn::tensor::Tensor;
use granule_io::budget;
use granule_ops::Connections;
use serde::{Deserialize, Serialize};

use super::plan::{Ends, Kind, Plan, PopulationPlan};
use super::projection::{ProjectionConfig, Wired, field, pairs_of};
use crate::model::{Clock, Dynamics, Model};
use crate::synapse::{BoundWeights, Weights};
use crate::unit::UnitModel;
use crate::{Bounds, DynamicsError, Place, State, host};

/// How a gap junction conducts. The current onto a cell is g·(V − v), V the potential of the other cell and g the weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum GapJunction {
    /// Both ways with one conductance: each pair of cells that the rule connects, in one order or in both, has one junction.
    Symmetric,
    /// Onto the second cell of a connection alone.
    Rectifying,
}

/// From which cells current flows onto which, of one projection in one direction.
#[derive(Clone, Debug)]
pub(super) struct GapPlan {
    /// The projection, by its number.
    pub(super) index: usize,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// The conductances of a [`GapPlan`].
pub(super) struct Conducting {
    lists: Connections,
    weights: Vec<f64>,
    /// Σg onto each cell.
    onto: Vec<f64>,
}

/// Conductances between two populations, in one direction.
#[derive(Module, Debug)]
pub struct GapJunctions {
    /// g.
    pub weights: Weights,
    /// Σg onto each cell, `[1, cells]`.
    pub onto: Tensor<2>,
}

impl GapJunctions {
    pub(super) fn new(own: Conducting, place: &Place) -> Result<Self, DynamicsError> {
        let cells = own.onto.len();
        Ok(Self {
            weights: Weights::listed(&own.weights, own.lists, Bounds::AtLeast(0.0), place)?,
            onto: place.tensor(own.onto, [1, cells]),
        })
    }

    pub(super) fn bind(&self) -> BoundJunctions {
        BoundJunctions {
            weights: self.weights.bind(),
            onto: self.onto.clone(),
        }
    }
}

/// [`GapJunctions`] with their values.
pub(super) struct BoundJunctions {
    weights: BoundWeights,
    onto: Tensor<2>,
}

impl BoundJunctions {
    /// Σg·V − Σg·v onto cells at the potential `v`.
    pub(super) fn current(&self, other: Tensor<2>, v: Tensor<2>) -> Tensor<2> {
        self.weights.arriving(other) - v * self.onto.clone()
    }
}

impl ProjectionConfig {
    /// Refuses what gap junctions do not have.
    pub(super) fn check_gap(&self, index: usize) -> Result<(), DynamicsError> {
        if self.gap.is_none() {
            return Ok(());
        }
        let all = [
            ("delay", self.delay.is_some(), "a gap junction has no delay"),
            (
                "velocity",
                self.velocity.is_some(),
                "a gap junction has no delay",
            ),
            (
                "kinetics",
                self.kinetics.is_some(),
                "a gap junction has no time course",
            ),
            ("effect", self.effect.is_some(), "its current is g·(V − v)"),
            ("autapses", self.autapses, "a cell is at its own potential"),
            (
                "multapses",
                self.multapses,
                "a pair of cells has one gap junction",
            ),
            (
                "reward",
                self.reward.is_some(),
                "its conductance is constant",
            ),
            (
                "plasticity",
                self.plasticity.is_some(),
                "its conductance is constant",
            ),
            (
                "short_term",
                self.short_term.is_some(),
                "its conductance is constant",
            ),
        ];
        match all.into_iter().find(|(_, given, _)| *given) {
            Some((name, _, why)) => {
                let allowed = format!("unset beside gap: {why}");
                Err(DynamicsError::config(field(index, name), "this", allowed))
            }
            None => Ok(()),
        }
    }
}

/// Refuses gap junctions of what has no potential, or potentials in different units.
pub(super) fn check_kind(
    index: usize,
    (from, to): (&PopulationPlan, &PopulationPlan),
    [first, second]: [&str; 2],
) -> Result<(), DynamicsError> {
    for (name, own) in [("from", from), ("to", to)] {
        if !matches!(own.kind, Kind::Unit(..)) {
            let allowed = "a population of neurons: gap junctions join membrane potentials";
            let found = format!("{:?}", own.name);
            return Err(DynamicsError::config(field(index, name), found, allowed));
        }
    }
    if first == second {
        return Ok(());
    }
    let found = format!("between potentials in {first} and in {second}");
    let allowed = "between cells whose potentials have one unit";
    Err(DynamicsError::config(field(index, "gap"), found, allowed))
}

/// Refuses symmetric junctions of a projection that lists a pair of populations in both orders.
pub(super) fn check_orders(
    projection: &ProjectionConfig,
    gaps: &[(usize, Ends)],
    ends: Ends,
) -> Result<(), DynamicsError> {
    let back = |own: &(usize, Ends)| {
        own.1.index == ends.index && (own.1.from, own.1.to) == (ends.to, ends.from)
    };
    if projection.gap == Some(GapJunction::Symmetric)
        && ends.from != ends.to
        && gaps.iter().any(back)
    {
        let found = "two populations in both orders";
        let allowed = "each pair of populations once: symmetric junctions conduct both ways";
        return Err(DynamicsError::config(
            field(ends.index, "to"),
            found,
            allowed,
        ));
    }
    Ok(())
}

/// A pair of cells and its conductance.
type Junction = (u32, u32, f64);

/// The junctions of a projection, one plan for each direction between two populations.
///
/// # Errors
///
/// [`DynamicsError::Config`] for a pair whose two orders are written out with different conductances,
/// [`DynamicsError::Memory`].
pub(super) fn conducting(
    projection: &ProjectionConfig,
    wired: &Wired,
    (ends, [pre, post]): (Ends, [usize; 2]),
) -> Result<Vec<(GapPlan, Conducting)>, DynamicsError> {
    let Ends { index, from, to } = ends;
    let what = format!("the gap junctions of projection.{index}");
    budget::ask_for_numbers(&what, &[8, wired.to.len()])?;
    let mut pairs: Vec<Junction> = budget::with_capacity(2 * wired.to.len(), &what)?;
    let all = pairs_of(&wired.ends, &wired.to).enumerate();
    pairs.extend(all.map(|(at, (a, b))| (a as u32, b as u32, wired.weights.at(at))));
    let plan = |from, to| GapPlan { index, from, to };
    let within = from == to;
    pairs.sort_by_key(|(a, b, _)| (*a, *b));
    let twice = pairs
        .windows(2)
        .find(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1));
    if let Some([(a, b, _), _]) = twice {
        let found = format!("cell {a} to cell {b} twice");
        let allowed = "each pair once: a pair of cells has one gap junction";
        return Err(DynamicsError::config(field(index, "rule"), found, allowed));
    }
    if projection.gap != Some(GapJunction::Symmetric) {
        return Ok(vec![(plan(from, to), sorted(pairs, pre, post)?)]);
    }
    // The order from the lower to the higher cell comes first, and is the one that counts.
    let key = |&(a, b, _): &Junction| {
        if within && a > b {
            (b, a, true)
        } else {
            (a, b, false)
        }
    };
    pairs.sort_by_key(key);
    let is_drawn = projection.is_drawn();
    let mut different = None;
    pairs.dedup_by(|next, first| {
        let (a, b, _) = key(next);
        let (c, d, _) = key(first);
        let same = (a, b) == (c, d);
        if same && next.2 != first.2 && !is_drawn {
            different.get_or_insert((a, b));
        }
        same
    });
    if let Some((a, b)) = different {
        let found = format!("two conductances of the pair of cells {a} and {b}");
        let allowed = "one conductance for each pair, or gap = \"rectifying\"";
        return Err(DynamicsError::config(
            field(index, "weight"),
            found,
            allowed,
        ));
    }
    let back: Vec<Junction> = pairs.iter().map(|(a, b, g)| (*b, *a, *g)).collect();
    if within {
        pairs.extend(back);
        return Ok(vec![(plan(from, to), sorted(pairs, pre, post)?)]);
    }
    Ok(vec![
        (plan(from, to), sorted(pairs, pre, post)?),
        (plan(to, from), sorted(back, post, pre)?),
    ])
}

/// Junctions by their first cell.
fn sorted(
    mut pairs: Vec<Junction>,
    rows: usize,
    columns: usize,
) -> Result<Conducting, DynamicsError> {
    pairs.sort_by_key(|(a, b, _)| (*a, *b));
    let mut onto = vec![0.0; columns];
    let mut ends = vec![0; rows];
    for (a, b, g) in &pairs {
        onto[*b as usize] += g;
        ends[*a as usize] += 1;
    }
    let mut sum = 0;
    for end in &mut ends {
        sum += *end;
        *end = sum;
    }
    let targets = pairs.iter().map(|pair| pair.1).collect();
    let lists = Connections::of_lists(columns, ends, targets);
    let lists = lists
        .ok_or_else(|| DynamicsError::config("population", columns, "at most 2^32 cells in all"))?;
    Ok(Conducting {
        lists,
        weights: pairs.into_iter().map(|pair| pair.2).collect(),
        onto,
    })
}

impl Conducting {
    pub(super) fn len(&self) -> usize {
        self.weights.len()
    }
}

/// The largest share of the way to the mean potential of the cells that a cell is joined to that it may go in a step. Two
/// cells alike meet there and do not overshoot; beyond twice as much their difference would grow from step to step.
const SHARE: f64 = 0.5;

/// By how much a step moves the potential of each cell for a unit of its input, at the beginning of a run.
fn responses(neuron: &UnitModel, dt: f64) -> Result<Vec<f64>, DynamicsError> {
    let dynamics = neuron.dynamics()?;
    let state: State = neuron.initial_state(1)?;
    let at = Clock {
        step: 0,
        time: 0.0,
        dt,
    };
    let after = |input: f64| {
        let input = state[0].zeros_like().add_scalar(input);
        host(dynamics.step(at, &state, Some(&input))?[0].clone())
    };
    let rest = after(0.0)?;
    let moved = |input: f64| -> Result<Vec<f64>, DynamicsError> {
        let after = after(input)?;
        let moved = after.iter().zip(&rest).map(|(v, rest)| (v - rest).abs());
        Ok(moved.collect())
    };
    // An input that moves the potentials by a tenth of their unit: little beside what opens channels, much beside rounding.
    let largest = moved(1.0)?.into_iter().fold(0.0, f64::max);
    if !(largest > 0.0 && largest.is_finite()) {
        return Ok(vec![0.0; rest.len()]);
    }
    let probe = 0.1 / largest;
    let (up, down) = (moved(probe)?, moved(-probe)?);
    // The smaller of both: a cell that fires with one of them alone jumps.
    let both = up.into_iter().zip(down);
    Ok(both.map(|(up, down)| up.min(down) / probe).collect())
}

/// Refuses conductances that steps of `dt` ms are too long for.
pub(super) fn check_steps(
    plan: &Plan,
    all: &[Conducting],
    neurons: &[UnitModel],
    dt: f64,
) -> Result<(), DynamicsError> {
    for (to, population) in plan.populations.iter().enumerate() {
        let own = || plan.gaps.iter().zip(all).filter(|(gap, _)| gap.to == to);
        let (Kind::Unit(index, _), Some((last, _))) = (&population.kind, own().next_back()) else {
            continue;
        };
        let mut onto = vec![0.0; population.size];
        for (_, own) in own() {
            onto.iter_mut()
                .zip(&own.onto)
                .for_each(|(sum, g)| *sum += g);
        }
        let responses = responses(&neurons[*index], dt)?;
        let mut cells = onto.iter().zip(&responses).enumerate();
        let beyond = |(_, (g, response)): &(usize, (&f64, &f64))| **g * **response > SHARE;
        if let Some((cell, (g, response))) = cells.find(beyond) {
            let found = format!(
                "gap junctions of {g} in all on cell {cell} of {}",
                population.name
            );
            let most = SHARE / response;
            let allowed = format!(
                "at most {most:.4} in all on a cell at steps of dt = {dt} ms, or shorter steps: beyond that potentials overshoot \
                 one another"
            );
            return Err(DynamicsError::config(
                field(last.index, "weight"),
                found,
                allowed,
            ));
        }
    }
    Ok(())
}
