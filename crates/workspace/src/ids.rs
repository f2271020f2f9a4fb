//! The ids of events that were stored lately, so that a sender's repeat is recognised.
//!
//! Ids are kept by the UTC day of their arrival, for that day and the next. They are in the log with their rows;
//! before a segment of the log goes, its ids are written to `ids/{day}.ids`, 16 bytes each.

use crate::catalog_file::sync_folder;
use crate::error::{Result, at};
use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// At most this many ids of one day are remembered (640 MB); beyond, repeats are stored again.
const IDS_PER_DAY_MAX: usize = 20_000_000;

pub(crate) struct RecentIds {
    folder: PathBuf,
    /// The day of `today`, counted from 0001-01-01.
    day: i64,
    today: HashSet<u128>,
    yesterday: HashSet<u128>,
    /// Ids that are in the log but not yet in a file.
    unsaved: Vec<u128>,
}

impl RecentIds {
    /// Reads the ids of `day` and the day before, and forgets older ones. There are later ones where the clock has been
    /// set back: they count among those of the day before.
    pub fn open(data: &Path, day: i64) -> Result<RecentIds> {
        let folder = data.join("ids");
        std::fs::create_dir_all(&folder).map_err(at(&folder))?;
        let mut ids = RecentIds { folder, day, today: HashSet::new(), yesterday: HashSet::new(), unsaved: Vec::new() };
        ids.today = ids.read(day)?;
        ids.forget_old()?;
        ids.yesterday = ids.other_days()?;
        Ok(ids)
    }

    /// The ids of all days that there are files of, but today's.
    fn other_days(&self) -> Result<HashSet<u128>> {
        let mut all = HashSet::new();
        for other in self.days()?.into_iter().filter(|other| *other != self.day) {
            all.extend(self.read(other)?);
        }
        Ok(all)
    }

    /// The days that there are files of.
    fn days(&self) -> Result<Vec<i64>> {
        let mut days = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(at(&self.folder))? {
            let path = entry.map_err(at(&self.folder))?.path();
            days.extend(path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse::<i64>().ok()));
        }
        Ok(days)
    }

    fn path(&self, day: i64) -> PathBuf {
        self.folder.join(format!("{day}.ids"))
    }

    fn read(&self, day: i64) -> Result<HashSet<u128>> {
        let path = self.path(day);
        match std::fs::read(&path) {
            // A torn last id is dropped: its segment of the log still holds it.
            Ok(bytes) => Ok(bytes.as_chunks::<16>().0.iter().map(|b| u128::from_le_bytes(*b)).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(HashSet::new()),
            Err(error) => Err(at(path)(error)),
        }
    }

    fn forget_old(&self) -> Result<()> {
        for old in self.days()?.into_iter().filter(|day| *day < self.day - 1) {
            let path = self.path(old);
            std::fs::remove_file(&path).map_err(at(&path))?;
        }
        Ok(())
    }

    /// Moves on to `day`, if it is another. What was known a moment ago stays known, wherever the clock has jumped to.
    pub fn advance(&mut self, day: i64) -> Result<()> {
        if day == self.day {
            return Ok(());
        }
        self.save()?;
        self.day = day;
        self.today = self.read(day)?;
        self.forget_old()?;
        self.yesterday = self.other_days()?;
        Ok(())
    }

    pub fn contains(&self, id: u128) -> bool {
        self.today.contains(&id) || self.yesterday.contains(&id)
    }

    /// Remembers an id whose rows are about to be written; it goes to a file only when [`RecentIds::logged`] says that
    /// they are.
    pub fn insert(&mut self, id: u128) {
        if self.today.len() < IDS_PER_DAY_MAX {
            self.today.insert(id);
        }
    }

    /// Forgets ids whose rows were not written after all.
    pub fn forget(&mut self, ids: &[u128]) {
        for id in ids {
            self.today.remove(id);
        }
    }

    /// Notes that the rows of these ids are in the log.
    pub fn logged(&mut self, ids: &[u128]) {
        self.unsaved.extend(ids.iter().filter(|id| self.today.contains(id)));
    }

    /// Copies the files of ids below another data folder.
    pub fn copy_to(&self, target: &Path) -> Result<()> {
        let folder = target.join("ids");
        std::fs::create_dir_all(&folder).map_err(at(&folder))?;
        for day in self.days()? {
            let path = self.path(day);
            std::fs::copy(&path, folder.join(format!("{day}.ids"))).map_err(at(&path))?;
        }
        Ok(())
    }

    /// Writes the ids that only the log holds to their file.
    pub fn save(&mut self) -> Result<()> {
        if self.unsaved.is_empty() {
            return Ok(());
        }
        let path = self.path(self.day);
        let mut bytes = Vec::with_capacity(self.unsaved.len() * 16);
        self.unsaved.iter().for_each(|id| bytes.extend_from_slice(&id.to_le_bytes()));
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(at(&path))?;
        // A torn id at the end would shift the ones after it.
        let whole = file.metadata().map_err(at(&path))?.len() / 16 * 16;
        file.set_len(whole).map_err(at(&path))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(at(&path))?;
        sync_folder(&self.folder)?;
        self.unsaved.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(data: &Path, day: i64, id: u128) -> RecentIds {
        let mut ids = RecentIds::open(data, day).expect("opened");
        ids.insert(id);
        ids.logged(&[id]);
        ids.save().expect("saved");
        ids
    }

    #[test]
    fn ids_are_known_that_day_and_the_next() {
        let data = tempfile::tempdir().expect("a folder");
        let mut ids = stored(data.path(), 100, 7);
        for (day, is_known) in [(100, true), (101, true), (102, false)] {
            ids.advance(day).expect("advanced");
            assert_eq!(ids.contains(7), is_known, "day {day}");
        }
    }

    #[test]
    fn ids_stay_known_when_the_clock_is_set_back() {
        let data = tempfile::tempdir().expect("a folder");
        let mut ids = stored(data.path(), 100, 7);
        for day in [97, 98, 100] {
            ids.advance(day).expect("advanced");
            assert!(ids.contains(7), "day {day}");
        }
        drop(ids);
        assert!(RecentIds::open(data.path(), 97).expect("opened").contains(7), "and at the next start");
    }
}
