use super::parameters::Published;
use super::rates::RateForm;
use super::{CellConfig, Kinetics};

/// The squid giant axon of Hodgkin & Huxley (J. Physiol. 117, 1952), with the voltage shifted to a rest near −65 mV and
/// outward currents positive, as textbooks have it.
///
/// C dV/dt = g_Na m³h (E_Na − V) + g_K n⁴ (E_K − V) + g_L (E_L − V) + I and dx/dt = φ(α_x (1 − x) − β_x x) for m, h and n:
///
/// | | α | β |
/// | --- | --- | --- |
/// | m | 0.1 (V + 40)/(1 − exp(−(V + 40)/10)) | 4 exp(−(V + 65)/18) |
/// | h | 0.07 exp(−(V + 65)/20) | 1/(1 + exp(−(V + 35)/10)) |
/// | n | 0.01 (V + 55)/(1 − exp(−(V + 55)/10)) | 0.125 exp(−(V + 65)/80) |
///
/// C 1 µF/cm²; g_Na 120, g_K 36, g_L 0.3 mS/cm²; E_Na 50, E_K −77, E_L −54.387 mV; φ = 3^((T − 6.3 °C)/10 °C) = 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HodgkinHuxley;

/// A population of [`HodgkinHuxley`] cells.
pub type HodgkinHuxleyConfig = CellConfig<HodgkinHuxley>;

impl Kinetics for HodgkinHuxley {
    const NAME: &'static str = "hodgkin-huxley";
    const FORMS: [RateForm; 6] = [
        RateForm::Linear,
        RateForm::FallingExponential,
        RateForm::FallingExponential,
        RateForm::Sigmoid,
        RateForm::Linear,
        RateForm::FallingExponential,
    ];
    const INSTANTANEOUS_M: bool = false;
    const PUBLISHED: Published = Published {
        capacitance: 1.0,
        g_na: 120.0,
        g_k: 36.0,
        g_l: 0.3,
        e_na: 50.0,
        e_k: -77.0,
        e_l: -54.387,
        temperature_factor: 1.0,
        v_shift: 0.0,
        alpha_m_rate: 1.0,
        alpha_m_midpoint: -40.0,
        alpha_m_slope: 10.0,
        beta_m_rate: 4.0,
        beta_m_midpoint: -65.0,
        beta_m_slope: 18.0,
        alpha_h_rate: 0.07,
        alpha_h_midpoint: -65.0,
        alpha_h_slope: 20.0,
        beta_h_rate: 1.0,
        beta_h_midpoint: -35.0,
        beta_h_slope: 10.0,
        alpha_n_rate: 0.1,
        alpha_n_midpoint: -55.0,
        alpha_n_slope: 10.0,
        beta_n_rate: 0.125,
        beta_n_midpoint: -65.0,
        beta_n_slope: 80.0,
    };
}
