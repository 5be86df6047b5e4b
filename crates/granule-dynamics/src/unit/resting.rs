//! Where a conductance-based cell rests, on the host.

use granule_ops::GateKinetics;

use super::channel::{Battery, BoundChannel, BoundPool, BoundTable, ChannelTable, Constants};
use super::rates;
use crate::DynamicsError;

/// The current density of one cell on the host, over its capacitance, with everything else at its steady values: positive when
/// it enters.
pub(super) struct SteadyCurrent {
    table: BoundTable<f64>,
    /// The lowest and the highest reversal potential, which rest lies between.
    reversals: (f64, f64),
}

impl SteadyCurrent {
    pub(super) fn new(
        table: &ChannelTable,
        constant: &Constants<'_, f64>,
    ) -> Result<Self, DynamicsError> {
        let table = table.bind(constant, &0.0)?;
        let mut all = vec![constant("e_l")?];
        all.extend(
            table
                .channels
                .iter()
                .flat_map(|channel| match &channel.battery {
                    Battery::Fixed { minus_reversal, .. } => vec![-minus_reversal],
                    // Where ions are not ten thousand times as many on one side as on the other.
                    Battery::Nernst { factor, .. } => vec![-9.0 * factor, 9.0 * factor],
                }),
        );
        let low = all.iter().copied().fold(f64::INFINITY, f64::min);
        let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Ok(Self {
            table,
            reversals: (low, high),
        })
    }

    fn channel(&self, channel: &BoundChannel<f64>, voltage: f64, pools: &[f64]) -> f64 {
        let at = |curve: &granule_ops::Curve<f64>| rates::on_host(curve, voltage, pools);
        let gates = channel.gates.iter().map(|gate| {
            let x = match &gate.kinetics {
                GateKinetics::Rates([alpha, beta]) | GateKinetics::SteadyRates([alpha, beta]) => {
                    let (alpha, beta) = (at(alpha), at(beta));
                    alpha / (alpha + beta)
                }
                GateKinetics::Relaxation([steady, _]) | GateKinetics::Steady([steady]) => {
                    at(steady)
                }
            };
            x.powi(gate.power as i32)
        });
        let reversal = match &channel.battery {
            Battery::Fixed { minus_reversal, .. } => -minus_reversal,
            Battery::Nernst {
                pool,
                factor,
                outside,
            } => factor * (outside / pools[*pool].max(rates::LOWEST)).ln(),
        };
        channel.conductance * gates.product::<f64>() * (reversal - voltage)
    }

    pub(super) fn at(&self, voltage: f64) -> f64 {
        let table = &self.table;
        let rest = |pool: &BoundPool<f64>| pool.drive / pool.decay;
        let mut pools: Vec<f64> = table.pools.iter().map(rest).collect();
        // Half of the way each time, for a current that the concentration itself reduces.
        for _ in 0..if pools.is_empty() { 0 } else { 100 } {
            let into = |index: usize| {
                let own = table.channels.iter().filter(|x| x.pool == Some(index));
                own.map(|x| self.channel(x, voltage, &pools)).sum::<f64>()
            };
            let next: Vec<f64> = (0..pools.len())
                .map(|index| {
                    let pool = &table.pools[index];
                    rest(pool) + pool.influx * into(index) / pool.decay
                })
                .collect();
            let both = pools.iter().zip(&next);
            pools = both.map(|(last, next)| 0.5 * (last + next)).collect();
        }
        let channels = table.channels.iter();
        let currents = channels.map(|x| self.channel(x, voltage, &pools));
        currents.sum::<f64>() + table.drive - table.leak * voltage
    }

    /// The lowest zero at which the current turns from inward to outward.
    pub(super) fn rest(&self) -> Option<f64> {
        let (low, high) = (self.reversals.0 - 1.0, self.reversals.1 + 1.0);
        const SCAN: usize = 250;
        let at = |i: usize| low + (high - low) * i as f64 / SCAN as f64;
        let turn = (0..SCAN).find(|i| self.at(at(*i)) > 0.0 && self.at(at(i + 1)) <= 0.0)?;
        let (mut below, mut above) = (at(turn), at(turn + 1));
        for _ in 0..60 {
            let middle = 0.5 * (below + above);
            if self.at(middle) > 0.0 {
                below = middle
            } else {
                above = middle
            }
        }
        Some(0.5 * (below + above))
    }
}
