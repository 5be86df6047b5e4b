use std::path::Path;

use crate::support::{fine, run};

const COMMANDS: [&[&str]; 24] = [
    &["train"],
    &["eval"],
    &["detect"],
    &["importance"],
    &["receptive-fields"],
    &["stream"],
    &["predict"],
    &["export"],
    &["import"],
    &["report"],
    &["runs"],
    &["compare"],
    &["simulate"],
    &["presets"],
    &["config"],
    &["completions"],
    &["devices"],
    &["bench"],
    &["data"],
    &["data", "list"],
    &["data", "fetch"],
    &["data", "verify"],
    &["data", "inspect"],
    &["data", "preview"],
];

#[test]
fn every_command_explains_itself() {
    for command in COMMANDS {
        let long = fine(Path::new("."), &[command, &["--help"]].concat()).stdout;
        assert_eq!(
            long,
            fine(Path::new("."), &[&["help"], command].concat()).stdout,
            "{command:?}"
        );
        let example = format!("granule {}", command.join(" "));
        assert!(
            long.contains("Examples:") && long.matches(&example).count() >= 2,
            "{command:?}: {long}"
        );
        let wide = long.lines().find(|line| line.chars().count() > 100);
        assert_eq!(wide, None, "{command:?}");
    }
    let all = fine(Path::new("."), &["--help"]).stdout;
    for command in COMMANDS {
        assert!(all.contains(command[0]), "{all}");
    }
}

#[test]
fn the_version_is_that_of_the_workspace() {
    let text = fine(Path::new("."), &["--version"]).stdout;
    assert_eq!(
        text.trim(),
        format!("granule {}", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn no_command_is_wrong_usage_with_help() {
    let finished = run(Path::new("."), &[]);
    assert_eq!(finished.code, Some(2));
    assert!(
        finished.stderr.contains("Usage: granule"),
        "{}",
        finished.stderr
    );
}
