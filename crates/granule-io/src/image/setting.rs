//! Settings of images as they stand in a configuration and in a model file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The colour behind transparent pixels, and beside an image that is padded: `white`, `black`, `grey` or `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend(
    "words" = ["white", "black", "grey", "#rrggbb"]
)))]
#[serde(try_from = "String", into = "String")]
pub struct Background(pub [u8; 3]);

impl Background {
    /// The default, as browsers and viewers have it.
    pub const WHITE: Self = Self([255; 3]);

    const NAMES: [(&str, [u8; 3]); 4] = [
        ("white", [255; 3]),
        ("black", [0; 3]),
        ("grey", [128; 3]),
        ("gray", [128; 3]),
    ];

    /// Whether red, green and blue are the same.
    pub fn is_grey(self) -> bool {
        let [red, green, blue] = self.0;
        red == green && green == blue
    }

    /// Its grey level, by the weights of sRGB.
    pub fn luminance(self) -> u8 {
        let [red, green, blue] = self.0.map(u32::from);
        ((2126 * red + 7152 * green + 722 * blue) / 10_000) as u8
    }
}

impl Default for Background {
    fn default() -> Self {
        Self::WHITE
    }
}

impl fmt::Display for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(_, colour)| *colour == self.0) {
            Some((name, _)) => f.write_str(name),
            None => {
                let [red, green, blue] = self.0;
                write!(f, "#{red:02x}{green:02x}{blue:02x}")
            }
        }
    }
}

impl FromStr for Background {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        if let Some((_, colour)) = Self::NAMES.iter().find(|(name, _)| *name == lower) {
            return Ok(Self(*colour));
        }
        let is_colour =
            |digits: &&str| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let digits = lower.strip_prefix('#').filter(is_colour);
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let [_, red, green, blue] = number.map(u32::to_be_bytes).ok_or_else(|| {
            format!("{text:?} is not a colour; write white, black, grey or #rrggbb, as in #00ff00")
        })?;
        Ok(Self([red, green, blue]))
    }
}

impl TryFrom<String> for Background {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Background> for String {
    fn from(background: Background) -> Self {
        background.to_string()
    }
}

/// How an image of another size is brought to the one that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// To width and height, each by its own factor: all is seen, forms change.
    #[default]
    Stretch,
    /// The largest middle part of the wanted form, scaled: forms stay, edges are lost.
    Crop,
    /// Scaled until it fits, on a ground of the background's colour: forms and edges stay.
    Pad,
}

impl Resize {
    /// The names, as they are parsed and printed.
    pub const NAMES: [&str; 3] = ["stretch", "crop", "pad"];
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stretch => "stretch",
            Self::Crop => "crop",
            Self::Pad => "pad",
        })
    }
}

impl FromStr for Resize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stretch" => Ok(Self::Stretch),
            "crop" => Ok(Self::Crop),
            "pad" => Ok(Self::Pad),
            _ => Err(format!("write {}", Self::NAMES.join(", "))),
        }
    }
}

/// Grey, or red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// One channel; colours become their luminance.
    #[serde(alias = "gray")]
    #[cfg_attr(feature = "schema", schemars(extend("aliases" = ["gray"])))]
    Grey,
    /// Three channels; grey images have three equal ones.
    #[serde(alias = "color", alias = "rgb")]
    #[cfg_attr(feature = "schema", schemars(extend("aliases" = ["color", "rgb"])))]
    Colour,
}

impl Channels {
    /// 1 or 3.
    pub fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Colour => 3,
        }
    }

    /// Of a number of channels, if images have that many.
    pub fn of_count(count: usize) -> Option<Self> {
        match count {
            1 => Some(Self::Grey),
            3 => Some(Self::Colour),
            _ => None,
        }
    }
}

impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grey => "grey",
            Self::Colour => "colour",
        })
    }
}

/// Height and width in pixels: one number for a square, or `[height, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(from = "Sides", into = "Sides")]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Size {
    /// The largest side that images are brought to.
    pub const MAX: usize = 4096;

    /// Whether both sides are from 1 to [`Size::MAX`].
    pub fn is_allowed(self) -> bool {
        [self.height, self.width]
            .iter()
            .all(|side| (1..=Self::MAX).contains(side))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.height == self.width {
            write!(f, "{}", self.height)
        } else {
            write!(f, "[{}, {}]", self.height, self.width)
        }
    }
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a number of pixels, or [height, width]")]
enum Sides {
    Square(#[cfg_attr(feature = "schema", schemars(range(min = 1, max = Size::MAX)))] usize),
    Both(
        #[cfg_attr(feature = "schema", schemars(inner(range(min = 1, max = Size::MAX))))]
        [usize; 2],
    ),
}

impl From<Sides> for Size {
    fn from(sides: Sides) -> Self {
        let [height, width] = match sides {
            Sides::Square(side) => [side; 2],
            Sides::Both(both) => both,
        };
        Self { height, width }
    }
}

impl From<Size> for Sides {
    fn from(size: Size) -> Self {
        if size.height == size.width {
            Self::Square(size.height)
        } else {
            Self::Both([size.height, size.width])
        }
    }
}
