//! A setting that cannot be: the one error of configurations.

use std::fmt::Display;

/// A setting outside its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} = {value} is not allowed: {allowed}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The setting by its path in a configuration file, for example `train.epochs` or `level.cells.unit.current`.
    pub field: String,
    /// The value found.
    pub value: String,
    /// The values allowed, or what to do instead.
    pub allowed: String,
}

impl ConfigError {
    /// Of a setting, the value found and the values allowed.
    pub fn new(field: impl Into<String>, value: impl Display, allowed: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            value: value.to_string(),
            allowed: allowed.into(),
        }
    }

    /// The same setting as part of the table at `place`.
    ///
    /// ```
    /// use granule_io::ConfigError;
    ///
    /// let error = ConfigError::new("dt", 0, "above 0").under("level.cells").under("model");
    /// assert_eq!(error.to_string(), "model.level.cells.dt = 0 is not allowed: above 0");
    /// ```
    #[must_use]
    pub fn under(mut self, place: &str) -> Self {
        self.field = match (place, self.field.as_str()) {
            ("", _) => return self,
            (place, "") => place.to_owned(),
            (place, element) if element.starts_with('[') => format!("{place}{element}"),
            (place, field) => format!("{place}.{field}"),
        };
        self
    }

    /// Whether the setting is the table at `place`, or in it.
    pub fn is_under(&self, place: &str) -> bool {
        let rest = self.field.strip_prefix(place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }

    /// The same with another name of the setting.
    #[must_use]
    pub fn named(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_before_the_setting() {
        let error = |field: &str| ConfigError::new(field, "[]", "one or more");
        for (field, place, whole) in [
            ("widths", "model", "model.widths"),
            ("[1].units", "layer", "layer[1].units"),
            ("", "level", "level"),
            ("seed", "", "seed"),
        ] {
            assert_eq!(error(field).under(place).field, whole);
        }
        assert!(error("level.cells").is_under("level") && error("level[0]").is_under("level"));
        assert!(error("level").is_under("level") && !error("levels").is_under("level"));
        assert_eq!(
            error("a").named("b").to_string(),
            "b = [] is not allowed: one or more"
        );
    }
}
