//! The learning rate of every optimiser step.

use std::f64::consts::PI;

use crate::config::ScheduleConfig;

/// Learning rates over a run of known length.
///
/// During the first W = `warmup_steps` steps the rate is multiplied by (step + 1)/W; the kinds that depend on the length
/// of the run (cosine, one-cycle) then spread over the remaining steps.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    config: ScheduleConfig,
    lr: f64,
    steps_per_epoch: u64,
    total_steps: u64,
    falls: u32,
}

impl Schedule {
    /// The schedule of a run of `epochs` epochs of `steps_per_epoch` steps around the rate `lr`.
    pub fn new(config: ScheduleConfig, lr: f64, steps_per_epoch: usize, epochs: usize) -> Self {
        let steps_per_epoch = steps_per_epoch.max(1) as u64;
        Self {
            config,
            lr,
            steps_per_epoch,
            total_steps: steps_per_epoch.saturating_mul(epochs as u64),
            falls: 0,
        }
    }

    /// The same after so many falls of the schedule `plateau`, which alone depends on how the run goes.
    pub fn after_falls(self, falls: u32) -> Self {
        Self { falls, ..self }
    }

    /// The learning rate of step `step`, from 0.
    pub fn learning_rate(&self, step: u64) -> f64 {
        let warmup = self.config.warmup_steps() as u64;
        if step < warmup {
            let start = self.factor(step, 0, self.total_steps.saturating_sub(warmup));
            return self.lr * start * (step + 1) as f64 / warmup as f64;
        }
        let left = self.total_steps.saturating_sub(warmup);
        self.lr * self.factor(step, step - warmup, left)
    }

    /// The factor at `step`, which is `position` of the `length` steps after warm-up.
    fn factor(&self, step: u64, position: u64, length: u64) -> f64 {
        match self.config {
            ScheduleConfig::Constant(_) => 1.0,
            ScheduleConfig::Plateau(config) => {
                let falls = i32::try_from(self.falls).unwrap_or(i32::MAX);
                config.factor.powi(falls).max(config.min_factor)
            }
            ScheduleConfig::Step(config) => {
                let epoch = step / self.steps_per_epoch;
                config
                    .gamma
                    .powf((epoch / config.every_epochs.max(1) as u64) as f64)
            }
            ScheduleConfig::Cosine(config) => {
                let fraction = position as f64 / length.max(1) as f64;
                between(1.0, config.min_factor, fraction)
            }
            ScheduleConfig::OneCycle(config) => {
                // The bounds of PyTorch's OneCycleLR with two phases and cosine annealing.
                let peak = config.pct_start * length as f64 - 1.0;
                let end = length as f64 - 1.0;
                let position = (position as f64).min(end);
                if position <= peak {
                    between(config.start_factor, 1.0, position / peak.max(1.0))
                } else {
                    let fraction = (position - peak) / (end - peak).max(1.0);
                    between(1.0, config.final_factor, fraction)
                }
            }
        }
    }
}

/// Half a cosine from `start` at 0 to `end` at 1.
fn between(start: f64, end: f64, fraction: f64) -> f64 {
    end + (start - end) * (1.0 + (PI * fraction.clamp(0.0, 1.0)).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConstantConfig, CosineConfig, OneCycleConfig, PlateauConfig, StepConfig};

    fn assert_rates(config: ScheduleConfig, steps_per_epoch: usize, epochs: usize, rates: &[f64]) {
        let schedule = Schedule::new(config, 0.2, steps_per_epoch, epochs);
        for (step, expected) in rates.iter().enumerate() {
            let found = schedule.learning_rate(step as u64);
            assert!(
                (found - expected).abs() < 1e-12,
                "{config:?} step {step}: {found} is not {expected}"
            );
        }
    }

    #[test]
    fn rates_equal_pytorch() {
        assert_rates(
            ScheduleConfig::Cosine(CosineConfig {
                min_factor: 0.1,
                warmup_steps: 0,
            }),
            5,
            2,
            &[
                0.2,
                0.195595086467,
                0.182811529494,
                0.162900672706,
                0.137811529494,
                0.11,
                0.0821884705063,
                0.0570993272937,
                0.0371884705063,
                0.0244049135334,
            ],
        );
        assert_rates(
            ScheduleConfig::Step(StepConfig {
                every_epochs: 2,
                gamma: 0.5,
                warmup_steps: 0,
            }),
            2,
            5,
            &[0.2, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05],
        );
        assert_rates(
            ScheduleConfig::Constant(ConstantConfig { warmup_steps: 4 }),
            6,
            1,
            &[0.05, 0.1, 0.15, 0.2, 0.2, 0.2],
        );
        assert_rates(
            ScheduleConfig::Cosine(CosineConfig {
                min_factor: 0.0,
                warmup_steps: 4,
            }),
            5,
            2,
            &[
                0.05,
                0.1,
                0.15,
                0.2,
                0.2,
                0.186602540378,
                0.15,
                0.1,
                0.05,
                0.0133974596216,
            ],
        );
        assert_rates(
            ScheduleConfig::OneCycle(OneCycleConfig::default()),
            10,
            1,
            &[
                0.008,
                0.104,
                0.2,
                0.190096926403,
                0.16234913079,
                0.122252404387,
                0.0777483956127,
                0.03765166921,
                0.00990387359731,
                8e-07,
            ],
        );
    }

    #[test]
    fn falls_multiply_down_to_the_floor() {
        let config = ScheduleConfig::Plateau(PlateauConfig {
            factor: 0.5,
            min_factor: 0.25,
            warmup_steps: 2,
            ..Default::default()
        });
        let schedule = Schedule::new(config, 0.4, 5, 2);
        let rates = |falls| [0, 1, 9].map(|step| schedule.after_falls(falls).learning_rate(step));
        assert_eq!(rates(0), [0.2, 0.4, 0.4]);
        assert_eq!(rates(1), [0.1, 0.2, 0.2]);
        assert_eq!(rates(2), [0.05, 0.1, 0.1]);
        assert_eq!(rates(9), rates(2));
    }

    #[test]
    fn rates_are_finite_and_positive_for_tiny_runs() {
        for name in ScheduleConfig::NAMES {
            let config = ScheduleConfig::from_name(name).unwrap();
            for steps in 1..4 {
                let schedule = Schedule::new(config, 0.1, steps, 1);
                for step in 0..steps as u64 + 2 {
                    let rate = schedule.learning_rate(step);
                    assert!(
                        rate > 0.0 || *name == "cosine" && rate >= 0.0,
                        "{name} {rate}"
                    );
                    assert!(rate <= 0.1, "{name} {rate}");
                }
            }
        }
    }
}
