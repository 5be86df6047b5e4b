//! What is where in the state of a circuit, and what its connections are made of.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use granule_io::budget;
use granule_ops::Connections;

use super::CircuitConfig;
use super::gap::{self, Conducting, GapPlan};
use super::population::{Cell, PopulationConfig, check_name};
use super::projection::{Each, HELD, Names, Pathway, ProjectionConfig, Wired, field, pairs_of};
use super::source::Source;
use crate::setting::choices;
use crate::synapse::{BoundEffect, BoundKinetics, Effect, Kinetics};
use crate::{DynamicsError, Variable};

/// A population in the whole.
#[derive(Clone, Debug)]
pub(super) struct PopulationPlan {
    pub(super) name: String,
    pub(super) size: usize,
    pub(super) kind: Kind,
    /// Its variables in the state of the whole, and which of them is sent.
    pub(super) variables: Range<usize>,
    pub(super) sent: usize,
    /// First column in the input of the whole.
    pub(super) external: Option<usize>,
    /// Which of the ports are its own.
    pub(super) ports: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Which of the neurons, and the potential whose crossing is a spike, where the neuron does not count them itself.
    Unit(usize, Option<f64>),
    /// Which of the units of a rate.
    Rate(usize),
    Source(Source),
}

/// A kind of synapse.
#[derive(Clone, Debug)]
pub(super) struct Receptor {
    pub(super) kinetics: Option<BoundKinetics>,
    pub(super) effect: BoundEffect,
    /// Whether rates arrive, not spikes.
    pub(super) rates: bool,
}

/// The synapses of one kind in one population.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) to: usize,
    pub(super) receptor: usize,
    /// Its variables in the state of the whole.
    pub(super) variables: Range<usize>,
    /// What its current is called: after the projections that share it, or the populations that they come from.
    pub(super) current: String,
}

/// The sparse matrix of a receptor: its rows are all cells that send, once for each delay.
#[derive(Clone, Debug)]
pub(super) struct MatrixPlan {
    /// In steps, rising.
    pub(super) delays: Vec<usize>,
    /// Which of the ports its columns are, the first column and their number.
    pub(super) ports: Vec<(usize, usize, usize)>,
    pub(super) columns: usize,
}

/// A projection with a past of its own.
#[derive(Clone, Debug)]
pub(super) struct LinkPlan {
    pub(super) from: usize,
    pub(super) port: usize,
    /// What was sent, latest first.
    pub(super) past: Range<usize>,
    /// Weights and traces of plastic connections, or what short-term plasticity remembers.
    pub(super) own: Range<usize>,
    pub(super) kind: LinkKind,
    /// The population that rewards it.
    pub(super) reward: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum LinkKind {
    /// Cell i to cell i with this weight.
    Direct(f64),
    /// Which of the plastic connections.
    Plastic(usize),
    /// Which of the connections with short-term plasticity.
    ShortTerm(usize),
}

/// What is where.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) dt: f64,
    pub(super) seed: u64,
    /// Those of the populations, of the ports, of plastic projections, then the past.
    pub(super) variables: Vec<Variable>,
    /// How many of them are more than the past.
    pub(super) shown: usize,
    pub(super) populations: Vec<PopulationPlan>,
    pub(super) receptors: Vec<Receptor>,
    pub(super) ports: Vec<Port>,
    pub(super) matrices: Vec<MatrixPlan>,
    pub(super) links: Vec<LinkPlan>,
    pub(super) gaps: Vec<GapPlan>,
    /// The populations that send through matrices, in order.
    pub(super) senders: Vec<usize>,
    /// What they sent, latest first.
    pub(super) past: Range<usize>,
    /// Columns of the input from outside.
    pub(super) inputs: usize,
    /// The number of connections.
    pub(super) connections: usize,
    /// What the pathways are called that have no connection.
    pub(super) empty: Vec<String>,
}

/// What is drawn for the plan.
pub(super) struct Drawn {
    /// The lists and weights of the matrices.
    pub(super) matrices: Vec<(Connections, Vec<f64>)>,
    /// The projections that are plastic or have short-term plasticity, each in its order.
    pub(super) plastic: Vec<(Ends, Wired)>,
    pub(super) short_term: Vec<(Connections, Vec<f64>)>,
    /// The gap junctions, in the order of their plans.
    pub(super) gaps: Vec<Conducting>,
}

/// A receptor as the configuration has it.
struct Described<'a> {
    kinetics: Option<&'a Kinetics>,
    effect: &'a Effect,
    rates: bool,
    /// The first projection with it.
    first: usize,
    /// The pathways with it that share a matrix, and the port of each.
    shared: Vec<(usize, usize)>,
}

/// A projection and the places of the two populations that it is between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) index: usize,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// The most populations, and the most pairs of them with a projection.
const MOST: usize = 10_000;

/// The most pairs of cells between which weights change: these are kept for all pairs.
const MOST_PLASTIC: usize = 10_000_000;

fn check_most(field: &str, count: usize, what: &str) -> Result<(), DynamicsError> {
    if count <= MOST {
        return Ok(());
    }
    let allowed = format!("at most {MOST} {what}");
    Err(DynamicsError::config(field, format!("[{count}]"), allowed))
}

impl CircuitConfig {
    /// Checks every setting, and that projections are between populations that there are; that their rules and delays fit is
    /// checked by [`init`](Self::init).
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the setting, its value and the values allowed.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        if self.populations.is_empty() {
            return Err(DynamicsError::config("population", "none", "at least one"));
        }
        let count = self.populations.len();
        check_most("population", count, "populations")?;
        let mut names = HashSet::new();
        for population in &self.populations {
            population.validate()?;
            if !names.insert(&population.name) {
                let found = format!("{:?} twice", population.name);
                let allowed = "another name for each population";
                return Err(DynamicsError::config("population.name", found, allowed));
            }
        }
        if self.populations.iter().all(PopulationConfig::is_of_spikes) {
            let allowed = "one of neurons or of rates at least";
            return Err(DynamicsError::config("population", "spikes alone", allowed));
        }
        self.pathways()?;
        for (index, projection) in self.projections.iter().enumerate() {
            projection.validate(index)?;
            self.rewards(index)?;
            if let Some(name) = &projection.name {
                check_name(&field(index, "name"), name)?;
                if !names.insert(name) {
                    let allowed = "a name that no population and no other projection has";
                    let found = format!("{name:?}");
                    return Err(DynamicsError::config(field(index, "name"), found, allowed));
                }
            }
        }
        Ok(())
    }

    /// All pairs of populations between which there is a projection, in the order of the projections.
    pub(super) fn pathways(&self) -> Result<Vec<Ends>, DynamicsError> {
        let names = self.populations.iter().map(|own| own.name.as_str());
        let places: HashMap<&str, usize> = names.enumerate().map(|(at, own)| (own, at)).collect();
        let find = |place: &str, names: &Names| {
            if names.all().is_empty() {
                let allowed = "at least one population";
                return Err(DynamicsError::config(place, "[]", allowed));
            }
            let mut seen = HashSet::new();
            let one = |name: &str| match places.get(name) {
                Some(at) if !seen.insert(*at) => {
                    let found = format!("{name:?} twice");
                    Err(DynamicsError::config(place, found, "each population once"))
                }
                Some(at) => Ok(*at),
                None => {
                    let known = self.populations.iter().map(|own| own.name.as_str());
                    let allowed = choices(name, known);
                    Err(DynamicsError::config(place, format!("{name:?}"), allowed))
                }
            };
            let names = names.all().iter().map(String::as_str);
            names.map(one).collect::<Result<Vec<_>, _>>()
        };
        let mut all = Vec::new();
        for (index, projection) in self.projections.iter().enumerate() {
            let from = find(&field(index, "from"), &projection.from)?;
            let to = find(&field(index, "to"), &projection.to)?;
            let pairs = from.len().saturating_mul(to.len());
            let what = "pairs of populations that are connected";
            check_most("projection", pairs.saturating_add(all.len()), what)?;
            for from in from {
                all.extend(to.iter().map(|to| Ends {
                    index,
                    from,
                    to: *to,
                }));
            }
        }
        Ok(all)
    }

    /// The population that rewards a projection.
    fn rewards(&self, index: usize) -> Result<Option<usize>, DynamicsError> {
        let Some(name) = &self.projections[index].reward else {
            return Ok(None);
        };
        let names = self.populations.iter().map(|own| own.name.as_str());
        match names.clone().position(|own| own == name) {
            Some(at) => Ok(Some(at)),
            None => {
                let allowed = choices(name, names);
                let found = format!("{name:?}");
                Err(DynamicsError::config(
                    field(index, "reward"),
                    found,
                    allowed,
                ))
            }
        }
    }

    fn pathway(&self, ends: Ends) -> Pathway<'_> {
        Pathway {
            index: ends.index,
            from: &self.populations[ends.from],
            to: &self.populations[ends.to],
        }
    }

    /// How the variables of a pathway are called.
    pub(super) fn label(&self, ends: Ends) -> String {
        let projection = &self.projections[ends.index];
        let own = projection.name.clone();
        let own = own.unwrap_or_else(|| format!("projection.{}", ends.index));
        if projection.from.all().len() * projection.to.all().len() == 1 {
            return own;
        }
        let [from, to] = [ends.from, ends.to].map(|at| &self.populations[at].name);
        format!("{own}.{from}.{to}")
    }
}

/// Counts the populations' variables and cells.
struct Cells {
    plans: Vec<PopulationPlan>,
    variables: Vec<Variable>,
    units: usize,
    rates: usize,
    inputs: usize,
}

impl Cells {
    /// With `variables` of a neuron, or of a source.
    fn add(&mut self, config: &PopulationConfig, cell: &Cell, own: Vec<Variable>) {
        let first = self.variables.len();
        let sent = own
            .iter()
            .position(|v| v.name == "spike" || v.name == "rate");
        let kind = match cell {
            Cell::Unit(unit) => {
                self.units += 1;
                Kind::Unit(self.units - 1, unit.spike_threshold())
            }
            Cell::Source(Source::Rate { .. }) => {
                self.rates += 1;
                Kind::Rate(self.rates - 1)
            }
            Cell::Source(source) => Kind::Source(source.clone()),
        };
        self.variables.extend(own.into_iter().map(|v| Variable {
            name: format!("{}.{}", config.name, v.name),
            ..v
        }));
        let external = config.external.then_some(self.inputs);
        self.inputs += external.map_or(0, |_| config.size);
        self.plans.push(PopulationPlan {
            name: config.name.clone(),
            size: config.size,
            kind,
            variables: first..self.variables.len(),
            sent: first + sent.unwrap_or_default(),
            external,
            ports: Vec::new(),
        });
    }
}

impl Plan {
    /// Draws the connections and sorts them. `cells` has what each population is made of, `own` what each pathway remembers.
    pub(super) fn new(
        config: &CircuitConfig,
        cells: &[(Cell, Vec<Variable>)],
        own: &[Vec<Variable>],
        (dt, seed): (f64, u64),
    ) -> Result<(Self, Drawn), DynamicsError> {
        let mut all = Cells {
            plans: Vec::new(),
            variables: Vec::new(),
            units: 0,
            rates: 0,
            inputs: 0,
        };
        for (own, (cell, variables)) in config.populations.iter().zip(cells) {
            if let Cell::Source(Source::Spikes(_, Some(period))) = cell
                && *period < dt
            {
                let allowed = format!("at least one step, dt = {dt} ms");
                return Err(DynamicsError::config(
                    own.field("train.period"),
                    period,
                    allowed,
                ));
            }
            all.add(own, cell, variables.clone());
        }
        let Cells {
            plans: mut populations,
            mut variables,
            inputs,
            ..
        } = all;

        let mut receptors: Vec<Described<'_>> = Vec::new();
        let mut ports: Vec<(usize, usize)> = Vec::new();
        // What sends to each of them.
        let mut sent: Vec<Vec<&str>> = Vec::new();
        // The pathways with a past of their own, each with its port, and those of gap junctions.
        let (mut alone, mut gaps) = (Vec::new(), Vec::new());
        let pathways = config.pathways()?;
        for (at, Ends { index, from, to }) in pathways.iter().copied().enumerate() {
            let projection = &config.projections[index];
            let first = populations[to].variables.start;
            let potential = variables.get(first).map_or("1", |v| v.unit);
            let ends = (&populations[from], &populations[to]);
            if projection.gap.is_some() {
                let other = populations[from].variables.start;
                let other = variables.get(other).map_or("1", |v| v.unit);
                gap::check_kind(index, ends, [other, potential])?;
                gap::check_orders(projection, &gaps, pathways[at])?;
                gaps.push((at, pathways[at]));
                continue;
            }
            check_kind(index, projection, ends, potential)?;
            let effect = projection.effect.as_ref().unwrap_or(&Effect::Current);
            let kinetics = projection.kinetics.as_ref();
            let rates = matches!(populations[from].kind, Kind::Rate(_));
            let same = |own: &Described<'_>| {
                own.kinetics == kinetics && own.effect == effect && own.rates == rates
            };
            let receptor = receptors.iter().position(same).unwrap_or_else(|| {
                receptors.push(Described {
                    kinetics,
                    effect,
                    rates,
                    first: index,
                    shared: Vec::new(),
                });
                receptors.len() - 1
            });
            let port = (to, receptor);
            let port = ports
                .iter()
                .position(|own| *own == port)
                .unwrap_or_else(|| {
                    ports.push(port);
                    sent.push(Vec::new());
                    ports.len() - 1
                });
            let name = projection.name.as_ref();
            let name = name.unwrap_or(&config.populations[from].name);
            if !sent[port].contains(&name.as_str()) {
                sent[port].push(name);
            }
            let own = projection.plasticity.is_some()
                || projection.short_term.is_some()
                || projection.is_direct();
            if own {
                alone.push((at, port));
            } else {
                receptors[receptor].shared.push((at, port));
            }
        }
        let mut bound = Vec::new();
        for described in &receptors {
            let place = |name: &str| field(described.first, name);
            let kinetics = described.kinetics.map(|k| k.fixed(&place("kinetics")));
            bound.push(Receptor {
                kinetics: kinetics.transpose()?,
                effect: described.effect.fixed(&place("effect"))?,
                rates: described.rates,
            });
        }
        for (at, (to, _)) in ports.iter().enumerate() {
            populations[*to].ports.push(at);
        }
        let mut port_plans = Vec::new();
        for (at, (to, receptor)) in ports.iter().enumerate() {
            let first = variables.len();
            let population = &populations[*to];
            let names = bound[*receptor]
                .kinetics
                .as_ref()
                .map_or(&[][..], |k| k.variables());
            let several = population.ports.len() > 1;
            for name in names {
                let name = if several {
                    format!("{}.{name}.{receptor}", population.name)
                } else {
                    format!("{}.{name}", population.name)
                };
                variables.push(Variable::new(name, "1", population.size));
            }
            port_plans.push(Port {
                to: *to,
                receptor: *receptor,
                variables: first..variables.len(),
                current: {
                    let own = sent[at].join("+");
                    let alike = |other: &&usize| sent[**other] == sent[at];
                    match population.ports.iter().filter(alike).count() {
                        1 => format!("{}.I_{own}", population.name),
                        _ => format!("{}.I_{own}.{receptor}", population.name),
                    }
                },
            });
        }

        // The populations that send through matrices, and where their cells begin among all of them.
        let through = |(at, _): &(usize, usize)| pathways[*at].from;
        let mut senders: Vec<usize> = receptors
            .iter()
            .flat_map(|own| own.shared.iter().map(through))
            .collect();
        senders.sort_unstable();
        senders.dedup();
        let mut begins = vec![0; populations.len()];
        let mut sending = 0;
        for sender in &senders {
            begins[*sender] = sending;
            sending += populations[*sender].size;
        }
        let about = pathways
            .iter()
            .map(|ends| config.projections[ends.index].count(config.pathway(*ends)));
        let about = about.collect::<Result<Vec<_>, _>>()?.into_iter();
        let about = about.fold(0, usize::saturating_add);
        budget::ask_for_numbers("the connections", &[HELD, about])?;

        let mut drawn = Drawn {
            matrices: Vec::new(),
            plastic: Vec::new(),
            short_term: Vec::new(),
            gaps: Vec::new(),
        };
        let (mut matrices, mut connections, mut longest) = (Vec::new(), 0, 0);
        let mut empty = Vec::new();
        for receptor in receptors.iter().filter(|own| !own.shared.is_empty()) {
            let mut wired = Vec::new();
            for (at, _) in &receptor.shared {
                let pathway = config.pathway(pathways[*at]);
                let own = config.projections[pathway.index].wire(pathway, (dt, seed))?;
                if own.to.is_empty() {
                    empty.push(*at);
                }
                wired.push(own);
            }
            let mut own: Vec<usize> = receptor.shared.iter().map(|(_, port)| *port).collect();
            own.sort_unstable();
            own.dedup();
            let (mut columns, mut first) = (0, vec![0; ports.len()]);
            for port in &own {
                first[*port] = columns;
                columns += populations[ports[*port].0].size;
            }
            let shared = receptor.shared.iter().zip(wired);
            let blocks = shared.map(|((at, port), wired)| Block {
                row: begins[pathways[*at].from],
                column: first[*port],
                wired,
            });
            let blocks: Vec<Block> = blocks.collect();
            let (delays, lists, weights) = join(blocks, sending, columns)?;
            connections += weights.len();
            longest = longest.max(delays.last().copied().unwrap_or_default());
            if weights.is_empty() {
                continue;
            }
            drawn.matrices.push((lists, weights));
            let width = |port: &usize| populations[ports[*port].0].size;
            matrices.push(MatrixPlan {
                delays,
                ports: own
                    .iter()
                    .map(|port| (*port, first[*port], width(port)))
                    .collect(),
                columns,
            });
        }

        let mut links = Vec::new();
        for (at, port) in alone {
            let ends = pathways[at];
            let Ends { index, from, to } = ends;
            let projection = &config.projections[index];
            let plastic = projection.plasticity.is_some();
            let short_term = projection.short_term.is_some();
            let pairs = populations[from].size.saturating_mul(populations[to].size);
            if plastic && pairs > MOST_PLASTIC {
                let found = format!("weights of {pairs} pairs of cells");
                let allowed = format!(
                    "at most {MOST_PLASTIC} pairs, for weights that change are kept of all"
                );
                let place = field(index, "plasticity");
                return Err(DynamicsError::config(place, found, allowed));
            }
            let wired = projection.wire(config.pathway(ends), (dt, seed))?;
            let Each::One(delay) = wired.delays else {
                let allowed = "one for all connections where they have plasticity or short_term";
                return Err(DynamicsError::config(
                    field(index, "delay"),
                    "several",
                    allowed,
                ));
            };
            connections += wired.to.len();
            if wired.to.is_empty() {
                empty.push(at);
            }
            let kind = if plastic {
                // Weights of all pairs, before and after a step, with what a rule makes of them.
                let what = format!("the weights of projection.{index}, which is plastic");
                let kept = own[at].iter().filter(|own| own.width == pairs).count();
                budget::ask_for_numbers(what, &[8, kept.max(1), pairs])?;
                drawn.plastic.push((ends, wired));
                LinkKind::Plastic(drawn.plastic.len() - 1)
            } else if short_term {
                let post = populations[to].size;
                let wired = wired.or_of_no_weight();
                let block = Block {
                    row: 0,
                    column: 0,
                    wired: Wired {
                        delays: Each::One(1),
                        ..wired
                    },
                };
                let (_, lists, weights) = join(vec![block], populations[from].size, post)?;
                drawn.short_term.push((lists, weights));
                LinkKind::ShortTerm(drawn.short_term.len() - 1)
            } else {
                LinkKind::Direct(wired.weights.at(0))
            };
            let link = LinkPlan {
                from,
                port,
                past: 0..delay as usize,
                own: 0..0,
                kind,
                reward: config.rewards(index)?,
            };
            links.push((at, link));
        }
        let mut joined = Vec::new();
        for (at, ends) in gaps {
            let projection = &config.projections[ends.index];
            let wired = projection.wire(config.pathway(ends), (dt, seed))?;
            if wired.to.is_empty() {
                empty.push(at);
                continue;
            }
            let sizes = [ends.from, ends.to].map(|at| populations[at].size);
            for (plan, own) in gap::conducting(projection, &wired, (ends, sizes))? {
                connections += own.len();
                joined.push(plan);
                drawn.gaps.push(own);
            }
        }
        let mut plan = Self {
            dt,
            seed,
            variables,
            shown: 0,
            populations,
            receptors: bound,
            ports: port_plans,
            matrices,
            links: Vec::new(),
            gaps: joined,
            senders,
            past: 0..0,
            inputs,
            connections,
            empty: Vec::new(),
        };
        empty.sort_unstable();
        plan.empty = empty
            .into_iter()
            .map(|at| config.label(pathways[at]))
            .collect();
        plan.place(own, links, (longest, sending))?;
        Ok((plan, drawn))
    }

    /// Gives the links their variables, and the past its place.
    fn place(
        &mut self,
        own: &[Vec<Variable>],
        links: Vec<(usize, LinkPlan)>,
        (longest, sending): (usize, usize),
    ) -> Result<(), DynamicsError> {
        let slots = links
            .iter()
            .map(|(_, link)| link.past.len() * self.populations[link.from].size);
        let past = slots.fold(longest.saturating_mul(sending), usize::saturating_add);
        // What is sent to a matrix of several delays is gathered anew in each step.
        let delays = self.matrices.iter().map(|own| own.delays.len());
        let gathered = delays
            .filter(|delays| *delays > 1)
            .max()
            .unwrap_or_default();
        let past = past.saturating_add(gathered.saturating_mul(sending));
        budget::ask_for_numbers("the spikes on their way", &[2, past])?;
        for (at, mut link) in links {
            let first = self.variables.len();
            self.variables.extend(own[at].iter().cloned());
            link.own = first..self.variables.len();
            self.links.push(link);
        }
        self.shown = self.variables.len();
        self.past = self.shown..self.shown + longest;
        let past = (0..longest).map(|at| Variable::new(format!("past {at}"), "1", sending));
        self.variables.extend(past);
        for (at, link) in self.links.iter_mut().enumerate() {
            let first = self.variables.len();
            let size = self.populations[link.from].size;
            let past = link.past.clone();
            let past = past.map(|slot| Variable::new(format!("past {slot} of {at}"), "1", size));
            self.variables.extend(past);
            link.past = first..self.variables.len();
        }
        Ok(())
    }
}

/// Connections between two populations within a matrix: the first row of the senders and the first column of the receivers.
struct Block {
    row: usize,
    column: usize,
    wired: Wired,
}

/// Joins blocks into one matrix with `senders` rows for each delay, in steps, rising.
fn join(
    blocks: Vec<Block>,
    senders: usize,
    columns: usize,
) -> Result<(Vec<usize>, Connections, Vec<f64>), DynamicsError> {
    let mut delays: Vec<u32> = Vec::new();
    for block in &blocks {
        match &block.wired.delays {
            _ if block.wired.to.is_empty() => {}
            Each::One(delay) => delays.push(*delay),
            Each::Of(all) => {
                let most = all.iter().max().copied().unwrap_or_default();
                let mut there = vec![false; most as usize + 1];
                all.iter().for_each(|delay| there[*delay as usize] = true);
                let own = there.iter().enumerate().filter(|(_, there)| **there);
                delays.extend(own.map(|(delay, _)| delay as u32));
            }
        }
    }
    delays.sort_unstable();
    delays.dedup();
    let most = delays.last().map_or(0, |delay| *delay as usize);
    let mut place = vec![0; most + 1];
    for (at, delay) in delays.iter().enumerate() {
        place[*delay as usize] = at;
    }
    budget::ask_for_numbers("the rows of connections", &[2, delays.len(), senders])?;
    let row = |block: &Block, pre: usize, at: usize| {
        let delay = block.wired.delays.at(at) as usize;
        place[delay] * senders + block.row + pre
    };
    let mut ends = vec![0usize; delays.len() * senders];
    for block in &blocks {
        for (at, (pre, _)) in pairs_of(&block.wired.ends, &block.wired.to).enumerate() {
            ends[row(block, pre, at)] += 1;
        }
    }
    let mut sum = 0;
    let mut next = Vec::with_capacity(ends.len());
    for end in &mut ends {
        next.push(sum);
        sum += *end;
        *end = sum;
    }
    let what = "the connections in order";
    let mut to = budget::filled(0u32, sum, what)?;
    let mut weights = budget::filled(0.0, sum, what)?;
    for block in blocks {
        for (at, (pre, post)) in pairs_of(&block.wired.ends, &block.wired.to).enumerate() {
            let own = &mut next[row(&block, pre, at)];
            to[*own] = (block.column + post) as u32;
            weights[*own] = block.wired.weights.at(at);
            *own += 1;
        }
    }
    let lists = Connections::of_lists(columns, ends, to)
        .ok_or_else(|| DynamicsError::config("population", columns, "at most 2^32 cells in all"))?;
    let delays = delays.into_iter().map(|delay| delay as usize).collect();
    Ok((delays, lists, weights))
}

/// Refuses what cannot be sent or heard.
fn check_kind(
    index: usize,
    projection: &ProjectionConfig,
    (from, to): (&PopulationPlan, &PopulationPlan),
    potential: &str,
) -> Result<(), DynamicsError> {
    let refused = |name: &str, value: String, allowed: &str| {
        Err(DynamicsError::config(field(index, name), value, allowed))
    };
    let rates = matches!(from.kind, Kind::Rate(_));
    let heard = matches!(to.kind, Kind::Rate(_));
    let opens = projection.opens();
    if matches!(to.kind, Kind::Source(_)) {
        let allowed = "a population of neurons or of rates: spikes from outside hear nobody";
        return refused("to", format!("{:?}", to.name), allowed);
    }
    if rates && projection.kinetics.is_some() {
        let allowed = "none from a population of rates, which is heard all the time";
        return refused("kinetics", "a time course".into(), allowed);
    }
    if opens && projection.kinetics.is_none() {
        let allowed = "with `kinetics`: what jumps at once is the potential";
        return refused("effect", "a conductance".into(), allowed);
    }
    if opens && heard {
        let allowed = "a current: units of rates have no conductance";
        return refused("effect", "a conductance".into(), allowed);
    }
    if opens && potential != "mV" {
        let found = format!("a conductance of {}", to.name);
        return refused("effect", found, "of cells whose potential is in mV");
    }
    if projection.plasticity.is_some() && (rates || heard) {
        let allowed = "between populations that spike";
        return refused("plasticity", "rules".into(), allowed);
    }
    if projection.short_term.is_some() && rates {
        let allowed = "from a population that spikes";
        return refused("short_term", "this".into(), allowed);
    }
    if projection.short_term.is_some() && projection.plasticity.is_some() {
        return refused("short_term", "this".into(), "unset beside plasticity");
    }
    Ok(())
}
