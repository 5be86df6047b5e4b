//! A recorded step and its runs.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use granule_ops::script::{Given, Recorded, Run, Saved, Script, See, Seen, Unrecorded, record};

use super::{DRAWN, Drawn, Numbers};
use crate::model::Clock;
use crate::state::{host, is_tracked};
use crate::{DynamicsError, Place, State};

/// The steps of a model as one operation.
#[derive(Clone)]
pub struct WholeSteps {
    script: Arc<Script>,
    /// Whether there is an input.
    driven: bool,
    drawn: Vec<OfStep>,
}

impl std::fmt::Debug for WholeSteps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = &mut f.debug_struct("WholeSteps");
        of.field("script", &self.script).finish_non_exhaustive()
    }
}

/// Numbers of the step `first + stride · n` of their source in the step `n`: a level may take several steps in one of the
/// whole.
#[derive(Clone)]
struct OfStep {
    first: usize,
    stride: usize,
    numbers: Arc<Numbers>,
}

/// Drawing is noted on this thread until this is dropped.
struct Noting;

impl Drop for Noting {
    fn drop(&mut self) {
        DRAWN.set(None);
    }
}

/// What `body` gives, and the numbers of steps that it draws.
pub(crate) fn noted<T>(
    body: impl FnOnce() -> Result<T, DynamicsError>,
) -> Result<(T, Vec<Drawn>), DynamicsError> {
    let noting = Noting;
    DRAWN.set(Some(Vec::new()));
    let found = body()?;
    let drawn = DRAWN.take().unwrap_or_default();
    drop(noting);
    Ok((found, drawn))
}

/// A dense product of more multiplications than this is not faster by itself than Burn's.
const MOST_MULTIPLICATIONS: usize = 1 << 21;

impl WholeSteps {
    /// Records a step of `clock.dt` from a state like `initial`: three of them, the first two and a late one, which have to be
    /// the same but for [`numbers_of_step`](super::numbers_of_step). `input` is the shape of the input, where there is one;
    /// `dynamics` makes the model on the device that records, and `step` takes its step and says what is to be seen of it.
    ///
    /// # Errors
    ///
    /// A sentence that says why the steps of this model are not taken in one call: it chooses its steps by what it
    /// finds, reads numbers off the device, depends on time otherwise than by its input, has an operation that no script has,
    /// or lives on a GPU and has elements that depend on others.
    pub fn record<D>(
        initial: &State,
        input: Option<[usize; 2]>,
        clock: Clock,
        dynamics: impl FnOnce(&Device) -> Result<D, DynamicsError>,
        step: impl Fn(
            &D,
            Clock,
            &State,
            Option<&Tensor<2>>,
        ) -> Result<(State, Vec<Tensor<2>>), DynamicsError>,
    ) -> Result<Self, String> {
        let tensors = initial.tensors();
        let Some((dtype, device)) = tensors.first().map(|x| (x.dtype(), x.device())) else {
            return Err("a model without variables".into());
        };
        if tensors.iter().any(|x| x.dtype() != dtype) {
            return Err("variables of several precisions".into());
        }
        let taped = |x: &Tensor<2>| is_tracked(x) || x.device().is_autodiff();
        if tensors.iter().any(taped) {
            return Err("a state on a gradient tape".into());
        }
        let states: Vec<[usize; 2]> = tensors.iter().map(Tensor::dims).collect();
        let given: Vec<[usize; 2]> = input.into_iter().collect();
        let (mut make, mut made) = (Some(dynamics), None);
        let mut sources: Vec<Vec<(usize, Arc<Numbers>)>> = Vec::new();
        let script = record((&device, dtype), &states, &given, |index, device, x, u| {
            let dynamics = match (&made, make.take()) {
                (Some(made), _) => made,
                (None, Some(make)) => made.insert(make(device)?),
                (None, None) => return Err(DynamicsError::device("no model")),
            };
            let at = Clock {
                step: index,
                time: clock.time + index as f64 * clock.dt,
                dt: clock.dt,
            };
            let state = State::new(x.to_vec());
            let ((next, seen), drawn) = noted(|| step(dynamics, at, &state, u.first()))?;
            let (tensors, own) = drawn
                .into_iter()
                .map(|(tensor, step, numbers)| (tensor, (step, numbers)))
                .unzip();
            sources.push(own);
            Ok(Recorded {
                next: next.into_tensors(),
                seen,
                given: tensors,
            })
        });
        drop(made);
        match script {
            Ok(script) if script.multiplications() > MOST_MULTIPLICATIONS => {
                Err("so large a matrix that single steps are as fast".into())
            }
            Ok(script) if !script.runs_on(&device) => Err(
                "operations that are no kernel on this device, as those that go across cells"
                    .into(),
            ),
            Ok(script) => {
                let drawn = of_steps(sources);
                Ok(Self {
                    script: Arc::new(script),
                    driven: input.is_some(),
                    drawn: drawn.ok_or("random numbers of steps out of order")?,
                })
            }
            Err(Unrecorded::Failed(DynamicsError::Device { .. })) => {
                Err("a step that reads numbers as it goes, as those of adaptive solvers do".into())
            }
            Err(Unrecorded::Failed(error)) => Err(error.to_string()),
            Err(Unrecorded::Unknown(what)) => Err(what),
        }
    }

    /// The list of operations.
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// What draws for a step of the way back that has taken `done` steps when it goes on with the one before `end`.
    #[cfg(feature = "autodiff")]
    pub(crate) fn drawn_backwards(
        &self,
        end: usize,
        done: usize,
    ) -> Vec<impl Fn(usize, &mut [f64]) + Sync + '_> {
        let fills = self.drawn.iter().map(move |drawn| {
            move |step: usize, own: &mut [f64]| {
                let forward = (end + done).saturating_sub(step + 1);
                (drawn.numbers)(drawn.first + drawn.stride * forward, own);
            }
        });
        fills.collect()
    }

    /// A run from a state.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Device`] for a state that cannot be read or is of other shapes.
    pub fn begin(&self, initial: &State) -> Result<WholeRun, DynamicsError> {
        self.begin_with(initial, &[])
    }

    /// The same from the state after `done` steps.
    ///
    /// # Errors
    ///
    /// As for [`begin`](Self::begin).
    pub fn begin_after(&self, done: usize, state: &State) -> Result<WholeRun, DynamicsError> {
        let WholeRun { steps, run } = self.begin(state)?;
        let run = run.after(done);
        Ok(WholeRun { steps, run })
    }

    /// The same of a model with these numbers where a [setting](granule_ops::script::setting) was recorded.
    pub(crate) fn begin_with(
        &self,
        initial: &State,
        settings: &[Vec<f64>],
    ) -> Result<WholeRun, DynamicsError> {
        let values = initial.tensors().iter().map(|x| host(x.clone()));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let run = Run::with(Arc::clone(&self.script), settings, &values);
        let device = initial.tensors().first().map(Tensor::device);
        let misfit = || DynamicsError::device("the state has other shapes than what was recorded");
        let run = run.ok_or_else(misfit)?;
        Ok(WholeRun {
            steps: self.clone(),
            run: match device {
                Some(device) => run.on(&device),
                None => run,
            },
        })
    }
}

/// What is drawn for each step, from that of the steps 0, 1 and others.
fn of_steps(sources: Vec<Vec<(usize, Arc<Numbers>)>>) -> Option<Vec<OfStep>> {
    let [first, second, ..] = sources.as_slice() else {
        return Some(Vec::new());
    };
    let pairs = first.iter().zip(second);
    let found = pairs.map(|((first, numbers), (second, _))| {
        Some(OfStep {
            first: *first,
            stride: second.checked_sub(*first)?,
            numbers: Arc::clone(numbers),
        })
    });
    found.collect()
}

/// [`WholeSteps`] with a state.
pub struct WholeRun {
    steps: WholeSteps,
    run: Run,
}

impl WholeRun {
    /// The steps done.
    pub fn done(&self) -> usize {
        self.run.done()
    }

    /// The numbers of each variable, row-major.
    pub fn values(&self) -> Vec<Vec<f64>> {
        self.run.state()
    }

    /// The state with the shapes of `like`, where that lives.
    pub fn state(&self, like: &State) -> State {
        state(&self.run.state(), like)
    }

    /// The same of a step that was [saved](Self::saved).
    pub fn state_of(saved: &Saved, like: &State) -> State {
        state(saved.state(), like)
    }

    /// What is needed to [go back](Self::restore) to this step.
    pub fn saved(&self) -> Saved {
        self.run.saved()
    }

    /// The same in the place of what was saved before, whose memory is used again.
    pub fn save(&self, saved: &mut Saved) {
        self.run.save(saved);
    }

    /// Goes back to a step of this run.
    pub fn restore(&mut self, saved: &Saved) {
        self.run.restore(saved);
    }

    /// Takes `steps` steps. `input` has the input at the steps that are taken, in a row; `see` says when something is kept of
    /// each thing that is seen, which is returned.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Device`] where what is given or asked for does not fit.
    pub fn steps(
        &mut self,
        steps: usize,
        input: &[f64],
        see: &[See],
    ) -> Result<Vec<Seen>, DynamicsError> {
        let misfit = || DynamicsError::device("what is given for the steps is not of their number");
        if !self.steps.driven && !input.is_empty() {
            return Err(misfit());
        }
        let fills = self.steps.drawn.iter().map(|drawn| {
            move |step: usize, own: &mut [f64]| {
                (drawn.numbers)(drawn.first + drawn.stride * step, own);
            }
        });
        let fills: Vec<_> = fills.collect();
        let drawn = fills.iter().map(|fill| Given::Drawn(fill));
        let input = self.steps.driven.then_some(Given::Numbers(input));
        let given: Vec<Given<'_>> = input.into_iter().chain(drawn).collect();
        self.run.steps_drawn(steps, &given, see).ok_or_else(misfit)
    }
}

/// These numbers with the shapes of `like`, where that lives.
fn state(values: &[Vec<f64>], like: &State) -> State {
    let tensors = like.tensors().iter().zip(values);
    let tensors = tensors.map(|(like, x)| Place::of(like).tensor(x.clone(), like.dims()));
    State::new(tensors.collect())
}
