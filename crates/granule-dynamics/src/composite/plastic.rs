//! Couplers whose weights change by rules of plasticity while the model runs.

use std::ops::Range;

use burn::tensor::Tensor;

use crate::plasticity::{Activity, PlasticConnection, Rule, Rules, Signal, check_unrewarded};
use crate::{DynamicsError, State};

/// What a level has to show to a rule on one side of the weights.
#[derive(Clone, Debug)]
pub(super) struct Side<'a> {
    pub(super) level: &'a str,
    /// The variable that counts the spikes of each step, and its width.
    pub(super) spikes: Option<(usize, usize)>,
    /// How many units have a rate, or why none has.
    pub(super) rates: Result<usize, String>,
}

/// What a rule hears, and where the weights and what the rules remember lie in the state of the whole.
#[derive(Clone, Debug)]
pub(super) struct PlasticPlan {
    pub(super) signal: Signal,
    /// The weights, then the traces.
    pub(super) variables: Range<usize>,
    /// Spikes on their way, latest first; of rules of spikes behind a delay.
    pub(super) line: Range<usize>,
    /// The receiver's columns: the first, and how many.
    columns: (usize, usize),
}

impl PlasticPlan {
    /// Checks that both sides have what the rules are about. `columns` are those of the receiver's `inputs` that are written to;
    /// the ranges are left for later.
    pub(super) fn new(
        field: &str,
        rules: &Rules,
        (from, senders): (&Side<'_>, usize),
        (to, inputs): (&Side<'_>, usize),
        columns: (usize, usize),
    ) -> Result<Self, DynamicsError> {
        let both = from.spikes.is_some() && to.spikes.is_some();
        let signal = match rules.signal() {
            Some(signal) => signal,
            None if both => Signal::Spikes,
            None => Signal::Rates,
        };
        let place = |index: usize| format!("{field}.rules[{index}]");
        check_unrewarded(field, rules)?;
        let mut all = rules.rules.iter().enumerate();
        let other = all.find(|(_, rule)| rule.signal().is_some_and(|own| own != signal));
        if let Some((index, rule)) = other {
            let allowed = format!("a rule of {}, as those before it", signal.describe());
            return Err(DynamicsError::config(place(index), rule.name(), allowed));
        }
        // The rule that the signal is of.
        let asks = rules.rules.iter().position(|rule| rule.signal().is_some());
        let asks = asks.unwrap_or_default();
        let refused = |why| DynamicsError::config(place(asks), rules.rules[asks].name(), why);
        let fits = |what: &str, units: usize, expected: usize| {
            if units == expected {
                return Ok(());
            }
            Err(DynamicsError::Shape {
                what: format!("{field}: the units of {what}"),
                expected: vec![expected],
                found: vec![units],
            })
        };
        match signal {
            Signal::Spikes => {
                for (side, width) in [(from, senders), (to, inputs)] {
                    let Some((_, units)) = side.spikes else {
                        return Err(refused(format!(
                            "a rule of rates, for the level {} has no spikes: lif, qif, adex and izhikevich cells do",
                            side.level
                        )));
                    };
                    fits(side.level, units, width)?;
                }
            }
            Signal::Rates => match &to.rates {
                Ok(units) => fits(to.level, *units, inputs)?,
                Err(why) => return Err(refused(why.clone())),
            },
        }
        Ok(Self {
            signal,
            variables: 0..0,
            line: 0..0,
            columns,
        })
    }

    /// With the weights' rules bound.
    pub(super) fn bind(&self, rules: &Rules, weights: Tensor<2>) -> Plastic {
        Plastic {
            connection: PlasticConnection::new(rules.clone(), weights),
            plan: self.clone(),
        }
    }
}

/// What is plastic in a coupler, with its parameters bound.
pub(super) struct Plastic {
    pub(super) plan: PlasticPlan,
    connection: PlasticConnection<Rules>,
}

impl Plastic {
    /// Weights of its own for each row, and traces.
    pub(super) fn initial(&self, batch: usize) -> State {
        self.connection.initial(batch, false)
    }

    fn own(&self, whole: &State) -> State {
        State::new(whole.tensors()[self.plan.variables.clone()].to_vec())
    }

    /// What the receiver gets of what arrives.
    pub(super) fn transmit(&self, whole: &State, arriving: Tensor<2>) -> Tensor<2> {
        self.connection.transmit(&self.own(whole), arriving)
    }

    /// Moves weights and traces from `whole` on to `next`, which the receiver has reached. `pre` is what arrived in the step or, of
    /// rules of spikes, how many the senders fired in it.
    pub(super) fn learn(
        &self,
        whole: &State,
        next: &mut State,
        (pre, post): (Tensor<2>, Tensor<2>),
        dt: f64,
    ) -> Result<(), DynamicsError> {
        let mut pre = pre;
        for variable in self.plan.line.clone() {
            next.replace(variable, pre);
            pre = whole[variable].clone();
        }
        let (first, count) = self.plan.columns;
        let post = match post.dims() {
            [_, all] if all == count => post,
            _ => post.narrow(1, first, count),
        };
        let activity = Activity {
            pre,
            post,
            dt,
            reward: None,
        };
        let after = self.connection.learn(&self.own(whole), &activity)?;
        for (variable, value) in self.plan.variables.clone().zip(after.into_tensors()) {
            next.replace(variable, value);
        }
        Ok(())
    }
}
