//! The format of side files: parts of any kind, and a directory that says where they are.
//!
//! | | |
//! |--|--|
//! | parts | one after the other |
//! | directory | JSON |
//! | trailer | the length of the directory and its CRC-32, 32 bits each, little-endian, and [`MAGIC`] |

use crate::error::{Error, Result, at};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The last bytes of a file, with the version of its format. Another version is another file: it is made anew.
const MAGIC: &[u8; 8] = b"TSSIDE01";
const TRAILER_BYTES: usize = 16;
const DIRECTORY_BYTES_MAX: u32 = 64 << 20;

/// A side file that is being written.
pub(super) struct ContainerWriter {
    out: BufWriter<File>,
    path: PathBuf,
    written_bytes: u64,
}

impl ContainerWriter {
    pub fn create(path: &Path) -> Result<ContainerWriter> {
        let out = BufWriter::new(File::create(path).map_err(at(path))?);
        Ok(ContainerWriter { out, path: path.to_owned(), written_bytes: 0 })
    }

    /// Adds a part. Where it begins, in bytes.
    pub fn part(&mut self, bytes: &[u8]) -> Result<u64> {
        self.out.write_all(bytes).map_err(at(&self.path))?;
        let offset = self.written_bytes;
        self.written_bytes += bytes.len() as u64;
        Ok(offset)
    }

    pub fn finish(mut self, directory: &impl Serialize) -> Result<()> {
        let directory = serde_json::to_vec(directory).map_err(|e| Error::Stopped(e.to_string()))?;
        let length = u32::try_from(directory.len()).unwrap_or(u32::MAX);
        self.part(&directory)?;
        self.part(&length.to_le_bytes())?;
        self.part(&crc32fast::hash(&directory).to_le_bytes())?;
        self.part(MAGIC)?;
        self.out.flush().map_err(at(&self.path))
    }
}

/// Reads the directory of a side file, and how many bytes the parts and the directory take; `None` where there is no such
/// file.
pub(super) fn read_directory<D: DeserializeOwned>(path: &Path) -> Result<Option<(D, u64, u64)>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(at(path))?,
    };
    let bytes = file.metadata().map_err(at(path))?.len();
    let from = bytes.checked_sub(TRAILER_BYTES as u64).ok_or_else(|| damaged(path, bytes, "it is too short"))?;
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact_at(&mut trailer, from).map_err(at(path))?;
    let number = |at: usize| u32::from_le_bytes([trailer[at], trailer[at + 1], trailer[at + 2], trailer[at + 3]]);
    let (length, checksum) = (number(0), number(4));
    let parts_bytes = from.checked_sub(u64::from(length));
    let Some(parts_bytes) = parts_bytes.filter(|_| &trailer[8..] == MAGIC && length <= DIRECTORY_BYTES_MAX) else {
        return Err(damaged(path, from, "it does not end as a side file does"));
    };
    let mut directory = vec![0; length as usize];
    file.read_exact_at(&mut directory, parts_bytes).map_err(at(path))?;
    if crc32fast::hash(&directory) != checksum {
        return Err(damaged(path, parts_bytes, "the checksum of its directory is wrong"));
    }
    let directory = serde_json::from_slice(&directory).map_err(|e| damaged(path, parts_bytes, &e.to_string()))?;
    Ok(Some((directory, parts_bytes, u64::from(length))))
}

/// Reads bytes of a part.
pub(super) fn read_part(path: &Path, offset: u64, bytes: usize) -> Result<Vec<u8>> {
    let mut part = vec![0; bytes];
    File::open(path).and_then(|file| file.read_exact_at(&mut part, offset)).map_err(at(path))?;
    Ok(part)
}

pub(super) fn damaged(path: &Path, offset: u64, problem: &str) -> Error {
    Error::Damaged { path: path.to_owned(), offset, problem: problem.to_owned() }
}
