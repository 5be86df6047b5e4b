//! Where everything lies in the state and the input of the whole.

use granule_io::words::counted;

use super::config::MultiGranularityConfig;
use super::coupler::{CouplerPlan, CouplerSource};
use super::level::{Level, LevelModel};
use super::plastic::{PlasticPlan, Side};
use crate::model::Dynamics;
use crate::plasticity::{Rules, Signal, plastic_variables};
use crate::{DynamicsError, QuantityKind, Variable};

/// What is where in a model of several levels.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) dt: f64,
    pub(super) names: Vec<String>,
    /// Of the levels, then weights and traces of plastic couplers, then filters and delay lines.
    pub(super) variables: Vec<Variable>,
    /// How many of them are more than the past on its way.
    pub(super) shown: usize,
    pub(super) levels: Vec<LevelPlan>,
    pub(super) couplers: Vec<CouplerPlan>,
    pub(super) observed: Vec<Shown>,
    /// What is observed, by the names it was asked for.
    pub(super) outputs: Vec<Variable>,
    /// Columns of the input from outside.
    pub(super) inputs: usize,
    /// Over how many steps spikes are counted that are observed.
    pub(super) every: usize,
}

#[derive(Clone, Debug)]
pub(super) struct LevelPlan {
    pub(super) substeps: usize,
    /// Its variables in the state of the whole.
    pub(super) variables: std::ops::Range<usize>,
    /// First column and width in the input of the whole.
    pub(super) external: Option<(usize, usize)>,
    /// Which of its variables counts the spikes of a step, where a rule hears of them or they are observed.
    pub(super) counted: Option<usize>,
    /// The variable of the whole that counts them from one sample to the next, and its width.
    pub(super) total: Option<(usize, usize)>,
}

/// What the spikes of a level since the last sample are called.
const SPIKES: &str = "spikes";

/// What is observed: a variable of the whole, or the output of a level.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown {
    Variable(usize),
    Output(usize),
}

/// The levels by name, with what can be read of them.
struct Levels<'a> {
    names: &'a [String],
    levels: &'a [Level],
    bound: &'a [Box<dyn Dynamics>],
}

impl Levels<'_> {
    /// Everything that can be read.
    fn listed(&self) -> Vec<String> {
        let levels = self.names.iter().zip(self.bound);
        let all = levels.flat_map(|(name, dynamics)| {
            let own = dynamics.variables().iter().map(|v| v.name.as_str());
            own.chain(["output"]).map(move |v| format!("{name}.{v}"))
        });
        all.collect()
    }

    /// The level whose spikes `level.spikes` asks for.
    fn counted(&self, text: &str) -> Result<Option<usize>, DynamicsError> {
        let asked = text.strip_suffix(SPIKES).and_then(|x| x.strip_suffix('.'));
        if asked.is_none() || self.find(text)?.is_some() {
            return Ok(None);
        }
        let level = self
            .names
            .iter()
            .position(|own| Some(own.as_str()) == asked);
        match level {
            Some(level) if !self.counts(level)? => {
                let allowed = format!("with lif cells as the level {}", self.names[level]);
                Err(DynamicsError::config(
                    "observe",
                    format!("{text:?}"),
                    allowed,
                ))
            }
            level => Ok(level),
        }
    }

    /// Whether the cells of a level say how far they are on their way to the next spike, as a gradient of counts needs it.
    fn counts(&self, level: usize) -> Result<bool, DynamicsError> {
        let state = self.levels[level].initial_state(1)?;
        Ok(self.bound[level].progress(&state).is_some())
    }

    /// What `level.quantity` is; `None` where there is nothing of that name.
    fn find(&self, text: &str) -> Result<Option<(CouplerSource, Variable)>, DynamicsError> {
        let Some((name, quantity)) = text.split_once('.') else {
            return Ok(None);
        };
        let Some(level) = self.names.iter().position(|known| known == name) else {
            return Ok(None);
        };
        let source = |variable| CouplerSource { level, variable };
        if quantity == "output" {
            return Ok(Some((source(None), self.levels[level].output()?)));
        }
        let own = self.bound[level].variables();
        let index = own.iter().position(|v| v.name == quantity);
        Ok(index.map(|index| (source(Some(index)), own[index].clone())))
    }

    /// What a level has to show to a rule of plasticity; a `direct` population takes an input for each unit.
    fn side(&self, level: usize, direct: bool) -> Result<Side<'_>, DynamicsError> {
        let name = self.names[level].as_str();
        let rates = match &self.levels[level].model {
            LevelModel::Unit(_) => Err(format!(
                "a rule of spikes, for the level {name} is of cells, which have no rates"
            )),
            LevelModel::Population(_) if !direct => Err(format!(
                "onto units that have an input each: level.{name}.direct = true"
            )),
            LevelModel::Population(_) | LevelModel::System(_) => {
                Ok(self.levels[level].output()?.width)
            }
        };
        Ok(Side {
            level: name,
            spikes: spikes(self.bound[level].as_ref()),
            rates,
        })
    }
}

/// The variable that counts the spikes of a step, and its width.
fn spikes(dynamics: &dyn Dynamics) -> Option<(usize, usize)> {
    let mut own = dynamics.variables().iter().enumerate();
    let found = own.find(|(_, variable)| variable.kind == QuantityKind::Spikes);
    found.map(|(index, variable)| (index, variable.width))
}

impl Plan {
    pub(super) fn new(
        config: &MultiGranularityConfig,
        levels: &[Level],
        rules: &[Option<Rules>],
    ) -> Result<Self, DynamicsError> {
        let names = config.levels.iter().map(|level| level.name.clone());
        let names: Vec<String> = names.collect();
        let mut variables: Vec<Variable> = Vec::new();
        let mut plans = Vec::new();
        let mut bound: Vec<Box<dyn Dynamics>> = Vec::new();
        let mut columns = 0;
        for (settings, level) in config.levels.iter().zip(levels) {
            let dynamics = level.dynamics()?;
            let first = variables.len();
            for variable in dynamics.variables() {
                let name = format!("{}.{}", settings.name, variable.name);
                variables.push(Variable {
                    name,
                    ..variable.clone()
                });
            }
            let inputs = level.inputs()?.iter().map(|channel| channel.width).sum();
            let external = settings.external.then(|| {
                columns += inputs;
                (columns - inputs, inputs)
            });
            plans.push(LevelPlan {
                substeps: settings.substeps(config.dt)?,
                variables: first..variables.len(),
                external,
                counted: None,
                total: None,
            });
            bound.push(dynamics);
        }
        let all = Levels {
            names: &names,
            levels,
            bound: &bound,
        };
        let mut past: Vec<Variable> = Vec::new();
        let mut couplers = Vec::new();
        for (index, (coupler, rules)) in config.couplers.iter().zip(rules).enumerate() {
            let field = format!("coupler[{index}]");
            let (source, quantity) = all.find(&coupler.from)?.ok_or_else(|| {
                let from = format!("{:?}", coupler.from);
                DynamicsError::config(format!("{field}.from"), from, all.listed().join(", "))
            })?;
            let to = names.iter().position(|name| *name == coupler.to);
            let to = to.ok_or_else(|| {
                let field = format!("{field}.to");
                DynamicsError::config(field, format!("{:?}", coupler.to), names.join(", "))
            })?;
            let channels = levels[to].inputs()?;
            let mut plan = CouplerPlan::new(
                &field,
                coupler,
                (source, &quantity),
                (to, &channels),
                config.dt,
                past.len(),
            )?;
            let label = format!("{}→{}", coupler.from, coupler.to);
            let kept = |name: String| Variable::new(name, plan.sent_unit, plan.senders);
            if plan.filter.is_some() {
                past.push(kept(format!("{label} filter")));
            }
            let delay = plan.delay.len();
            let ago = |back| counted(back, "step");
            past.extend((1..=delay).map(|back| kept(format!("{label} {} ago", ago(back)))));
            if let Some(rules) = rules {
                let place = format!("{field}.plasticity");
                let (from, direct) = (source.level, config.levels[to].direct);
                let (inputs, columns) = plan.columns();
                let sides = (all.side(from, false)?, all.side(to, direct)?);
                let mut plastic = PlasticPlan::new(
                    &place,
                    rules,
                    (&sides.0, plan.senders),
                    (&sides.1, inputs),
                    columns,
                )?;
                if plastic.signal == Signal::Spikes {
                    plans[from].counted = sides.0.spikes.map(|(variable, _)| variable);
                    plans[to].counted = sides.1.spikes.map(|(variable, _)| variable);
                    plastic.line = past.len()..past.len() + delay;
                    let spikes = |back| kept(format!("{label} spikes {} ago", ago(back)));
                    past.extend((1..=delay).map(spikes));
                }
                let first = variables.len();
                let own = plastic_variables(rules, plan.senders, columns.1);
                variables.extend(own.into_iter().map(|variable| Variable {
                    name: format!("{field}.{}", variable.name),
                    ..variable
                }));
                plastic.variables = first..variables.len();
                plan.plastic = Some(plastic);
            }
            couplers.push(plan);
        }
        let of_levels = plans.last().map_or(0, |plan| plan.variables.end);
        let weights = variables.len() - of_levels;
        let mut totals = vec![None; names.len()];
        for text in &config.observe {
            if let Some(level) = all.counted(text)? {
                totals[level] = Some(text);
            }
        }
        // In the order of the levels, as the initial state has them.
        for ((plan, dynamics), text) in plans.iter_mut().zip(&bound).zip(totals) {
            if let Some((text, (variable, width))) = text.zip(spikes(dynamics.as_ref())) {
                plan.counted = Some(variable);
                plan.total = Some((variables.len(), width));
                let total = Variable::new(text, "1", width);
                variables.push(total.of_kind(QuantityKind::Spikes));
            }
        }
        let shown = variables.len();
        couplers.iter_mut().for_each(|plan| plan.shift(shown));
        let asked: Vec<String> = if config.observe.is_empty() {
            let first = |plan: &LevelPlan| variables[plan.variables.start].name.clone();
            plans.iter().map(first).collect()
        } else {
            config.observe.clone()
        };
        let mut observed = Vec::with_capacity(asked.len());
        let mut outputs = Vec::with_capacity(asked.len());
        for text in asked {
            let (seen, variable) = match all.find(&text)? {
                Some((CouplerSource { level, variable }, quantity)) => {
                    let at = |own| Shown::Variable(plans[level].variables.start + own);
                    (variable.map_or(Shown::Output(level), at), quantity)
                }
                None => {
                    let mut others = variables.iter().enumerate().skip(of_levels);
                    let found = others.find(|(_, variable)| variable.name == text);
                    let (index, variable) = found.ok_or_else(|| {
                        let mut known = all.listed();
                        let plastic = of_levels..of_levels + weights;
                        known.extend(variables[plastic].iter().map(|v| v.name.clone()));
                        DynamicsError::config("observe", format!("{text:?}"), known.join(", "))
                    })?;
                    (Shown::Variable(index), variable.clone())
                }
            };
            observed.push(seen);
            let output = Variable::new(text, variable.unit, variable.width);
            outputs.push(output.of_kind(variable.kind));
        }
        variables.extend(past);
        Ok(Self {
            dt: config.dt,
            names,
            variables,
            shown,
            levels: plans,
            couplers,
            observed,
            outputs,
            inputs: columns,
            every: 1,
        })
    }
}
