//! The members of a 7-Zip archive.

use super::archive::{Fault, Flow, Place, Unpacker};
use super::budget::Unpacked;
use super::seven_head;
use sevenz_rust2::{Archive, ArchiveEntry, Block, BlockDecoder, EncoderMethod, Error, Password};
use std::cell::Cell;
use std::io::{self, BufReader, Read, Seek};
use std::ops::ControlFlow;

impl Unpacker<'_> {
    /// Reads a 7-Zip archive of that many bytes, block by block.
    pub(super) fn seven<F: Read + Seek>(&mut self, file: &mut F, bytes: u64, place: &Place) -> Flow {
        let mut file = BufReader::new(file);
        let windows = match seven_head::windows(&mut file, self.budget.limits) {
            Ok(windows) => windows,
            Err(fault) => return self.refuse(place, fault),
        };
        let no_password = Password::empty();
        let archive = match Archive::read(&mut file, &no_password) {
            Ok(archive) => archive,
            Err(e) => return self.failed(place, e),
        };
        for entry in archive.files.iter().filter(|entry| !has_data(entry)) {
            self.count_member(place)?;
            if !entry.is_directory && !entry.is_anti_item {
                self.member(place.member(entry.name.as_bytes()), &mut io::empty())?;
            }
        }
        let packed_bytes = Cell::new(bytes);
        for (block_idx, block) in archive.blocks.iter().enumerate() {
            let decoder = BlockDecoder::new(1, block_idx, &archive, &no_password, &mut file);
            if is_encrypted(block) {
                for entry in decoder.entries().iter().filter(|entry| has_data(entry)) {
                    self.count_member(place)?;
                    self.locked(&place.member(entry.name.as_bytes()))?;
                }
                continue;
            }
            let window_mb = windows.get(block_idx).map_or(u64::MAX, |bytes| bytes.div_ceil(1 << 20));
            if window_mb > self.budget.limits.window_mb {
                let reason = format!("unpacking takes {window_mb} MiB, at most {} are allowed", self.budget.limits.window_mb);
                self.refuse(place, Fault::limit(reason))?;
                continue;
            }
            let mut flow = ControlFlow::Continue(());
            let read = decoder.for_each_entries(&mut |entry: &ArchiveEntry, from: &mut dyn Read| {
                if !has_data(entry) {
                    return Ok(true);
                }
                let mut from = Unpacked::new(from, self.budget, &packed_bytes);
                flow = self.count_member(place);
                if flow.is_continue() {
                    flow = self.member(place.member(entry.name.as_bytes()), &mut from);
                }
                // The next entry comes after all of this one; here what is skipped is counted.
                let skipped = flow.is_break() || io::copy(&mut from, &mut io::sink()).is_ok();
                if skipped { Ok(flow.is_continue()) } else { Err(Error::Other("the rest of its block is lost".into())) }
            });
            flow?;
            if let Err(e) = read {
                self.failed(place, e)?;
            }
        }
        ControlFlow::Continue(())
    }
}

fn has_data(entry: &ArchiveEntry) -> bool {
    entry.has_stream && entry.size > 0
}

fn is_encrypted(block: &Block) -> bool {
    block.coders.iter().any(|coder| coder.encoder_method_id() == EncoderMethod::ID_AES256_SHA256)
}
