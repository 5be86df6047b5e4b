//! `granule train --sweep`: the configurations that differ in the value of one key.

use granule::io::words::shortened;
use granule::train::RunConfig;

use super::layers::{Layer, Origin, lookup, read_set};
use super::resolve;
use crate::args;
use crate::failure::Usage;

/// A key and what it is set to, one after the other.
#[derive(Debug)]
pub struct Sweep {
    pub key: String,
    /// Each value as it was written, without spaces, and the configuration with it.
    pub points: Vec<(String, RunConfig)>,
}

impl Sweep {
    /// Of `KEY.PATH=VALUE,VALUE,…`.
    ///
    /// # Errors
    /// [`Usage`] for what is no such list, and for every value that the key cannot have or has twice.
    pub fn new(args: &args::Train, text: &str) -> anyhow::Result<Self> {
        let form = |reason: &str| {
            Usage::new(format!("`--sweep {}`: {reason}", shortened(text)))
                .hint("for example --sweep data.limit_train=75,150,300 or --sweep model.widths=[64],[64,64]")
        };
        let (key, values) = text
            .split_once('=')
            .ok_or_else(|| form("this is not of the form KEY.PATH=VALUE,VALUE,…"))?;
        let key = key.trim();
        if values.trim().is_empty() {
            return Err(form(&format!("`{key}` has no values")).into());
        }
        let mut points: Vec<(String, RunConfig)> = Vec::new();
        for value in split(values) {
            let value = value.trim();
            if value.is_empty() {
                return Err(form(&format!("a value of `{key}` is empty")).into());
            }
            let one = args::Train {
                sweep: Some(format!("{key}={value}")),
                ..args.clone()
            };
            let config = resolve(&one)?;
            let value = if value.contains(['"', '\'']) {
                value.to_owned()
            } else {
                value.split_whitespace().collect()
            };
            if let Some((same, _)) = points.iter().find(|(_, other)| *other == config) {
                let reason = if *same == value {
                    format!("`{key}` is {value} twice")
                } else {
                    format!("`{key}` is the same with {same} and {value}")
                };
                return Err(form(&reason).into());
            }
            points.push((value, config));
        }
        Ok(Self {
            key: key.to_owned(),
            points,
        })
    }

    /// The name of the run folder of a value: the last part of the key and the value, whose bytes that are not in names
    /// of files everywhere are written as `%2F`; of a long value its place.
    pub fn folder(&self, index: usize) -> String {
        const LONGEST: usize = 100;
        let name = self.key.rsplit('.').next().unwrap_or_default();
        let value = self.points.get(index).map_or("", |(value, _)| value);
        let mut escaped = String::new();
        for byte in value.bytes() {
            match char::from(byte) {
                c if c.is_ascii_alphanumeric() || "-+._,[]".contains(c) => escaped.push(c),
                _ => escaped.push_str(&format!("%{byte:02X}")),
            }
        }
        if escaped.len() > LONGEST {
            escaped = format!("~{}", index + 1);
        }
        format!("{name}-{escaped}")
    }
}

/// The parts between the commas that are in no brackets and no quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    let outside = |c: char| {
        match (quote, c) {
            (Some('"'), '\\') if !escaped => {
                escaped = true;
                return false;
            }
            (Some(open), c) if c == open && !escaped => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.saturating_sub(1),
            (None, ',') => return depth == 0,
            _ => {}
        }
        escaped = false;
        false
    };
    text.split(outside).collect()
}

/// One value of the key, over the layers below.
///
/// # Errors
/// [`Usage`] for what is no setting, and for a key that the command line gives another value.
pub(super) fn layer(text: &str, below: &[Layer]) -> Result<Layer, Usage> {
    let mut layer = Layer::new(Origin::Sweep);
    read_set(&mut layer, text)?;
    let key = text.split('=').next().unwrap_or_default().trim();
    let mut command_line = below.iter().filter(|layer| !layer.is_of_file());
    let given = |layer: &&Layer| {
        lookup(&layer.table, key).is_some() || layer.cleared.iter().any(|cleared| cleared == key)
    };
    match command_line.find(given) {
        Some(other) => Err(Usage::new(format!(
            "`{key}` is given twice: {}, in --sweep",
            other.origin
        ))
        .hint("name it in --sweep only")),
        None => Ok(layer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_brackets_and_quotes_belong_to_a_value() {
        assert_eq!(split("75,150"), ["75", "150"]);
        assert_eq!(
            split("[0,50],[[0,36],[36,71]],{a=[1,2],b=3}"),
            ["[0,50]", "[[0,36],[36,71]]", "{a=[1,2],b=3}"]
        );
        assert_eq!(split(r#"'a,]',"b\",",c,"#), ["'a,]'", r#""b\",""#, "c", ""]);
    }

    #[test]
    fn folders_of_values_are_safe_and_differ() {
        let long = format!("[{}]", "1,".repeat(80));
        let values = [
            "75",
            "[[0,36]]",
            "recording:../a",
            "a b",
            "a%20b",
            "~6",
            &long,
        ];
        let sweep = Sweep {
            key: "data.decoding.channels".to_owned(),
            points: values
                .map(|value| (value.to_owned(), RunConfig::default()))
                .into(),
        };
        let names: Vec<String> = (0..values.len()).map(|index| sweep.folder(index)).collect();
        assert_eq!(names[0], "channels-75");
        assert_eq!(names[1], "channels-[[0,36]]");
        assert_eq!(names[2], "channels-recording%3A..%2Fa");
        assert_eq!(names[6], "channels-~7");
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{name}");
            assert!(!name.contains(['/', '\\', ' ', ':']), "{name}");
        }
    }
}
