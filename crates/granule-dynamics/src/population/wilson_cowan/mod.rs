mod declaration;
mod field;
#[cfg(test)]
mod tests;

use declaration::pairs_of_populations;
pub use field::WilsonCowanField;

use crate::system::System;
use crate::{DynamicsError, Held, Place, QuantityKind, State, Variable};

pairs_of_populations! {
    /// An excitatory and an inhibitory population (Wilson and Cowan 1972):
    ///
    /// - τₑ dE/dt = −E + (kₑ − rₑ E) Sₑ(c₁ E − c₂ I + P)
    /// - τᵢ dI/dt = −I + (kᵢ − rᵢ I) Sᵢ(c₃ E − c₄ I + Q)
    ///
    /// with S(x) = 1/(1 + e^(−a(x − θ))) − 1/(1 + e^(aθ)) and k = 1 − 1/(1 + e^(aθ)), the largest value of S. E and I are
    /// the shares of cells that fire, relative to rest. The defaults are those of the paper's limit cycle (its figure 11),
    /// whose time constants it leaves open.
    config WilsonCowanConfig,
    /// Pairs of an excitatory and an inhibitory population; see [`WilsonCowanConfig`] for the equations.
    ///
    /// The state is E and I, `[batch, pairs]` each, at rest, E = I = 0, at the beginning. An input `[batch, 2·pairs]` adds
    /// its first half to P and its second to Q. With a solver it is a [`crate::system::Integrated`] model; to the other
    /// nodes of a [`crate::system::Network`] it gives E.
    module WilsonCowan,
    parameters: {
        /// τ in ms.
        time_constant, Positive: {
            /// τₑ in ms, above 0.
            excitatory_time_constant = 8.0;
            /// τᵢ in ms, above 0.
            inhibitory_time_constant = 8.0;
        }
        /// c₁ or c₃.
        from_excitatory, NonNegative: {
            /// c₁, E on E, at least 0.
            excitatory_to_excitatory = 16.0;
            /// c₃, E on I, at least 0.
            excitatory_to_inhibitory = 15.0;
        }
        /// c₂ or c₄.
        from_inhibitory, NonNegative: {
            /// c₂, I on E, at least 0.
            inhibitory_to_excitatory = 12.0;
            /// c₄, I on I, at least 0.
            inhibitory_to_inhibitory = 3.0;
        }
        /// a.
        slope, Positive: {
            /// aₑ, the excitatory response's slope, above 0.
            excitatory_slope = 1.3;
            /// aᵢ, the inhibitory response's slope, above 0.
            inhibitory_slope = 2.0;
        }
        /// θ.
        threshold, Any: {
            /// θₑ, the position of the excitatory response's steepest point.
            excitatory_threshold = 4.0;
            /// θᵢ, the position of the inhibitory response's steepest point.
            inhibitory_threshold = 3.7;
        }
        /// r.
        refractoriness, NonNegative: {
            /// rₑ, excitatory refractoriness, at least 0.
            excitatory_refractoriness = 1.0;
            /// rᵢ, inhibitory refractoriness, at least 0.
            inhibitory_refractoriness = 1.0;
        }
        /// P or Q.
        drive, Any: {
            /// P, the drive of E.
            excitatory_drive = 1.25;
            /// Q, the drive of I.
            inhibitory_drive = 0.0;
        }
    }
}

impl System for WilsonCowan {
    type Field = WilsonCowanField;

    fn field(&self) -> Result<WilsonCowanField, DynamicsError> {
        let named = |names: [&str; 2]| names.map(|name| Variable::new(name, "1", self.pairs));
        let rates = named(["E", "I"]).map(|variable| variable.of_kind(QuantityKind::Rate));
        Ok(WilsonCowanField {
            variables: rates.to_vec(),
            inputs: named(["P", "Q"]).to_vec(),
            excitatory: field::Population::of(&self.excitatory),
            inhibitory: field::Population::of(&self.inhibitory),
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let place = Place::of(&self.excitatory.drive.raw.val());
        let rest = place.full(0.0, [batch, self.pairs]);
        Ok(State::new(vec![rest.clone(), rest]))
    }

    fn settings(&self) -> Vec<(String, Held<'_>)> {
        let [excitatory, inhibitory] = self.held();
        excitatory.into_iter().chain(inhibitory).collect()
    }
}
