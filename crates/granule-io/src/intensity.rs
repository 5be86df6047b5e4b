//! What the numbers of an image array mean: one rule for training, evaluation, prediction and the library.
//!
//! Integers from 0 to 255 are pixels, floating-point numbers from 0 to 1 are intensities, and a range says anything
//! else. What fits none of them is an error that names what was found.

use thiserror::Error;

/// How far beyond its range a number may lie, as a part of the range: what rounding leaves.
const SLACK: f64 = 1e-5;

/// How the numbers of an array become intensities from 0 (black) to 1 (white).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Intensity {
    /// Integers from 0 to 255.
    Pixels,
    /// Numbers from 0 to 1.
    Unit,
    /// Numbers from black to white, as the user said.
    Range([f64; 2]),
}

impl Intensity {
    /// The rule: by the range if one is given, else by whether the numbers are integers.
    ///
    /// # Errors
    /// [`IntensityError::Range`] for a range that is not of two finite numbers, the lower one first.
    pub fn of(integers: bool, range: Option<[f64; 2]>) -> Result<Self, IntensityError> {
        match (range, integers) {
            (Some(range), _) => check_range(range).map(|()| Self::Range(range)),
            (None, true) => Ok(Self::Pixels),
            (None, false) => Ok(Self::Unit),
        }
    }

    /// The numbers that are black and white.
    pub fn bounds(self) -> [f64; 2] {
        match self {
            Self::Pixels => [0.0, 255.0],
            Self::Unit => [0.0, 1.0],
            Self::Range(range) => range,
        }
    }

    /// The intensity of a number, from 0 to 1.
    pub fn scale(self, number: f64) -> f64 {
        let [black, white] = self.bounds();
        ((number - black) / (white - black)).clamp(0.0, 1.0)
    }

    /// Refuses numbers beyond the bounds, given the lowest and the highest one.
    ///
    /// # Errors
    /// [`IntensityError::Beyond`].
    pub fn check(self, lowest: f64, highest: f64) -> Result<(), IntensityError> {
        let [black, white] = self.bounds();
        let slack = SLACK * (white - black);
        if lowest >= black - slack && highest <= white + slack {
            Ok(())
        } else {
            Err(IntensityError::Beyond {
                intensity: self,
                lowest,
                highest,
            })
        }
    }
}

/// Checks a range of intensities: black, then white.
///
/// # Errors
/// [`IntensityError::Range`].
pub fn check_range(range: [f64; 2]) -> Result<(), IntensityError> {
    let [black, white] = range;
    if black.is_finite() && white.is_finite() && black < white && (white - black).is_finite() {
        Ok(())
    } else {
        Err(IntensityError::Range { black, white })
    }
}

/// Why numbers are not taken for intensities.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[non_exhaustive]
pub enum IntensityError {
    /// Not a range.
    #[error(
        "the range [{black}, {white}] is not allowed; give two finite numbers, that of black first: [-1, 1]"
    )]
    Range {
        /// The number of black.
        black: f64,
        /// The number of white.
        white: f64,
    },
    /// Numbers outside the range.
    #[error("its numbers go from {lowest} to {highest}, {}; say which numbers are black and white, {}",
        expected(*intensity), way_out(*lowest, *highest))]
    Beyond {
        /// What they were to be.
        intensity: Intensity,
        /// The lowest number.
        lowest: f64,
        /// The highest number.
        highest: f64,
    },
}

fn expected(intensity: Intensity) -> String {
    match intensity {
        Intensity::Pixels => "pixels are integers from 0 to 255".into(),
        Intensity::Unit => "intensities are floating-point numbers from 0 to 1".into(),
        Intensity::Range([black, white]) => format!("beyond the range [{black}, {white}]"),
    }
}

fn way_out(lowest: f64, highest: f64) -> String {
    let [black, white] = likely(lowest, highest);
    format!("as in `--range={black},{white}` (data.range = [{black}, {white}])")
}

/// The range that such numbers most likely have: a usual one of which they fill a third, else their own extremes, those of
/// fractions rounded outwards to two digits.
pub fn likely(lowest: f64, highest: f64) -> [f64; 2] {
    const USUAL: [[f64; 2]; 8] = [
        [0.0, 1.0],
        [-1.0, 1.0],
        [0.0, 255.0],
        [-128.0, 127.0],
        [0.0, 1023.0],
        [0.0, 4095.0],
        [0.0, 16383.0],
        [0.0, 65535.0],
    ];
    let holds = |[black, white]: &[f64; 2]| {
        *black <= lowest && highest <= *white && highest - lowest > (white - black) / 3.0
    };
    let found = USUAL.into_iter().find(holds);
    found.unwrap_or([outwards(lowest, f64::floor), outwards(highest, f64::ceil)])
}

/// A number of two digits at least as far out as `x`; whole numbers stay.
fn outwards(x: f64, round: fn(f64) -> f64) -> f64 {
    if x.fract() == 0.0 || !x.is_finite() {
        return x;
    }
    let places = 1 - x.abs().log10().floor() as i32;
    let scale = 10f64.powi(places.abs());
    let rounded = if places >= 0 {
        round(x * scale) / scale
    } else {
        round(x / scale) * scale
    };
    if rounded.is_finite() { rounded } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_the_numbers_decides_unless_a_range_is_given() {
        assert_eq!(Intensity::of(true, None).unwrap(), Intensity::Pixels);
        assert_eq!(Intensity::of(false, None).unwrap(), Intensity::Unit);
        for integers in [true, false] {
            let found = Intensity::of(integers, Some([-1.0, 1.0])).unwrap();
            assert_eq!(found, Intensity::Range([-1.0, 1.0]));
            assert_eq!(found.scale(0.0), 0.5);
        }
        assert_eq!(Intensity::Pixels.scale(255.0), 1.0);
        assert_eq!(Intensity::Unit.scale(1.000_001), 1.0);
        for range in [
            [1.0, 1.0],
            [2.0, 1.0],
            [f64::NAN, 1.0],
            [0.0, f64::INFINITY],
        ] {
            assert!(Intensity::of(true, Some(range)).is_err(), "{range:?}");
        }
    }

    #[test]
    fn numbers_beyond_are_refused_with_the_way_out() {
        let error = |intensity: Intensity, lowest, highest| {
            intensity.check(lowest, highest).unwrap_err().to_string()
        };
        assert_eq!(
            error(Intensity::Unit, 0.0, 255.0),
            "its numbers go from 0 to 255, intensities are floating-point numbers from 0 to 1; say which numbers are \
             black and white, as in `--range=0,255` (data.range = [0, 255])"
        );
        assert!(error(Intensity::Unit, -1.0, 1.0).contains("--range=-1,1"));
        assert!(error(Intensity::Pixels, 0.0, 900.0).contains("--range=0,1023"));
        assert!(error(Intensity::Pixels, -3.0, 7e4).contains("--range=-3,70000"));
        assert!(error(Intensity::Pixels, 1.0, 257.0).contains("--range=1,257"));
        let own = error(Intensity::Unit, -3.3715845859179647, 3.1450342553384134);
        assert!(
            own.contains("`--range=-3.4,3.2` (data.range = [-3.4, 3.2])"),
            "{own}"
        );
        assert_eq!(likely(-0.00123, 1234.5), [-0.0013, 1300.0]);
        let beyond = error(Intensity::Range([-1.0, 1.0]), 0.0, 255.0);
        assert!(beyond.contains("beyond the range [-1, 1]"), "{beyond}");
        Intensity::Range([-1.0, 1.0])
            .check(-1.000_001, 1.0)
            .unwrap();
        Intensity::Pixels.check(0.0, 255.0).unwrap();
    }
}
