//! Power over frequency.

use std::f64::consts::{PI, TAU};

use granule_dynamics::DynamicsError;
use serde::{Deserialize, Serialize};

use super::findings::{Array, Findings, Table};
use super::registry::Request;

/// The power spectral density of a signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    /// Hz, from 0 on, evenly.
    pub frequencies: Vec<f64>,
    /// In the signal's unit squared per Hz: it sums to the variance, times the distance of the frequencies.
    pub density: Vec<f64>,
    /// How many windows it is the mean of.
    pub windows: usize,
}

impl Spectrum {
    /// The frequency above 0 of the highest density, Hz.
    pub fn peak(&self) -> f64 {
        let pairs = self.frequencies.iter().zip(&self.density).skip(1);
        let highest = pairs.max_by(|a, b| a.1.total_cmp(b.1));
        highest.map_or(f64::NAN, |(frequency, _)| *frequency)
    }
}

/// The discrete Fourier transform of real numbers, of which there is a power of two: in place, real parts and imaginary ones (Cooley
/// and Tukey 1965).
fn transform(re: &mut [f64], im: &mut [f64]) {
    let n = re.len();
    let bits = n.trailing_zeros();
    for i in 0..n {
        let j = i.reverse_bits() >> (usize::BITS - bits);
        if i < j {
            re.swap(i, j);
            im.swap(i, j);
        }
    }
    let mut half = 1;
    while half < n {
        for k in 0..half {
            let (sin, cos) = (-PI * k as f64 / half as f64).sin_cos();
            for i in (k..n).step_by(2 * half) {
                let j = i + half;
                let (x, y) = (re[j] * cos - im[j] * sin, re[j] * sin + im[j] * cos);
                (re[j], im[j]) = (re[i] - x, im[i] - y);
                (re[i], im[i]) = (re[i] + x, im[i] + y);
            }
        }
        half *= 2;
    }
}

/// The power spectral density by Welch's method (1967): the mean of periodograms of Hann windows that overlap by half, of each its
/// mean taken away. A window has the largest power of two of samples that is at most `length`. `interval` is that of samples, ms.
///
/// # Errors
///
/// [`DynamicsError::Config`] for a window shorter than 8 samples or longer than the signal, or an interval that is not above 0.
pub fn power_spectrum(
    signal: &[f64],
    interval: f64,
    length: usize,
) -> Result<Spectrum, DynamicsError> {
    if !(8..=signal.len()).contains(&length) {
        let allowed = format!("8 to {} samples", signal.len());
        return Err(DynamicsError::config("window", length, allowed));
    }
    if !(interval.is_finite() && interval > 0.0) {
        return Err(DynamicsError::config("interval", interval, "above 0"));
    }
    let length = 1 << length.ilog2();
    let weights: Vec<f64> = (0..length)
        .map(|i| 0.5 - 0.5 * (TAU * i as f64 / length as f64).cos())
        .collect();
    let rate = 1000.0 / interval;
    let scale = 1.0 / (rate * weights.iter().map(|w| w * w).sum::<f64>());
    let count = length / 2 + 1;
    let mut density = vec![0.0; count];
    let mut windows = 0;
    for window in signal.windows(length).step_by((length / 2).max(1)) {
        let mean = window.iter().sum::<f64>() / length as f64;
        let pairs = window.iter().zip(&weights);
        let mut re: Vec<f64> = pairs.map(|(x, w)| (x - mean) * w).collect();
        let mut im = vec![0.0; length];
        transform(&mut re, &mut im);
        let powers = re.iter().zip(&im).map(|(re, im)| re * re + im * im);
        for (index, (sum, power)) in density.iter_mut().zip(powers).enumerate() {
            // Of both signs of a frequency.
            let both = if index == 0 || 2 * index == length {
                1.0
            } else {
                2.0
            };
            *sum += both * scale * power;
        }
        windows += 1;
    }
    density.iter_mut().for_each(|x| *x /= windows as f64);
    Ok(Spectrum {
        frequencies: (0..count)
            .map(|k| k as f64 * rate / length as f64)
            .collect(),
        density,
        windows,
    })
}

/// Of what the spectrum is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The recorded variables; the mean of a variable's columns is taken. Default: the first that is recorded.
    pub variables: Vec<String>,
    /// The time that is left out at the beginning, ms. Default: a fifth of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
    /// The length of a window, ms, down to a power of two of samples. Default: a quarter of the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<f64>,
    /// The highest frequency that is drawn, Hz. Default: up to where 99.9 % of the power is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest: Option<f64>,
}

/// The density of a variable.
struct Curve {
    name: String,
    unit: String,
    points: Vec<(f64, f64)>,
    /// Their sum.
    total: f64,
}

/// The analysis by name.
pub(super) fn run(request: &Request<'_>) -> Result<Findings, DynamicsError> {
    let settings: Settings = request.settings()?;
    let mut config = request.config.clone();
    if !settings.variables.is_empty() {
        config.record.variables = settings.variables.clone();
    }
    let outcome = request.run(&config)?;
    let kept = outcome.later(settings.from)?;
    let wanted = match settings.variables.len() {
        0 => 1,
        all => all,
    };
    let interval = config.dt * config.record.every as f64;
    let samples = kept.times.len();
    let length = match settings.window {
        None => samples / 4,
        Some(window) => (window / interval).round() as usize,
    };
    let columns = [
        ("variable", "1"),
        ("peak", "Hz"),
        ("power within 1/√2 of it", "1"),
        ("resolution", "Hz"),
        ("windows", "1"),
    ];
    let mut table = Table::new("spectra", columns);
    let mut findings = Findings::default();
    let mut curves = Vec::new();
    for trace in kept.traces.iter().take(wanted) {
        let mean = trace.values.chunks_exact(trace.width.max(1));
        let mean: Vec<f64> = mean
            .map(|row| row.iter().sum::<f64>() / row.len() as f64)
            .collect();
        let spectrum = power_spectrum(&mean, interval, length)?;
        let total: f64 = spectrum.density.iter().skip(1).sum();
        let pairs = spectrum.frequencies.iter().zip(&spectrum.density).skip(1);
        let peak = spectrum.peak();
        let near = pairs.filter(|(f, _)| (**f / peak).ln().abs() < 0.5 * std::f64::consts::LN_2);
        let share = near.map(|(_, power)| power).sum::<f64>() / total;
        table.rows.push(vec![
            trace.name.clone().into(),
            peak.into(),
            share.into(),
            spectrum
                .frequencies
                .get(1)
                .copied()
                .unwrap_or(f64::NAN)
                .into(),
            spectrum.windows.into(),
        ]);
        let points = spectrum.frequencies.iter().zip(&spectrum.density);
        let points: Vec<(f64, f64)> = points.map(|(f, power)| (*f, *power)).skip(1).collect();
        let values = points.iter().flat_map(|(f, power)| [*f, *power]).collect();
        let name = format!("spectrum of {}", trace.name);
        findings
            .arrays
            .push(Array::new(name, vec![points.len(), 2], values));
        curves.push(Curve {
            name: trace.name.clone(),
            unit: trace.unit.clone(),
            points,
            total,
        });
    }
    findings.tables.push(table);
    #[cfg(feature = "plot")]
    {
        findings.figure = Some(figure(request, &settings, curves));
    }
    #[cfg(not(feature = "plot"))]
    let _ = curves;
    Ok(findings)
}

#[cfg(feature = "plot")]
fn figure(request: &Request<'_>, settings: &Settings, curves: Vec<Curve>) -> granule_chart::Figure {
    use granule_chart::{Figure, Mark, Panel};

    let most = settings.highest.unwrap_or_else(|| {
        let ends = curves.iter().map(|curve| {
            let mut sum = 0.0;
            let end = curve.points.iter().find(|(_, power)| {
                sum += power;
                sum >= 0.999 * curve.total
            });
            end.map_or(0.0, |(f, _)| *f)
        });
        ends.fold(0.0, f64::max)
    });
    let figure = Figure::new(request.title, "frequency (Hz)");
    curves.into_iter().fold(figure, |figure, curve| {
        let Curve { name, unit, .. } = curve;
        let points = curve.points.into_iter();
        let shown = points.filter(|(f, _)| *f <= most).collect();
        let unit = if unit == "1" {
            "1/Hz".into()
        } else {
            format!("{unit}²/Hz")
        };
        let panel = Panel::new(format!("power of {name} ({unit})")).logarithmic();
        figure.with(panel.with(Mark::line("", shown)))
    })
}
