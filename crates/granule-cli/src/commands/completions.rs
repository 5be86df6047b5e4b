//! `granule completions`.

use std::io;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::{self, Cli};
use crate::output;

pub fn run(args: &args::Completions) -> anyhow::Result<()> {
    output::line(script(args.shell)?.trim_end())
}

fn script(shell: Shell) -> io::Result<String> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "granule", &mut script);
    String::from_utf8(script).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a command and of those under it, and their flags.
    fn words(command: &clap::Command, found: &mut Vec<String>) {
        let flags = command.get_arguments().filter_map(|arg| arg.get_long());
        found.extend(flags.map(|flag| format!("--{flag}")));
        for own in command.get_subcommands() {
            found.push(own.get_name().to_owned());
            words(own, found);
        }
    }

    #[test]
    fn every_command_and_flag_is_completed() {
        let mut expected = Vec::new();
        words(&Cli::command(), &mut expected);
        assert!(expected.len() > 50, "{expected:?}");
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell).unwrap();
            for word in &expected {
                // Fish writes a flag as `-l word`.
                let bare = word.trim_start_matches("--");
                let listed = script.contains(word.as_str())
                    || shell == Shell::Fish && script.contains(&format!("-l {bare}"));
                assert!(listed, "{word} is missing for {shell}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn bash_can_read_its_script() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("granule.bash");
        std::fs::write(&path, script(Shell::Bash).unwrap()).unwrap();
        let checked = std::process::Command::new("bash")
            .arg("-n")
            .arg(&path)
            .status();
        match checked {
            Ok(status) => assert!(status.success()),
            Err(error) => println!("skipped: bash: {error}"),
        }
    }
}
