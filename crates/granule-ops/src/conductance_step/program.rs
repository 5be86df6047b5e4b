//! The table of a cell as the kernels read it: for each variable what it reads and where its constants stand.

use super::table::{Argument, Channel, Curve, GateKinetics, Membrane, RateCurve, Reversal};
use super::{Coefficient, Tables};

/// Where a constant is found: in itself, or in a row of the table of that kind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slot {
    Number(f64),
    Shared(usize),
    Each(usize),
}

/// A variable of the state that another reads, before the step or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) state: usize,
    pub(crate) moved: bool,
}

/// What a program may read, and one place more; also the most variables of a state.
pub(crate) const MOST_READS: usize = 16;

/// One instruction of a program; its operands are results of earlier ones.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node {
    Term {
        curve: RateCurve,
        /// A place among what is read.
        argument: usize,
        /// Scale, shift and steepness are the constants from here on.
        at: usize,
    },
    Sum(usize, usize),
    Product(usize, usize),
    Power(usize, f64),
}

/// A [`Curve`], each part after those that it is made of.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    pub(crate) nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// α and β
    Rates,
    /// The steady state and, with dynamics, the time constant.
    Relaxation,
}

#[derive(Clone, Debug)]
pub(crate) struct Motion {
    pub(crate) form: Form,
    pub(crate) curves: Vec<Expression>,
}

/// Where the value of a gate comes from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A place among what is read.
    State(usize),
    Steady(Motion),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Battery {
    /// The constant conductance · reversal.
    Drive(usize),
    /// The factor, then the concentration outside; the place of that inside among what is read.
    Nernst { at: usize, inside: usize },
}

#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) conductance: usize,
    pub(crate) battery: Battery,
    pub(crate) gates: Vec<(Origin, u32)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Moves {
    Gate(Motion),
    /// Decay, drive and influx are its first constants.
    Pool(Vec<Current>),
    /// Leak and drive are its first constants.
    Voltage(Vec<Current>, Part),
}

/// What is computed of the voltage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Its value after the step.
    Moved,
    /// Its decay, and its drive with the inflow.
    Linear,
}

/// How one variable moves. What is read begins with the voltage, and then the variable itself where it is another.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) moves: Moves,
    pub(crate) reads: Vec<Read>,
    pub(crate) slots: Vec<Slot>,
}

impl Expression {
    /// Where it is one term: its curve, with its argument and its first constant.
    fn term(&self) -> Option<(RateCurve, (usize, usize))> {
        match self.nodes[..] {
            [
                Node::Term {
                    curve,
                    argument,
                    at,
                },
            ] => Some((curve, (argument, at))),
            _ => None,
        }
    }

    pub(crate) fn last(&self) -> usize {
        self.nodes.len().saturating_sub(1)
    }
}

impl Motion {
    /// Of α and β, where each is one term: its curve, with its argument and its first constant.
    pub(crate) fn terms(&self) -> Option<[(RateCurve, (usize, usize)); 2]> {
        let [alpha, beta] = &self.curves[..] else {
            return None;
        };
        let both = (self.form == Form::Rates).then(|| (alpha.term(), beta.term()));
        match both? {
            (Some(alpha), Some(beta)) => Some([alpha, beta]),
            _ => None,
        }
    }

    /// Parts of its curves.
    pub(crate) fn nodes(&self) -> usize {
        self.curves.iter().map(|curve| curve.nodes.len()).sum()
    }
}

impl Program {
    /// Which of its constants is the drive of a voltage, that its inflow is added to.
    pub(crate) fn drive(&self) -> Option<usize> {
        matches!(self.moves, Moves::Voltage(..)).then_some(1)
    }

    /// What it computes: the variable after the step, or both parts of the voltage.
    pub(crate) fn outputs(&self) -> usize {
        match self.moves {
            Moves::Voltage(_, Part::Linear) => 2,
            _ => 1,
        }
    }

    /// Blocks that the kernels need besides inputs and outputs.
    pub(crate) fn scratch(&self) -> usize {
        match &self.moves {
            Moves::Gate(motion) => 2 + 4 * motion.nodes(),
            Moves::Pool(currents) | Moves::Voltage(currents, _) => {
                let gates = currents.iter().flat_map(|current| &current.gates);
                let steady = gates.map(|(origin, _)| match origin {
                    Origin::State(_) => 1,
                    Origin::Steady(motion) => 3 + 4 * motion.nodes(),
                });
                8 + 2 * currents.len() + steady.sum::<usize>()
            }
        }
    }
}

/// Gathers what one program reads.
struct Gathered<'a> {
    tables: &'a mut Tables,
    /// The state of the first pool, and whether pools are read after their step.
    pools: (usize, bool),
    reads: Vec<Read>,
    slots: Vec<Slot>,
}

impl Gathered<'_> {
    fn read(&mut self, state: usize, moved: bool) -> usize {
        let read = Read { state, moved };
        let known = self.reads.iter().position(|known| *known == read);
        known.unwrap_or_else(|| {
            self.reads.push(read);
            self.reads.len() - 1
        })
    }

    fn pool(&mut self, pool: usize) -> usize {
        let (first, moved) = self.pools;
        self.read(first + pool, moved)
    }

    fn constant(&mut self, value: &Coefficient) -> usize {
        let slot = self.tables.slot(value);
        self.slots.push(slot);
        self.slots.len() - 1
    }

    fn curve(&mut self, curve: &Curve<Coefficient>) -> Expression {
        let mut nodes = Vec::new();
        self.nodes(curve, &mut nodes);
        Expression { nodes }
    }

    /// Appends the parts of a curve; the last one is its value.
    fn nodes(&mut self, curve: &Curve<Coefficient>, nodes: &mut Vec<Node>) {
        let mut fold = |parts: &[Curve<Coefficient>], join: fn(usize, usize) -> Node| {
            for (index, part) in parts.iter().enumerate() {
                let before = nodes.len().saturating_sub(1);
                self.nodes(part, nodes);
                if index > 0 {
                    nodes.push(join(before, nodes.len() - 1));
                }
            }
        };
        match curve {
            Curve::Sum(parts) => fold(parts, Node::Sum),
            Curve::Product(parts) => fold(parts, Node::Product),
            Curve::Power(base, exponent) => {
                self.nodes(base, nodes);
                nodes.push(Node::Power(nodes.len() - 1, *exponent));
            }
            Curve::Term(term) => {
                let argument = match term.argument {
                    Argument::Voltage => 0,
                    Argument::Concentration(pool) => self.pool(pool),
                };
                let at = self.constant(&term.scale);
                self.constant(&term.shift);
                self.constant(&term.steepness);
                nodes.push(Node::Term {
                    curve: term.curve,
                    argument,
                    at,
                });
            }
        }
    }

    fn motion(&mut self, kinetics: &GateKinetics<Coefficient>) -> Motion {
        let form = match kinetics {
            GateKinetics::Rates(_) | GateKinetics::SteadyRates(_) => Form::Rates,
            GateKinetics::Relaxation(_) | GateKinetics::Steady(_) => Form::Relaxation,
        };
        let curves = kinetics.curves().iter();
        Motion {
            form,
            curves: curves.map(|curve| self.curve(curve)).collect(),
        }
    }

    /// The currents of the channels that `of` picks, of the gates after their step.
    fn currents(
        &mut self,
        channels: &[Channel<Coefficient>],
        of: impl Fn(&Channel<Coefficient>) -> bool,
    ) -> Vec<Current> {
        let mut state = 1;
        let mut currents = Vec::new();
        for channel in channels {
            let first = state;
            let moving = |gate: &&super::Gate<_>| !gate.kinetics.is_instantaneous();
            state += channel.gates.iter().filter(moving).count();
            if !of(channel) {
                continue;
            }
            let conductance = self.constant(&channel.conductance);
            let battery = match &channel.reversal {
                Reversal::Drive(drive) => Battery::Drive(self.constant(drive)),
                Reversal::Nernst {
                    pool,
                    factor,
                    outside,
                } => {
                    let at = self.constant(factor);
                    self.constant(outside);
                    let inside = self.pool(*pool);
                    Battery::Nernst { at, inside }
                }
            };
            let mut next = first;
            let mut gates = Vec::with_capacity(channel.gates.len());
            for gate in &channel.gates {
                let origin = if gate.kinetics.is_instantaneous() {
                    Origin::Steady(self.motion(&gate.kinetics))
                } else {
                    next += 1;
                    Origin::State(self.read(next - 1, true))
                };
                gates.push((origin, gate.power));
            }
            currents.push(Current {
                conductance,
                battery,
                gates,
            });
        }
        currents
    }
}

/// The programs of the gates, the pools and the voltage, in this order, which is that of a step; `None` where one of them
/// reads more than the kernels hold.
pub(super) fn programs(
    membrane: &Membrane<Coefficient>,
    part: Part,
    tables: &mut Tables,
) -> Option<Vec<Program>> {
    let gates = membrane.moving_gates().count();
    let mut all = Vec::with_capacity(2 + gates);
    let mut program =
        |moved: bool, own: usize, make: &mut dyn FnMut(&mut Gathered<'_>) -> Moves| {
            let mut gathered = Gathered {
                tables,
                pools: (1 + gates, moved),
                reads: Vec::new(),
                slots: Vec::new(),
            };
            gathered.read(0, false);
            if own > 0 {
                gathered.read(own, false);
            }
            let moves = make(&mut gathered);
            all.push(Program {
                moves,
                reads: gathered.reads,
                slots: gathered.slots,
            });
        };
    for (index, gate) in membrane.moving_gates().enumerate() {
        program(false, 1 + index, &mut |all| {
            Moves::Gate(all.motion(&gate.kinetics))
        });
    }
    for (index, pool) in membrane.pools.iter().enumerate() {
        program(false, 1 + gates + index, &mut |all| {
            for constant in [&pool.decay, &pool.drive, &pool.influx] {
                all.constant(constant);
            }
            Moves::Pool(all.currents(&membrane.channels, |channel| channel.pool == Some(index)))
        });
    }
    program(true, 0, &mut |all| {
        for constant in [&membrane.leak, &membrane.drive] {
            all.constant(constant);
        }
        Moves::Voltage(all.currents(&membrane.channels, |_| true), part)
    });
    let fits = all.iter().all(|program| program.reads.len() < MOST_READS);
    (fits && all.len() < MOST_READS).then_some(all)
}
