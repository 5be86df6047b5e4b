//! Paths as people write them.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use crate::open::is_descriptor;

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

/// Where a chain of symbolic links ends, whether or not something is there; a path that is no link, or an open file of
/// this process such as `/dev/stdout`, is itself.
///
/// # Errors
/// A chain without an end, and a link that cannot be read.
pub fn link_target(path: &Path) -> std::io::Result<PathBuf> {
    /// As many as Linux follows.
    const LINKS: usize = 40;
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        if is_descriptor(&path) || !path.is_symlink() {
            return Ok(path);
        }
        let target = path.read_link()?;
        path = match path.parent() {
            Some(parent) => parent.join(target),
            None => target,
        };
    }
    Err(std::io::Error::other(
        "too many symbolic links, one after the other",
    ))
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
