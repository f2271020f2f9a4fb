//! `turnstone doctor`: looks at each thing that must work, in order, and says what to do about the first that does not.

use crate::Failure;
use crate::client::{Client, ServerOptions};
use crate::output::Result as Table;
use crate::settings::Endpoints;
use clap::Args;
use std::path::Path;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    server: ServerOptions,
}

/// Less free space than this and the log may soon have no room.
const FREE_BYTES_MIN: u64 = 1 << 30;

struct Report {
    failed: bool,
}

impl Report {
    fn line(&mut self, what: &str, finding: Result<String, String>) -> bool {
        let is_ok = finding.is_ok();
        self.failed |= !is_ok;
        let (mark, text) = match finding {
            Ok(text) => ("ok  ", text),
            Err(text) => ("FAIL", text),
        };
        println!("{mark}  {what}: {text}");
        is_ok
    }
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let mut report = Report { failed: false };
    let data = options.server.data_folder();
    let is_local = options.server.url.is_none();
    if is_local && !check_folder(&mut report, &data) {
        return finish(&report);
    }
    let client = match Client::new(&options.server) {
        Ok(client) => client,
        Err(failure) => {
            report.line("access", Err(failure.message));
            return finish(&report);
        }
    };
    let health = client.get("/healthz").map(|_| format!("{} answers", client.url)).map_err(|r| {
        let hint = if is_local { "; start it with 'turnstone up'" } else { "" };
        format!("{}{hint}", r.message)
    });
    if !report.line("server", health) {
        return finish(&report);
    }
    let query = |text: &str| client.query("default", text).map(|a| a.tables).map_err(|r| r.message);
    let access = query("print 1").map(|_| "the token is good and queries run".to_owned());
    if !report.line("queries", access) {
        return finish(&report);
    }
    let listed = client.get("/api/v1/devices").map_err(|r| r.message);
    let devices =
        listed.as_ref().map_err(Clone::clone).and_then(|answer| match answer["value"].as_array().map_or(0, Vec::len) {
            0 => Err("there are none; make one with 'turnstone device create ID'".to_owned()),
            n => Ok(format!("{n} known to the hub")),
        });
    report.line("devices", devices);
    let last = listed.and_then(|answer| {
        let times = answer["value"].as_array().into_iter().flatten().filter_map(|d| d["lastActivityTime"].as_str());
        match times.max() {
            None => Err("nothing has come from any device; 'turnstone-agent doctor' on a device tells why".to_owned()),
            Some(time) => Ok(format!("something last came at {time}")),
        }
    });
    report.line("data", last);
    let refused =
        query("Operation | where TimeGenerated > ago(1d) and OperationStatus == 'Failed' | count").and_then(|t| {
            let count = t.first().map(Table::from_kusto).and_then(|t| t.rows.first()?.first()?.as_u64()).unwrap_or(0);
            match count {
                0 => Ok("no message was refused in the last day".to_owned()),
                1 => {
                    Err("a message was refused in the last day; turnstone query 'Operation | take 10' tells why"
                        .to_owned())
                }
                n => Err(format!(
                    "{n} messages were refused in the last day; turnstone query 'Operation | take 10' tells why"
                )),
            }
        });
    report.line("messages", refused);
    finish(&report)
}

fn check_folder(report: &mut Report, data: &Path) -> bool {
    let folder = if Endpoints::load(data).is_some() {
        Ok(data.display().to_string())
    } else {
        Err(format!(
            "no server has run with {}; start one with 'turnstone up', or name its folder with --data",
            data.display()
        ))
    };
    if !report.line("data folder", folder) {
        return false;
    }
    let space = nix::sys::statvfs::statvfs(data).map_err(|e| e.to_string()).and_then(|stat| {
        let free = stat.blocks_available() * stat.fragment_size();
        let text = format!("{:.1} GB free", free as f64 / 1e9);
        if free >= FREE_BYTES_MIN { Ok(text) } else { Err(format!("{text}; rows are refused once it is full")) }
    });
    report.line("disk", space);
    true
}

fn finish(report: &Report) -> Result<(), Failure> {
    if report.failed { Err(Failure::run("something needs attention")) } else { Ok(()) }
}
