//! The packet filter: the chains that hook input, output and forwarding, of nftables or iptables.
//!
//! Each rule becomes an item; the chain's policy follows as one more, with the next priority and nothing that narrows
//! it. What a rule does that has no word here (jumps, marks) is `Other`, with the rule's text beside it.

use super::{Item, item};
use serde_json::{Value, json};
use std::process::Command;

/// The rules, or why they cannot be seen.
pub fn rules() -> Result<Vec<Item>, String> {
    let nft = Command::new("nft").args(["-j", "list", "ruleset"]).output();
    let nft_problem = match nft {
        Ok(output) if output.status.success() => {
            let found = from_nft(&output.stdout)?;
            if !found.is_empty() {
                return Ok(found);
            }
            None
        }
        Ok(output) => Some(format!("nft: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Some(format!("nft: {error}")),
    };
    let mut found = Vec::new();
    let mut problems: Vec<String> = nft_problem.into_iter().collect();
    for program in ["iptables-save", "ip6tables-save"] {
        match Command::new(program).args(["-t", "filter"]).output() {
            Ok(output) if output.status.success() => {
                found.extend(from_iptables(&String::from_utf8_lossy(&output.stdout)))
            }
            Ok(output) => problems.push(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => problems.push(format!("{program}: {error}")),
        }
    }
    match (found.is_empty(), problems.len()) {
        // Both looked and neither has a chain: nothing filters, so everything is let through.
        (true, n) if n < 3 => Ok(unfiltered()),
        (true, _) => Err(problems.join("; ")),
        (false, _) => Ok(found),
    }
}

/// What `doctor` says.
pub fn sight() -> Result<String, String> {
    rules().map(|rules| format!("{} rules and policies", rules.len()))
}

fn unfiltered() -> Vec<Item> {
    let policy = |chain: &str, direction: &str| {
        item(json!({ "Enabled": false, "Action": "Allow", "Direction": direction, "ChainName": chain, "Priority": 0 }))
    };
    vec![policy("INPUT", "In"), policy("OUTPUT", "Out")]
}

fn action(word: &str) -> &'static str {
    match word.to_ascii_lowercase().as_str() {
        "accept" => "Allow",
        "drop" | "reject" => "Deny",
        _ => "Other",
    }
}

fn from_nft(output: &[u8]) -> Result<Vec<Item>, String> {
    let ruleset: Value = serde_json::from_slice(output).map_err(|e| format!("nft: {e}"))?;
    let objects = ruleset["nftables"].as_array().cloned().unwrap_or_default();
    let mut items = Vec::new();
    for chain in objects.iter().map(|o| &o["chain"]).filter(|c| c["type"] == "filter") {
        let direction = match chain["hook"].as_str() {
            Some("input") => Some("In"),
            Some("output") => Some("Out"),
            Some("forward") => None,
            _ => continue,
        };
        let name = chain["name"].as_str().unwrap_or("").to_owned();
        let same = |r: &&Value| ["family", "table"].iter().all(|k| r[*k] == chain[*k]) && r["chain"] == chain["name"];
        let mut priority = 0;
        for rule in objects.iter().map(|o| &o["rule"]).filter(same) {
            let mut entry = nft_rule(rule);
            entry.insert("Priority".to_owned(), json!(priority));
            entry.insert("ChainName".to_owned(), json!(name));
            if let Some(direction) = direction {
                entry.insert("Direction".to_owned(), json!(direction));
            }
            priority += 1;
            items.push(entry);
        }
        let policy = chain["policy"].as_str().unwrap_or("accept");
        let mut entry = item(json!({
            "Enabled": true, "Action": action(policy), "ChainName": name, "Priority": priority,
        }));
        if let Some(direction) = direction {
            entry.insert("Direction".to_owned(), json!(direction));
        }
        items.push(entry);
    }
    Ok(items)
}

fn nft_rule(rule: &Value) -> Item {
    let mut verdict = "Other";
    let mut entry = item(json!({ "Enabled": true }));
    let mut rest = Vec::new();
    for part in rule["expr"].as_array().into_iter().flatten() {
        let matched = &part["match"];
        let field = matched["left"]["payload"]["field"].as_str().unwrap_or("");
        let protocol = matched["left"]["payload"]["protocol"].as_str().unwrap_or("");
        let right = nft_value(&matched["right"]);
        match (field, matched["op"].as_str()) {
            ("saddr", Some("==")) => entry.insert("SourceAddress".to_owned(), json!(right)),
            ("daddr", Some("==")) => entry.insert("DestinationAddress".to_owned(), json!(right)),
            ("sport", Some("==")) => {
                entry.insert("Protocol".to_owned(), json!(protocol));
                entry.insert("SourcePort".to_owned(), json!(right))
            }
            ("dport", Some("==")) => {
                entry.insert("Protocol".to_owned(), json!(protocol));
                entry.insert("DestinationPort".to_owned(), json!(right))
            }
            _ => {
                if let Some(object) = part.as_object() {
                    for key in object.keys() {
                        match key.as_str() {
                            "accept" | "drop" | "reject" => verdict = action(key),
                            "counter" => {}
                            _ => rest.push(part.to_string()),
                        }
                    }
                }
                None
            }
        };
    }
    // A condition that has no field here narrows the rule, so it must not look as wide as it would without.
    if !rest.is_empty() {
        let text: String = rest.join(" ").chars().take(1000).collect();
        entry.insert("ExtraDetails".to_owned(), json!({ "Conditions": text }));
        verdict = "Other";
    }
    entry.insert("Action".to_owned(), json!(verdict));
    entry
}

/// An address, port, prefix, range or set, as text.
fn nft_value(value: &Value) -> String {
    if let Some(prefix) = value.get("prefix") {
        return format!("{}/{}", nft_value(&prefix["addr"]), prefix["len"]);
    }
    if let Some(range) = value.get("range").and_then(Value::as_array) {
        return range.iter().map(nft_value).collect::<Vec<_>>().join("-");
    }
    if let Some(set) = value.get("set").and_then(Value::as_array) {
        return set.iter().map(nft_value).collect::<Vec<_>>().join(",");
    }
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn from_iptables(text: &str) -> Vec<Item> {
    let direction = |chain: &str| match chain {
        "INPUT" => Some("In"),
        "OUTPUT" => Some("Out"),
        _ => None,
    };
    let mut policies: Vec<(String, String)> = Vec::new();
    let mut rules: Vec<(String, Item)> = Vec::new();
    for line in text.lines() {
        if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_whitespace();
            if let (Some(name), Some(policy)) = (words.next(), words.next())
                && policy != "-"
            {
                policies.push((name.to_owned(), policy.to_owned()));
            }
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let chain = rule.split_whitespace().next().unwrap_or("").to_owned();
            rules.push((chain, iptables_rule(rule)));
        }
    }
    let mut items = Vec::new();
    for (chain, policy) in policies {
        let of_chain = rules.iter().filter(|(c, _)| *c == chain).map(|(_, item)| item.clone());
        let last = item(json!({ "Enabled": true, "Action": action(&policy) }));
        for (priority, mut entry) in of_chain.chain(std::iter::once(last)).enumerate() {
            entry.insert("ChainName".to_owned(), json!(chain));
            entry.insert("Priority".to_owned(), json!(priority));
            if let Some(direction) = direction(&chain) {
                entry.insert("Direction".to_owned(), json!(direction));
            }
            items.push(entry);
        }
    }
    items
}

fn iptables_rule(rule: &str) -> Item {
    let mut entry = item(json!({ "Enabled": true }));
    let mut verdict = "Other";
    let mut rest = Vec::new();
    let mut words = rule.split_whitespace().skip(1);
    while let Some(word) = words.next() {
        let name = match word {
            "-s" => "SourceAddress",
            "-d" => "DestinationAddress",
            "-p" => "Protocol",
            "--sport" | "--sports" => "SourcePort",
            "--dport" | "--dports" => "DestinationPort",
            "-j" => {
                verdict = action(words.next().unwrap_or(""));
                continue;
            }
            "-m" => {
                // The match's own options follow; tcp, udp and multiport only introduce the ports.
                let module = words.next().unwrap_or("");
                if !matches!(module, "tcp" | "udp" | "multiport" | "comment") {
                    rest.push(format!("-m {module}"));
                }
                continue;
            }
            other => {
                rest.push(other.to_owned());
                continue;
            }
        };
        let value = words.next().unwrap_or("").replace(':', if name.ends_with("Port") { "-" } else { ":" });
        entry.insert(name.to_owned(), json!(value));
    }
    if !rest.is_empty() {
        entry.insert("ExtraDetails".to_owned(), json!({ "Conditions": rest.join(" ") }));
        verdict = "Other";
    }
    entry.insert("Action".to_owned(), json!(verdict));
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iptables() {
        let items = from_iptables(
            "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:DOCKER - [0:0]\n\
             -A INPUT -p tcp -m tcp --dport 1337 -j ACCEPT\n-A INPUT -s 192.0.2.0/24 -j DROP\n\
             -A INPUT -m state --state ESTABLISHED -j ACCEPT\nCOMMIT\n",
        );
        assert_eq!(items.len(), 5);
        assert_eq!(items[0]["DestinationPort"], "1337");
        assert_eq!(items[0]["Action"], "Allow");
        assert_eq!(items[1]["Action"], "Deny");
        assert_eq!(items[2]["Action"], "Other", "a rule narrowed by its state is not wide open");
        assert_eq!((&items[3]["Action"], &items[3]["Priority"]), (&json!("Allow"), &json!(3)));
        assert_eq!(items[4]["ChainName"], "FORWARD");
        assert!(items[4].get("Direction").is_none());
    }

    #[test]
    fn nftables() {
        let ruleset = json!({"nftables": [
            {"chain": {"family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input", "policy": "drop"}},
            {"rule": {"family": "inet", "table": "filter", "chain": "input", "expr": [
                {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [22, 80]}}},
                {"accept": null}]}},
            {"rule": {"family": "inet", "table": "filter", "chain": "input", "expr": [
                {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established"]}}, {"accept": null}]}},
        ]});
        let items = from_nft(ruleset.to_string().as_bytes()).expect("read");
        assert_eq!(items.len(), 3);
        assert_eq!(items[0]["DestinationPort"], "22,80");
        assert_eq!(items[0]["Action"], "Allow");
        assert_eq!(items[1]["Action"], "Other");
        assert_eq!((&items[2]["Action"], &items[2]["Priority"]), (&json!("Deny"), &json!(2)));
    }
}
