//! Any bytes as a file of records: no panic; what is read can be written and read again.
#![no_main]

use edgezero::sgf::replay::Replay;
use edgezero::sgf::{Collection, GameRecord, games, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut collection = Collection::new(bytes);
    while let Some(game) = collection.next_game() {
        let Ok(game) = game else { continue };
        if let Ok(record) = GameRecord::read(&game) {
            let text = write(&record);
            let again = games(text.as_bytes()).next().expect("a game").expect("a sound game");
            assert_eq!((again.size, again.steps.len()), (record.size, record.steps.len()), "{text:?}");
        }
        if let Ok(replay) = Replay::of(&game, "") {
            let _ = (replay.json(), replay.drawing());
        }
    }
});
