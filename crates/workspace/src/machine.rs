//! What the machine has.

use std::path::Path;

/// The memory of a machine that does not say how much it has.
const MEMORY_BYTES_UNKNOWN: usize = 2 << 30;

/// The memory of the machine, in bytes.
pub(crate) fn memory_bytes() -> usize {
    let kilobytes = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().trim_end_matches("kB").trim().parse::<usize>().ok()
    };
    let found = std::fs::read_to_string("/proc/meminfo").ok().and_then(kilobytes);
    found.map_or(MEMORY_BYTES_UNKNOWN, |kilobytes| kilobytes * 1024)
}

/// The room on a disk.
pub(crate) struct DiskBytes {
    pub total: u64,
    /// What can still be written by anybody.
    pub free: u64,
}

/// The room on the disk that a folder is on; `None` where the system does not say.
pub(crate) fn disk_bytes(folder: &Path) -> Option<DiskBytes> {
    let stat = nix::sys::statvfs::statvfs(folder).ok()?;
    let block = stat.fragment_size();
    Some(DiskBytes { total: stat.blocks() * block, free: stat.blocks_available() * block })
}
