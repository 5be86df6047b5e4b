//! From a file to the configuration of a cell of many compartments, and back.

use super::{CableCellConfig, CableFile};
use crate::DynamicsError;
use crate::unit::channel::{TableFile, TableParameters};

impl TryFrom<CableFile> for CableCellConfig {
    type Error = DynamicsError;

    fn try_from(file: CableFile) -> Result<Self, DynamicsError> {
        let table = TableFile {
            capacitance: file.capacitance,
            leak: file.leak,
            temperature_factor: file.temperature_factor,
            v_shift: file.v_shift,
            channel: file.channel,
            concentration: file.concentration,
        };
        Ok(Self {
            cells: file.cells,
            current: file.current,
            spike_threshold: file.spike_threshold,
            trainable: file.trainable,
            bounds: file.bounds,
            morphology: file.morphology,
            section: file.section,
            stimulus_sites: file.stimulus_sites,
            record_sites: file.record_sites,
            axial_resistivity: file.axial_resistivity,
            d_lambda: file.d_lambda,
            scheme: file.scheme,
            parameters: TableParameters(table.try_into()?),
            initial: file.initial,
        })
    }
}

impl From<CableCellConfig> for CableFile {
    fn from(config: CableCellConfig) -> Self {
        let table = TableFile::from(config.parameters.0);
        Self {
            cells: config.cells,
            current: config.current,
            spike_threshold: config.spike_threshold,
            trainable: config.trainable,
            bounds: config.bounds,
            morphology: config.morphology,
            section: config.section,
            stimulus_sites: config.stimulus_sites,
            record_sites: config.record_sites,
            axial_resistivity: config.axial_resistivity,
            d_lambda: config.d_lambda,
            scheme: config.scheme,
            capacitance: table.capacitance,
            leak: table.leak,
            temperature_factor: table.temperature_factor,
            v_shift: table.v_shift,
            channel: table.channel,
            concentration: table.concentration,
            initial: config.initial,
        }
    }
}
