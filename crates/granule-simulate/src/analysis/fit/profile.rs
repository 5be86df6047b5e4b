//! The profile of a parameter: the least squares that are left where it is held.

use granule_dynamics::DynamicsError;

use super::least_squares::{Heard, Minimum, Residuals, descend};

/// χ² with one degree of freedom is below this in 95 % of all cases.
pub(crate) const LEVEL: f64 = 3.841_458_820_694_124;
/// How far a profile reaches from the minimum, in standard deviations.
const REACH: f64 = 3.0;

/// The squares over a parameter, the others fitted to each of its values.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// Rising: where the parameter is held, in ranges.
    pub(crate) held: Vec<f64>,
    /// The squares above those of the minimum; NaN where the model could not be run.
    pub(crate) above: Vec<f64>,
    /// A fit with fewer squares than the minimum had, where one was found.
    pub(crate) better: Option<Vec<f64>>,
}

/// The profile of one parameter at about `points` places: from the minimum three standard deviations to both sides, within the
/// range, each fit from where that beside it ended.
///
/// # Errors
///
/// [`DynamicsError::Stopped`].
pub(crate) fn profile(
    problem: &dyn Residuals,
    best: &Minimum,
    (parameter, deviation): (usize, f64),
    (points, most): (usize, usize),
    heard: Heard<'_>,
) -> Result<Profile, DynamicsError> {
    let middle = best.place[parameter];
    let side = (points / 2).max(1);
    let reach = (REACH * deviation).min(1.0);
    let mut all = vec![(middle, 0.0)];
    let mut better: Option<(f64, Vec<f64>)> = None;
    for direction in [-1.0, 1.0] {
        let room = if direction < 0.0 {
            middle
        } else {
            1.0 - middle
        };
        if room <= 1e-9 {
            continue;
        }
        let length = reach.min(room);
        let mut from = best.place.clone();
        for point in 1..=side {
            let held = (middle + direction * length * point as f64 / side as f64).clamp(0.0, 1.0);
            from[parameter] = held;
            match descend(problem, &from, Some(parameter), most, heard) {
                Ok(found) => {
                    let above = found.squares - best.squares;
                    if better.as_ref().map_or(-1e-3, |(least, _)| *least) > above {
                        better = Some((above, found.place.clone()));
                    }
                    all.push((held, above));
                    from = found.place;
                }
                Err(DynamicsError::Stopped) => return Err(DynamicsError::Stopped),
                Err(_) => all.push((held, f64::NAN)),
            }
        }
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(Profile {
        held: all.iter().map(|(held, _)| *held).collect(),
        above: all.iter().map(|(_, above)| *above).collect(),
        better: better.map(|(_, place)| place),
    })
}

impl Profile {
    /// Where it crosses the level to both sides of `middle`: the ends of an interval that holds the parameter in 95 % of all
    /// cases. None to a side where it does not come so high.
    pub(crate) fn interval(&self, middle: f64) -> [Option<f64>; 2] {
        // The root of a parabola is a straight line.
        let points = self.held.iter().zip(&self.above);
        let height = |(held, above): (&f64, &f64)| (*held, above.max(0.0).sqrt());
        let (mut below, mut above): (Vec<_>, Vec<_>) =
            points.map(height).partition(|(held, _)| *held < middle);
        below.reverse();
        above.retain(|(held, _)| *held > middle);
        [below, above].map(|side| {
            let mut before = (middle, 0.0);
            for (held, height) in side {
                if !height.is_finite() {
                    return None;
                }
                let level = LEVEL.sqrt();
                if height >= level {
                    let share = (level - before.1) / (height - before.1);
                    return Some(before.0 + share * (held - before.0));
                }
                before = (held, height);
            }
            None
        })
    }
}
