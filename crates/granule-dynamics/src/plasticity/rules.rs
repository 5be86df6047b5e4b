use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::limits::WeightLimits;
use super::rule::*;
use crate::{DynamicsError, Place, State, Variable};

/// The rules, a line each: what it is about, its name, and its settings.
macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $Rule:ident($Config:ident);)+) => {
        /// A rule and its settings; in a configuration file `kind` names the rule.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "kind", rename_all = "kebab-case")]
        pub enum RuleConfig {
            $($(#[doc = $doc])+ $Rule($Config),)+
        }

        impl RuleConfig {
            /// Checks every setting.
            ///
            /// # Errors
            ///
            /// [`DynamicsError::Config`] names kind and setting, for example `pair-stdp.depression`.
            pub fn validate(&self) -> Result<(), DynamicsError> {
                match self {
                    $(Self::$Rule(config) => config.validate(),)+
                }
            }

            /// Makes the rule.
            ///
            /// # Errors
            ///
            /// Those of [`validate`](Self::validate).
            pub fn init(&self, place: &Place) -> Result<AnyRule, DynamicsError> {
                Ok(match self {
                    $(Self::$Rule(config) => AnyRule::$Rule(config.init(place)?),)+
                })
            }
        }

        /// Any of the rules here.
        #[derive(Module, Debug)]
        pub enum AnyRule {
            $(#[doc = concat!("[`", stringify!($Rule), "`].")] $Rule($Rule),)+
        }

        impl AnyRule {
            fn rule(&self) -> &dyn Rule {
                match self {
                    $(Self::$Rule(rule) => rule,)+
                }
            }
        }
    };
}

rules! {
    /// Correlation.
    Hebb(HebbConfig);
    /// The first principal component.
    Oja(OjaConfig);
    /// Principal components in order.
    Sanger(SangerConfig);
    /// The strongest response learns.
    Competitive(CompetitiveConfig);
    /// A sliding threshold.
    Bcm(BcmConfig);
    /// Potentiation and depression about thresholds or means.
    Covariance(CovarianceConfig);
    /// Depression between two thresholds, potentiation above.
    TwoThreshold(TwoThresholdConfig);
    /// Pairs of spikes.
    PairStdp(PairStdpConfig);
    /// Pairs and triplets of spikes.
    TripletStdp(TripletStdpConfig);
    /// Pairs of spikes that a reward turns into changes.
    RewardStdp(RewardStdpConfig);
    /// Scaling towards a target rate.
    Homeostasis(HomeostasisConfig);
    /// Forgetting.
    Decay(DecayConfig);
}

impl Rule for AnyRule {
    fn name(&self) -> &'static str {
        self.rule().name()
    }

    fn signal(&self) -> Option<Signal> {
        self.rule().signal()
    }

    fn needs_reward(&self) -> bool {
        self.rule().needs_reward()
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

    fn change_in_turn(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        self.rule().change_in_turn(weights, activity, traces)
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

    /// The sum of what each rule changes, with its own traces.
    fn sum(
        &self,
        weights: &Tensor<3>,
        traces: &State,
        change: impl Fn(&AnyRule, &State) -> (Tensor<3>, State),
    ) -> (Tensor<3>, State) {
        let [_, pre, post] = weights.dims();
        let mut rest = traces.tensors();
        let mut next = Vec::with_capacity(rest.len());
        let mut total: Option<Tensor<3>> = None;
        for rule in &self.rules {
            let (own, others) = rest.split_at(rule.variables(pre, post).len());
            rest = others;
            let (change, after) = change(rule, &State::new(own.to_vec()));
            next.extend(after.into_tensors());
            total = Some(match total {
                Some(sum) => sum + change,
                None => change,
            });
        }
        let total = total.unwrap_or_else(|| weights.zeros_like());
        (total, State::new(next))
    }
}

impl Rule for Rules {
    fn name(&self) -> &'static str {
        match self.rules.as_slice() {
            [rule] => rule.name(),
            _ => "rules",
        }
    }

    /// That of the first rule that is about one of the two.
    fn signal(&self) -> Option<Signal> {
        self.rules.iter().find_map(Rule::signal)
    }

    fn needs_reward(&self) -> bool {
        self.rules.iter().any(Rule::needs_reward)
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
        self.sum(weights, traces, |rule, own| {
            rule.change(weights, activity, own)
        })
    }

    fn change_in_turn(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        self.sum(weights, traces, |rule, own| {
            rule.change_in_turn(weights, activity, own)
        })
    }

    fn limits(&self) -> WeightLimits {
        self.limits
    }
}

impl<R: Rule + ?Sized> Rule for &R {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn signal(&self) -> Option<Signal> {
        (**self).signal()
    }

    fn needs_reward(&self) -> bool {
        (**self).needs_reward()
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

    fn change_in_turn(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        (**self).change_in_turn(weights, activity, traces)
    }

    fn limits(&self) -> WeightLimits {
        (**self).limits()
    }
}
