//! Figures as SVG text and as pixels.

use granule_io::budget;
use plotters::backend::{BitMapBackend, SVGBackend};
use plotters::drawing::IntoDrawingArea;

use crate::draw::{self, Scale};
use crate::figure::{ChartError, Figure, Mark};

impl Figure {
    /// The figure as an SVG document.
    ///
    /// # Errors
    ///
    /// [`ChartError`].
    pub fn to_svg(&self, width: u32, height: u32) -> Result<String, ChartError> {
        /// A tick of a spike as an element, twice, for a text moves as it grows.
        const POINT: u64 = 2 * 160;
        self.check(width, height)?;
        budget::ask("the figure as SVG", self.points().saturating_mul(POINT))?;
        let mut text = String::new();
        let area = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        draw::figure(self, &area, Scale(1.0), false)?;
        drop(area);
        Ok(text)
    }

    /// The figure as pixels, three bytes each, row by row; 96 of them make an inch.
    ///
    /// # Errors
    ///
    /// [`ChartError`].
    pub fn to_rgb(&self, width: u32, height: u32) -> Result<Vec<u8>, ChartError> {
        self.to_rgb_fine(width, height, 1.0)
    }

    /// The figure of `width` × `height` pixels, each of which is `scale` × `scale` pixels of the result: letters and lines
    /// are as large beside each other as in [`to_rgb`](Self::to_rgb). The result has the extents [`fine`].
    ///
    /// # Errors
    ///
    /// [`ChartError`].
    pub fn to_rgb_fine(&self, width: u32, height: u32, scale: f64) -> Result<Vec<u8>, ChartError> {
        self.check(width, height)?;
        let (wide, high) = (fine(width, scale), fine(height, scale));
        let pixels = u64::from(wide) * u64::from(high);
        if !(scale.is_finite() && scale > 0.0) || pixels > MOST_PIXELS {
            return Err(ChartError::Pixels {
                width: wide,
                height: high,
                most: MOST_PIXELS,
            });
        }
        let mut side = FINE;
        while side > 1 && pixels * u64::from(side * side) > MOST_PIXELS {
            side -= 1;
        }
        let size = (wide * side, high * side);
        let drawn = size.0 as usize * size.1 as usize * 3;
        budget::ask_for::<u8>("the figure", drawn + pixels as usize * 3)?;
        let mut pixels = vec![255; drawn];
        let area = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
        draw::figure(self, &area, Scale(scale * f64::from(side)), true)?;
        drop(area);
        Ok(smoothed(&pixels, wide as usize, side as usize))
    }

    /// Points of lines and spikes of rasters, all of them.
    fn points(&self) -> u64 {
        let marks = self.panels.iter().flat_map(|panel| &panel.marks);
        let counts = marks.map(|mark| match mark {
            Mark::Line { points, .. } | Mark::Points { points, .. } => points.len(),
            Mark::Raster { cells, .. } => cells.iter().map(Vec::len).sum(),
            Mark::Map { values, .. } => values.len(),
            Mark::Level { .. } => 1,
        });
        counts.map(|count| count as u64).sum()
    }

    fn check(&self, width: u32, height: u32) -> Result<(), ChartError> {
        let least_height = 90 + 60 * self.panels.len() as u32;
        let fits = (240..=20_000).contains(&width) && (least_height..=20_000).contains(&height);
        if fits {
            Ok(())
        } else {
            Err(ChartError::Size {
                width,
                height,
                least_width: 240,
                least_height,
            })
        }
    }
}

/// Pixels are drawn this much finer in either direction, where memory allows, and averaged.
const FINE: u32 = 3;

/// The most pixels that are drawn, 400 MB of them.
pub const MOST_PIXELS: u64 = 1 << 27;

/// How many pixels a length has in [`Figure::to_rgb_fine`].
pub fn fine(length: u32, scale: f64) -> u32 {
    (f64::from(length) * scale).round() as u32
}

/// The means of squares of `side` × `side` pixels, `width` in a row.
fn smoothed(fine: &[u8], width: usize, side: usize) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(fine.len() / (side * side));
    for rows in fine.chunks_exact(width * 3 * side * side) {
        for column in 0..width {
            for colour in 0..3 {
                let squares = rows.chunks_exact(width * 3 * side).flat_map(|row| {
                    (0..side).map(move |x| u32::from(row[(column * side + x) * 3 + colour]))
                });
                pixels.push((squares.sum::<u32>() / (side * side) as u32) as u8);
            }
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Panel;

    fn figure() -> Figure {
        let wave = |phase: f64| {
            (0..400)
                .map(|i| {
                    (
                        f64::from(i) * 0.25,
                        40.0 * (f64::from(i) * 0.05 + phase).sin() - 20.0,
                    )
                })
                .collect()
        };
        let cells = (0..20).map(|c| (0..8).map(|k| f64::from(c) + 12.0 * f64::from(k)).collect());
        Figure::new("Two cells & a population", "time (ms)")
            .with(
                Panel::new("v (mV)")
                    .with(Mark::Level { y: -20.0 })
                    .with(Mark::line("first", wave(0.0)))
                    .with(Mark::line("second", wave(1.0))),
            )
            .with(
                Panel::new("cell")
                    .share(0.5)
                    .with(Mark::raster("", 0, cells.collect())),
            )
    }

    #[test]
    fn svg_holds_labels_lines_and_ticks() {
        let svg = figure().to_svg(800, 480).unwrap();
        for text in [
            "Two cells &amp; a population",
            "time (ms)",
            "v (mV)",
            "first",
            "second",
        ] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(svg.matches("<polyline").count() >= 2 + 160);
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn rows_of_a_raster_are_counted() {
        for (cells, rows) in [(1, vec!["0"]), (2, vec!["0", "1"])] {
            let cells = vec![vec![10.0, 30.0]; cells];
            let figure = Figure::new("", "time (ms)")
                .x_range(500.0, 600.0)
                .with(Panel::new("cell").with(Mark::raster("", 0, cells)));
            let svg = figure.to_svg(600, 400).unwrap();
            let texts = svg.lines().filter(|line| {
                let digits = |c: char| c.is_ascii_digit() || c == '.' || c == '−';
                !line.is_empty() && line.chars().all(digits) && !line.starts_with(['5', '6'])
            });
            assert_eq!(texts.collect::<Vec<_>>(), rows);
        }
    }

    /// Powers of ten are as far from each other, and points at 0 or below have no place.
    #[test]
    fn logarithmic_axes_mark_decades() {
        let points = vec![
            (1.0, 0.1),
            (10.0, 1.0),
            (100.0, 10.0),
            (0.0, 5.0),
            (50.0, -1.0),
        ];
        let panel = Panel::new("cost (µs)").logarithmic();
        let figure = Figure::new("", "cells").logarithmic();
        let svg = figure
            .with(panel.with(Mark::points("", points)))
            .to_svg(600, 400)
            .unwrap();
        assert_eq!(svg.matches("<circle").count(), 3);
        for text in ["0.1", "1", "10", "100"] {
            assert!(svg.lines().any(|line| line == text), "{text}: {svg}");
        }
        let value = |circle: &str, name: &str| -> f64 {
            let (_, rest) = circle.split_once(&format!(" {name}=\"")).unwrap();
            rest.split('"').next().unwrap().parse().unwrap()
        };
        let circles: Vec<_> = svg.lines().filter(|x| x.contains("<circle")).collect();
        for name in ["cx", "cy"] {
            let [a, b, c] = [0, 1, 2].map(|i| value(circles[i], name));
            assert!((a + c - 2.0 * b).abs() <= 2.0, "{name}: {a} {b} {c}");
        }
        // Less than a decade has marks as well, and what has no place is left out.
        let narrow = Panel::new("y").logarithmic();
        let marks = [
            Mark::line("", vec![(0.0, 3.0), (1.0, 3.9)]),
            Mark::Level { y: -1.0 },
            Mark::points("", vec![(0.5, 0.0)]),
        ];
        let narrow = marks.into_iter().fold(narrow, Panel::with);
        let svg = Figure::new("", "x").with(narrow).to_svg(600, 400).unwrap();
        for text in ["3.0", "3.4"] {
            assert!(svg.lines().any(|line| line == text), "{text}: {svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 0);
        let fixed = Panel::new("y").logarithmic().y_range(0.0, 1.0);
        let fixed = fixed.with(Mark::line("", vec![(0.0, 0.5), (1.0, 1.0)]));
        assert!(Figure::new("", "x").with(fixed).to_svg(600, 400).is_err());
        let empty = Figure::new("", "x").with(
            Panel::new("y")
                .logarithmic()
                .with(Mark::points("", vec![(1.0, 0.0)])),
        );
        assert!(empty.to_svg(600, 400).is_err());
    }

    #[test]
    fn a_legend_without_room_names_first_and_last() {
        let figure = |names: usize| {
            let line = |i: usize| Mark::line(format!("trace {i}"), vec![(0.0, 0.0), (1.0, 1.0)]);
            let panel = (0..names).fold(Panel::new("x"), |panel, i| panel.with(line(i)));
            Figure::new("", "t").with(panel).to_svg(500, 300).unwrap()
        };
        assert!(figure(3).contains("trace 1"));
        let many = figure(9);
        assert!(many.contains("trace 0") && many.contains("trace 8") && !many.contains("trace 4"));
    }

    #[test]
    fn pixels_are_drawn_on_white() {
        let pixels = figure().to_rgb(400, 300).unwrap();
        assert_eq!(pixels.len(), 400 * 300 * 3);
        assert_eq!(pixels[..3], [255; 3]);
        let dark = pixels
            .chunks(3)
            .filter(|p| p.iter().all(|c| *c < 120))
            .count();
        assert!(dark > 300, "{dark}");
    }

    #[test]
    fn groups_of_a_raster_have_colours_and_names() {
        let panel = Panel::new("cell")
            .with(Mark::raster("excitatory", 0, vec![vec![1.0]; 3]))
            .with(Mark::raster("inhibitory", 3, vec![vec![2.0]; 2]));
        let svg = Figure::new("", "t").with(panel).to_svg(400, 300).unwrap();
        for (index, count) in [(0, 3), (1, 2)] {
            // The spikes and the line of the legend.
            assert_eq!(
                svg.matches(&format!("stroke=\"{}\"", draw::hex(index)))
                    .count(),
                count + 1
            );
        }
        assert!(svg.contains("excitatory") && svg.contains("inhibitory"));
    }

    #[test]
    fn a_finer_figure_has_the_same_look() {
        let plain = figure().to_rgb(400, 300).unwrap();
        let double = figure().to_rgb_fine(400, 300, 2.5).unwrap();
        assert_eq!(double.len(), 1000 * 750 * 3);
        let dark = |pixels: &[u8]| {
            let dark = pixels
                .chunks(3)
                .filter(|p| p.iter().all(|c| *c < 128))
                .count();
            dark as f64 / (pixels.len() / 3) as f64
        };
        let ratio = dark(&double) / dark(&plain);
        assert!((0.5..2.0).contains(&ratio), "{ratio}");
        assert!(figure().to_rgb_fine(4000, 4000, 10.0).is_err());
    }

    #[test]
    fn gaps_split_lines_and_constants_have_room() {
        let points = vec![
            (0.0, 1.0),
            (1.0, 1.0),
            (2.0, f64::NAN),
            (3.0, 1.0),
            (4.0, 1.0),
        ];
        let figure = Figure::new("", "t").with(Panel::new("x").with(Mark::line("", points)));
        let svg = figure.to_svg(400, 300).unwrap();
        assert!(!svg.contains("NaN"));
        assert_eq!(
            svg.matches(&format!("stroke=\"{}\"", draw::hex(0))).count(),
            2
        );
    }

    #[test]
    fn nothing_to_plot_and_too_small_a_figure_are_errors() {
        let empty =
            Figure::new("", "t").with(Panel::new("v (mV)").with(Mark::line("", Vec::new())));
        let error = empty.to_svg(400, 300).unwrap_err();
        assert!(error.to_string().contains("v (mV)"), "{error}");
        assert!(figure().to_svg(100, 300).is_err());
        assert!(figure().to_rgb(400, 100).is_err());
    }

    #[test]
    fn a_map_has_a_rectangle_for_each_finite_value() {
        // Places in any order; the values of x = 3, then of x = 1.
        let values = [4.0, f64::NAN, 0.0, 0.0, 1.0, 2.0];
        let mark = Mark::map("rate (Hz)", &[3.0, 1.0], &[10.0, 20.0, 40.0], &values);
        let Mark::Map { x, y, values, .. } = &mark else {
            panic!("{mark:?}");
        };
        assert_eq!(
            (&x[..], &y[..]),
            (&[0.0, 2.0, 4.0][..], &[5.0, 15.0, 30.0, 50.0][..])
        );
        assert_eq!(values[..4], [0.0, 1.0, 2.0, 4.0]);
        assert!(values[4].is_nan());
        let svg = Figure::new("", "a")
            .with(Panel::new("b").with(mark))
            .to_svg(600, 400)
            .unwrap();
        // The page, five values and the 32 pieces of the legend.
        assert_eq!(svg.matches("<rect").count(), 1 + 5 + 32);
        for (colour, count) in [("#440154", 3), ("#FDE725", 2), ("#21918C", 1)] {
            assert_eq!(svg.matches(colour).count(), count, "{colour}: {svg}");
        }
        assert!(svg.contains("rate (Hz)  0"), "{svg}");
        // One place has a width, and nothing finite is refused.
        let one = Mark::map("", &[2.0], &[1.0], &[7.0]);
        assert!(
            matches!(&one, Mark::Map { x, y, .. } if x[..] == [1.5, 2.5] && y[..] == [0.5, 1.5])
        );
        let empty = Figure::new("", "a").with(Panel::new("b").with(Mark::map("", &[], &[], &[])));
        assert!(matches!(
            empty.to_svg(600, 400),
            Err(ChartError::Empty { .. })
        ));
    }
}
