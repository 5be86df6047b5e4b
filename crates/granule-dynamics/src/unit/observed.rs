use serde::{Deserialize, Serialize};

/// What a spiking cell shows to records and losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Observed {
    /// The membrane potential, `[batch, cells]`.
    #[default]
    Voltage,
    /// The number of spikes in the last step, `[batch, cells]`.
    Spikes,
}

#[cfg(test)]
pub(super) mod testing {
    use std::ops::ControlFlow;

    use burn::tensor::Tensor;

    use crate::model::{ConstantInput, Dynamics, Model};
    use crate::simulate::{Grid, simulate};
    use crate::{Place, host};

    /// A variable after each step, step by step, of all cells of a batch of one.
    pub(crate) fn course(
        dynamics: &dyn Dynamics,
        initial: crate::State,
        current: f64,
        (dt, steps): (f64, usize),
        variable: usize,
    ) -> Vec<Vec<f64>> {
        let place = Place::of(&initial[0]);
        let input = ConstantInput(place.full(current, [1, 1]));
        let grid = Grid::Uniform {
            start: 0.0,
            dt,
            steps,
        };
        let mut seen = Vec::new();
        simulate(dynamics, initial, &input, &grid, |step, _, state| {
            if step > 0 {
                seen.push(state[variable].clone());
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        let cells = seen[0].dims()[1];
        let values = host(Tensor::stack::<3>(seen, 0)).unwrap();
        values.chunks(cells).map(<[f64]>::to_vec).collect()
    }

    /// When each cell spiked, ms.
    pub(crate) fn spike_times<M: Model>(
        model: &M,
        current: f64,
        dt: f64,
        steps: usize,
    ) -> Vec<Vec<f64>> {
        let dynamics = model.dynamics().unwrap();
        let read = |name: &str| {
            let find = |variable: &crate::Variable| variable.name == name;
            let index = dynamics.variables().iter().position(find)?;
            let initial = model.initial_state(1).unwrap();
            Some(course(&dynamics, initial, current, (dt, steps), index))
        };
        let (counts, since) = (read("spike").unwrap(), read("since_spike").unwrap());
        let intervals = read("spike_interval");
        let times_of = |cell: usize| {
            let mut times = Vec::new();
            for (step, count) in counts.iter().enumerate() {
                let last = (step + 1) as f64 * dt - since[step][cell];
                let interval = intervals.as_ref().map_or(0.0, |all| all[step][cell]);
                let count = count[cell] as usize;
                times.extend((0..count).rev().map(|k| last - k as f64 * interval));
            }
            times
        };
        (0..counts[0].len()).map(times_of).collect()
    }

    /// The steps after which each cell had spiked, counted from 1, and the last state.
    pub(crate) fn spike_steps<M: Model>(
        model: &M,
        current: f64,
        dt: f64,
        steps: usize,
    ) -> Vec<Vec<usize>> {
        let dynamics = model.dynamics().unwrap();
        let spike = dynamics
            .variables()
            .iter()
            .position(|variable| variable.name == "spike");
        let initial = model.initial_state(1).unwrap();
        let seen = course(&dynamics, initial, current, (dt, steps), spike.unwrap());
        let steps_of = |cell: usize| {
            let spiked = seen.iter().enumerate().filter(|(_, row)| row[cell] > 0.0);
            spiked.map(|(step, _)| step + 1).collect()
        };
        (0..seen[0].len()).map(steps_of).collect()
    }
}
