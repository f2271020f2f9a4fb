//! The operating system's hardening baseline: the checks of `content/baseline/linux.yaml`, run here.

use super::{Item, item};
use serde::Deserialize;
use serde_json::json;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::LazyLock;

static TEXT: &str = include_str!("../../../../content/baseline/linux.yaml");

/// A check as the file states it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    /// The number in the published baseline.
    id: String,
    /// The CCE id.
    cce: String,
    severity: String,
    description: String,
    #[serde(flatten)]
    test: Test,
}

/// What a check looks at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Test {
    /// Lines of /etc/fstab of such mounts must carry the option.
    MountOption { kind: MountKind, option: String },
    /// The file must belong to root and have at most this mode.
    FileMode { path: String, mode: String },
    /// A kernel setting below /proc/sys must be one of the values.
    Sysctl { path: String, values: Vec<String> },
    /// Some line must begin with the text.
    LineBegins { path: String, text: String },
    /// Some line must hold the word.
    LineHolds { path: String, word: String },
    /// No line may have the field (counted from 1, between colons) empty.
    NoEmptyField { path: String, field: usize },
    /// Some line of some file in the folder must begin with the text.
    FolderLineBegins { path: String, text: String },
    /// No network interface may have the flag (hexadecimal) set; `wireless` looks for interfaces that are.
    Interfaces { problem: InterfaceProblem },
    /// One of the programs must be there.
    Installed { any_of: Vec<String> },
    /// A process of that name must run, if its program is there.
    Running { name: String, program: String },
    /// The setting of rsyslog must have one of the values, if rsyslog is there.
    Rsyslog { setting: String, values: Vec<String> },
    /// rsyslog must not load these modules.
    RsyslogLoadsNone { modules: Vec<String> },
}

#[derive(Debug, Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum MountKind {
    Removable,
    Nfs,
}

#[derive(Debug, Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum InterfaceProblem {
    Promiscuous,
    WirelessUp,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Pass,
    Fail,
    /// Does not apply to this machine.
    Skip,
    Err(String),
}

static CHECKS: LazyLock<Vec<Check>> = LazyLock::new(|| match serde_saphyr::from_str(TEXT) {
    Ok(checks) => checks,
    Err(error) => {
        eprintln!("turnstone-agent: the baseline's checks could not be read: {error}");
        Vec::new()
    }
});

/// The checks that fail here, or could not be run.
pub fn failures() -> Vec<Item> {
    CHECKS.iter().filter_map(|check| report(check, run(&check.test, Path::new("/")))).collect()
}

fn report(check: &Check, outcome: Outcome) -> Option<Item> {
    let (result, error) = match outcome {
        Outcome::Pass | Outcome::Skip => return None,
        Outcome::Fail => ("Fail", String::new()),
        Outcome::Err(error) => ("Err", error),
    };
    let mut found = item(json!({
        "CceId": check.cce,
        "Description": check.description,
        "Result": result,
        "Error": error,
        "Severity": check.severity,
    }));
    found.insert("ExtraDetails".to_owned(), json!({ "RuleId": check.id }));
    Some(found)
}

fn verdict(holds: bool) -> Outcome {
    if holds { Outcome::Pass } else { Outcome::Fail }
}

/// Runs a test on the file system below `root`.
fn run(test: &Test, root: &Path) -> Outcome {
    match try_run(test, root) {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Err(error),
    }
}

fn try_run(test: &Test, root: &Path) -> Result<Outcome, String> {
    let full = |path: &str| root.join(path.trim_start_matches('/'));
    let read = |path: &str| {
        let path = full(path);
        std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
    };
    Ok(match test {
        Test::MountOption { kind, option } => {
            let table = read("/etc/fstab")?;
            let mut mounts = table
                .lines()
                .map(|l| l.split_whitespace().collect::<Vec<_>>())
                .filter(|f| f.len() >= 4 && !f[0].starts_with('#'))
                .filter(|f| match kind {
                    MountKind::Nfs => f[2].starts_with("nfs"),
                    MountKind::Removable => {
                        ["floppy", "cdrom", "/media/"].iter().any(|w| f[0].contains(w) || f[1].contains(w))
                    }
                });
            verdict(mounts.all(|f| f[3].split(',').any(|o| o == option)))
        }
        Test::FileMode { path, mode } => {
            let metadata = full(path).metadata().map_err(|e| format!("{path}: {e}"))?;
            let most = u32::from_str_radix(mode, 8).map_err(|e| format!("{mode}: {e}"))?;
            let is_roots = metadata.uid() == 0 && metadata.gid() == 0;
            verdict(is_roots && metadata.mode() & 0o7777 & !most == 0)
        }
        Test::Sysctl { path, values } => {
            if !full(path).exists() {
                return Ok(Outcome::Skip);
            }
            let value = read(path)?;
            verdict(values.iter().any(|v| v == value.trim()))
        }
        Test::LineBegins { path, text } => verdict(read(path)?.lines().any(|l| l.starts_with(text))),
        Test::LineHolds { path, word } => {
            // The file is one of /proc that only some processors have.
            let text = read(path)?;
            verdict(text.lines().any(|l| l.split_whitespace().any(|w| w == word)))
        }
        Test::NoEmptyField { path, field } => {
            let text = read(path)?;
            let is_empty = |l: &str| l.split(':').nth(field - 1).is_some_and(str::is_empty);
            verdict(!text.lines().any(is_empty))
        }
        Test::FolderLineBegins { path, text } => {
            let entries = std::fs::read_dir(full(path)).map_err(|e| format!("{path}: {e}"))?;
            let files = entries.flatten().filter_map(|e| std::fs::read_to_string(e.path()).ok());
            let found = files.flat_map(|f| f.lines().map(|l| l.trim_start().to_owned()).collect::<Vec<_>>());
            verdict(found.into_iter().any(|l| l.starts_with(text)))
        }
        Test::Interfaces { problem } => {
            const UP: u32 = 0x1;
            const PROMISCUOUS: u32 = 0x100;
            let entries = std::fs::read_dir(full("/sys/class/net")).map_err(|e| format!("/sys/class/net: {e}"))?;
            verdict(!entries.flatten().any(|entry| {
                let flags = std::fs::read_to_string(entry.path().join("flags")).unwrap_or_default();
                let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap_or(0);
                match problem {
                    InterfaceProblem::Promiscuous => flags & PROMISCUOUS != 0,
                    InterfaceProblem::WirelessUp => flags & UP != 0 && entry.path().join("wireless").exists(),
                }
            }))
        }
        Test::Installed { any_of } => verdict(any_of.iter().any(|p| full(p).exists())),
        Test::Running { name, program } => {
            if !full(program).exists() {
                return Ok(Outcome::Skip);
            }
            let is_named = |pid: &u32| read(&format!("/proc/{pid}/comm")).is_ok_and(|c| c.trim() == name);
            verdict(super::process::pids().iter().any(is_named))
        }
        Test::Rsyslog { setting, values } => match rsyslog(root) {
            None => Outcome::Skip,
            Some(lines) => verdict(lines.iter().any(|line| {
                let mut words = line.split_whitespace();
                words.next().is_some_and(|w| w.eq_ignore_ascii_case(setting))
                    && words.next().is_some_and(|w| values.iter().any(|v| v == w))
            })),
        },
        Test::RsyslogLoadsNone { modules } => match rsyslog(root) {
            None => Outcome::Skip,
            Some(lines) => verdict(!lines.iter().any(|line| {
                (line.starts_with("$ModLoad") || line.starts_with("module("))
                    && modules.iter().any(|m| line.contains(m.as_str()))
            })),
        },
    })
}

/// The lines of rsyslog's configuration, comments left out; `None` when there is no rsyslog.
fn rsyslog(root: &Path) -> Option<Vec<String>> {
    let main = std::fs::read_to_string(root.join("etc/rsyslog.conf")).ok()?;
    let folder = std::fs::read_dir(root.join("etc/rsyslog.d")).into_iter().flatten().flatten();
    let further = folder.filter_map(|e| std::fs::read_to_string(e.path()).ok());
    let lines =
        std::iter::once(main).chain(further).flat_map(|t| t.lines().map(|l| l.trim().to_owned()).collect::<Vec<_>>());
    Some(lines.filter(|l| !l.starts_with('#')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_checks_are_read() {
        let checks: Vec<Check> = serde_saphyr::from_str(TEXT).expect("the file is right");
        assert_eq!(checks.len(), 25);
        for check in &checks {
            assert!(
                ["Critical", "Important", "Warning", "Informational"].contains(&check.severity.as_str()),
                "{}",
                check.id
            );
        }
    }

    #[test]
    fn passes_and_fails() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        write("etc/shadow", "root:x:1\npump::1\n");
        let test = Test::NoEmptyField { path: "/etc/shadow".into(), field: 2 };
        assert_eq!(run(&test, root.path()), Outcome::Fail);
        write("etc/shadow", "root:x:1\n");
        assert_eq!(run(&test, root.path()), Outcome::Pass);

        write("etc/fstab", "/dev/cdrom /media/cdrom0 udf ro,nodev 0 0\n#/dev/floppy /media/f auto rw 0 0\n");
        let option = |option: &str| Test::MountOption { kind: MountKind::Removable, option: option.into() };
        assert_eq!(run(&option("nodev"), root.path()), Outcome::Pass);
        assert_eq!(run(&option("noexec"), root.path()), Outcome::Fail);

        let sysctl =
            Test::Sysctl { path: "/proc/sys/kernel/randomize_va_space".into(), values: vec!["1".into(), "2".into()] };
        assert_eq!(run(&sysctl, root.path()), Outcome::Skip);
        write("proc/sys/kernel/randomize_va_space", "0\n");
        assert_eq!(run(&sysctl, root.path()), Outcome::Fail);

        let rsyslog = Test::Rsyslog { setting: "$FileCreateMode".into(), values: vec!["0640".into()] };
        assert_eq!(run(&rsyslog, root.path()), Outcome::Skip);
        write("etc/rsyslog.conf", "# $FileCreateMode 0777\n$FileCreateMode 0640\n");
        assert_eq!(run(&rsyslog, root.path()), Outcome::Pass);
        let missing = Test::LineBegins { path: "/etc/none".into(), text: "x".into() };
        assert!(matches!(run(&missing, root.path()), Outcome::Err(_)));
    }
}
