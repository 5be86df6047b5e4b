//! A recurrent model in a control loop: sensors in, actuators out, one step a period.

use std::time::{Duration, Instant};

use granule::device::DeviceSpec;
use granule::models::{InputShape, InputSpec, ModelConfig, RateConfig, Stepper, Task};

/// How long before a step's time the loop stops to sleep and watches the clock: sleeps end late.
const WATCH: Duration = Duration::from_micros(200);

/// What is moved: a cursor that follows its target where the model pushes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plant {
    time: f32,
    position: f32,
    velocity: f32,
}

impl Plant {
    /// Fills in what the model sees: where the cursor is, how fast, and where it should be, again and again.
    fn sense(&self, sensors: &mut [f32]) {
        let seen = [self.position, self.velocity, (0.5 * self.time).sin()];
        for (sensor, seen) in sensors.iter_mut().zip(seen.into_iter().cycle()) {
            *sensor = seen;
        }
    }

    /// Moves on by `dt` seconds under a push.
    fn act(&mut self, push: f32, dt: f32) {
        self.velocity += dt * (push.clamp(-10.0, 10.0) - self.velocity);
        self.position += dt * self.velocity;
        self.time += dt;
    }
}

/// A model, its state and what it moves.
#[derive(Debug)]
pub struct ControlLoop {
    stepper: Stepper,
    state: Vec<f32>,
    sensors: Vec<f32>,
    actuators: Vec<f32>,
    plant: Plant,
}

/// What one step took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// From when the step was due to when it began.
    pub jitter: Duration,
    /// From its beginning to its end.
    pub step: Duration,
}

impl ControlLoop {
    /// Around a model.
    pub fn new(stepper: Stepper) -> Self {
        Self {
            state: stepper.initial().to_vec(),
            sensors: vec![0.0; stepper.inputs()],
            actuators: vec![0.0; stepper.outputs()],
            plant: Plant::default(),
            stepper,
        }
    }

    /// Around a rate network of so many units as it is drawn, with time constants of 10 ms and steps of 1 ms.
    pub fn drawn(units: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let model = ModelConfig::new(RateConfig {
            units,
            dt: 1.0,
            time_constant: 10.0.into(),
            ..RateConfig::default()
        });
        let shape = InputShape::Sequence {
            steps: 1,
            channels: 3,
        };
        let device = DeviceSpec::Cpu.open()?;
        let network = model.init(&shape, 2, 1, device.burn())?;
        let stepper = Stepper::new(&network, &InputSpec::new(shape), &Task::regression(2))?;
        Ok(Self::new(stepper))
    }

    /// The values of the state.
    pub fn state(&self) -> &[f32] {
        &self.state
    }

    /// One step: sensors, model, actuators. It asks for no memory after the first.
    pub fn step(&mut self, dt: Duration) -> Result<(), granule::models::ModelError> {
        self.plant.sense(&mut self.sensors);
        self.stepper
            .step(&self.sensors, &mut self.state, &mut self.actuators)?;
        let push = self.actuators.first().copied().unwrap_or(0.0);
        self.plant.act(push, dt.as_secs_f32());
        Ok(())
    }

    /// As many steps as there are `timings`, each when it is due; it asks for no memory after the first.
    pub fn run(
        &mut self,
        period: Duration,
        timings: &mut [Timing],
    ) -> Result<(), granule::models::ModelError> {
        let mut due = Instant::now() + period;
        for timing in timings {
            let began = wait(due);
            self.step(period)?;
            *timing = Timing {
                jitter: began.saturating_duration_since(due),
                step: began.elapsed(),
            };
            due += period;
        }
        Ok(())
    }
}

/// Waits until a time; says when it is over.
fn wait(due: Instant) -> Instant {
    let left = due.saturating_duration_since(Instant::now());
    if left > WATCH {
        std::thread::sleep(left - WATCH);
    }
    loop {
        let now = Instant::now();
        if now >= due {
            return now;
        }
        std::hint::spin_loop();
    }
}
