//! One gradient from those of several batches.

use burn::tensor::Tensor;

use super::{Flat, Gradient};
use crate::error::TrainError;

/// What the mean loss of a batch is divided by.
#[derive(Debug, Clone)]
pub enum Amount {
    /// On the host.
    Host(f64),
    /// Still on the device, `[1]`.
    Device(Box<Tensor<1>>),
}

impl Amount {
    /// The sum of two, which are in the same place.
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Host(a), Self::Host(b)) => Self::Host(a + b),
            (Self::Device(a), Self::Device(b)) => Self::Device(Box::new(*a + *b)),
            (Self::Device(a), Self::Host(b)) | (Self::Host(b), Self::Device(a)) => {
                Self::Device(Box::new(a.add_scalar(b)))
            }
        }
    }

    /// Its reciprocal; that of nothing is 1, because what was weighted by nothing is zero.
    fn reciprocal(self) -> Self {
        match self {
            Self::Host(amount) if amount > 0.0 => Self::Host(1.0 / amount),
            Self::Host(_) => Self::Host(1.0),
            Self::Device(amount) => {
                let nothing = amount.clone().lower_equal_elem(0.0);
                Self::Device(Box::new(amount.mask_fill(nothing, 1.0).recip()))
            }
        }
    }
}

impl Gradient {
    /// Adds the gradient of another batch: of sums, not of means.
    pub fn add(&mut self, other: Self) -> Result<(), TrainError> {
        self.norm = None;
        for (id, flat) in other.flat {
            let sum = match (self.flat.remove(&id), flat) {
                (None, flat) => {
                    self.order.push(id);
                    flat
                }
                (Some(Flat::Device(a)), Flat::Device(b)) => Flat::Device(Box::new(*a + *b)),
                (Some(Flat::Host(mut a)), Flat::Host(b)) => {
                    let sum = a.as_mut_slice::<f32>().map_err(TrainError::backend)?;
                    let terms = b.as_slice::<f32>().map_err(TrainError::backend)?;
                    for (sum, term) in sum.iter_mut().zip(terms) {
                        *sum += term;
                    }
                    Flat::Host(a)
                }
                _ => {
                    return Err(TrainError::backend(
                        "gradients of one step live in different places",
                    ));
                }
            };
            self.flat.insert(id, sum);
        }
        Ok(())
    }

    /// The gradient of a batch's sum from that of its mean.
    pub fn multiply(&mut self, amount: &Amount) -> Result<(), TrainError> {
        self.norm = None;
        for flat in self.flat.values_mut() {
            match (flat, amount) {
                (Flat::Host(data), Amount::Host(amount)) => {
                    let values = data.as_mut_slice::<f32>().map_err(TrainError::backend)?;
                    for value in values {
                        *value = (f64::from(*value) * amount) as f32;
                    }
                }
                (Flat::Device(tensor), Amount::Host(amount)) => {
                    **tensor = tensor.as_ref().clone().mul_scalar(*amount);
                }
                (Flat::Device(tensor), Amount::Device(amount)) => {
                    **tensor = tensor.as_ref().clone().mul(amount.as_ref().clone());
                }
                (Flat::Host(_), Amount::Device(_)) => {
                    return Err(TrainError::backend("the weight of a batch is elsewhere"));
                }
            }
        }
        Ok(())
    }

    /// The gradient of the mean from that of the sum.
    pub fn divide(&mut self, amount: Amount) -> Result<(), TrainError> {
        self.multiply(&amount.reciprocal())
    }
}
