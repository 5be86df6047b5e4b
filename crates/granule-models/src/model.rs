//! What a module must be to be trained, scored, saved and embedded with granule.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Debug};

use burn::module::{
    Content, Devices, Flag, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper,
    ModuleVisitor, Param, ParamId,
};
use burn::tensor::{Bool, Device, Int, Tensor};
use granule_ops::Factors;

use crate::{InputShape, ModelError, NoiseStream, Outline, Step, state};

/// A Burn module that granule trains, scores, saves and embeds. [`ModelSettings`](crate::ModelSettings) build it.
///
/// What a model adds to its own training loss, as the divergence of a latent from its prior, [`run`](Self::run) says by
/// [`Mode::penalize`]. Parameters have at most eight dimensions.
pub trait Model: Module + Sync + 'static {
    /// `[batch, features]` → logits or values `[batch, outputs]`. Images are flattened channel, row, column; the features of
    /// a sequence are those of the first step, then of the next.
    ///
    /// # Errors
    ///
    /// [`ModelError`] where the model cannot be run, as a system of equations that diverges.
    fn run(&self, x: Tensor<2>, mode: Mode<'_>) -> Result<Tensor<2>, ModelError>;

    /// Inference: no dropout, no network noise, and batch norm with its running statistics, on any device. A model is run by
    /// [`run`](Self::run) alone; this and [`forward_train`](Self::forward_train) are for callers, and not to be overridden.
    ///
    /// Burn keeps the running statistics that another thread's training steps brought about apart until the module
    /// is asked for them: take [`Module::valid`] of a network that was trained on another thread before using it here.
    /// [`crate::state::state_dict`] does so itself.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run).
    fn forward(&self, x: Tensor<2>) -> Result<Tensor<2>, ModelError> {
        self.run(x, Mode::Inference)
    }

    /// Training: with dropout and network noise drawn from `dropout`. On an autodiff device batch norm uses the batch's
    /// statistics and updates its running ones. What the model adds to the loss waits in `dropout` for
    /// [`penalized`](NoiseStream::penalized).
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run), and [`ModelError::NoBf16`] where `dropout` asks for factors in bfloat16 and the model does not
    /// [have them](Self::has_bf16).
    fn forward_train(
        &self,
        x: Tensor<2>,
        dropout: &mut NoiseStream,
    ) -> Result<Tensor<2>, ModelError> {
        if dropout.factors() == Factors::Bf16 && !self.has_bf16() {
            return Err(ModelError::NoBf16);
        }
        self.run(x, Mode::Training(dropout))
    }

    /// The shape that every layer that [notes](Mode::note) it gives for one sample of `input`, without the batch:
    /// `[channels, height, width]` of a convolution, `[steps, units]` of a rate network, `[instants, columns]` of several
    /// levels. Layers stand in the order in which they run, under their paths in [`crate::state`].
    ///
    /// One sample of zeros is run; several levels, whose runs may be long, are asked instead.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run).
    fn layer_shapes(&self, input: &InputShape) -> Result<Vec<(String, Vec<usize>)>, ModelError> {
        let Some(device) = self.devices().into_iter().next() else {
            return Ok(Vec::new());
        };
        let trace = Trace::default();
        let zeros = Tensor::zeros([1, input.len()], &device);
        self.run(zeros, Mode::Tracing(&trace))?;
        let layers: BTreeMap<_, _> = state::parameter_ids(self)
            .into_iter()
            .map(|(path, id)| (id, state::layer_of(&path).0.to_owned()))
            .collect();
        let named = trace.0.into_inner().into_iter();
        Ok(named
            .filter_map(|(id, shape)| Some((layers.get(&id)?.clone(), shape.get(1..)?.to_vec())))
            .collect())
    }

    /// Says the layers that [`run`](Self::run) runs at inference, where all are of those that an [`Outline`] knows: inference on
    /// the CPU is then several times as fast. Default [`Outline::other`]: the model is run as it is.
    fn outline(&self, outline: &mut Outline<'_>) {
        outline.other();
    }

    /// What takes one step of the model, where it is a network with a state that goes through the steps of a sequence, or the
    /// rows of an image: a [`Stepper`](crate::Stepper) is made of it. Default none.
    ///
    /// # Errors
    ///
    /// [`ModelError::Config`] where what the model gives is not the answer of a step, as a mean over steps;
    /// [`ModelError::Device`] where weights cannot be read.
    fn step(&self) -> Result<Option<Box<dyn Step>>, ModelError> {
        Ok(None)
    }

    /// Whether all products of weights that [`run`](Self::run) computes are from the factors that [`Mode::factors`] asks for, by
    /// [`granule_ops::linear_with`] and [`granule_ops::conv2d_with`]: only then can it be trained in bfloat16. Default false.
    fn has_bf16(&self) -> bool {
        false
    }

    /// The number of parameters that no training changes. Default 0.
    fn fixed_count(&self) -> usize {
        0
    }

    /// The number of trainable values: all but batch norm's running statistics and what is [fixed](Self::fixed_count). Several
    /// levels know what is trainable on a device with autodiff alone; 0 elsewhere.
    fn parameter_count(&self) -> usize {
        let mut counter = Counter::default();
        self.visit(&mut counter);
        counter.count.saturating_sub(self.fixed_count())
    }
}

/// Inference, training with what it draws, or inference that notes what each layer gives.
#[derive(Debug)]
pub enum Mode<'a> {
    /// No dropout, no noise.
    Inference,
    /// Dropout masks and noise from this stream.
    Training(&'a mut NoiseStream),
    /// As in inference; what layers [note](Mode::note) goes here.
    Tracing(&'a Trace),
}

/// The shapes that layers gave, in the order in which they ran; each under a parameter of its layer.
#[derive(Debug, Default)]
pub struct Trace(RefCell<Vec<(ParamId, Vec<usize>)>>);

impl Mode<'_> {
    /// The same mode for a part of the model, after which it can be used again.
    pub fn reborrow(&mut self) -> Mode<'_> {
        match self {
            Self::Inference => Mode::Inference,
            Self::Training(stream) => Mode::Training(stream),
            Self::Tracing(trace) => Mode::Tracing(trace),
        }
    }

    /// What products of weights are computed from: in training what its stream [says](NoiseStream::factors), else as they are.
    pub fn factors(&self) -> Factors {
        match self {
            Self::Inference | Self::Tracing(_) => Factors::Full,
            Self::Training(stream) => stream.factors(),
        }
    }

    /// Drops elements in training: [`NoiseStream::apply`].
    pub fn dropout<const D: usize>(&mut self, x: Tensor<D>, probability: f64) -> Tensor<D> {
        match self {
            Self::Inference | Self::Tracing(_) => x,
            Self::Training(stream) => stream.apply(x, probability),
        }
    }

    /// Adds standard normal numbers times `scale`, of the shape of `x`, in training: [`NoiseStream::normal`].
    pub fn add_noise<const D: usize>(&mut self, x: Tensor<D>, scale: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Inference | Self::Tracing(_) => x,
            Self::Training(stream) => {
                let noise = stream.normal(&x);
                x.add(scale.mul(noise))
            }
        }
    }

    /// Adds what `penalty` gives, `[1]`, to the training loss of the batch, which is a mean over samples, outputs and
    /// what counts of them. Any part of a model may, and several add up; its gradient goes where that of the outputs goes.
    /// Outside of training nothing is computed: losses and scores of validation and test are without it. Where a step
    /// gathers several batches, a batch's penalty counts as its loss does: by its samples, or the weights of their classes.
    ///
    /// It may depend on the weights, the inputs and what was drawn from the mode, and on nothing else, so that a resumed run
    /// repeats it.
    pub fn penalize(&mut self, penalty: impl FnOnce() -> Tensor<1>) {
        if let Self::Training(stream) = self {
            stream.penalize(penalty());
        }
    }

    /// Notes what the layer with this parameter gave, batch first, for [`Model::layer_shapes`].
    pub fn note<const P: usize, const D: usize>(
        &self,
        parameter: &Param<Tensor<P>>,
        x: &Tensor<D>,
    ) {
        if let Self::Tracing(trace) = self {
            let entry = (parameter.id, x.dims().to_vec());
            trace.0.borrow_mut().push(entry);
        }
    }
}

#[derive(Default)]
struct Counter {
    running: bool,
    count: usize,
}

impl ModuleVisitor for Counter {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.running = state::is_running_statistic(name);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.running {
            self.count += param.lazy_shape().num_elements();
        }
    }
}

/// Any model behind one type; built by [`ModelConfig::init`](crate::ModelConfig::init).
///
/// As with every Burn module, clones share batch norm's running statistics: take a [`crate::StateDict`] to keep a copy.
#[derive(Debug)]
pub struct Network {
    model: Box<dyn AnyModel>,
    /// How many outputs are given but in training, where all are.
    answers: Option<usize>,
}

impl Network {
    /// Takes any model.
    pub fn new(model: impl Model) -> Self {
        Self {
            model: Box::new(model),
            answers: None,
        }
    }

    /// The same network, that gives the first `outputs` alone but in training: the others are learnt beside them.
    #[must_use]
    pub fn answering(self, outputs: usize) -> Self {
        Self {
            answers: Some(outputs),
            ..self
        }
    }

    /// The model as its own type, if it is of that type.
    pub fn get<M: Model>(&self) -> Option<&M> {
        self.model.as_any().downcast_ref()
    }

    fn with(&self, model: Box<dyn AnyModel>) -> Self {
        Self {
            model,
            answers: self.answers,
        }
    }
}

impl Model for Network {
    fn run(&self, x: Tensor<2>, mode: Mode<'_>) -> Result<Tensor<2>, ModelError> {
        let all = matches!(mode, Mode::Training(_));
        let outputs = self.model.run(x, mode)?;
        Ok(match self.answers {
            Some(answers) if !all && answers < outputs.dims()[1] => outputs.narrow(1, 0, answers),
            _ => outputs,
        })
    }

    fn layer_shapes(&self, input: &InputShape) -> Result<Vec<(String, Vec<usize>)>, ModelError> {
        self.model.layer_shapes(input)
    }

    fn outline(&self, outline: &mut Outline<'_>) {
        self.model.outline(outline);
        if let Some(answers) = self.answers {
            outline.answering(answers);
        }
    }

    fn step(&self) -> Result<Option<Box<dyn Step>>, ModelError> {
        self.model.step()
    }

    fn has_bf16(&self) -> bool {
        self.model.has_bf16()
    }

    fn parameter_count(&self) -> usize {
        self.model.parameter_count()
    }
}

impl Clone for Network {
    fn clone(&self) -> Self {
        self.with(self.model.clone_box())
    }
}

impl ModuleDisplayDefault for Network {
    fn content(&self, content: Content) -> Option<Content> {
        content
            .set_top_level_type(self.model.type_name())
            .add("parameters", &self.model.parameter_count())
            .optional()
    }

    fn num_params(&self) -> usize {
        Module::num_params(self)
    }
}

impl ModuleDisplay for Network {}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ModuleDisplay::format(self, Default::default()))
    }
}

impl Module for Network {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.model.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        Self {
            model: self.model.fork(device),
            ..self
        }
    }

    fn to_device(self, device: &Device) -> Self {
        Self {
            model: self.model.to_device(device),
            ..self
        }
    }

    fn train(self) -> Self {
        Self {
            model: self.model.train(),
            ..self
        }
    }

    fn valid(&self) -> Self {
        self.with(self.model.valid())
    }

    fn materialize(self) -> Self {
        Self {
            model: self.model.materialize(),
            ..self
        }
    }

    fn visit<Visitor: ModuleVisitor>(&self, visitor: &mut Visitor) {
        self.model.visit(visitor);
    }

    fn map<Mapper: ModuleMapper>(self, mapper: &mut Mapper) -> Self {
        Self {
            model: self.model.map(mapper),
            ..self
        }
    }
}

/// A [`Model`] whose type is not known: Burn's `Module` and its visitors are generic, this passes their parameters as
/// [`Any`] from one side to the other.
trait AnyModel: Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    /// The last name of the type's path.
    fn type_name(&self) -> &'static str;
    fn clone_box(&self) -> Box<dyn AnyModel>;
    fn run(&self, x: Tensor<2>, mode: Mode<'_>) -> Result<Tensor<2>, ModelError>;
    fn layer_shapes(&self, input: &InputShape) -> Result<Vec<(String, Vec<usize>)>, ModelError>;
    fn outline(&self, outline: &mut Outline<'_>);
    fn step(&self) -> Result<Option<Box<dyn Step>>, ModelError>;
    fn has_bf16(&self) -> bool;
    fn parameter_count(&self) -> usize;
    fn collect_devices(&self, devices: Devices) -> Devices;
    fn fork(self: Box<Self>, device: &Device) -> Box<dyn AnyModel>;
    fn to_device(self: Box<Self>, device: &Device) -> Box<dyn AnyModel>;
    fn train(self: Box<Self>) -> Box<dyn AnyModel>;
    fn valid(&self) -> Box<dyn AnyModel>;
    fn materialize(self: Box<Self>) -> Box<dyn AnyModel>;
    fn visit(&self, visitor: &mut dyn AnyVisitor);
    fn map(self: Box<Self>, mapper: &mut dyn AnyMapper) -> Box<dyn AnyModel>;
}

impl<M: Model> AnyModel for M {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn type_name(&self) -> &'static str {
        let path = std::any::type_name::<M>();
        path.rsplit("::").next().unwrap_or(path)
    }

    fn clone_box(&self) -> Box<dyn AnyModel> {
        Box::new(self.clone())
    }

    fn run(&self, x: Tensor<2>, mode: Mode<'_>) -> Result<Tensor<2>, ModelError> {
        Model::run(self, x, mode)
    }

    fn layer_shapes(&self, input: &InputShape) -> Result<Vec<(String, Vec<usize>)>, ModelError> {
        Model::layer_shapes(self, input)
    }

    fn outline(&self, outline: &mut Outline<'_>) {
        Model::outline(self, outline);
    }

    fn step(&self) -> Result<Option<Box<dyn Step>>, ModelError> {
        Model::step(self)
    }

    fn has_bf16(&self) -> bool {
        Model::has_bf16(self)
    }

    fn parameter_count(&self) -> usize {
        Model::parameter_count(self)
    }

    fn collect_devices(&self, devices: Devices) -> Devices {
        Module::collect_devices(self, devices)
    }

    fn fork(self: Box<Self>, device: &Device) -> Box<dyn AnyModel> {
        Box::new(Module::fork(*self, device))
    }

    fn to_device(self: Box<Self>, device: &Device) -> Box<dyn AnyModel> {
        Box::new(Module::to_device(*self, device))
    }

    fn train(self: Box<Self>) -> Box<dyn AnyModel> {
        Box::new(Module::train(*self))
    }

    fn valid(&self) -> Box<dyn AnyModel> {
        Box::new(Module::valid(self))
    }

    fn materialize(self: Box<Self>) -> Box<dyn AnyModel> {
        Box::new(Module::materialize(*self))
    }

    fn visit(&self, visitor: &mut dyn AnyVisitor) {
        Module::visit(self, &mut Outward(visitor));
    }

    fn map(self: Box<Self>, mapper: &mut dyn AnyMapper) -> Box<dyn AnyModel> {
        Box::new(Module::map(*self, &mut Outward(mapper)))
    }
}

/// The most dimensions of a parameter.
const RANKS: usize = 8;

/// Runs an expression with a rank as a constant, for every rank.
macro_rules! for_each_rank {
    ($rank:ident => $body:block) => {
        for_each_rank!(@ $rank $body 1 2 3 4 5 6 7 8)
    };
    (@ $rank:ident $body:block $($n:literal)*) => {$({
        const $rank: usize = $n;
        $body
    })*};
}

/// A visitor whose type is not known: parameters are `Param<Tensor<D, _>>` for some D.
trait AnyVisitor {
    fn enter(&mut self, name: &str, container: &str);
    fn exit(&mut self, name: &str, container: &str);
    fn float(&mut self, param: &dyn Any);
    fn int(&mut self, param: &dyn Any);
    fn bool(&mut self, param: &dyn Any);
    fn flag(&mut self, flag: &Param<Flag>);
}

impl<V: ModuleVisitor> AnyVisitor for V {
    fn enter(&mut self, name: &str, container: &str) {
        self.enter_module(name, container);
    }

    fn exit(&mut self, name: &str, container: &str) {
        self.exit_module(name, container);
    }

    fn float(&mut self, param: &dyn Any) {
        for_each_rank!(D => {
            if let Some(param) = param.downcast_ref::<Param<Tensor<D>>>() {
                self.visit_float(param);
            }
        });
    }

    fn int(&mut self, param: &dyn Any) {
        for_each_rank!(D => {
            if let Some(param) = param.downcast_ref::<Param<Tensor<D, Int>>>() {
                self.visit_int(param);
            }
        });
    }

    fn bool(&mut self, param: &dyn Any) {
        for_each_rank!(D => {
            if let Some(param) = param.downcast_ref::<Param<Tensor<D, Bool>>>() {
                self.visit_bool(param);
            }
        });
    }

    fn flag(&mut self, flag: &Param<Flag>) {
        self.visit_flag(flag);
    }
}

/// A mapper whose type is not known: parameters are `Option<Param<Tensor<D, _>>>` for some D, taken and put back.
trait AnyMapper {
    fn enter(&mut self, name: &str, container: &str);
    fn exit(&mut self, name: &str, container: &str);
    fn float(&mut self, param: &mut dyn Any);
    fn int(&mut self, param: &mut dyn Any);
    fn bool(&mut self, param: &mut dyn Any);
    fn flag(&mut self, flag: Param<Flag>) -> Param<Flag>;
}

impl<M: ModuleMapper> AnyMapper for M {
    fn enter(&mut self, name: &str, container: &str) {
        self.enter_module(name, container);
    }

    fn exit(&mut self, name: &str, container: &str) {
        self.exit_module(name, container);
    }

    fn float(&mut self, param: &mut dyn Any) {
        for_each_rank!(D => {
            if let Some(slot) = param.downcast_mut::<Option<Param<Tensor<D>>>>() {
                *slot = slot.take().map(|param| self.map_float(param));
            }
        });
    }

    fn int(&mut self, param: &mut dyn Any) {
        for_each_rank!(D => {
            if let Some(slot) = param.downcast_mut::<Option<Param<Tensor<D, Int>>>>() {
                *slot = slot.take().map(|param| self.map_int(param));
            }
        });
    }

    fn bool(&mut self, param: &mut dyn Any) {
        for_each_rank!(D => {
            if let Some(slot) = param.downcast_mut::<Option<Param<Tensor<D, Bool>>>>() {
                *slot = slot.take().map(|param| self.map_bool(param));
            }
        });
    }

    fn flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        self.map_flag(flag)
    }
}

/// The generic side of a visitor or mapper whose type is not known.
struct Outward<'a, T: ?Sized>(&'a mut T);

impl ModuleVisitor for Outward<'_, dyn AnyVisitor + '_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        const { assert!(D <= RANKS, "a parameter has at most eight dimensions") };
        self.0.float(param);
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        const { assert!(D <= RANKS, "a parameter has at most eight dimensions") };
        self.0.int(param);
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        const { assert!(D <= RANKS, "a parameter has at most eight dimensions") };
        self.0.bool(param);
    }

    fn visit_flag(&mut self, flag: &Param<Flag>) {
        self.0.flag(flag);
    }

    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.0.enter(name, container_type);
    }

    fn exit_module(&mut self, name: &str, container_type: &str) {
        self.0.exit(name, container_type);
    }
}

/// Maps a parameter through a slot that the other side takes it from and puts it back into.
fn through<T: Clone + 'static>(param: T, map: impl FnOnce(&mut dyn Any)) -> T {
    let mut slot = Some(param);
    map(&mut slot);
    match slot {
        Some(param) => param,
        None => unreachable!("a mapper gives back what it takes"),
    }
}

impl ModuleMapper for Outward<'_, dyn AnyMapper + '_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        const { assert!(D <= RANKS, "a parameter has at most eight dimensions") };
        through(param, |slot| self.0.float(slot))
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        const { assert!(D <= RANKS, "a parameter has at most eight dimensions") };
        through(param, |slot| self.0.int(slot))
    }

    fn map_bool<const D: usize>(
        &mut self,
        param: Param<Tensor<D, Bool>>,
    ) -> Param<Tensor<D, Bool>> {
        const { assert!(D <= RANKS, "a parameter has at most eight dimensions") };
        through(param, |slot| self.0.bool(slot))
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        self.0.flag(flag)
    }

    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.0.enter(name, container_type);
    }

    fn exit_module(&mut self, name: &str, container_type: &str) {
        self.0.exit(name, container_type);
    }
}
