//! Sizes of one convolution.

#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(super) batch: usize,
    pub(super) in_channels: usize,
    pub(super) in_size: [usize; 2],
    pub(super) out_channels: usize,
    pub(super) out_size: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) padding: [usize; 2],
}

impl Geometry {
    /// The number of products of one result.
    pub(super) fn patch(&self) -> usize {
        self.in_channels * self.area()
    }

    pub(super) fn area(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    pub(super) fn pixels(&self) -> usize {
        self.out_size[0] * self.out_size[1]
    }

    pub(super) fn in_plane(&self) -> usize {
        self.in_size[0] * self.in_size[1]
    }

    pub(super) fn in_image(&self) -> usize {
        self.in_channels * self.in_plane()
    }

    pub(super) fn out_image(&self) -> usize {
        self.out_channels * self.pixels()
    }

    /// Rows and columns of an image with its padding.
    pub(super) fn padded(&self) -> [usize; 2] {
        [0, 1].map(|i| self.in_size[i] + 2 * self.padding[i])
    }

    /// The convolution with flipped weights that computes `∂L/∂x` from `∂L/∂y`, if there is one.
    pub(super) fn adjoint(&self) -> Option<Self> {
        let padding = |i: usize| (self.kernel[i] - 1).checked_sub(self.padding[i]);
        let adjoint = Self {
            in_channels: self.out_channels,
            in_size: self.out_size,
            out_channels: self.in_channels,
            out_size: self.in_size,
            padding: [padding(0)?, padding(1)?],
            ..*self
        };
        (self.stride == [1, 1]).then_some(adjoint)
    }

    /// The weights of [`adjoint`](Self::adjoint): each kernel flipped, output and input channels exchanged.
    pub(super) fn flipped<T: Copy + Default>(&self, weight: &[T]) -> Vec<T> {
        let area = self.area();
        let mut flipped = vec![T::default(); weight.len()];
        for (o, kernels) in weight.chunks_exact(self.patch()).enumerate() {
            for (c, kernel) in kernels.chunks_exact(area).enumerate() {
                let target = (c * self.out_channels + o) * area;
                let target = flipped[target..target + area].iter_mut();
                for (target, w) in target.zip(kernel.iter().rev()) {
                    *target = *w;
                }
            }
        }
        flipped
    }
}
