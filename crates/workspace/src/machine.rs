//! What the machine has.

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
