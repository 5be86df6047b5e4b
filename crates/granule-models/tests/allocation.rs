//! A loaded model answers without asking for memory. The allocator counts for the whole process: a file of its own.
#![allow(missing_docs, unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use granule_device::DeviceSpec;
use granule_models::{
    Classifier, InputShape, InputSpec, ModelConfig, ModelFile, Predictor, Provenance, Sample, Task,
    state,
};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller says.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller says.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn image(channels: usize, side: usize) -> InputShape {
    InputShape::Image {
        channels,
        height: side,
        width: side,
    }
}

#[test]
fn predict_into_asks_for_no_memory_after_the_first_call() {
    #[cfg(target_arch = "x86_64")]
    if !is_x86_feature_detected!("avx2") {
        eprintln!("skipped: for processors with AVX2");
        return;
    }
    let cnn =
        serde_json::json!({"kind": "cnn", "channels": [16, 20], "hidden": 30, "batch_norm": true});
    let cnn: ModelConfig = serde_json::from_value(cnn).unwrap();
    for device in ["flex", "ndarray"] {
        let device = device.parse::<DeviceSpec>().unwrap().open().unwrap();
        for (model, shape) in [
            (ModelConfig::from_name("mlp").unwrap(), image(1, 28)),
            (
                ModelConfig::from_name("mlp").unwrap(),
                InputShape::Vector { len: 40 },
            ),
            (ModelConfig::from_name("lenet").unwrap(), image(1, 32)),
            (cnn.clone(), image(3, 16)),
        ] {
            let network = model.init(&shape, 5, 1, device.burn()).unwrap();
            let file = ModelFile {
                state: state::state_dict(&network).unwrap(),
                model,
                input: InputSpec {
                    mean: vec![0.4; shape.step_len()],
                    std: vec![0.2; shape.step_len()],
                    ..InputSpec::new(shape)
                },
                task: Task::Classification {
                    classes: ('a'..='e').map(String::from).collect(),
                },
                provenance: Provenance::now(),
            };
            let classifier = Classifier::from_file(&file, device.burn()).unwrap();
            let pixels: Vec<u8> = (0..shape.len()).map(|i| (i * 7) as u8).collect();
            let values: Vec<f32> = pixels.iter().map(|&x| f32::from(x) / 255.0).collect();
            let doubles: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
            let samples = [
                Sample::Pixels(&pixels),
                Sample::Values(&values),
                Sample::Doubles(&doubles),
            ];
            let mut out = [0.0; 5];
            classifier.predict_into(samples[0], &mut out).unwrap();
            let before = COUNT.get();
            for sample in samples.into_iter().cycle().take(30) {
                classifier.predict_into(sample, &mut out).unwrap();
            }
            assert_eq!(COUNT.get() - before, 0, "{shape:?} of {:?}", file.model);
            let (name, probability) = classifier.predict(samples[2]).unwrap().classes[0].clone();
            let place = classifier.classes().iter().position(|class| *class == name);
            assert_eq!(out[place.unwrap()], probability);
            assert!((out.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn a_stepper_asks_for_no_memory_after_the_first_step() {
    let device = "flex".parse::<DeviceSpec>().unwrap().open().unwrap();
    let shape = InputShape::Sequence {
        steps: 20,
        channels: 3,
    };
    for kind in ["rate", "wilson-cowan", "gru", "lstm"] {
        let model = ModelConfig::from_name(kind).unwrap();
        let network = model.init(&shape, 40, 1, device.burn()).unwrap();
        let file = ModelFile {
            state: state::state_dict(&network).unwrap(),
            model,
            input: InputSpec {
                mean: vec![0.1; 3],
                std: vec![0.5; 3],
                ..InputSpec::new(shape)
            },
            task: Task::regression(40),
            provenance: Provenance::now(),
        };
        let predictor = Predictor::from_file(&file, device.burn()).unwrap();
        let stepper = predictor.stepper().unwrap();
        let mut state = stepper.initial().to_vec();
        let mut out = vec![0.0; stepper.outputs()];
        stepper.step(&[0.3; 3], &mut state, &mut out).unwrap();
        let before = COUNT.get();
        for _ in 0..100 {
            stepper.step(&[0.3; 3], &mut state, &mut out).unwrap();
        }
        assert_eq!(COUNT.get() - before, 0, "{kind}");
    }
}
