//! The training runs of train.py in candle: `candle_peer mlp|lenet|cnn IMAGES`, on random images. Prints images a second of an
//! epoch, after one that is not timed.

use std::time::Instant;

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Module, Result, Tensor, Var, bail};
use candle_nn::{
    AdamW, Conv2d, Conv2dConfig, Linear, Optimizer, ParamsAdamW, VarBuilder, VarMap, loss,
};

const BATCH: usize = 64;

enum Layer {
    Convolution(Conv2d),
    Dense(Linear),
    Relu,
    Pool,
    Flatten,
}

impl Layer {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Convolution(layer) => layer.forward(x),
            Self::Dense(layer) => layer.forward(x),
            Self::Relu => x.relu(),
            Self::Pool => x.max_pool2d(2),
            Self::Flatten => x.flatten_from(1),
        }
    }
}

fn network(name: &str, vars: &VarBuilder) -> Result<Vec<Layer>> {
    let convolution = |at: &str, from, to, kernel, padding| {
        let config = Conv2dConfig {
            padding,
            ..Default::default()
        };
        candle_nn::conv2d(from, to, kernel, config, vars.pp(at)).map(Layer::Convolution)
    };
    let dense = |at: &str, from, to| candle_nn::linear(from, to, vars.pp(at)).map(Layer::Dense);
    use Layer::{Flatten, Pool, Relu};
    Ok(match name {
        "mlp" => vec![Flatten, dense("1", 784, 128)?, Relu, dense("2", 128, 10)?],
        "lenet" => vec![
            convolution("1", 1, 6, 5, 2)?,
            Relu,
            Pool,
            convolution("2", 6, 16, 5, 0)?,
            Relu,
            Pool,
            Flatten,
            dense("3", 400, 120)?,
            Relu,
            dense("4", 120, 84)?,
            Relu,
            dense("5", 84, 10)?,
        ],
        "cnn" => vec![
            convolution("1", 3, 64, 3, 1)?,
            Relu,
            Pool,
            convolution("2", 64, 128, 3, 1)?,
            Relu,
            Pool,
            Flatten,
            dense("3", 8192, 1024)?,
            Relu,
            dense("4", 1024, 10)?,
        ],
        other => bail!("no model is called {other}: mlp, lenet, cnn"),
    })
}

/// Stochastic gradient descent with a momentum of 0.9, which candle has not.
struct Momentum {
    rate: f64,
    /// Each with its velocity.
    vars: Vec<(Var, Var)>,
}

impl Optimizer for Momentum {
    type Config = f64;

    fn new(vars: Vec<Var>, rate: f64) -> Result<Self> {
        let with_velocity = |var: Var| Ok((var.clone(), Var::from_tensor(&var.zeros_like()?)?));
        let vars = vars.into_iter().map(with_velocity).collect::<Result<_>>()?;
        Ok(Self { rate, vars })
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        for (var, velocity) in &self.vars {
            if let Some(gradient) = gradients.get(var) {
                velocity.set(&((velocity.as_tensor() * 0.9)? + gradient)?)?;
                var.set(&(var.as_tensor() - (velocity.as_tensor() * self.rate)?)?)?;
            }
        }
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.rate
    }

    fn set_learning_rate(&mut self, rate: f64) {
        self.rate = rate;
    }
}

fn epoch(
    layers: &[Layer],
    images: &Tensor,
    labels: &Tensor,
    optimizer: &mut impl Optimizer,
) -> Result<()> {
    for first in (0..images.dim(0)?).step_by(BATCH) {
        let count = BATCH.min(images.dim(0)? - first);
        let mut x = images.narrow(0, first, count)?;
        for layer in layers {
            x = layer.forward(&x)?;
        }
        let loss = loss::cross_entropy(&x, &labels.narrow(0, first, count)?)?;
        optimizer.backward_step(&loss)?;
        loss.to_scalar::<f32>()?;
    }
    Ok(())
}

fn measured(
    layers: &[Layer],
    images: &Tensor,
    labels: &Tensor,
    mut optimizer: impl Optimizer,
) -> Result<f64> {
    epoch(layers, images, labels, &mut optimizer)?;
    let began = Instant::now();
    epoch(layers, images, labels, &mut optimizer)?;
    Ok(images.dim(0)? as f64 / began.elapsed().as_secs_f64())
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = words.as_slice() else {
        bail!("candle_peer mlp|lenet|cnn IMAGES");
    };
    let Ok(count) = count.parse::<usize>() else {
        bail!("{count} is no number of images");
    };
    let device = Device::Cpu;
    let vars = VarMap::new();
    let layers = network(name, &VarBuilder::from_varmap(&vars, DType::F32, &device))?;
    let shape = if name == "cnn" {
        (count, 3, 32, 32)
    } else {
        (count, 1, 28, 28)
    };
    let images = Tensor::randn(0f32, 1., shape, &device)?;
    let labels = Tensor::rand(0f32, 10., (count, 10), &device)?.argmax(D::Minus1)?;
    let rate = if name == "cnn" {
        measured(
            &layers,
            &images,
            &labels,
            Momentum::new(vars.all_vars(), 0.02)?,
        )?
    } else {
        let params = ParamsAdamW {
            lr: 1e-3,
            weight_decay: 0.0,
            ..Default::default()
        };
        measured(
            &layers,
            &images,
            &labels,
            AdamW::new(vars.all_vars(), params)?,
        )?
    };
    println!("{rate:.1}");
    Ok(())
}
