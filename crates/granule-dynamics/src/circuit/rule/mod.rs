//! Who is connected to whom, a rule a file.

mod all_to_all;
mod distance;
mod fixed_degree;
mod fixed_probability;
mod list;
mod one_to_one;

pub use all_to_all::AllToAll;
pub use distance::{DistanceDependent, Profile};
pub use fixed_degree::{FixedInDegree, FixedOutDegree};
pub use fixed_probability::FixedProbability;
pub use list::{ListOfPairs, Matrix};
pub use one_to_one::OneToOne;

use granule_ops::random::uniform;
use serde::{Deserialize, Serialize};

use super::space::Space;
use crate::DynamicsError;

/// What a rule knows of its projection.
pub(super) struct Site {
    /// The rule's place in the configuration.
    pub(super) field: String,
    /// The numbers of cells on both sides.
    pub(super) pre: usize,
    pub(super) post: usize,
    /// Whether they are the same cells.
    pub(super) recurrent: bool,
    /// Whether a cell may be connected to itself.
    pub(super) autapses: bool,
    /// Whether two cells may have several connections.
    pub(super) multapses: bool,
    /// How far cells are from each other; none where a population has no positions.
    pub(super) space: Option<Space>,
    /// The seed and the stream.
    pub(super) random: [u64; 2],
}

impl Site {
    /// Numbers in (0, 1] of one cell.
    pub(super) fn random(&self, cell: usize) -> impl FnMut() -> f64 {
        let [seed, stream] = self.random;
        uniform(seed, stream, cell)
    }

    /// Whether the rules of the projection allow a connection.
    pub(super) fn allows(&self, pre: usize, post: usize) -> bool {
        self.autapses || !self.recurrent || pre != post
    }

    pub(super) fn refused(
        &self,
        name: &str,
        value: impl std::fmt::Display,
        allowed: impl Into<String>,
    ) -> DynamicsError {
        DynamicsError::config(format!("{}.{name}", self.field), value, allowed)
    }

    /// Refuses a connection that is written out, of a cell to itself where there are to be none.
    fn check_pair(&self, name: &str, pre: usize, post: usize) -> Result<(), DynamicsError> {
        if self.allows(pre, post) {
            return Ok(());
        }
        let found = format!("cell {pre} to itself");
        Err(self.refused(name, found, "given with autapses = true on the projection"))
    }

    /// How many cells one of the other side may have: without multapses not more than there are.
    fn check_degree(
        &self,
        name: &str,
        degree: usize,
        (others, of): (usize, &str),
    ) -> Result<(), DynamicsError> {
        let most = others - usize::from(self.recurrent && !self.autapses);
        if degree <= most || (self.multapses && most > 0) {
            return Ok(());
        }
        let allowed =
            format!("at most {most}, as many as {of} has; or multapses = true on the projection");
        Err(self.refused(name, degree, allowed))
    }

    /// `degree` of `others` cells for the cell `own`, in the order in which they are drawn.
    fn chosen(
        &self,
        own: usize,
        others: usize,
        degree: usize,
        mut found: impl FnMut(usize),
        taken: &mut Taken,
    ) {
        let all = others - usize::from(self.recurrent && !self.autapses);
        let place =
            |other: usize| other + usize::from(self.recurrent && !self.autapses && other >= own);
        let mut random = self.random(own);
        let mut below = |count: usize| ((random() * count as f64) as usize).min(count - 1);
        if self.multapses {
            return (0..degree).for_each(|_| found(place(below(all))));
        }
        // Floyd's choice of some out of all, each set as likely (Bentley and Floyd 1987).
        taken.begin(all);
        for last in all - degree..all {
            let drawn = below(last + 1);
            let pick = if taken.take(drawn) { drawn } else { last };
            taken.take(pick);
            found(place(pick));
        }
    }
}

/// As many connections as one network in 10⁹ has, of those that are drawn by themselves, `mean` of them on average.
fn at_most(mean: f64) -> usize {
    (mean + 6.0 * mean.sqrt()).ceil() as usize
}

/// Which cells one cell is connected to already.
#[derive(Default)]
struct Taken {
    round: u32,
    last: Vec<u32>,
}

impl Taken {
    fn begin(&mut self, all: usize) {
        self.last.resize(all, 0);
        self.round += 1;
    }

    /// Whether it was free.
    fn take(&mut self, cell: usize) -> bool {
        std::mem::replace(&mut self.last[cell], self.round) != self.round
    }
}

/// Takes the connections of a projection, as pairs of the presynaptic and the postsynaptic cell.
pub(super) type Connect<'a> = dyn FnMut(usize, usize) + 'a;

/// What a rule says.
pub(super) trait ConnectionRule {
    /// How many connections there will be, about.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for settings that do not fit the two populations.
    fn count(&self, site: &Site) -> Result<usize, DynamicsError>;

    /// Makes them, a cell after the other.
    fn connect(&self, site: &Site, connect: &mut Connect<'_>);

    /// The weights that come with the connections, in their order; none where the projection has them.
    fn weights(&self) -> Option<Vec<f64>> {
        None
    }

    /// Whether weights come with the connections.
    fn has_weights(&self) -> bool {
        false
    }

    /// Whether cell i is connected to cell i alone.
    fn is_one_to_one(&self) -> bool {
        false
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $Rule:ident = $name:literal;)+) => {
        /// Who is connected to whom: `rule = { kind = "fixed-in-degree", degree = 100 }`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "kind")]
        pub enum RuleOfConnections {
            $($(#[$doc])* #[serde(rename = $name)] $Rule($Rule),)+
        }

        impl RuleOfConnections {
            pub(super) fn rule(&self) -> &dyn ConnectionRule {
                match self {
                    $(Self::$Rule(rule) => rule,)+
                }
            }
        }
    };
}

rules! {
    /// Every cell to every cell.
    AllToAll = "all-to-all";
    /// Cell i to cell i, of populations of one size.
    OneToOne = "one-to-one";
    /// Every pair with the same probability.
    FixedProbability = "fixed-probability";
    /// Every postsynaptic cell from the same number of cells.
    FixedInDegree = "fixed-in-degree";
    /// Every presynaptic cell to the same number of cells.
    FixedOutDegree = "fixed-out-degree";
    /// Every pair with a probability that falls with the distance.
    DistanceDependent = "distance-dependent";
    /// The pairs of a list.
    ListOfPairs = "list";
    /// The pairs of a matrix of weights that are not 0.
    Matrix = "matrix";
}

impl Default for RuleOfConnections {
    fn default() -> Self {
        Self::AllToAll(AllToAll::default())
    }
}
