//! How the trials of a sequence are divided.
//!
//! The trials of a batch do not meet before the gradients of the weights, so each task runs some of them through many steps,
//! without waiting for the others. The gradients of the weights are then products over all trials of a segment of steps.
//! Both are divided by the sizes alone, never by the number of threads.

/// Trials in one task: enough for a product with the weights to run at full speed.
const TRIALS: usize = 16;
/// Trials, of all the steps of a segment, that a product for the gradient of weights should at least sum over.
pub(crate) const DEPTH: usize = 1024;

/// Values of every step and trial, `[steps, batch, width]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trials {
    pub(crate) batch: usize,
    pub(crate) width: usize,
}

impl Trials {
    /// Elements of one step.
    pub(crate) fn step(&self) -> usize {
        self.batch * self.width
    }

    /// Elements of one task in a step.
    pub(crate) fn task(&self) -> usize {
        TRIALS * self.width
    }

    /// How many tasks there are.
    pub(crate) fn tasks(&self) -> usize {
        self.batch.div_ceil(TRIALS)
    }

    /// A task's elements among those of all steps.
    pub(crate) fn of_task<'a, T>(&self, all: &'a [T], step: usize, task: usize) -> &'a [T] {
        let start = task * self.task();
        let end = (start + self.task()).min(self.step());
        &all[step * self.step()..][start..end]
    }

    /// For each task its elements of every step.
    pub(crate) fn by_task<'a, T>(
        &self,
        steps: impl Iterator<Item = &'a mut [T]>,
    ) -> Vec<Vec<&'a mut [T]>> {
        let mut tasks: Vec<_> = (0..self.tasks())
            .map(|_| Vec::with_capacity(steps.size_hint().0))
            .collect();
        for step in steps {
            for (task, elements) in tasks.iter_mut().zip(step.chunks_mut(self.task())) {
                task.push(elements);
            }
        }
        tasks
    }
}
