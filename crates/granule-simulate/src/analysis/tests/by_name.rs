//! Analyses by name, of presets, against what is known of them.

use std::f64::consts::PI;
use std::ops::ControlFlow;
use std::path::Path;

use granule_dynamics::DynamicsError;

use super::super::*;
use crate::samples::{ReadError, ReadSamples, Samples};
use crate::testing::{assert_close, f64_place};
use crate::{ExperimentConfig, Preset};

/// A lead field of three electrodes and two sources is the only file.
struct LeadField;

const FIELD: [f64; 6] = [1.0, 0.0, 0.5, -2.0, 0.25, 3.0];

impl ReadSamples for LeadField {
    fn read(&self, file: &Path, _: Option<&str>) -> Result<Samples, ReadError> {
        if file != Path::new("field.npy") {
            return Err(ReadError::File(file.display().to_string()));
        }
        Ok(Samples {
            times: None,
            width: 2,
            values: FIELD.to_vec(),
            unit: None,
            times_have_unit: false,
        })
    }
}

fn preset(name: &str, changes: &[(&str, f64)]) -> ExperimentConfig {
    let text = Preset::find(name).unwrap().toml;
    let config: ExperimentConfig = toml::from_str(text).unwrap();
    let changed = changes.iter();
    changed.fold(config, |config, (key, value)| {
        config.with_number(key, *value).unwrap()
    })
}

fn analysed(
    name: &str,
    config: &ExperimentConfig,
    settings: &str,
) -> Result<Findings, DynamicsError> {
    Analysis::find(name).unwrap().run(&Request {
        config,
        place: &f64_place(),
        settings: &settings.parse().unwrap(),
        title: name,
        reader: &LeadField,
        progress: &|_| ControlFlow::Continue(()),
    })
}

fn refusal(name: &str, config: &ExperimentConfig, settings: &str) -> String {
    analysed(name, config, settings).unwrap_err().to_string()
}

/// The rows of a table of which a column is this word.
fn rows<'a>(table: &'a Table, word: &str) -> Vec<&'a Vec<Cell>> {
    let own = |row: &&Vec<Cell>| row.contains(&Cell::Word(word.into()));
    table.rows.iter().filter(own).collect()
}

fn number(cell: &Cell) -> f64 {
    match cell {
        Cell::Number(value) => *value,
        Cell::Word(word) => panic!("{word} is no number"),
    }
}

/// v² = 1 − b ε at both Hopf points of FitzHugh (1961) and Nagumo, a = 0.7, b = 0.8, ε = 0.08.
#[test]
fn fitzhugh_and_nagumos_oscillator_loses_its_rest_at_two_hopf_points() {
    let config = preset("fitzhugh-nagumo", &[("duration", 400.0)]);
    let settings = "parameter = 'stimulus.amplitude.0'\nfrom = 0\nto = 2\ncycles = 9";
    let found = analysed("continuation", &config, settings).unwrap();
    let hopf = rows(&found.tables[0], "Hopf");
    let v = (1.0_f64 - 0.8 * 0.08).sqrt();
    let current = |v: f64| (v + 0.7) / 0.8 - v + v.powi(3) / 3.0;
    assert_eq!(hopf.len(), 2, "{:?}", found.tables[0]);
    assert_close(number(&hopf[0][1]), current(-v), 1e-6);
    assert_close(number(&hopf[1][1]), current(v), 1e-6);
    assert_close(number(&hopf[0][2]), -v, 1e-5);
    // One branch, stable outside of them.
    assert_eq!(found.tables[1].rows.len(), 1);
    assert!(rows(&found.tables[0], "fold").is_empty());
    // Cycles in between, and none far outside.
    let cycles = &found.tables[2].rows;
    assert!(
        cycles.iter().any(|row| number(&row[0]) == 1.0),
        "{cycles:?}"
    );
    assert!(
        cycles
            .iter()
            .all(|row| (0.25..=1.5).contains(&number(&row[0]))),
        "{cycles:?}"
    );
    assert!(
        cycles
            .iter()
            .all(|row| (20.0..=60.0).contains(&number(&row[1]))),
        "{cycles:?}"
    );
}

/// Fixed points of Montbrió, Pazó and Roxin (2015): v = −Δ/(2πr), η = π²r² − Jr − Δ²/(4π²r²), whose extrema are folds.
#[test]
fn the_mean_field_of_quadratic_cells_folds_where_its_equation_does() {
    let config = preset("mpr", &[]);
    let eta = |r: f64| PI * PI * r * r - 15.0 * r - 1.0 / (4.0 * PI * PI * r * r);
    let slope = |r: f64| 2.0 * PI * PI * r - 15.0 + 1.0 / (2.0 * PI * PI * r.powi(3));
    let root = |mut low: f64, mut high: f64| {
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if slope(low) * slope(middle) <= 0.0 {
                high = middle;
            } else {
                low = middle;
            }
        }
        0.5 * (low + high)
    };
    let (first, second) = (root(0.05, 0.3), root(0.3, 2.0));
    let settings = "parameter = 'system.excitability'\nfrom = -8\nto = -3\ncycles = 0";
    let found = analysed("continuation", &config, settings).unwrap();
    let mut folds: Vec<f64> = rows(&found.tables[0], "fold")
        .iter()
        .map(|row| number(&row[1]))
        .collect();
    folds.sort_by(f64::total_cmp);
    let mut expected = [eta(first), eta(second)];
    expected.sort_by(f64::total_cmp);
    assert_eq!(folds.len(), 2, "{:?}", found.tables[0]);
    assert_close(folds[0], expected[0], 1e-5);
    assert_close(folds[1], expected[1], 1e-5);
    // Between the folds there are three fixed points, of which the middle one is a saddle.
    let points = analysed("fixed-points", &config, "").unwrap();
    let table = &points.tables[0];
    // Another one has a rate below 0, which the equations allow.
    let rates = table.rows.iter().filter(|row| number(&row[0]) > 0.0);
    assert_eq!(rates.count(), 3, "{table:?}");
    for row in &table.rows {
        assert_close(eta(number(&row[0])), -5.0, 1e-6);
    }
    assert_eq!(rows(table, "saddle, 1 unstable").len(), 1);
}

/// Near rest the exponent is the largest real part of an eigenvalue; on a cycle it is 0.
#[test]
fn exponents_are_those_of_rest_and_of_a_cycle() {
    let rest = preset("fitzhugh-nagumo", &[("stimulus.amplitude.0", 0.0)]);
    let found = analysed("lyapunov", &rest, "duration = 400\ntransient = 100").unwrap();
    let exponent = number(&found.tables[0].rows[0][0]);
    let points = analysed("fixed-points", &rest, "").unwrap();
    let row = &points.tables[0].rows[0];
    assert_close(exponent, 1000.0 * number(&row[3]), 1.0);
    let cycle = preset("fitzhugh-nagumo", &[]);
    let found = analysed("lyapunov", &cycle, "duration = 800\ntransient = 200").unwrap();
    let exponent = number(&found.tables[0].rows[0][0]);
    assert!(exponent.abs() < 3.0, "{exponent} 1/s");
}

/// Parseval: the density sums to the variance.
#[test]
fn a_spectrum_has_the_variance_and_the_peak_of_its_signal() {
    let signal: Vec<f64> = (0..4000)
        .map(|i| 3.0 + 2.0 * (2.0 * PI * 40.0 * i as f64 * 1e-3).sin())
        .collect();
    let spectrum = power_spectrum(&signal, 1.0, 1100).unwrap();
    let distance = spectrum.frequencies[1];
    assert_close(distance, 1000.0 / 1024.0, 1e-12);
    assert_close(spectrum.density.iter().sum::<f64>() * distance, 2.0, 1e-3);
    let pairs = spectrum.frequencies.iter().zip(&spectrum.density);
    let peak = pairs.max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    assert_close(*peak.0, 40.0, 0.5 * distance);
    assert_eq!(spectrum.windows, 6);
    for (length, interval) in [(7, 1.0), (4001, 1.0), (100, 0.0), (100, f64::NAN)] {
        assert!(power_spectrum(&signal, interval, length).is_err());
    }
}

#[test]
fn jansen_and_rits_column_is_in_its_alpha_rhythm() {
    let found = analysed("spectrum", &preset("jansen-rit", &[]), "").unwrap();
    let peak = number(&found.tables[0].rows[0][1]);
    assert!((8.0..=13.0).contains(&peak), "{peak} Hz");
}

/// By the product of matrices, which the run by itself is put into.
#[test]
fn electrodes_see_the_sources_by_the_lead_field() {
    let config = preset("jansen-rit", &[("system.nodes", 2.0), ("duration", 4000.0)]);
    let array = |findings: &Findings, name: &str| {
        let own = findings.arrays.iter().find(|array| array.name == name);
        own.unwrap().values.clone()
    };
    let run = config.init(&f64_place()).unwrap();
    let run = run.run(|_, _| ControlFlow::Continue(())).unwrap();
    let trace = |name: &str| {
        &run.traces
            .iter()
            .find(|own| own.name == name)
            .unwrap()
            .values
    };
    for average in [false, true] {
        let settings = format!("lead_field = 'field.npy'\nfrom = 0\naverage_reference = {average}");
        let found = analysed("eeg", &config, &settings).unwrap();
        let values = array(&found, "eeg");
        assert_eq!(values.len(), 3 * run.times.len());
        for (sample, seen) in values.chunks_exact(3).enumerate() {
            let of = |source: usize| {
                let at = 2 * sample + source;
                trace("y1")[at] - trace("y2")[at]
            };
            let mut own: Vec<f64> = (0..3)
                .map(|electrode| FIELD[2 * electrode] * of(0) + FIELD[2 * electrode + 1] * of(1))
                .collect();
            if average {
                let mean = own.iter().sum::<f64>() / 3.0;
                own.iter_mut().for_each(|value| *value -= mean);
            }
            for (seen, own) in seen.iter().zip(own) {
                assert_close(*seen, own, 1e-12);
            }
        }
        let peak = number(&found.tables[0].rows[1][3]);
        assert!((8.0..=13.0).contains(&peak), "{peak} Hz");
    }
}

#[test]
fn a_balanced_network_is_irregular_and_hardly_correlated() {
    let config = preset("balanced-network", &[("duration", 1200.0)]);
    let found = analysed("spikes", &config, "from = 200").unwrap();
    for row in &found.tables[0].rows {
        let [rate, variation, fano, correlation] = [2, 3, 4, 5].map(|column| number(&row[column]));
        assert!((1.0..100.0).contains(&rate), "{rate} Hz");
        assert!((0.5..1.6).contains(&variation), "CV {variation}");
        assert!((0.2..2.0).contains(&fano), "Fano {fano}");
        assert!(correlation.abs() < 0.1, "correlation {correlation}");
    }
}

#[test]
fn components_hold_all_of_the_variance_together() {
    let config = preset("rate-sine", &[("duration", 200.0)]);
    let found = analysed("pca", &config, "components = 5").unwrap();
    let shares = found.tables[0].numbers("share of the variance").unwrap();
    let shares: Vec<f64> = shares.into_iter().flatten().collect();
    assert_eq!(shares.len(), 5);
    assert!(shares.is_sorted_by(|a, b| a >= b) && shares.iter().sum::<f64>() <= 1.0 + 1e-12);
}

#[test]
fn connectivity_is_symmetric_and_one_on_its_diagonal() {
    let config = preset("whole-brain", &[("duration", 6000.0)]);
    let found = analysed("fc", &config, "from = 3000\nwindow = 1000").unwrap();
    let fc = &found.arrays[0];
    let n = fc.shape[0];
    for i in 0..n {
        assert_close(fc.values[i * n + i], 1.0, 1e-12);
        for j in 0..i {
            assert_close(fc.values[i * n + j], fc.values[j * n + i], 1e-12);
            assert!(fc.values[i * n + j].abs() <= 1.0 + 1e-12);
        }
    }
}

/// The squid's axon fires from a current on, and at 52 to 75 Hz there (Hodgkin and Huxley 1952).
#[test]
fn a_scan_tells_of_each_run_what_a_run_by_itself_does() {
    let config = preset("hodgkin-huxley", &[("duration", 200.0)]);
    let settings = "over = ['unit.current=0..20:5', 'unit.parameters.g_na=100,120']\nmeasure = ['rate', 'max v']\nfrom = 50";
    let found = analysed("scan", &config, settings).unwrap();
    let table = &found.tables[0];
    assert_eq!(table.rows.len(), 10);
    let row = |current: f64, g: f64| {
        let own = |row: &&Vec<Cell>| number(&row[0]) == current && number(&row[1]) == g;
        table.rows.iter().find(own).unwrap()
    };
    assert_eq!(number(&row(0.0, 120.0)[2]), 0.0);
    let alone = config.with_number("unit.current", 10.0).unwrap();
    let outcome = alone
        .init(&f64_place())
        .unwrap()
        .run(|_, _| ControlFlow::Continue(()))
        .unwrap();
    assert_close(
        number(&row(10.0, 120.0)[2]),
        outcome.spikes[0].mean_rate_hz(50.0, 200.0),
        1e-12,
    );
    assert!((52.0..80.0).contains(&number(&row(10.0, 120.0)[2])));
    let highest = outcome.later(Some(50.0)).unwrap().traces[0]
        .values
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    assert_close(number(&row(10.0, 120.0)[3]), highest, 1e-12);
    assert_eq!(found.arrays[0].shape, [5, 2]);
}

#[test]
fn settings_are_read_back_as_they_are_written() {
    for analysis in ANALYSES {
        let defaults = (analysis.defaults)().unwrap();
        let config = preset("fitzhugh-nagumo", &[]);
        let mut unknown = defaults.clone();
        unknown.insert("nonsense".into(), 1.into());
        let error = refusal(analysis.name, &config, &unknown.to_string());
        assert!(error.contains("nonsense"), "{error}");
    }
}

#[test]
fn what_cannot_be_analysed_is_refused() {
    let oscillator = preset("fitzhugh-nagumo", &[]);
    for (name, config, settings, said) in [
        (
            "fixed-points",
            preset("balanced-network", &[]),
            "",
            "resets",
        ),
        ("fixed-points", preset("adex", &[]), "", "reset"),
        ("lyapunov", preset("ring-attractor", &[]), "", "under way"),
        (
            "fixed-points",
            preset("multi-granularity", &[]),
            "",
            "steps of its own",
        ),
        ("fixed-points", preset("whole-brain", &[]), "", "noise"),
        (
            "fixed-points",
            preset("whole-brain", &[("system.noise", 0.0)]),
            "",
            "under way",
        ),
        ("fixed-points", oscillator.clone(), "at = 1e9", "at"),
        ("fixed-points", oscillator.clone(), "starts = 0", "starts"),
        ("continuation", oscillator.clone(), "", "parameter"),
        (
            "continuation",
            oscillator.clone(),
            "parameter = 'system.recovery_rate'\nfrom = 1\nto = 1",
            "to",
        ),
        (
            "continuation",
            oscillator.clone(),
            "parameter = 'nothing.there'\nfrom = 1\nto = 2",
            "nothing",
        ),
        (
            "continuation",
            oscillator.clone(),
            "parameter = 'system.kind'\nfrom = 1\nto = 2",
            "system.kind",
        ),
        ("spikes", oscillator.clone(), "", "spike"),
        ("scan", oscillator.clone(), "", "over"),
        (
            "scan",
            oscillator.clone(),
            "over = ['nothing=1,2']",
            "nothing",
        ),
        (
            "scan",
            oscillator.clone(),
            "over = ['system.recovery_rate=0.07,0.08']\nmeasure = ['rate']",
            "measure",
        ),
        (
            "scan",
            oscillator.clone(),
            "over = ['system.recovery_rate=0.07,0.08']\nmeasure = ['most v']",
            "measure",
        ),
        (
            "scan",
            oscillator.clone(),
            "over = ['system.recovery_rate=0.07,0.08']\nmeasure = ['max nothing']",
            "nothing",
        ),
        ("pca", oscillator.clone(), "", "columns"),
        ("fc", oscillator.clone(), "", "columns"),
        ("eeg", oscillator.clone(), "", "lead_field"),
        (
            "eeg",
            oscillator.clone(),
            "lead_field = 'none.npy'",
            "none.npy",
        ),
        (
            "eeg",
            oscillator.clone(),
            "lead_field = 'field.npy'",
            "column",
        ),
        (
            "eeg",
            preset("jansen-rit", &[("system.nodes", 2.0)]),
            "lead_field = 'field.npy'\nvariables = ['y7']",
            "y7",
        ),
        ("spectrum", oscillator.clone(), "from = 1e9", "from"),
        ("spectrum", oscillator.clone(), "window = 1e9", "window"),
        ("spectrum", oscillator, "variables = ['none']", "none"),
    ] {
        let error = refusal(name, &config, settings);
        assert!(error.contains(said), "{name}, {settings}: {error}");
    }
}

#[test]
fn a_number_of_a_configuration_is_set_by_its_key() {
    let config = preset("hodgkin-huxley", &[]);
    let changed = config.with_number("unit.current", 3.5).unwrap();
    assert_ne!(changed, config);
    assert_eq!(changed.with_number("unit.current", 10.0).unwrap(), config);
    for key in [
        "unit",
        "unit.kind",
        "unit.current.x",
        "",
        "a.b",
        "record.every.1",
        "unit.cells",
    ] {
        let error = config.with_number(key, 2.5).unwrap_err().to_string();
        assert!(!error.is_empty(), "{key}");
    }
    assert!(config.with_number("unit.cells", 2.0).is_ok());
}
