use burn::module::Module;
use burn::tensor::Tensor;

use super::limits::WeightLimits;
use super::rule::{
    Activity, Bcm, Competitive, Covariance, Decay, Hebb, Homeostasis, Oja, PairStdp, Rule, Sanger,
    TripletStdp, TwoThreshold,
};
use crate::{Place, State, Variable};

/// Any of the rules here.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a model has a handful of them, and Burn's modules cannot be boxed"
)]
pub enum AnyRule {
    /// [`Hebb`].
    Hebb(Hebb),
    /// [`Oja`].
    Oja(Oja),
    /// [`Sanger`].
    Sanger(Sanger),
    /// [`Competitive`].
    Competitive(Competitive),
    /// [`Bcm`].
    Bcm(Bcm),
    /// [`Covariance`].
    Covariance(Covariance),
    /// [`TwoThreshold`].
    TwoThreshold(TwoThreshold),
    /// [`PairStdp`].
    PairStdp(PairStdp),
    /// [`TripletStdp`].
    TripletStdp(TripletStdp),
    /// [`Homeostasis`].
    Homeostasis(Homeostasis),
    /// [`Decay`].
    Decay(Decay),
}

impl AnyRule {
    fn rule(&self) -> &dyn Rule {
        match self {
            Self::Hebb(rule) => rule,
            Self::Oja(rule) => rule,
            Self::Sanger(rule) => rule,
            Self::Competitive(rule) => rule,
            Self::Bcm(rule) => rule,
            Self::Covariance(rule) => rule,
            Self::TwoThreshold(rule) => rule,
            Self::PairStdp(rule) => rule,
            Self::TripletStdp(rule) => rule,
            Self::Homeostasis(rule) => rule,
            Self::Decay(rule) => rule,
        }
    }
}

impl Rule for AnyRule {
    fn name(&self) -> &'static str {
        self.rule().name()
    }

    fn variables(&self, pre: usize, post: usize) -> Vec<Variable> {
        self.rule().variables(pre, post)
    }

    fn initial(&self, batch: usize, pre: usize, post: usize, place: &Place) -> State {
        self.rule().initial(batch, pre, post, place)
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        self.rule().change(weights, activity, traces)
    }
}

/// The sum of several rules on the same weights, and what the weights keep to.
///
/// All rules see the weights before the step; limits apply to the sum of their changes.
#[derive(Module, Debug)]
pub struct Rules {
    /// The rules.
    pub rules: Vec<AnyRule>,
    #[module(skip)]
    limits: WeightLimits,
}

impl Rules {
    /// The sum of `rules`, with limits that are in order.
    pub(super) fn new(rules: Vec<AnyRule>, limits: WeightLimits) -> Self {
        Self { rules, limits }
    }
}

impl Rule for Rules {
    fn name(&self) -> &'static str {
        match self.rules.as_slice() {
            [rule] => rule.name(),
            _ => "rules",
        }
    }

    /// The traces of all rules in order. Where a kind occurs again, its traces are numbered.
    fn variables(&self, pre: usize, post: usize) -> Vec<Variable> {
        let mut all: Vec<Variable> = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let earlier = &self.rules[..index];
            let again = earlier.iter().filter(|r| r.name() == rule.name()).count();
            all.extend(rule.variables(pre, post).into_iter().map(|mut variable| {
                if again > 0 {
                    variable.name = format!("{}.{}", variable.name, again + 1);
                }
                variable
            }));
        }
        all
    }

    fn initial(&self, batch: usize, pre: usize, post: usize, place: &Place) -> State {
        let each = self.rules.iter();
        let traces = each.flat_map(|rule| rule.initial(batch, pre, post, place).into_tensors());
        State::new(traces.collect())
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        let [_, pre, post] = weights.dims();
        let mut rest = traces.tensors();
        let mut next = Vec::with_capacity(rest.len());
        let mut total: Option<Tensor<3>> = None;
        for rule in &self.rules {
            let (own, others) = rest.split_at(rule.variables(pre, post).len());
            rest = others;
            let (change, after) = rule.change(weights, activity, &State::new(own.to_vec()));
            next.extend(after.into_tensors());
            total = Some(match total {
                Some(sum) => sum + change,
                None => change,
            });
        }
        let total = total.unwrap_or_else(|| weights.zeros_like());
        (total, State::new(next))
    }

    fn limits(&self) -> WeightLimits {
        self.limits
    }
}

impl<R: Rule + ?Sized> Rule for &R {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn variables(&self, pre: usize, post: usize) -> Vec<Variable> {
        (**self).variables(pre, post)
    }

    fn initial(&self, batch: usize, pre: usize, post: usize, place: &Place) -> State {
        (**self).initial(batch, pre, post, place)
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        (**self).change(weights, activity, traces)
    }

    fn limits(&self) -> WeightLimits {
        (**self).limits()
    }
}
