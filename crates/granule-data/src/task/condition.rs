//! What a trial shows.

use std::any::Any;
use std::fmt::{self, Debug};
use std::sync::Arc;

/// What sets one trial of a task apart from another: a type of the task's own, as [`Sine`](super::Sine).
pub trait Condition: Debug + PartialEq + Send + Sync + 'static {
    /// The right choice, as an output; none where no choice is made and where the evidence favours neither.
    fn correct(&self) -> Option<usize> {
        None
    }

    /// Signed evidence by the name of its psychometric curve; positive evidence speaks for the second choice.
    fn evidence(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// What differs between trials, as numbers by their names, the same names in every trial: what units may be tuned to.
    /// Default: the evidence.
    fn variables(&self) -> Vec<(&'static str, f64)> {
        self.evidence()
    }
}

/// The second of two choices for evidence above 0, the first below, none at 0.
pub fn sign(evidence: f64) -> Option<usize> {
    (evidence != 0.0).then_some(usize::from(evidence > 0.0))
}

/// The [`Condition`] of any task. It is printed as that itself is.
#[derive(Clone)]
pub struct AnyCondition(Arc<dyn Untyped>);

impl AnyCondition {
    /// The condition as the task's own type, if it is of that type.
    pub fn get<C: Condition>(&self) -> Option<&C> {
        self.0.as_any().downcast_ref()
    }

    /// [`Condition::correct`].
    pub fn correct(&self) -> Option<usize> {
        self.0.correct()
    }

    /// [`Condition::evidence`].
    pub fn evidence(&self) -> Vec<(&'static str, f64)> {
        self.0.evidence()
    }

    /// [`Condition::variables`].
    pub fn variables(&self) -> Vec<(&'static str, f64)> {
        self.0.variables()
    }
}

impl<C: Condition> From<C> for AnyCondition {
    fn from(condition: C) -> Self {
        Self(Arc::new(condition))
    }
}

impl PartialEq for AnyCondition {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(&*other.0)
    }
}

impl Debug for AnyCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// [`Condition`] whose type is not known.
trait Untyped: Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn equals(&self, other: &dyn Untyped) -> bool;
    fn correct(&self) -> Option<usize>;
    fn evidence(&self) -> Vec<(&'static str, f64)>;
    fn variables(&self) -> Vec<(&'static str, f64)>;
}

impl<C: Condition> Untyped for C {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn equals(&self, other: &dyn Untyped) -> bool {
        other.as_any().downcast_ref() == Some(self)
    }

    fn correct(&self) -> Option<usize> {
        Condition::correct(self)
    }

    fn evidence(&self) -> Vec<(&'static str, f64)> {
        Condition::evidence(self)
    }

    fn variables(&self) -> Vec<(&'static str, f64)> {
        Condition::variables(self)
    }
}
