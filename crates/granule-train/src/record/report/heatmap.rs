//! The confusion matrix as a drawing.

use serde::Serialize;

use super::format;
use crate::metrics::{ClassScores, ConfusionMatrix};

/// Up to this many classes every cell shows its count.
const MOST_COUNTED: usize = 30;
/// Above this many classes cells would be smaller than a pixel or two.
const MOST_DRAWN: usize = 250;
const MOST_PAIRS: usize = 10;
const LONGEST_LABEL: usize = 18;
const SHADES: usize = 24;
/// Mean width of a character in units of the font size.
const CHARACTER: f64 = 0.56;

#[derive(Debug, Serialize)]
pub(super) struct Heatmap {
    pub width: f64,
    pub height: f64,
    pub left: f64,
    pub side: f64,
    pub cell: f64,
    pub label_size: f64,
    pub count_size: f64,
    pub counted: bool,
    pub rows: Vec<Label>,
    pub columns: Vec<Label>,
    pub upright: bool,
    pub cells: Vec<Cell>,
    pub shades: Vec<Shade>,
    pub lookup: Option<Lookup>,
}

#[derive(Debug, Serialize)]
pub(super) struct Label {
    pub at: String,
    pub text: String,
    pub full: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Cell {
    pub x: String,
    pub y: String,
    pub middle: String,
    pub base: String,
    pub kind: &'static str,
    pub opacity: String,
    /// How the count is written: black or white on the light page, and on the dark one.
    pub ink: &'static str,
    pub count: String,
    pub tip: String,
}

/// All cells of one colour as one path.
#[derive(Debug, Serialize)]
pub(super) struct Shade {
    pub kind: &'static str,
    pub opacity: String,
    pub path: String,
}

/// What the page's script needs to tell about a cell of a large matrix.
#[derive(Debug, Serialize)]
pub(super) struct Lookup {
    pub classes: Vec<String>,
    pub support: Vec<u64>,
    pub cells: Vec<(usize, usize, u64)>,
}

/// Classes taken for another.
#[derive(Debug, Serialize)]
pub(super) struct Pair {
    pub truth: String,
    pub predicted: String,
    pub count: String,
    pub share: String,
    pub bar: String,
}

/// The matrix as a drawing; nothing when there are too many classes, or fewer than two.
pub(super) fn heatmap(confusion: &ConfusionMatrix, classes: &[ClassScores]) -> Option<Heatmap> {
    let count = classes.len();
    if !(2..=MOST_DRAWN).contains(&count) || confusion.classes() != count {
        return None;
    }
    let counted = count <= MOST_COUNTED;
    let (cell, label_size, count_size): (f64, f64, f64) = match count {
        ..=6 => (60.0, 14.0, 15.0),
        7..=12 => (46.0, 13.0, 13.0),
        13..=20 => (36.0, 12.0, 11.0),
        21..=30 => (30.0, 11.5, 9.5),
        31..=60 => (16.0, 10.5, 0.0),
        _ => (9.6, 8.4, 0.0),
    };
    let every = (label_size / cell * 0.95).ceil().max(1.0) as usize;
    let longest = classes
        .iter()
        .map(|class| class.class.chars().count().min(LONGEST_LABEL))
        .max()
        .unwrap_or(1);
    let longest_width = longest as f64 * CHARACTER * label_size;
    let upright = longest_width <= cell - 6.0;
    let left = longest_width + 30.0;
    let side = cell * count as f64;
    let below = if upright {
        label_size * 1.4
    } else {
        longest_width + 6.0
    };
    let labels = || {
        classes
            .iter()
            .enumerate()
            .step_by(every)
            .map(move |(index, class)| Label {
                at: format::coordinate((index as f64 + 0.5) * cell),
                text: format::shorten(&class.class, LONGEST_LABEL),
                full: class.class.clone(),
            })
    };
    let mut map = Heatmap {
        width: left + side + 12.0,
        height: side + below + 30.0,
        left,
        side,
        cell,
        label_size,
        count_size,
        counted,
        rows: labels().collect(),
        columns: labels().collect(),
        upright,
        cells: Vec::new(),
        shades: Vec::new(),
        lookup: None,
    };
    if counted {
        map.cells = cells(confusion, classes, cell, count_size);
    } else {
        map.shades = shades(confusion, classes, cell);
        map.lookup = Some(Lookup {
            classes: classes.iter().map(|class| class.class.clone()).collect(),
            support: classes.iter().map(|class| class.support).collect(),
            cells: confusion.cells().collect(),
        });
    }
    Some(map)
}

/// The wrong cells with the highest counts.
pub(super) fn most_confused(confusion: &ConfusionMatrix, classes: &[ClassScores]) -> Vec<Pair> {
    let mut wrong: Vec<_> = confusion
        .cells()
        .filter(|(truth, predicted, _)| truth != predicted)
        .collect();
    wrong.sort_by_key(|&(truth, predicted, count)| (std::cmp::Reverse(count), truth, predicted));
    let most = wrong.first().map_or(1, |cell| cell.2) as f64;
    wrong
        .into_iter()
        .take(MOST_PAIRS)
        .filter_map(|(truth, predicted, count)| {
            let class = classes.get(truth)?;
            Some(Pair {
                truth: class.class.clone(),
                predicted: classes.get(predicted)?.class.clone(),
                count: format::count(count),
                share: format::percent(share(count, class.support), 1),
                bar: format!("{:.3}", count as f64 / most),
            })
        })
        .collect()
}

fn share(count: u64, support: u64) -> f64 {
    if support == 0 {
        0.0
    } else {
        count as f64 / support as f64
    }
}

/// The kind of a cell and how strongly it is coloured; rare mistakes stay visible by the square root.
fn colour(truth: usize, predicted: usize, share: f64) -> (&'static str, f64) {
    if truth == predicted {
        ("hit", 0.06 + 0.9 * share)
    } else {
        ("miss", 0.05 + 0.9 * share.sqrt())
    }
}

/// The colours of a page that counts are read on, as `style.css` has them.
struct Page {
    card: [u8; 3],
    hit: [u8; 3],
    miss: [u8; 3],
}

const LIGHT: Page = Page {
    card: [0xff, 0xff, 0xff],
    hit: [0x2a, 0x67, 0xad],
    miss: [0xcf, 0x5b, 0x24],
};
const DARK: Page = Page {
    card: [0x1b, 0x1f, 0x24],
    hit: [0x6b, 0xa7, 0xea],
    miss: [0xf0, 0x89, 0x5a],
};

impl Page {
    /// The relative luminance of a cell (WCAG 2.2).
    fn luminance(&self, kind: &str, opacity: f64) -> f64 {
        let colour = if kind == "hit" { self.hit } else { self.miss };
        let linear = |(card, colour): (u8, u8)| {
            let mixed = f64::from(card) + (f64::from(colour) - f64::from(card)) * opacity;
            let share = mixed / 255.0;
            if share <= 0.040_45 {
                share / 12.92
            } else {
                ((share + 0.055) / 1.055).powf(2.4)
            }
        };
        let weights = [0.2126, 0.7152, 0.0722];
        let channels = self.card.into_iter().zip(colour).map(linear);
        channels
            .zip(weights)
            .map(|(channel, weight)| channel * weight)
            .sum()
    }

    /// Whether white reads better than black: where its contrast is the greater one.
    fn takes_white(&self, kind: &str, opacity: f64) -> bool {
        let behind = self.luminance(kind, opacity) + 0.05;
        1.05 / behind > behind / 0.05
    }
}

/// The classes of a count that reads on its cell in both pages.
fn ink(kind: &str, opacity: f64) -> &'static str {
    match (
        LIGHT.takes_white(kind, opacity),
        DARK.takes_white(kind, opacity),
    ) {
        (true, true) => "on white",
        (true, false) => "on black",
        (false, true) => "off white",
        (false, false) => "off black",
    }
}

fn cells(
    confusion: &ConfusionMatrix,
    classes: &[ClassScores],
    cell: f64,
    count_size: f64,
) -> Vec<Cell> {
    confusion
        .cells()
        .filter_map(|(truth, predicted, count)| {
            let class = classes.get(truth)?;
            let share = share(count, class.support);
            let (kind, opacity) = colour(truth, predicted, share);
            let (x, y) = (predicted as f64 * cell, truth as f64 * cell);
            Some(Cell {
                x: format::coordinate(x + 1.0),
                y: format::coordinate(y + 1.0),
                middle: format::coordinate(x + cell / 2.0),
                base: format::coordinate(y + cell / 2.0 + count_size * 0.36),
                kind,
                opacity: format!("{opacity:.2}"),
                ink: ink(kind, opacity),
                count: short_count(count),
                tip: format!(
                    "true: {}\npredicted: {}\n{} of {} ({})",
                    class.class,
                    classes.get(predicted)?.class,
                    format::count(count),
                    format::count(class.support),
                    format::percent(share, 1)
                ),
            })
        })
        .collect()
}

fn short_count(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{}k", count / 1000),
        _ => format!("{}M", count / 1_000_000),
    }
}

fn shades(confusion: &ConfusionMatrix, classes: &[ClassScores], cell: f64) -> Vec<Shade> {
    let mut shades = Shades::default();
    for (truth, predicted, count) in confusion.cells() {
        let support = classes.get(truth).map_or(0, |class| class.support);
        let (kind, opacity) = colour(truth, predicted, share(count, support));
        let at = [predicted as f64 * cell, truth as f64 * cell];
        shades.add(kind, opacity, at, [cell, cell]);
    }
    shades.drawn()
}

/// Cells of a map, those of one colour and shade as one path.
pub(super) struct Shades {
    paths: Vec<String>,
}

impl Default for Shades {
    fn default() -> Self {
        Self {
            paths: vec![String::new(); 2 * (SHADES + 1)],
        }
    }
}

impl Shades {
    /// Adds a cell of the kind `hit` or `miss`, whose opacity is from 0 to 1.
    pub fn add(&mut self, kind: &str, opacity: f64, [x, y]: [f64; 2], [width, height]: [f64; 2]) {
        let shade = (opacity * SHADES as f64).ceil().min(SHADES as f64) as usize;
        if let Some(path) = self.paths.get_mut(2 * shade + usize::from(kind == "miss")) {
            let (x, y) = (format::coordinate(x), format::coordinate(y));
            path.push_str(&format!("M{x} {y}h{width}v{height}h-{width}z"));
        }
    }

    pub fn drawn(self) -> Vec<Shade> {
        let paths = self.paths.into_iter().enumerate();
        let seen = paths.filter(|(_, path)| !path.is_empty());
        let shade = |(index, path)| Shade {
            kind: if index % 2 == 0 { "hit" } else { "miss" },
            opacity: format!("{:.2}", (index / 2) as f64 / SHADES as f64),
            path,
        };
        seen.map(shade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_on_every_shade_of_both_pages() {
        for page in [&LIGHT, &DARK] {
            for kind in ["hit", "miss"] {
                for shade in 0..=100 {
                    let opacity = f64::from(shade) / 100.0;
                    let behind = page.luminance(kind, opacity) + 0.05;
                    let contrast = if page.takes_white(kind, opacity) {
                        1.05 / behind
                    } else {
                        behind / 0.05
                    };
                    assert!(contrast >= 4.5, "{kind} {opacity}: {contrast}");
                }
            }
        }
    }

    #[test]
    fn the_colours_are_those_of_the_page() {
        let style = include_str!("style.css");
        let (light, dark) = style.split_once("prefers-color-scheme: dark").unwrap();
        for (text, page) in [(light, &LIGHT), (dark, &DARK)] {
            let colours = [("card", page.card), ("blue", page.hit), ("warm", page.miss)];
            for (name, [red, green, blue]) in colours {
                let rule = format!("--{name}: #{red:02x}{green:02x}{blue:02x};");
                assert!(text.contains(&rule), "{rule}");
            }
        }
    }
}
