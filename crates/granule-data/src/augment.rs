//! Random distortions of training images, seeded per sample.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use crate::DataError;

const MAX_DISTANCE: usize = 64;

/// Which distortions a training image undergoes. All zero leaves images as they are.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Pads every side by this many black pixels, then crops the original size at a random place.
    #[cfg_attr(feature = "schema", schemars(range(max = MAX_DISTANCE)))]
    pub pad_crop: usize,
    /// Mirrors left and right half of the time.
    pub horizontal_flip: bool,
    /// Moves by up to this many pixels in each direction.
    #[cfg_attr(feature = "schema", schemars(range(max = MAX_DISTANCE)))]
    pub shift: usize,
    /// Rotates by up to this many degrees either way.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 180), extend("unit" = "degrees")))]
    pub rotation_degrees: f32,
}

impl Augmentation {
    /// Whether images pass unchanged.
    pub fn is_identity(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`DataError::Config`] with the field.
    pub fn validate(&self) -> Result<(), DataError> {
        let distances = [("pad_crop", self.pad_crop), ("shift", self.shift)];
        if let Some((field, value)) = distances.iter().find(|(_, value)| *value > MAX_DISTANCE) {
            return Err(DataError::invalid(
                format!("augmentation.{field}"),
                value,
                format!("0..={MAX_DISTANCE} pixels"),
            ));
        }
        if !(0.0..=180.0).contains(&self.rotation_degrees) {
            return Err(DataError::invalid(
                "augmentation.rotation_degrees",
                self.rotation_degrees,
                "0 to 180 degrees",
            ));
        }
        Ok(())
    }
}

/// What a draw depends on besides the index of the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AugmentationKey {
    /// Seed of the run.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u64,
}

/// Writes a distorted copy of one image into `out`; the draw depends on (seed, epoch, `index`) alone.
/// `image` is `[channels, height, width]`; `pixels` and `out` are of that size, channel first.
pub(crate) fn apply<P: Pixel>(
    augmentation: &Augmentation,
    key: AugmentationKey,
    index: usize,
    image: [usize; 3],
    pixels: &[P],
    out: &mut [P],
) {
    Distortion::draw(augmentation, key, index).apply(image, pixels, out);
}

/// A pixel or an intensity, as a whole number to interpolate with; black is 0.
pub(crate) trait Pixel: Copy + Default {
    fn level(self) -> i64;
    fn of_level(level: i64) -> Self;
}

impl Pixel for u8 {
    fn level(self) -> i64 {
        i64::from(self)
    }

    fn of_level(level: i64) -> Self {
        level as u8
    }
}

/// In steps of 2⁻²⁴, as fine as single precision.
impl Pixel for f32 {
    fn level(self) -> i64 {
        (self * 16_777_216.0) as i64
    }

    fn of_level(level: i64) -> Self {
        level as f32 / 16_777_216.0
    }
}

/// One draw: rotate about the centre, then mirror, then move.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Distortion {
    /// Clockwise.
    radians: f64,
    flip: bool,
    /// Pixels to the right and down.
    shift: (isize, isize),
}

impl Distortion {
    fn draw(augmentation: &Augmentation, key: AugmentationKey, index: usize) -> Self {
        let mut seed = *b"granule augmentation............";
        for (part, value) in seed.chunks_exact_mut(8).skip(2).zip([key.seed, key.epoch]) {
            part.copy_from_slice(&value.to_le_bytes());
        }
        let mut random = ChaCha8Rng::from_seed(seed);
        random.set_stream(index as u64);
        // Every number is drawn whether or not it is used: settings do not disturb one another.
        let mut unit = || f64::from(random.next_u32()) / 4_294_967_296.0;
        let mut within = |limit: usize| {
            let limit = limit.min(MAX_DISTANCE);
            let choices = (2 * limit + 1) as f64;
            (unit() * choices) as isize - limit as isize
        };
        let crop = (within(augmentation.pad_crop), within(augmentation.pad_crop));
        let shift = (within(augmentation.shift), within(augmentation.shift));
        let mirrored = unit() < 0.5;
        let turn = 2.0 * unit() - 1.0;
        Self {
            radians: (turn * f64::from(augmentation.rotation_degrees)).to_radians(),
            flip: augmentation.horizontal_flip && mirrored,
            shift: (crop.0 + shift.0, crop.1 + shift.1),
        }
    }

    fn apply<P: Pixel>(self, [channels, height, width]: [usize; 3], pixels: &[P], out: &mut [P]) {
        let size = height * width;
        if size == 0 {
            return;
        }
        let planes = pixels.chunks_exact(size).zip(out.chunks_exact_mut(size));
        for (from, to) in planes.take(channels) {
            if self.radians == 0.0 {
                self.copy(height, width, from, to);
            } else {
                self.rotate(height, width, from, to);
            }
        }
    }

    /// Whole rows at a time.
    fn copy<P: Pixel>(self, height: usize, width: usize, from: &[P], to: &mut [P]) {
        let (right, down) = self.shift;
        let left_gap = right.max(0).unsigned_abs().min(width);
        let right_gap = (-right).max(0).unsigned_abs().min(width);
        for (y, row) in to.chunks_exact_mut(width).enumerate() {
            let source = y
                .checked_add_signed(-down)
                .filter(|&y| y < height)
                .and_then(|y| from.chunks_exact(width).nth(y));
            let Some(source) = source else {
                row.fill(P::default());
                continue;
            };
            // What stays visible of the (mirrored) source, and where it goes.
            let visible = width - left_gap.max(right_gap);
            let (before, rest) = row.split_at_mut(left_gap);
            let (row, after) = rest.split_at_mut(visible);
            before.fill(P::default());
            after.fill(P::default());
            if self.flip {
                let source = source.iter().rev().skip(right_gap);
                row.iter_mut()
                    .zip(source)
                    .for_each(|(to, from)| *to = *from);
            } else if let Some(source) = source.get(right_gap..right_gap + visible) {
                row.copy_from_slice(source);
            }
        }
    }

    /// Bilinear in fixed point: the rounding is the same on every machine.
    fn rotate<P: Pixel>(self, height: usize, width: usize, from: &[P], to: &mut [P]) {
        const ONE: i64 = 1 << 16;
        let fixed = |x: f64| (x * ONE as f64).round() as i64;
        let (sin, cos) = (fixed(self.radians.sin()), fixed(self.radians.cos()));
        let (last_x, last_y) = (width as i64 - 1, height as i64 - 1);
        let at = |x: i64, y: i64| -> i64 {
            let inside = (0..=last_x).contains(&x) && (0..=last_y).contains(&y);
            let index = if inside { y * (last_x + 1) + x } else { -1 };
            usize::try_from(index)
                .ok()
                .and_then(|index| from.get(index))
                .map_or(0, |&pixel| pixel.level())
        };
        for (y, row) in (0i64..).zip(to.chunks_exact_mut(width)) {
            // Twice the distance to the centre stays whole.
            let v = 2 * (y - self.shift.1 as i64) - last_y;
            for (x, to) in (0i64..).zip(row) {
                let u = 2 * (x - self.shift.0 as i64) - last_x;
                let u = if self.flip { -u } else { u };
                let sx = (cos * u + sin * v + ONE * last_x) / 2;
                let sy = (cos * v - sin * u + ONE * last_y) / 2;
                let (column, line) = (sx >> 16, sy >> 16);
                let (a, b) = (sx & (ONE - 1), sy & (ONE - 1));
                let above = at(column, line) * (ONE - a) + at(column + 1, line) * a;
                let below = at(column, line + 1) * (ONE - a) + at(column + 1, line + 1) * a;
                let sum = above * (ONE - b) + below * b;
                *to = P::of_level((sum + (1 << 31)) >> 32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: AugmentationKey = AugmentationKey { seed: 1, epoch: 0 };
    const STILL: Distortion = Distortion {
        radians: 0.0,
        flip: false,
        shift: (0, 0),
    };

    fn picture([channels, height, width]: [usize; 3]) -> Vec<u8> {
        (0..channels * height * width)
            .map(|i| (i * 37 % 251 + 1) as u8)
            .collect()
    }

    fn distorted(distortion: Distortion, image: [usize; 3], pixels: &[u8]) -> Vec<u8> {
        let mut out = vec![7; pixels.len()];
        distortion.apply(image, pixels, &mut out);
        out
    }

    #[test]
    fn shifts_and_mirrors() {
        let image = [1, 2, 3];
        let pixels = [1, 2, 3, 4, 5, 6];
        let moved = |flip, right, down| {
            let shift = (right, down);
            distorted(
                Distortion {
                    flip,
                    shift,
                    ..STILL
                },
                image,
                &pixels,
            )
        };
        assert_eq!(moved(false, 0, 0), pixels);
        assert_eq!(moved(true, 0, 0), [3, 2, 1, 6, 5, 4]);
        assert_eq!(moved(false, 1, 0), [0, 1, 2, 0, 4, 5]);
        assert_eq!(moved(false, -2, 0), [3, 0, 0, 6, 0, 0]);
        assert_eq!(moved(true, 1, 0), [0, 3, 2, 0, 6, 5]);
        assert_eq!(moved(true, -1, 0), [2, 1, 0, 5, 4, 0]);
        assert_eq!(moved(false, 0, 1), [0, 0, 0, 1, 2, 3]);
        assert_eq!(moved(false, 0, -1), [4, 5, 6, 0, 0, 0]);
        assert_eq!(moved(false, 9, -9), [0; 6]);
    }

    #[test]
    fn quarter_and_half_turns_are_exact() {
        let turned = |degrees: f64| {
            let radians = degrees.to_radians();
            distorted(
                Distortion { radians, ..STILL },
                [1, 3, 3],
                &[1, 2, 3, 4, 5, 6, 7, 8, 9],
            )
        };
        assert_eq!(turned(90.0), [7, 4, 1, 8, 5, 2, 9, 6, 3]);
        assert_eq!(turned(180.0), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn all_choices_occur_equally_often() {
        let augmentation = Augmentation {
            pad_crop: 1,
            horizontal_flip: true,
            shift: 0,
            rotation_degrees: 10.0,
        };
        let mut counts = [[0; 3]; 2];
        let mut flips = 0;
        let mut degrees = 0.0;
        for index in 0..3000 {
            let drawn = Distortion::draw(&augmentation, KEY, index);
            counts[0][(drawn.shift.0 + 1) as usize] += 1;
            counts[1][(drawn.shift.1 + 1) as usize] += 1;
            flips += i32::from(drawn.flip);
            assert!(drawn.radians.to_degrees().abs() <= 10.0);
            degrees += drawn.radians.to_degrees() / 3000.0;
        }
        for count in counts.as_flattened() {
            assert!((900..1100).contains(count), "{counts:?}");
        }
        assert!((1400..1600).contains(&flips), "{flips}");
        assert!(degrees.abs() < 0.5, "{degrees}");
    }

    #[test]
    fn a_draw_depends_on_seed_epoch_and_index() {
        let augmentation = Augmentation {
            pad_crop: 4,
            horizontal_flip: true,
            shift: 2,
            rotation_degrees: 15.0,
        };
        let draw = |seed, epoch, index| {
            Distortion::draw(&augmentation, AugmentationKey { seed, epoch }, index)
        };
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        assert_ne!(draw(1, 2, 3), draw(0, 2, 3));
        assert_ne!(draw(1, 2, 3), draw(1, 3, 3));
        assert_ne!(draw(1, 2, 3), draw(1, 2, 4));
        assert_ne!(draw(1, 2, 3), draw(2, 1, 3));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let fields = [
            (
                "pad_crop",
                Augmentation {
                    pad_crop: 65,
                    ..Default::default()
                },
            ),
            (
                "shift",
                Augmentation {
                    shift: usize::MAX,
                    ..Default::default()
                },
            ),
            (
                "rotation_degrees",
                Augmentation {
                    rotation_degrees: -1.0,
                    ..Default::default()
                },
            ),
            (
                "rotation_degrees",
                Augmentation {
                    rotation_degrees: f32::NAN,
                    ..Default::default()
                },
            ),
        ];
        for (field, augmentation) in fields {
            let message = augmentation.validate().unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
        }
        Augmentation::default().validate().unwrap();
    }

    #[test]
    #[ignore = "measures time: run it alone, on a machine that does nothing else"]
    fn a_batch_of_cifar_takes_far_less_than_a_millisecond() {
        let image = [3, 32, 32];
        let pixels = picture(image);
        let mut out = vec![0; pixels.len()];
        let augmentation = Augmentation {
            pad_crop: 4,
            horizontal_flip: true,
            ..Default::default()
        };
        let fastest = (0..50)
            .map(|_| {
                let start = std::time::Instant::now();
                for index in 0..64 {
                    apply(&augmentation, KEY, index, image, &pixels, &mut out);
                }
                start.elapsed()
            })
            .min()
            .unwrap();
        println!("64 images: {fastest:?}");
        assert!(fastest.as_micros() < 1000, "{fastest:?}");
    }

    fn images() -> impl Strategy<Value = [usize; 3]> {
        [1usize..4, 1..12, 1..12]
    }

    proptest! {
        #[test]
        fn mirroring_twice_is_the_identity(image in images()) {
            let mirror = Distortion { flip: true, ..STILL };
            let pixels = picture(image);
            let once = distorted(mirror, image, &pixels);
            prop_assert_eq!(distorted(mirror, image, &once), pixels);
        }

        #[test]
        fn rotation_agrees_with_copies(image in images(), flip: bool, right in -5isize..6, down in -5isize..6) {
            let distortion = Distortion { flip, shift: (right, down), ..STILL };
            let pixels = picture(image);
            let copied = distorted(distortion, image, &pixels);
            let turned = distorted(Distortion { radians: 1e-9, ..distortion }, image, &pixels);
            prop_assert_eq!(copied, turned);
        }

        #[test]
        fn small_distortions_keep_what_is_inside(index: usize, seed: u64, epoch: u64) {
            let image = [1, 28, 28];
            let mut pixels = vec![0; 784];
            for y in 10..18 {
                pixels[y * 28 + 10..y * 28 + 18].fill(200);
            }
            let augmentation = Augmentation {
                pad_crop: 2,
                horizontal_flip: true,
                shift: 3,
                rotation_degrees: 20.0,
            };
            let mut out = vec![0; 784];
            apply(&augmentation, AugmentationKey { seed, epoch }, index, image, &pixels, &mut out);
            let mass = |pixels: &[u8]| pixels.iter().map(|&p| f64::from(p)).sum::<f64>();
            prop_assert!((mass(&out) / mass(&pixels) - 1.0).abs() < 0.02);
            let unturned = Augmentation { rotation_degrees: 0.0, ..augmentation };
            apply(&unturned, AugmentationKey { seed, epoch }, index, image, &pixels, &mut out);
            prop_assert_eq!(mass(&out), mass(&pixels));
        }
    }
}
