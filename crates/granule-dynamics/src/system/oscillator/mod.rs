//! Oscillators in two variables: the named forms of F.

mod fitzhugh_nagumo;
mod stuart_landau;
mod van_der_pol;

pub use fitzhugh_nagumo::{FitzHughNagumo, FitzHughNagumoConfig, FitzHughNagumoField};
pub use stuart_landau::{StuartLandau, StuartLandauConfig, StuartLandauField};
pub use van_der_pol::{VanDerPol, VanDerPolConfig, VanDerPolField};

use crate::State;
use crate::quantity::Quantity;

/// The same noise in both variables.
fn both(state: &State, noise: Option<&Quantity>) -> Option<State> {
    let noise = state[0].zeros_like() + noise?;
    Some(State::new(vec![noise.clone(), noise]))
}
