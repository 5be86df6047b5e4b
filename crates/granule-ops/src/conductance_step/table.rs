//! What a cell is made of: a membrane and its channels, their gates, and the curves that these follow.

/// How a term depends on its argument, the voltage or a concentration, with `z = steepness · (argument + shift)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateCurve {
    /// 1
    Constant,
    /// `z/(eᶻ − 1)`, 1 at `z = 0`.
    Bernoulli,
    /// `eᶻ`
    Exponential,
    /// `1/(1 + eᶻ)`
    Sigmoid,
    /// `xⁿ/(xⁿ + Kⁿ)` of an argument `x` above 0, where `K` is in the place of the shift and `n` in that of the steepness.
    Hill,
}

/// What a term depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The voltage.
    Voltage,
    /// The concentration of a [`Pool`], by its place among them.
    Concentration(usize),
}

/// `scale · curve(steepness · (argument + shift))`
#[derive(Clone, Debug)]
pub struct Term<C> {
    /// `f`
    pub curve: RateCurve,
    /// What it depends on.
    pub argument: Argument,
    /// The value where `f` is 1.
    pub scale: C,
    /// Added to the argument.
    pub shift: C,
    /// In 1/argument.
    pub steepness: C,
}

/// A rate, a steady state or a time constant as a function of the voltage and of concentrations.
#[derive(Clone, Debug)]
pub enum Curve<C> {
    /// One term.
    Term(Term<C>),
    /// The sum of its parts.
    Sum(Vec<Self>),
    /// The product of its parts.
    Product(Vec<Self>),
    /// A power of a curve above 0.
    Power(Box<Self>, f64),
}

/// What moves a gate `x`.
#[derive(Clone, Debug)]
pub enum GateKinetics<C> {
    /// `dx/dt = α(1 − x) − βx`, `[α, β]`.
    Rates([Curve<C>; 2]),
    /// `dx/dt = (x∞ − x)/τ`, `[x∞, τ]`.
    Relaxation([Curve<C>; 2]),
    /// `x = α/(α + β)` at all times, `[α, β]`.
    SteadyRates([Curve<C>; 2]),
    /// `x = x∞` at all times.
    Steady([Curve<C>; 1]),
}

/// A gate, of which a channel has a power.
#[derive(Clone, Debug)]
pub struct Gate<C> {
    /// What moves it.
    pub kinetics: GateKinetics<C>,
    /// How many of them there are in a channel, 1 or more.
    pub power: u32,
}

/// What drives ions through a channel.
#[derive(Clone, Debug)]
pub enum Reversal<C> {
    /// The conductance times a fixed reversal potential.
    Drive(C),
    /// `factor · ln(outside/inside)`, the inside being the concentration of a pool.
    Nernst {
        /// The pool inside.
        pool: usize,
        /// RT/zF, in units of voltage.
        factor: C,
        /// The concentration outside.
        outside: C,
    },
}

/// A channel.
#[derive(Clone, Debug)]
pub struct Channel<C> {
    /// With all gates open, over the capacitance, in 1/time.
    pub conductance: C,
    /// What drives its ions.
    pub reversal: Reversal<C>,
    /// Their product is what is open.
    pub gates: Vec<Gate<C>>,
    /// The pool that its current flows into.
    pub pool: Option<usize>,
}

/// A concentration `c` inside the cell: `dc/dt = drive − decay·c + influx·I` with the current `I` that its channels let in,
/// over the capacitance.
#[derive(Clone, Debug)]
pub struct Pool<C> {
    /// In 1/time.
    pub decay: C,
    /// The decay times the concentration without current.
    pub drive: C,
    /// Concentration per voltage.
    pub influx: C,
}

/// A membrane with channels. The state of a cell is its voltage, its gates that have dynamics, channel by channel, and the
/// concentrations of its pools.
#[derive(Clone, Debug)]
pub struct Membrane<C> {
    /// The conductance that is always open, over the capacitance, in 1/time.
    pub leak: C,
    /// `leak` times its reversal potential, with a constant current.
    pub drive: C,
    /// Its channels.
    pub channels: Vec<Channel<C>>,
    /// The concentrations that some of them depend on.
    pub pools: Vec<Pool<C>>,
}

impl<C> Curve<C> {
    /// Turns every constant into another kind.
    pub fn map<D>(&self, to: &mut impl FnMut(&C) -> D) -> Curve<D> {
        let mut all = |parts: &[Self]| parts.iter().map(|part| part.map(to)).collect();
        match self {
            Self::Term(term) => Curve::Term(Term {
                curve: term.curve,
                argument: term.argument,
                scale: to(&term.scale),
                shift: to(&term.shift),
                steepness: to(&term.steepness),
            }),
            Self::Sum(parts) => Curve::Sum(all(parts)),
            Self::Product(parts) => Curve::Product(all(parts)),
            Self::Power(base, exponent) => Curve::Power(Box::new(base.map(to)), *exponent),
        }
    }
}

impl<C> GateKinetics<C> {
    /// Whether the gate has no dynamics of its own.
    pub fn is_instantaneous(&self) -> bool {
        matches!(self, Self::SteadyRates(_) | Self::Steady(_))
    }

    /// Both curves, or one.
    pub fn curves(&self) -> &[Curve<C>] {
        match self {
            Self::Rates(curves) | Self::Relaxation(curves) | Self::SteadyRates(curves) => curves,
            Self::Steady(curve) => curve,
        }
    }

    fn map<D>(&self, to: &mut impl FnMut(&C) -> D) -> GateKinetics<D> {
        let mut both = |curves: &[Curve<C>; 2]| curves.each_ref().map(|curve| curve.map(to));
        match self {
            Self::Rates(curves) => GateKinetics::Rates(both(curves)),
            Self::Relaxation(curves) => GateKinetics::Relaxation(both(curves)),
            Self::SteadyRates(curves) => GateKinetics::SteadyRates(both(curves)),
            Self::Steady([curve]) => GateKinetics::Steady([curve.map(to)]),
        }
    }
}

impl<C> Gate<C> {
    /// Turns every constant into another kind.
    pub fn map<D>(&self, to: &mut impl FnMut(&C) -> D) -> Gate<D> {
        Gate {
            kinetics: self.kinetics.map(to),
            power: self.power,
        }
    }
}

impl<C> Membrane<C> {
    /// The gates that have dynamics, in the order of the state.
    pub fn moving_gates(&self) -> impl Iterator<Item = &Gate<C>> {
        let gates = self.channels.iter().flat_map(|channel| &channel.gates);
        gates.filter(|gate| !gate.kinetics.is_instantaneous())
    }
}
