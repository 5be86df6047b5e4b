use serde::{Deserialize, Serialize};

/// What a spiking cell shows to records and losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Observed {
    /// The membrane potential, `[batch, cells]`.
    #[default]
    Voltage,
    /// The number of spikes in the last step, `[batch, cells]`.
    Spikes,
}
