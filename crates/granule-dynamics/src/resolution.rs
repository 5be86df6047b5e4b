//! Whether a run's steps resolve its model.

use crate::NormalNoise;
use crate::solver::{Solver, SolverKind};
use granule_io::words::Number;

/// A step of a run and what it has to resolve.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// The setting.
    pub field: String,
    /// ms
    pub dt: f64,
    /// The method.
    pub solver: SolverKind,
    /// What the model is called.
    pub model: &'a str,
    /// The model's shortest time constant, ms; none where its step is exact.
    pub shortest: Option<f64>,
}

impl Step<'_> {
    /// What there is to say if the step is too long, in one sentence.
    pub fn warning(self) -> Option<String> {
        let shortest = self.shortest.filter(|time| time.is_finite())?;
        if shortest <= 0.0 {
            return Some(format!(
                "no step is short enough for {}, whose shortest time constant is 0 ms: look at the size of its parameters",
                self.model
            ));
        }
        let most = 0.5 * shortest * self.solver.init(NormalNoise::default()).relative_step();
        (self.dt > most * (1.0 + 1e-9)).then(|| {
            format!(
                "{} = {} ms is too long for {} with {}, whose shortest time constant is about {} ms: take at most {} ms, or \
                 do not trust the result",
                self.field,
                Number(self.dt),
                self.model,
                self.solver,
                rounded(shortest),
                rounded(most),
            )
        })
    }
}

/// With two or three digits.
fn rounded(value: f64) -> Number {
    let scale = 10_f64.powf(1.0 - value.log10().floor());
    let rounded = (value * scale).floor() / scale;
    Number(if rounded.is_finite() { rounded } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_has_numbers_for_every_time_constant() {
        let warning = |shortest: f64| {
            let step = Step {
                field: "dt".into(),
                dt: 0.1,
                solver: SolverKind::Rk4,
                model: "lif",
                shortest: Some(shortest),
            };
            step.warning()
        };
        assert_eq!(warning(1.0), None);
        assert!(warning(0.1234).unwrap().contains("take at most 0.061 ms"));
        assert!(warning(0.0).unwrap().contains("no step is short enough"));
        for tiny in [1e-300, 5e-324, 0.0] {
            let text = warning(tiny).unwrap();
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        }
    }
}
