//! Models step by step are the models over whole samples.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use granule_models::{
    Initialization, InputShape, InputSpec, Intervention, Mode, Model, ModelConfig, ModelError,
    ModelFile, ModelSettings, Outline, Parameters, Predictor, Provenance, Readout, Sample, Step,
    Stepper, Task, register, state,
};
use serde::{Deserialize, Serialize};

use crate::support::{flex, image, noise};

/// A model of settings, with outputs that mean `task`.
fn predictor(settings: serde_json::Value, input: InputSpec, task: Task) -> Predictor {
    let model: ModelConfig = serde_json::from_value(settings).unwrap();
    let network = model.init(&input.shape, task.outputs(), 3, &flex());
    let file = ModelFile {
        state: state::state_dict(&network.unwrap()).unwrap(),
        model,
        input,
        task,
        provenance: Provenance::now(),
    };
    Predictor::from_file(&file, &flex()).unwrap()
}

/// The outputs of every step, one after the other.
fn stepped(stepper: &Stepper, sample: &[f32]) -> Vec<f32> {
    let mut state = stepper.initial().to_vec();
    let mut outputs = vec![0.0; stepper.outputs()];
    let steps = sample.chunks(stepper.inputs());
    let all = steps.flat_map(|input| {
        stepper.step(input, &mut state, &mut outputs).unwrap();
        outputs.clone()
    });
    all.collect()
}

fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let error = (found - expected).abs();
        assert!(
            error < 2e-5 * expected.abs().max(1.0),
            "{what}: {found} {expected}"
        );
    }
}

/// Settings of every kind of recurrent model.
fn kinds() -> Vec<serde_json::Value> {
    let mut all = Vec::new();
    for activation in ["relu", "tanh", "softplus", "sigmoid", "linear"] {
        all.push(serde_json::json!({"kind": "rate", "units": 19, "activation": activation}));
    }
    all.push(
        serde_json::json!({"kind": "rate", "units": 9, "dale_ratio": 0.7,
        "excitatory_output": true, "train_initial_state": true, "time_constant_bounds": [50, 200]}),
    );
    all.push(
        serde_json::json!({"kind": "rate", "units": 9, "private_noise": 0.3,
        "recurrence": {"low_rank": {"rank": 2, "background": 0.4}}}),
    );
    for kind in ["wilson-cowan", "gru", "lstm"] {
        all.push(serde_json::json!({"kind": kind, "units": 13}));
    }
    all
}

#[test]
fn a_sample_step_by_step_gives_what_the_whole_gives() {
    let shape = InputShape::Sequence {
        steps: 12,
        channels: 3,
    };
    let input = InputSpec {
        mean: vec![0.2, -0.1, 0.0],
        std: vec![0.5, 2.0, 1.0],
        ..InputSpec::new(shape)
    };
    let sample = noise(shape.len(), 8);
    for settings in kinds() {
        let what = settings.to_string();
        let every = predictor(settings.clone(), input.clone(), Task::regression(24));
        let found = stepped(&every.stepper().unwrap(), &sample);
        assert_near(
            &found,
            &every.outputs(Sample::Values(&sample)).unwrap(),
            &what,
        );

        // A mean is the answer of no step.
        let mut mean = settings.clone();
        mean["readout"] = serde_json::to_value(Readout::Mean).unwrap();
        let mean = predictor(mean, input.clone(), Task::regression(2));
        let refused = mean.stepper().unwrap_err().to_string();
        assert!(
            refused.contains("readout") && refused.contains("mean"),
            "{what}: {refused}"
        );

        // Of the last step alone, on a scale.
        let mut last = settings;
        last["readout"] = serde_json::to_value(Readout::Last).unwrap();
        let task = Task::Regression {
            outputs: 2,
            mean: vec![10.0, -3.0],
            std: vec![4.0, 0.5],
            link: Default::default(),
            auxiliary: 0,
        };
        let last = predictor(last, input.clone(), task);
        let found = stepped(&last.stepper().unwrap(), &sample);
        let whole = last.outputs(Sample::Values(&sample)).unwrap();
        assert_near(&found[found.len() - 2..], &whole, &what);
    }
}

#[test]
fn an_image_is_taken_row_by_row() {
    let shape = image(2, 6);
    let input = InputSpec {
        mean: vec![0.3, 0.5],
        std: vec![0.2, 0.4],
        ..InputSpec::new(shape)
    };
    let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
    let settings = serde_json::json!({"kind": "gru", "units": 8});
    let predictor = predictor(settings, input, Task::Classification { classes });
    let sample: Vec<f32> = noise(shape.len(), 4).iter().map(|x| x.abs()).collect();
    let rows = (0..6).flat_map(|row| [row * 6, 36 + row * 6]);
    let rows: Vec<f32> = rows.flat_map(|at| sample[at..at + 6].to_vec()).collect();
    let found = stepped(&predictor.stepper().unwrap(), &rows);
    let whole = predictor.outputs(Sample::Values(&sample)).unwrap();
    assert_near(&found[found.len() - 3..], &whole, "gru");
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_the_state() {
    let shape = InputShape::Sequence {
        steps: 4,
        channels: 2,
    };
    let settings = serde_json::json!({"kind": "lstm", "units": 5});
    let model = predictor(settings, InputSpec::new(shape), Task::regression(8));
    let stepper = model.stepper().unwrap();
    assert_eq!(
        (stepper.inputs(), stepper.outputs(), stepper.initial().len()),
        (2, 2, 10)
    );
    let mut state = vec![0.25; 10];
    let mut out = [0.0; 2];
    let refused = stepper.step(&[0.0], &mut state, &mut out).unwrap_err();
    assert!(matches!(refused, ModelError::InputLength { found: 1, .. }));
    let refused = stepper
        .step(&[0.0, f32::NAN], &mut state, &mut out)
        .unwrap_err();
    assert!(matches!(
        refused,
        ModelError::NonFiniteInput { index: 1, .. }
    ));
    for (len, width) in [(9, 2), (10, 3)] {
        let mut state = vec![0.25; len];
        let refused = stepper.step(&[0.0; 2], &mut state, &mut vec![0.0; width]);
        assert!(matches!(refused, Err(ModelError::Config(_))));
    }
    assert_eq!(state, [0.25; 10]);
    state[3] = f32::INFINITY;
    let refused = stepper.step(&[0.0; 2], &mut state, &mut out).unwrap_err();
    assert!(refused.to_string().contains("state"), "{refused}");

    let settings = serde_json::json!({"kind": "mlp"});
    let vector = InputSpec::new(InputShape::Vector { len: 3 });
    let mlp = predictor(settings, vector, Task::regression(2));
    assert!(matches!(mlp.stepper(), Err(ModelError::NotRecurrent)));

    let settings = serde_json::json!({"kind": "gru", "units": 5});
    let mut task = Task::regression(8);
    if let Task::Regression { std, .. } = &mut task {
        *std = (1..9).map(|x| x as f32).collect();
    }
    let uneven = predictor(settings, InputSpec::new(shape), task);
    assert!(matches!(uneven.stepper(), Err(ModelError::Config(_))));
}

#[test]
fn rows_are_inverted_as_images_are() {
    let shape = image(1, 4);
    let settings = serde_json::json!({"kind": "rate", "units": 6});
    let classes = ["a", "b"].map(str::to_owned).to_vec();
    let task = Task::Classification { classes };
    let predictor = predictor(settings, InputSpec::new(shape), task).inverting(true);
    let sample: Vec<f32> = noise(16, 4).iter().map(|x| x.abs()).collect();
    let found = stepped(&predictor.stepper().unwrap(), &sample);
    let whole = predictor.outputs(Sample::Values(&sample)).unwrap();
    assert_near(&found[found.len() - 2..], &whole, "inverted");
}

#[test]
fn steps_that_are_not_those_of_input_and_task_are_refused() {
    let sequence = |channels| InputShape::Sequence { steps: 4, channels };
    let config: ModelConfig = serde_json::from_str(r#"{"kind": "gru", "units": 5}"#).unwrap();
    let network = config.init(&sequence(3), 8, 3, &flex()).unwrap();
    let refused = |input, outputs| {
        let stepper = Stepper::new(&network, &InputSpec::new(input), &Task::regression(outputs));
        stepper
            .map(|stepper| stepper.outputs())
            .map_err(|e| e.to_string())
    };
    assert_eq!(refused(sequence(3), 8), Ok(2));
    assert_eq!(refused(sequence(3), 2), Ok(2));
    let input = refused(sequence(2), 8).unwrap_err();
    assert!(input.contains("steps of 3 values"), "{input}");
    for outputs in [1, 3, 9] {
        let task = refused(sequence(3), outputs).unwrap_err();
        assert!(task.contains("those of a step, 2"), "{task}");
    }
}

#[test]
fn what_is_too_large_on_its_own_scale_is_an_error_and_leaves_the_state() {
    let shape = InputShape::Sequence {
        steps: 1,
        channels: 1,
    };
    let mut task = Task::regression(2);
    if let Task::Regression { mean, .. } = &mut task {
        *mean = vec![1e300; 2];
    }
    let settings = serde_json::json!({"kind": "gru", "units": 5});
    let model = predictor(settings, InputSpec::new(shape), task);
    let whole = model.outputs(Sample::Values(&[0.5]));
    assert!(matches!(whole, Err(ModelError::NonFiniteOutput)));
    let batch = model.outputs_batch(&[Sample::Values(&[0.5])]);
    assert!(matches!(batch, Err(ModelError::NonFiniteOutput)));
    let (mut state, mut out) = (vec![0.25; 5], [7.0; 2]);
    let step = model.stepper().unwrap().step(&[0.5], &mut state, &mut out);
    assert!(matches!(step, Err(ModelError::NonFiniteOutput)));
    assert_eq!((state, out), (vec![0.25; 5], [7.0; 2]));
}

#[test]
fn threads_may_share_what_predicts_and_what_steps() {
    fn shared<T: Send + Sync>() {}
    shared::<Stepper>();
    shared::<Predictor>();
}

/// A model of a user's own: one layer, which counts its steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct CountingConfig {}

#[derive(Module, Debug)]
struct Counting {
    layer: Linear,
}

#[derive(Debug)]
struct CountingStep([f32; 2]);

impl Step for CountingStep {
    fn inputs(&self) -> usize {
        1
    }

    fn outputs(&self) -> usize {
        1
    }

    fn initial(&self) -> &[f32] {
        &[0.0]
    }

    fn step(&self, input: &[f32], state: &mut [f32], outputs: &mut [f32], _: &mut Vec<f32>) {
        state[0] += 1.0;
        outputs[0] = self.0[0] * input[0] + self.0[1];
    }
}

impl Model for Counting {
    fn run(&self, x: Tensor<2>, _: Mode<'_>) -> Result<Tensor<2>, ModelError> {
        Ok(self.layer.forward(x))
    }

    fn outline(&self, outline: &mut Outline<'_>) {
        outline.dense(&self.layer);
    }

    fn step(&self) -> Result<Option<Box<dyn Step>>, ModelError> {
        let bias = self.layer.bias.as_ref().unwrap().val();
        let [weight, bias] = [self.layer.weight.val().into_data(), bias.into_data()]
            .map(|data| data.try_into_vec::<f32>().unwrap()[0]);
        Ok(Some(Box::new(CountingStep([weight, bias]))))
    }
}

impl ModelSettings for CountingConfig {
    type Model = Counting;
    const KIND: &'static str = "counting";
    const SUMMARY: &'static str = "One layer that counts its steps.";

    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        parameters: &mut Parameters<'_>,
    ) -> Result<Counting, ModelError> {
        let layer = parameters.linear("layer", [input.len(), outputs], Initialization::Xavier)?;
        Ok(Counting { layer })
    }
}

#[test]
fn a_model_whose_layers_are_known_can_be_taken_by_steps_as_well() {
    register::<CountingConfig>().unwrap();
    let shape = InputShape::Sequence {
        steps: 1,
        channels: 1,
    };
    let settings = serde_json::json!({"kind": "counting"});
    let model = predictor(settings, InputSpec::new(shape), Task::regression(1));
    let found = stepped(&model.stepper().unwrap(), &[0.5]);
    let whole = model.outputs(Sample::Values(&[0.5])).unwrap();
    assert_near(&found, &whole, "counting");
}

#[test]
fn units_are_told_silenced_pushed_and_cut_apart() {
    let shape = InputShape::Sequence {
        steps: 4,
        channels: 2,
    };
    for settings in kinds() {
        let what = settings.to_string();
        let model = predictor(settings, InputSpec::new(shape), Task::regression(8));
        let mut stepper = model.stepper().unwrap();
        let count = stepper.units().unwrap().count();
        let input = [0.3, -0.2];
        let begin: Vec<f32> = noise(stepper.initial().len(), 9)
            .iter()
            .map(|x| x.abs())
            .collect();
        let step = |stepper: &Stepper, state: &[f32], intervention: Intervention<'_>| {
            let (mut state, mut out) = (state.to_vec(), [0.0; 2]);
            let taken = stepper.step_under(&input, &mut state, &mut out, intervention);
            taken.map(|()| (state, out))
        };
        let plain = step(&stepper, &begin, Intervention::default()).unwrap();

        // Nothing is told of silent units: what they are does not matter, to others and to the outputs.
        let mut silent = vec![false; count];
        silent[0] = true;
        let silenced = Intervention {
            silent: &silent,
            ..Intervention::default()
        };
        let mut other = begin.clone();
        other[0] += 0.5;
        let [a, b] = [&begin, &other].map(|state| step(&stepper, state, silenced).unwrap());
        assert_eq!((&a.0[1..count], a.1), (&b.0[1..count], b.1), "{what}");
        assert_ne!(
            (a.1, &a.0[1..count]),
            (plain.1, &plain.0[1..count]),
            "{what}"
        );

        // A current reaches the unit that it is given to.
        let mut current = vec![0.0; count];
        current[1] = 0.7;
        let pushed = Intervention {
            current: &current,
            ..Intervention::default()
        };
        let pushed = step(&stepper, &begin, pushed).unwrap();
        let differ: Vec<usize> = (0..count).filter(|&i| pushed.0[i] != plain.0[i]).collect();
        assert_eq!(differ, [1], "{what}");
        assert!(pushed.0[1] > plain.0[1], "{what}");

        // Without weights between them units do not hear of each other.
        let all: Vec<usize> = (0..count).collect();
        stepper.cut(&[0], &all[1..]).unwrap();
        let [a, b] = [&begin, &other].map(|state| {
            let (state, _) = step(&stepper, state, Intervention::default()).unwrap();
            state[1..count].to_vec()
        });
        assert_eq!(a, b, "{what}");
        assert!(a != plain.0[1..count], "{what}");

        // Their activity is what readouts are given.
        let mut activity = vec![f32::NAN; count];
        stepper.units().unwrap().activity(&begin, &mut activity);
        assert!(activity.iter().all(|x| x.is_finite()), "{what}");

        assert!(stepper.cut(&[count], &[0]).is_err());
        let short = Intervention {
            silent: &silent[1..],
            ..Intervention::default()
        };
        assert!(
            matches!(step(&stepper, &begin, short), Err(ModelError::Config(_))),
            "{what}"
        );
    }
    let dale = serde_json::json!({"kind": "rate", "units": 9, "dale_ratio": 0.7});
    let model = predictor(dale, InputSpec::new(shape), Task::regression(8));
    let populations = model.stepper().unwrap().units().unwrap().populations();
    assert_eq!(populations[0], ("excitatory", (0..6).collect()));
    assert_eq!(populations[1], ("inhibitory", (6..9).collect()));
}
