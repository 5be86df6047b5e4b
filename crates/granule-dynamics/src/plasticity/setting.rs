//! Parameters as configurations have them.

use crate::{Bounds, DynamicsError, Parameter, Place};

/// The values that a setting may have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Range {
    Free,
    Positive,
    /// Zero switches a term off and is not trained.
    NonNegative,
    /// Above 0 and below 1.
    Fraction,
}

/// A number of a configuration that becomes a parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub name: &'static str,
    pub value: f64,
    pub range: Range,
}

impl Setting {
    pub fn new(name: &'static str, value: f64, range: Range) -> Self {
        Self { name, value, range }
    }

    fn check(self, kind: &str) -> Result<(), DynamicsError> {
        let value = self.value;
        let (fits, allowed) = match self.range {
            Range::Free => (true, "a finite number"),
            Range::Positive => (value > 0.0, "a finite number above 0"),
            Range::NonNegative => (value >= 0.0, "a finite number of at least 0"),
            Range::Fraction => (0.0 < value && value < 1.0, "between 0 and 1, both excluded"),
        };
        match fits && value.is_finite() {
            true => Ok(()),
            false => {
                let field = format!("{kind}.{}", self.name);
                Err(DynamicsError::config(field, value, allowed))
            }
        }
    }

    fn init(
        self,
        kind: &str,
        trainable: &[String],
        place: &Place,
    ) -> Result<Parameter, DynamicsError> {
        let field = format!("{kind}.{}", self.name);
        let bounds = match self.range {
            Range::Free => Bounds::Free,
            Range::Positive | Range::NonNegative => Bounds::Above(0.0),
            Range::Fraction => Bounds::Between(0.0, 1.0),
        };
        match trainable.iter().any(|name| name == self.name) {
            true => Parameter::trainable(&field, &[self.value], bounds, place),
            false => Parameter::fixed(&field, &[self.value], Bounds::Free, place),
        }
    }
}

/// Checks the settings of the rule `kind`, and that `trainable` names some of them.
pub(super) fn validate(
    kind: &str,
    settings: &[Setting],
    trainable: &[String],
) -> Result<(), DynamicsError> {
    for setting in settings {
        setting.check(kind)?;
    }
    let unknown = |name: &&String| settings.iter().all(|setting| setting.name != **name);
    match trainable.iter().find(unknown) {
        Some(name) => {
            let names: Vec<&str> = settings.iter().map(|setting| setting.name).collect();
            Err(DynamicsError::config(
                format!("{kind}.trainable"),
                name,
                names.join(", "),
            ))
        }
        None => Ok(()),
    }
}

/// Makes the parameters, trainable where the list says so.
pub(super) fn init<const N: usize>(
    kind: &str,
    settings: [Setting; N],
    trainable: &[String],
    place: &Place,
) -> [Result<Parameter, DynamicsError>; N] {
    settings.map(|setting| setting.init(kind, trainable, place))
}
