use burn::module::{Module, Param};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::linear::{check_matrix, matrix_parameter, population_and_external};
use super::mlp::{Mlp, MlpConfig};
use super::parameters::initial_state;
use super::{
    FitzHughNagumo, FitzHughNagumoConfig, StuartLandau, StuartLandauConfig, System, SystemConfig,
    VanDerPol, VanDerPolConfig, channel, plus,
};
use crate::model::Field;
use crate::setting::{self, Range, Setting};
use crate::{DynamicsError, Held, Parameter, Place, State, Values, Variable};

/// Settings of [`NonlinearSystem`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NonlinearSystemConfig {
    /// The width of Y.
    pub population: usize,
    /// The width of U.
    pub external: usize,
    /// F.
    pub form: FormConfig,
    /// G.
    pub drive: DriveConfig,
}

impl Default for NonlinearSystemConfig {
    fn default() -> Self {
        Self {
            population: 1,
            external: 0,
            form: FormConfig::Network(NetworkFormConfig::default()),
            drive: DriveConfig::Linear {
                b: Vec::new(),
                c: Vec::new(),
            },
        }
    }
}

/// F of a [`NonlinearSystem`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FormConfig {
    /// F(X, Y) = N(X, Y)/τ with a small network N.
    Network(NetworkFormConfig),
    /// F(X) of [`FitzHughNagumo`].
    FitzhughNagumo(FitzHughNagumoConfig),
    /// F(X) of [`VanDerPol`].
    VanDerPol(VanDerPolConfig),
    /// F(X) of [`StuartLandau`].
    StuartLandau(StuartLandauConfig),
}

impl FormConfig {
    /// About the shortest time constant that a solver has to resolve, ms.
    pub(super) fn shortest_time_constant(&self) -> Option<f64> {
        match self {
            Self::Network(config) => Some(config.time_constant.lowest()),
            Self::FitzhughNagumo(config) => {
                SystemConfig::FitzHughNagumo(config.clone()).shortest_time_constant()
            }
            Self::VanDerPol(config) => {
                SystemConfig::VanDerPol(config.clone()).shortest_time_constant()
            }
            Self::StuartLandau(config) => {
                SystemConfig::StuartLandau(config.clone()).shortest_time_constant()
            }
        }
    }
}

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

    fn validate(&self) -> Result<(), DynamicsError> {
        setting::check_count("form.size", self.size)?;
        self.network.validate("form.network")?;
        setting::validate("", &self.settings(), &self.trainable, (self.size, "unit"))
    }

    fn init(&self, population: usize, place: &Place) -> Result<NetworkForm, DynamicsError> {
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

/// G of a [`NonlinearSystem`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DriveConfig {
    /// G(Y, U) = B Y + C U, both trainable.
    Linear {
        /// B: one row for each value of X, one column for each of Y; empty for zeros.
        #[serde(default)]
        b: Vec<Vec<f64>>,
        /// C: one row for each value of X, one column for each of U; empty for zeros.
        #[serde(default)]
        c: Vec<Vec<f64>>,
    },
    /// G(Y, U) by a small network.
    Network(MlpConfig),
}

impl FormConfig {
    fn size(&self) -> usize {
        match self {
            Self::Network(config) => config.size,
            Self::FitzhughNagumo(config) => 2 * config.nodes,
            Self::VanDerPol(config) => 2 * config.nodes,
            Self::StuartLandau(config) => 2 * config.nodes,
        }
    }

    fn validate(&self) -> Result<(), DynamicsError> {
        match self {
            Self::Network(config) => config.validate(),
            Self::FitzhughNagumo(config) => config.validate(),
            Self::VanDerPol(config) => config.validate(),
            Self::StuartLandau(config) => config.validate(),
        }
    }

    fn init(&self, population: usize, place: &Place) -> Result<Form, DynamicsError> {
        Ok(match self {
            Self::Network(config) => Form::Network(config.init(population, place)?),
            Self::FitzhughNagumo(config) => Form::FitzHughNagumo(config.init(place)?),
            Self::VanDerPol(config) => Form::VanDerPol(config.init(place)?),
            Self::StuartLandau(config) => Form::StuartLandau(config.init(place)?),
        })
    }
}

impl FormConfig {
    fn network(&self) -> Option<&MlpConfig> {
        match self {
            Self::Network(config) => Some(&config.network),
            _ => None,
        }
    }
}

impl DriveConfig {
    fn network(&self) -> Option<&MlpConfig> {
        match self {
            Self::Network(network) => Some(network),
            Self::Linear { .. } => None,
        }
    }
}

impl NonlinearSystemConfig {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first that is not allowed.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        self.form.validate()?;
        setting::check_within("population", self.population, 0)?;
        setting::check_within("external", self.external, 0)?;
        let size = self.form.size();
        let inputs = size.max(self.external) + self.population;
        let networks = [self.form.network(), self.drive.network()];
        let widest = networks
            .into_iter()
            .flatten()
            .flat_map(|network| &network.hidden)
            .fold(size, |widest, hidden| widest.max(*hidden));
        setting::ask_for("a system's matrices", &[inputs, widest])?;
        match &self.drive {
            DriveConfig::Linear { b, c } => {
                let size = self.form.size();
                for (name, matrix, columns) in [
                    ("drive.b", b, self.population),
                    ("drive.c", c, self.external),
                ] {
                    if !matrix.is_empty() {
                        check_matrix(name, matrix, size, Some(columns))?;
                    }
                }
                Ok(())
            }
            DriveConfig::Network(network) => {
                if self.population + self.external == 0 {
                    let allowed = "linear, where there is neither population nor external input";
                    return Err(DynamicsError::config("drive.kind", "network", allowed));
                }
                network.validate("drive")
            }
        }
    }

    /// The system on a device.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<NonlinearSystem, DynamicsError> {
        self.validate()?;
        let size = self.form.size();
        let (population, external) = (self.population, self.external);
        let drive = match &self.drive {
            DriveConfig::Linear { b, c } => {
                let matrix = |given: &[Vec<f64>], columns: usize| {
                    if columns == 0 {
                        return None;
                    }
                    let zeros = || Param::from_tensor(place.full(0.0, [size, columns]));
                    Some(matrix_parameter(given, place).unwrap_or_else(zeros))
                };
                Drive::Linear(LinearDrive {
                    b: matrix(b, population),
                    c: matrix(c, external),
                })
            }
            DriveConfig::Network(network) => {
                Drive::Network(network.init(population + external, size, 1, place))
            }
        };
        Ok(NonlinearSystem {
            form: self.form.init(population, place)?,
            drive,
            population,
            external,
        })
    }
}

/// dX/dt = F(X, Y) + G(Y, U), with F a small network or a named form and G linear or a small network.
///
/// State: X in one variable, `[batch, size]`, for a network; the form's two variables, `[batch, nodes]` each, for a
/// named form. Input: Y in the first `population` columns, then U in `external` columns. G has a row for each value of
/// X: with a named form those of its first variable, then those of its second. Observed and given to other systems: X,
/// or what the form gives.
#[derive(Module, Debug)]
pub struct NonlinearSystem {
    /// F.
    pub form: Form,
    /// G.
    pub drive: Drive,
    #[module(skip)]
    population: usize,
    #[module(skip)]
    external: usize,
}

/// F of a [`NonlinearSystem`].
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // one for each model, never in collections
pub enum Form {
    /// A network of X and Y.
    Network(NetworkForm),
    /// See [`FitzHughNagumo`].
    FitzHughNagumo(FitzHughNagumo),
    /// See [`VanDerPol`].
    VanDerPol(VanDerPol),
    /// See [`StuartLandau`].
    StuartLandau(StuartLandau),
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

/// G of a [`NonlinearSystem`].
#[derive(Module, Debug)]
pub enum Drive {
    /// B Y + C U.
    Linear(LinearDrive),
    /// A network of Y and U.
    Network(Mlp),
}

/// G(Y, U) = B Y + C U.
#[derive(Module, Debug)]
pub struct LinearDrive {
    /// B, `[size, population]`.
    pub b: Option<Param<Tensor<2>>>,
    /// C, `[size, external]`.
    pub c: Option<Param<Tensor<2>>>,
}

impl NetworkForm {
    fn variables(&self) -> Vec<Variable> {
        vec![Variable::new("x", "1", self.size)]
    }
}

impl System for NonlinearSystem {
    type Field = NonlinearField;

    fn field(&self) -> Result<Self::Field, DynamicsError> {
        let form = match &self.form {
            Form::Network(form) => FormField::Network {
                network: form.network.clone(),
                time_constant: form.time_constant.value(),
                variables: form.variables(),
            },
            Form::FitzHughNagumo(form) => FormField::Named(Box::new(form.field()?)),
            Form::VanDerPol(form) => FormField::Named(Box::new(form.field()?)),
            Form::StuartLandau(form) => FormField::Named(Box::new(form.field()?)),
        };
        Ok(NonlinearField {
            form,
            drive: self.drive.clone(),
            inputs: population_and_external(self.population, self.external),
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        match &self.form {
            Form::Network(form) => initial_state(
                std::slice::from_ref(&form.initial),
                &form.variables(),
                batch,
            ),
            Form::FitzHughNagumo(form) => form.initial_state(batch),
            Form::VanDerPol(form) => form.initial_state(batch),
            Form::StuartLandau(form) => form.initial_state(batch),
        }
    }

    fn settings(&self) -> Vec<(String, Held<'_>)> {
        let form = match &self.form {
            Form::Network(form) => vec![
                (
                    "time_constant".to_owned(),
                    Held::Values(&form.time_constant),
                ),
                ("initial".to_owned(), Held::Values(&form.initial)),
            ],
            Form::FitzHughNagumo(form) => form.settings(),
            Form::VanDerPol(form) => form.settings(),
            Form::StuartLandau(form) => form.settings(),
        };
        let mut all: Vec<(String, Held<'_>)> = form
            .into_iter()
            .map(|(name, held)| (format!("form.{name}"), held))
            .collect();
        if let Drive::Linear(drive) = &self.drive {
            let matrices = [("drive.b", &drive.b), ("drive.c", &drive.c)].into_iter();
            let given = matrices.filter_map(|(name, matrix)| {
                Some((name.to_owned(), Held::Matrix(matrix.as_ref()?)))
            });
            all.extend(given);
        }
        all
    }
}

#[expect(
    clippy::large_enum_variant,
    reason = "one for each run, and its tensors are read at every step"
)]
enum FormField {
    Network {
        network: Mlp,
        time_constant: Tensor<2>,
        variables: Vec<Variable>,
    },
    /// Takes G through its channels, one for each of its variables.
    Named(Box<dyn Field>),
}

/// [`NonlinearSystem`] with its parameters' values.
pub struct NonlinearField {
    form: FormField,
    drive: Drive,
    inputs: Vec<Variable>,
}

impl NonlinearField {
    /// Y and U, zeros where there is no input.
    fn input(
        &self,
        batch: usize,
        like: &Tensor<2>,
        input: Option<&Tensor<2>>,
    ) -> Option<Tensor<2>> {
        let columns: usize = self.inputs.iter().map(|channel| channel.width).sum();
        let zeros = || Place::of(like).full(0.0, [batch, columns]);
        (columns > 0).then(|| match input {
            Some(input) => input.clone().expand([batch, columns]),
            None => zeros(),
        })
    }

    /// G(Y, U)
    fn drive(&self, input: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        match &self.drive {
            Drive::Linear(LinearDrive { b, c }) => {
                let part = |index: usize, matrix: &Option<Param<Tensor<2>>>| {
                    let matrix = matrix.as_ref()?.val().transpose();
                    Some(channel(&self.inputs, index, input)?.matmul(matrix))
                };
                match (part(0, b), part(1, c)) {
                    (Some(b), Some(c)) => Some(b + c),
                    (b, c) => b.or(c),
                }
            }
            Drive::Network(network) => Some(network.forward(input?.clone())),
        }
    }
}

impl Field for NonlinearField {
    fn name(&self) -> &str {
        match &self.form {
            FormField::Network { .. } => "nonlinear",
            FormField::Named(form) => form.name(),
        }
    }

    fn variables(&self) -> &[Variable] {
        match &self.form {
            FormField::Network { variables, .. } => variables,
            FormField::Named(form) => form.variables(),
        }
    }

    fn inputs(&self) -> &[Variable] {
        &self.inputs
    }

    fn derivative(&self, time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let input = self.input(state[0].dims()[0], &state[0], input);
        let drive = self.drive(input.as_ref());
        match &self.form {
            FormField::Network {
                network,
                time_constant,
                ..
            } => {
                let seen = match channel(&self.inputs, 0, input.as_ref()) {
                    Some(population) => Tensor::cat(vec![state[0].clone(), population], 1),
                    None => state[0].clone(),
                };
                let slope = network.forward(seen) / time_constant.clone();
                State::new(vec![plus(slope, drive)])
            }
            FormField::Named(form) => form.derivative(time, state, drive.as_ref()),
        }
    }

    fn diffusion(&self, time: f64, state: &State) -> Option<State> {
        match &self.form {
            FormField::Network { .. } => None,
            FormField::Named(form) => form.diffusion(time, state),
        }
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        match &self.form {
            FormField::Network { .. } => state[0].clone(),
            FormField::Named(form) => form.observe(state),
        }
    }

    fn activity(&self) -> Variable {
        match &self.form {
            FormField::Network { variables, .. } => variables[0].clone(),
            FormField::Named(form) => form.activity(),
        }
    }

    fn observed(&self) -> Variable {
        match &self.form {
            FormField::Network { variables, .. } => variables[0].clone(),
            FormField::Named(form) => form.observed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Constant, NoInput};
    use crate::system::testing::{agrees_on_every_device, every_gradient_agrees, trace};
    use crate::testing::{assert_close, f64_place};

    fn network() -> NonlinearSystemConfig {
        NonlinearSystemConfig {
            population: 2,
            external: 1,
            form: FormConfig::Network(NetworkFormConfig {
                size: 2,
                network: MlpConfig {
                    hidden: vec![3],
                    scale: 0.8,
                    seed: 3,
                },
                time_constant: vec![5.0, 4.0].into(),
                initial: vec![0.5, -0.2].into(),
                trainable: vec!["time_constant".into(), "initial".into()],
            }),
            drive: DriveConfig::Network(MlpConfig {
                hidden: vec![2],
                scale: 0.1,
                seed: 4,
            }),
        }
    }

    fn named() -> NonlinearSystemConfig {
        NonlinearSystemConfig {
            population: 1,
            external: 2,
            form: FormConfig::FitzhughNagumo(FitzHughNagumoConfig {
                trainable: vec!["recovery_rate".into()],
                ..Default::default()
            }),
            drive: DriveConfig::Linear {
                b: vec![vec![0.5], vec![0.1]],
                c: vec![vec![0.1, 0.2], vec![0.0, -0.3]],
            },
        }
    }

    #[test]
    fn a_network_form_is_what_its_layers_compute() {
        let place = f64_place();
        let model = network().init(&place).unwrap();
        let Form::Network(form) = &model.form else {
            unreachable!()
        };
        let Drive::Network(drive) = &model.drive else {
            unreachable!()
        };
        let layer = |mlp: &Mlp, i: usize| {
            let weight = &mlp.layers[i].weight;
            (crate::host(weight.val()).unwrap(), weight.dims())
        };
        let apply = |mlp: &Mlp, x: &[f64]| {
            let mut x = x.to_vec();
            for i in 0..mlp.layers.len() {
                let (weight, [rows, columns]) = layer(mlp, i);
                assert_eq!(rows, x.len());
                let y =
                    (0..columns).map(|c| (0..rows).map(|r| x[r] * weight[r * columns + c]).sum());
                x = y.collect();
                if i + 1 < mlp.layers.len() {
                    x.iter_mut().for_each(|x: &mut f64| *x = x.tanh());
                }
            }
            x
        };
        let (x, y, u) = ([0.5, -0.2], [1.0, 0.4], [2.0]);
        let f = apply(&form.network, &[x[0], x[1], y[0], y[1]]);
        let g = apply(drive, &[y[0], y[1], u[0]]);
        let input = place.tensor(vec![y[0], y[1], u[0]], [1, 3]);
        let state = model.initial_state(1).unwrap();
        let slope = model.field().unwrap().derivative(0.0, &state, Some(&input));
        for (i, found) in crate::host(slope[0].clone())
            .unwrap()
            .into_iter()
            .enumerate()
        {
            assert_close(found, f[i] / [5.0, 4.0][i] + g[i], 1e-14);
        }
    }

    #[test]
    fn a_named_form_takes_the_drive_through_its_variables() {
        let place = f64_place();
        let system = named().init(&place).unwrap();
        let FormConfig::FitzhughNagumo(config) = named().form else {
            unreachable!()
        };
        let alone = config.init(&place).unwrap();
        // B·0.6 + C·(1, −0.5)
        let drive = Constant(place.tensor(vec![0.3, 0.06 + 0.15], [1, 2]));
        let input = Constant(place.tensor(vec![0.6, 1.0, -0.5], [1, 3]));
        let (seen, _) = trace(&system, &input, 0.1, 100);
        let (expected, _) = trace(&alone, &drive, 0.1, 100);
        assert_close(seen[100][0], expected[100][0], 1e-12);
        let (silent, _) = trace(&system, &NoInput, 0.1, 100);
        let (expected, _) = trace(&alone, &NoInput, 0.1, 100);
        assert_close(silent[100][0], expected[100][0], 1e-12);
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        every_gradient_agrees(
            |place| network().init(place).unwrap(),
            &[1.0, 0.4, 2.0],
            0.5,
            15,
        );
        every_gradient_agrees(
            |place| named().init(place).unwrap(),
            &[0.6, 1.0, -0.5],
            0.2,
            15,
        );
    }

    #[test]
    fn single_precision_follows_on_every_device() {
        let make = |place: &Place| network().init(place).unwrap();
        agrees_on_every_device(make, &[1.0, 0.4, 2.0], 0.5, 5, 1e-5);
    }

    #[test]
    fn settings_that_do_not_fit_are_named() {
        let refused = |config: NonlinearSystemConfig| config.validate().unwrap_err().to_string();
        let mut config = network();
        config.drive = DriveConfig::Linear {
            b: vec![vec![1.0]; 2],
            c: vec![],
        };
        assert!(refused(config).starts_with("drive.b = 2 rows of 1, 1 values"));
        let mut config = network();
        config.drive = DriveConfig::Network(MlpConfig {
            hidden: vec![0],
            ..Default::default()
        });
        assert!(refused(config).starts_with("drive.hidden[0] = 0"));
        let mut config = network();
        (config.population, config.external) = (0, 0);
        assert!(refused(config).starts_with("drive.kind = network"));
        let config: Result<NonlinearSystemConfig, _> = serde_json::from_str(
            r#"{"population": 2, "form": {"kind": "van-der-pol", "damping": -0.5}, "drive": {"kind": "linear"}}"#,
        );
        config.unwrap().validate().unwrap();
        let config: Result<NonlinearSystemConfig, _> =
            serde_json::from_str(r#"{"form": {"kind": "van-der-pol", "mu": 1}}"#);
        assert!(config.unwrap_err().to_string().contains("mu"));
    }
}
