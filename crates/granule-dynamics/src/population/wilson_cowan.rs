use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::Activation;
use crate::model::Field;
use crate::parameter::{Parameter, Values};
use crate::quantity::Quantity;
use crate::setting::{self, Range, Setting};
use crate::system::{System, plus};
use crate::{DynamicsError, Held, Place, QuantityKind, State, Variable};

/// An excitatory and an inhibitory population (Wilson and Cowan 1972):
///
/// - τₑ dE/dt = −E + (kₑ − rₑ E) Sₑ(c₁ E − c₂ I + P)
/// - τᵢ dI/dt = −I + (kᵢ − rᵢ I) Sᵢ(c₃ E − c₄ I + Q)
///
/// with S(x) = 1/(1 + e^(−a(x − θ))) − 1/(1 + e^(aθ)) and k = 1 − 1/(1 + e^(aθ)), the largest value of S. E and I are
/// the shares of cells that fire, relative to rest. The defaults are those of the paper's limit cycle (its figure 11),
/// whose time constants it leaves open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct WilsonCowanConfig {
    /// The number of pairs, each for itself, side by side. Every setting below is one value for all of them or one for
    /// each.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub pairs: usize,
    /// τₑ in ms, above 0.
    pub excitatory_time_constant: Values,
    /// τᵢ in ms, above 0.
    pub inhibitory_time_constant: Values,
    /// c₁, E on E, at least 0.
    pub excitatory_to_excitatory: Values,
    /// c₂, I on E, at least 0.
    pub inhibitory_to_excitatory: Values,
    /// c₃, E on I, at least 0.
    pub excitatory_to_inhibitory: Values,
    /// c₄, I on I, at least 0.
    pub inhibitory_to_inhibitory: Values,
    /// aₑ, the excitatory response's slope, above 0.
    pub excitatory_slope: Values,
    /// aᵢ, the inhibitory response's slope, above 0.
    pub inhibitory_slope: Values,
    /// θₑ, the position of the excitatory response's steepest point.
    pub excitatory_threshold: Values,
    /// θᵢ, the position of the inhibitory response's steepest point.
    pub inhibitory_threshold: Values,
    /// rₑ, excitatory refractoriness, at least 0.
    pub excitatory_refractoriness: Values,
    /// rᵢ, inhibitory refractoriness, at least 0.
    pub inhibitory_refractoriness: Values,
    /// P, the drive of E.
    pub excitatory_drive: Values,
    /// Q, the drive of I.
    pub inhibitory_drive: Values,
    /// The names of the settings above that training may move.
    pub trainable: Vec<String>,
}

impl Default for WilsonCowanConfig {
    fn default() -> Self {
        Self {
            pairs: 1,
            excitatory_time_constant: 8.0.into(),
            inhibitory_time_constant: 8.0.into(),
            excitatory_to_excitatory: 16.0.into(),
            inhibitory_to_excitatory: 12.0.into(),
            excitatory_to_inhibitory: 15.0.into(),
            inhibitory_to_inhibitory: 3.0.into(),
            excitatory_slope: 1.3.into(),
            inhibitory_slope: 2.0.into(),
            excitatory_threshold: 4.0.into(),
            inhibitory_threshold: 3.7.into(),
            excitatory_refractoriness: 1.0.into(),
            inhibitory_refractoriness: 1.0.into(),
            excitatory_drive: 1.25.into(),
            inhibitory_drive: 0.0.into(),
            trainable: Vec::new(),
        }
    }
}

impl WilsonCowanConfig {
    /// The settings of E, then those of I: time constant, from E, from I, slope, threshold, refractoriness, drive.
    #[rustfmt::skip]
    fn settings(&self) -> [[Setting<'_>; 7]; 2] {
        const POSITIVE: Range = Range::Positive;
        const NOT_NEGATIVE: Range = Range::NonNegative;
        [
            [
                Setting::new("excitatory_time_constant", &self.excitatory_time_constant, POSITIVE),
                Setting::new("excitatory_to_excitatory", &self.excitatory_to_excitatory, NOT_NEGATIVE),
                Setting::new("inhibitory_to_excitatory", &self.inhibitory_to_excitatory, NOT_NEGATIVE),
                Setting::new("excitatory_slope", &self.excitatory_slope, POSITIVE),
                Setting::new("excitatory_threshold", &self.excitatory_threshold, Range::Any),
                Setting::new("excitatory_refractoriness", &self.excitatory_refractoriness, NOT_NEGATIVE),
                Setting::new("excitatory_drive", &self.excitatory_drive, Range::Any),
            ],
            [
                Setting::new("inhibitory_time_constant", &self.inhibitory_time_constant, POSITIVE),
                Setting::new("excitatory_to_inhibitory", &self.excitatory_to_inhibitory, NOT_NEGATIVE),
                Setting::new("inhibitory_to_inhibitory", &self.inhibitory_to_inhibitory, NOT_NEGATIVE),
                Setting::new("inhibitory_slope", &self.inhibitory_slope, POSITIVE),
                Setting::new("inhibitory_threshold", &self.inhibitory_threshold, Range::Any),
                Setting::new("inhibitory_refractoriness", &self.inhibitory_refractoriness, NOT_NEGATIVE),
                Setting::new("inhibitory_drive", &self.inhibitory_drive, Range::Any),
            ],
        ]
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        setting::check_count("pairs", self.pairs)?;
        setting::validate(
            "",
            &self.settings().concat(),
            &self.trainable,
            (self.pairs, "pair"),
        )
    }

    /// Makes the model.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<WilsonCowan, DynamicsError> {
        self.validate()?;
        let parameter = |setting: Setting<'_>| setting.init("", &self.trainable, place);
        let population = |settings: [Setting<'_>; 7]| {
            let [tau, from_e, from_i, slope, threshold, refractoriness, drive] = settings;
            Ok::<_, DynamicsError>(WilsonCowanPopulation {
                time_constant: parameter(tau)?,
                from_excitatory: parameter(from_e)?,
                from_inhibitory: parameter(from_i)?,
                slope: parameter(slope)?,
                threshold: parameter(threshold)?,
                refractoriness: parameter(refractoriness)?,
                drive: parameter(drive)?,
            })
        };
        let [excitatory, inhibitory] = self.settings();
        Ok(WilsonCowan {
            excitatory: population(excitatory)?,
            inhibitory: population(inhibitory)?,
            pairs: self.pairs,
        })
    }
}

/// Pairs of an excitatory and an inhibitory population; see [`WilsonCowanConfig`] for the equations.
///
/// The state is E and I, `[batch, pairs]` each, at rest, E = I = 0, at the beginning. An input `[batch, 2·pairs]` adds
/// its first half to P and its second to Q. With a solver it is a [`crate::system::Integrated`] model; to the other
/// nodes of a [`crate::system::Network`] it gives E.
#[derive(Module, Debug)]
pub struct WilsonCowan {
    /// E.
    pub excitatory: WilsonCowanPopulation,
    /// I.
    pub inhibitory: WilsonCowanPopulation,
    #[module(skip)]
    pairs: usize,
}

/// One of the two populations of a pair; every parameter is `[1, 1]` or `[1, pairs]`.
#[derive(Module, Debug)]
pub struct WilsonCowanPopulation {
    /// τ in ms.
    pub time_constant: Parameter,
    /// c₁ or c₃.
    pub from_excitatory: Parameter,
    /// c₂ or c₄.
    pub from_inhibitory: Parameter,
    /// a.
    pub slope: Parameter,
    /// θ.
    pub threshold: Parameter,
    /// r.
    pub refractoriness: Parameter,
    /// P or Q.
    pub drive: Parameter,
}

/// The equations of [`WilsonCowan`].
#[derive(Clone, Debug)]
pub struct WilsonCowanField {
    variables: Vec<Variable>,
    inputs: Vec<Variable>,
    excitatory: Population,
    inhibitory: Population,
}

#[derive(Clone, Debug)]
struct Population {
    tau: Quantity,
    from_excitatory: Quantity,
    from_inhibitory: Quantity,
    slope: Quantity,
    threshold: Quantity,
    /// 1/(1 + e^(aθ)), what S takes off.
    floor: Quantity,
    refractoriness: Quantity,
    drive: Quantity,
}

impl Population {
    fn of(parameters: &WilsonCowanPopulation) -> Self {
        let (slope, threshold) = (parameters.slope.value(), parameters.threshold.value());
        let floor = Activation::Sigmoid.rate((slope.clone() * threshold.clone()).neg());
        let of = |parameter: &Parameter| Quantity::Tensor(parameter.value());
        Self {
            tau: of(&parameters.time_constant),
            from_excitatory: of(&parameters.from_excitatory),
            from_inhibitory: of(&parameters.from_inhibitory),
            slope: Quantity::Tensor(slope),
            threshold: Quantity::Tensor(threshold),
            floor: Quantity::Tensor(floor),
            refractoriness: of(&parameters.refractoriness),
            drive: of(&parameters.drive),
        }
    }

    fn derivative(&self, own: &Tensor<2>, state: &State, input: Option<Tensor<2>>) -> Tensor<2> {
        let (e, i) = (state[0].clone(), state[1].clone());
        let current = e * &self.from_excitatory - i * &self.from_inhibitory + &self.drive;
        let current = plus(current, input);
        let response =
            Activation::Sigmoid.rate((current - &self.threshold) * &self.slope) - &self.floor;
        let ready = 1.0 - (own.clone() * &self.refractoriness + &self.floor);
        (ready * response - own.clone()) / &self.tau
    }
}

impl Field for WilsonCowanField {
    fn name(&self) -> &str {
        "Wilson–Cowan"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn inputs(&self) -> &[Variable] {
        &self.inputs
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let pairs = self.variables[0].width;
        let part = |half: usize| input.map(|u| u.clone().narrow(1, half * pairs, pairs));
        State::new(vec![
            self.excitatory.derivative(&state[0], state, part(0)),
            self.inhibitory.derivative(&state[1], state, part(1)),
        ])
    }
}

impl System for WilsonCowan {
    type Field = WilsonCowanField;

    fn field(&self) -> Result<WilsonCowanField, DynamicsError> {
        let named = |names: [&str; 2]| names.map(|name| Variable::new(name, "1", self.pairs));
        let rates = named(["E", "I"]).map(|variable| variable.of_kind(QuantityKind::Rate));
        Ok(WilsonCowanField {
            variables: rates.to_vec(),
            inputs: named(["P", "Q"]).to_vec(),
            excitatory: Population::of(&self.excitatory),
            inhibitory: Population::of(&self.inhibitory),
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let place = Place::of(&self.excitatory.drive.raw.val());
        let rest = place.full(0.0, [batch, self.pairs]);
        Ok(State::new(vec![rest.clone(), rest]))
    }

    fn settings(&self) -> Vec<(String, Held<'_>)> {
        fn of<'a>(own: &str, p: &'a WilsonCowanPopulation) -> [(String, Held<'a>); 7] {
            [
                (format!("{own}_time_constant"), &p.time_constant),
                (format!("excitatory_to_{own}"), &p.from_excitatory),
                (format!("inhibitory_to_{own}"), &p.from_inhibitory),
                (format!("{own}_slope"), &p.slope),
                (format!("{own}_threshold"), &p.threshold),
                (format!("{own}_refractoriness"), &p.refractoriness),
                (format!("{own}_drive"), &p.drive),
            ]
            .map(|(name, value)| (name, Held::Values(value)))
        }
        let all = of("excitatory", &self.excitatory).into_iter();
        all.chain(of("inhibitory", &self.inhibitory)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{FieldOnHost, FixedPointSearch, HostField, fixed_points};
    use crate::differences::assert_gradient;
    use crate::model::{Constant, Model, NoInput};
    use crate::solver::Rk4;
    use crate::state::host;
    use crate::system::Integrated;
    use crate::testing::{f32_places, f64_autodiff, f64_place, f64_places, host_device};
    use crate::{Grid, record};

    /// Figure 4 of the paper: multiple stable states.
    fn hysteresis() -> WilsonCowanConfig {
        WilsonCowanConfig {
            excitatory_to_excitatory: 12.0.into(),
            inhibitory_to_excitatory: 4.0.into(),
            excitatory_to_inhibitory: 13.0.into(),
            inhibitory_to_inhibitory: 11.0.into(),
            excitatory_slope: 1.2.into(),
            inhibitory_slope: 1.0.into(),
            excitatory_threshold: 2.8.into(),
            inhibitory_threshold: 4.0.into(),
            excitatory_drive: 0.0.into(),
            ..WilsonCowanConfig::default()
        }
    }

    /// E over time at rows of a batch.
    fn excitation(config: &WilsonCowanConfig, place: &Place, duration: f64, dt: f64) -> Vec<f64> {
        let system = config.init(place).unwrap();
        let start = system.initial_state(1).unwrap();
        let start = start.map(|x| x.add_scalar(0.1));
        let grid = Grid::over(duration, dt).unwrap();
        let model = Integrated::new(system, Rk4).dynamics().unwrap();
        let (seen, _) = record(&model, start, &NoInput, &grid).unwrap();
        host(seen).unwrap()
    }

    #[test]
    fn the_derivative_is_that_of_the_equations() {
        let config = WilsonCowanConfig {
            inhibitory_time_constant: 20.0.into(),
            excitatory_refractoriness: 0.7.into(),
            inhibitory_refractoriness: 1.3.into(),
            inhibitory_drive: 0.4.into(),
            pairs: 2,
            ..WilsonCowanConfig::default()
        };
        let s = |x: f64, a: f64, theta: f64| {
            1.0 / (1.0 + (-a * (x - theta)).exp()) - 1.0 / (1.0 + (a * theta).exp())
        };
        let k = |a: f64, theta: f64| 1.0 - 1.0 / (1.0 + (a * theta).exp());
        let expected = |e: f64, i: f64, p: f64, q: f64| {
            let to_e = s(16.0 * e - 12.0 * i + 1.25 + p, 1.3, 4.0);
            let to_i = s(15.0 * e - 3.0 * i + 0.4 + q, 2.0, 3.7);
            [
                (-e + (k(1.3, 4.0) - 0.7 * e) * to_e) / 8.0,
                (-i + (k(2.0, 3.7) - 1.3 * i) * to_i) / 20.0,
            ]
        };
        for (name, place) in f64_places().into_iter().chain(f32_places()) {
            let tolerance = match place.dtype {
                burn::tensor::DType::F64 => 1e-15,
                _ => 1e-7,
            };
            let field = config.init(&place).unwrap().field().unwrap();
            let (e, i) = ([0.3, 0.1], [0.05, 0.2]);
            let state = [e, i].map(|x| place.tensor(x.to_vec(), [1, 2])).to_vec();
            let input = place.tensor(vec![0.5, -0.2, 0.1, 0.3], [1, 4]);
            let slope = field.derivative(0.0, &State::new(state), Some(&input));
            let found: Vec<f64> = (0..2)
                .flat_map(|v| host(slope[v].clone()).unwrap())
                .collect();
            let first = expected(0.3, 0.05, 0.5, 0.1);
            let second = expected(0.1, 0.2, -0.2, 0.3);
            let expected = [first[0], second[0], first[1], second[1]];
            for (a, b) in found.iter().zip(expected) {
                assert!((a - b).abs() < tolerance, "{name}: {a} {b}");
            }
        }
    }

    #[test]
    fn rest_without_drive_and_a_limit_cycle_with_it() {
        let at_rest = WilsonCowanConfig {
            excitatory_drive: 0.0.into(),
            ..WilsonCowanConfig::default()
        };
        let silent = excitation(&at_rest, &f64_place(), 300.0, 0.5);
        assert!(silent.last().unwrap().abs() < 1e-6);
        for name in ["flex", "ndarray"] {
            let place = Place::f32(&host_device(name));
            let cycle = excitation(&WilsonCowanConfig::default(), &place, 300.0, 0.5);
            let late = &cycle[cycle.len() / 2..];
            let high = late.iter().copied().fold(f64::MIN, f64::max);
            let low = late.iter().copied().fold(f64::MAX, f64::min);
            assert!(high - low > 0.15, "{name}: {low} to {high}");
            let middle = 0.5 * (high + low);
            let rises = late.windows(2).filter(|w| w[0] < middle && w[1] >= middle);
            assert!(rises.count() >= 2, "{name}");
        }
    }

    #[test]
    fn figure_4_has_two_stable_states_and_a_saddle_between_them() {
        let field = hysteresis().init(&f64_place()).unwrap().field().unwrap();
        let on_host = FieldOnHost::new(&field, None, &f64_place());
        let starts: Vec<Vec<f64>> = (0..25)
            .map(|k| vec![0.12 * f64::from(k % 5), 0.12 * f64::from(k / 5)])
            .collect();
        let found = fixed_points(&on_host, &starts, &FixedPointSearch::default()).unwrap();
        let mut states: Vec<(f64, usize)> =
            found.iter().map(|p| (p.state[0], p.unstable())).collect();
        states.sort_by(|a, b| a.0.total_cmp(&b.0));
        let unstable: Vec<usize> = states.iter().map(|s| s.1).collect();
        assert_eq!(unstable, [0, 1, 0], "{states:?}");
        assert!(states[0].0.abs() < 1e-8);
        for point in &found {
            let slope = on_host.velocity(&point.state).unwrap();
            assert!(slope.iter().all(|x| x.abs() < 1e-9));
        }
    }

    #[test]
    fn every_parameter_has_the_gradient_of_central_differences() {
        let place = f64_autodiff();
        let mut config = WilsonCowanConfig {
            pairs: 2,
            inhibitory_drive: vec![0.2, -0.1].into(),
            ..WilsonCowanConfig::default()
        };
        let settings = config.settings().concat();
        config.trainable = settings.iter().map(|s| s.name.into()).collect();
        let model = Integrated::new(config.init(&place).unwrap(), Rk4);
        let input = Constant(place.tensor(vec![0.1, 0.0, 0.3, 0.2], [1, 4]));
        let loss = |seen: Tensor<3>| (seen.clone() * seen.add_scalar(1.0)).sum();
        assert_gradient(&model, &input, (1.0, 20), loss, 1e-5, 1e-8);
    }

    #[test]
    fn settings_out_of_range_name_their_field() {
        let fails = |change: &dyn Fn(&mut WilsonCowanConfig), field: &str| {
            let mut config = WilsonCowanConfig::default();
            change(&mut config);
            let error = config.init(&f64_place()).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        };
        fails(&|c| c.pairs = 0, "pairs");
        fails(
            &|c| c.excitatory_time_constant = (-8.0).into(),
            "excitatory_time_constant",
        );
        fails(
            &|c| c.inhibitory_slope = f64::NAN.into(),
            "inhibitory_slope",
        );
        fails(
            &|c| c.inhibitory_to_excitatory = (-1.0).into(),
            "inhibitory_to_excitatory",
        );
        fails(
            &|c| c.excitatory_drive = f64::INFINITY.into(),
            "excitatory_drive",
        );
        fails(&|c| c.trainable = vec!["tau".into()], "trainable");
        fails(
            &|c| c.excitatory_slope = vec![1.0, 2.0].into(),
            "excitatory_slope",
        );
        let untrainable = WilsonCowanConfig {
            inhibitory_refractoriness: 0.0.into(),
            trainable: vec!["inhibitory_refractoriness".into()],
            ..WilsonCowanConfig::default()
        };
        assert!(untrainable.init(&f64_place()).is_err());
        let model = WilsonCowanConfig::default().init(&f64_place()).unwrap();
        let start = model.initial_state(1).unwrap();
        let narrow = f64_place().full(0.0, [1, 1]);
        let refused = model.field().unwrap().check_input(&start, Some(&narrow));
        assert!(matches!(refused, Err(DynamicsError::Shape { .. })));
    }
}
