//! Numbers in sentences.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(101_770), "101,770");
        assert_eq!(grouped(1_000_000), "1,000,000");
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
}
