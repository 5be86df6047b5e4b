//! Rate sequences on GPUs: a launch for the whole sequence where a workgroup holds the units of a network, for a long one several,
//! else a product and a launch for each step. What goes over all steps at once, the drive, the gradient of the weights and sums, is left to
//! Burn's operations.

mod backend;
mod kernels;

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::{Drive, RateSequenceOptions, Recorded};
use crate::firing_rate::cube as firing_rate;
use crate::gpu::{one_for_each, row_major, serves, steps_of_launch, unwritten};
pub(super) use backend::run;

/// The most buffers that a kernel here is given, and those that CubeCL adds.
const BINDINGS: u32 = 13;

/// Whether the kernels serve these tensors.
pub(super) fn serve(x0: &Tensor<2>, drive: &Drive, weight: &Tensor<2>, alpha: &Tensor<1>) -> bool {
    let elements = x0.dims()[0] * weight.dims()[0] * drive.length();
    elements > 0
        && serves(x0)
        && serves(weight)
        && serves(alpha)
        && drive.all(serves, serves)
        && crate::gpu::bindings(weight) >= BINDINGS
}

/// What a sequence is computed from, row-major: the drive is that of every unit.
#[derive(Clone, Debug)]
struct Network {
    x0: CubeTensor,
    drive: CubeTensor,
    weight: CubeTensor,
    alpha: CubeTensor,
    options: RateSequenceOptions,
    /// Whether each step is a launch of its own, although a workgroup would hold the network.
    by_steps: bool,
}

/// Gradients of a sequence.
struct Gradients {
    x0: CubeTensor,
    drive: CubeTensor,
    weight: CubeTensor,
    alpha: CubeTensor,
}

impl Network {
    fn new(
        [x0, drive, weight, alpha]: [CubeTensor; 4],
        options: RateSequenceOptions,
        by_steps: bool,
    ) -> Self {
        Self {
            x0: row_major(x0),
            drive: row_major(drive),
            weight: row_major(weight),
            alpha: row_major(alpha),
            options,
            by_steps,
        }
    }

    fn steps(&self) -> usize {
        self.drive.shape()[0]
    }

    fn batch(&self) -> usize {
        self.drive.shape()[1]
    }

    fn units(&self) -> usize {
        self.drive.shape()[2]
    }

    /// The units for which a workgroup has room.
    fn room(&self) -> usize {
        self.units().next_power_of_two()
    }

    /// `[steps / every, batch, units]`
    fn sequence(&self, every: usize) -> CubeTensor {
        let shape = [self.steps() / every, self.batch(), self.units()];
        unwritten(&self.x0, Shape::new(shape))
    }

    /// A workgroup for each trial, where one holds the units of the network.
    fn workgroups(&self) -> Option<(CubeCount, CubeDim)> {
        let limits = &self.x0.client.properties().hardware;
        let (batch, units) = (self.batch(), self.units());
        let fits = !self.by_steps
            && units <= limits.max_units_per_cube as usize
            && units <= limits.max_cube_dim.0 as usize
            && self.room() * size_of::<f32>() <= limits.max_shared_memory_size
            && batch <= limits.max_cube_count.0 as usize;
        fits.then(|| {
            let count = CubeCount::Static(batch as u32, 1, 1);
            (count, CubeDim::new_1d(units as u32))
        })
    }

    /// The steps done before each launch of a workgroup for each trial, and those that it takes.
    fn launches(&self) -> impl DoubleEndedIterator<Item = (usize, usize)> {
        // Products beside the rest, which counts as a few.
        let operations = 2 * self.units() + 50;
        let most = steps_of_launch(operations, self.batch() * self.units());
        let steps = self.steps();
        let launches = (0..steps.div_ceil(most)).map(move |launch| launch * most);
        launches.map(move |done| (done, most.min(steps - done)))
    }

    /// The states after every `every` steps.
    fn states(&self, every: usize) -> CubeTensor {
        let states = self.sequence(every);
        let client = &states.client;
        let (curve, gain, exponent) = firing_rate::curve(self.options.transfer);
        if let Some((count, dim)) = self.workgroups() {
            let carried = unwritten(&self.x0, self.x0.shape());
            for (done, steps) in self.launches() {
                kernels::forward::launch(
                    client,
                    count.clone(),
                    dim,
                    self.drive.required_address_type(),
                    self.x0.clone().into_buffer_arg(),
                    self.drive.clone().into_buffer_arg(),
                    self.weight.clone().into_buffer_arg(),
                    self.alpha.clone().into_buffer_arg(),
                    states.clone().into_buffer_arg(),
                    carried.clone().into_buffer_arg(),
                    done as u32,
                    steps as u32,
                    every as u32,
                    gain,
                    exponent,
                    self.units() as u32,
                    self.room(),
                    curve,
                );
            }
            return states;
        }
        // Rows of a copy may have room between them.
        let x = row_major(self.x0.copy());
        let rates = firing_rate::forward(self.x0.clone(), self.options.transfer);
        for step in 0..self.steps() {
            let product = CubeBackend::float_matmul(rates.clone(), self.weight.clone());
            let (count, dim) = one_for_each(client, self.batch() * self.units());
            kernels::advance::launch(
                client,
                count,
                dim,
                self.drive.required_address_type(),
                row_major(product).into_buffer_arg(),
                self.drive.clone().into_buffer_arg(),
                self.alpha.clone().into_buffer_arg(),
                x.clone().into_buffer_arg(),
                rates.clone().into_buffer_arg(),
                states.clone().into_buffer_arg(),
                step as u32,
                u32::from((step + 1) % every == 0),
                (step / every) as u32,
                gain,
                exponent,
                self.units() as u32,
                curve,
            );
        }
        states
    }

    /// What is returned, and the states of which it is made.
    fn forward(&self) -> (CubeTensor, CubeTensor) {
        let states = self.states(self.options.every);
        let returned = match self.options.record {
            Recorded::States => states.clone(),
            Recorded::Rates => firing_rate::forward(states.clone(), self.options.transfer),
        };
        (returned, states)
    }

    /// `states` are those that [`forward`](Self::forward) gave, `grad` is the gradient of what it returned. Where not every
    /// state was kept, all are computed again.
    fn backward(&self, states: CubeTensor, grad: CubeTensor) -> Gradients {
        let (batch, units) = (self.batch(), self.units());
        let grad = match self.options.record {
            Recorded::States => row_major(grad),
            Recorded::Rates => firing_rate::backward(states.clone(), grad, self.options.transfer),
        };
        let states = if self.options.every == 1 {
            states
        } else {
            self.states(1)
        };
        let transposed = CubeBackend::float_swap_dims(self.weight.clone(), 0, 1);
        let trials = Shape::new([batch, units]);
        let swept = Swept {
            adjoints: self.sequence(1),
            rates: self.sequence(1),
            first: unwritten(&self.x0, trials.clone()),
            of_alpha: unwritten(&self.x0, trials),
        };
        self.sweep(states, grad, row_major(transposed), &swept);

        let Swept {
            adjoints,
            rates,
            first,
            of_alpha,
        } = swept;
        let rows = |of: CubeTensor| {
            CubeBackend::float_reshape(of, Shape::new([self.steps() * batch, units]))
        };
        let by_columns = |of: CubeTensor, shape: &[usize]| {
            let alpha = CubeBackend::float_reshape(self.alpha.clone(), Shape::from(shape.to_vec()));
            CubeBackend::float_mul(of, alpha)
        };
        let sum = |of: CubeTensor| {
            let sum = CubeBackend::float_sum_dim(of, 0);
            CubeBackend::float_reshape(sum, Shape::new([units]))
        };
        let rates = CubeBackend::float_swap_dims(rows(rates), 0, 1);
        let product = CubeBackend::float_matmul(rates, rows(adjoints.clone()));
        let weighted = CubeBackend::float_mul(self.weight.clone(), product.clone());
        Gradients {
            x0: first,
            drive: by_columns(adjoints, &[1, 1, units]),
            weight: by_columns(product, &[1, units]),
            alpha: CubeBackend::float_add(sum(of_alpha), sum(weighted)),
        }
    }

    /// The adjoint sweep over all steps.
    fn sweep(&self, states: CubeTensor, grad: CubeTensor, transposed: CubeTensor, to: &Swept) {
        let client = &self.x0.client;
        let (curve, gain, exponent) = firing_rate::curve(self.options.transfer);
        let (steps, every) = (self.steps() as u32, self.options.every as u32);
        let scaled = unwritten(&self.x0, self.x0.shape());
        let grid = || one_for_each(client, self.batch() * self.units());
        let (count, dim) = grid();
        kernels::last::launch(
            client,
            count,
            dim,
            self.drive.required_address_type(),
            grad.clone().into_buffer_arg(),
            self.alpha.clone().into_buffer_arg(),
            to.first.clone().into_buffer_arg(),
            scaled.clone().into_buffer_arg(),
            to.adjoints.clone().into_buffer_arg(),
            to.of_alpha.clone().into_buffer_arg(),
            self.units() as u32,
        );
        if let Some((count, dim)) = self.workgroups() {
            for (done, steps) in self.launches().rev() {
                kernels::backward::launch(
                    client,
                    count.clone(),
                    dim,
                    self.drive.required_address_type(),
                    self.x0.clone().into_buffer_arg(),
                    self.drive.clone().into_buffer_arg(),
                    states.clone().into_buffer_arg(),
                    grad.clone().into_buffer_arg(),
                    transposed.clone().into_buffer_arg(),
                    self.alpha.clone().into_buffer_arg(),
                    to.adjoints.clone().into_buffer_arg(),
                    to.first.clone().into_buffer_arg(),
                    to.rates.clone().into_buffer_arg(),
                    to.of_alpha.clone().into_buffer_arg(),
                    done as u32,
                    steps as u32,
                    every,
                    gain,
                    exponent,
                    self.units() as u32,
                    self.room(),
                    curve,
                );
            }
            return;
        }
        for step in (0..steps).rev() {
            let product = CubeBackend::float_matmul(scaled.clone(), transposed.clone());
            let (count, dim) = grid();
            kernels::retreat::launch(
                client,
                count,
                dim,
                self.drive.required_address_type(),
                row_major(product).into_buffer_arg(),
                self.x0.clone().into_buffer_arg(),
                self.drive.clone().into_buffer_arg(),
                states.clone().into_buffer_arg(),
                grad.clone().into_buffer_arg(),
                self.alpha.clone().into_buffer_arg(),
                to.first.clone().into_buffer_arg(),
                scaled.clone().into_buffer_arg(),
                to.adjoints.clone().into_buffer_arg(),
                to.rates.clone().into_buffer_arg(),
                to.of_alpha.clone().into_buffer_arg(),
                step,
                every,
                gain,
                exponent,
                self.units() as u32,
                curve,
            );
        }
    }
}

/// What the adjoint sweep writes; its kernels say what each is.
struct Swept {
    adjoints: CubeTensor,
    rates: CubeTensor,
    first: CubeTensor,
    of_alpha: CubeTensor,
}
