use super::parameters::Published;
use super::rates::RateForm;
use super::{CellConfig, Kinetics};

/// The fast-spiking hippocampal interneuron of Wang & Buzsáki (J. Neurosci. 16, 1996).
///
/// C dV/dt = g_Na m∞³h (E_Na − V) + g_K n⁴ (E_K − V) + g_L (E_L − V) + I with m∞ = α_m/(α_m + β_m), and
/// dx/dt = φ(α_x (1 − x) − β_x x) for h and n:
///
/// | | α | β |
/// | --- | --- | --- |
/// | m | 0.1 (V + 35)/(1 − exp(−(V + 35)/10)) | 4 exp(−(V + 60)/18) |
/// | h | 0.07 exp(−(V + 58)/20) | 1/(1 + exp(−(V + 28)/10)) |
/// | n | 0.01 (V + 34)/(1 − exp(−(V + 34)/10)) | 0.125 exp(−(V + 44)/80) |
///
/// C 1 µF/cm²; g_Na 35, g_K 9, g_L 0.1 mS/cm²; E_Na 55, E_K −90, E_L −65 mV; φ = 5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WangBuzsaki;

/// A population of [`WangBuzsaki`] cells.
pub type WangBuzsakiConfig = CellConfig<WangBuzsaki>;

impl Kinetics for WangBuzsaki {
    const NAME: &'static str = "wang-buzsaki";
    const FORMS: [RateForm; 6] = [
        RateForm::Linear,
        RateForm::FallingExponential,
        RateForm::FallingExponential,
        RateForm::Sigmoid,
        RateForm::Linear,
        RateForm::FallingExponential,
    ];
    const INSTANTANEOUS_M: bool = true;
    const PUBLISHED: Published = Published {
        capacitance: 1.0,
        g_na: 35.0,
        g_k: 9.0,
        g_l: 0.1,
        e_na: 55.0,
        e_k: -90.0,
        e_l: -65.0,
        temperature_factor: 5.0,
        v_shift: 0.0,
        alpha_m_rate: 1.0,
        alpha_m_midpoint: -35.0,
        alpha_m_slope: 10.0,
        beta_m_rate: 4.0,
        beta_m_midpoint: -60.0,
        beta_m_slope: 18.0,
        alpha_h_rate: 0.07,
        alpha_h_midpoint: -58.0,
        alpha_h_slope: 20.0,
        beta_h_rate: 1.0,
        beta_h_midpoint: -28.0,
        beta_h_slope: 10.0,
        alpha_n_rate: 0.1,
        alpha_n_midpoint: -34.0,
        alpha_n_slope: 10.0,
        beta_n_rate: 0.125,
        beta_n_midpoint: -44.0,
        beta_n_slope: 80.0,
    };
}
