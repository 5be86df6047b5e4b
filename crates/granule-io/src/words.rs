//! Numbers and foreign names in sentences.

use std::borrow::Cow;
use std::path::Path;

/// A whole number with its thousands apart: 101,770.
pub fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 epoch`, `10 epochs`, `1,000 entries`, `0 classes`; `thing` is the word for one.
pub fn counted(n: usize, thing: &str) -> String {
    match n {
        1 => format!("1 {thing}"),
        n => format!("{} {}", grouped(n), several(thing)),
    }
}

/// The first items of a list, `most` at the most, and a mark where there are more: `a, b, …`.
pub fn first_of<T: std::fmt::Display>(items: impl IntoIterator<Item = T>, most: usize) -> String {
    let mut items = items.into_iter();
    let shown: Vec<String> = items
        .by_ref()
        .take(most)
        .map(|item| item.to_string())
        .collect();
    let more = if items.next().is_some() { ", …" } else { "" };
    shown.join(", ") + more
}

/// The word for several of what `thing` is one of.
pub fn several(thing: &str) -> String {
    // Not as in `epoch`.
    let hisses = ["s", "x", "sh", "tch", "nch"]
        .iter()
        .any(|end| thing.ends_with(end));
    match thing.strip_suffix('y') {
        _ if hisses => format!("{thing}es"),
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{thing}s"),
    }
}

/// The longest word and line that a message repeats as they are; paths are shorter.
const LONG: (usize, usize) = (256, 1000);
/// What is left of a longer one, about.
const SHORT: usize = 80;

/// The longest number that a message repeats digit by digit.
const DIGITS: usize = 24;

/// A message cut to what can be read: of a word or a line that is too long its beginning, its end and its length;
/// of a long number its leading digits and its power of ten, as in 1e300.
pub fn shortened(text: &str) -> String {
    let line = |line: &str| {
        let words: Vec<String> = line
            .split(' ')
            .map(|word| cut(&with_powers(word), LONG.0, SHORT))
            .collect();
        cut(&words.join(" "), LONG.1, LONG.1 - 100)
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// A word in which every run of digits, with a point in it or none, that is too long is written with a power of ten.
fn with_powers(word: &str) -> Cow<'_, str> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    if word.len() <= DIGITS {
        return word.into();
    }
    let mut text = String::new();
    let mut rest = word;
    while let Some(first) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(first);
        let length = from.find(|c: char| !is_part(c)).unwrap_or(from.len());
        let (run, after) = from.split_at(length);
        let number = run.trim_end_matches('.');
        // A name, as of a file, is no number.
        let apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && !"/_.".contains(c));
        let alone = apart(before.chars().next_back()) && apart(after.chars().next());
        text.push_str(before);
        match number.parse::<f64>() {
            Ok(value) if alone && number.len() > DIGITS && value.is_finite() => {
                let precise = format!("{value:e}");
                let short = format!("{value:.5e}");
                text.push_str(if precise.len() <= short.len() {
                    &precise
                } else {
                    &short
                });
                text.push_str(&run[number.len()..]);
            }
            _ => text.push_str(run),
        }
        rest = after;
    }
    text.push_str(rest);
    text.into()
}

fn cut(text: &str, most: usize, kept: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let end = kept / 4;
    let begin: String = text.chars().take(kept - end).collect();
    let end: String = text.chars().skip(count - end).collect();
    format!("{begin}…{end} ({} characters)", grouped(count))
}

/// Replaces what a terminal would obey instead of show: control characters and changes of the writing direction.
pub fn printable(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.replace(obeyed, "\u{fffd}")
}

/// A number without the noise of binary fractions: 80.00000000000001 is 80.
pub fn denoised(value: f64) -> f64 {
    /// What sums and products of some numbers are off by.
    const NOISE: f64 = 64.0 * f64::EPSILON;
    match format!("{value:.11e}").parse::<f64>() {
        Ok(short) if (short - value).abs() <= NOISE * value.abs() => short,
        _ => value,
    }
}

/// A number as a person would write it: [`denoised`], and without three hundred zeros.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match denoised(self.0) {
            plain if plain == 0.0 || (1e-6..1e15).contains(&plain.abs()) => write!(f, "{plain}"),
            far if far.is_finite() => write!(f, "{far:e}"),
            other => write!(f, "{other}"),
        }
    }
}

/// A number with four digits, and an exponent where there would be many more.
pub fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 1e4 => {
            let text = format!("{value:.3e}");
            text.replace(".000e", "e")
        }
        _ => format!("{}", (value * 1e3).round() / 1e3),
    }
}

/// A path as it can be typed into a shell.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_list_the_first_are_named() {
        assert_eq!(first_of([1, 2, 3], 3), "1, 2, 3");
        assert_eq!(first_of(["a", "b", "c"], 2), "a, b, …");
        assert_eq!(first_of([0; 0], 2), "");
    }

    #[test]
    fn numbers_are_shown_without_the_noise_of_binary_fractions() {
        for (value, shown) in [
            (8.0 * 10.000_000_000_000_002, "80"),
            (0.1 + 0.2, "0.3"),
            (-0.7 / 0.1, "-7"),
            (0.123_456_789_012_3, "0.1234567890123"),
            (1.0 / 3.0, "0.3333333333333333"),
            (0.0, "0"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(denoised(value).to_string(), shown);
        }
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(101_770), "101,770");
        assert_eq!(grouped(1_000_000), "1,000,000");
    }

    #[test]
    fn long_values_are_cut_and_paths_are_not() {
        let path = format!("/{}/x.toml: no", "a".repeat(200));
        assert_eq!(shortened(&path), path);
        let said = shortened(&format!("`{}` is not a key\nhint", "é".repeat(100_000)));
        assert!(said.chars().count() < 140, "{said}");
        assert!(
            said.starts_with("`éé") && said.ends_with("é` (100,002 characters) is not a key\nhint"),
            "{said}"
        );
        let line = shortened(&"1, ".repeat(5000));
        assert!(
            line.len() < 1100 && line.contains("(15,000 characters)"),
            "{line}"
        );
        assert_eq!(shortened("a\n\n  b "), "a\n\n  b ");
    }

    #[test]
    fn long_numbers_are_powers_of_ten() {
        let zeros = |count: usize| "0".repeat(count);
        for (text, short) in [
            (format!("dt = 1{} ms", zeros(300)), "dt = 1e300 ms"),
            (format!("from -17{}: no", zeros(30)), "from -1.7e31: no"),
            (
                format!("[2{}, 0.{}12]", zeros(40), zeros(40)),
                "[2e40, 1.2e-41]",
            ),
            ("0.12345678901234567890123456789.".to_owned(), "1.23457e-1."),
            ("0.30000000000000004".to_owned(), "0.30000000000000004"),
        ] {
            assert_eq!(shortened(&text), short);
        }
        let file = format!("/data/2{}/1{}.toml: no", zeros(40), zeros(40));
        assert_eq!(shortened(&file), file);
    }

    #[test]
    fn one_is_no_plural() {
        for (n, thing, text) in [
            (1, "class", "1 class"),
            (0, "class", "0 classes"),
            (2, "entry", "2 entries"),
            (1200, "sample", "1,200 samples"),
            (2, "array", "2 arrays"),
            (3, "batch", "3 batches"),
            (3, "epoch", "3 epochs"),
            (2, "branch", "2 branches"),
        ] {
            assert_eq!(counted(n, thing), text);
        }
    }

    #[test]
    fn terminals_are_told_nothing() {
        assert_eq!(
            printable("a\x1b[2J\u{9b}\r\n\u{202e}b"),
            "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\u{fffd}b"
        );
        assert_eq!(printable("größe 猫 /_-."), "größe 猫 /_-.");
    }

    #[test]
    fn paths_can_be_typed() {
        assert_eq!(quoted(Path::new("runs/a-1")), "runs/a-1");
        assert_eq!(quoted(Path::new("my runs/it's")), r"'my runs/it'\''s'");
    }
}
