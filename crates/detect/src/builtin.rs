//! The rules of `content/`, which are part of the program.

use crate::Error;
use crate::content::{AlertRule, RecommendationRule, read};

macro_rules! content {
    ($($file:literal),* $(,)?) => { &[$(($file, include_str!(concat!("../../../content/", $file)))),*] };
}

/// Name and text of each built-in alert rule.
pub static ALERTS: &[(&str, &str)] = content![
    "alerts/bash_history_cleared.yaml",
    "alerts/bruteforce_failed.yaml",
    "alerts/bruteforce_succeeded.yaml",
    "alerts/crypto_miner.yaml",
    "alerts/firewall_disabled.yaml",
    "alerts/local_login_failed.yaml",
    "alerts/local_login_succeeded.yaml",
    "alerts/reverse_shell.yaml",
];

/// Name and text of each built-in recommendation rule.
pub static RECOMMENDATIONS: &[(&str, &str)] = content![
    "recommendations/open_ports.yaml",
    "recommendations/os_baseline.yaml",
    "recommendations/permissive_firewall_policy.yaml",
    "recommendations/permissive_input_rule.yaml",
];

pub fn alert_rules() -> Result<Vec<AlertRule>, Error> {
    ALERTS.iter().map(|(file, text)| read(file, text)).collect()
}

pub fn recommendation_rules() -> Result<Vec<RecommendationRule>, Error> {
    RECOMMENDATIONS.iter().map(|(file, text)| read(file, text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_file_of_content_is_built_in() {
        let content = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../content");
        for (folder, listed) in [("alerts", ALERTS), ("recommendations", RECOMMENDATIONS)] {
            for entry in std::fs::read_dir(content.join(folder)).expect("the folder") {
                let name = format!("{folder}/{}", entry.expect("an entry").file_name().to_string_lossy());
                assert!(listed.iter().any(|(file, _)| *file == name), "{name} is not listed in builtin.rs");
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_rule_passes_its_own_tests() {
        let mut ran = 0;
        for (file, text) in ALERTS.iter().chain(RECOMMENDATIONS) {
            let outcomes = crate::rule_test::run(file, text).await.expect("a rule that can be planned");
            assert!(outcomes.len() >= 2, "{file} needs a positive and a negative test");
            for outcome in outcomes {
                assert_eq!(outcome.problem, None, "{file}: {}", outcome.test);
                ran += 1;
            }
        }
        println!("{ran} rule tests passed");
    }
}
