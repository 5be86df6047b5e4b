//! All weights of a module by name, on the host.

use std::collections::BTreeMap;

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::{ModelError, TensorView};

/// One tensor on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorValue {
    /// The dimensions.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub data: Vec<f32>,
}

/// Every float tensor of a module, trainable or running statistic, under its path (`layers.0.weight`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateDict(pub BTreeMap<String, TensorValue>);

impl StateDict {
    /// The tensors, borrowed.
    pub fn views(&self) -> BTreeMap<String, TensorView<'_>> {
        let views = self.0.iter();
        views
            .map(|(name, value)| (name.clone(), value.into()))
            .collect()
    }

    /// Checks that every value is finite.
    ///
    /// # Errors
    ///
    /// [`ModelError::NonFiniteTensor`] names the first tensor with NaN or infinity.
    pub fn check_finite(&self) -> Result<(), ModelError> {
        for (name, value) in &self.0 {
            if let Some(index) = value.data.iter().position(|x| !x.is_finite()) {
                return Err(ModelError::NonFiniteTensor {
                    name: name.clone(),
                    index,
                });
            }
        }
        Ok(())
    }

    /// The data of a tensor that must have this shape.
    pub(crate) fn get(&self, name: &str, shape: &[usize]) -> Result<&[f32], ModelError> {
        let value = self.0.get(name).ok_or_else(|| ModelError::MissingTensor {
            name: name.to_owned(),
        })?;
        let len = shape
            .iter()
            .try_fold(1_usize, |len, dim| len.checked_mul(*dim));
        if value.shape != shape || len != Some(value.data.len()) {
            return Err(ModelError::TensorShape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: value.shape.clone(),
            });
        }
        Ok(&value.data)
    }
}

/// Reads every float tensor of a module, batch norm's running statistics included, brought up to date.
///
/// # Errors
///
/// [`ModelError::Device`] when the device cannot be read.
pub fn state_dict<M: Module>(module: &M) -> Result<StateDict, ModelError> {
    let mut reader = Reader::default();
    // `valid` merges the running statistics that each thread holds back.
    module.valid().visit(&mut reader);
    match reader.error {
        Some(error) => Err(error),
        None => Ok(reader.state),
    }
}

/// Replaces every float tensor of a module, so that training continues exactly as from the module that was read.
///
/// Parameter ids, devices, gradient tracking and training flags stay as they are in `module`.
///
/// # Errors
///
/// [`ModelError::MissingTensor`], [`ModelError::UnexpectedTensor`] and [`ModelError::TensorShape`] when names or shapes
/// differ in either direction.
pub fn load_state_dict<M: Module>(module: M, state: &StateDict) -> Result<M, ModelError> {
    let mut layout = Layout::default();
    module.visit(&mut layout);
    for (name, slot) in &layout.slots {
        state.get(name, &slot.shape)?;
    }
    if let Some(name) = state
        .0
        .keys()
        .find(|name| !layout.slots.contains_key(*name))
    {
        return Err(ModelError::UnexpectedTensor { name: name.clone() });
    }
    Ok(load_some(module, state))
}

/// Replaces the float tensors that both have, of the same shapes.
pub(crate) fn load_some<M: Module>(module: M, state: &StateDict) -> M {
    let mut layout = Layout::default();
    module.visit(&mut layout);
    // Clones of a module share their running statistics; `valid` gives this one its own.
    let module = module.valid();
    let mut writer = Writer {
        path: Path::default(),
        slots: layout.slots,
        flags: layout.flags,
        state,
    };
    module.map(&mut writer)
}

/// A tensor that a module and a state do not have alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The parameter's path.
    pub name: String,
    /// The shape in the module, if it has the tensor.
    pub expected: Option<Vec<usize>>,
    /// The shape in the state, if it has the tensor.
    pub found: Option<Vec<usize>>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = &self.name;
        match (&self.expected, &self.found) {
            (Some(expected), Some(found)) => {
                write!(f, "{name} has shape {found:?}, not {expected:?}")
            }
            (Some(expected), None) => write!(f, "{name} {expected:?} is missing"),
            (None, Some(found)) => write!(f, "{name} {found:?} is not of this model"),
            (None, None) => f.write_str(name),
        }
    }
}

/// Every tensor that is missing in a state, is superfluous or has another shape than the module's, by name.
pub fn mismatches<M: Module>(module: &M, state: &StateDict) -> Vec<Mismatch> {
    let mut layout = Layout::default();
    module.visit(&mut layout);
    let names = layout.slots.keys().chain(state.0.keys());
    let names: std::collections::BTreeSet<&String> = names.collect();
    names
        .into_iter()
        .map(|name| Mismatch {
            name: name.clone(),
            expected: layout.slots.get(name).map(|slot| slot.shape.clone()),
            found: state.0.get(name).map(|value| value.shape.clone()),
        })
        .filter(|mismatch| mismatch.expected != mismatch.found)
        .collect()
}

/// A float tensor of a module, and what it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The dimensions.
    pub shape: Vec<usize>,
    /// The fields on the way to it from the outermost on, each with the type that has it: `("fc1", "Struct:LeNet")`,
    /// `("weight", "Struct:Linear")`.
    pub fields: Vec<(String, String)>,
}

/// Every float tensor of a module by its path, with the types of the modules that it stands in.
pub fn located<M: Module>(module: &M) -> BTreeMap<String, Located> {
    let mut layout = Layout::default();
    module.visit(&mut layout);
    let slots = layout.slots.into_iter();
    let located = slots.map(|(name, Slot { shape, fields, .. })| (name, Located { shape, fields }));
    located.collect()
}

/// The id of every float parameter by its path: what connects an optimiser's state to names that outlive the process.
pub fn parameter_ids<M: Module>(module: &M) -> BTreeMap<String, ParamId> {
    let mut layout = Layout::default();
    module.visit(&mut layout);
    let ids = layout.slots.into_iter().map(|(name, slot)| (name, slot.id));
    ids.collect()
}

/// The path of the layer that a tensor belongs to, and the tensor's name in it: `fc1` and `weight` of `fc1.weight`.
pub fn layer_of(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

/// Whether a path names a running statistic, which no optimiser touches.
pub fn is_running_statistic(name: &str) -> bool {
    name.ends_with("running_mean") || name.ends_with("running_var")
}

/// The dotted path during a traversal. An enum's variant is not part of it, so that a model has the same names by itself
/// and inside [`crate::Network`].
#[derive(Default)]
struct Path(Vec<Option<(String, String)>>);

impl Path {
    fn enter(&mut self, name: &str, container: &str) {
        let variant = container.starts_with("Enum:");
        let field = || (name.to_owned(), container.to_owned());
        self.0.push((!variant).then(field));
    }

    fn exit(&mut self) {
        self.0.pop();
    }

    fn name(&self) -> String {
        let fields = self.0.iter().flatten();
        let parts: Vec<&str> = fields.map(|(name, _)| name.as_str()).collect();
        parts.join(".")
    }

    fn fields(&self) -> Vec<(String, String)> {
        self.0.iter().flatten().cloned().collect()
    }
}

#[derive(Default)]
struct Reader {
    path: Path,
    state: StateDict,
    error: Option<ModelError>,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        match tensor.try_into_vec_as::<f32>().map_err(ModelError::device) {
            Ok(data) => {
                let value = TensorValue { shape, data };
                self.state.0.insert(self.path.name(), value);
            }
            Err(error) => self.error = self.error.take().or(Some(error)),
        }
    }
}

struct Slot {
    id: ParamId,
    fields: Vec<(String, String)>,
    shape: Vec<usize>,
    device: Device,
    dtype: DType,
    require_grad: bool,
}

#[derive(Default)]
struct Layout {
    path: Path,
    slots: BTreeMap<String, Slot>,
    flags: BTreeMap<String, bool>,
}

impl ModuleVisitor for Layout {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let slot = Slot {
            id: param.id,
            fields: self.path.fields(),
            shape: param.lazy_shape().to_vec(),
            device: param.lazy_device(),
            dtype: param.dtype(),
            require_grad: param.is_require_grad(),
        };
        self.slots.insert(self.path.name(), slot);
    }

    fn visit_flag(&mut self, flag: &Param<Flag>) {
        self.flags.insert(self.path.name(), flag.val().is_enabled());
    }
}

struct Writer<'a> {
    path: Path,
    slots: BTreeMap<String, Slot>,
    flags: BTreeMap<String, bool>,
    state: &'a StateDict,
}

impl ModuleMapper for Writer<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let (Some(slot), Some(value)) = (self.slots.get(&name), self.state.0.get(&name)) else {
            return param;
        };
        let data = TensorData::new(value.data.clone(), value.shape.clone());
        let tensor = Tensor::from_data(data, (&slot.device, slot.dtype));
        let tensor = if slot.require_grad {
            tensor.require_grad()
        } else {
            tensor
        };
        param.map(|_| tensor)
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        match self.flags.get(&self.path.name()) {
            Some(true) => flag.with_value(true),
            _ => flag,
        }
    }
}
