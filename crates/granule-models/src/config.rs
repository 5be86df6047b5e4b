//! The choice of a model as data: an open set, to which a program adds its own.

use std::any::{Any, TypeId};
use std::fmt::{self, Debug};
use std::sync::{PoisonError, RwLock};

use burn::tensor::Device;
use granule_dynamics::composite::MultiGranularityConfig;
use granule_io::held::{Held, HeldError};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use crate::parameters::Parameters;
use crate::settings::build;
use crate::{
    CnnConfig, GruConfig, InputShape, LeNetConfig, LstmConfig, MlpConfig, ModelError,
    ModelSettings, Network, RateConfig, Readout, ResNetConfig, SequentialConfig, StateDict,
    WilsonCowanConfig,
};

/// Entries whose settings describe themselves.
macro_rules! built_in {
    ($($settings:ty,)+) => {
        &[$(Entry {
            #[cfg(feature = "schema")]
            schema: <$settings as schemars::JsonSchema>::json_schema,
            ..Entry::of::<$settings>()
        }),+]
    };
}

/// The models that are always there, by the order in which they are listed.
const BUILT_IN: &[Entry] = built_in![
    MlpConfig,
    LeNetConfig,
    CnnConfig,
    ResNetConfig,
    RateConfig,
    GruConfig,
    LstmConfig,
    WilsonCowanConfig,
    SequentialConfig,
    MultiGranularityConfig,
];

/// The models of the program.
static REGISTERED: RwLock<Vec<Entry>> = RwLock::new(Vec::new());

/// Adds a model of the program's own to those that are known by name.
///
/// # Errors
///
/// [`ModelError::KindTaken`] when another type has the name.
pub fn register<S: ModelSettings>() -> Result<(), ModelError> {
    let entry = Entry::of::<S>();
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    let known = BUILT_IN.iter().chain(registered.iter());
    match { known }.find(|known| known.kind == entry.kind) {
        None => registered.push(entry),
        Some(known) if (known.id)() == (entry.id)() => {}
        Some(_) => return Err(ModelError::KindTaken { kind: entry.kind }),
    }
    Ok(())
}

/// A model that is known by name.
#[derive(Clone, Copy)]
struct Entry {
    kind: &'static str,
    id: fn() -> TypeId,
    default: fn() -> ModelConfig,
    read: fn(Held) -> Result<ModelConfig, HeldError>,
    #[cfg(feature = "schema")]
    schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
    #[cfg(feature = "schema")]
    summary: &'static str,
}

impl Entry {
    const fn of<S: ModelSettings>() -> Self {
        Self {
            kind: S::KIND,
            id: TypeId::of::<S>,
            default: || ModelConfig::new(S::default()),
            read: |held| S::deserialize(held).map(ModelConfig::new),
            #[cfg(feature = "schema")]
            schema: S::schema,
            #[cfg(feature = "schema")]
            summary: S::SUMMARY,
        }
    }

    fn all() -> Vec<Self> {
        let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
        BUILT_IN.iter().chain(registered.iter()).copied().collect()
    }

    fn find(kind: &str) -> Option<Self> {
        Self::all().into_iter().find(|entry| entry.kind == kind)
    }
}

/// A model and its settings, of any type; in a configuration file `kind` names the model.
///
/// ```
/// use granule_models::{InputShape, ModelConfig};
///
/// let config = ModelConfig::from_name("cnn")?;
/// let input = InputShape::Image { channels: 3, height: 32, width: 32 };
/// config.validate(&input, 10)?;
/// # Ok::<(), granule_models::ModelError>(())
/// ```
pub struct ModelConfig(Box<dyn AnySettings>);

impl ModelConfig {
    /// The name of models of several levels, which are described by their levels: a name alone says nothing.
    pub const MULTI_GRANULARITY: &'static str = MultiGranularityConfig::KIND;

    /// Takes the settings of any model.
    pub fn new(settings: impl ModelSettings) -> Self {
        Self(Box::new(settings))
    }

    /// The names of the models that need no more than their name, those of the program last.
    pub fn names() -> Vec<&'static str> {
        let kinds = Entry::all().into_iter().map(|entry| entry.kind);
        kinds
            .filter(|kind| *kind != Self::MULTI_GRANULARITY)
            .collect()
    }

    /// Whether there is a model of this name.
    pub(crate) fn is_known(name: &str) -> bool {
        Entry::find(name).is_some()
    }

    /// The model of this name with its default settings.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnknownModel`] lists the names that exist.
    pub fn from_name(name: &str) -> Result<Self, ModelError> {
        match Entry::find(name) {
            Some(entry) => Ok((entry.default)()),
            None => Err(ModelError::UnknownModel {
                name: name.to_owned(),
                known: Self::names().join(", "),
            }),
        }
    }

    /// The settings as their own type, if they are of that type.
    pub fn get<S: ModelSettings>(&self) -> Option<&S> {
        self.0.as_any().downcast_ref()
    }

    /// As [`get`](Self::get), to change.
    pub fn get_mut<S: ModelSettings>(&mut self) -> Option<&mut S> {
        self.0.as_any_mut().downcast_mut()
    }

    /// The model's name.
    pub fn name(&self) -> &'static str {
        self.0.kind()
    }

    /// The name, in [`crate::state`], of the weight that sees the raw input: `[features, units]` for mlp,
    /// `[inputs of a step, units]` for rate, `[inputs of a step, gates and units]` for gru and lstm, `[filters, channels, height, width]` for the others; none for several levels.
    pub fn first_weight(&self) -> Option<String> {
        self.0.first_weight()
    }

    /// The time of one step of a sequence, in ms; none for models that take no sequences.
    pub fn time_step(&self) -> Option<f64> {
        self.0.time_step()
    }

    /// Which steps' outputs count; none for models that give no outputs at every step.
    pub fn readout(&self) -> Option<Readout> {
        self.0.readout()
    }

    /// Checks every setting against its range and against the input.
    ///
    /// # Errors
    ///
    /// [`ModelError::Config`] names the setting, its value and the values allowed.
    pub fn validate(&self, input: &InputShape, outputs: usize) -> Result<(), ModelError> {
        self.0.validate(input, outputs)
    }

    /// Builds the model on a device. Its weights are drawn on the host from `seed` and each parameter's path, so
    /// one seed starts from the same ones on every device. On an autodiff device the model is ready to train.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(
        &self,
        input: &InputShape,
        outputs: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Network, ModelError> {
        self.0
            .build(input, outputs, &mut Parameters::drawn(seed, device))
    }

    /// Builds the model on a device with the weights of `state`, drawing none.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate); [`ModelError::MissingTensor`], [`ModelError::UnexpectedTensor`] and
    /// [`ModelError::TensorShape`] when names or shapes differ in either direction.
    pub fn init_from_state(
        &self,
        input: &InputShape,
        outputs: usize,
        state: &StateDict,
        device: &Device,
    ) -> Result<Network, ModelError> {
        let mut parameters = Parameters::stored(state, device);
        let network = self.0.build(input, outputs, &mut parameters)?;
        parameters.finish()?;
        Ok(network)
    }
}

impl<S: ModelSettings> From<S> for ModelConfig {
    fn from(settings: S) -> Self {
        Self::new(settings)
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self::new(MlpConfig::default())
    }
}

impl Clone for ModelConfig {
    fn clone(&self) -> Self {
        Self(self.0.clone_box())
    }
}

impl PartialEq for ModelConfig {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(&*other.0)
    }
}

impl Debug for ModelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for ModelConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Named<'a> {
            kind: &'a str,
            #[serde(flatten)]
            settings: &'a dyn erased_serde::Serialize,
        }
        Named {
            kind: self.0.kind(),
            settings: self.0.as_serialize(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ModelConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use de::Error;

        let (kind, held) = Held::of_kind(deserializer, "a model", &[])?;
        match Entry::find(&kind) {
            Some(entry) => (entry.read)(held).map_err(D::Error::custom),
            None => {
                let known: Vec<&str> = Entry::all().iter().map(|entry| entry.kind).collect();
                Err(D::Error::custom(HeldError::unknown_kind(&kind, &known)))
            }
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ModelConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ModelConfig".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        use serde_json::{Value, json};

        let models: Vec<Value> = Entry::all()
            .into_iter()
            .map(|entry| {
                let mut schema = (entry.schema)(generator);
                let table = schema.ensure_object();
                table.insert("description".to_owned(), entry.summary.into());
                let properties = table.entry("properties").or_insert_with(|| json!({}));
                if let Value::Object(properties) = properties {
                    let kind = json!({"type": "string", "const": entry.kind});
                    properties.insert("kind".to_owned(), kind);
                }
                let required = table.entry("required").or_insert_with(|| json!([]));
                if let Value::Array(required) = required {
                    required.push("kind".into());
                }
                schema.to_value()
            })
            .collect();
        schemars::json_schema!({
            "description": "A model and its settings; `kind` names the model.",
            "oneOf": models,
        })
    }
}

/// [`ModelSettings`] whose type is not known.
trait AnySettings: Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn as_serialize(&self) -> &dyn erased_serde::Serialize;
    fn clone_box(&self) -> Box<dyn AnySettings>;
    fn equals(&self, other: &dyn AnySettings) -> bool;
    fn kind(&self) -> &'static str;
    fn first_weight(&self) -> Option<String>;
    fn time_step(&self) -> Option<f64>;
    fn readout(&self) -> Option<Readout>;
    fn validate(&self, input: &InputShape, outputs: usize) -> Result<(), ModelError>;
    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        parameters: &mut Parameters<'_>,
    ) -> Result<Network, ModelError>;
}

impl<S: ModelSettings> AnySettings for S {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn as_serialize(&self) -> &dyn erased_serde::Serialize {
        self
    }

    fn clone_box(&self) -> Box<dyn AnySettings> {
        Box::new(self.clone())
    }

    fn equals(&self, other: &dyn AnySettings) -> bool {
        other.as_any().downcast_ref() == Some(self)
    }

    fn kind(&self) -> &'static str {
        S::KIND
    }

    fn first_weight(&self) -> Option<String> {
        ModelSettings::first_weight(self)
    }

    fn time_step(&self) -> Option<f64> {
        ModelSettings::time_step(self)
    }

    fn readout(&self) -> Option<Readout> {
        ModelSettings::readout(self)
    }

    fn validate(&self, input: &InputShape, outputs: usize) -> Result<(), ModelError> {
        ModelSettings::validate(self, input, outputs)
    }

    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        parameters: &mut Parameters<'_>,
    ) -> Result<Network, ModelError> {
        build(self, input, outputs, parameters).map(Network::new)
    }
}
