use burn::tensor::Tensor;

use super::limits::WeightLimits;
use super::rule::{Activity, Rule};
use super::rules::Rules;
use crate::{DynamicsError, Place, State, Variable};

/// Plastic weights between two groups of units, with their rule: what a model holds to carry weights in its state.
///
/// Its state is the weights, `[sets, pre·post]`, then the rule's traces. With one set all rows of a batch share the weights,
/// and each step changes them by the mean over the rows; with one set a row, each trajectory has fast weights of its own.
#[derive(Clone, Debug)]
pub struct PlasticConnection<R> {
    rule: R,
    limits: WeightLimits,
    signs: Option<Tensor<3>>,
    weights: Tensor<2>,
    variables: Vec<Variable>,
}

impl<R: Rule> PlasticConnection<R> {
    /// A connection that begins with `weights`, `[pre, post]`; they are differentiable.
    pub fn new(rule: R, weights: Tensor<2>) -> Self {
        let [pre, post] = weights.dims();
        let limits = rule.limits();
        let variables = plastic_variables(&rule, pre, post);
        Self {
            signs: limits.signs(&weights.clone().unsqueeze_dim(0)),
            limits,
            rule,
            weights,
            variables,
        }
    }

    /// The weights and the rule's traces.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The state at the beginning: the weights once where they are `shared`, else for each of `batch` rows.
    pub fn initial(&self, batch: usize, shared: bool) -> State {
        let [pre, post] = self.weights.dims();
        let place = Place::of(&self.weights);
        let weights = self.weights.clone().reshape([1, pre * post]);
        let weights = if shared {
            weights
        } else {
            weights.expand([batch, pre * post])
        };
        let traces = self.rule.initial(batch, pre, post, &place);
        State::new([vec![weights], traces.into_tensors()].concat())
    }

    /// The weights in a state, `[sets, pre, post]`.
    pub fn weights(&self, state: &State) -> Tensor<3> {
        let [pre, post] = self.weights.dims();
        let sets = state[0].dims()[0];
        state[0].clone().reshape([sets, pre, post])
    }

    /// What the postsynaptic units receive, `[batch, post]`, of `pre`, `[batch, pre]`.
    pub fn transmit(&self, state: &State, pre: Tensor<2>) -> Tensor<2> {
        let weights = self.weights(state);
        match weights.dims() {
            [1, inputs, outputs] => pre.matmul(weights.reshape([inputs, outputs])),
            [sets, _, outputs] => pre
                .unsqueeze_dim::<3>(1)
                .matmul(weights)
                .reshape([sets, outputs]),
        }
    }

    /// The state after a step with these activities.
    ///
    /// # Errors
    ///
    /// Those of [`Activity::check`], and [`DynamicsError::Config`] for a rule that needs a reward where there is none.
    pub fn learn(&self, state: &State, activity: &Activity) -> Result<State, DynamicsError> {
        self.learn_by(state, activity, Rule::change)
    }

    /// As [`learn`](Self::learn), where the presynaptic spikes of a step come before its postsynaptic ones
    /// ([`Rule::change_in_turn`]).
    ///
    /// # Errors
    ///
    /// Those of [`learn`](Self::learn).
    pub fn learn_in_turn(
        &self,
        state: &State,
        activity: &Activity,
    ) -> Result<State, DynamicsError> {
        self.learn_by(state, activity, Rule::change_in_turn)
    }

    fn learn_by(
        &self,
        state: &State,
        activity: &Activity,
        change: fn(&R, &Tensor<3>, &Activity, &State) -> (Tensor<3>, State),
    ) -> Result<State, DynamicsError> {
        let weights = self.weights(state);
        activity.check(&weights)?;
        if self.rule.needs_reward() && activity.reward.is_none() {
            return Err(unrewarded("plasticity.rules", self.rule.name()));
        }
        let traces = State::new(state.tensors().iter().skip(1).cloned().collect());
        let (change, traces) = change(&self.rule, &weights, activity, &traces);
        let weights = self.limits.apply(weights, change, self.signs.as_ref());
        let [sets, pre, post] = weights.dims();
        let weights = weights.reshape([sets, pre * post]);
        Ok(State::new([vec![weights], traces.into_tensors()].concat()))
    }
}

/// Refuses a rule that needs a reward where none comes.
pub(crate) fn unrewarded(field: &str, rule: &str) -> DynamicsError {
    let allowed =
        "in a projection of a circuit, whose `reward` names a population: no reward comes here";
    DynamicsError::config(field, rule, allowed)
}

/// Refuses rules of which one needs a reward, by its place below `field`.
pub(crate) fn check_unrewarded(field: &str, rules: &Rules) -> Result<(), DynamicsError> {
    match rules.rules.iter().position(Rule::needs_reward) {
        Some(at) => Err(unrewarded(
            &format!("{field}.rules[{at}]"),
            rules.rules[at].name(),
        )),
        None => Ok(()),
    }
}

/// The weights and the traces of a rule.
pub(crate) fn plastic_variables(rule: &impl Rule, pre: usize, post: usize) -> Vec<Variable> {
    let mut variables = vec![Variable::new("weights", "1", pre * post)];
    variables.extend(rule.variables(pre, post));
    variables
}
