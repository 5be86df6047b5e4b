//! Letters of 3×5 dots, for the names of classes.

const ZOOM: usize = 2;
const ADVANCE: usize = 4 * ZOOM;
/// Names are cut after this many letters.
const MOST: usize = 16;

/// Pixels from the top of a letter to its bottom.
pub(super) const HEIGHT: usize = 5 * ZOOM;

/// Pixels that a name takes.
pub(super) fn width(name: &str) -> usize {
    name.chars().take(MOST).count() * ADVANCE
}

/// Calls `dot` for every pixel of a name, from its upper left corner.
pub(super) fn write(name: &str, mut dot: impl FnMut(usize, usize)) {
    for (place, letter) in name.chars().take(MOST).enumerate() {
        for (y, row) in glyph(letter).iter().enumerate() {
            for x in (0..3).filter(|x| row & (4 >> x) != 0) {
                for (i, j) in (0..ZOOM * ZOOM).map(|k| (k % ZOOM, k / ZOOM)) {
                    dot(place * ADVANCE + x * ZOOM + i, y * ZOOM + j);
                }
            }
        }
    }
}

/// Five rows of three dots, the leftmost in the highest of three bits; a frame for what has no glyph.
fn glyph(letter: char) -> [u8; 5] {
    match letter.to_ascii_lowercase() {
        '0' => [7, 5, 5, 5, 7],
        '1' => [2, 6, 2, 2, 7],
        '2' => [7, 1, 7, 4, 7],
        '3' => [7, 1, 3, 1, 7],
        '4' => [5, 5, 7, 1, 1],
        '5' => [7, 4, 7, 1, 7],
        '6' => [7, 4, 7, 5, 7],
        '7' => [7, 1, 1, 2, 2],
        '8' => [7, 5, 7, 5, 7],
        '9' => [7, 5, 7, 1, 7],
        'a' => [2, 5, 7, 5, 5],
        'b' => [6, 5, 6, 5, 6],
        'c' => [3, 4, 4, 4, 3],
        'd' => [6, 5, 5, 5, 6],
        'e' => [7, 4, 6, 4, 7],
        'f' => [7, 4, 6, 4, 4],
        'g' => [3, 4, 5, 5, 3],
        'h' => [5, 5, 7, 5, 5],
        'i' => [7, 2, 2, 2, 7],
        'j' => [1, 1, 1, 5, 2],
        'k' => [5, 5, 6, 5, 5],
        'l' => [4, 4, 4, 4, 7],
        'm' => [5, 7, 7, 5, 5],
        'n' => [6, 5, 5, 5, 5],
        'o' => [2, 5, 5, 5, 2],
        'p' => [6, 5, 6, 4, 4],
        'q' => [2, 5, 5, 6, 3],
        'r' => [6, 5, 6, 5, 5],
        's' => [3, 4, 2, 1, 6],
        't' => [7, 2, 2, 2, 2],
        'u' => [5, 5, 5, 5, 7],
        'v' => [5, 5, 5, 5, 2],
        'w' => [5, 5, 7, 7, 5],
        'x' => [5, 5, 2, 5, 5],
        'y' => [5, 5, 2, 2, 2],
        'z' => [7, 1, 2, 4, 7],
        ' ' => [0, 0, 0, 0, 0],
        '-' => [0, 0, 7, 0, 0],
        '_' => [0, 0, 0, 0, 7],
        '.' => [0, 0, 0, 0, 2],
        '/' => [1, 1, 2, 4, 4],
        _ => [7, 5, 5, 5, 7],
    }
}
