//! What outputs answer to, as maps of channels at lags.

use serde::Serialize;

use super::axis::Tick;
use super::format::{coordinate, count, shorten, significant};
use super::heatmap::{Shade, Shades};
use crate::receptive::{Answer, Outputs, ReceptiveField, ReceptiveFields};

/// Outputs at most, those with the longest fields.
const MOST_FIELDS: usize = 12;
/// Channels of a map at most, those with the largest slopes.
const MOST_ROWS: usize = 60;
/// Names beside and below a map at most.
const MOST_NAMES: usize = 12;
const LONGEST_NAME: usize = 9;
/// The area of all maps of an output, px.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 356.0;
const TOP: f64 = 28.0;
/// Between the maps.
const GAP: f64 = 14.0;
/// The sides of a cell at most.
const CELL: [f64; 2] = [26.0, 14.0];
/// How high a map is about, px.
const HEIGHT: f64 = 240.0;

#[derive(Debug, Serialize)]
pub(super) struct Section {
    pub plots: Vec<Plot>,
    pub note: String,
}

/// The maps of an output.
#[derive(Debug, Serialize)]
pub(super) struct Plot {
    pub title: String,
    pub note: String,
    pub width: f64,
    pub height: f64,
    pub left: f64,
    pub top: f64,
    pub bottom: f64,
    pub upward: String,
    pub rows: Vec<Tick>,
    pub maps: Vec<Map>,
}

#[derive(Debug, Serialize)]
pub(super) struct Map {
    pub title: String,
    pub left: f64,
    pub width: f64,
    pub across: String,
    pub columns: Vec<Tick>,
    pub shades: Vec<Shade>,
}

/// The maps of the longest fields; nothing where no output answers to anything.
pub(super) fn draw(fields: &ReceptiveFields) -> Option<Section> {
    let longest = fields.ranked().into_iter();
    let longest = longest.filter(|field| field.strength() > 0.0);
    let longest: Vec<&ReceptiveField> = longest.take(MOST_FIELDS).collect();
    let rows = rows(fields, &longest);
    let plots = longest.into_iter().map(|field| plot(fields, field, &rows));
    let plots: Vec<Plot> = plots.collect();
    let which = if rows.len() < fields.channels.len() {
        format!(
            " Of {} {}s the {} with the largest slopes.",
            fields.channels.len(),
            fields.thing,
            rows.len()
        )
    } else {
        String::new()
    };
    let shown = match fields.fields.len().saturating_sub(plots.len()) {
        0 => String::new(),
        _ => format!("The {} longest of {}. ", plots.len(), fields.fields.len()),
    };
    let of = match fields.answer {
        Answer::Value => "an output, in its standard deviations,",
        Answer::LogRate => "the logarithm of an output\u{2019}s rate",
        Answer::Logit => "a class\u{2019}s logit",
    };
    let note = format!(
        "{shown}How much {of} grows with a {} by one of its standard deviations, in the mean of {} samples; each map is \
         scaled to its own largest slope.{which}",
        fields.thing,
        count(fields.samples as u64)
    );
    (!plots.is_empty()).then_some(Section { plots, note })
}

/// The channels of the maps in their order, the same ones of all: each counts by its largest share of a field's largest slope.
fn rows(fields: &ReceptiveFields, shown: &[&ReceptiveField]) -> Vec<usize> {
    let channels = fields.channels.len();
    let largest = |channel: usize| {
        let shares = shown.iter().map(|field| {
            let most = |slopes: &mut dyn Iterator<Item = &f64>| {
                slopes.fold(0.0_f64, |most, slope| most.max(slope.abs()))
            };
            let own = most(&mut field.model.iter().skip(channel).step_by(channels.max(1)));
            own / most(&mut field.model.iter())
        });
        shares.fold(0.0_f64, f64::max)
    };
    let mut rows: Vec<usize> = (0..channels).collect();
    if channels > MOST_ROWS {
        let shares: Vec<f64> = (0..channels).map(largest).collect();
        let share = |channel: &usize| shares.get(*channel).copied().unwrap_or(0.0);
        rows.sort_by(|a, b| share(b).total_cmp(&share(a)));
        rows.truncate(MOST_ROWS);
        rows.sort_unstable();
    }
    rows
}

/// What an output is called, as everywhere on the page.
fn title(fields: &ReceptiveFields, field: &ReceptiveField) -> String {
    let name = shorten(&field.output, 24);
    match (fields.outputs, field.output.parse::<usize>()) {
        (Outputs::Values, Ok(place)) => format!("Output {}", place + 1),
        (Outputs::Channels, _) => format!("Channel {name}"),
        _ => name,
    }
}

fn plot(fields: &ReceptiveFields, field: &ReceptiveField, rows: &[usize]) -> Plot {
    let height = (HEIGHT / rows.len().max(1) as f64).clamp(4.0, CELL[1]);
    let bottom = TOP + height * rows.len() as f64;
    let beside = fields.linear.as_ref().zip(field.linear.as_ref());
    let mut drawn = vec![("model", &field.model)];
    drawn.extend(beside.map(|(linear, weights)| (linear.name.as_str(), weights)));
    let each = (RIGHT - LEFT + GAP) / drawn.len() as f64;
    let steps = fields.lags.len().max(1) as f64;
    let width = ((each - GAP) / steps).min(CELL[0]);
    let map = |(index, (title, slopes)): (usize, (&str, &Vec<f64>))| Map {
        title: title.to_owned(),
        left: LEFT + each * index as f64,
        width: width * steps,
        across: match (fields.lags.len(), fields.step.as_str()) {
            (1, _) => String::new(),
            (_, "lag") => "lag, bins".to_owned(),
            (_, step) => step.to_owned(),
        },
        columns: columns(fields, width),
        shades: shades(slopes, fields.channels.len(), rows, [width, height]),
    };
    let mut notes = Vec::new();
    if let Some(peak) = field.peak()
        && let (Some((lag, channel)), Some(slope)) = (fields.names(peak), field.model.get(peak))
    {
        let at = match fields.lags.len() {
            1 => String::new(),
            _ => format!(" at {} {lag}", fields.step),
        };
        let slope = significant(*slope);
        notes.push(format!("largest: {slope}, {} {channel}{at}", fields.thing));
    }
    notes.extend(field.cosine.map(|cosine| format!("cosine {cosine:.2}")));
    let every = rows.len().div_ceil(MOST_NAMES).max(1);
    let name = |(row, channel): (usize, &usize)| Tick {
        at: coordinate(TOP + height * (row as f64 + 0.5)),
        label: fields
            .channels
            .get(*channel)
            .copied()
            .unwrap_or(*channel)
            .to_string(),
    };
    Plot {
        title: title(fields, field),
        note: notes.join("; "),
        width: RIGHT + 12.0,
        height: bottom + 38.0,
        left: LEFT,
        top: TOP,
        bottom,
        upward: fields.thing.clone(),
        rows: rows.iter().enumerate().step_by(every).map(name).collect(),
        maps: drawn.into_iter().enumerate().map(map).collect(),
    }
}

/// The names of lags, that of the bin that is decoded among them.
fn columns(fields: &ReceptiveFields, width: f64) -> Vec<Tick> {
    if fields.lags.len() < 2 {
        return Vec::new();
    }
    let fitting = (26.0 / width.max(0.1)).ceil() as usize;
    let every = fitting.max(fields.lags.len().div_ceil(MOST_NAMES)).max(1);
    let named = fields.lags.iter().position(|lag| lag == "0");
    let begin = named.map_or(0, |at| at % every);
    let lags = fields.lags.iter().enumerate().skip(begin).step_by(every);
    let name = |(step, lag): (usize, &String)| Tick {
        at: coordinate(width * (step as f64 + 0.5)),
        label: shorten(lag, LONGEST_NAME),
    };
    lags.map(name).collect()
}

fn shades(
    slopes: &[f64],
    channels: usize,
    rows: &[usize],
    [width, height]: [f64; 2],
) -> Vec<Shade> {
    let most = slopes
        .iter()
        .fold(0.0_f64, |most, slope| most.max(slope.abs()));
    let mut shades = Shades::default();
    for (step, slopes) in slopes.chunks(channels.max(1)).enumerate() {
        for (row, channel) in rows.iter().enumerate() {
            let slope = slopes.get(*channel).copied().unwrap_or(0.0);
            let kind = if slope < 0.0 { "miss" } else { "hit" };
            let at = [width * step as f64, TOP + height * row as f64];
            if slope != 0.0 {
                shades.add(kind, slope.abs() / most, at, [width, height]);
            }
        }
    }
    shades.drawn()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receptive::LinearField;

    fn fields(channels: usize, steps: usize) -> ReceptiveFields {
        let slope = |at: usize| if at == 1 { -2.0 } else { at as f64 / 1e3 };
        let slopes: Vec<f64> = (0..channels * steps).map(slope).collect();
        let field = |output: usize| {
            let scaled = slopes.iter().map(|slope| slope * output as f64).collect();
            ReceptiveField::new(output.to_string(), scaled, Some(slopes.clone()))
        };
        ReceptiveFields {
            answer: Answer::LogRate,
            outputs: Outputs::Channels,
            thing: "channel".to_owned(),
            step: "lag".to_owned(),
            channels: (0..channels).map(|channel| channel + 10).collect(),
            lags: (0..steps)
                .map(|step| format!("{}", step as i64 - 1))
                .collect(),
            samples: 100,
            linear: Some(LinearField {
                name: "GLM, whole window".to_owned(),
                penalty: 1.0,
            }),
            fields: (0..20).map(field).collect(),
        }
    }

    #[test]
    fn the_longest_fields_are_drawn_beside_the_regression() {
        let section = draw(&fields(5, 3)).unwrap();
        assert_eq!(section.plots.len(), MOST_FIELDS);
        assert!(
            section.note.contains("The 12 longest of 20"),
            "{}",
            section.note
        );
        let plot = &section.plots[0];
        assert_eq!((plot.title.as_str(), plot.maps.len()), ("Channel 19", 2));
        assert!(plot.note.contains("channel 11 at lag -1"), "{}", plot.note);
        assert!(plot.note.contains("cosine 1.00"), "{}", plot.note);
        let full: Vec<_> = plot.maps[0]
            .shades
            .iter()
            .filter(|s| s.opacity == "1.00")
            .collect();
        assert_eq!((full.len(), full[0].kind), (1, "miss"));
        let labels: Vec<&str> = plot.rows.iter().map(|row| row.label.as_str()).collect();
        assert_eq!(labels, ["10", "11", "12", "13", "14"]);
    }

    #[test]
    fn many_channels_are_bounded_and_one_step_has_no_lags() {
        let section = draw(&fields(400, 1)).unwrap();
        let plot = &section.plots[0];
        assert!(
            section.note.contains("Of 400 channels the 60 with"),
            "{}",
            section.note
        );
        assert!(plot.maps[0].columns.is_empty() && plot.maps[0].across.is_empty());
        assert!(
            plot.maps
                .iter()
                .all(|map| map.left + map.width <= RIGHT + 1e-9)
        );
        let cells: usize = plot.maps[0]
            .shades
            .iter()
            .map(|s| s.path.matches('z').count())
            .sum();
        assert_eq!(cells, MOST_ROWS);
        let mut nothing = fields(2, 2);
        nothing.fields.truncate(1);
        assert!(draw(&nothing).is_none());
    }
}
