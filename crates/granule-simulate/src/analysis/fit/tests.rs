//! Fits against closed forms, and the width of posteriors against how often they hold what is true.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::Path;

use granule_dynamics::NormalNoise;

use super::super::{Analysis, Request};
use super::least_squares::{at_one, products};
use super::*;
use crate::Preset;
use crate::samples::{ReadError, ReadSamples, Samples};
use crate::testing::{assert_close, f64_place};

/// Residuals by a function of the place in the unit cube.
struct Toy<F>(usize, F);

impl<F: Fn(&[f64]) -> Vec<f64> + Sync> Residuals for Toy<F> {
    fn parameters(&self) -> usize {
        self.0
    }

    fn at(&self, place: &[f64], _: &AtomicBool) -> Result<Vec<f64>, DynamicsError> {
        Ok((self.1)(place))
    }
}

const GOES_ON: &dyn Fn() -> Result<(), DynamicsError> = &|| Ok(());

/// y = a + b t in noise of a known deviation.
fn line(noise: f64) -> (impl Residuals, [[f64; 2]; 12], Vec<f64>) {
    let design: [[f64; 2]; 12] = std::array::from_fn(|k| [1.0, k as f64 / 6.0]);
    let drawn = NormalNoise::new(3, 0).values(0, 12);
    let measured: Vec<f64> = design
        .iter()
        .zip(drawn)
        .map(|(row, xi)| 0.4 * row[0] + 0.6 * row[1] + noise * xi)
        .collect();
    let own = measured.clone();
    let residuals = move |z: &[f64]| {
        let pairs = design.iter().zip(&own);
        pairs
            .map(|(row, y)| (row[0] * z[0] + row[1] * z[1] - y) / noise)
            .collect()
    };
    (Toy(2, residuals), design, measured)
}

#[test]
fn a_line_has_the_minimum_and_the_posterior_of_the_normal_equations() {
    let noise = 0.02;
    let (toy, design, measured) = line(noise);
    let best = descend(&toy, &[0.9, 0.1], None, 50, GOES_ON).unwrap();
    assert_eq!(best.end, End::Converged);
    // (AᵀA)⁻¹ of two columns.
    let sum = |f: &dyn Fn(usize) -> f64| (0..12).map(f).sum::<f64>();
    let (n, t) = (12.0, sum(&|k| design[k][1]));
    let tt = sum(&|k| design[k][1].powi(2));
    let (y, ty) = (sum(&|k| measured[k]), sum(&|k| design[k][1] * measured[k]));
    let determinant = n * tt - t * t;
    let expected = [
        (tt * y - t * ty) / determinant,
        (n * ty - t * y) / determinant,
    ];
    assert_close(best.place[0], expected[0], 1e-8);
    assert_close(best.place[1], expected[1], 1e-8);
    let slopes = slopes(&toy, &best.place, None, GOES_ON).unwrap();
    let posterior = Posterior::new(&slopes).unwrap();
    let deviations = [
        noise * (tt / determinant).sqrt(),
        noise * (n / determinant).sqrt(),
    ];
    assert_close(posterior.deviations[0] / deviations[0], 1.0, 1e-7);
    assert_close(posterior.deviations[1] / deviations[1], 1.0, 1e-7);
    let correlation = -t / (n * tt).sqrt();
    assert_close(posterior.correlations[1], correlation, 1e-7);
    assert_eq!(posterior.partner(0).unwrap().0, 1);
    // The eigenvalues of a symmetric matrix of two rows, in units of the noise.
    let (middle, half) = (0.5 * (n + tt), (0.25 * (n - tt).powi(2) + t * t).sqrt());
    let condition = (middle + half) / (middle - half);
    assert_close(posterior.condition() / condition, 1.0, 1e-6);

    // Of a quadratic toy the profile is the parabola of the curvature.
    for (index, deviation) in deviations.into_iter().enumerate() {
        let own = (index, posterior.deviations[index]);
        let profile = profile(&toy, &best, own, (9, 50), GOES_ON).unwrap();
        assert_eq!(profile.held.len(), 9);
        for (held, above) in profile.held.iter().zip(&profile.above) {
            let normal = ((held - best.place[index]) / deviation).powi(2);
            assert_close(*above, normal, 1e-5);
        }
        assert!(profile.better.is_none());
        for (end, sign) in profile
            .interval(best.place[index])
            .into_iter()
            .zip([-1.0, 1.0])
        {
            let expected = best.place[index] + sign * NORMAL * deviation;
            assert_close(end.unwrap(), expected, 1e-6);
        }
    }
}

/// An exponential decay whose amplitude and time constant are places in logarithmic ranges.
fn decay(z: &[f64]) -> Vec<f64> {
    let (amplitude, constant) = (1.0 * 4.0_f64.powf(z[0]), 5.0 * 4.0_f64.powf(z[1]));
    (0..60)
        .map(|k| amplitude * (-0.5 * f64::from(k) / constant).exp())
        .collect()
}

#[test]
fn slopes_are_the_derivatives_also_at_the_ends_of_ranges() {
    let toy = Toy(2, decay);
    for place in [[0.3, 0.7], [0.0, 1.0]] {
        let slopes = slopes(&toy, &place, None, GOES_ON).unwrap();
        let constant = 5.0 * 4.0_f64.powf(place[1]);
        // One-sided differences are of first order.
        let tolerance = if place[0] > 0.0 { 1e-9 } else { 5e-5 };
        for (k, value) in decay(&place).into_iter().enumerate() {
            let log = 4.0_f64.ln();
            assert_close(slopes[0][k], log * value, tolerance);
            let expected = log * value * 0.5 * k as f64 / constant;
            assert_close(slopes[1][k], expected, tolerance);
        }
    }
    let held = super::least_squares::slopes(&toy, &[0.3, 0.7], Some(0), GOES_ON).unwrap();
    assert!(held[0].iter().all(|x| *x == 0.0) && held[1].iter().any(|x| *x != 0.0));
}

/// Simulation-based calibration (Talts et al. 2018): over many data sets the rank of what is true in its posterior is uniform,
/// and intervals of 90 % hold it in 90 % of them.
#[test]
fn posteriors_hold_what_is_true_as_often_as_they_say() {
    const SETS: usize = 200;
    let noise = 0.05;
    let mut ranks = [vec![], vec![]];
    for set in 0..SETS {
        let drawn = NormalNoise::new(21, 4).values(set, 62);
        // Inside the ranges, so that their ends cut nothing off.
        let truth: Vec<f64> = drawn[60..].iter().map(|x| 0.5 + 0.2 * x.sin()).collect();
        let clean = decay(&truth);
        let measured: Vec<f64> = clean
            .iter()
            .zip(&drawn)
            .map(|(y, x)| y + noise * x)
            .collect();
        let toy = Toy(2, move |z: &[f64]| {
            let pairs = decay(z).into_iter().zip(&measured);
            pairs.map(|(x, y)| (x - y) / noise).collect()
        });
        let best = descend(&toy, &[0.5, 0.5], None, 50, GOES_ON).unwrap();
        let slopes = slopes(&toy, &best.place, None, GOES_ON).unwrap();
        let posterior = Posterior::new(&slopes).unwrap();
        for (index, ranks) in ranks.iter_mut().enumerate() {
            ranks.push((truth[index] - best.place[index]) / posterior.deviations[index]);
        }
    }
    for own in ranks {
        let within = own.iter().filter(|x| x.abs() < 1.644_853_6).count() as f64;
        // Three standard deviations of a share of 200.
        let share = within / SETS as f64;
        let error = 3.0 * (0.9_f64 * 0.1 / SETS as f64).sqrt();
        assert!((share - 0.9).abs() < error, "{share}");
        // The deciles of the standard normal distribution.
        let ends = [
            -1.281_55, -0.841_62, -0.524_40, -0.253_35, 0.0, 0.253_35, 0.524_40, 0.841_62, 1.281_55,
        ];
        let mut bins = [0.0; 10];
        for x in &own {
            bins[ends.partition_point(|end| end < x)] += 1.0;
        }
        let expected = SETS as f64 / 10.0;
        let chi: f64 = bins.iter().map(|n| (n - expected).powi(2) / expected).sum();
        // 99.9 % of χ² with nine degrees of freedom.
        assert!(chi < 27.88, "{chi}: {bins:?}");
    }
}

#[test]
fn a_pair_of_which_only_the_product_matters_is_named() {
    // g (V − E) with V constant, and a third that is known.
    let toy = Toy(3, |z: &[f64]| {
        let current = 4.0_f64.powf(z[0]) * 4.0_f64.powf(z[1]);
        (0..20)
            .map(|k| (current + z[2] * f64::from(k) - 3.0) / 0.01)
            .collect()
    });
    let best = descend(&toy, &[0.5, 0.5, 0.5], None, 50, GOES_ON).unwrap();
    let slopes = slopes(&toy, &best.place, None, GOES_ON).unwrap();
    let posterior = Posterior::new(&slopes).unwrap();
    assert!(posterior.along(2) > 10.0, "{}", posterior.along(2));
    assert!(posterior.along(1) < UNIFORM && posterior.along(0) < UNIFORM);
    let names = ["log g", "log drive", "slope"].map(String::from);
    let named = posterior.named(2, &names);
    assert!(
        named.starts_with("0.71·") && named.contains(" − 0.71·log"),
        "{named}"
    );
    assert!(!named.contains("slope"), "{named}");
    assert!(posterior.deviations[0] > UNIFORM && posterior.deviations[1] > UNIFORM);
    assert!(posterior.deviations[2] < 0.01);
    let (partner, correlation) = posterior.partner(0).unwrap();
    assert_eq!(partner, 1);
    assert_close(correlation, -1.0, 1e-6);
}

#[test]
fn what_nothing_depends_on_is_open_and_what_is_not_finite_an_error() {
    let posterior = Posterior::new(&[vec![1.0, 2.0], vec![0.0, 0.0]]).unwrap();
    assert_eq!(posterior.deviations[1], f64::INFINITY);
    assert_close(posterior.deviations[0], 1.0 / 5.0_f64.sqrt(), 1e-12);
    assert_eq!(posterior.condition(), f64::INFINITY);
    assert!(Posterior::new(&[vec![f64::NAN]]).is_err());
    let nothing = Posterior::new(&[vec![0.0], vec![0.0]]).unwrap();
    assert!(nothing.deviations.iter().all(|x| x.is_infinite()));
    let toy = Toy(1, |_: &[f64]| vec![f64::NAN]);
    let error = descend(&toy, &[0.5], None, 5, GOES_ON).unwrap_err();
    assert!(error.to_string().contains("not finite"), "{error}");
}

#[test]
fn a_minimum_beyond_a_range_is_at_its_end() {
    let toy = Toy(2, |z: &[f64]| {
        vec![z[0] - 1.7, z[1] + 0.2 * z[0] - 0.6, z[0] + z[1] - 2.0]
    });
    let best = descend(&toy, &[0.2, 0.2], None, 50, GOES_ON).unwrap();
    assert_eq!(best.place[0], 1.0);
    // The mean of 0.4 and 1.
    assert_close(best.place[1], 0.7, 1e-8);
    assert_eq!(best.end, End::Converged);
}

#[test]
fn starts_are_one_in_each_slice_of_every_range() {
    let all = scattered(8, 3, 5);
    for parameter in 0..3 {
        let mut own: Vec<f64> = all.iter().map(|place| place[parameter]).collect();
        own.sort_by(f64::total_cmp);
        for (slice, z) in own.iter().enumerate() {
            assert_close(*z, (slice as f64 + 0.5) / 8.0, 1e-12);
        }
    }
    assert_eq!(all, scattered(8, 3, 5));
    assert_ne!(all, scattered(8, 3, 6));
    assert!(scattered(0, 3, 5).is_empty());
}

/// A recording that a test has made.
struct Given(Samples);

impl ReadSamples for Given {
    fn read(&self, _: &Path, array: Option<&str>) -> Result<Samples, ReadError> {
        match array {
            Some("v" | "voltage") => Ok(self.0.clone()),
            other => Err(ReadError::File(format!("no array {other:?}"))),
        }
    }
}

fn preset(name: &str, changes: &[(&str, f64)]) -> ExperimentConfig {
    let config: ExperimentConfig = toml::from_str(Preset::find(name).unwrap().toml).unwrap();
    let mut changes = changes.iter();
    changes
        .try_fold(config, |config, (key, value)| {
            config.with_number(key, *value)
        })
        .unwrap()
}

fn fitted(
    config: &ExperimentConfig,
    samples: Samples,
    settings: &str,
) -> Result<Findings, DynamicsError> {
    Analysis::find("fit").unwrap().run(&Request {
        config,
        place: &f64_place(),
        settings: &settings.parse().unwrap(),
        title: "fit",
        reader: &Given(samples),
        progress: &|_| ControlFlow::Continue(()),
    })
}

/// The way of a membrane to its rest, v = R I (1 − exp(−t/τ)), in noise, at every half ms.
fn charging(noise: f64) -> Samples {
    let drawn = NormalNoise::new(9, 0).values(0, 200);
    let times: Vec<f64> = (1..=200).map(|k| 0.25 * f64::from(k)).collect();
    let values = times.iter().zip(drawn);
    let values = values.map(|(t, xi)| 2.0 * 4.0 * (1.0 - (-t / 8.0).exp()) + noise * xi);
    Samples {
        values: values.collect(),
        times: Some(times),
        width: 1,
        unit: Some("mV".into()),
        times_have_unit: true,
    }
}

const PASSIVE: [(&str, f64); 3] = [
    ("unit.current", 4.0),
    ("unit.parameters.threshold", 100.0),
    ("duration", 50.0),
];

fn numbers(table: &Table, column: &str) -> Vec<f64> {
    let numbers = table.numbers(column).unwrap();
    numbers
        .into_iter()
        .map(|own| own.unwrap_or(f64::NAN))
        .collect()
}

fn named<'a>(findings: &'a Findings, name: &str) -> &'a Table {
    findings.tables.iter().find(|own| own.name == name).unwrap()
}

#[test]
fn a_passive_membrane_is_recovered_with_the_errors_of_its_noise() {
    let config = preset("lif", &PASSIVE);
    let settings = "recording = 'r.npz'\nprofile = 5\nstarts = 4\nobserve = ['v=voltage']\n\
                    parameters = ['unit.parameters.time_constant=2..40:log', 'unit.parameters.resistance=0.5..8']";
    let noise = 0.1;
    let found = fitted(&config, charging(noise), settings).unwrap();
    let table = named(&found, "parameters");
    let (values, errors) = (numbers(table, "value"), numbers(table, "standard error"));
    // By the slopes of the closed form: R I x and R I t/τ² e, with x = 1 − e and e = exp(−t/τ).
    let (mut aa, mut ab, mut bb) = (0.0, 0.0, 0.0);
    for k in 1..=200 {
        let t = 0.25 * f64::from(k);
        let e = (-t / values[0]).exp();
        let (a, b) = (
            -values[1] * 4.0 * t / values[0].powi(2) * e,
            4.0 * (1.0 - e),
        );
        (aa, ab, bb) = (aa + a * a, ab + a * b, bb + b * b);
    }
    let determinant = aa * bb - ab * ab;
    let estimate = numbers(named(&found, "combinations"), "curvature");
    assert!(estimate.iter().all(|x| *x > 0.0));
    let own = noise_of(&found);
    assert!((own / noise - 1.0).abs() < 0.2, "{own}");
    let expected = [
        own * (bb / determinant).sqrt(),
        own * (aa / determinant).sqrt(),
    ];
    for ((error, expected), (value, truth)) in errors
        .iter()
        .zip(expected)
        .zip(values.iter().zip([8.0, 2.0]))
    {
        assert_close(error / expected, 1.0, 1e-4);
        assert!(
            (value - truth).abs() < 4.0 * error,
            "{value} {truth} {error}"
        );
    }
    let correlations = numbers(table, "correlation");
    assert_close(correlations[0], -ab / (aa * bb).sqrt(), 1e-4);
    // All starts end there, and the profiles are near the parabolas.
    let starts = named(&found, "starts");
    assert_eq!(starts.rows.len(), 4);
    assert!(
        numbers(starts, "χ² above the best")
            .iter()
            .all(|x| *x < 1e-3)
    );
    assert!(
        found.notes[0].starts_with("4 of 4 starts"),
        "{:?}",
        found.notes
    );
    let intervals = named(&found, "intervals");
    let low = numbers(intervals, "2.5 % by profile");
    assert!((values[1] - low[1]) / (NORMAL * errors[1]) > 0.95);
    assert!((values[1] - low[1]) / (NORMAL * errors[1]) < 1.05);
    assert_eq!(named(&found, "profiles").rows.len(), 10);
    let set = found.notes.last().unwrap();
    assert!(
        set.starts_with("--set unit.parameters.time_constant="),
        "{set}"
    );
    assert!(found.figure.is_some());
    // What is white does not go together.
    assert!(!found.notes.iter().any(|note| note.contains("go together")));
}

/// √ of the noise's share, by what the note tells.
fn noise_of(found: &Findings) -> f64 {
    let own = |name: &str| found.arrays.iter().find(|own| own.name == name).unwrap();
    let (recorded, fitted) = (own("v recorded"), own("v fitted"));
    let pairs = recorded.values.iter().zip(&fitted.values);
    let squares: f64 = pairs.map(|(a, b)| (a - b).powi(2)).sum();
    (squares / (recorded.values.len() as f64 - 2.0)).sqrt()
}

#[test]
fn current_and_resistance_are_known_as_a_product_alone() {
    let config = preset("lif", &PASSIVE);
    let settings = "recording = 'r.npz'\n\
                    parameters = ['unit.parameters.resistance', 'unit.current', 'unit.parameters.time_constant']";
    let found = fitted(&config, charging(0.1), settings).unwrap();
    let open: Vec<&String> = found
        .notes
        .iter()
        .filter(|note| note.starts_with("not determined"))
        .collect();
    assert_eq!(open.len(), 1, "{:?}", found.notes);
    assert!(open[0].contains("log resistance") && open[0].contains("log current"));
    assert!(
        open[0].contains(" − 0.71·") && !open[0].contains("time_constant"),
        "{open:?}"
    );
    let table = named(&found, "parameters");
    let determined = |row: usize| table.rows[row][5].clone();
    assert_eq!(determined(0), super::Cell::from("no"));
    assert_eq!(determined(1), super::Cell::from("no"));
    assert_eq!(determined(2), super::Cell::from("yes"));
    let values = numbers(table, "value");
    assert!(
        (values[0] * values[1] / 8.0 - 1.0).abs() < 0.02,
        "{values:?}"
    );
}

#[test]
fn without_a_recording_it_tells_what_one_would() {
    let config = preset("lif", &PASSIVE);
    let parameters = "parameters = ['unit.parameters.time_constant']";
    let error = |noise: &str| {
        let settings = format!("{parameters}\nnoise = {noise}");
        let found = fitted(&config, charging(0.0), &settings).unwrap();
        assert!(
            found
                .notes
                .iter()
                .any(|note| note.starts_with("no recording"))
        );
        numbers(named(&found, "parameters"), "standard error")[0]
    };
    assert_close(error("0.2") / error("0.1"), 2.0, 1e-9);
    let refused = fitted(&config, charging(0.0), parameters).unwrap_err();
    assert!(refused.to_string().starts_with("noise"), "{refused}");
}

/// The conductances of the squid axon that made a recording are found again, spikes and all.
#[test]
fn conductances_of_hodgkin_and_huxley_are_found_again() {
    let truth = preset("hodgkin-huxley", &[("duration", 40.0)]);
    let outcome = truth.init(&f64_place()).unwrap();
    let outcome = outcome.run(|_, _| ControlFlow::Continue(())).unwrap();
    let trace = &outcome.traces[0];
    let drawn = NormalNoise::new(2, 0).values(0, trace.values.len());
    let noisy = trace.values.iter().zip(drawn).map(|(v, xi)| v + 0.5 * xi);
    let samples = Samples {
        values: noisy.collect(),
        times: Some(outcome.times.clone()),
        width: 1,
        unit: None,
        times_have_unit: true,
    };
    let begin = [
        ("unit.parameters.g_na", 110.0),
        ("unit.parameters.g_k", 38.0),
        ("unit.parameters.g_l", 0.33),
    ];
    let config = preset(
        "hodgkin-huxley",
        &[&[("duration", 40.0)], &begin[..]].concat(),
    );
    let settings = "recording = 'r.npz'\nstarts = 3\nparameters = ['unit.parameters.g_na=60..240:log', \
                    'unit.parameters.g_k=18..72:log', 'unit.parameters.g_l=0.1..0.9:log']";
    let found = fitted(&config, samples, settings).unwrap();
    let table = named(&found, "parameters");
    let (values, errors) = (numbers(table, "value"), numbers(table, "standard error"));
    for ((value, error), truth) in values.iter().zip(&errors).zip([120.0, 36.0, 0.3]) {
        assert!(
            (value - truth).abs() < 4.0 * error,
            "{value} ± {error}, {truth}"
        );
        assert!(error / truth < 0.01);
    }
}

#[test]
fn what_cannot_be_fitted_is_said() {
    let config = preset("lif", &PASSIVE);
    let refused = |settings: &str, samples: Samples| {
        fitted(&config, samples, settings).unwrap_err().to_string()
    };
    let one = "recording = 'r.npz'\nparameters = ['unit.parameters.time_constant";
    for (settings, expected) in [
        ("recording = 'r.npz'".to_owned(), "parameters = 0 keys"),
        (format!("{one}=3..2']"), "the lower one first"),
        (format!("{one}=0..2:log']"), "above 0"),
        (format!("{one}=1..2']"), "is not allowed: 1 to 2"),
        (format!("{one}=1..20:lag']"), "KEY=LOW..HIGH"),
        (
            format!("{one}', 'unit.parameters.time_constant=1..20']"),
            "twice",
        ),
        (format!("{one}.x']"), "no such number"),
        (
            format!("{one}=1..20']\nobserve = ['w']"),
            "record.variables",
        ),
        (format!("{one}=1..20']\nobserve = ['v=w']"), "no array"),
        (format!("{one}=1..20']\nfrom = 60"), "from"),
        (format!("{one}=1..20']\nfrom = 50"), "from"),
        (format!("{one}=1..20']\nnoise = 0"), "noise"),
        (format!("{one}=1..20']\nnoise = [1, 2]"), "noise"),
        (format!("{one}=1..20']\nstarts = 0"), "starts"),
        (format!("{one}=1..20']\nprofile = 2"), "profile"),
        (format!("{one}=1..20']\nfit = 2"), "fit"),
        (
            "parameters = ['unit.parameters.time_constant']\nnoise = 1\nstarts = 2".to_owned(),
            "starts",
        ),
    ] {
        let error = refused(&settings, charging(0.1));
        assert!(error.contains(expected), "{settings}: {error}");
    }
    let one = "recording = 'r.npz'\nparameters = ['unit.parameters.time_constant']";
    let with = |change: &dyn Fn(&mut Samples)| {
        let mut samples = charging(0.1);
        change(&mut samples);
        refused(one, samples)
    };
    assert!(with(&|own| own.width = 2).contains("1 column"));
    assert!(with(&|own| own.unit = Some("nA".into())).contains("not in nA"));
    assert!(with(&|own| own.times = None).contains("with times"));
    assert!(with(&|own| own.values[3] = f64::NAN).contains("finite"));
    let later = |own: &mut Samples| own.times.iter_mut().flatten().for_each(|t| *t += 1e3);
    assert!(with(&later).contains("instants from 0"));
    let single = |own: &mut Samples| {
        own.values.truncate(1);
        own.times.iter_mut().for_each(|times| times.truncate(1));
    };
    assert!(with(&single).contains("more numbers than the 1 parameter"));
    // What the model itself gives leaves no noise to tell errors by.
    let exact = fitted(&config, exact(&config), one).unwrap();
    let told = |note: &String| note.contains("leaves nothing of v");
    assert!(exact.notes.iter().any(told), "{:?}", exact.notes);
}

/// What the model gives at its values.
fn exact(config: &ExperimentConfig) -> Samples {
    let experiment = config.init(&f64_place()).unwrap();
    let outcome = experiment.run(|_, _| ControlFlow::Continue(())).unwrap();
    Samples {
        values: outcome.traces[0].values.clone(),
        times: Some(outcome.times),
        width: 1,
        unit: None,
        times_have_unit: true,
    }
}

#[test]
fn a_fit_ends_when_it_is_asked_to() {
    let config = preset("lif", &PASSIVE);
    let heard = Cell::new(0);
    let settings =
        "recording = 'r.npz'\nstarts = 100\nparameters = ['unit.parameters.time_constant']";
    let stopped = Analysis::find("fit").unwrap().run(&Request {
        config: &config,
        place: &f64_place(),
        settings: &settings.parse().unwrap(),
        title: "fit",
        reader: &Given(charging(0.1)),
        progress: &|share| {
            assert!((0.0..=1.0).contains(&share));
            heard.set(heard.get() + 1);
            if heard.get() > 5 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    });
    assert!(matches!(stopped, Err(DynamicsError::Stopped)));
}

#[test]
fn the_matrix_of_slopes_is_symmetric_and_the_residuals_those_of_the_place() {
    let toy = Toy(2, decay);
    let own = slopes(&toy, &[0.4, 0.6], None, GOES_ON).unwrap();
    let matrix = products(&own);
    assert_eq!(matrix[1], matrix[2]);
    assert_eq!(
        at_one(&toy, &[0.4, 0.6], GOES_ON).unwrap(),
        decay(&[0.4, 0.6])
    );
}

#[test]
fn features_are_fitted_beside_the_trace_or_alone() {
    let truth = preset("hodgkin-huxley", &[("duration", 60.0)]);
    let config = preset(
        "hodgkin-huxley",
        &[("duration", 60.0), ("unit.current", 11.0)],
    );
    let settings = "recording = 'r.npz'\nparameters = ['unit.current=8..14']\ntrace = false\n\
                    features = ['rate=0.5', 'spike_times=0.2', 'amplitude', 'width', 'sag']";
    let found = fitted(&config, exact(&truth), settings).unwrap();
    let value = numbers(named(&found, "parameters"), "value")[0];
    assert_close(value, 10.0, 1e-4);
    let table = named(&found, "features");
    let (recorded, own) = (numbers(table, "recorded"), numbers(table, "fitted"));
    for (recorded, own) in recorded.iter().zip(&own) {
        assert_close(*own, *recorded, 1e-3);
    }
    // One rate, four spikes, and three that are told alone.
    assert_eq!(table.rows.len(), 8, "{table:?}");
    // Traces whose spikes are apart have minima of their own.
    let beside = settings.replace("trace = false", "noise = 1.0\nstarts = 8");
    let found = fitted(&config, exact(&truth), &beside).unwrap();
    let value = numbers(named(&found, "parameters"), "value")[0];
    assert_close(value, 10.0, 1e-4);
    let wrong = settings.replace("'rate=0.5'", "'height'");
    let error = fitted(&config, exact(&truth), &wrong).unwrap_err();
    assert!(error.to_string().starts_with("features"), "{error}");
    let unit = settings.replace("features", "observe = ['m']\nfeatures");
    let mut gate = exact(&truth);
    gate.unit = Some("1".into());
    let error = fitted(&config, gate, &unit.replace("['m']", "['m=v']")).unwrap_err();
    assert!(error.to_string().contains("in mV"), "{error}");
}
