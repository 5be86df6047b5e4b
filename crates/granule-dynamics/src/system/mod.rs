//! Whole systems: dX/dt = F(X, Y) + G(Y, U), mass models of brain areas, networks of them, and what a recording shows.
//!
//! | model | variables | input channels |
//! | --- | --- | --- |
//! | [`LinearSystem`]: A X + B Y + C U | x | population Y, external U |
//! | [`NonlinearSystem`]: F a network or a named form, G linear or a network | x, or the form's | population Y, external U |
//! | [`JansenRit`]: three populations of a cortical column | y0 … y5 | pulse rate (Hz) |
//! | [`MontbrioPazoRoxin`]: exact mean field of QIF cells | r, v | current |
//! | [`WongWang`]: a decision between two populations | s1, s2, i1, i2 | stimulus to either (Hz) |
//! | [`ReducedWongWang`]: one excitatory population | s | synaptic drive, current (nA) |
//! | [`WilsonCowan`](crate::population::WilsonCowan): excitation and inhibition | E, I | drive of either |
//! | [`FitzHughNagumo`], [`VanDerPol`], [`StuartLandau`] | two | one for each variable |
//! | [`BalloonWindkessel`]: BOLD of an activity | s, ln f, ln v, ln q | activity |
//!
//! A [`System`] is a Burn module of parameters whose values make a [`Field`]. [`Integrated`] moves it with a
//! solver; a [`Network`] couples its nodes over a connectivity matrix with delays; [`WithBold`] adds the haemodynamic
//! response.
//!
//! A model of `nodes` areas has variables of that width; its parameters are one value for all nodes or one for each.
//! Input channels lie one after the other in the columns of the input tensor, each as wide as
//! [`Field::inputs`] says: with two channels and three nodes, columns 0–2 are the first channel. No input is zero
//! input. Time is in ms and firing rates are in Hz unless an item says otherwise.

mod config;
mod gating;
mod guarded;
mod integrated;
mod jansen_rit;
mod linear;
mod mlp;
mod montbrio_pazo_roxin;
mod network;
mod nonlinear;
mod oscillator;
mod parameters;
mod readout;
mod reduced_wong_wang;
#[cfg(test)]
mod testing;
mod wong_wang;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

pub use config::{SystemConfig, SystemModel};
pub use integrated::{Integrated, ReadOut};
pub use jansen_rit::{JansenRit, JansenRitConfig, JansenRitField};
pub use linear::{LinearSystem, LinearSystemConfig, LinearSystemField};
pub use mlp::{Mlp, MlpConfig};
pub use montbrio_pazo_roxin::{MontbrioPazoRoxin, MontbrioPazoRoxinConfig, MontbrioPazoRoxinField};
pub use network::{Coupling, Delays, Network, NetworkConfig, NetworkDynamics};
pub use nonlinear::{
    Drive, DriveConfig, Form, FormConfig, LinearDrive, NetworkForm, NetworkFormConfig,
    NonlinearField, NonlinearSystem, NonlinearSystemConfig,
};
pub use oscillator::{
    FitzHughNagumo, FitzHughNagumoConfig, FitzHughNagumoField, StuartLandau, StuartLandauConfig,
    StuartLandauField, VanDerPol, VanDerPolConfig, VanDerPolField,
};
pub use readout::{
    BalloonWindkessel, BalloonWindkesselConfig, BalloonWindkesselField, Readout, WithBold,
    WithBoldDynamics, mean_rate, weighted_synaptic_currents,
};
pub use reduced_wong_wang::{ReducedWongWang, ReducedWongWangConfig, ReducedWongWangField};
pub use wong_wang::{WongWang, WongWangConfig, WongWangField};

use crate::model::Field;
use crate::{DynamicsError, Held, State, Variable};

/// A Burn module whose parameters become the equations of a system.
pub trait System: Module + ModuleDisplay {
    /// The equations with the parameters' values.
    type Field: Field + 'static;

    /// Takes the parameters' values; on an autodiff device they are differentiable.
    ///
    /// # Errors
    ///
    /// Settings that contradict each other.
    fn field(&self) -> Result<Self::Field, DynamicsError>;

    /// The state at the beginning, every variable `[batch, width]`.
    ///
    /// # Errors
    ///
    /// Settings that contradict each other.
    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError>;

    /// What the module holds of its configuration's settings, by their paths in it; settings that are not numbers, and
    /// weights that are drawn, are not among them. Default: none.
    fn settings(&self) -> Vec<(String, Held<'_>)> {
        Vec::new()
    }
}

/// The columns of one channel of an input.
pub(crate) fn channel(
    inputs: &[Variable],
    index: usize,
    input: Option<&Tensor<2>>,
) -> Option<Tensor<2>> {
    let input = input?;
    let width = inputs.get(index)?.width;
    if inputs.len() == 1 {
        return Some(input.clone());
    }
    let start = inputs[..index].iter().map(|channel| channel.width).sum();
    (width > 0).then(|| input.clone().narrow(1, start, width))
}

/// `value` plus a channel of the input, if there is one.
pub(crate) fn plus(value: Tensor<2>, channel: Option<Tensor<2>>) -> Tensor<2> {
    match channel {
        Some(channel) => value + channel,
        None => value,
    }
}
