mod published;
#[cfg(test)]
mod tests;

use burn::tensor::Tensor;

use crate::model::Field;
use crate::setting::Range;
use crate::system::parameters::mass_model;
use crate::{State, Variable};

mass_model! {
    /// Settings of [`BalloonWindkessel`]. The defaults are [`stephan_2007`](Self::stephan_2007).
    config BalloonWindkesselConfig,
    /// The haemodynamic response to neural activity z: the balloon–Windkessel model (Friston et al. 2000, NeuroImage
    /// 12:466; Friston, Harrison & Penny 2003, NeuroImage 19:1273).
    ///
    /// ```text
    /// ds/dt = ε·(z − z₀) − κ·s − γ·(f − 1)            vasodilatory signal
    /// df/dt = s                                      blood flow
    /// τ dv/dt = f − v^(1/α)                          venous volume
    /// τ dq/dt = f·(1 − (1 − ρ)^(1/f))/ρ − v^(1/α)·q/v   deoxyhaemoglobin
    /// BOLD = V₀·(k₁·(1 − q) + k₂·(1 − q/v) + k₃·(1 − v))
    /// ```
    ///
    /// f, v and q are relative to rest and kept positive by holding their logarithms, which changes no value. The
    /// parameters are in seconds; `time_unit` says how many seconds one unit of the run's time is, 0.001 for ms.
    ///
    /// State: s (1/s), ln f, ln v, ln q. Input: one channel, the activity z, in any unit, that ε converts. Observed and
    /// given to other systems: the relative change of the BOLD signal.
    module BalloonWindkessel,
    /// [`BalloonWindkessel`] with its parameters' values.
    field BalloonWindkesselField,
    noise: {
        /// The amplitude of white noise in the vasodilatory signal.
        amplitude = 0.0;
    }
    parameters: {
        /// ε: the signal that activity causes (1/s² for each unit of activity).
        efficacy = 1.0, Range::Any;
        /// z₀: the activity at rest.
        rest = 0.0, Range::Any;
        /// κ: the decay of the signal (1/s).
        signal_decay = 0.64, Range::Positive;
        /// γ: the feedback of the flow (1/s²).
        flow_feedback = 0.32, Range::Positive;
        /// τ: the transit time (s).
        transit_time = 2.0, Range::Positive;
        /// α: the stiffness of the vessels.
        stiffness = 0.32, Range::Positive;
        /// ρ: the share of oxygen extracted at rest. k₁ to k₃ are numbers of their own and stay as they are when it is
        /// set or trained: take them from the equation that is meant.
        oxygen_extraction = 0.4, Range::OpenFraction;
        /// V₀: the share of blood in the volume at rest.
        resting_volume = 0.04, Range::Positive;
        /// k₁: the weight of deoxyhaemoglobin outside the vessels.
        k1 = 4.3 * 40.3 * 0.4 * 0.04, Range::Any;
        /// k₂: the weight of its concentration inside them.
        k2 = 25.0 * 0.4 * 0.04, Range::Any;
        /// k₃: the weight of the volume.
        k3 = 0.0, Range::Any;
        /// The seconds in a unit of the run's time.
        time_unit = 1e-3, Range::Positive;
    }
    variables: {
        s ["1/s"] = 0.0;
        ln_f ["1"] = 0.0;
        ln_v ["1"] = 0.0;
        ln_q ["1"] = 0.0;
    }
    inputs: { "activity" ["1"]; }
}

impl Field for BalloonWindkesselField {
    fn name(&self) -> &str {
        "balloon-windkessel"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn inputs(&self) -> &[Variable] {
        &self.inputs
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let (s, ln_f, ln_v, ln_q) = (&state[0], &state[1], &state[2], &state[3]);
        let (f, per_f) = (ln_f.clone().exp(), (-ln_f.clone()).exp());
        let per_v = (-ln_v.clone()).exp();

        let activity = match self.channel(0, input) {
            Some(z) => (z - &self.rest) * &self.efficacy,
            None => f.zeros_like() + &(self.rest.negative() * &self.efficacy),
        };
        let relaxation = s.clone() * &self.signal_decay + (f.clone() - 1.0) * &self.flow_feedback;
        let outflow = (ln_v.clone() / &self.stiffness).exp() * per_v.clone();
        let unextracted = (per_f.clone() * &self.oxygen_extraction.negative().ln_1p()).exp();
        let extracted = (1.0 - unextracted) / &self.oxygen_extraction;

        let rate = &(&self.time_unit / &self.transit_time);
        let volume = f.clone() * per_v - outflow.clone();
        let deoxyhaemoglobin = f * extracted * (-ln_q.clone()).exp() - outflow;
        State::new(vec![
            (activity - relaxation) * &self.time_unit,
            s.clone() * per_f * &self.time_unit,
            volume * rate,
            deoxyhaemoglobin * rate,
        ])
    }

    fn diffusion(&self, _time: f64, state: &State) -> Option<State> {
        let zeros = state[0].zeros_like();
        let noise = zeros.clone() + self.noise.as_ref()?;
        Some(State::new(vec![noise, zeros.clone(), zeros.clone(), zeros]))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        let (ln_v, ln_q) = (&state[2], &state[3]);
        let missing = |ln: Tensor<2>| 1.0 - ln.exp();
        let outside = missing(ln_q.clone()) * &self.k1;
        let inside = missing(ln_q.clone() - ln_v.clone()) * &self.k2;
        let volume = missing(ln_v.clone()) * &self.k3;
        (outside + inside + volume) * &self.resting_volume
    }

    fn activity(&self) -> Variable {
        Variable::new("bold", "1", self.nodes())
    }

    fn observed(&self) -> Variable {
        self.activity()
    }
}
