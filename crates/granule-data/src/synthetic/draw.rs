use super::random::Random;
use super::templates::{Point, STYLES, Stroke};
use super::{PIXELS, SIDE};

const PARTS_PER_SPAN: usize = 6;

/// Draws one digit into an image of `SIDE × SIDE` zeros.
pub(super) fn digit(digit: usize, random: &mut Random, image: &mut [u8]) {
    let styles = STYLES.get(digit).copied().unwrap_or_default();
    let Some(style) = styles.get(random.below(styles.len())) else {
        return;
    };
    let mut ink = [0.0f32; PIXELS];
    let map = Affine::draw(random);
    let warp = Warp::draw(random);
    let pen = Pen {
        half_width: random.uniform(0.7, 1.45),
        softness: random.uniform(0.7, 1.3),
        brightness: random.uniform(0.7, 1.0),
    };
    for stroke in *style {
        let taper = random.uniform(0.75, 1.25);
        let path: Vec<Point> = flatten(stroke, random)
            .into_iter()
            .map(|point| warp.apply(map.apply(point)))
            .collect();
        pen.stroke(&path, taper, &mut ink);
    }
    for _ in 0..random.below(2) {
        stray_mark(random, &mut ink);
    }
    add_noise(&ink, random, image);
}

/// The points of a stroke, jittered and, when it is smooth, joined by a Catmull-Rom spline.
fn flatten(stroke: &Stroke, random: &mut Random) -> Vec<Point> {
    const JITTER: f32 = 0.05;
    let mut jitter = |points: &[Point]| -> Vec<Point> {
        let moved = points
            .iter()
            .map(|&(x, y)| (x + JITTER * random.bell(), y + JITTER * random.bell()));
        moved.collect()
    };
    match stroke {
        Stroke::Line(points) => jitter(points),
        Stroke::Curve(points) => spline(&jitter(points)),
    }
}

fn spline(points: &[Point]) -> Vec<Point> {
    let at = |i: usize| points.get(i.min(points.len().saturating_sub(1))).copied();
    let mut path = Vec::with_capacity(points.len() * PARTS_PER_SPAN + 1);
    for i in 0..points.len().saturating_sub(1) {
        let (Some(a), Some(b), Some(c), Some(d)) =
            (at(i.saturating_sub(1)), at(i), at(i + 1), at(i + 2))
        else {
            break;
        };
        for part in 0..PARTS_PER_SPAN {
            let t = part as f32 / PARTS_PER_SPAN as f32;
            path.push((
                catmull_rom([a.0, b.0, c.0, d.0], t),
                catmull_rom([a.1, b.1, c.1, d.1], t),
            ));
        }
    }
    path.extend(points.last());
    path
}

fn catmull_rom([a, b, c, d]: [f32; 4], t: f32) -> f32 {
    let (linear, square, cube) = (
        c - a,
        2.0 * a - 5.0 * b + 4.0 * c - d,
        3.0 * b - a - 3.0 * c + d,
    );
    b + 0.5 * t * (linear + t * (square + t * cube))
}

/// From the coordinates of a template to pixels.
struct Affine {
    matrix: [f32; 4],
    shift: Point,
}

impl Affine {
    fn draw(random: &mut Random) -> Self {
        let half_height = random.uniform(8.0, 10.2);
        let half_width = half_height * random.uniform(0.8, 1.15);
        let shear = 0.2 * random.bell();
        // Six terms of the series: exact enough, and the same on every machine.
        let angle = (0.13 * random.bell()).clamp(-0.45, 0.45);
        let square = angle * angle;
        let sin = angle * (1.0 - square / 6.0 * (1.0 - square / 20.0));
        let cos = 1.0 - square / 2.0 * (1.0 - square / 12.0 * (1.0 - square / 30.0));
        let center = (SIDE as f32 - 1.0) / 2.0;
        Self {
            matrix: [
                cos * half_width,
                (-sin - shear * cos) * half_height,
                sin * half_width,
                (cos - shear * sin) * half_height,
            ],
            shift: (
                center + random.uniform(-2.6, 2.6),
                center + random.uniform(-2.6, 2.6),
            ),
        }
    }

    fn apply(&self, (x, y): Point) -> Point {
        let [a, b, c, d] = self.matrix;
        (self.shift.0 + a * x + b * y, self.shift.1 + c * x + d * y)
    }
}

/// A smooth displacement of the plane: a cubic B-spline over random knots.
struct Warp {
    knots: [[Point; Self::KNOTS]; Self::KNOTS],
}

impl Warp {
    const KNOTS: usize = 7;
    /// Pixels between two knots.
    const SPACING: f32 = 7.0;

    fn draw(random: &mut Random) -> Self {
        let strength = random.uniform(0.4, 1.3);
        let mut knot = || (strength * random.bell(), strength * random.bell());
        Self {
            knots: std::array::from_fn(|_| std::array::from_fn(|_| knot())),
        }
    }

    fn apply(&self, (x, y): Point) -> Point {
        let (column, across) = Self::locate(x);
        let (row, down) = Self::locate(y);
        let mut moved = (x, y);
        for (knots, wy) in self.knots.iter().skip(row).zip(down) {
            for (knot, wx) in knots.iter().skip(column).zip(across) {
                moved.0 += wx * wy * knot.0;
                moved.1 += wx * wy * knot.1;
            }
        }
        moved
    }

    /// The first of the four knots that matter, and their weights.
    fn locate(x: f32) -> (usize, [f32; 4]) {
        let last = (Self::KNOTS - 4) as f32;
        let x = (x / Self::SPACING).clamp(0.0, last + 0.999);
        let first = x.floor();
        let t = x - first;
        let s = 1.0 - t;
        let weights = [
            s * s * s / 6.0,
            (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0,
            (4.0 - 6.0 * s * s + 3.0 * s * s * s) / 6.0,
            t * t * t / 6.0,
        ];
        (first as usize, weights)
    }
}

struct Pen {
    half_width: f32,
    /// Pixels over which the edge of a line fades.
    softness: f32,
    brightness: f32,
}

impl Pen {
    /// Draws a path; the width changes along it to `taper` times the width at its start.
    fn stroke(&self, path: &[Point], taper: f32, ink: &mut [f32; PIXELS]) {
        let spans = path.len().saturating_sub(1).max(1) as f32;
        for (i, pair) in path.windows(2).enumerate() {
            let &[from, to] = pair else { continue };
            let part = i as f32 / spans;
            self.segment(
                from,
                to,
                self.half_width * (1.0 + part * (taper - 1.0)),
                ink,
            );
        }
    }

    /// Ink falls off with the distance to the segment; overlapping segments do not add up.
    fn segment(&self, from: Point, to: Point, half_width: f32, ink: &mut [f32; PIXELS]) {
        let reach = half_width + self.softness;
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx * dx + dy * dy;
        let rows = pixels_near(from.1, to.1, reach);
        let columns = pixels_near(from.0, to.0, reach);
        for (y, line) in ink
            .chunks_exact_mut(SIDE)
            .enumerate()
            .take(rows.end)
            .skip(rows.start)
        {
            for (x, ink) in line
                .iter_mut()
                .enumerate()
                .take(columns.end)
                .skip(columns.start)
            {
                let (px, py) = (x as f32 - from.0, y as f32 - from.1);
                let along = if length > 0.0 {
                    ((px * dx + py * dy) / length).clamp(0.0, 1.0)
                } else {
                    0.0
                };
                let (ex, ey) = (px - along * dx, py - along * dy);
                let distance = (ex * ex + ey * ey).sqrt();
                let cover = ((half_width - distance) / self.softness + 0.5).clamp(0.0, 1.0);
                *ink = ink.max(cover * self.brightness);
            }
        }
    }
}

fn pixels_near(a: f32, b: f32, reach: f32) -> std::ops::Range<usize> {
    let side = SIDE as f32;
    let start = (a.min(b) - reach).floor().clamp(0.0, side);
    let end = (a.max(b) + reach).ceil().clamp(-1.0, side - 1.0) + 1.0;
    start as usize..end as usize
}

/// A short line that belongs to no digit.
fn stray_mark(random: &mut Random, ink: &mut [f32; PIXELS]) {
    let side = SIDE as f32;
    let from = (random.uniform(0.0, side), random.uniform(0.0, side));
    let to = (from.0 + 3.0 * random.bell(), from.1 + 3.0 * random.bell());
    let pen = Pen {
        half_width: random.uniform(0.3, 0.8),
        softness: 1.0,
        brightness: random.uniform(0.25, 0.75),
    };
    pen.segment(from, to, pen.half_width, ink);
}

fn add_noise(ink: &[f32; PIXELS], random: &mut Random, image: &mut [u8]) {
    let strength = random.uniform(0.0, 0.15);
    let mut noise = [0; 2 * PIXELS];
    random.bytes(&mut noise);
    for ((pixel, ink), noise) in image.iter_mut().zip(ink).zip(noise.chunks_exact(2)) {
        let sum: i32 = noise.iter().map(|&byte| i32::from(byte)).sum();
        let noise = (sum - 255) as f32 / 255.0;
        *pixel = (255.0 * (ink + strength * noise) + 0.5).clamp(0.0, 255.0) as u8;
    }
}
