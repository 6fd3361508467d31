//! Reading every byte of a data set.

use super::dataset::Dataset;
use super::group::Group;
use super::layout::HINT_AGAIN;
use super::ledger::open_ledger;
use super::reader::Shard;
use crate::base::signal::Stop;
use crate::base::{Error, Result};
use rayon::prelude::*;

/// Blocks that the cores share out between two looks at the clock: a few milliseconds of work.
const BLOCKS_AT_ONCE: u64 = 64;

/// What was read and found sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Shard files.
    pub files: u64,
    /// Blocks whose checksum holds.
    pub blocks: u64,
    /// Records whose numbers and planes hold.
    pub positions: u64,
    /// Bytes read.
    pub bytes: u64,
}

/// Checks every block, every record, the ledger and every group's files of `dataset`; `tick` gets the positions done so far.
///
/// # Errors
/// The first thing wrong, with file and byte offset; [`Error::stopped`] when asked to stop.
pub fn verify(dataset: &Dataset, stop: &Stop, mut tick: impl FnMut(u64)) -> Result<Verified> {
    let mut done = Verified::default();
    for (shard, entry) in dataset.shards().iter().zip(&dataset.manifest().shards) {
        for first in (0..shard.n_blocks()).step_by(BLOCKS_AT_ONCE as usize) {
            if stop.requested() {
                return Err(Error::stopped(shard.path().display(), format!("stopped at block {first}")));
            }
            let blocks = first..shard.n_blocks().min(first + BLOCKS_AT_ONCE);
            // In order, so that the first thing wrong is told whichever core came upon something first.
            let found: Vec<Result<()>> = blocks.clone().into_par_iter().map(|block| verify_block(shard, block)).collect();
            found.into_iter().collect::<Result<()>>()?;
            done.blocks += blocks.clone().count() as u64;
            done.positions += blocks.map(|block| shard.block_positions(block).count() as u64).sum::<u64>();
            tick(done.positions);
        }
        done.files += 1;
        done.bytes += entry.bytes;
    }
    for entry in &dataset.manifest().groups {
        let group = Group::read(dataset.dir(), &entry.file)?;
        done.bytes += group.open_ledger(dataset.dir())?.check()?;
        if let Some(shard) = group.shards.iter().find(|shard| !dataset.manifest().shards.contains(shard)) {
            let what = format!("names {}, which manifest.json does not", shard.file);
            return Err(Error::new(dataset.dir().join(&entry.file).display(), what).hint(HINT_AGAIN));
        }
    }
    if dataset.manifest().ledger.is_some() {
        done.bytes += open_ledger(dataset.dir())?.check()?;
    }
    Ok(done)
}

fn verify_block(shard: &Shard, block: u64) -> Result<()> {
    shard.check_block(block)?;
    for position in shard.block_positions(block) {
        let record = shard.record(position)?;
        record.check().map_err(|fault| shard.record_error(position, fault.at, &fault.what))?;
        let game = shard.game(record.game().into());
        if !(game.first_record..game.first_record + u64::from(game.n_records)).contains(&position) {
            return Err(shard.record_error(position, 0, &format!("not a position of its game {}", record.game())));
        }
        if game.size != record.size() {
            let what = format!("board {}, its game has {}", record.size(), game.size);
            return Err(shard.record_error(position, 0, &what));
        }
    }
    Ok(())
}
