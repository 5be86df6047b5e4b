//! Receptive fields: what each output of a decoder answers to a little more of a channel at a lag.

use serde::{Deserialize, Serialize};

use crate::metrics::finite;

/// What a field is the slope of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A real value in standard deviations of its training part.
    Value,
    /// The logarithm of the rate of a count.
    LogRate,
    /// The logit of a class less the mean of all logits.
    Logit,
}

impl Answer {
    /// `value`, `log rate` or `logit`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::LogRate => "log rate",
            Self::Logit => "logit",
        }
    }
}

/// What outputs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outputs {
    /// Real values, by their places from 0.
    Values,
    /// Channels that are predicted from others, by the numbers that the recording gives them.
    Channels,
    /// Classes, by their names.
    Classes,
}

/// The receptive field of every output of a model: the mean over samples of the output's slope by what the model sees, in standard
/// deviations of each channel; 0 by a channel that is the same in all of training.
///
/// Of a linear model, or a linear one below a curve, these are its weights; of any other they are, for normally distributed
/// inputs, the weights of the linear model that comes nearest (Bussgang 1952; Stein 1981, doi:10.1214/aos/1176345632), which
/// the average of stimuli before spikes estimates as well (Chichilnisky 2001, doi:10.1080/713663221).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceptiveFields {
    /// What the fields are the slopes of.
    pub answer: Answer,
    /// What the outputs are.
    pub outputs: Outputs,
    /// What a channel is called: `channel` or `feature`.
    pub thing: String,
    /// What a step is called: `lag` (in bins from the one that is decoded) or `step`.
    pub step: String,
    /// Channels by the numbers that the recording gives them, from 0.
    pub channels: Vec<usize>,
    /// Steps in their order: lags with their sign.
    pub lags: Vec<String>,
    /// How many samples the slopes are the mean of.
    pub samples: usize,
    /// The regression whose weights stand beside, where it can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear: Option<LinearField>,
    /// One an output, in their order.
    pub fields: Vec<ReceptiveField>,
}

/// Ridge or Poisson regression on the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearField {
    /// Such as `ridge, whole window`.
    pub name: String,
    /// λ, chosen by cross-validation in the training part.
    pub penalty: f64,
}

/// What one output answers to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceptiveField {
    /// A class by its name, a channel that is predicted by its number, a value by its place from 0.
    pub output: String,
    /// Of the model, `[steps, channels]`.
    pub model: Vec<f64>,
    /// The weights of the regression, `[steps, channels]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear: Option<Vec<f64>>,
    /// The cosine between the two, −1 to 1; none where one of them is 0 everywhere.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "finite::optional"
    )]
    pub cosine: Option<f64>,
}

impl ReceptiveField {
    pub(crate) fn new(output: String, model: Vec<f64>, linear: Option<Vec<f64>>) -> Self {
        let cosine = linear.as_deref().and_then(|linear| cosine(&model, linear));
        Self {
            output,
            model,
            linear,
            cosine,
        }
    }

    /// The length of the field: the root of the sum of its squares.
    pub fn strength(&self) -> f64 {
        self.model.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    /// The place of the largest slope, whichever its sign.
    pub fn peak(&self) -> Option<usize> {
        let largest = |a: &(usize, &f64), b: &(usize, &f64)| a.1.abs().total_cmp(&b.1.abs());
        let slopes = self.model.iter().enumerate();
        slopes.max_by(largest).map(|(place, _)| place)
    }
}

impl ReceptiveFields {
    /// The fields, the longest first.
    pub fn ranked(&self) -> Vec<&ReceptiveField> {
        let mut fields: Vec<&ReceptiveField> = self.fields.iter().collect();
        fields.sort_by(|a, b| b.strength().total_cmp(&a.strength()));
        fields
    }

    /// The lag and the channel of a place in a field.
    pub fn names(&self, place: usize) -> Option<(&str, usize)> {
        let channels = self.channels.len().max(1);
        let lag = self.lags.get(place / channels)?;
        Some((lag, *self.channels.get(place % channels)?))
    }
}

fn cosine(a: &[f64], b: &[f64]) -> Option<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    (lengths > 0.0).then(|| dot(a, b) / lengths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_knows_its_length_its_peak_and_what_it_is_like() {
        let field = ReceptiveField::new("0".to_owned(), vec![3.0, -4.0], Some(vec![6.0, -8.0]));
        assert_eq!(field.strength(), 5.0);
        assert_eq!(field.peak(), Some(1));
        assert_eq!(field.cosine, Some(1.0));
        let nothing = ReceptiveField::new("1".to_owned(), vec![0.0; 2], Some(vec![1.0, 0.0]));
        assert_eq!(nothing.cosine, None);
        let fields = ReceptiveFields {
            answer: Answer::Value,
            outputs: Outputs::Values,
            thing: "channel".to_owned(),
            step: "lag".to_owned(),
            channels: vec![7],
            lags: vec!["-1".to_owned(), "0".to_owned()],
            samples: 2,
            linear: None,
            fields: vec![nothing, field],
        };
        assert_eq!(fields.ranked()[0].output, "0");
        assert_eq!(fields.names(1), Some(("0", 7)));
        assert_eq!(fields.names(2), None);
    }
}
