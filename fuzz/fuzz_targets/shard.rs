//! A damaged data set: refused or read, no panic. An input is the length of a manifest (u16), the manifest, and a shard
//! file; where the top bit of the length is set, the checksums are made right first, so that what they guard is met too.
#![no_main]

use edgezero::base::signal::Stop;
use edgezero::shard::layout::{HEADER_BYTES, records_per_block, stride};
use edgezero::shard::{Dataset, verify};
use libfuzzer_sys::fuzz_target;
use std::fs;

const SEALED: u16 = 1 << 15;

fuzz_target!(|bytes: &[u8]| {
    let Some((len, rest)) = bytes.split_first_chunk::<2>() else { return };
    let len = u16::from_le_bytes(*len);
    let (manifest, shard) = rest.split_at(rest.len().min((len & !SEALED).into()));
    let (mut manifest, mut shard) = (manifest.to_vec(), shard.to_vec());
    if len & SEALED != 0 && seal(&mut shard).is_some() {
        manifest = manifest_of(&shard);
    }
    let dir = std::env::temp_dir().join(format!("edgezero-fuzz-{}", std::process::id()));
    let made = fs::create_dir_all(&dir)
        .and_then(|()| fs::write(dir.join("manifest.json"), manifest))
        .and_then(|()| fs::write(dir.join("a.shard"), shard));
    made.expect("room in the temporary folder");
    if let Ok(dataset) = Dataset::open(&dir) {
        let _ = verify(&dataset, &Stop::default(), |_| ());
        for shard in dataset.shards() {
            for position in 0..shard.n_positions().min(8) {
                let _ = shard.record(position);
            }
        }
    }
});

/// Writes the checksums that the layout asks for; `None` where the counts in the header do not fit the file.
fn seal(shard: &mut [u8]) -> Option<()> {
    let u32_at = |shard: &[u8], at: usize| shard.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
    let (len, n_records) = (u32_at(shard, 12)?, u32_at(shard, 24)?);
    if !(2..=19).contains(&len) {
        return None;
    }
    let block_bytes = records_per_block(len) * stride(len);
    let blocks_at = HEADER_BYTES + n_records.checked_mul(stride(len))?;
    let games_at = blocks_at + 4 * n_records.div_ceil(records_per_block(len));
    if games_at > shard.len() {
        return None;
    }
    for block in 0..(games_at - blocks_at) / 4 {
        let at = HEADER_BYTES + block * block_bytes;
        let crc = crc32c::crc32c(&shard[at..blocks_at.min(at + block_bytes)]);
        shard[blocks_at + 4 * block..][..4].copy_from_slice(&crc.to_le_bytes());
    }
    for (at, from, to) in [(40, blocks_at, games_at), (44, games_at, shard.len()), (HEADER_BYTES - 4, 0, HEADER_BYTES - 4)] {
        let crc = crc32c::crc32c(&shard[from..to]);
        shard[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
    Some(())
}

/// A manifest that names just this shard.
fn manifest_of(shard: &[u8]) -> Vec<u8> {
    let u32_at = |at: usize| u32::from_le_bytes([shard[at], shard[at + 1], shard[at + 2], shard[at + 3]]);
    let (len, positions, games, crc) = (u32_at(12), u32_at(24), u32_at(32), u32_at(HEADER_BYTES - 4));
    let report = r#"{"files":1,"files_skipped":0,"files_refused":0,"games":1,"games_accepted":1,"games_refused":0,"positions":1,
        "positions_value":0,"positions_score":0,"positions_ownership":0,"refused_by_reason":{},"results":{},"sizes":{},"refused":[]}"#;
    let entry = format!(
        r#"{{"file":"a.shard","len":{len},"games":{games},"positions":{positions},"bytes":{},"header_crc":{crc}}}"#,
        shard.len()
    );
    let source = r#"{"identity":"","n_files":1,"n_others":0,"bytes":1}"#;
    format!(r#"{{"format":"edgezero shards","version":2,"source":{source},"report":{report},"groups":[],"shards":[{entry}]}}"#).into_bytes()
}
