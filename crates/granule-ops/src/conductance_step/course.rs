//! Many steps in a row as one operation.

use burn::backend::tensor::FloatTensor;
use burn::tensor::Shape;

#[cfg(feature = "autodiff")]
use super::backward::{Taped, Wanted, gradients};
use super::cpu::Number;
use super::geometry::Geometry;
#[cfg(feature = "autodiff")]
use super::joint::Joined;
use super::single::step;
use super::{Layout, Plan};
use crate::host::{HostBackend, HostVec, on_host_all};

/// The sizes of what the kernels are given.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// Of a step with the inflow that has a gradient, and with those of each step.
    own: Geometry,
    each: Geometry,
    states: usize,
    /// Without the inflows of each step.
    given: usize,
}

impl Sizes {
    pub(super) fn new<B: HostBackend>(tensors: &[FloatTensor<B>], layout: &Layout) -> Option<Self> {
        let (v, inflow) = (tensors.first()?, tensors.get(layout.states)?);
        let given = layout.given();
        let own = Geometry::new::<B>(v, inflow);
        Some(Self {
            own,
            each: tensors
                .get(given)
                .map_or(own, |each| Geometry::new::<B>(v, each)),
            states: layout.states,
            given,
        })
    }

    /// The state after the last of some steps, or that at the beginning.
    fn before<'a, T>(&self, steps: &'a [Vec<Vec<T>>], given: &[&'a [T]]) -> Vec<&'a [T]> {
        match steps.last() {
            Some(step) => step[..self.states].iter().map(|x| &x[..]).collect(),
            None => given[..self.states].to_vec(),
        }
    }

    /// What step `index` reads besides the state: its sizes, the inflow, the tables and the couplings.
    fn of_step<'a, T>(&self, given: &[&'a [T]], index: usize) -> (Geometry, Vec<&'a [T]>) {
        let (own, each) = given.split_at(self.given);
        let mut own = own[self.states..].to_vec();
        match each.get(index) {
            Some(inflow) => {
                own[0] = inflow;
                (self.each, own)
            }
            None => (self.own, own),
        }
    }
}

/// What is seen, `[times, batch, columns]`, and the last state; then, if it is `kept`, what the backward pass needs: of each
/// step the state after it and what was solved.
pub(super) fn forward<B: HostBackend>(
    tensors: &[FloatTensor<B>],
    layout: &Layout,
    plan: &Plan,
    kept: bool,
) -> (Vec<FloatTensor<B>>, Vec<HostVec>) {
    let Some(sizes) = Sizes::new::<B>(tensors, layout) else {
        return Default::default();
    };
    let values = tensors.iter().map(B::values);
    let values = on_host_all!("conductance_course", values, slices => {
        run(sizes, layout, plan, kept, &slices)
    });
    let mut values = values.into_iter();
    let (batch, cells) = (sizes.own.batch, sizes.own.cells);
    let shape = Shape::new([plan.seen.len(), batch, plan.columns.len()]);
    let mut results = Vec::with_capacity(1 + layout.states);
    results.extend(values.next().map(|seen| B::write(seen, shape)));
    let last = values.by_ref().take(layout.states);
    results.extend(last.map(|x| B::write(x, Shape::new([batch, cells]))));
    (results, values.collect())
}

fn run<T: Number>(
    sizes: Sizes,
    layout: &Layout,
    plan: &Plan,
    kept: bool,
    given: &[&[T]],
) -> Vec<Vec<T>> {
    let cells = sizes.own.cells;
    let mut steps: Vec<Vec<Vec<T>>> = Vec::with_capacity(plan.lengths.len());
    let mut seen = Vec::with_capacity(plan.seen.len() * plan.columns.len() * sizes.own.batch);
    let mut due = plan.seen.iter().peekable();
    for (index, dt) in plan.lengths.iter().enumerate() {
        let (g, others) = sizes.of_step(given, index);
        let before = sizes.before(&steps, given);
        let slices: Vec<&[T]> = before.into_iter().chain(others).collect();
        let next = step(g, layout, *dt, &slices);
        if due.next_if(|due| **due == index + 1).is_some() {
            for row in next[0].chunks_exact(cells) {
                seen.extend(plan.columns.iter().map(|column| row[*column]));
            }
        }
        if !kept {
            steps.clear();
        }
        steps.push(next);
    }
    let last = sizes.before(&steps, given).into_iter();
    let mut all = vec![seen];
    all.extend(last.map(<[T]>::to_vec));
    if kept {
        all.extend(steps.into_iter().flatten());
    }
    all
}

/// Gradients by the state at the beginning, the inflow of all steps, both tables and the couplings, of those by what is seen
/// and by the last state; empty where there are none. `trace` is what [`forward`] has kept.
#[cfg(feature = "autodiff")]
pub(super) fn backward<T: Number>(
    sizes: Sizes,
    layout: &Layout,
    (plan, wanted): (&Plan, Wanted),
    (given, trace): (&[&[T]], &[&[T]]),
    (by_seen, by_last): (&[T], &[&[T]]),
) -> Vec<Vec<T>> {
    let (states, cells) = (sizes.states, sizes.own.cells);
    let kept = states + if layout.joint.is_some() { 2 } else { 0 };
    let mut adjoints: Vec<Vec<T>> = by_last.iter().map(|x| x.to_vec()).collect();
    let mut totals: Vec<Vec<T>> = vec![Vec::new(); sizes.given - states];
    let mut due = plan.seen.iter().enumerate().rev().peekable();
    for (index, dt) in plan.lengths.iter().enumerate().rev() {
        if let Some((time, _)) = due.next_if(|(_, due)| **due == index + 1)
            && !by_seen.is_empty()
        {
            let by_v = &mut adjoints[0];
            by_v.resize(sizes.own.batch * cells, T::ZERO);
            let width = plan.columns.len();
            let rows = by_seen[time * sizes.own.batch * width..].chunks_exact(width);
            for (row, by_row) in by_v.chunks_exact_mut(cells).zip(rows) {
                for (column, by) in plan.columns.iter().zip(by_row) {
                    row[*column] += *by;
                }
            }
        }
        if adjoints.iter().all(Vec::is_empty) {
            continue;
        }
        let (g, others) = sizes.of_step(given, index);
        let [inflow, shared, each, couplings @ ..] = &others[..] else {
            return Vec::new();
        };
        let after = &trace[index * kept..][..kept];
        let before = match index {
            0 => &given[..states],
            _ => &trace[(index - 1) * kept..][..states],
        };
        let joined = match (&layout.joint, couplings, &after[states..]) {
            (Some(joint), [couplings], [reciprocals, x]) => Some(Joined {
                joint,
                couplings,
                x: if x.is_empty() { after[0] } else { x },
                reciprocals,
            }),
            _ => None,
        };
        let own: Vec<&[T]> = adjoints.iter().map(|x| &x[..]).collect();
        let taped = Taped {
            states: before,
            inflow,
            tables: [shared, each],
            moved: &after[1..states],
            joined,
            adjoints: &own,
        };
        let mut found = gradients(g, layout, *dt, wanted, &taped);
        let of_step = found.split_off(states);
        adjoints = found;
        for (total, own) in totals.iter_mut().zip(of_step) {
            if total.is_empty() {
                *total = own;
            } else {
                for (total, own) in total.iter_mut().zip(own) {
                    *total += own;
                }
            }
        }
    }
    adjoints.into_iter().chain(totals).collect()
}
