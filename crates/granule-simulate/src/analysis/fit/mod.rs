//! An experiment fitted to what was measured, and how well its parameters are known then.

mod feature;
mod least_squares;
mod parameter;
mod posterior;
mod problem;
mod profile;
#[cfg(test)]
mod tests;

use std::cell::Cell as Shared;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use granule_dynamics::{DynamicsError, Values};
use granule_io::words::{Number, counted};
use serde::{Deserialize, Serialize};

use self::feature::Asked;
use self::least_squares::{End, Minimum, Residuals, descend, slopes};
use self::parameter::{Free, scattered};
use self::posterior::{Posterior, UNIFORM};
use self::problem::{Problem, Target};
use self::profile::{LEVEL, Profile, profile};
use super::findings::{Array, Cell, Findings, Table};
use super::parallel::side_by_side;
use super::registry::Request;
use crate::config::ExperimentConfig;
use crate::outcome::Outcome;

/// What is fitted to what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The numbers of the configuration that are fitted, with their ranges: `unit.parameters.g_na=50..200:log`, whose logarithm
    /// is fitted, `unit.parameters.e_l=-80..-50`; a key by itself has the range from a quarter to four times its value, or, below
    /// 0, from half to one and a half times. Has to be given.
    pub parameters: Vec<String>,
    /// What was measured: an .npz file as `granule simulate --out` writes it, or a .csv file, with a time in ms. Without one
    /// nothing is fitted, and it is told how well the experiment would determine its parameters at its values, with `noise`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<PathBuf>,
    /// The variables that were measured, by name; `v=voltage` where the recording calls it otherwise. Default: those that the
    /// experiment records by `record.variables`, else the first.
    pub observe: Vec<String>,
    /// The standard deviation of the noise of the recording, in the unit of the variable: one for all variables, or one for each.
    /// Default: by what the fit leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<Values>,
    /// The time from which on the recording is fitted, ms. Default 0.
    pub from: f64,
    /// So many fits, the first from the values of the configuration, the others from places drawn over the ranges; the best is
    /// kept. Default 1.
    pub starts: usize,
    /// Of the places that are drawn. Default 1.
    pub seed: u64,
    /// The most steps of a fit. Default 50.
    pub steps: usize,
    /// What is compared of the first variable, a voltage: `rate`, `spike_times`, `amplitude`, `width`, `sag`; with the deviation
    /// that counts as one, as `rate=2`, it is fitted, else only told.
    pub features: Vec<String>,
    /// Whether the traces are fitted themselves; false: the features alone. Default true.
    pub trace: bool,
    /// What a spike crosses upwards, mV. Default −20.
    pub threshold: f64,
    /// At how many values of each parameter the others are fitted again, for its profile; 0: no profiles. Default 0.
    pub profile: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            parameters: Vec::new(),
            recording: None,
            observe: Vec::new(),
            noise: None,
            from: 0.0,
            starts: 1,
            seed: 1,
            steps: 50,
            features: Vec::new(),
            trace: true,
            threshold: -20.0,
            profile: 0,
        }
    }
}

/// The most parameters, starts, steps and points of a profile.
const MOST_PARAMETERS: usize = 64;
const MOST_STARTS: usize = 10_000;
const MOST_STEPS: usize = 10_000;
const MOST_POINTS: usize = 1000;
/// The least noise, of the standard deviation of a variable: what rounding leaves of recordings in single precision.
const ROUNDING: f64 = 1e-6;
/// A correlation of residuals one sample apart from which on it is said.
const TOGETHER: f64 = 0.2;
/// 95 % of a normal distribution are within so many standard deviations.
const NORMAL: f64 = 1.959_963_984_540_054;

impl Settings {
    fn validate(&self) -> Result<(), DynamicsError> {
        let within = |field: &str, value: usize, least: usize, most: usize| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            let allowed = format!("{least} to {most}");
            Err(DynamicsError::config(field, value, allowed))
        };
        if !(1..=MOST_PARAMETERS).contains(&self.parameters.len()) {
            let found = counted(self.parameters.len(), "key");
            let allowed = format!(
                "1 to {MOST_PARAMETERS} keys, as parameters=[\"unit.parameters.g_na=50..200:log\"]"
            );
            return Err(DynamicsError::config("parameters", found, allowed));
        }
        within("starts", self.starts, 1, MOST_STARTS)?;
        within("steps", self.steps, 1, MOST_STEPS)?;
        if self.profile != 0 {
            within("profile", self.profile, 3, MOST_POINTS)?;
        }
        if !self.threshold.is_finite() {
            return Err(DynamicsError::config(
                "threshold",
                self.threshold,
                "a finite number, mV",
            ));
        }
        let noise = self.noise.iter().flat_map(Values::as_slice);
        for value in noise {
            if !(value.is_finite() && *value > 0.0) {
                return Err(DynamicsError::config(
                    "noise",
                    value,
                    "a finite number above 0",
                ));
            }
        }
        let alone = [
            ("starts", self.starts > 1, "1"),
            ("profile", self.profile > 0, "0"),
        ];
        if self.recording.is_none() {
            if let Some((field, ..)) = alone.into_iter().find(|(_, set, _)| *set) {
                let allowed = "its default without a recording: nothing is fitted";
                return Err(DynamicsError::config(field, "this", allowed));
            }
            if self.noise.is_none() && self.trace {
                let allowed = "given where there is no recording to tell it";
                return Err(DynamicsError::config("noise", "nothing", allowed));
            }
        }
        Ok(())
    }

    /// The parameters, each once, and where the configuration has them in their ranges.
    fn free(&self, config: &ExperimentConfig) -> Result<(Vec<Free>, Vec<f64>), DynamicsError> {
        let texts = self.parameters.iter();
        let all: Vec<Free> = texts
            .map(|text| Free::read(text, config))
            .collect::<Result<_, _>>()?;
        let mut places = Vec::with_capacity(all.len());
        for (index, own) in all.iter().enumerate() {
            if all[..index].iter().any(|other| other.key == own.key) {
                let found = format!("{} twice", own.key);
                return Err(DynamicsError::config("parameters", found, "each key once"));
            }
            places.push(match config.number(&own.key) {
                Some(value) => own.place(value)?,
                None => 0.5,
            });
        }
        Ok((all, places))
    }
}

/// The variables that are compared, each with the name of its array.
fn observed(
    settings: &Settings,
    config: &ExperimentConfig,
    outcome: &Outcome,
) -> Vec<(String, String)> {
    if !settings.observe.is_empty() {
        let pairs = settings.observe.iter().map(|text| {
            let (name, array) = text.split_once('=').unwrap_or((text, text));
            (name.trim().to_owned(), array.trim().to_owned())
        });
        return pairs.collect();
    }
    let names = config.record.variables.iter().cloned();
    let first = outcome.traces.iter().take(1).map(|own| own.name.clone());
    let names: Vec<String> = if config.record.variables.is_empty() {
        first.collect()
    } else {
        names.collect()
    };
    names.into_iter().map(|name| (name.clone(), name)).collect()
}

/// What is known of the parameters after a fit.
struct Known {
    best: Minimum,
    posterior: Posterior,
}

/// How far the work has come.
struct Course<'a> {
    request: &'a Request<'a>,
    done: Shared<f64>,
}

impl Course<'_> {
    fn heard(&self) -> Result<(), DynamicsError> {
        self.request.done(self.done.get())
    }
}

/// The analysis by name.
pub(super) fn run(request: &Request<'_>) -> Result<Findings, DynamicsError> {
    let settings: Settings = request.settings()?;
    settings.validate()?;
    let (parameters, start) = settings.free(request.config)?;
    let course = Course {
        request,
        done: Shared::new(0.0),
    };
    let heard = || course.heard();
    let mut config = request.config.clone();
    if !settings.observe.is_empty() {
        let names = settings.observe.iter();
        let names = names.map(|text| text.split('=').next().unwrap_or_default().trim());
        config.record.variables = names.map(str::to_owned).collect();
    }
    let mut problem = Problem {
        config,
        place: request.place,
        parameters,
        targets: Vec::new(),
        traces: settings.trace,
        features: settings
            .features
            .iter()
            .map(|text| Asked::read(text))
            .collect::<Result<_, _>>()?,
        measured: Vec::new(),
        threshold: settings.threshold,
    };
    let at_start = one_run(&problem, &start, &heard)?;
    let names = observed(&settings, request.config, &at_start);
    problem.targets = targets(request, &settings, &names, &at_start)?;
    problem.config.record.variables = names.into_iter().map(|(name, _)| name).collect();
    problem.ask_for_memory()?;
    measure(&mut problem)?;
    let residuals = problem.residuals(&problem.modelled(&at_start)?).len();
    let free = problem.parameters.len();
    if residuals <= free {
        let found = counted(residuals, "number");
        let allowed = format!("more numbers than the {free} parameters");
        return Err(DynamicsError::config("recording", found, allowed));
    }

    let mut findings = Findings::default();
    let mut starts = None;
    let best = if settings.recording.is_some() {
        let (best, table) = search(&mut problem, &settings, start, &course, &mut findings)?;
        starts = table;
        best
    } else {
        Minimum {
            place: start,
            residuals: vec![0.0; residuals],
            squares: 0.0,
            steps: 0,
            end: End::Converged,
        }
    };
    let slopes = slopes(&problem, &best.place, None, &heard)?;
    let posterior = Posterior::new(&slopes)?;
    drop(slopes);
    let known = Known { best, posterior };
    let profiles = profiles(&problem, &settings, &known, &course)?;
    findings.tables.extend(tables(&problem, &known));
    findings.tables.extend(starts);
    findings
        .tables
        .extend(of_profiles(&problem, &known, &profiles));
    tell(&problem, &settings, &known, &profiles, &mut findings.notes);
    let fitted = one_run(&problem, &known.best.place, &heard)?;
    let modelled = problem.modelled(&fitted)?;
    findings.tables.extend(of_features(&problem, &modelled));
    findings.arrays = arrays(&problem, &known, &modelled);
    #[cfg(feature = "plot")]
    {
        findings.figure = Some(figure(request, &problem, &known, &profiles, &modelled));
    }
    Ok(findings)
}

/// What the features are of what was measured.
fn measure(problem: &mut Problem<'_>) -> Result<(), DynamicsError> {
    let Some(first) = problem
        .targets
        .first()
        .filter(|_| !problem.features.is_empty())
    else {
        return Ok(());
    };
    if first.unit != "mV" {
        let found = format!("{} in {}", first.name, first.unit);
        let allowed = "those of a voltage, in mV, which is observed first";
        return Err(DynamicsError::config("features", found, allowed));
    }
    let values = first.values.clone();
    let features = problem.features.iter();
    let all: Vec<Vec<Vec<f64>>> = features
        .map(|asked| problem.columns(&values, |_, course| asked.of(course)))
        .collect();
    problem.measured = all;
    Ok(())
}

/// The features of the recording and of the fit.
fn of_features(problem: &Problem<'_>, modelled: &[Vec<f64>]) -> Option<Table> {
    let first = modelled.first().filter(|_| !problem.features.is_empty())?;
    let columns = [
        "feature",
        "unit",
        "column",
        "number",
        "recorded",
        "fitted",
        "deviations",
    ];
    let mut table = Table::new("features", columns.map(|name| (name, "1")));
    for (asked, measured) in problem.features.iter().zip(&problem.measured) {
        let fitted = problem.columns(first, |_, course| asked.of(course));
        for (column, (recorded, fitted)) in measured.iter().zip(&fitted).enumerate() {
            for number in 0..recorded.len().max(fitted.len()) {
                let of = |all: &[f64]| all.get(number).copied().unwrap_or(f64::NAN);
                let (recorded, fitted) = (of(recorded), of(fitted));
                let deviation = asked.deviation.unwrap_or(f64::NAN);
                table.rows.push(vec![
                    asked.feature.name.into(),
                    asked.feature.unit.into(),
                    column.into(),
                    number.into(),
                    recorded.into(),
                    fitted.into(),
                    ((fitted - recorded) / deviation).into(),
                ]);
            }
        }
    }
    Some(table)
}

/// One run, which can be stopped.
fn one_run(
    problem: &Problem<'_>,
    place: &[f64],
    heard: &dyn Fn() -> Result<(), DynamicsError>,
) -> Result<Outcome, DynamicsError> {
    let work = |_: usize, stop: &AtomicBool| problem.run(place, stop);
    let mut all = side_by_side(1, &|_| heard(), &work)?;
    all.pop().ok_or(DynamicsError::Stopped)
}

/// What was measured, or would be.
fn targets(
    request: &Request<'_>,
    settings: &Settings,
    names: &[(String, String)],
    outcome: &Outcome,
) -> Result<Vec<Target>, DynamicsError> {
    let span = [settings.from, outcome.reached];
    if !(span[0] >= outcome.from && span[0] < span[1]) {
        let allowed = format!("{} to less than {} ms", outcome.from, span[1]);
        return Err(DynamicsError::config("from", span[0], allowed));
    }
    let given = settings.noise.as_ref().map(Values::as_slice);
    if let Some(given) = given.filter(|given| ![1, names.len()].contains(&given.len())) {
        let found = counted(given.len(), "number");
        let allowed = format!("one number, or {}: one for each variable", names.len());
        return Err(DynamicsError::config("noise", found, allowed));
    }
    let mut all = Vec::with_capacity(names.len());
    for (index, (name, array)) in names.iter().enumerate() {
        let trace = problem::trace(outcome, name)?;
        let mut target = match &settings.recording {
            Some(file) => problem::read((file, array), trace, span, request.reader)?,
            None => {
                let first = outcome.times.partition_point(|time| *time < span[0]);
                Target {
                    name: name.clone(),
                    unit: trace.unit.clone(),
                    times: outcome.times[first..].to_vec(),
                    width: trace.width,
                    values: trace.values[first * trace.width..].to_vec(),
                    noise: 1.0,
                }
            }
        };
        let spread = target.spread();
        target.noise = match given {
            Some([one]) => *one,
            Some(each) => each.get(index).copied().unwrap_or(1.0),
            None if spread > 0.0 => spread,
            None => 1.0,
        };
        all.push(target);
    }
    Ok(all)
}

/// The best of the fits from all starts, and all of them.
fn search(
    problem: &mut Problem<'_>,
    settings: &Settings,
    start: Vec<f64>,
    course: &Course<'_>,
    findings: &mut Findings,
) -> Result<(Minimum, Option<Table>), DynamicsError> {
    let heard = || course.heard();
    let mut places = vec![start];
    let drawn = scattered(settings.starts - 1, problem.parameters(), settings.seed);
    places.extend(drawn);
    let profiled = if settings.profile > 0 { 0.5 } else { 1.0 };
    let mut ends: Vec<(usize, Minimum)> = Vec::new();
    let mut failed: Vec<(usize, DynamicsError)> = Vec::new();
    for (index, place) in places.iter().enumerate() {
        match descend(problem, place, None, settings.steps, &heard) {
            Ok(end) => ends.push((index, end)),
            Err(DynamicsError::Stopped) => return Err(DynamicsError::Stopped),
            Err(error) => failed.push((index, error)),
        }
        let share = (index + 1) as f64 / places.len() as f64;
        course.done.set(profiled * share);
    }
    ends.sort_by(|a, b| a.1.squares.total_cmp(&b.1.squares));
    let Some((_, best)) = ends.first() else {
        let (_, error) = failed.swap_remove(0);
        return Err(error);
    };
    let mut best = best.clone();
    let residuals = best.residuals.len();
    let freedom = (residuals - problem.parameters()) as f64;
    // In noise of the best fit, where none was given.
    let scale = match settings.noise {
        None if problem.traces => freedom / best.squares,
        _ => 1.0,
    };
    let table = (settings.starts > 1).then(|| {
        let names = problem.parameters.iter();
        let names = names.map(|own| (own.key.clone(), "1".to_owned()));
        let columns = ["start", "χ² above the best", "steps", "end"];
        let columns = columns.map(|name| (name.to_owned(), "1".to_owned()));
        let mut table = Table::new("starts", columns.into_iter().chain(names));
        for (index, end) in &ends {
            let how = match end.end {
                End::Converged => "converged",
                End::Unfinished => "not at its end",
            };
            let above = scale * (end.squares - best.squares);
            let values = problem.parameters.iter().zip(&end.place);
            let values = values.map(|(own, z)| Cell::from(own.value(*z)));
            let row = [
                (index + 1).into(),
                above.into(),
                end.steps.into(),
                how.into(),
            ];
            table.rows.push(row.into_iter().chain(values).collect());
        }
        table
    });
    if settings.starts > 1 {
        let same: Vec<&Minimum> = ends
            .iter()
            .map(|(_, end)| end)
            .filter(|end| scale * (end.squares - best.squares) < LEVEL)
            .collect();
        let mut widest = (0.0, "");
        for (index, own) in problem.parameters.iter().enumerate() {
            let places = same.iter().map(|end| end.place[index]);
            let (low, high) = places.fold((1.0_f64, 0.0_f64), |(low, high), z| {
                (low.min(z), high.max(z))
            });
            if high - low >= widest.0 {
                widest = (high - low, &own.key);
            }
        }
        findings.notes.push(format!(
            "{} of {} end as good as the best, within {LEVEL:.2} of its χ²; among them {} differs most, by {} % of its range",
            same.len(),
            counted(settings.starts, "start"),
            widest.1,
            Number((1e4 * widest.0).round() / 100.0)
        ));
    }
    for (index, error) in failed.iter().take(3) {
        let start = index + 1;
        findings
            .notes
            .push(format!("start {start} came to nothing: {error}"));
    }
    if failed.len() > 3 {
        let more = failed.len() - 3;
        findings
            .notes
            .push(format!("{more} other starts came to nothing"));
    }
    if settings.noise.is_none() && problem.traces {
        best = by_own_noise(problem, settings, best, (&heard, &mut findings.notes))?;
    }
    Ok((best, table))
}

/// The fit with the noise that it leaves itself: of each variable the residuals' mean square, without what the parameters took.
fn by_own_noise(
    problem: &mut Problem<'_>,
    settings: &Settings,
    best: Minimum,
    (heard, notes): (&dyn Fn() -> Result<(), DynamicsError>, &mut Vec<String>),
) -> Result<Minimum, DynamicsError> {
    let count = best.residuals.len() as f64;
    // What of a mean square is not taken by the parameters.
    let share = 1.0 - problem.parameters.len() as f64 / count;
    let mut first = 0;
    for target in &mut problem.targets {
        let own = &best.residuals[first..first + target.values.len()];
        first += own.len();
        let mean = own.iter().map(|r| r * r).sum::<f64>() / (share * own.len() as f64);
        let noise = target.noise * mean.sqrt();
        let least = ROUNDING * target.spread();
        if noise <= least {
            notes.push(format!(
                "the fit leaves nothing of {}: errors are those of noise of {ROUNDING:e} of its standard deviation; set noise",
                target.name
            ));
        }
        target.noise = if least > 0.0 { noise.max(least) } else { 1.0 };
    }
    descend(problem, &best.place, None, settings.steps, heard)
}

fn profiles(
    problem: &Problem<'_>,
    settings: &Settings,
    known: &Known,
    course: &Course<'_>,
) -> Result<Vec<Profile>, DynamicsError> {
    if settings.profile == 0 {
        return Ok(Vec::new());
    }
    let heard = || course.heard();
    let count = problem.parameters.len();
    let mut all = Vec::with_capacity(count);
    for index in 0..count {
        let own = (index, known.posterior.deviations[index]);
        let size = (settings.profile, settings.steps);
        all.push(profile(problem, &known.best, own, size, &heard)?);
        let share = (index + 1) as f64 / count as f64;
        course.done.set(0.5 + 0.5 * share);
    }
    Ok(all)
}

/// Of parameters, and of combinations of them, the least known first.
fn tables(problem: &Problem<'_>, known: &Known) -> [Table; 2] {
    let Known { best, posterior } = known;
    let free = &problem.parameters;
    let names: Vec<String> = free.iter().map(|own| own.name(free)).collect();
    let columns = [
        "parameter",
        "value",
        "standard error",
        "2.5 %",
        "97.5 %",
        "determined",
        "goes with",
        "correlation",
    ];
    let mut parameters = Table::new("parameters", columns.map(|name| (name, "1")));
    for (index, own) in free.iter().enumerate() {
        let (z, deviation) = (best.place[index], posterior.deviations[index]);
        let end = |by: f64| own.end(z + by * deviation).unwrap_or(f64::NAN);
        let (partner, correlation) = match posterior.partner(index) {
            Some((other, correlation)) => (names[other].clone(), correlation),
            None => (String::new(), f64::NAN),
        };
        parameters.rows.push(vec![
            own.key.clone().into(),
            own.value(z).into(),
            own.length(z, deviation).into(),
            end(-NORMAL).into(),
            end(NORMAL).into(),
            known_or_not(deviation).into(),
            partner.into(),
            correlation.into(),
        ]);
    }
    let columns = [
        "combination",
        "standard deviation in ranges",
        "curvature",
        "determined",
    ];
    let mut combinations = Table::new("combinations", columns.map(|name| (name, "1")));
    for index in (0..free.len()).rev() {
        let deviation = posterior.along(index);
        combinations.rows.push(vec![
            posterior.named(index, &names).into(),
            deviation.into(),
            posterior.eigenvalues[index].max(0.0).into(),
            known_or_not(deviation).into(),
        ]);
    }
    [parameters, combinations]
}

fn known_or_not(deviation: f64) -> &'static str {
    if deviation < UNIFORM { "yes" } else { "no" }
}

/// The profiles, and the intervals that they give.
fn of_profiles(problem: &Problem<'_>, known: &Known, profiles: &[Profile]) -> Vec<Table> {
    if profiles.is_empty() {
        return Vec::new();
    }
    let columns = ["parameter", "2.5 % by profile", "97.5 % by profile"];
    let mut intervals = Table::new("intervals", columns.map(|name| (name, "1")));
    let columns = ["parameter", "value", "χ² above the best", "by curvature"];
    let mut points = Table::new("profiles", columns.map(|name| (name, "1")));
    for (index, (own, profile)) in problem.parameters.iter().zip(profiles).enumerate() {
        let middle = known.best.place[index];
        let deviation = known.posterior.deviations[index];
        let [low, high] = profile
            .interval(middle)
            .map(|end| end.and_then(|z| own.end(z)).unwrap_or(f64::NAN));
        let row = vec![own.key.clone().into(), low.into(), high.into()];
        intervals.rows.push(row);
        for (held, above) in profile.held.iter().zip(&profile.above) {
            points.rows.push(vec![
                own.key.clone().into(),
                own.value(*held).into(),
                (*above).into(),
                ((held - middle) / deviation).powi(2).into(),
            ]);
        }
    }
    vec![intervals, points]
}

/// The correlation of the residuals of a variable with those one sample later.
fn one_apart(residuals: &[f64], width: usize) -> f64 {
    let pairs = residuals.iter().zip(residuals.iter().skip(width));
    let products: f64 = pairs.map(|(a, b)| a * b).sum();
    let squares: f64 = residuals.iter().map(|r| r * r).sum();
    products / squares
}

fn tell(
    problem: &Problem<'_>,
    settings: &Settings,
    known: &Known,
    profiles: &[Profile],
    notes: &mut Vec<String>,
) {
    let Known { best, posterior } = known;
    let free = &problem.parameters;
    let names: Vec<String> = free.iter().map(|own| own.name(free)).collect();
    let open: Vec<String> = (0..free.len())
        .rev()
        .filter(|index| posterior.along(*index) >= UNIFORM)
        .map(|index| posterior.named(index, &names))
        .collect();
    for combination in &open {
        notes.push(format!(
            "not determined: {combination}; along it the measurement says no more than the ranges"
        ));
    }
    let condition = posterior.condition();
    notes.push(if condition.is_finite() {
        format!("condition number of JᵀJ {condition:.3e}, in ranges")
    } else {
        "condition number of JᵀJ above 1e12, beyond what differences of runs resolve".to_owned()
    });
    let slopes = |index: usize| posterior.curvature[index * (free.len() + 1)];
    for (index, own) in free.iter().enumerate() {
        if slopes(index) == 0.0 {
            let key = &own.key;
            notes.push(format!("nothing that is observed depends on {key}"));
        }
    }
    if settings.recording.is_none() {
        notes.push(
            "no recording: what one of this experiment with that noise would tell at these values"
                .to_owned(),
        );
        return;
    }
    if best.end == End::Unfinished {
        notes.push(format!(
            "the fit was not at its end after {}: errors are those of a minimum; set steps higher",
            counted(best.steps, "step")
        ));
    }
    for (own, z) in free.iter().zip(&best.place) {
        if *z <= 0.0 || *z >= 1.0 {
            notes.push(format!(
                "{} is at the end of its range, {}: its error is that of a minimum, which lies beyond",
                own.key,
                Number(own.value(*z))
            ));
        }
    }
    let mut first = 0;
    let fitted = problem.targets.iter().filter(|_| problem.traces);
    for target in fitted {
        let own = &best.residuals[first..first + target.values.len()];
        first += own.len();
        let mean = own.iter().map(|r| r * r).sum::<f64>() / own.len() as f64;
        let explained = 1.0 - mean * (target.noise / target.spread()).powi(2);
        notes.push(format!(
            "{}: R² {explained:.6}, {:.4} {} root mean square error over {}",
            target.name,
            mean.sqrt() * target.noise,
            target.unit,
            counted(own.len(), "sample")
        ));
        let together = one_apart(own, target.width);
        // Of residuals far below a noise that is given it does not matter.
        if mean > 0.25 && together > TOGETHER && together < 1.0 {
            let factor = ((1.0 + together) / (1.0 - together)).sqrt();
            notes.push(format!(
                "{}: residuals go together from sample to sample, correlation {together:.3}: errors, which take them for \
                 independent, are about {factor:.1} times too small",
                target.name
            ));
        }
    }
    let freedom = (best.residuals.len() - free.len()) as f64;
    let per = best.squares / freedom;
    if settings.noise.is_some() && per > 1.0 + 5.0 * (2.0 / freedom).sqrt() {
        notes.push(format!(
            "χ² per degree of freedom is {per:.2}: the model leaves more than the noise; errors hold for a model that does not"
        ));
    }
    for (own, profile) in free.iter().zip(profiles) {
        if profile.better.is_some() {
            let key = &own.key;
            notes.push(format!(
                "the profile of {key} found a better fit: set starts higher, or begin there"
            ));
        }
    }
    let set = free.iter().zip(&best.place);
    let set: Vec<String> = set
        .map(|(own, z)| format!("--set {}={}", own.key, own.value(*z)))
        .collect();
    notes.push(set.join(" "));
}

fn arrays(problem: &Problem<'_>, known: &Known, modelled: &[Vec<f64>]) -> Vec<Array> {
    let n = problem.parameters.len();
    let square = |name: &str, values: &[f64]| Array::new(name, vec![n, n], values.to_vec());
    let mut all = vec![
        square("JᵀJ", &known.posterior.curvature),
        square("correlations", &known.posterior.correlations),
        square("combinations", &known.posterior.combinations),
    ];
    for (target, own) in problem.targets.iter().zip(modelled) {
        let shape = vec![target.times.len(), target.width];
        let name = &target.name;
        let times = vec![target.times.len()];
        all.push(Array::new(
            format!("time of {name}"),
            times,
            target.times.clone(),
        ));
        all.push(Array::new(
            format!("{name} recorded"),
            shape.clone(),
            target.values.clone(),
        ));
        all.push(Array::new(format!("{name} fitted"), shape, own.clone()));
    }
    all
}

/// The most columns of a variable that are drawn.
#[cfg(feature = "plot")]
const COLUMNS: usize = 4;

/// The profiles, or the recording and the fit.
#[cfg(feature = "plot")]
fn figure(
    request: &Request<'_>,
    problem: &Problem<'_>,
    known: &Known,
    profiles: &[Profile],
    modelled: &[Vec<f64>],
) -> granule_chart::Figure {
    use granule_chart::{Figure, Mark, Panel};

    if !profiles.is_empty() {
        let figure = Figure::new(request.title, "place in the range of the parameter");
        let pairs = problem.parameters.iter().zip(profiles).enumerate();
        return pairs.fold(figure, |figure, (index, (own, profile))| {
            let middle = known.best.place[index];
            let deviation = known.posterior.deviations[index];
            let points = profile.held.iter().copied();
            let curve = |z: f64| (z, ((z - middle) / deviation).powi(2));
            let (first, last) = (
                profile.held.first().copied().unwrap_or(middle),
                profile.held.last().copied().unwrap_or(middle),
            );
            let fine = (0..=100).map(|k| curve(first + (last - first) * f64::from(k) / 100.0));
            let points = points.zip(profile.above.iter().copied()).collect();
            let name = own.name(&problem.parameters);
            let panel = Panel::new(format!("χ², {name}"))
                .with(Mark::line("by curvature", fine.collect()))
                .with(Mark::points("profile", points))
                .with(Mark::Level { y: LEVEL });
            figure.with(panel)
        });
    }
    let figure = Figure::new(request.title, "time (ms)");
    let pairs = problem.targets.iter().zip(modelled);
    pairs.fold(figure, |figure, (target, own)| {
        (0..target.width.min(COLUMNS)).fold(figure, |figure, column| {
            let over_time = |values: &[f64]| {
                let values = values.iter().skip(column).step_by(target.width.max(1));
                target.times.iter().copied().zip(values.copied()).collect()
            };
            let label = crate::figure::label(&target.name, &target.unit);
            let panel = Panel::new(label)
                .with(Mark::line("recorded", over_time(&target.values)))
                .with(Mark::line("fitted", over_time(own)));
            figure.with(panel)
        })
    })
}
