//! What the decoder uses, as bars.

use granule_chart::Axis;
use serde::Serialize;

use super::axis::wide::{BOTTOM, LEFT, RIGHT, TOP, WIDTH};
use super::axis::{Frame, Tick};
use super::format::{coordinate, count, shorten, significant};
use crate::importance::{By, Importance, PartImportance, Spread};

/// Channels or groups at most, the most important first.
const MOST_ROWS: usize = 40;
/// From one row to the next, px.
const ROW: f64 = 18.0;
const LONGEST_NAME: usize = 9;
/// Names below the bars of lags at most.
const MOST_NAMES: usize = 16;

#[derive(Debug, Serialize)]
pub(super) struct Plot {
    pub title: String,
    pub note: String,
    #[serde(flatten)]
    pub frame: Frame,
    /// What is along the horizontal axis, and along the vertical one.
    pub across: String,
    pub upward: String,
    /// Name, bars and where they reach by a standard deviation, of the model; then of the regression.
    pub bars: Vec<Bars>,
    /// Of 0.
    pub zero: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Bars {
    pub key: &'static str,
    pub class: &'static str,
    pub name: String,
    pub path: String,
    pub whiskers: String,
}

/// All drawings, the wide ones first, which stand beside one another.
pub(super) fn draw_all(used: &[Importance]) -> Vec<Plot> {
    let (lags, others): (Vec<_>, Vec<_>) = used.iter().partition(|one| one.by == By::Lag);
    lags.into_iter().chain(others).flat_map(draw).collect()
}

/// The drawings of what was measured one way; none where there is no repeat.
fn draw(importance: &Importance) -> Vec<Plot> {
    if importance.repeats == 0 || importance.parts.is_empty() {
        return Vec::new();
    }
    if importance.by != By::Lag {
        return rows(importance).into_iter().collect();
    }
    let all: Vec<&PartImportance> = importance.parts.iter().collect();
    let of_model = all.iter().map(|part| part.drop).collect();
    let of_linear = all.iter().map(|part| part.linear_drop).collect();
    let drops = upright(
        importance,
        [
            format!("Shuffled {}", importance.thing),
            note(importance),
            format!("loss of {}", importance.measure.name()),
        ],
        (Some(of_model), of_linear),
    );
    let alone = all.iter().map(|part| {
        part.alone.map(|mean| Spread {
            mean,
            deviation: None,
        })
    });
    let measure = importance.measure.name();
    let whole = importance.linear.as_ref();
    let whole = whole.map(|linear| {
        format!(
            "{measure} of {}: {}",
            linear.name,
            significant(linear.score)
        )
    });
    let alone = upright(
        importance,
        [
            format!("A regression on each {} alone", importance.thing),
            whole.unwrap_or_default(),
            measure.to_owned(),
        ],
        (None, alone.collect()),
    );
    drops.into_iter().chain(alone).collect()
}

fn note(importance: &Importance) -> String {
    let repeats = match importance.repeats {
        1 => "once".to_owned(),
        repeats => format!(
            "{} times, with the standard deviation",
            count(repeats as u64)
        ),
    };
    format!(
        "{} samples, shuffled {repeats}; without shuffling {} is {}",
        count(importance.samples as u64),
        importance.measure.name(),
        significant(importance.score)
    )
}

/// The ends of an axis that holds these numbers and 0.
fn ends<'a>(all: impl Iterator<Item = &'a Spread>) -> (f64, f64) {
    let reach = all.map(|spread| {
        let by = spread.deviation.unwrap_or(0.0);
        (spread.mean - by, spread.mean + by)
    });
    reach
        .filter(|(low, high)| low.is_finite() && high.is_finite())
        .fold(
            (0.0, 0.0),
            |(low, high): (f64, f64), (own_low, own_high)| (low.min(own_low), high.max(own_high)),
        )
}

fn rectangle([left, right]: [f64; 2], [top, bottom]: [f64; 2]) -> String {
    let [left, right, top, bottom] = [left, right, top, bottom].map(coordinate);
    format!("M{left} {bottom}V{top}H{right}V{bottom}z")
}

/// Channels or groups below one another.
fn rows(importance: &Importance) -> Option<Plot> {
    let shown: Vec<&PartImportance> = importance.ranked().into_iter().take(MOST_ROWS).collect();
    let all = shown.iter();
    let (low, high) =
        ends(all.flat_map(|part| std::iter::once(&part.drop).chain(&part.linear_drop)));
    let x = Axis::rounded(low, high, LEFT, RIGHT);
    let bottom = TOP + ROW * shown.len() as f64;
    let middle = |row: usize| TOP + ROW * (row as f64 + 0.5);
    let zero = x.place(0.0)?;
    let draw = |of: &dyn Fn(&PartImportance) -> Option<Spread>, [from, to]: [f64; 2]| {
        let (mut path, mut whiskers) = (String::new(), String::new());
        for (row, part) in shown.iter().enumerate() {
            let Some((spread, end)) = of(part).and_then(|s| Some((s, x.place(s.mean)?))) else {
                continue;
            };
            let across = [zero.min(end), zero.max(end)];
            path.push_str(&rectangle(across, [middle(row) + from, middle(row) + to]));
            let by = spread.deviation.unwrap_or(0.0);
            if let (Some(left), Some(right)) =
                (x.place(spread.mean - by), x.place(spread.mean + by))
                && by > 0.0
            {
                let at = coordinate(middle(row) + 0.5 * (from + to));
                whiskers.push_str(&format!("M{} {at}H{}", coordinate(left), coordinate(right)));
            }
        }
        (path, whiskers)
    };
    let beside = importance.linear.is_some();
    let of_model = draw(
        &|part| Some(part.drop),
        if beside { [-7.0, 1.0] } else { [-6.0, 6.0] },
    );
    let of_linear = draw(&|part| part.linear_drop, [1.0, 7.0]);
    let left_out = importance.parts.len().saturating_sub(shown.len());
    let title = match left_out {
        0 => format!("Shuffled {}", importance.thing),
        _ => format!(
            "Shuffled {}, the {} that count most",
            importance.thing,
            shown.len()
        ),
    };
    Some(Plot {
        title,
        note: note(importance),
        across: format!("loss of {}", importance.measure.name()),
        upward: importance.thing.clone(),
        frame: Frame {
            width: WIDTH,
            height: bottom + 46.0,
            left: LEFT,
            right: RIGHT,
            top: TOP,
            bottom,
            x_ticks: Tick::of(&x, significant),
            y_ticks: shown
                .iter()
                .enumerate()
                .map(|(row, part)| Tick {
                    at: coordinate(middle(row)),
                    label: shorten(&part.name, LONGEST_NAME),
                })
                .collect(),
        },
        bars: bars(importance, Some(of_model), of_linear),
        zero: line([zero, zero], [TOP, bottom]),
    })
}

fn line([x1, x2]: [f64; 2], [y1, y2]: [f64; 2]) -> String {
    let [x1, x2, y1, y2] = [x1, x2, y1, y2].map(coordinate);
    format!("M{x1} {y1}L{x2} {y2}")
}

fn bars(
    importance: &Importance,
    of_model: Option<(String, String)>,
    (path, whiskers): (String, String),
) -> Vec<Bars> {
    let of_model = of_model.map(|(path, whiskers)| Bars {
        key: "hit",
        class: "usual",
        name: "model".to_owned(),
        path,
        whiskers,
    });
    let of_linear = importance.linear.as_ref().map(|linear| Bars {
        key: "miss",
        class: "null",
        // On a lag alone it is another one.
        name: match (&of_model, linear.name.split_once(',')) {
            (None, Some((kind, _))) => kind.to_owned(),
            _ => linear.name.clone(),
        },
        path,
        whiskers,
    });
    let all = of_model.into_iter().chain(of_linear);
    all.filter(|bars| !bars.path.is_empty()).collect()
}

/// Lags beside one another.
fn upright(
    importance: &Importance,
    [title, note, upward]: [String; 3],
    (of_model, of_linear): (Option<Vec<Spread>>, Vec<Option<Spread>>),
) -> Option<Plot> {
    let model = of_model.as_deref().unwrap_or_default();
    let (low, high) = ends(model.iter().chain(of_linear.iter().flatten()));
    let y = Axis::rounded(low, high, BOTTOM, TOP);
    let width = (RIGHT - LEFT) / importance.parts.len().max(1) as f64;
    let zero = y.place(0.0)?;
    let beside = of_model.is_some() && of_linear.iter().any(Option::is_some);
    let draw = |of: &dyn Fn(usize) -> Option<Spread>, [from, to]: [f64; 2]| {
        let (mut path, mut whiskers) = (String::new(), String::new());
        for at in 0..importance.parts.len() {
            let Some((spread, end)) = of(at).and_then(|s| Some((s, y.place(s.mean)?))) else {
                continue;
            };
            let left = LEFT + width * at as f64;
            let across = [left + from * width, left + to * width];
            path.push_str(&rectangle(across, [zero.min(end), zero.max(end)]));
            let by = spread.deviation.unwrap_or(0.0);
            if let (Some(foot), Some(head)) = (y.place(spread.mean - by), y.place(spread.mean + by))
                && by > 0.0
            {
                let middle = 0.5 * (across[0] + across[1]);
                whiskers.push_str(&line([middle, middle], [foot, head]));
            }
        }
        (path, whiskers)
    };
    let (first, second) = if beside {
        ([0.08, 0.5], [0.5, 0.92])
    } else {
        ([0.08, 0.92], [0.08, 0.92])
    };
    let of_linear = draw(&|at| of_linear.get(at).copied().flatten(), second);
    let of_model = of_model.as_ref();
    let of_model = of_model.map(|all| draw(&|at| all.get(at).copied(), first));
    let bars = bars(importance, of_model, of_linear);
    let every = importance.parts.len().div_ceil(MOST_NAMES).max(1);
    // The lag of the bin that is decoded has its name.
    let named = importance.parts.iter().position(|part| part.name == "0");
    let begin = named.map_or(0, |at| at % every);
    let x_ticks = importance
        .parts
        .iter()
        .enumerate()
        .skip(begin)
        .step_by(every);
    let x_ticks = x_ticks.map(|(at, part)| Tick {
        at: coordinate(LEFT + width * (at as f64 + 0.5)),
        label: part.name.clone(),
    });
    let across = match importance.thing.as_str() {
        "lag" => "lag, bins".to_owned(),
        thing => thing.to_owned(),
    };
    (!bars.is_empty()).then(|| Plot {
        title,
        note,
        across,
        upward,
        frame: Frame {
            width: WIDTH,
            height: BOTTOM + 46.0,
            left: LEFT,
            right: RIGHT,
            top: TOP,
            bottom: BOTTOM,
            x_ticks: x_ticks.collect(),
            y_ticks: Tick::of(&y, significant),
        },
        bars,
        zero: line([LEFT, RIGHT], [zero, zero]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::importance::{LinearScore, Measure};

    fn measured(by: By, drops: &[f64]) -> Importance {
        let part = |(at, &drop): (usize, &f64)| PartImportance {
            name: match by {
                By::Lag => format!("{:+}", at as i64 - drops.len() as i64 + 1),
                _ => at.to_string(),
            },
            constant: false,
            drop: Spread::of(&[drop - 0.01, drop + 0.01]),
            loss_rise: Spread::of(&[drop]),
            linear_drop: Some(Spread::of(&[0.5 * drop])),
            alone: (by == By::Lag).then_some(0.25),
        };
        Importance {
            by,
            thing: by.name().to_owned(),
            measure: Measure::R2,
            score: 0.5,
            loss: 1.0,
            samples: 100,
            repeats: 2,
            seed: 1,
            linear: Some(LinearScore {
                name: "ridge, whole window".to_owned(),
                penalty: 10.0,
                score: 0.25,
            }),
            parts: drops.iter().enumerate().map(part).collect(),
        }
    }

    #[test]
    fn the_most_important_channels_stand_on_top() {
        let plots = draw(&measured(By::Channel, &[0.1, 0.4, -0.1]));
        let [plot] = plots.as_slice() else {
            panic!("{plots:?}");
        };
        let names: Vec<&str> = plot
            .frame
            .y_ticks
            .iter()
            .map(|tick| tick.label.as_str())
            .collect();
        assert_eq!(names, ["1", "0", "2"]);
        assert_eq!(plot.bars.len(), 2);
        for bars in &plot.bars {
            assert_eq!(bars.path.matches('z').count(), 3);
        }
        // The regression was run once.
        assert_eq!(plot.bars[0].whiskers.matches('M').count(), 3);
        // One below zero ends there: zero, right of the left edge.
        let zero = plot.zero[1..].split(' ').next().unwrap();
        assert!(zero.parse::<f64>().unwrap() > LEFT, "{zero}");
        assert!(plot.bars[0].path.contains(&format!("H{zero}V")));
    }

    #[test]
    fn many_channels_are_bounded_and_lags_are_in_order() {
        let many: Vec<f64> = (0..3000).map(f64::from).collect();
        let plots = draw(&measured(By::Channel, &many));
        assert_eq!(plots[0].bars[0].path.matches('z').count(), MOST_ROWS);
        assert!(plots[0].title.contains("the 40 that count most"));
        let plots = draw(&measured(By::Lag, &many[..100]));
        assert_eq!(plots.len(), 2);
        let names: Vec<&str> = plots[0]
            .frame
            .x_ticks
            .iter()
            .map(|tick| tick.label.as_str())
            .collect();
        assert!(
            names.len() <= MOST_NAMES && names[0].starts_with('-'),
            "{names:?}"
        );
        assert_eq!(plots[1].bars.len(), 1);
        assert_eq!(plots[1].bars[0].name, "ridge");
        let none = Importance {
            repeats: 0,
            ..measured(By::Lag, &[1.0])
        };
        assert!(draw(&none).is_empty());
        assert!(draw(&measured(By::Group, &[f64::NAN])).len() <= 1);
    }
}
