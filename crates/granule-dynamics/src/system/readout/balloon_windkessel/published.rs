//! The parameters of two papers.

use super::BalloonWindkesselConfig;

impl BalloonWindkesselConfig {
    /// The revised signal equation of Stephan et al. 2007 (NeuroImage 38:387) at 1.5 T and an echo time of 40 ms,
    /// k₁ = 4.3·40.3·ρ·TE, k₂ = ε'·25·ρ·TE, k₃ = 1 − ε' with a ratio ε' of 1, and the numbers that SPM12 has for it
    /// (κ 0.64, γ 0.32, τ 2, α 0.32, ρ 0.4). Other programs put other numbers under the paper's name. The response to
    /// half a second of activity peaks 4.5 s after its beginning.
    pub fn stephan_2007() -> Self {
        Self::default()
    }

    /// The parameters and the signal equation of Friston, Harrison & Penny 2003: k₁ = 7ρ, k₂ = 2, k₃ = 2ρ − 0.2. The
    /// response to half a second of activity peaks 3.2 s after its beginning.
    pub fn friston_2003() -> Self {
        let extraction = 0.34;
        Self {
            signal_decay: 0.65.into(),
            flow_feedback: 0.41.into(),
            transit_time: 0.98.into(),
            oxygen_extraction: extraction.into(),
            resting_volume: 0.02.into(),
            k1: (7.0 * extraction).into(),
            k2: 2.0.into(),
            k3: (2.0 * extraction - 0.2).into(),
            ..Self::default()
        }
    }
}
