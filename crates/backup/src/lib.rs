//! Back-ups: generations of a folder, in another folder.
//!
//! A generation is a list of files with their sizes and digests, `generations/{time}.json`. Contents are kept once each,
//! however many generations have them, in `objects/` by their SHA-256. A file that has its size and time of the
//! generation before is not read again: what is new costs what it is large. A generation is there when its list is,
//! and the list is written last.

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// The version of what a back-up's folder holds.
const FORMAT_VERSION: u32 = 1;
const MARK: &str = "turnstone-backup.json";
const OBJECTS: &str = "objects";
const GENERATIONS: &str = "generations";
const COPY_BYTES: usize = 1 << 20;

/// What went wrong with a back-up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{0} holds other things and no back-up; name an empty folder or one of earlier back-ups")]
    NoBackup(PathBuf),
    #[error("{path} has format version {found}, this program reads version {FORMAT_VERSION}")]
    FormatVersion { path: PathBuf, found: u32 },
    #[error("{path} is damaged: {problem}")]
    Damaged { path: PathBuf, problem: String },
    #[error("there is no generation '{0}' in this back-up")]
    NoGeneration(String),
    #[error("{0} is not empty; restore into a new folder")]
    NotEmpty(PathBuf),
}

pub type Result<T> = std::result::Result<T, Error>;

fn at(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.into();
    move |source| Error::Io { path, source }
}

/// A file of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// Below the folder, with slashes.
    path: String,
    size: u64,
    /// When it was last changed, in nanoseconds since 1970.
    changed_nanos: i64,
    mode: u32,
    sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct List {
    format_version: u32,
    files: Vec<Entry>,
}

/// A folder that goes into a generation.
#[derive(Debug, Clone)]
pub struct Source {
    pub folder: PathBuf,
    /// Where its files stand in the generation, with a slash at the end; empty for its root.
    pub below: &'static str,
    /// Which of its files and folders are taken, by their paths in it.
    pub is_wanted: fn(&str) -> bool,
}

/// What adding a generation did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    pub generation: String,
    pub files: usize,
    pub bytes: u64,
    /// What was not in the back-up before.
    pub new_bytes: u64,
}

/// A generation, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    pub name: String,
    pub files: usize,
    pub bytes: u64,
}

/// A folder of back-ups.
#[derive(Debug)]
pub struct Backup {
    folder: PathBuf,
}

impl Backup {
    /// Opens a folder of back-ups, or makes it of an empty or missing one.
    pub fn open_or_create(folder: &Path) -> Result<Backup> {
        private_folder(folder)?;
        let mark = folder.join(MARK);
        if !mark.exists() {
            if std::fs::read_dir(folder).map_err(at(folder))?.next().is_some() {
                return Err(Error::NoBackup(folder.to_owned()));
            }
            write_whole(&mark, format!("{{\"format_version\":{FORMAT_VERSION}}}\n").as_bytes())?;
        }
        Backup::open(folder)
    }

    /// Opens a folder of back-ups.
    pub fn open(folder: &Path) -> Result<Backup> {
        #[derive(Deserialize)]
        struct Mark {
            format_version: u32,
        }
        let path = folder.join(MARK);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoBackup(folder.to_owned()));
            }
            read => read.map_err(at(&path))?,
        };
        let mark: Mark = read_json(&path, &text)?;
        if mark.format_version != FORMAT_VERSION {
            return Err(Error::FormatVersion { path, found: mark.format_version });
        }
        Ok(Backup { folder: folder.to_owned() })
    }

    /// Adds what is in some folders as a new generation. Nothing may change them meanwhile.
    pub fn add(&self, sources: &[Source]) -> Result<Added> {
        let before: BTreeMap<String, Entry> = match self.names()?.last() {
            Some(name) => self.list(name)?.files.into_iter().map(|entry| (entry.path.clone(), entry)).collect(),
            None => BTreeMap::new(),
        };
        let mut added = Added { generation: self.next_name()?, files: 0, bytes: 0, new_bytes: 0 };
        let mut files = Vec::new();
        let mut paths = Vec::new();
        for source in sources {
            walk(source, &source.folder, &mut paths)?;
        }
        for (path, relative) in paths {
            let metadata = path.metadata().map_err(at(&path))?;
            let changed_nanos = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
            let (size, mode) = (metadata.len(), metadata.mode() & 0o777);
            let same = before.get(&relative).filter(|known| known.size == size && known.changed_nanos == changed_nanos);
            let sha256 = match same.filter(|known| self.object(&known.sha256).exists()) {
                Some(known) => known.sha256.clone(),
                None => {
                    let (sha256, is_new) = self.keep(&path)?;
                    added.new_bytes += if is_new { size } else { 0 };
                    sha256
                }
            };
            added.files += 1;
            added.bytes += size;
            files.push(Entry { path: relative, size, changed_nanos, mode, sha256 });
        }
        let list = List { format_version: FORMAT_VERSION, files };
        let folder = self.folder.join(GENERATIONS);
        private_folder(&folder)?;
        let path = folder.join(format!("{}.json", added.generation));
        write_whole(&path, &serde_json::to_vec(&list).map_err(|e| at(&path)(e.into()))?)?;
        Ok(added)
    }

    /// The generations, oldest first.
    pub fn generations(&self) -> Result<Vec<Generation>> {
        let describe = |name: String| {
            let files = self.list(&name)?.files;
            Ok(Generation { name, files: files.len(), bytes: files.iter().map(|file| file.size).sum() })
        };
        self.names()?.into_iter().map(describe).collect()
    }

    /// Writes a generation, the newest if none is named, into a new folder; each file is compared with its digest. When
    /// this fails, what was written is no whole folder.
    pub fn restore(&self, generation: Option<&str>, target: &Path) -> Result<Generation> {
        let names = self.names()?;
        let wanted = generation.map(str::to_owned).or_else(|| names.last().cloned()).unwrap_or_default();
        if !names.contains(&wanted) {
            return Err(Error::NoGeneration(wanted));
        }
        private_folder(target)?;
        if std::fs::read_dir(target).map_err(at(target))?.next().is_some() {
            return Err(Error::NotEmpty(target.to_owned()));
        }
        let files = self.list(&wanted)?.files;
        let mut folders = HashSet::new();
        for entry in &files {
            let path = below(target, &entry.path)?;
            if let Some(parent) = path.parent()
                && folders.insert(parent.to_owned())
            {
                private_folder(parent)?;
            }
            let object = self.object(&entry.sha256);
            let output =
                OpenOptions::new().write(true).create_new(true).mode(entry.mode).open(&path).map_err(at(&path))?;
            let (sha256, size) = copy(&object, output, &path)?;
            if sha256 != entry.sha256 || size != entry.size {
                return Err(Error::Damaged { path: object, problem: format!("it is not what '{}' was", entry.path) });
            }
        }
        for folder in folders {
            sync_folder(&folder)?;
        }
        Ok(Generation { name: wanted, files: files.len(), bytes: files.iter().map(|file| file.size).sum() })
    }

    /// Removes all but the newest generations, and what only those had. The bytes that it freed.
    pub fn prune(&self, keep: usize) -> Result<u64> {
        let names = self.names()?;
        let (gone, kept) = names.split_at(names.len().saturating_sub(keep.max(1)));
        for name in gone {
            let path = self.list_path(name);
            std::fs::remove_file(&path).map_err(at(&path))?;
        }
        let mut used: HashSet<String> = HashSet::new();
        for name in kept {
            used.extend(self.list(name)?.files.into_iter().map(|entry| entry.sha256));
        }
        let objects = self.folder.join(OBJECTS);
        let mut freed = 0;
        for shelf in entries(&objects)? {
            for path in entries(&shelf)? {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                if !used.contains(&name) {
                    freed += path.metadata().map_err(at(&path))?.len();
                    std::fs::remove_file(&path).map_err(at(&path))?;
                }
            }
        }
        Ok(freed)
    }

    /// Names sort by their time.
    fn names(&self) -> Result<Vec<String>> {
        let folder = self.folder.join(GENERATIONS);
        let name = |path: PathBuf| path.file_name()?.to_str()?.strip_suffix(".json").map(str::to_owned);
        let mut names: Vec<String> = entries(&folder)?.into_iter().filter_map(name).collect();
        names.sort();
        Ok(names)
    }

    /// A name later than all others, whatever the clock says.
    fn next_name(&self) -> Result<String> {
        let now: String = kql::datetime::format(kql::datetime::now()).replace(':', "-");
        Ok(match self.names()?.last() {
            Some(last) if *last >= now => format!("{last}+"),
            _ => now,
        })
    }

    fn list_path(&self, generation: &str) -> PathBuf {
        self.folder.join(GENERATIONS).join(format!("{generation}.json"))
    }

    fn list(&self, generation: &str) -> Result<List> {
        let path = self.list_path(generation);
        let list: List = read_json(&path, &std::fs::read(&path).map_err(at(&path))?)?;
        match list.format_version {
            FORMAT_VERSION => Ok(list),
            found => Err(Error::FormatVersion { path, found }),
        }
    }

    fn object(&self, sha256: &str) -> PathBuf {
        self.folder.join(OBJECTS).join(sha256.get(..2).unwrap_or_default()).join(sha256)
    }

    /// Keeps the contents of a file. Its digest, and whether it was not there before.
    fn keep(&self, path: &Path) -> Result<(String, bool)> {
        let objects = self.folder.join(OBJECTS);
        private_folder(&objects)?;
        let temporary = self.folder.join(format!("{}.part", uuid::Uuid::new_v4().simple()));
        let mut options = OpenOptions::new();
        let output = options.write(true).create_new(true).mode(0o600).open(&temporary).map_err(at(&temporary))?;
        let copied = copy(path, output, &temporary).and_then(|(sha256, _)| {
            let object = self.object(&sha256);
            if object.exists() {
                std::fs::remove_file(&temporary).map_err(at(&temporary))?;
                return Ok((sha256, false));
            }
            let shelf = object.parent().unwrap_or(&objects);
            private_folder(shelf)?;
            std::fs::rename(&temporary, &object).map_err(at(&object))?;
            sync_folder(shelf)?;
            Ok((sha256, true))
        });
        copied.inspect_err(|_| drop(std::fs::remove_file(&temporary)))
    }
}

/// The files below a folder of a source with their paths in the generation, in order.
fn walk(source: &Source, folder: &Path, found: &mut Vec<(PathBuf, String)>) -> Result<()> {
    let mut paths = entries(folder)?;
    paths.sort();
    for path in paths {
        let relative = path.strip_prefix(&source.folder).unwrap_or(&path).to_string_lossy().into_owned();
        if !(source.is_wanted)(&relative) {
            continue;
        }
        let kind = path.symlink_metadata().map_err(at(&path))?.file_type();
        if kind.is_dir() {
            walk(source, &path, found)?;
        } else if kind.is_file() {
            found.push((path, format!("{}{relative}", source.below)));
        }
    }
    Ok(())
}

/// What is in a folder; nothing when there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(at(folder))?,
    };
    read.map(|entry| Ok(entry.map_err(at(folder))?.path())).collect()
}

/// Copies a file and makes the copy durable. The digest and the size.
fn copy(from: &Path, mut output: File, to: &Path) -> Result<(String, u64)> {
    let mut input = File::open(from).map_err(at(from))?;
    let mut digest = Context::new(&SHA256);
    let mut part = vec![0; COPY_BYTES];
    let mut size = 0;
    loop {
        let read = input.read(&mut part).map_err(at(from))?;
        if read == 0 {
            break;
        }
        digest.update(&part[..read]);
        output.write_all(&part[..read]).map_err(at(to))?;
        size += read as u64;
    }
    output.sync_all().map_err(at(to))?;
    Ok((digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect(), size))
}

/// Writes a file so that it is there as a whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("part");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(at(&temporary))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(&temporary))?;
    std::fs::rename(&temporary, path).map_err(at(path))?;
    sync_folder(path.parent().unwrap_or(path))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|e| Error::Damaged { path: path.to_owned(), problem: e.to_string() })
}

/// A path of a list, which must not lead out of the folder.
fn below(folder: &Path, relative: &str) -> Result<PathBuf> {
    let is_plain = Path::new(relative).components().all(|part| matches!(part, Component::Normal(_)));
    match is_plain {
        true => Ok(folder.join(relative)),
        false => Err(Error::Damaged { path: folder.to_owned(), problem: format!("'{relative}' leads out of it") }),
    }
}

/// A folder that only its owner may look into: back-ups hold keys.
fn private_folder(folder: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(at(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(folder: &Path) -> [Source; 1] {
        [Source { folder: folder.to_owned(), below: "", is_wanted: |path| path != "skipped" }]
    }

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    fn read(folder: &Path, name: &str) -> String {
        std::fs::read_to_string(folder.join(name)).expect(name)
    }

    #[test]
    fn generations_share_what_they_have_in_common_and_come_back_as_they_were() {
        let home = tempfile::tempdir().expect("a folder");
        let (source, folder) = (home.path().join("source"), home.path().join("backup"));
        write(&source, "a/large", &"x".repeat(1000));
        write(&source, "b", "first");
        write(&source, "skipped", "no");
        let backup = Backup::open_or_create(&folder).expect("made");
        let first = backup.add(&self::source(&source)).expect("added");
        assert_eq!((first.files, first.bytes, first.new_bytes), (2, 1005, 1005));
        write(&source, "b", "second!");
        std::fs::rename(source.join("a/large"), source.join("moved")).expect("moved");
        let second = Backup::open_or_create(&folder).expect("opened").add(&self::source(&source)).expect("added");
        assert_eq!((second.files, second.new_bytes), (2, 7), "what has moved is known by its contents");
        assert!(second.generation > first.generation);
        let old = home.path().join("old");
        backup.restore(Some(&first.generation), &old).expect("restored");
        assert_eq!((read(&old, "a/large").len(), read(&old, "b")), (1000, "first".to_owned()));
        let new = home.path().join("new");
        assert_eq!(backup.restore(None, &new).expect("restored").name, second.generation);
        assert_eq!((read(&new, "moved").len(), read(&new, "b")), (1000, "second!".to_owned()));
        assert!(!new.join("skipped").exists());
        assert_eq!(backup.prune(1).expect("pruned"), 5);
        assert_eq!(backup.generations().expect("listed").iter().map(|g| g.files).collect::<Vec<_>>(), [2]);
        let after = home.path().join("after");
        backup.restore(None, &after).expect("what is left is whole");
    }

    #[test]
    fn what_cannot_be_restored_is_named() {
        let home = tempfile::tempdir().expect("a folder");
        let (source, folder) = (home.path().join("source"), home.path().join("backup"));
        write(&source, "a", "contents");
        Backup::open_or_create(&source).expect_err("a folder of other things");
        Backup::open(&folder).expect_err("no folder");
        let backup = Backup::open_or_create(&folder).expect("made");
        assert!(matches!(backup.restore(None, &home.path().join("x")), Err(Error::NoGeneration(_))));
        let added = backup.add(&self::source(&source)).expect("added");
        assert!(matches!(backup.restore(None, &source), Err(Error::NotEmpty(_))));
        let list = backup.list(&added.generation).expect("a list");
        let object = backup.object(&list.files[0].sha256);
        std::fs::write(&object, "c0ntents").expect("damaged");
        let error = backup.restore(None, &home.path().join("y")).expect_err("damaged");
        assert!(error.to_string().contains("is not what 'a' was"), "{error}");
        std::fs::write(folder.join(MARK), "{\"format_version\":9}").expect("written");
        assert!(matches!(Backup::open(&folder), Err(Error::FormatVersion { found: 9, .. })));
    }
}
