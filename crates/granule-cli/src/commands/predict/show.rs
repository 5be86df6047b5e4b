//! How answers are printed: as text, as JSON or as a table.

use serde_json::json;

use granule::data::decoding::BinPlace;

use super::Answer;
use crate::args;
use crate::output::{self, Paint, Stream, paint, printable};

/// Which of the items of a file an answer is for.
#[derive(Clone, Copy)]
pub enum Item {
    /// The only one.
    Alone,
    Index(usize),
    /// A bin or trial of a recording.
    Place(BinPlace),
}

impl Item {
    /// The columns of a table beside the name of the file, and what is in them.
    fn columns(self) -> Vec<(&'static str, usize)> {
        match self {
            Self::Alone => vec![("index", 0)],
            Self::Index(index) => vec![("index", index)],
            Self::Place(BinPlace { trial, bin }) => {
                let trial = trial.map(|trial| ("trial", trial));
                trial
                    .into_iter()
                    .chain(bin.map(|bin| ("bin", bin)))
                    .collect()
            }
        }
    }
}

/// The form of the answers.
pub enum Form {
    /// With names padded to this width.
    Text(usize),
    Json,
    Csv,
}

impl Form {
    /// The form that was asked for.
    pub fn of(args: &args::Predict, width: usize) -> Self {
        match (args.json, args.csv) {
            (true, _) => Self::Json,
            (_, true) => Self::Csv,
            _ => Self::Text(width),
        }
    }

    /// The line above all answers, if the form has one, from the first of them.
    pub fn begin(&self, model: &Answer, place: Option<BinPlace>) -> anyhow::Result<()> {
        let item = place.map_or(Item::Alone, Item::Place);
        let heading = self.heading(Some("input"), model, item)?;
        heading.map_or(Ok(()), |heading| output::line(&heading))
    }

    /// The same as text; `input` is what the column of names is called, where there is one.
    pub fn heading(
        &self,
        input: Option<&str>,
        model: &Answer,
        item: Item,
    ) -> anyhow::Result<Option<String>> {
        let Self::Csv = self else {
            return Ok(None);
        };
        let mut columns: Vec<String> = input.map(str::to_owned).into_iter().collect();
        columns.extend(item.columns().iter().map(|(name, _)| name.to_string()));
        match model {
            Answer::Classes(top) => (1..=top.len()).for_each(|rank| {
                let suffix = if rank == 1 {
                    String::new()
                } else {
                    format!("_{rank}")
                };
                columns.extend([format!("class{suffix}"), format!("probability{suffix}")]);
            }),
            Answer::Values(values) => {
                columns.extend((1..=values.len()).map(|value| format!("value_{value}")));
            }
        }
        record(&columns).map(Some)
    }

    /// The answer to one item of a file.
    pub fn show(&self, name: &str, item: Item, answer: &Answer) -> anyhow::Result<()> {
        output::line(&self.line(Some(name), item, answer)?)
    }

    /// The same as text, without the name where there is none.
    pub fn line(&self, name: Option<&str>, item: Item, answer: &Answer) -> anyhow::Result<String> {
        match self {
            Self::Text(width) => Ok(text(name.unwrap_or_default(), item, answer, *width)),
            Self::Json => as_json(name, item, answer),
            Self::Csv => {
                let mut fields: Vec<String> = name.map(str::to_owned).into_iter().collect();
                fields.extend(item.columns().iter().map(|(_, value)| value.to_string()));
                match answer {
                    Answer::Classes(classes) => {
                        for (class, probability) in classes {
                            fields.extend([printable(class), probability.to_string()]);
                        }
                    }
                    Answer::Values(values) => fields.extend(values.iter().map(f32::to_string)),
                }
                record(&fields)
            }
        }
    }
}

fn record(fields: &[String]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields)?;
    let line = writer.into_inner()?;
    let line = String::from_utf8_lossy(&line);
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn as_json(name: Option<&str>, item: Item, answer: &Answer) -> anyhow::Result<String> {
    let mut fields = match answer {
        Answer::Classes(classes) => {
            let best = classes.first();
            let top: Vec<_> = classes
                .iter()
                .map(|(name, probability)| json!({"class": name, "probability": probability}))
                .collect();
            json!({
                "class": best.map(|(name, _)| name),
                "probability": best.map(|(_, probability)| probability),
                "top": top,
            })
        }
        Answer::Values(values) => {
            json!({"values": values})
        }
    };
    if let Some(name) = name {
        fields["input"] = json!(name);
    }
    for (column, value) in item.columns() {
        fields[column] = json!(value);
    }
    Ok(serde_json::to_string(&output::named("prediction", fields))?)
}

fn text(name: &str, item: Item, answer: &Answer, width: usize) -> String {
    let name = printable(name);
    let place = match item {
        Item::Alone => format!("{name:<width$}"),
        Item::Index(index) => format!("{name} [{index}]"),
        Item::Place(_) => {
            let each = item.columns().into_iter();
            let each: Vec<String> = each.map(|(what, at)| format!("{what} {at}")).collect();
            each.join(", ")
        }
    };
    let text = match answer {
        Answer::Classes(classes) => {
            let each = classes.iter().enumerate().map(|(i, (name, probability))| {
                let text = format!("{} {:>5.1} %", printable(name), probability * 100.0);
                if i == 0 {
                    paint(Paint::Strong, &text, Stream::Stdout)
                } else {
                    text
                }
            });
            each.collect::<Vec<_>>().join("   ")
        }
        Answer::Values(values) => values
            .iter()
            .map(f32::to_string)
            .collect::<Vec<_>>()
            .join("   "),
    };
    format!("{place}  {text}")
}
