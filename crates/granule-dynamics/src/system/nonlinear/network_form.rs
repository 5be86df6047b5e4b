use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::model::Field;
use crate::setting::{self, Range, Setting};
use crate::system::parameters::initial_state;
use crate::system::{Mlp, MlpConfig};
use crate::{DynamicsError, Held, Parameter, Place, State, Values, Variable};

/// Settings of [`NetworkForm`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NetworkFormConfig {
    /// The width of X.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub size: usize,
    /// N.
    pub network: MlpConfig,
    /// τ (ms): one value for all variables or one for each.
    #[cfg_attr(feature = "schema", schemars(transform = Range::Positive))]
    pub time_constant: Values,
    /// X at the beginning: one value for all variables or one for each.
    pub initial: Values,
    /// Which of `time_constant` and `initial` training may move; the network is always trained.
    pub trainable: Vec<String>,
}

impl Default for NetworkFormConfig {
    fn default() -> Self {
        Self {
            size: 2,
            network: MlpConfig::default(),
            time_constant: 10.0.into(),
            initial: 0.0.into(),
            trainable: Vec::new(),
        }
    }
}

impl NetworkFormConfig {
    fn settings(&self) -> [Setting<'_>; 2] {
        [
            Setting::new("time_constant", &self.time_constant, Range::Positive),
            Setting::new("initial", &self.initial, Range::Any),
        ]
    }

    pub(super) fn validate(&self) -> Result<(), DynamicsError> {
        setting::check_count("size", self.size)?;
        self.network.validate("network")?;
        setting::validate("", &self.settings(), &self.trainable, (self.size, "unit"))
    }

    pub(super) fn init(
        &self,
        population: usize,
        place: &Place,
    ) -> Result<NetworkForm, DynamicsError> {
        let [time_constant, initial] = self.settings();
        Ok(NetworkForm {
            network: self
                .network
                .init(self.size + population, self.size, 0, place),
            time_constant: time_constant.init("", &self.trainable, place)?,
            initial: initial.init("", &self.trainable, place)?,
            size: self.size,
        })
    }
}

/// F(X, Y) = N(X, Y)/τ.
#[derive(Module, Debug)]
pub struct NetworkForm {
    /// N.
    pub network: Mlp,
    /// τ (ms).
    pub time_constant: Parameter,
    /// X at the beginning.
    pub initial: Parameter,
    #[module(skip)]
    size: usize,
}

impl NetworkForm {
    fn variables(&self) -> Vec<Variable> {
        vec![Variable::new("x", "1", self.size)]
    }

    pub(super) fn field(&self) -> NetworkField {
        NetworkField {
            network: self.network.clone(),
            time_constant: self.time_constant.value(),
            variables: self.variables(),
        }
    }

    pub(super) fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let initial = std::slice::from_ref(&self.initial);
        initial_state(initial, &self.variables(), batch)
    }

    pub(super) fn settings(&self) -> Vec<(String, Held<'_>)> {
        let own = [
            ("time_constant", &self.time_constant),
            ("initial", &self.initial),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), Held::Values(value)));
        own.to_vec()
    }
}

/// N(X, Y)/τ; the input is Y.
pub(super) struct NetworkField {
    network: Mlp,
    time_constant: Tensor<2>,
    variables: Vec<Variable>,
}

impl Field for NetworkField {
    fn name(&self) -> &str {
        "nonlinear"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let seen = match input {
            Some(population) => Tensor::cat(vec![state[0].clone(), population.clone()], 1),
            None => state[0].clone(),
        };
        State::new(vec![
            self.network.forward(seen) / self.time_constant.clone(),
        ])
    }
}
