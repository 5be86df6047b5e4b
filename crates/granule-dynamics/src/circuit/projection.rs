//! The projections of a circuit.

use std::path::PathBuf;

use granule_io::budget;
use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use super::draw::{Draw, stream};
use super::gap::GapJunction;
use super::population::PopulationConfig;
use super::rule::{Profile, RuleOfConnections, Site};
use super::space::Space;
use crate::DynamicsError;
use crate::delay::{LONGEST, ROUNDING};
use crate::plasticity::{RulesConfig, ShortTermConfig, Signal};
use crate::setting::Range;
use crate::synapse::{Effect, Kinetics};

/// Connections from the cells of one population to those of another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ProjectionConfig {
    /// What it is called, so that a setting is found by name. Default: its number alone, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The population that sends, or a list of several: each with each of `to` is connected by the same settings.
    pub from: Names,
    /// The population that receives, or a list of several.
    pub to: Names,
    /// Who is connected to whom. Default: all to all.
    #[serde(default)]
    pub rule: RuleOfConnections,
    /// Edges of a file in the place of `rule`: who takes a configuration from a file or from flags reads them, as a list with
    /// their weights and delays. Default: the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sonata: Option<SonataConfig>,
    /// What a spike brings: without kinetics the jump of the potential, mV or what its unit is, else the peak of the current, in
    /// the cell's unit, or of the conductance, in that unit per mV (mS/cm², nS, or the leak). Of a population of rates: the input
    /// for each unit of rate. A number, a list with one for each connection of a `list`, or a distribution; none beside a `matrix`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Draw>,
    /// From a spike to its arrival, ms, rounded to whole steps; at least one. As `weight`. Default: one step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Draw>,
    /// How fast a spike travels, in the unit of the positions per ms: the delay grows by the distance over it. Default: no
    /// distance counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
    pub velocity: Option<f64>,
    /// What a weight is multiplied by at the distance of its cells. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// The time course after a spike. Default: none, the potential jumps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinetics: Option<Kinetics>,
    /// What the time course is. Default: a current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// Gap junctions in the place of synapses: `weight` is their conductance, in the cell's unit per mV (mS/cm², nS, or the leak),
    /// or per unit of its potential. Default: synapses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<GapJunction>,
    /// Whether a cell may be connected to itself. Default false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub autapses: bool,
    /// Whether a rule with a fixed degree may connect two cells several times. Default false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub multapses: bool,
    /// Rules by which the weights change by the spikes of both sides. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plasticity: Option<RulesConfig>,
    /// The population whose activity is the reward, of rules that need one: each of its spikes is a reward of 1 over the number of its
    /// cells; of rates, the mean over its cells per ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<String>,
    /// Depression and facilitation at short term. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_term: Option<ShortTermConfig>,
}

/// A name, or a list of names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "must be a name, or a list of names")]
pub enum Names {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Names {
    /// All of them.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

/// One pair of populations of a projection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pathway<'a> {
    /// The projection, by its number.
    pub(super) index: usize,
    pub(super) from: &'a PopulationConfig,
    pub(super) to: &'a PopulationConfig,
}

impl Pathway<'_> {
    /// The stream of what is drawn for a setting.
    fn stream(&self, name: &str) -> u64 {
        let Self { index, from, to } = self;
        stream(&format!(
            "projection.{index}.{name}.{}.{}",
            from.name, to.name
        ))
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Numbers that are held of each connection at the most: its two cells, its weight and its delay, as they are drawn, in order,
/// in the model and in its recorded step.
pub(super) const HELD: usize = 6;

/// The place of a setting of a projection in the configuration.
pub(super) fn field(index: usize, name: &str) -> String {
    format!("projection.{index}.{name}")
}

/// Numbers of connections: one for all of them, or one for each.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Each<T> {
    One(T),
    Of(Vec<T>),
}

impl<T: Copy + PartialEq> Each<T> {
    pub(super) fn at(&self, connection: usize) -> T {
        match self {
            Self::One(value) => *value,
            Self::Of(all) => all[connection],
        }
    }
}

/// The connections of a projection, by presynaptic cell.
pub(super) struct Wired {
    /// Where those of each cell end.
    pub(super) ends: Vec<usize>,
    pub(super) to: Vec<u32>,
    pub(super) weights: Each<f64>,
    /// In steps, from 1.
    pub(super) delays: Each<u32>,
}

impl Wired {
    /// One connection of weight 0 in the place of none: lists have one at least.
    pub(super) fn or_of_no_weight(self) -> Self {
        if !self.to.is_empty() {
            return self;
        }
        Self {
            ends: vec![1; self.ends.len()],
            to: vec![0],
            weights: Each::One(0.0),
            ..self
        }
    }
}

/// Edges of a SONATA file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SonataConfig {
    /// The HDF5 file of edges.
    pub edges: PathBuf,
    /// The table of edge types, for what the edges themselves do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<PathBuf>,
    /// The population of edges. Default: the only one of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub population: Option<String>,
    /// The nodes that are the cells of `from`: the first one, and the one after the last. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<[u64; 2]>,
    /// The nodes that are the cells of `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<[u64; 2]>,
}

impl ProjectionConfig {
    pub(super) fn validate(&self, index: usize) -> Result<(), DynamicsError> {
        if let Some(sonata) = &self.sonata {
            let found = sonata.edges.display();
            let allowed = "edges that are read: a `rule` with a list of them";
            return Err(DynamicsError::config(
                field(index, "sonata"),
                found,
                allowed,
            ));
        }
        match (&self.weight, self.rule.rule().has_weights()) {
            (Some(_), true) => {
                let allowed = "unset: the rule has the weights";
                return Err(DynamicsError::config(
                    field(index, "weight"),
                    "this",
                    allowed,
                ));
            }
            (None, false) => return Err(DynamicsError::missing(field(index, "weight"))),
            (weight, _) => {
                let weight = weight.as_ref();
                weight.map_or(Ok(()), |weight| weight.check(&field(index, "weight")))?;
            }
        }
        self.check_gap(index)?;
        if let Some(delay) = &self.delay {
            delay.check(&field(index, "delay"))?;
        }
        if let Some(velocity) = self.velocity {
            Range::Positive.check(field(index, "velocity"), velocity)?;
        }
        if let Some(profile) = &self.profile {
            profile.check(&field(index, "profile"))?;
        }
        let under = |error: DynamicsError, name: &str| error.under(&field(index, name));
        if let Some(rules) = &self.plasticity {
            rules
                .validate()
                .map_err(|error| under(error, "plasticity"))?;
            if self.opens() {
                rules
                    .limits
                    .check_conductances(&field(index, "plasticity.limits"))?;
            }
        }
        if let Some(short_term) = &self.short_term {
            short_term
                .validate()
                .map_err(|error| under(error, "short_term"))?;
            if short_term.signal != Signal::Spikes {
                let place = field(index, "short_term.signal");
                return Err(DynamicsError::config(place, "rates", "spikes"));
            }
        }
        Ok(())
    }

    /// Whether a conductance is what arrives.
    pub(super) fn opens(&self) -> bool {
        !matches!(self.effect, None | Some(Effect::Current))
    }

    /// Whether each weight is drawn by itself.
    pub(super) fn is_drawn(&self) -> bool {
        matches!(self.weight, Some(Draw::From(_)))
    }

    /// Whether cell i reaches cell i alone, with one weight and one delay.
    pub(super) fn is_direct(&self) -> bool {
        let single = |draw: &Draw| matches!(draw, Draw::One(_));
        self.rule.rule().is_one_to_one()
            && self.weight.as_ref().is_some_and(single)
            && self.delay.as_ref().is_none_or(single)
            && self.velocity.is_none()
            && self.profile.is_none()
    }

    fn site(&self, pathway: Pathway<'_>, seed: u64) -> Site {
        let Pathway { index, from, to } = pathway;
        let rule = field(index, "rule");
        Site {
            pre: from.size,
            post: to.size,
            recurrent: from.name == to.name,
            autapses: self.autapses,
            multapses: self.multapses,
            space: Space::between(
                (from.positions.as_ref(), from.size),
                (to.positions.as_ref(), to.size),
            ),
            random: [seed, pathway.stream("rule")],
            field: rule,
        }
    }

    /// How many connections there are, about.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a rule that does not fit the populations.
    pub(super) fn count(&self, pathway: Pathway<'_>) -> Result<usize, DynamicsError> {
        self.rule.rule().count(&self.site(pathway, 0))
    }

    /// Draws the connections.
    pub(super) fn wire(
        &self,
        pathway: Pathway<'_>,
        (dt, seed): (f64, u64),
    ) -> Result<Wired, DynamicsError> {
        let index = pathway.index;
        let site = self.site(pathway, seed);
        let rule = self.rule.rule();
        let about = rule.count(&site)?;
        let what = || format!("the connections of projection.{index}");
        budget::ask_for_numbers(what(), &[HELD, about])?;
        let many = |count: usize| {
            let found = counted(count, "connection");
            DynamicsError::config(&site.field, found, "less than 2^32 connections")
        };
        if u32::try_from(about).is_err() {
            return Err(many(about));
        }
        let mut pairs: Vec<[u32; 2]> = budget::with_capacity(about, what())?;
        let mut room = Ok(());
        rule.connect(&site, &mut |pre, post| {
            // There may be some more than were expected.
            if pairs.len() == pairs.capacity() && room.is_ok() {
                room = budget::reserve(&mut pairs, 1 + about / 8, what());
            }
            if room.is_ok() {
                pairs.push([pre as u32, post as u32]);
            }
        });
        room?;
        if u32::try_from(pairs.len()).is_err() {
            return Err(many(pairs.len()));
        }
        let mut ends = vec![0usize; site.pre];
        for [pre, _] in &pairs {
            ends[*pre as usize] += 1;
        }
        let mut sum = 0;
        let mut next = Vec::with_capacity(site.pre);
        for end in &mut ends {
            next.push(sum);
            sum += *end;
            *end = sum;
        }
        let own = rule.weights();
        let listed = |draw: Option<&Draw>| matches!(draw, Some(Draw::Each(_)));
        let is_listed =
            own.is_some() || listed(self.weight.as_ref()) || listed(self.delay.as_ref());
        let (mut to, mut order) = (vec![0; pairs.len()], Vec::new());
        if is_listed {
            order.resize(pairs.len(), 0u32);
        }
        for (at, [pre, post]) in pairs.iter().enumerate() {
            let place = &mut next[*pre as usize];
            to[*place] = *post;
            if is_listed {
                order[*place] = at as u32;
            }
            *place += 1;
        }
        drop(pairs);
        let weight = own.map(Draw::Each).or_else(|| self.weight.clone());
        let weight = weight.ok_or_else(|| DynamicsError::missing(field(index, "weight")))?;
        let weights = self.numbers(("weight", pathway), &weight, (&ends, &to, &order), seed)?;
        let weights = match (&self.profile, &site.space) {
            (None, _) => weights,
            (Some(_), None) => {
                let allowed = "between populations that both have `positions`, on rings of one length or on none";
                return Err(DynamicsError::config(
                    field(index, "profile"),
                    "this",
                    allowed,
                ));
            }
            (Some(profile), Some(space)) => {
                let pairs = pairs_of(&ends, &to).enumerate();
                let scaled = pairs.map(|(at, (pre, post))| {
                    weights.at(at) * profile.at(space.distance(pre, post))
                });
                Each::Of(scaled.collect())
            }
        };
        self.check_weights(index, &weights)?;
        let delay = self.delay.clone().unwrap_or(Draw::One(dt));
        if let Draw::From(distribution) = &delay
            && distribution.lowest() < dt * (1.0 - ROUNDING)
        {
            let found = format!("numbers from {}", distribution.lowest());
            let allowed = format!("at least one step, dt = {dt} ms, as the lowest: set low");
            return Err(DynamicsError::config(field(index, "delay"), found, allowed));
        }
        let delays = self.numbers(("delay", pathway), &delay, (&ends, &to, &order), seed)?;
        let steps = |delay: f64| {
            let steps = delay / dt;
            if (1.0 - ROUNDING..=LONGEST).contains(&steps) {
                return Ok(steps.round().max(1.0) as u32);
            }
            let allowed = format!("from dt = {dt} to 100000 steps = {} ms", LONGEST * dt);
            Err(DynamicsError::config(field(index, "delay"), delay, allowed))
        };
        let delays = match (self.velocity, &site.space) {
            (Some(_), None) => {
                let allowed = "between populations that both have `positions`, on rings of one length or on none";
                return Err(DynamicsError::config(
                    field(index, "velocity"),
                    "this",
                    allowed,
                ));
            }
            (Some(velocity), Some(space)) => {
                let pairs = pairs_of(&ends, &to).enumerate();
                let all = pairs.map(|(at, (pre, post))| {
                    steps(delays.at(at) + space.distance(pre, post) / velocity)
                });
                Each::Of(all.collect::<Result<_, _>>()?)
            }
            (None, _) => match delays {
                Each::One(delay) => Each::One(steps(delay)?),
                Each::Of(all) => {
                    let all = all.into_iter().map(steps);
                    Each::Of(all.collect::<Result<_, _>>()?)
                }
            },
        };
        Ok(Wired {
            ends,
            to,
            weights,
            delays,
        })
    }

    /// One number for each connection, in the order of the presynaptic cells.
    fn numbers(
        &self,
        (name, pathway): (&str, Pathway<'_>),
        draw: &Draw,
        (ends, to, order): (&[usize], &[u32], &[u32]),
        seed: u64,
    ) -> Result<Each<f64>, DynamicsError> {
        let place = field(pathway.index, name);
        match draw {
            Draw::One(value) => Ok(Each::One(*value)),
            Draw::Each(values) if values.len() == 1 => Ok(Each::One(values[0])),
            Draw::Each(values) if values.len() == to.len() => {
                let all = order.iter().map(|at| values[*at as usize]);
                Ok(Each::Of(all.collect()))
            }
            Draw::Each(values) => {
                let found = format!("[{}]", counted(values.len(), "value"));
                let allowed = format!(
                    "one value, or {}: one for each connection, in the order of the rule",
                    to.len()
                );
                Err(DynamicsError::config(place, found, allowed))
            }
            Draw::From(_) => {
                let stream = pathway.stream(name);
                let mut all = Vec::with_capacity(to.len());
                for (cell, end) in ends.iter().enumerate() {
                    let next = draw.of_connections(cell, [seed, stream]);
                    all.extend(next.into_iter().flatten().take(end - all.len()));
                }
                Ok(Each::Of(all))
            }
        }
    }

    /// Weights are finite, as not all are that are drawn, and conductances not negative.
    fn check_weights(&self, index: usize, weights: &Each<f64>) -> Result<(), DynamicsError> {
        let find = |is_bad: fn(f64) -> bool| match weights {
            Each::One(weight) => Some(*weight).filter(|weight| is_bad(*weight)),
            Each::Of(all) => all.iter().copied().find(|weight| is_bad(*weight)),
        };
        let refused = |weight, allowed| {
            let place = field(index, "weight");
            Err(DynamicsError::config(place, weight, allowed))
        };
        if let Some(weight) = find(|weight| !weight.is_finite()) {
            return refused(weight, "a finite number");
        }
        match find(|weight| weight < 0.0) {
            Some(weight) if self.opens() => refused(
                weight,
                "at least 0, for a conductance is not negative: its reversal says what it does",
            ),
            Some(weight) if self.gap.is_some() => {
                refused(weight, "at least 0, for a conductance is not negative")
            }
            _ => Ok(()),
        }
    }
}

/// Both cells of each connection.
pub(super) fn pairs_of<'a>(
    ends: &'a [usize],
    to: &'a [u32],
) -> impl Iterator<Item = (usize, usize)> + 'a {
    let firsts = std::iter::once(0).chain(ends.iter().copied());
    let rows = firsts.zip(ends).enumerate();
    rows.flat_map(|(pre, (first, end))| {
        let own = to[first..*end].iter();
        own.map(move |post| (pre, *post as usize))
    })
}
