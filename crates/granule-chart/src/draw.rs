//! Drawing with plotters, the same for every backend.

use plotters::backend::DrawingBackend;
use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, IntoTextStyle, RGBColor, ShapeStyle, WHITE};

use crate::axis::Axis;
use crate::figure::{ChartError, Figure, Mark, Panel};
use crate::font;
use crate::label::{extent, label};

/// Okabe and Ito's colours, told apart by every eye, without the yellow that white drowns.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(60, 60, 60),
];
/// From the least value of a map to the largest: viridis (van der Walt and Smith 2015), whose lightness rises evenly.
const SHADES: [RGBColor; 5] = [
    RGBColor(68, 1, 84),
    RGBColor(59, 82, 139),
    RGBColor(33, 145, 140),
    RGBColor(94, 201, 98),
    RGBColor(253, 231, 37),
];
/// Pieces of a map's legend.
const PIECES: i32 = 32;
const INK: RGBColor = RGBColor(51, 51, 51);
const FAINT: RGBColor = RGBColor(225, 225, 225);

const LEFT: i32 = 68;
const RIGHT: i32 = 18;
const TOP: i32 = 40;
const BOTTOM: i32 = 50;
/// Between panels, with room for a legend's row.
const GAP: i32 = 24;

#[cfg(test)]
pub(super) fn hex(index: usize) -> String {
    let RGBColor(r, g, b) = COLOURS[index];
    format!("#{r:02X}{g:02X}{b:02X}")
}

/// Lengths of a figure in pixels: how many make one of its own.
#[derive(Clone, Copy)]
pub(super) struct Scale(pub(super) f64);

impl Scale {
    /// At least one pixel for a length that is not 0.
    fn of(self, length: i32) -> i32 {
        let pixels = (f64::from(length) * self.0).round() as i32;
        pixels.max(length.signum())
    }
}

type Area<B> = DrawingArea<B, Shift>;

fn failed(error: impl std::fmt::Display) -> ChartError {
    ChartError::Draw {
        reason: error.to_string(),
    }
}

/// A panel's frame in pixels and its extent in data.
struct Frame {
    scale: Scale,
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    /// To pixels.
    x: Axis,
    y: Axis,
}

impl Frame {
    /// Where a point is, in pixels; `None` for one that is not finite, or not above 0 on a logarithmic axis.
    fn place(&self, (x, y): (f64, f64)) -> Option<(i32, i32)> {
        let pixel = |axis: &Axis, value| Some(axis.place(value)?.clamp(-1e6, 1e6).round() as i32);
        Some((pixel(&self.x, x)?, pixel(&self.y, y)?))
    }

    /// Where a value is across, or up, as marks of the axes are.
    fn across(&self, x: f64) -> i32 {
        self.place((x, self.y.low())).map_or(self.left, |(x, _)| x)
    }

    fn up(&self, y: f64) -> i32 {
        self.place((self.x.low(), y))
            .map_or(self.bottom, |(_, y)| y)
    }
}

/// The axis of some values between two pixels.
fn axis(
    logarithmic: bool,
    range: Option<(f64, f64)>,
    values: impl Iterator<Item = f64>,
    margin: f64,
    (from, to): (i32, i32),
) -> Option<Axis> {
    let (from, to) = (f64::from(from), f64::from(to));
    if !logarithmic {
        let (low, high) = range.or_else(|| extent(values, margin))?;
        return Some(Axis::exact(low, high, from, to));
    }
    if let Some((low, high)) = range {
        let fits = low > 0.0 && high > low;
        return fits.then(|| Axis::exact_logarithmic(low, high, from, to));
    }
    let (low, high) = values
        .filter(|x| *x > 0.0 && x.is_finite())
        .fold((f64::INFINITY, 0.0_f64), |(low, high), x| {
            (low.min(x), high.max(x))
        });
    (high > 0.0).then(|| Axis::logarithmic(low, high, from, to))
}

/// Draws every length `scale` times as long, and lines piece by piece where the backend joins steep ones badly (`pieces`).
pub(super) fn figure<B: DrawingBackend>(
    figure: &Figure,
    area: &Area<B>,
    scale: Scale,
    pieces: bool,
) -> Result<(), ChartError> {
    font::register()?;
    area.fill(&WHITE).map_err(failed)?;
    let (width, height) = area.dim_in_pixel();
    let (width, height) = (width as i32, height as i32);
    let [left, right, foot, gap] = [LEFT, RIGHT, BOTTOM, GAP].map(|x| scale.of(x));
    let everything = figure.panels.iter().flat_map(|panel| &panel.marks);
    let all = everything.flat_map(Mark::extent).map(|(x, _)| x);
    let across = (left, width - right);
    let x = axis(figure.logarithmic, figure.x_range, all, 0.0, across).ok_or_else(|| {
        ChartError::Empty {
            panel: figure
                .panels
                .first()
                .map(|panel| panel.y.clone())
                .unwrap_or_default(),
        }
    })?;

    let title = (font::FAMILY, scale.of(18))
        .into_text_style(area)
        .color(&INK);
    let at = (left, scale.of(12));
    area.draw(&Text::new(figure.title.clone(), at, title))
        .map_err(failed)?;

    let gaps = gap * (figure.panels.len() as i32 - 1).max(0);
    let room = f64::from(height - scale.of(TOP) - foot - gaps);
    let shares: f64 = figure.panels.iter().map(|panel| panel.share).sum();
    let mut top = f64::from(scale.of(TOP));
    let last = figure.panels.len().saturating_sub(1);
    for (index, panel) in figure.panels.iter().enumerate() {
        let bottom = top + room * panel.share / shares;
        let values = panel.marks.iter().flat_map(Mark::extent).map(|(_, y)| y);
        let margin = if panel.is_filled() { 0.0 } else { 0.06 };
        let up = (bottom as i32, top as i32);
        let y = axis(panel.logarithmic, panel.y_range, values, margin, up).ok_or_else(|| {
            ChartError::Empty {
                panel: panel.y.clone(),
            }
        })?;
        let frame = Frame {
            scale,
            left,
            right: width - right,
            top: top as i32,
            bottom: bottom as i32,
            x,
            y,
        };
        axes(panel, &frame, area, index == last)?;
        marks(panel, &frame, area, pieces)?;
        legend(panel, &frame, area)?;
        top = bottom + f64::from(gap);
    }
    let label = (font::FAMILY, scale.of(14))
        .into_text_style(area)
        .color(&INK)
        .pos(Pos::new(HPos::Center, VPos::Bottom));
    let at = ((left + width - right) / 2, height - scale.of(8));
    area.draw(&Text::new(figure.x.clone(), at, label))
        .map_err(failed)?;
    area.present().map_err(failed)
}

fn axes<B: DrawingBackend>(
    panel: &Panel,
    frame: &Frame,
    area: &Area<B>,
    last: bool,
) -> Result<(), ChartError> {
    let scale = frame.scale;
    let thin = scale.of(1) as u32;
    let style = (font::FAMILY, scale.of(12))
        .into_text_style(area)
        .color(&INK);
    let below = style.pos(Pos::new(HPos::Center, VPos::Top));
    let beside = style.pos(Pos::new(HPos::Right, VPos::Center));
    // Powers of ten, unless a logarithmic axis has hardly one.
    let decades = |axis: &Axis| axis.is_logarithmic() && axis.marks().len() > 1;
    let ticks = |axis: &Axis, count| {
        if decades(axis) {
            axis.marks()
        } else {
            axis.marks_about(count)
        }
    };
    let named = |axis: &Axis, tick: f64, ticks: &[f64]| {
        if decades(axis) {
            label(tick, &[0.0, tick])
        } else {
            label(tick, ticks)
        }
    };
    let fits = ((frame.right - frame.left) / (scale.of(90))).max(2) as usize;
    let x_ticks = ticks(&frame.x, fits);
    for tick in &x_ticks {
        let x = frame.across(*tick);
        line(
            area,
            vec![(x, frame.top), (x, frame.bottom)],
            FAINT.stroke_width(thin),
        )?;
        if last {
            let text = Text::new(
                named(&frame.x, *tick, &x_ticks),
                (x, frame.bottom + scale.of(6)),
                below.clone(),
            );
            area.draw(&text).map_err(failed)?;
        }
    }
    // One tick alone says nothing of the axis.
    let fits = ((frame.bottom - frame.top) / (scale.of(32))).max(2) as usize;
    let mut y_ticks = ticks(&frame.y, fits);
    for more in fits + 1..fits + 5 {
        if y_ticks.len() < 2 {
            y_ticks = ticks(&frame.y, more);
        }
    }
    if panel.is_raster() {
        // Rows are counted.
        y_ticks.retain(|tick| *tick >= 0.0 && tick.fract() == 0.0);
    }
    for tick in &y_ticks {
        let y = frame.up(*tick);
        line(
            area,
            vec![(frame.left, y), (frame.right, y)],
            FAINT.stroke_width(thin),
        )?;
        let text = Text::new(
            named(&frame.y, *tick, &y_ticks),
            (frame.left - scale.of(6), y),
            beside.clone(),
        );
        area.draw(&text).map_err(failed)?;
    }
    line(
        area,
        vec![
            (frame.left, frame.top),
            (frame.left, frame.bottom),
            (frame.right, frame.bottom),
        ],
        INK.stroke_width(thin),
    )?;
    let upright = (font::FAMILY, scale.of(14))
        .into_text_style(area)
        .color(&INK)
        .transform(FontTransform::Rotate270)
        .pos(Pos::new(HPos::Center, VPos::Top));
    let middle = (frame.top + frame.bottom) / 2;
    area.draw(&Text::new(panel.y.clone(), (scale.of(8), middle), upright))
        .map_err(failed)
}

fn marks<B: DrawingBackend>(
    panel: &Panel,
    frame: &Frame,
    area: &Area<B>,
    pieces: bool,
) -> Result<(), ChartError> {
    let thin = frame.scale.of(1) as u32;
    // Only what lies inside the frame is drawn.
    let inside = area.clone().margin(0, 0, 0, 0).shrink(
        (frame.left, frame.top - 1),
        (
            (frame.right - frame.left + 1) as u32,
            (frame.bottom - frame.top + 2) as u32,
        ),
    );
    let shift = |(x, y): (i32, i32)| (x - frame.left, y - frame.top + 1);
    let mut colours = COLOURS.iter().cycle();
    let rasters = panel.rasters();
    for mark in &panel.marks {
        match mark {
            Mark::Line { points, .. } => {
                let style = colours.next().unwrap_or(&INK).stroke_width(2 * thin);
                for piece in points.split(|point| frame.place(*point).is_none()) {
                    let places = piece.iter().filter_map(|point| frame.place(*point));
                    let path = thinned(places.map(shift));
                    match path.len() {
                        0 | 1 => {}
                        _ if pieces => {
                            for pair in path.windows(2) {
                                line(&inside, pair.to_vec(), style)?;
                            }
                        }
                        _ => line(&inside, path, style)?,
                    }
                }
            }
            Mark::Points { points, .. } => {
                let style = colours.next().unwrap_or(&INK).filled();
                for place in points.iter().filter_map(|point| frame.place(*point)) {
                    let circle = Circle::new(shift(place), frame.scale.of(3), style);
                    inside.draw(&circle).map_err(failed)?;
                }
            }
            Mark::Raster { first, cells, .. } => {
                let style = match rasters {
                    1 => &INK,
                    _ => colours.next().unwrap_or(&INK),
                };
                let style = style.stroke_width(thin);
                for (row, times) in cells.iter().enumerate() {
                    let row = (first + row) as f64;
                    for time in times.iter().filter(|time| time.is_finite()) {
                        let [low, high] = [row - 0.4, row + 0.4].map(|y| frame.place((*time, y)));
                        let (Some(low), Some(high)) = (low, high) else {
                            continue;
                        };
                        let [low, high] = [low, high].map(shift);
                        let high = (high.0, high.1.min(low.1 - frame.scale.of(2)));
                        line(&inside, vec![low, high], style)?;
                    }
                }
            }
            Mark::Map { x, y, values, .. } => {
                let reach = spread(values);
                let columns = x
                    .windows(2)
                    .zip(values.chunks(y.len().saturating_sub(1).max(1)));
                for (across, column) in columns {
                    for (up, value) in y.windows(2).zip(column) {
                        let corners = [(across[0], up[0]), (across[1], up[1])];
                        let [from, to] = corners.map(|corner| frame.place(corner));
                        let (Some(from), Some(to), true) = (from, to, value.is_finite()) else {
                            continue;
                        };
                        let corners = [shift(from), shift(to)];
                        let style = shade(*value, reach).filled();
                        inside
                            .draw(&Rectangle::new(corners, style))
                            .map_err(failed)?;
                    }
                }
            }
            Mark::Level { y } => {
                let Some((_, y)) = frame.place((frame.x.low(), *y)) else {
                    continue;
                };
                let [from, to] = [frame.left, frame.right].map(|x| shift((x, y)));
                line(
                    &inside,
                    vec![from, to],
                    RGBColor(150, 150, 150).stroke_width(thin),
                )?;
            }
        }
    }
    Ok(())
}

/// Names and colours in a row above the panel, at its right; the first and the last where there is no room for all.
fn legend<B: DrawingBackend>(
    panel: &Panel,
    frame: &Frame,
    area: &Area<B>,
) -> Result<(), ChartError> {
    let scale = frame.scale;
    let lines = panel.marks.iter().filter_map(|mark| match mark {
        Mark::Line { name, .. } | Mark::Points { name, .. } => Some(name),
        Mark::Raster { name, .. } if panel.rasters() > 1 => Some(name),
        _ => None,
    });
    let style = (font::FAMILY, scale.of(13))
        .into_text_style(area)
        .color(&INK);
    let mut named: Vec<(&String, &RGBColor, i32)> = Vec::new();
    for (name, colour) in lines.zip(COLOURS.iter().cycle()) {
        if !name.is_empty() {
            let (width, _) = area.estimate_text_size(name, &style).map_err(failed)?;
            named.push((name, colour, width as i32));
        }
    }
    let total: i32 = named.iter().map(|(_, _, width)| width + scale.of(40)).sum();
    if named.len() > 2 && total > frame.right - frame.left {
        named = vec![named[0], named[named.len() - 1]];
    }
    let y = frame.top - scale.of(11);
    if !panel.note.is_empty() {
        let small = (font::FAMILY, scale.of(12))
            .into_text_style(area)
            .color(&INK)
            .pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(panel.note.clone(), (frame.left, y), small))
            .map_err(failed)?;
    }
    let mut right = frame.right;
    for mark in &panel.marks {
        if let Mark::Map { name, values, .. } = mark {
            let text = style.pos(Pos::new(HPos::Right, VPos::Center));
            let (low, high) = spread(values);
            let ends = [low, high];
            area.draw(&Text::new(label(high, &ends), (right, y), text.clone()))
                .map_err(failed)?;
            let (width, _) = area
                .estimate_text_size(&label(high, &ends), &style)
                .map_err(failed)?;
            right -= width as i32 + scale.of(6);
            let (piece, half) = (scale.of(3), scale.of(4));
            for index in (0..PIECES).rev() {
                let value = low + (high - low) * f64::from(index) / f64::from(PIECES - 1);
                let corners = [(right - piece, y - half), (right, y + half)];
                let style = shade(value, (low, high)).filled();
                area.draw(&Rectangle::new(corners, style)).map_err(failed)?;
                right -= piece;
            }
            let named = format!("{name}  {}", label(low, &ends));
            area.draw(&Text::new(named, (right - scale.of(6), y), text))
                .map_err(failed)?;
            return Ok(());
        }
    }
    for (name, colour, width) in named.into_iter().rev() {
        let text = style.pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(name.clone(), (right, y), text))
            .map_err(failed)?;
        right -= width + scale.of(6);
        line(
            area,
            vec![(right - scale.of(20), y), (right, y)],
            colour.stroke_width(scale.of(2) as u32),
        )?;
        right -= scale.of(34);
    }
    Ok(())
}

/// The least and the largest of the finite values; 0 and 1 of none.
fn spread(values: &[f64]) -> (f64, f64) {
    let finite = values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// The colour of a value between two.
fn shade(value: f64, (low, high): (f64, f64)) -> RGBColor {
    let last = SHADES.len() - 1;
    let share = if high > low {
        (value - low) / (high - low)
    } else {
        0.0
    };
    let place = share.clamp(0.0, 1.0) * last as f64;
    let from = (place as usize).min(last - 1);
    let (RGBColor(r, g, b), RGBColor(s, h, c)) = (SHADES[from], SHADES[from + 1]);
    let part = place - from as f64;
    let between =
        |a: u8, b: u8| (f64::from(a) + part * (f64::from(b) - f64::from(a))).round() as u8;
    RGBColor(between(r, s), between(g, h), between(b, c))
}

fn line<B: DrawingBackend>(
    area: &Area<B>,
    path: Vec<(i32, i32)>,
    style: ShapeStyle,
) -> Result<(), ChartError> {
    area.draw(&PathElement::new(path, style)).map_err(failed)
}

/// Points of one column of pixels become its first, highest, lowest and last: a long trace stays a small file.
fn thinned(points: impl Iterator<Item = (i32, i32)>) -> Vec<(i32, i32)> {
    let mut path: Vec<(i32, i32)> = Vec::new();
    let mut column: Vec<(i32, i32)> = Vec::new();
    let flush = |column: &mut Vec<(i32, i32)>, path: &mut Vec<(i32, i32)>| {
        if column.len() > 4 {
            let by = |pick: fn(i32, i32) -> bool| {
                (1..column.len()).fold(0, |best, i| {
                    if pick(column[i].1, column[best].1) {
                        i
                    } else {
                        best
                    }
                })
            };
            let mut kept = [0, by(|a, b| a < b), by(|a, b| a > b), column.len() - 1];
            kept.sort_unstable();
            path.extend(kept.map(|i| column[i]));
        } else {
            path.append(column);
        }
        path.dedup();
        column.clear();
    };
    for point in points {
        if column.last().is_some_and(|last| last.0 != point.0) {
            flush(&mut column, &mut path);
        }
        column.push(point);
    }
    flush(&mut column, &mut path);
    path
}
