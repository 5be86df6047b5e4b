use super::parameters::Published;
use super::rates::RateForm;
use super::{CellConfig, Kinetics};

/// The hippocampal pyramidal cell with the currents of Traub & Miles (Neuronal Networks of the Hippocampus, 1991) in one
/// compartment, with the conductances of Ermentrout & Kopell (PNAS 95, 1998).
///
/// C dV/dt = g_Na m³h (E_Na − V) + g_K n⁴ (E_K − V) + g_L (E_L − V) + I and dx/dt = φ(α_x (1 − x) − β_x x) for m, h and n,
/// with U = V − V_T:
///
/// | | α | β |
/// | --- | --- | --- |
/// | m | 0.32 (U − 13)/(1 − exp(−(U − 13)/4)) | 0.28 (U − 40)/(exp((U − 40)/5) − 1) |
/// | h | 0.128 exp(−(U − 17)/18) | 4/(1 + exp(−(U − 40)/5)) |
/// | n | 0.032 (U − 15)/(1 − exp(−(U − 15)/5)) | 0.5 exp(−(U − 10)/40) |
///
/// C 1 µF/cm²; g_Na 100, g_K 80, g_L 0.1 mS/cm²; E_Na 50, E_K −100, E_L −67 mV; V_T (`v_shift`) −67 mV; φ = 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraubMiles;

/// A population of [`TraubMiles`] cells.
pub type TraubMilesConfig = CellConfig<TraubMiles>;

impl Kinetics for TraubMiles {
    const NAME: &'static str = "traub-miles";
    const FORMS: [RateForm; 6] = [
        RateForm::Linear,
        RateForm::FallingLinear,
        RateForm::FallingExponential,
        RateForm::Sigmoid,
        RateForm::Linear,
        RateForm::FallingExponential,
    ];
    const INSTANTANEOUS_M: bool = false;
    const PUBLISHED: Published = Published {
        capacitance: 1.0,
        g_na: 100.0,
        g_k: 80.0,
        g_l: 0.1,
        e_na: 50.0,
        e_k: -100.0,
        e_l: -67.0,
        temperature_factor: 1.0,
        v_shift: -67.0,
        alpha_m_rate: 1.28,
        alpha_m_midpoint: 13.0,
        alpha_m_slope: 4.0,
        beta_m_rate: 1.4,
        beta_m_midpoint: 40.0,
        beta_m_slope: 5.0,
        alpha_h_rate: 0.128,
        alpha_h_midpoint: 17.0,
        alpha_h_slope: 18.0,
        beta_h_rate: 4.0,
        beta_h_midpoint: 40.0,
        beta_h_slope: 5.0,
        alpha_n_rate: 0.16,
        alpha_n_midpoint: 15.0,
        alpha_n_slope: 5.0,
        beta_n_rate: 0.5,
        beta_n_midpoint: 10.0,
        beta_n_slope: 40.0,
    };
}
