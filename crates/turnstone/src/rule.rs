//! `turnstone rule`.

use crate::Failure;
use clap::Subcommand;
use detect::{builtin, rule_test};
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub enum Command {
    /// Run the sample events that rules carry; the built-in rules' when no file is named.
    #[command(after_help = "Examples:
  turnstone rule test
  turnstone rule test my-rules
  turnstone rule test my-rules/new.yaml")]
    Test {
        /// Rule files, or folders of them.
        files: Vec<PathBuf>,
    },
    /// List the built-in rules.
    List,
}

pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List => {
            for rule in builtin::alert_rules().map_err(Failure::run)? {
                println!("alert           {:<13} {:<34} {}", rule.severity.name(), rule.alert_type, rule.name);
            }
            for rule in builtin::recommendation_rules().map_err(Failure::run)? {
                println!("recommendation  {:<13} {:<34} {}", rule.severity.name(), rule.name, rule.display_name);
            }
            Ok(())
        }
        Command::Test { files } => test(files),
    }
}

fn test(files: &[PathBuf]) -> Result<(), Failure> {
    let mut texts: Vec<(String, String)> = Vec::new();
    for path in rule_files(files)? {
        let text = std::fs::read_to_string(&path).map_err(|e| unreadable(&path, &e))?;
        texts.push((path.display().to_string(), text));
    }
    if files.is_empty() {
        let all = builtin::ALERTS.iter().chain(builtin::RECOMMENDATIONS);
        texts.extend(all.map(|(name, text)| ((*name).to_owned(), (*text).to_owned())));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::run)?;
    let (mut passed, mut failed) = (0, 0);
    for (name, text) in texts {
        match runtime.block_on(rule_test::run(&name, &text)) {
            Err(error) => {
                failed += 1;
                println!("FAIL  {name}: {error}");
            }
            Ok(outcomes) => {
                for outcome in outcomes {
                    match outcome.problem {
                        None => {
                            passed += 1;
                            println!("ok    {}: {}", outcome.rule, outcome.test);
                        }
                        Some(problem) => {
                            failed += 1;
                            println!("FAIL  {}: {}: {problem}", outcome.rule, outcome.test);
                        }
                    }
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 { Err(Failure::run("some rules do not do what their tests say")) } else { Ok(()) }
}

/// The files themselves, and of each folder its YAML files in the order of their names.
fn rule_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|e| unreadable(path, &e))?;
        let found: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|e| e.path())).collect();
        let mut found = found.map_err(|e| unreadable(path, &e))?;
        found.retain(|file| file.extension().is_some_and(|e| e == "yaml" || e == "yml"));
        if found.is_empty() {
            return Err(Failure::usage(format!("{}: the folder holds no .yaml file", path.display())));
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()))
}
