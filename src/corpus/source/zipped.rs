//! The members of a zip.

use super::archive::{Fault, Flow, Place, Unpacker};
use super::budget::Unpacked;
use std::cell::Cell;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use zip::read::{Config, ZipFile, ZipReadOptions, read_zipfile_from_stream};
use zip::unstable::read::ZipIterable;

const ENCRYPTED: &str = "encrypted";

impl Unpacker<'_> {
    /// Reads a zip of that many bytes by its table, or from its start where the table is lost.
    pub(super) fn zip<F: Read + Seek>(&mut self, file: &mut F, bytes: u64, place: &Place) -> Flow {
        let mut file = BufReader::new(file);
        let mut archive = match ZipIterable::try_new(&mut file, Config::default()) {
            Ok(archive) => archive,
            Err(e) => {
                self.refuse(place, Fault::damaged(format!("no table of members ({e}); reading what comes before")))?;
                return self.zip_without_table(&mut file, place);
            }
        };
        // Each entry of the table takes 46 bytes or more.
        let n_members = archive.len();
        if n_members as u64 > self.budget.limits.members_max || n_members as u64 > bytes / 46 {
            let reason = format!("{n_members} members, at most {} are read", self.budget.limits.members_max.min(bytes / 46));
            return self.refuse(place, Fault::limit(reason));
        }
        let Ok(files) = archive.files() else {
            return self.refuse(place, Fault::damaged("the table of members lies outside"));
        };
        while let Some(entry) = files.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) => return self.failed(place, format!("{e}; the rest of the table is lost")),
            };
            self.count_member(place)?;
            let member = place.member(entry.name_raw());
            if entry.is_dir() || entry.name_raw().ends_with(b"/") {
                continue;
            }
            if entry.is_symlink() {
                self.other()?;
                continue;
            }
            if entry.encrypted() {
                self.locked(&member)?;
                continue;
            }
            let packed_bytes = Cell::new(entry.compressed_size());
            match entry.with_reader(files.reader_mut(), ZipReadOptions::new()) {
                Ok(from) => self.member(member, &mut Unpacked::new(from, self.budget, &packed_bytes))?,
                Err(e) => self.unreadable(&member, e)?,
            }
        }
        ControlFlow::Continue(())
    }

    /// What a cut zip still holds: each member says itself what it is.
    fn zip_without_table<F: Read + Seek>(&mut self, file: &mut BufReader<F>, place: &Place) -> Flow {
        if file.seek(SeekFrom::Start(0)).is_err() {
            return ControlFlow::Continue(());
        }
        // The end of the file, or of what can be made out, ends it: that it is damaged was told.
        while let Ok(Some(from)) = read_zipfile_from_stream(file) {
            self.count_member(place)?;
            self.zip_member(from, place)?;
        }
        ControlFlow::Continue(())
    }

    fn zip_member<R: Read>(&mut self, from: ZipFile<'_, R>, place: &Place) -> Flow {
        let member = place.member(from.name_raw());
        if from.is_dir() {
            return ControlFlow::Continue(());
        }
        if from.encrypted() {
            return self.locked(&member);
        }
        let packed_bytes = Cell::new(from.compressed_size());
        self.member(member, &mut Unpacked::new(from, self.budget, &packed_bytes))
    }

    /// A member behind a password.
    pub(super) fn locked(&mut self, member: &Place) -> Flow {
        if !member.is_wanted() {
            return self.other();
        }
        self.refuse(member, Fault { kind: ENCRYPTED, reason: "encrypted, there is no way to give a password".to_string() })
    }

    /// A member that cannot be started.
    fn unreadable(&mut self, member: &Place, error: impl ToString) -> Flow {
        if member.is_wanted() { self.failed(member, error) } else { self.other() }
    }
}
