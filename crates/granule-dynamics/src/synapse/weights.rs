use burn::module::Module;
use burn::tensor::Tensor;

use crate::parameter::{Bounds, Parameter};
use crate::{DynamicsError, Place};

/// Connection strengths `[pre, post]`, kept in their bounds as a [`Parameter`] is.
#[derive(Module, Debug)]
pub struct Weights {
    /// All strengths in one row, `[1, pre·post]`.
    pub strengths: Parameter,
    /// 1 where there is a connection, `[pre, post]`; all connected where there is none.
    mask: Option<Tensor<2>>,
    #[module(skip)]
    shape: [usize; 2],
}

impl Weights {
    /// Weights that no gradient changes, row-major by presynaptic cell.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a value out of `bounds`, [`DynamicsError::Shape`] for a wrong number of them.
    pub fn fixed(
        values: &[f64],
        shape: [usize; 2],
        bounds: Bounds,
        place: &Place,
    ) -> Result<Self, DynamicsError> {
        check(values, shape)?;
        Ok(Self {
            strengths: Parameter::fixed("weights", values, bounds, place)?,
            mask: None,
            shape,
        })
    }

    /// Weights that training moves within `bounds`. Under [`Bounds::AtLeast`] and [`Bounds::Above`] with 0, a weight of
    /// 0 is no connection and stays 0.
    ///
    /// # Errors
    ///
    /// Those of [`fixed`](Self::fixed).
    pub fn trainable(
        values: &[f64],
        shape: [usize; 2],
        bounds: Bounds,
        place: &Place,
    ) -> Result<Self, DynamicsError> {
        check(values, shape)?;
        let absent = match bounds {
            Bounds::Above(0.0) | Bounds::AtLeast(0.0) => values.contains(&0.0),
            _ => false,
        };
        if !absent {
            return Ok(Self {
                strengths: Parameter::trainable("weights", values, bounds, place)?,
                mask: None,
                shape,
            });
        }
        let connected: Vec<bool> = values.iter().map(|w| *w != 0.0).collect();
        // Where the mask is 0 any number that the bounds allow will do.
        let values: Vec<f64> = values
            .iter()
            .map(|w| if *w == 0.0 { 1.0 } else { *w })
            .collect();
        let strengths = Parameter::trainable("weights", &values, bounds, place)?;
        Self {
            strengths,
            mask: None,
            shape,
        }
        .masked(&connected, place)
    }

    /// The same weights with connections only where `connected`, row-major, is true.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Shape`] for a mask of another size, [`DynamicsError::Config`] for one that leaves nothing.
    pub fn masked(mut self, connected: &[bool], place: &Place) -> Result<Self, DynamicsError> {
        let [pre, post] = self.shape;
        if connected.len() != pre * post {
            return Err(DynamicsError::Shape {
                what: "the connection mask".into(),
                expected: vec![pre, post],
                found: vec![connected.len()],
            });
        }
        if !connected.contains(&true) {
            let allowed = "at least one connection";
            return Err(DynamicsError::config("mask", "none", allowed));
        }
        let mask = connected.iter().map(|there| f64::from(*there)).collect();
        let mask = place.tensor(mask, self.shape);
        self.mask = Some(match self.mask {
            Some(before) => before * mask,
            None => mask,
        });
        Ok(self)
    }

    /// The weights, `[pre, post]`, differentiable with respect to [`strengths`](Self::strengths).
    pub fn value(&self) -> Tensor<2> {
        let weights = self.strengths.value().reshape(self.shape);
        match &self.mask {
            Some(mask) => weights * mask.clone(),
            None => weights,
        }
    }

    /// `[pre, post]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }
}

fn check(values: &[f64], [pre, post]: [usize; 2]) -> Result<(), DynamicsError> {
    if pre > 0 && post > 0 && values.len() == pre * post {
        Ok(())
    } else {
        Err(DynamicsError::Shape {
            what: "the weights".into(),
            expected: vec![pre.max(1), post.max(1)],
            found: vec![values.len()],
        })
    }
}
