//! What carries a quantity of one level into the input of another.

use std::ops::Range;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use granule_io::budget;
use granule_ops::{Transfer, firing_rate};
use serde::{Deserialize, Serialize};

use super::plastic::{Plastic, PlasticPlan};
use crate::model::Dynamics;
use crate::plasticity::{Rules, RulesConfig};
use crate::setting;
use crate::synapse::{BoundEffect, Effect};

use crate::delay::{LONGEST, ROUNDING};
use crate::{Bounds, DynamicsError, NormalNoise, Parameter, Place, QuantityKind, State, Variable};

/// How a coupler turns the quantity it reads into the one it delivers. Each conversion fixes both units and, but for
/// [`Scale`](Self::Scale), what kind of quantity it reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Conversion {
    /// Membrane potential (mV) → activity (1), from 0 to 1: `sigmoid((v − threshold)/slope)`. It is smooth, so the gradient
    /// reaches the cells; give the coupler a time constant to make a rate of it.
    VoltageToRate {
        /// mV; half activity. Default −20.
        #[serde(default = "threshold")]
        threshold: f64,
        /// mV; the width of the transition. Default 5.
        #[serde(default = "slope")]
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        slope: f64,
    },
    /// Spikes in a step (1) → activity (1): the rate divided by a reference rate. Without a time constant it is the rate over
    /// one step of the whole, 0 in most of them.
    SpikeToRate {
        /// Hz; activity 1. Default 100.
        #[serde(default = "reference")]
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        reference: f64,
    },
    /// Rate (1) → current density (µA/cm²); gain or weights are µA/cm² per unit of rate.
    RateToCurrent,
    /// Population's rate, or its mean (1) → drive of a system (1).
    RateToDrive,
    /// State of a system (1) → input of a population (1).
    DriveToRate,
    /// State of a system (1) → current density (µA/cm²).
    DriveToCurrent,
    /// Anything into anything else, by a factor that says in which units: the way past the other checks.
    Scale {
        /// The unit read.
        from: String,
        /// The unit delivered.
        to: String,
        /// `to` per `from`.
        factor: f64,
    },
}

fn threshold() -> f64 {
    -20.0
}

fn slope() -> f64 {
    5.0
}

fn reference() -> f64 {
    100.0
}

impl Conversion {
    /// The units of the quantity read and of the input delivered to.
    pub fn units(&self) -> (&str, &str) {
        match self {
            Self::VoltageToRate { .. } => ("mV", "1"),
            Self::SpikeToRate { .. } | Self::RateToDrive | Self::DriveToRate => ("1", "1"),
            Self::RateToCurrent | Self::DriveToCurrent => ("1", "µA/cm²"),
            Self::Scale { from, to, .. } => (from, to),
        }
    }

    /// The kind of quantity that is read; `None` for any.
    pub fn reads(&self) -> Option<QuantityKind> {
        match self {
            Self::VoltageToRate { .. } => Some(QuantityKind::Potential),
            Self::SpikeToRate { .. } => Some(QuantityKind::Spikes),
            Self::RateToCurrent | Self::RateToDrive => Some(QuantityKind::Rate),
            Self::DriveToRate | Self::DriveToCurrent => Some(QuantityKind::State),
            Self::Scale { .. } => None,
        }
    }

    /// The name in configuration files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::VoltageToRate { .. } => "voltage-to-rate",
            Self::SpikeToRate { .. } => "spike-to-rate",
            Self::RateToCurrent => "rate-to-current",
            Self::RateToDrive => "rate-to-drive",
            Self::DriveToRate => "drive-to-rate",
            Self::DriveToCurrent => "drive-to-current",
            Self::Scale { .. } => "scale",
        }
    }

    /// The names of the conversions that read a quantity and, where it is given, deliver in a unit.
    fn that_fit(quantity: &Variable, unit: Option<&str>) -> String {
        let known = [
            Self::VoltageToRate {
                threshold: threshold(),
                slope: slope(),
            },
            Self::SpikeToRate {
                reference: reference(),
            },
            Self::RateToCurrent,
            Self::RateToDrive,
            Self::DriveToRate,
            Self::DriveToCurrent,
        ];
        let fit = known.iter().filter(|conversion| {
            let (from, to) = conversion.units();
            conversion.reads() == Some(quantity.kind)
                && from == quantity.unit
                && unit.is_none_or(|unit| unit == to)
        });
        let names: Vec<&str> = fit.map(Self::name).chain(["scale"]).collect();
        names.join(", ")
    }

    fn validate(&self, field: &str) -> Result<(), DynamicsError> {
        let finite = |name: &str, value: f64| {
            if value.is_finite() {
                Ok(())
            } else {
                let field = format!("{field}.conversion.{name}");
                Err(DynamicsError::config(field, value, "a finite number"))
            }
        };
        match self {
            Self::VoltageToRate { threshold, slope } => {
                finite("threshold", *threshold)?;
                setting::Range::Positive.check(format!("{field}.conversion.slope"), *slope)
            }
            Self::SpikeToRate { reference } => {
                setting::Range::Positive.check(format!("{field}.conversion.reference"), *reference)
            }
            Self::Scale { factor, .. } => finite("factor", *factor),
            _ => Ok(()),
        }
    }

    /// What the quantity is after conversion. `dt` is the sender's step, ms.
    fn apply(&self, x: Tensor<2>, dt: f64) -> Tensor<2> {
        match self {
            Self::VoltageToRate { threshold, slope } => firing_rate(
                x.sub_scalar(*threshold).mul_scalar(slope.recip()),
                Transfer::Sigmoid,
            ),
            Self::SpikeToRate { reference } => x.mul_scalar(1000.0 / (dt * reference)),
            Self::Scale { factor, .. } => x.mul_scalar(*factor),
            _ => x,
        }
    }
}

/// Who is connected to whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Projection {
    /// Every receiver gets the mean over all senders, times one gain.
    Mean {
        /// The gain.
        gain: f64,
    },
    /// Sender i goes to receiver i alone, times one gain.
    OneToOne {
        /// The gain.
        gain: f64,
    },
    /// Given weights, one row for each sender, one column for each receiver.
    Dense {
        /// The weights.
        weights: Vec<Vec<f64>>,
    },
    /// Weights drawn from a normal distribution with this standard deviation divided by √senders.
    Random {
        /// The standard deviation of the sum over independent senders of unit variance.
        gain: f64,
        /// The seed.
        seed: u64,
    },
}

impl Default for Projection {
    fn default() -> Self {
        Self::Mean { gain: 1.0 }
    }
}

impl Projection {
    /// Its name, where it is one gain and not a weight for each connection.
    fn one_gain(&self) -> Option<&'static str> {
        match self {
            Self::Mean { .. } => Some("mean"),
            Self::OneToOne { .. } => Some("one-to-one"),
            Self::Dense { .. } | Self::Random { .. } => None,
        }
    }
}

/// A coupler of a multi-granularity model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CouplerConfig {
    /// The level and its quantity, for example `cells.v`.
    pub from: String,
    /// The level that receives.
    pub to: String,
    /// The first input channel of the receiver that is written to. Default 0.
    #[serde(default)]
    pub channel: usize,
    /// How many channels are written to; absent: all from `channel` on.
    #[serde(default)]
    pub channels: Option<usize>,
    /// What becomes of the quantity on the way.
    pub conversion: Conversion,
    /// Who is connected to whom.
    #[serde(default)]
    pub projection: Projection,
    /// The time constant of the filter, in ms; 0: none, spikes are counted over a step of the whole. Default 0.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::NonNegative))]
    pub time_constant: f64,
    /// What the activity that arrives at cells does, where it is not a current itself: it opens a conductance, whose current
    /// follows the potential of the receiver. It is held over each of the receiver's own steps, which makes them of first
    /// order in it and asks for steps below 2C/g. Gain or weights are mS/cm² at full activity (nS for `adex`), none is
    /// negative: a gain that is trained is above 0, of drawn weights the size counts, and a weight of 0 stays 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// How much later the receiver hears of it, in ms: 0, or a multiple of the step of the whole. Default 0: what the
    /// sender was at the beginning of the step.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::NonNegative))]
    pub delay: f64,
    /// Whether training may change gain or weights. Default true.
    #[serde(default = "yes")]
    pub trainable: bool,
    /// Rules by which the weights change while the model runs, in steps of the whole; they begin anew with every trial, each
    /// with weights of its own, and what training changes is where they begin. Rules of rates hear what arrives and the rates
    /// of a `direct` population or the activity of a system, rules of spikes those of both levels. The projection is `dense`
    /// or `random`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plasticity: Option<RulesConfig>,
}

fn yes() -> bool {
    true
}

/// The parameters of a coupler.
#[derive(Module, Debug)]
pub struct Coupler {
    /// The gain, `[1, 1]`; of [`Projection::Mean`] and [`Projection::OneToOne`].
    pub gain: Option<Parameter>,
    /// The weights, `[senders, receivers]`; of the others.
    pub weights: Option<Param<Tensor<2>>>,
    /// How the weights change during a run.
    pub rules: Option<Rules>,
}

impl CouplerConfig {
    pub(super) fn validate(&self, field: &str, dt: f64) -> Result<(), DynamicsError> {
        self.conversion.validate(field)?;
        if !(self.time_constant >= 0.0 && self.time_constant.is_finite()) {
            let field = format!("{field}.time_constant");
            let allowed = "a finite number of at least 0, in ms";
            return Err(DynamicsError::config(field, self.time_constant, allowed));
        }
        if let Some(effect) = &self.effect {
            effect.fixed(&format!("{field}.effect"))?;
        }
        if let Some(rules) = &self.plasticity {
            self.check_plastic(rules, field)?;
        }
        self.delay_steps(field, dt).map(|_| ())
    }

    fn check_plastic(&self, rules: &RulesConfig, field: &str) -> Result<(), DynamicsError> {
        let field = format!("{field}.plasticity");
        let checked = rules.validate();
        checked.map_err(|error| error.under(&field))?;
        if let Some(name) = self.projection.one_gain() {
            let allowed = "beside a projection that is dense or random, for a rule changes each weight by itself";
            return Err(DynamicsError::config(
                field,
                format!("with {name}"),
                allowed,
            ));
        }
        let opens = !matches!(self.effect, None | Some(Effect::Current));
        if opens {
            rules
                .limits
                .check_conductances(&format!("{field}.limits"))?;
        }
        Ok(())
    }

    /// Checks that it is activity that arrives, at cells, whose currents have a unit.
    fn check_opening(&self, field: &str, channels: &[Variable]) -> Result<(), DynamicsError> {
        let activity = matches!(
            self.conversion,
            Conversion::VoltageToRate { .. }
                | Conversion::SpikeToRate { .. }
                | Conversion::RateToCurrent
        );
        if !activity {
            return Err(DynamicsError::config(
                format!("{field}.effect"),
                format!("with {}", self.conversion.name()),
                "with voltage-to-rate, spike-to-rate or rate-to-current",
            ));
        }
        match channels {
            [cells] if ["µA/cm²", "pA"].contains(&cells.unit) => Ok(()),
            _ => Err(DynamicsError::config(
                format!("{field}.effect"),
                format!("on {}", self.to),
                "on cells whose currents are in µA/cm² or pA",
            )),
        }
    }

    fn delay_steps(&self, field: &str, dt: f64) -> Result<usize, DynamicsError> {
        let ratio = self.delay / dt;
        let steps = ratio.round();
        let fits = (0.0..=LONGEST).contains(&ratio) && (ratio - steps).abs() < ROUNDING;
        if fits {
            Ok(steps as usize)
        } else {
            Err(DynamicsError::config(
                format!("{field}.delay"),
                self.delay,
                format!("0, or a multiple of the step of the whole, {dt} ms"),
            ))
        }
    }
}

/// A quantity of a level: one of its variables, or its output.
#[derive(Clone, Copy, Debug)]
pub(super) struct CouplerSource {
    pub(super) level: usize,
    pub(super) variable: Option<usize>,
}

impl CouplerSource {
    pub(super) fn read(self, dynamics: &dyn Dynamics, state: &State) -> Tensor<2> {
        match self.variable {
            Some(variable) => state[variable].clone(),
            None => dynamics.observe(state),
        }
    }
}

/// Where a coupler begins and ends.
#[derive(Clone, Debug)]
pub(super) struct CouplerPlan {
    /// From where to where, for people.
    pub(super) label: String,
    pub(super) source: CouplerSource,
    pub(super) to: usize,
    /// The variable of the whole that holds what is sent, where it is filtered over the sender's steps.
    pub(super) filter: Option<usize>,
    /// The variables of the whole that hold what was sent before, latest first.
    pub(super) delay: Range<usize>,
    pub(super) senders: usize,
    pub(super) sent_unit: &'static str,
    /// The receiver's input columns: all, and the first and number written to.
    inputs: usize,
    channel: usize,
    channels: usize,
    conversion: Conversion,
    time_constant: f64,
    one_to_one: bool,
    /// The conductance that it opens, if it does.
    pub(super) effect: Option<BoundEffect>,
    /// Where its weights change while the model runs.
    pub(super) plastic: Option<PlasticPlan>,
}

impl CouplerPlan {
    /// Checks units, kinds and widths. `next` is its first own variable.
    pub(super) fn new(
        field: &str,
        config: &CouplerConfig,
        (source, quantity): (CouplerSource, &Variable),
        (to, channels): (usize, &[Variable]),
        dt: f64,
        next: usize,
    ) -> Result<Self, DynamicsError> {
        let (from_unit, to_unit) = config.conversion.units();
        let conversion = format!("{field} ({})", config.conversion.name());
        let refused = |found: String, expected: &str| DynamicsError::Units {
            from: config.from.clone(),
            to: conversion.clone(),
            expected: expected.into(),
            found,
            fits: Conversion::that_fit(quantity, None),
        };
        if quantity.unit != from_unit {
            return Err(refused(format!("in {}", quantity.unit), from_unit));
        }
        if let Some(kind) = config.conversion.reads()
            && kind != quantity.kind
        {
            return Err(refused(quantity.kind.name().into(), kind.name()));
        }
        let inputs = channels.iter().map(|channel| channel.width).sum::<usize>();
        let count = config
            .channels
            .unwrap_or(inputs.saturating_sub(config.channel));
        if count == 0 || config.channel.saturating_add(count) > inputs {
            return Err(DynamicsError::config(
                format!("{field}.channel"),
                format!("{} and {count} from there", config.channel),
                format!("within the {inputs} input channels of {}", config.to),
            ));
        }
        let effect = match &config.effect {
            None | Some(Effect::Current) => None,
            Some(effect) => Some(effect.fixed(&format!("{field}.effect"))?),
        };
        let opens = effect.is_some();
        if opens {
            config.check_opening(field, channels)?;
        }
        let mut first = 0;
        for channel in channels {
            let range = first..first + channel.width;
            first = range.end;
            let touched = range.start < config.channel + count && config.channel < range.end;
            if touched && channel.unit != to_unit && !opens {
                return Err(DynamicsError::Units {
                    from: conversion,
                    to: format!("{} ({})", config.to, channel.name),
                    expected: channel.unit.into(),
                    found: format!("in {to_unit}"),
                    fits: Conversion::that_fit(quantity, Some(channel.unit)),
                });
            }
        }
        // Only what stands in the state at the beginning of a step can be delivered unfiltered and unconverted.
        let spikes = matches!(config.conversion, Conversion::SpikeToRate { .. });
        let filter = (config.time_constant > 0.0 || spikes).then_some(next);
        let begin = next + usize::from(filter.is_some());
        let steps = config.delay_steps(field, dt)?;
        Ok(Self {
            label: format!("{} → {}", config.from, config.to),
            source,
            to,
            filter,
            delay: begin..begin + steps,
            senders: quantity.width,
            sent_unit: "1",
            inputs,
            channel: config.channel,
            channels: count,
            conversion: config.conversion.clone(),
            time_constant: config.time_constant,
            one_to_one: matches!(config.projection, Projection::OneToOne { .. }),
            effect,
            plastic: None,
        })
    }

    /// The receiver's input columns: all of them, and the first and the number of those written to.
    pub(super) fn columns(&self) -> (usize, (usize, usize)) {
        (self.inputs, (self.channel, self.channels))
    }

    /// The variables that are its own: the filter, the delay line and spikes on their way.
    pub(super) fn own_variables(&self) -> usize {
        let line = self
            .plastic
            .as_ref()
            .map_or(0, |plastic| plastic.line.len());
        usize::from(self.filter.is_some()) + self.delay.len() + line
    }

    /// Its own variables, so many further on.
    pub(super) fn shift(&mut self, by: usize) {
        let moved = |range: &Range<usize>| range.start + by..range.end + by;
        self.filter = self.filter.map(|variable| variable + by);
        self.delay = moved(&self.delay);
        if let Some(plastic) = &mut self.plastic {
            plastic.line = moved(&plastic.line);
        }
    }
}

impl CouplerPlan {
    /// What counts of weights: a conductance is not negative.
    pub(super) fn strength(&self, value: Tensor<2>) -> Tensor<2> {
        match self.effect {
            Some(_) => value.abs(),
            None => value,
        }
    }
}

impl Coupler {
    pub(super) fn new(
        field: &str,
        config: &CouplerConfig,
        plan: &CouplerPlan,
        rules: Option<Rules>,
        place: &Place,
    ) -> Result<Self, DynamicsError> {
        let bounds = match plan.effect {
            Some(_) => Bounds::AtLeast(0.0),
            None => Bounds::Free,
        };
        let parameter = |value: f64| {
            let field = format!("{field}.projection.gain");
            if config.trainable {
                Parameter::trainable(&field, &[value], bounds, place)
            } else {
                Parameter::fixed(&field, &[value], bounds, place)
            }
        };
        let shape = [plan.senders, plan.channels];
        let weights = |values: Vec<f64>| {
            let weights = Param::from_tensor(place.tensor(values, shape));
            if config.trainable {
                weights
            } else {
                weights.set_require_grad(false)
            }
        };
        let (gain, weights) = match &config.projection {
            Projection::Mean { gain } => (Some(parameter(*gain)?), None),
            Projection::OneToOne { gain } if plan.senders == plan.channels => {
                (Some(parameter(*gain)?), None)
            }
            Projection::OneToOne { .. } => {
                return Err(DynamicsError::Shape {
                    what: format!("{field}.projection: one-to-one (senders, receivers)"),
                    expected: vec![plan.channels, plan.channels],
                    found: shape.to_vec(),
                });
            }
            Projection::Dense { weights: rows } => {
                let columns = rows.iter().map(Vec::len);
                let wrong = columns.clone().find(|columns| *columns != plan.channels);
                if rows.len() != plan.senders || wrong.is_some() {
                    return Err(DynamicsError::Shape {
                        what: format!("{field}.projection.weights"),
                        expected: shape.to_vec(),
                        found: vec![rows.len(), wrong.unwrap_or(plan.channels)],
                    });
                }
                let (lowest, allowed) = match plan.effect {
                    Some(_) => (0.0, "finite numbers, at least 0"),
                    None => (f64::NEG_INFINITY, "finite numbers"),
                };
                let bad = |x: &&f64| !x.is_finite() || **x < lowest;
                if let Some(value) = rows.iter().flatten().find(bad) {
                    let field = format!("{field}.projection.weights");
                    return Err(DynamicsError::config(field, value, allowed));
                }
                (
                    None,
                    Some(weights(rows.iter().flatten().copied().collect())),
                )
            }
            Projection::Random { gain, seed } => {
                if !gain.is_finite() {
                    let field = format!("{field}.projection.gain");
                    return Err(DynamicsError::config(field, gain, "a finite number"));
                }
                budget::ask_for_numbers("a coupler's weights", &[2, plan.senders, plan.channels])?;
                let scale = gain / (plan.senders as f64).sqrt();
                let noise = NormalNoise::new(*seed, 0);
                let values = noise.values(0, plan.senders * plan.channels);
                (
                    None,
                    Some(weights(values.iter().map(|x| x * scale).collect())),
                )
            }
        };
        Ok(Self {
            gain,
            weights,
            rules,
        })
    }

    /// What is plastic in it.
    pub(super) fn plastic(&self, plan: &CouplerPlan) -> Option<Plastic> {
        let weights = plan.strength(self.weights.as_ref()?.val());
        let plastic = plan.plastic.as_ref()?;
        Some(plastic.bind(self.rules.as_ref()?, weights))
    }

    pub(super) fn bind(&self, plan: &CouplerPlan) -> BoundCoupler {
        BoundCoupler {
            plan: plan.clone(),
            gain: self.gain.as_ref().map(Parameter::value),
            weights: self
                .weights
                .as_ref()
                .map(|weights| plan.strength(weights.val())),
            plastic: self.plastic(plan),
        }
    }
}

/// A coupler with its parameters bound.
pub(super) struct BoundCoupler {
    pub(super) plan: CouplerPlan,
    gain: Option<Tensor<2>>,
    weights: Option<Tensor<2>>,
    pub(super) plastic: Option<Plastic>,
}

impl BoundCoupler {
    /// Moves the filter over one step of the sender: exact for a quantity that is constant over it. Without a time constant
    /// it holds the mean over the sender's steps since `whole` began.
    pub(super) fn filter(
        &self,
        sender: &dyn Dynamics,
        own: &State,
        dt: f64,
        (substep, substeps): (usize, usize),
        whole: &mut State,
    ) {
        let Some(variable) = self.plan.filter else {
            return;
        };
        let x = self
            .plan
            .conversion
            .apply(self.plan.source.read(sender, own), dt);
        let value = if self.plan.time_constant > 0.0 {
            let keep = (-dt / self.plan.time_constant).exp();
            whole[variable].clone().mul_scalar(keep) + x.mul_scalar(1.0 - keep)
        } else {
            let share = x.mul_scalar(1.0 / substeps as f64);
            match substep {
                0 => share,
                _ => whole[variable].clone() + share,
            }
        };
        whole.replace(variable, value);
    }

    /// What the sender has to say at this instant, `[batch, senders]`.
    fn sender_value(
        &self,
        sender: &dyn Dynamics,
        own: &State,
        whole: &State,
        dt: f64,
    ) -> Tensor<2> {
        match self.plan.filter {
            Some(variable) => whole[variable].clone(),
            None => self
                .plan
                .conversion
                .apply(self.plan.source.read(sender, own), dt),
        }
    }

    /// Moves the delay line on by one step of the whole, from the state before it.
    pub(super) fn advance(
        &self,
        sender: &dyn Dynamics,
        own: &State,
        before: &State,
        next: &mut State,
        dt: f64,
    ) {
        let mut value =
            (!self.plan.delay.is_empty()).then(|| self.sender_value(sender, own, before, dt));
        for variable in self.plan.delay.clone() {
            let Some(newer) = value.replace(before[variable].clone()) else {
                return;
            };
            next.replace(variable, newer);
        }
    }

    /// What arrives during a step that begins at `whole`, before any weight, `[batch, senders]`.
    pub(super) fn arriving(
        &self,
        sender: &dyn Dynamics,
        own: &State,
        whole: &State,
        dt: f64,
    ) -> Tensor<2> {
        match self.plan.delay.clone().next_back() {
            Some(oldest) => whole[oldest].clone(),
            None => self.sender_value(sender, own, whole, dt),
        }
    }

    /// The receiver's input of what arrives during a step that begins at `whole`, `[batch, inputs]`.
    pub(super) fn output(&self, x: Tensor<2>, whole: &State) -> Tensor<2> {
        let [batch, _] = x.dims();
        let CouplerPlan {
            inputs,
            channel,
            channels,
            one_to_one,
            ..
        } = self.plan;
        let sent = match (&self.gain, &self.weights) {
            (Some(gain), _) if one_to_one => x * gain.clone(),
            (Some(gain), _) => (x.mean_dim(1) * gain.clone()).expand([batch, channels]),
            (None, Some(weights)) => match &self.plastic {
                Some(plastic) => plastic.transmit(whole, x),
                None => x.matmul(weights.clone()),
            },
            (None, None) => x,
        };
        if channels == inputs {
            return sent;
        }
        let zeros = |width: usize| {
            let place = Place::of(&sent);
            (width > 0).then(|| place.full(0.0, [batch, width]))
        };
        let parts = [
            zeros(channel),
            Some(sent.clone()),
            zeros(inputs - channel - channels),
        ];
        Tensor::cat(parts.into_iter().flatten().collect(), 1)
    }
}
