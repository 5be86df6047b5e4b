//! Paths as people write them.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// A path whose first part `~` stands for the user's home, as a shell has it that sees the `~` at the beginning of a
/// word: in `folder:~/x` and `--data-dir=~/x` it does not. Other paths, and every path where no home is known, stay.
pub fn expand(path: &Path) -> PathBuf {
    expand_in(path, || {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        set("HOME").or_else(|| set("USERPROFILE"))
    })
}

fn expand_in(path: &Path, home: impl FnOnce() -> Option<OsString>) -> PathBuf {
    let mut parts = path.components();
    if parts.next() != Some(Component::Normal("~".as_ref())) {
        return path.to_path_buf();
    }
    match home() {
        Some(home) => Path::new(&home).join(parts.as_path()),
        None => path.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_home() {
        let expand = |text: &str| expand_in(Path::new(text), || Some("/home/me".into()));
        for (text, expected) in [
            ("~", "/home/me"),
            ("~/a/b.png", "/home/me/a/b.png"),
            ("~you/a", "~you/a"),
            ("a/~/b", "a/~/b"),
            ("/~/b", "/~/b"),
            ("./~", "./~"),
            ("", ""),
        ] {
            assert_eq!(expand(text), Path::new(expected), "{text}");
        }
        assert_eq!(expand_in(Path::new("~/a"), || None), Path::new("~/a"));
    }
}
