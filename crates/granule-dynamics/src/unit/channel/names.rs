//! The names of what a table of channels has, which live as long as the program: a population knows its parameters by name, and
//! there are few names.

use std::collections::HashSet;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::super::ParameterInfo;

/// Letters of a name of a channel, a gate or a concentration.
pub(super) const LONGEST: usize = 32;

fn kept<T: Eq + std::hash::Hash + ?Sized>(
    all: &'static OnceLock<Mutex<HashSet<&'static T>>>,
    value: &T,
    keep: impl FnOnce() -> &'static T,
) -> &'static T {
    let all = all.get_or_init(Default::default);
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = all.get(value) {
        return known;
    }
    let new = keep();
    all.insert(new);
    new
}

/// The name itself, kept.
pub(super) fn name(name: &str) -> &'static str {
    static ALL: OnceLock<Mutex<HashSet<&'static str>>> = OnceLock::new();
    kept(&ALL, name, || Box::leak(name.into()))
}

/// What a parameter is, kept.
pub(super) fn info(info: ParameterInfo) -> &'static ParameterInfo {
    static ALL: OnceLock<Mutex<HashSet<&'static ParameterInfo>>> = OnceLock::new();
    kept(&ALL, &info, || Box::leak(Box::new(info)))
}

/// `alpha_m_midpoint`, or `alpha_m_2_midpoint` where a curve has several terms.
pub(super) fn of_term(stem: &str, term: Option<usize>, constant: &str) -> String {
    match term {
        Some(term) => format!("{stem}_{term}_{constant}"),
        None => format!("{stem}_{constant}"),
    }
}

/// Whether something may be called so: a letter, then letters, digits and `_`, and nothing that has a meaning already.
pub(super) fn is_allowed(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.len() <= LONGEST
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(word)
        && !["v", "current", "leak", "spike"].contains(&name)
}
