use burn::module::Module;
use burn::tensor::Tensor;
use granule_ops::{Connections, sparse_product};

use crate::parameter::{Bounds, Parameter};
use crate::{DynamicsError, Place};

/// Connection strengths `[pre, post]`, kept in their bounds as a [`Parameter`] is.
#[derive(Module, Debug)]
pub struct Weights {
    /// All strengths in one row, `[1, pre·post]`.
    pub strengths: Parameter,
    /// 1 where there is a connection, `[pre, post]`; all connected where there is none.
    mask: Option<Tensor<2>>,
    /// The connections to which the strengths belong, where not every pair has one.
    #[module(skip)]
    listed: Option<Connections>,
    #[module(skip)]
    shape: [usize; 2],
}

/// Weights with their values, as they are in a run.
#[derive(Clone, Debug)]
pub enum BoundWeights {
    /// `[pre, post]`
    Dense(Tensor<2>),
    /// `[1, connections]`, and which these are.
    Listed(Tensor<2>, Connections),
}

impl BoundWeights {
    /// What spikes `[batch, pre]` bring to each postsynaptic cell, `[batch, post]`.
    pub fn arriving(&self, spikes: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Dense(weights) => spikes.matmul(weights.clone()),
            Self::Listed(values, connections) => {
                sparse_product(spikes, values.clone(), connections)
            }
        }
    }
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
            listed: None,
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
                listed: None,
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
            listed: None,
            shape,
        }
        .masked(&connected, place)
    }

    /// Weights that no gradient changes, of these connections alone: memory goes with their number.
    ///
    /// # Errors
    ///
    /// Those of [`fixed`](Self::fixed).
    pub fn listed(
        values: &[f64],
        connections: Connections,
        bounds: Bounds,
        place: &Place,
    ) -> Result<Self, DynamicsError> {
        if values.len() != connections.len() {
            return Err(DynamicsError::Shape {
                what: "the weights".into(),
                expected: vec![connections.len()],
                found: vec![values.len()],
            });
        }
        Ok(Self {
            strengths: Parameter::fixed("weights", values, bounds, place)?,
            mask: None,
            shape: [connections.rows(), connections.columns()],
            listed: Some(connections),
        })
    }

    /// The weights as they are in a run, differentiable with respect to [`strengths`](Self::strengths).
    pub fn bind(&self) -> BoundWeights {
        match &self.listed {
            Some(connections) => BoundWeights::Listed(self.strengths.value(), connections.clone()),
            None => BoundWeights::Dense(self.value()),
        }
    }

    /// The same weights with connections only where `connected`, row-major, is true.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Shape`] for a mask of another size, [`DynamicsError::Config`] for one that leaves nothing.
    pub fn masked(mut self, connected: &[bool], place: &Place) -> Result<Self, DynamicsError> {
        let [pre, post] = self.shape;
        if self.listed.is_some() {
            let allowed = "all pairs, for these weights are of a list of connections";
            return Err(DynamicsError::config("mask", "connections", allowed));
        }
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

    /// The weights, `[pre, post]`, differentiable with respect to [`strengths`](Self::strengths): a matrix of all pairs, also
    /// where few are connected.
    pub fn value(&self) -> Tensor<2> {
        if let Some(connections) = &self.listed {
            let values = self.strengths.value();
            let [pre, _] = self.shape;
            let place = Place::of(&values);
            let each: Vec<f64> = (0..pre * pre)
                .map(|at| f64::from(u8::from(at % (pre + 1) == 0)))
                .collect();
            return sparse_product(place.tensor(each, [pre, pre]), values, connections);
        }
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
