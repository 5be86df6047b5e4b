//! How answers are printed: as text, as JSON or as a table.

use serde_json::json;

use super::Answer;
use crate::output::{self, Paint, Stream, paint, printable};

/// The form of the answers.
pub enum Form {
    /// With names padded to this width.
    Text(usize),
    Json,
    Csv,
}

impl Form {
    /// The line above all answers, if the form has one.
    pub fn begin(&self, model: &Answer) -> anyhow::Result<()> {
        let Self::Csv = self else {
            return Ok(());
        };
        let mut columns = vec!["input".to_string(), "index".to_string()];
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
        record(&columns)
    }

    /// The answer to one item; `index` is its place among several of one file.
    pub fn show(&self, name: &str, index: Option<usize>, answer: &Answer) -> anyhow::Result<()> {
        match self {
            Self::Text(width) => text(name, index, answer, *width),
            Self::Json => as_json(name, index.unwrap_or(0), answer),
            Self::Csv => {
                let mut fields = vec![name.to_string(), index.unwrap_or(0).to_string()];
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

fn record(fields: &[String]) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields)?;
    let line = writer.into_inner()?;
    output::line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']))
}

fn as_json(name: &str, index: usize, answer: &Answer) -> anyhow::Result<()> {
    let fields = match answer {
        Answer::Classes(classes) => {
            let best = classes.first();
            let top: Vec<_> = classes
                .iter()
                .map(|(name, probability)| json!({"class": name, "probability": probability}))
                .collect();
            json!({
                "input": name,
                "index": index,
                "class": best.map(|(name, _)| name),
                "probability": best.map(|(_, probability)| probability),
                "top": top,
            })
        }
        Answer::Values(values) => {
            json!({"input": name, "index": index, "values": values})
        }
    };
    output::event("prediction", fields)
}

fn text(name: &str, index: Option<usize>, answer: &Answer, width: usize) -> anyhow::Result<()> {
    let name = printable(name);
    let place = match index {
        Some(index) => format!("{name} [{index}]"),
        None => format!("{name:<width$}"),
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
    output::line(&format!("{place}  {text}"))
}
