//! One reader, many workers, one writer: the games of some groups in their order.

use super::config::{ConvertConfig, Variations};
use super::duplicate::Identifier;
use super::groups::{Cutter, Form, PlannedGroup};
use super::known::Known;
use super::listing::ListingReader;
use super::plan::{Make, Plan, RESULTS_QUEUED};
use super::scribe::{Fate, Scribe};
use super::source::{Entry, Found, Item as SourceItem, Reader, is_passing};
use super::tally::{file_refusal, kind_of};
use super::worker::{Line, Worker};
use crate::base::Result;
use crate::base::fs::shown;
use crate::base::signal::Stop;
use crate::sgf::{self, GameRecord, OffBoard};
use crate::shard::{Completeness, Refusal, Split};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// How records become what the scribe writes.
pub(super) struct Pipeline<'a> {
    pub config: &'a ConvertConfig,
    pub plan: &'a Plan,
    pub make: Make,
    /// Folder of temporary files.
    pub spool_dir: &'a Path,
    pub stop: &'a Stop,
}

/// What the scribe has just written.
pub(super) struct Written {
    /// Bytes of records before it, about.
    pub bytes_done: u64,
    /// The group that it ended, and whether all of that could be read.
    pub ended: Option<(usize, Completeness)>,
}

/// Told after each step, with the scribe; an error ends the run.
pub(super) type Step<'s, 'w> = dyn FnMut(&mut Scribe<'w>, Written) -> Result<()> + 's;

/// A job or a result on its way, in the order of the files.
struct Item<T> {
    /// Bytes of records before it, about.
    bytes_done: u64,
    what: T,
}

/// What the reader finds.
#[allow(clippy::large_enum_variant, reason = "few are on their way, and a box would cost an allocation a game")]
enum Job {
    /// Small files: their games are parsed by the worker.
    Files(Vec<Text>),
    /// A game of a larger file.
    Game(Arc<str>, Box<Line>),
    /// What needs no work.
    Done(Done),
}

/// A file of records.
struct Text {
    origin: String,
    bytes: Vec<u8>,
}

/// What the writer gets.
#[allow(clippy::large_enum_variant, reason = "few are on their way, and a box would cost an allocation a game")]
enum Done {
    /// The group that the next items are of.
    Begin(usize),
    Fate(Fate),
    /// A new shard file begins.
    Cut,
    /// The group is complete: files read, files of other kinds, and whether all could be read.
    End(u64, u64, Completeness),
}

/// What a worker gives back for a job: results in one piece or more, of which the last says so.
struct Piece {
    results: Vec<Done>,
    turn: Turn,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// More of the same job follows.
    Stays,
    /// It is the next worker's turn.
    Passes,
}

impl Pipeline<'_> {
    /// Reads, judges and writes these groups. Job `i` goes through worker `i % n` both ways, over queues of fixed length: so
    /// the writer meets the results in their order without a buffer to sort them.
    pub(super) fn run<'w>(
        &self,
        groups: &[(usize, PlannedGroup)],
        listing: &mut ListingReader,
        known: &Known,
        scribe: &mut Scribe<'w>,
        step: &mut Step<'_, 'w>,
    ) -> Result<()> {
        thread::scope(|scope| {
            let (mut to_workers, mut from_workers) = (Vec::new(), Vec::new());
            for _ in 0..self.plan.workers {
                let (to, jobs) = sync_channel(self.plan.queue_games);
                let (results, from) = sync_channel(RESULTS_QUEUED);
                let worker = Worker::new(self.config, self.make, known);
                let asked = Asked::by(self.config);
                scope.spawn(move || work(worker, asked, jobs, results));
                to_workers.push(to);
                from_workers.push(from);
            }
            let batch_bytes_max = if self.make == Make::Account { FILE_JOB_BYTES } else { 0 };
            let (batch, asked) = (Batch::default(), Asked::by(self.config));
            let feed = Feed { to_workers, turn: 0, bytes_done: 0, batch, batch_bytes_max, asked, stop: self.stop };
            let reader = Reader::new(&self.config.archive, self.spool_dir.to_path_buf(), self.stop);
            let reading = scope.spawn(move || read(groups, listing, &reader, feed));
            let written = write(from_workers, scribe, step);
            // Either all came through, or the queues are closed and everybody ends.
            let all_read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            written.and(all_read)
        })
    }
}

/// Writes in the order of reading.
fn write<'w>(from_workers: Vec<Receiver<Item<Piece>>>, scribe: &mut Scribe<'w>, step: &mut Step<'_, 'w>) -> Result<()> {
    let mut group_idx = 0;
    let mut turn = 0;
    // The worker whose turn it is has nothing more: neither have the others.
    while let Ok(Item { bytes_done, what }) = from_workers[turn].recv() {
        for done in what.results {
            let mut ended = None;
            match done {
                Done::Begin(idx) => {
                    group_idx = idx;
                    scribe.begin_group(idx);
                }
                Done::Fate(fate) => scribe.write(fate)?,
                Done::Cut => scribe.cut()?,
                Done::End(n_files, n_skipped, completeness) => {
                    scribe.tally.report.files += n_files;
                    scribe.tally.report.files_skipped += n_skipped;
                    ended = Some((group_idx, completeness));
                }
            }
            step(scribe, Written { bytes_done, ended })?;
        }
        if what.turn == Turn::Passes {
            turn = (turn + 1) % from_workers.len();
        }
    }
    Ok(())
}

/// Sends to the workers in turn; breaks when nobody listens any more: the writer failed or was stopped, and says why.
struct Feed<'a> {
    to_workers: Vec<SyncSender<Item<Job>>>,
    turn: usize,
    bytes_done: u64,
    batch: Batch,
    /// Files are sent together up to so many bytes: where a game costs its worker little, so does waking it up. Where it
    /// costs much, 0: each file alone shares the work best.
    batch_bytes_max: usize,
    asked: Asked,
    stop: &'a Stop,
}

/// Small files not yet sent.
#[derive(Default)]
struct Batch {
    files: Vec<Text>,
    bytes: usize,
}

/// Files up to so many bytes are parsed by a worker as a whole: a few games.
const FILE_JOB_BYTES: usize = 64 << 10;

impl Feed<'_> {
    fn send(&mut self, bytes_done: u64, what: Job) -> ControlFlow<()> {
        self.flush()?;
        self.send_now(bytes_done, what)
    }

    fn send_now(&mut self, bytes_done: u64, what: Job) -> ControlFlow<()> {
        // Here, so that the queues run empty meanwhile.
        self.stop.rest();
        let to = &self.to_workers[self.turn];
        self.turn = (self.turn + 1) % self.to_workers.len();
        match to.send(Item { bytes_done, what }) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// Sends what waits.
    fn flush(&mut self) -> ControlFlow<()> {
        let Batch { files, .. } = std::mem::take(&mut self.batch);
        if files.is_empty() { ControlFlow::Continue(()) } else { self.send_now(self.bytes_done, Job::Files(files)) }
    }

    fn done(&mut self, done: Done) -> ControlFlow<()> {
        self.send(self.bytes_done, Job::Done(done))
    }

    /// Sends the games of a file, which is so many bytes on disk.
    fn file(&mut self, origin: String, bytes: Vec<u8>, source_bytes: u64) -> ControlFlow<()> {
        let before = self.bytes_done;
        self.bytes_done += source_bytes;
        if bytes.len() <= FILE_JOB_BYTES {
            self.batch.bytes += bytes.len();
            self.batch.files.push(Text { origin, bytes });
            let is_full = self.batch.bytes >= self.batch_bytes_max;
            return if is_full { self.flush() } else { ControlFlow::Continue(()) };
        }
        let file: Arc<str> = origin.into();
        // The line of a game tells how far a large collection is.
        let n_lines = bytes.iter().filter(|&&b| b == b'\n').count().max(1) as f64;
        for game in records(&bytes, self.asked) {
            let (line, job) = match game {
                Ok(line) => (line.record.line, Job::Game(Arc::clone(&file), Box::new(line))),
                Err(error) => (error.line, Job::Done(Done::Fate(bad_game(&file, &error)))),
            };
            let share = (f64::from(line.saturating_sub(1)) / n_lines).min(1.0);
            self.send(before + (source_bytes as f64 * share) as u64, job)?;
        }
        ControlFlow::Continue(())
    }
}

/// Feeds the workers with these groups.
fn read(groups: &[(usize, PlannedGroup)], listing: &mut ListingReader, reader: &Reader, mut feed: Feed) -> Result<()> {
    for (idx, group) in groups {
        listing.seek(group.listing_at)?;
        let mut sent = feed.done(Done::Begin(*idx));
        let mut part = GroupReading::new(group.form);
        for _ in 0..group.n_items {
            let found = listing.next_item()?;
            if sent.is_continue() {
                sent = part.read(found, reader, &mut feed);
            }
        }
        if sent.is_continue() {
            sent = feed.done(Done::End(part.n_files, part.n_skipped, part.completeness));
        }
        if sent.is_break() {
            break;
        }
    }
    Ok(())
}

/// A group being read.
struct GroupReading {
    n_files: u64,
    n_skipped: u64,
    completeness: Completeness,
    /// Where the group is an archive.
    cutter: Option<Cutter>,
}

/// The kind of refusal that concerns no file.
const UNREADABLE_FOLDER: &str = "unreadable folder";

impl GroupReading {
    fn new(form: Form) -> GroupReading {
        let cutter = (form == Form::Archive).then(Cutter::default);
        GroupReading { n_files: 0, n_skipped: 0, completeness: Completeness::Whole, cutter }
    }

    fn read(&mut self, found: Found, reader: &Reader, feed: &mut Feed) -> ControlFlow<()> {
        match found {
            Found::File(entry) => {
                reader.read(&entry, &mut |item| self.take(item, feed))?;
                if is_changed(&entry) {
                    // It was being written: the next run looks again.
                    self.completeness = Completeness::Partial;
                }
                ControlFlow::Continue(())
            }
            Found::Unreadable(path, reason) => {
                let kind = if path.is_dir() { UNREADABLE_FOLDER } else { "unreadable file" };
                self.take(SourceItem::Refused { origin: shown(&path), kind, reason }, feed)
            }
            Found::Other => ControlFlow::Continue(()),
        }
    }

    fn take(&mut self, item: SourceItem, feed: &mut Feed) -> ControlFlow<()> {
        match item {
            SourceItem::NotRecords => {
                self.n_skipped += 1;
                ControlFlow::Continue(())
            }
            SourceItem::Refused { origin, kind, reason } => {
                self.n_files += u64::from(kind != UNREADABLE_FOLDER);
                if kind == UNREADABLE_FOLDER || is_passing(kind) {
                    // Told at once, as it may be worth mending, and tried again by the next run.
                    log::warn!("{origin}: {reason}; left out");
                    self.completeness = Completeness::Partial;
                }
                feed.done(Done::Fate(Fate::BadFile(kind, file_refusal(origin, reason))))
            }
            SourceItem::Records { origin, inside, bytes, source_bytes } => {
                self.n_files += 1;
                if self.cutter.as_mut().is_some_and(|cutter| cutter.cuts_inside(&inside, bytes.len() as u64)) {
                    feed.done(Done::Cut)?;
                }
                feed.file(origin, bytes, source_bytes)
            }
        }
    }
}

/// Whether a file is another one than when it was surveyed.
fn is_changed(entry: &Entry) -> bool {
    std::fs::metadata(&entry.path).map_or(true, |meta| !entry.is_as_before(&meta))
}

/// What is asked for of a file.
#[derive(Clone, Copy)]
struct Asked {
    variations: Variations,
    off_board: OffBoard,
}

impl Asked {
    fn by(config: &ConvertConfig) -> Asked {
        Asked { variations: config.variations, off_board: config.repair.illegal.off_board() }
    }
}

/// The lines of games that are asked for.
fn records(
    bytes: &[u8],
    Asked { variations, off_board }: Asked,
) -> Box<dyn Iterator<Item = std::result::Result<Line, sgf::GameError>> + '_> {
    let alone = |record| Line { record, draw: None };
    match variations {
        Variations::Main => Box::new(sgf::games_with(bytes, off_board).map(move |game| game.map(alone))),
        Variations::All => Box::new(with_main_lines(sgf::lines(bytes, off_board))),
    }
}

/// Tells each line of a game that has several which game it is of.
fn with_main_lines(
    lines: impl Iterator<Item = std::result::Result<GameRecord, sgf::GameError>>,
) -> impl Iterator<Item = std::result::Result<Line, sgf::GameError>> {
    let mut lines = lines.peekable();
    let mut identifier = Identifier::new(0);
    let mut draw = None;
    std::iter::from_fn(move || {
        let line = lines.next()?;
        if let Ok(main) = line.as_ref()
            && main.line_idx == 0
        {
            let game_of_next = lines.peek().map(|next| next.as_ref().map_or_else(|e| e.game_idx, |line| line.game_idx));
            draw = (game_of_next == Some(main.game_idx)).then(|| Split::draw(identifier.of(main).game));
        }
        Some(line.map(|record| Line { record, draw }))
    })
}

fn bad_game(file: &str, error: &sgf::GameError) -> Fate {
    let refusal = Refusal {
        file: file.to_string(),
        game: error.game_idx.into(),
        line: error.line.into(),
        column: error.column.into(),
        reason: error.reason.to_string(),
    };
    let kind = kind_of(&error.reason);
    match error.reason {
        sgf::Reason::EmptyFile | sgf::Reason::NoGame(_) | sgf::Reason::TooLarge => Fate::BadFile(kind, refusal),
        _ => Fate::BadGame(kind, refusal),
    }
}

/// Judges until the reader or the writer is gone.
fn work(mut worker: Worker, asked: Asked, jobs: Receiver<Item<Job>>, results: SyncSender<Item<Piece>>) {
    for Item { bytes_done, what } in jobs {
        let give = |results_now, turn| results.send(Item { bytes_done, what: Piece { results: results_now, turn } }).is_ok();
        let given = match what {
            Job::Done(done) => give(vec![done], Turn::Passes),
            Job::Game(file, line) => give(vec![Done::Fate(Fate::Judged(worker.judge(&file, *line)))], Turn::Passes),
            Job::Files(files) => {
                let (mut ready, mut bytes) = (Vec::new(), 0);
                let mut given = true;
                'files: for Text { origin, bytes: text } in &files {
                    for game in records(text, asked) {
                        if bytes >= PIECE_BYTES {
                            given = give(std::mem::take(&mut ready), Turn::Stays);
                            bytes = 0;
                        }
                        if !given {
                            break 'files;
                        }
                        let fate = match game {
                            Ok(line) => Fate::Judged(worker.judge(origin, line)),
                            Err(error) => bad_game(origin, &error),
                        };
                        bytes += fate.bytes();
                        ready.push(Done::Fate(fate));
                    }
                }
                given && give(ready, Turn::Passes)
            }
        };
        if !given {
            return;
        }
    }
}

/// Results are given back when they hold so many bytes: a game with its positions alone, many without them together.
const PIECE_BYTES: usize = 64 << 10;
