//! What comes to the units of a rate network from outside.

use burn::tensor::Tensor;

/// The drive of a rate network, `d_t = u_t W_in + n_t`: inputs through weights, values for each unit, or both.
///
/// Inputs are cheaper than the same drive computed outside: the values of each unit are then never stored.
#[derive(Clone, Debug)]
pub struct Drive(pub(super) DriveSource);

#[derive(Clone, Debug)]
pub(super) enum DriveSource {
    /// `u` and `W_in`.
    Input(Tensor<3>, Tensor<2>),
    /// `n`
    Direct(Tensor<3>),
    /// `u`, `W_in` and `n`.
    Both(Tensor<3>, Tensor<2>, Box<Tensor<3>>),
}

impl Drive {
    /// `d_t = u_t W_in` of `input` `[steps, batch, channels]` and `weight` `[channels, units]`.
    pub fn input(input: Tensor<3>, weight: Tensor<2>) -> Self {
        Self(DriveSource::Input(input, weight))
    }

    /// `d_t` itself, `[steps, batch, units]`.
    pub fn direct(drive: Tensor<3>) -> Self {
        Self(DriveSource::Direct(drive))
    }

    /// Adds values for each unit, `[steps, batch, units]`: noise, for example.
    pub fn plus(self, values: Tensor<3>) -> Self {
        Self(match self.0 {
            DriveSource::Input(input, weight) => DriveSource::Both(input, weight, Box::new(values)),
            DriveSource::Direct(direct) => DriveSource::Direct(direct + values),
            DriveSource::Both(input, weight, direct) => {
                DriveSource::Both(input, weight, Box::new(*direct + values))
            }
        })
    }

    /// Adds a constant for each unit, `[units]`.
    pub fn with_bias(self, bias: Tensor<1>) -> Self {
        let constant = |input: Tensor<3>, weight: Tensor<2>| {
            let [steps, batch, _] = input.dims();
            let options = (&input.device().without_autodiff(), input.dtype());
            let ones = Tensor::ones([steps, batch, 1], options);
            (
                Tensor::cat(vec![input, ones], 2),
                Tensor::cat(vec![weight, bias.clone().unsqueeze()], 0),
            )
        };
        Self(match self.0 {
            DriveSource::Input(input, weight) => {
                let (input, weight) = constant(input, weight);
                DriveSource::Input(input, weight)
            }
            DriveSource::Direct(direct) => DriveSource::Direct(direct + bias.unsqueeze()),
            DriveSource::Both(input, weight, direct) => {
                let (input, weight) = constant(input, weight);
                DriveSource::Both(input, weight, direct)
            }
        })
    }

    /// The number of steps, of a drive whose shapes fit to `batch` trials of `units` units.
    pub(super) fn steps(&self, batch: usize, units: usize) -> usize {
        let input = |input: &Tensor<3>, weight: &Tensor<2>| {
            let [steps, _, channels] = input.dims();
            assert_eq!(
                (input.dims(), weight.dims()),
                ([steps, batch, channels], [channels, units]),
                "rate_sequence: inputs and their weights, of {batch} trials and {units} units"
            );
            steps
        };
        let direct = |direct: &Tensor<3>, steps: usize| {
            assert_eq!(
                direct.dims(),
                [steps, batch, units],
                "rate_sequence: drive of {steps} steps, {batch} trials and {units} units"
            );
            steps
        };
        match &self.0 {
            DriveSource::Input(u, weight) => input(u, weight),
            DriveSource::Direct(values) => direct(values, values.dims()[0]),
            DriveSource::Both(u, weight, values) => direct(values, input(u, weight)),
        }
    }

    /// The number of steps.
    #[cfg(gpu)]
    pub(super) fn length(&self) -> usize {
        match &self.0 {
            DriveSource::Input(values, _)
            | DriveSource::Direct(values)
            | DriveSource::Both(values, ..) => values.dims()[0],
        }
    }

    /// Whether all tensors are so.
    #[cfg(gpu)]
    pub(super) fn all(
        &self,
        sequence: fn(&Tensor<3>) -> bool,
        matrix: fn(&Tensor<2>) -> bool,
    ) -> bool {
        match &self.0 {
            DriveSource::Input(input, weight) => sequence(input) && matrix(weight),
            DriveSource::Direct(direct) => sequence(direct),
            DriveSource::Both(input, weight, direct) => {
                sequence(input) && matrix(weight) && sequence(direct)
            }
        }
    }

    /// The drive itself, `[steps, batch, units]`.
    pub fn into_tensor(self) -> Tensor<3> {
        let projected = |input: Tensor<3>, weight: Tensor<2>| {
            let ([steps, batch, channels], [_, units]) = (input.dims(), weight.dims());
            let input = input.reshape([steps * batch, channels]);
            input.matmul(weight).reshape([steps, batch, units])
        };
        match self.0 {
            DriveSource::Input(input, weight) => projected(input, weight),
            DriveSource::Direct(direct) => direct,
            DriveSource::Both(input, weight, direct) => projected(input, weight) + *direct,
        }
    }
}

impl From<Tensor<3>> for Drive {
    fn from(drive: Tensor<3>) -> Self {
        Drive::direct(drive)
    }
}
