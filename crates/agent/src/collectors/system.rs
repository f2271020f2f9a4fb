//! What the machine is: system, memory, firmware.

use super::{Item, item};
use serde_json::json;

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

pub fn information() -> Item {
    let release = read("/etc/os-release");
    let field = |name: &str| {
        let line = release.lines().find_map(|l| l.strip_prefix(name).and_then(|l| l.strip_prefix('=')));
        line.map(|v| v.trim_matches('"').to_owned()).unwrap_or_default()
    };
    let memory = read("/proc/meminfo");
    let kilobytes = |names: &[&str]| -> u64 {
        let of = |name: &str| {
            let line = memory.lines().find_map(|l| l.strip_prefix(name).and_then(|l| l.strip_prefix(':')));
            line.and_then(|v| v.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
        };
        names.iter().map(|n| of(n)).sum()
    };
    item(json!({
        "OSName": field("PRETTY_NAME"),
        "OSVersion": read("/proc/sys/kernel/osrelease"),
        "OSVendor": field("ID"),
        "OsArchitecture": std::env::consts::ARCH,
        "HostName": read("/proc/sys/kernel/hostname"),
        "BIOSVersion": read("/sys/class/dmi/id/bios_version"),
        "TotalPhysicalMemoryInKB": kilobytes(&["MemTotal"]),
        "FreePhysicalMemoryInKB": kilobytes(&["MemAvailable"]),
        "TotalVirtualMemoryInKB": kilobytes(&["MemTotal", "SwapTotal"]),
        "FreeVirtualMemoryInKB": kilobytes(&["MemAvailable", "SwapFree"]),
    }))
}
