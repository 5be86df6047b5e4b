use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::{
    BalloonWindkessel, BalloonWindkesselConfig, FitzHughNagumo, FitzHughNagumoConfig, JansenRit,
    JansenRitConfig, LinearSystem, LinearSystemConfig, MontbrioPazoRoxin, MontbrioPazoRoxinConfig,
    NonlinearSystem, NonlinearSystemConfig, ReducedWongWang, ReducedWongWangConfig, StuartLandau,
    StuartLandauConfig, System, VanDerPol, VanDerPolConfig, WongWang, WongWangConfig,
};
use crate::model::Field;
use crate::population::{WilsonCowan, WilsonCowanConfig};
use crate::{DynamicsError, Held, Place, State, Values};

macro_rules! systems {
    ($($(#[$doc:meta])* $Variant:ident($Config:ty, $Model:ty) = $name:literal, $shortest:expr;)+) => {
        /// Any system, chosen by `kind` in a configuration file.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "kind")]
        pub enum SystemConfig {
            $($(#[$doc])* #[serde(rename = $name)] $Variant($Config),)+
        }

        impl SystemConfig {
            /// The names of the kinds.
            pub const KINDS: &'static [&'static str] = &[$($name),+];

            /// The name of the kind.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$Variant(_) => $name,)+
                }
            }

            /// About the shortest time constant that a solver has to resolve, ms.
            pub fn shortest_time_constant(&self) -> Option<f64> {
                match self {
                    $(Self::$Variant(config) => ($shortest)(config),)+
                }
            }

            /// Checks every value.
            ///
            /// # Errors
            ///
            /// [`DynamicsError::Config`] names the first that is not allowed.
            pub fn validate(&self) -> Result<(), DynamicsError> {
                match self {
                    $(Self::$Variant(config) => config.validate(),)+
                }
            }

            /// The system on a device.
            ///
            /// # Errors
            ///
            /// Those of [`validate`](Self::validate).
            pub fn init(&self, place: &Place) -> Result<SystemModel, DynamicsError> {
                Ok(match self {
                    $(Self::$Variant(config) => SystemModel::$Variant(config.init(place)?),)+
                })
            }
        }

        /// Any system as a Burn module.
        #[derive(Module, Debug)]
        #[allow(clippy::large_enum_variant)] // one for each model, never in collections
        pub enum SystemModel {
            $($(#[$doc])* $Variant($Model),)+
        }

        impl System for SystemModel {
            type Field = Box<dyn Field>;

            fn field(&self) -> Result<Self::Field, DynamicsError> {
                Ok(match self {
                    $(Self::$Variant(system) => Box::new(system.field()?),)+
                })
            }

            fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
                match self {
                    $(Self::$Variant(system) => system.initial_state(batch),)+
                }
            }

            fn settings(&self) -> Vec<(String, Held<'_>)> {
                match self {
                    $(Self::$Variant(system) => system.settings(),)+
                }
            }
        }
    };
}

systems! {
    /// See [`LinearSystem`].
    Linear(LinearSystemConfig, LinearSystem) = "linear",
        linear;
    /// See [`NonlinearSystem`].
    Nonlinear(NonlinearSystemConfig, NonlinearSystem) = "nonlinear",
        |config: &NonlinearSystemConfig| config.form.shortest_time_constant();
    /// See [`JansenRit`].
    JansenRit(JansenRitConfig, JansenRit) = "jansen-rit",
        |config: &JansenRitConfig| shortest([&config.excitatory_time_constant, &config.inhibitory_time_constant]);
    /// See [`MontbrioPazoRoxin`].
    MontbrioPazoRoxin(MontbrioPazoRoxinConfig, MontbrioPazoRoxin) = "montbrio-pazo-roxin",
        |config: &MontbrioPazoRoxinConfig| Some(0.2 * config.time_constant.lowest());
    /// See [`WongWang`].
    WongWang(WongWangConfig, WongWang) = "wong-wang",
        |config: &WongWangConfig| shortest([&config.time_constant, &config.noise_time_constant]);
    /// See [`ReducedWongWang`].
    ReducedWongWang(ReducedWongWangConfig, ReducedWongWang) = "reduced-wong-wang",
        |config: &ReducedWongWangConfig| Some(0.25 * config.time_constant.lowest());
    /// See [`FitzHughNagumo`].
    FitzHughNagumo(FitzHughNagumoConfig, FitzHughNagumo) = "fitzhugh-nagumo",
        FitzHughNagumoConfig::shortest_time_constant;
    /// See [`VanDerPol`].
    VanDerPol(VanDerPolConfig, VanDerPol) = "van-der-pol",
        VanDerPolConfig::shortest_time_constant;
    /// See [`StuartLandau`].
    StuartLandau(StuartLandauConfig, StuartLandau) = "stuart-landau",
        StuartLandauConfig::shortest_time_constant;
    /// See [`WilsonCowan`].
    WilsonCowan(WilsonCowanConfig, WilsonCowan) = "wilson-cowan",
        |config: &WilsonCowanConfig| shortest([&config.excitatory_time_constant, &config.inhibitory_time_constant]);
    /// See [`BalloonWindkessel`].
    BalloonWindkessel(BalloonWindkesselConfig, BalloonWindkessel) = "balloon-windkessel",
        |config: &BalloonWindkesselConfig| Some(config.stiffness.lowest() * config.transit_time.lowest() / config.time_unit.highest());
}

/// The shortest of several time constants.
fn shortest<const N: usize>(times: [&Values; N]) -> Option<f64> {
    times.into_iter().map(Values::lowest).reduce(f64::min)
}

/// One over the largest sum of a row: no eigenvalue is larger.
fn linear(config: &LinearSystemConfig) -> Option<f64> {
    let sums = config.a.iter().map(|row| row.iter().map(|x| x.abs()).sum());
    sums.reduce(f64::max).map(f64::recip)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Model, NoInput};
    use crate::simulate::{Grid, record};
    use crate::solver::{Solver, SolverKind};
    use crate::system::NetworkConfig;
    use crate::system::testing::trace;
    use crate::testing::{assert_close, f64_place};
    use crate::{NormalNoise, host};

    #[test]
    fn every_kind_comes_from_its_name_with_its_defaults_and_runs() {
        let place = f64_place();
        for kind in SystemConfig::KINDS {
            let text = format!(r#"{{"kind": "{kind}"}}"#);
            let config: SystemConfig = serde_json::from_str(&text).unwrap();
            assert_eq!(config.kind(), *kind);
            let again = serde_json::to_string(&config).unwrap();
            assert_eq!(
                serde_json::from_str::<SystemConfig>(&again).unwrap(),
                config
            );
            let system = config.init(&place).unwrap();
            let (seen, state) = trace(&system, &NoInput, 0.1, 3);
            let field = system.field().unwrap();
            assert_eq!(seen.len(), 4);
            assert_eq!(state.len(), field.variables().len());
            assert_eq!(
                field.output(&state).dims()[1],
                field.activity().width,
                "{kind}"
            );
            assert_eq!(
                field.observe(&state).dims()[1],
                field.observed().width,
                "{kind}"
            );
            let potential = field.local_field_potential(&state);
            assert_eq!(
                potential.map(|potential| potential.dims()[1]),
                field.field_potential().map(|own| own.width),
                "{kind}"
            );
        }
    }

    #[test]
    fn a_network_of_any_kind_runs_with_any_solver() {
        let place = f64_place();
        let end = |kind: SolverKind, seed: u64| {
            let text = r#"{"kind": "stuart-landau", "nodes": 2, "growth": -0.01, "noise": 0.02}"#;
            let config: SystemConfig = serde_json::from_str(text).unwrap();
            let text = r#"{"weights": [[0, 1], [1, 0]], "delays": {"uniform": 2}, "strength": 0.01, "dt": 0.5}"#;
            let network: NetworkConfig = serde_json::from_str(text).unwrap();
            let solver: Arc<dyn Solver> = kind.init(NormalNoise::new(seed, 0)).into();
            let network = network
                .init(config.init(&place).unwrap(), solver, &place)
                .unwrap();
            let grid = Grid::over(20.0, 0.5).unwrap();
            let initial = network.initial_state(1).unwrap();
            let (_, last) = record(&network.dynamics().unwrap(), initial, &NoInput, &grid).unwrap();
            host(last[0].clone()).unwrap()
        };
        for (one, other) in end(SolverKind::Heun, 1).iter().zip(end(SolverKind::Rk4, 2)) {
            assert_close(*one, other, 1e-4);
        }
        let noisy = end(SolverKind::StochasticHeun, 1);
        assert_eq!(noisy, end(SolverKind::StochasticHeun, 1));
        assert_ne!(noisy, end(SolverKind::StochasticHeun, 2));
        assert_ne!(noisy, end(SolverKind::Heun, 1));
    }

    #[test]
    fn unknown_kinds_and_settings_are_named() {
        let error = serde_json::from_str::<SystemConfig>(r#"{"kind": "jansen"}"#).unwrap_err();
        assert!(error.to_string().contains("jansen-rit"), "{error}");
        let error =
            serde_json::from_str::<SystemConfig>(r#"{"kind": "wong-wang", "j": 1}"#).unwrap_err();
        assert!(error.to_string().contains("`j`"), "{error}");
    }
}
