//! Least squares in the unit cube.

use std::sync::atomic::AtomicBool;

use granule_dynamics::DynamicsError;
use granule_dynamics::linalg::Cholesky;

use crate::analysis::parallel::side_by_side;

/// What is fitted: parameters that each run from 0 to 1 over their ranges.
pub(crate) trait Residuals: Sync {
    /// How many parameters.
    fn parameters(&self) -> usize;

    /// What the model gives less what was measured, each in standard deviations of its noise. `stop` asks it to end.
    ///
    /// # Errors
    ///
    /// Those of a run; [`DynamicsError::Stopped`].
    fn at(&self, place: &[f64], stop: &AtomicBool) -> Result<Vec<f64>, DynamicsError>;
}

/// Hears that something goes on, and ends it.
pub(crate) type Heard<'a> = &'a dyn Fn() -> Result<(), DynamicsError>;

/// Half the width of a difference, in ranges.
const WIDTH: f64 = 1e-5;
/// The most that one step changes a parameter, in ranges.
const LONGEST: f64 = 0.3;
/// A step below this, in ranges, is none.
const SHORTEST: f64 = 1e-9;
/// A cost that falls by less than this share does not fall.
const FLAT: f64 = 1e-12;
/// Damping at the beginning, the most, and the least.
const DAMPING: [f64; 3] = [1e-3, 1e10, 1e-12];

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// At a minimum.
    Converged,
    /// After as many steps as it may take.
    Unfinished,
}

/// Where a search ended.
#[derive(Clone, Debug)]
pub(crate) struct Minimum {
    /// In ranges.
    pub(crate) place: Vec<f64>,
    pub(crate) residuals: Vec<f64>,
    /// The sum of the squares of the residuals.
    pub(crate) squares: f64,
    pub(crate) steps: usize,
    pub(crate) end: End,
}

fn sum_of_squares(residuals: &[f64]) -> f64 {
    residuals.iter().map(|r| r * r).sum()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The residuals at several places; a run that fails has none.
fn at_all(
    problem: &dyn Residuals,
    places: &[Vec<f64>],
    heard: Heard<'_>,
) -> Result<Vec<Result<Vec<f64>, DynamicsError>>, DynamicsError> {
    let work = |index: usize, stop: &AtomicBool| {
        let place = places.get(index).map_or(&[][..], Vec::as_slice);
        match problem.at(place, stop) {
            Err(DynamicsError::Stopped) => Err(DynamicsError::Stopped),
            found => Ok(found),
        }
    };
    side_by_side(places.len(), &|_| heard(), &work)
}

/// The residuals at one place.
pub(crate) fn at_one(
    problem: &dyn Residuals,
    place: &[f64],
    heard: Heard<'_>,
) -> Result<Vec<f64>, DynamicsError> {
    let mut all = at_all(problem, &[place.to_vec()], heard)?;
    all.pop().unwrap_or(Err(DynamicsError::Stopped))
}

/// The slopes of the residuals by each parameter but a fixed one: central differences, one-sided at the ends of the ranges
/// and beside places where the model cannot be run.
pub(crate) fn slopes(
    problem: &dyn Residuals,
    place: &[f64],
    fixed: Option<usize>,
    heard: Heard<'_>,
) -> Result<Vec<Vec<f64>>, DynamicsError> {
    let free: Vec<usize> = (0..place.len())
        .filter(|index| Some(*index) != fixed)
        .collect();
    let moved = |index: usize, by: f64| {
        let mut other = place.to_vec();
        other[index] = (other[index] + by).clamp(0.0, 1.0);
        other
    };
    let mut places = vec![place.to_vec()];
    places.extend(
        free.iter()
            .flat_map(|index| [moved(*index, WIDTH), moved(*index, -WIDTH)]),
    );
    let mut found = at_all(problem, &places, heard)?.into_iter();
    let here = found.next().unwrap_or(Err(DynamicsError::Stopped))?;
    let mut all = vec![vec![0.0; here.len()]; place.len()];
    for (index, ends) in free.iter().zip(places[1..].chunks_exact(2)) {
        let [up, down] = [found.next(), found.next()].map(|own| {
            let own = own.unwrap_or(Err(DynamicsError::Stopped));
            own.map(|r| {
                if r.iter().all(|r| r.is_finite()) {
                    r
                } else {
                    here.clone()
                }
            })
        });
        let at = |end: usize| ends.get(end).map_or(f64::NAN, |end| end[*index]);
        let (up, high, down, low) = match (up, down) {
            (Ok(up), Ok(down)) => (up, at(0), down, at(1)),
            (Ok(up), Err(_)) => (up, at(0), here.clone(), place[*index]),
            (Err(_), Ok(down)) => (here.clone(), place[*index], down, at(1)),
            (Err(error), Err(_)) => return Err(error),
        };
        let width = high - low;
        let pairs = up.iter().zip(&down);
        all[*index] = pairs.map(|(up, down)| (up - down) / width).collect();
    }
    Ok(all)
}

/// The products of the slopes, `[parameters, parameters]`: the Gauss–Newton matrix.
pub(crate) fn products(slopes: &[Vec<f64>]) -> Vec<f64> {
    let rows = slopes.iter();
    rows.flat_map(|a| slopes.iter().map(move |b| dot(a, b)))
        .collect()
}

/// The minimum that is reached from `start` by the method of Levenberg (1944) and Marquardt (1963), within the ranges: a
/// parameter at an end of its range, beyond which the squares would fall, stays there.
///
/// # Errors
///
/// Those of the residuals at the start, and of their slopes; [`DynamicsError::Stopped`].
pub(crate) fn descend(
    problem: &dyn Residuals,
    start: &[f64],
    fixed: Option<usize>,
    most: usize,
    heard: Heard<'_>,
) -> Result<Minimum, DynamicsError> {
    let mut place: Vec<f64> = start.iter().map(|z| z.clamp(0.0, 1.0)).collect();
    let mut residuals = at_one(problem, &place, heard)?;
    let mut squares = sum_of_squares(&residuals);
    if !squares.is_finite() {
        return Err(not_finite());
    }
    let [mut damping, highest, lowest] = DAMPING;
    let mut end = End::Unfinished;
    let mut steps = 0;
    'steps: while steps < most {
        let slopes = slopes(problem, &place, fixed, heard)?;
        let gradient: Vec<f64> = slopes.iter().map(|own| dot(own, &residuals)).collect();
        let free: Vec<usize> = (0..place.len())
            .filter(|index| {
                let (z, g) = (place[*index], gradient[*index]);
                let held = (z <= 0.0 && g > 0.0) || (z >= 1.0 && g < 0.0);
                Some(*index) != fixed && !held && g != 0.0
            })
            .collect();
        if free.is_empty() {
            end = End::Converged;
            break;
        }
        let matrix = products(&slopes);
        let n = place.len();
        let most_curved = (0..n).map(|i| matrix[i * (n + 1)]).fold(0.0, f64::max);
        steps += 1;
        loop {
            let step = solve(&matrix, &gradient, &free, damping, most_curved);
            let step = step.filter(|step| step.iter().all(|x| x.is_finite()));
            let longest = step
                .iter()
                .flatten()
                .fold(0.0_f64, |most, x| most.max(x.abs()));
            let scale = if longest > LONGEST {
                LONGEST / longest
            } else {
                1.0
            };
            let mut other = place.clone();
            for (index, by) in free.iter().zip(step.iter().flatten()) {
                other[*index] = (other[*index] + scale * by).clamp(0.0, 1.0);
            }
            let pairs = other.iter().zip(&place);
            let moved = pairs.fold(0.0_f64, |most, (a, b)| most.max((a - b).abs()));
            if step.is_some() && moved < SHORTEST {
                end = End::Converged;
                break 'steps;
            }
            let tried = match step {
                Some(_) => at_all(problem, &[other.clone()], heard)?.pop(),
                None => None,
            };
            if let Some(Ok(found)) = tried {
                let new = sum_of_squares(&found);
                if new < squares {
                    let fell = squares - new;
                    (place, residuals) = (other, found);
                    let before = std::mem::replace(&mut squares, new);
                    damping = (damping / 10.0).max(lowest);
                    if fell <= FLAT * before {
                        end = End::Converged;
                        break 'steps;
                    }
                    break;
                }
            }
            damping *= 5.0;
            if damping > highest {
                // No step down the slope lowers the squares.
                end = End::Converged;
                break 'steps;
            }
        }
    }
    Ok(Minimum {
        place,
        residuals,
        squares,
        steps,
        end,
    })
}

/// (JᵀJ + λ diag JᵀJ) δ = −Jᵀr over the free parameters.
fn solve(
    matrix: &[f64],
    gradient: &[f64],
    free: &[usize],
    damping: f64,
    most_curved: f64,
) -> Option<Vec<f64>> {
    let n = gradient.len();
    let mut own: Vec<f64> = free
        .iter()
        .flat_map(|i| free.iter().map(move |j| matrix[i * n + j]))
        .collect();
    let m = free.len();
    for i in 0..m {
        let diagonal = own[i * (m + 1)];
        own[i * (m + 1)] += damping * diagonal.max(1e-10 * most_curved);
    }
    let mut step: Vec<f64> = free.iter().map(|i| -gradient[*i]).collect();
    Cholesky::new(own, m)?.solve(&mut step);
    Some(step)
}

fn not_finite() -> DynamicsError {
    DynamicsError::NotConverged {
        what: "the fit, whose residuals are not finite at its start,".into(),
        iterations: 0,
    }
}
