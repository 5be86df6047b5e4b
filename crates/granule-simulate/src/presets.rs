//! Ready-made experiments, as TOML text.

/// A ready-made experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// One line on what it shows.
    pub summary: &'static str,
    /// The configuration, an [`ExperimentConfig`](super::ExperimentConfig) in TOML with its units.
    pub toml: &'static str,
}

macro_rules! presets {
    ($($name:literal: $summary:literal;)+) => {
        /// All of them, single cells first.
        pub const PRESETS: &[Preset] = &[$(Preset {
            name: $name,
            summary: $summary,
            toml: include_str!(concat!("presets/", $name, ".toml")),
        }),+];
    };
}

presets! {
    "hodgkin-huxley": "squid axon, 10 µA/cm² from rest: regular firing";
    "wang-buzsaki": "fast-spiking interneuron, a step of current";
    "traub-miles": "hippocampal pyramidal cell, two pulses of current";
    "regular-spiking": "cortical regular-spiking cell, its rate adapts";
    "fast-spiking": "cortical fast-spiking cell, without adaptation";
    "intrinsically-bursting": "cortical cell with L-type calcium, a burst";
    "low-threshold": "cortical cell with T-type calcium, low-threshold spikes";
    "rebound": "thalamic relay cell: sag, then a rebound burst";
    "connor-stevens": "crab's axon with an A-current, a late first spike";
    "calcium-adaptation": "pyramidal cell, calcium-activated potassium adapts it";
    "ball-and-stick": "soma with a dendrite, a pulse into its far end";
    "axon": "action potentials along an axon of squid channels";
    "lif": "leaky integrate-and-fire cell, exact steps";
    "izhikevich": "Izhikevich's chattering cell";
    "adex": "adaptive exponential integrate-and-fire cell, its rate adapts";
    "fi-curve": "firing rate of Hodgkin–Huxley cells over their current";
    "balanced-network": "800 excitatory and 200 inhibitory cells, asynchronous and irregular";
    "brunel": "12500 cells, asynchronous and irregular (Brunel 2000)";
    "vogels-abbott-coba": "4000 cells that keep themselves active (Vogels and Abbott 2005)";
    "vogels-abbott-cuba": "the same with currents, cells above their threshold at rest";
    "potjans-diesmann": "a tenth of a cortical column (Potjans and Diesmann 2014)";
    "competitive-stdp": "inputs that compete by the timing of their spikes (Song et al. 2000)";
    "decision-network": "two groups of cells decide who gets more input (Wang 2002)";
    "ring-attractor": "a bump of activity that stays where it was put";
    "gamma": "excitatory and inhibitory cells with synapses in a rhythm of 43 Hz";
    "rate-sine": "chaotic rate network that a sine tames";
    "mpr": "Montbrió–Pazó–Roxin mean field between its two stable states";
    "jansen-rit": "cortical column in its alpha rhythm";
    "wong-wang": "decision between two populations";
    "wilson-cowan": "excitatory and inhibitory population on their limit cycle";
    "whole-brain": "ten areas over a connectivity with delays, read out as BOLD";
    "fitzhugh-nagumo": "relaxation oscillator in its phase plane";
    "multi-granularity": "cells, a rate network and a system, coupled";
}

impl Preset {
    /// A preset by its name.
    pub fn find(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}
