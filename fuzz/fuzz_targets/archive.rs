//! Any bytes as an archive: no panic, nothing beyond the limits.
#![no_main]

use edgezero::base::signal::Stop;
use edgezero::corpus::ArchiveConfig;
use edgezero::corpus::source::{Entry, Item, Reader};
use libfuzzer_sys::fuzz_target;
use std::io::Cursor;
use std::ops::ControlFlow;

/// Small limits: every one of them is to be met.
const LIMITS: ArchiveConfig =
    ArchiveConfig { depth_max: 3, members_max: 64, member_mb: 1, unpacked_mb: 4, ratio_max: 50, window_mb: 8, spool_mb: 1 };

fuzz_target!(|bytes: &[u8]| {
    let stop = Stop::default();
    let reader = Reader::new(&LIMITS, std::env::temp_dir(), &stop);
    let (path, name, len) = ("a.sgf".into(), b"a.sgf".to_vec(), bytes.len() as u64);
    let entry = Entry { path, name, bytes: len, modified_ns: 0, named: true, archive: false };
    let (mut n_items, mut n_bytes) = (0, 0);
    let _ = reader.read_from(&entry, &mut Cursor::new(bytes), &mut |item| {
        n_items += 1;
        if let Item::Records { bytes, .. } = item {
            assert!(bytes.len() <= 1 << 20);
            n_bytes += bytes.len();
        }
        ControlFlow::Continue(())
    });
    assert!(n_bytes <= 4 << 20);
    // Each member is told once; each archive around it may add lines of its own.
    assert!(n_items <= 10 * 64, "{n_items} items");
});
