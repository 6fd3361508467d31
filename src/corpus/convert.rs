//! The conversion: one reader, many replayers, one writer.

use super::config::ConvertConfig;
use super::files::Found;
use super::groups::{PlannedGroup, Survey, survey};
use super::known::{Known, Verdict};
use super::listing::{Listed, Listing, ListingReader};
use super::replay::{GamePositions, Replayer};
use super::tally::{Tally, file_refusal, kind_of};
use crate::base::error::Fault;
use crate::base::fs::{read_limited, shown};
use crate::base::limits::SGF_FILE_BYTES_MAX;
use crate::base::signal::Stop;
use crate::base::{Error, Result};
use crate::sgf::{self, GameRecord};
use crate::shard::{
    Completeness, Dataset, DatasetWriter, Group, GroupEntry, LISTING_NAME, Manifest, Refusal, Report, Unfinished,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// What to convert, where to, and in which bounds.
pub struct Conversion<'a> {
    /// Files and folders of records.
    pub paths: &'a [PathBuf],
    /// Folder of the shards: new, empty, or older shards to be replaced.
    pub out: &'a Path,
    /// Threads, queues, which games.
    pub config: &'a ConvertConfig,
    /// Memory that the run may take.
    pub ram_budget_bytes: u64,
    /// Looked at between games.
    pub stop: &'a Stop,
}

/// How far a conversion is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of records done.
    pub bytes_done: u64,
    /// Bytes of all records.
    pub bytes_total: u64,
    /// Games accepted.
    pub games: u64,
    /// Games and files refused.
    pub refused: u64,
    /// Positions written.
    pub positions: u64,
}

/// A data set that is up to date.
#[derive(Debug)]
pub struct Converted {
    /// What it holds.
    pub manifest: Manifest,
    /// Groups of sources that were converted by this run.
    pub groups_made: usize,
    /// Groups whose shards were there and were left untouched.
    pub groups_kept: usize,
}

/// Converts what changed since the last time; `tick` gets the progress after each game. The folder then holds what a
/// conversion of all sources into a new folder would give.
///
/// # Errors
/// Paths that are not there, an output folder that holds something else, no usable game at all, a full disk,
/// [`Error::stopped`]. Broken records are no errors: they are counted and told in the manifest.
pub fn convert(job: &Conversion, tick: &mut dyn FnMut(Progress)) -> Result<Converted> {
    DatasetWriter::check_folder(job.out)?;
    let survey = surveyed(job, None)?;
    if let Some(manifest) = current(job.out, &survey) {
        DatasetWriter::tidy(job.out, &manifest);
        let report = &manifest.report;
        tick(Progress {
            games: report.games_accepted,
            refused: report.games_refused,
            positions: report.positions,
            ..Progress::default()
        });
        return Ok(Converted { groups_made: 0, groups_kept: manifest.groups.len(), manifest });
    }
    let mut writer = DatasetWriter::create(job.out)?;
    let mut listing = Listing::create(&job.out.join(LISTING_NAME))?;
    // Once more, so that what is written down is what is read.
    let survey = surveyed(job, Some(&mut listing))?;
    let plan = Plan::new(job, &survey)?;
    let mut making = Making::new(job, &plan, &survey, &mut writer, tick)?;
    let made = making.run(listing.finish()?);
    let (groups_made, entries) = (
        making.n_made,
        made.inspect_err(|e| {
            if e.fault() == Fault::Stopped {
                writer.on_drop(Unfinished::Keep);
            }
        })?,
    );
    finish(job, survey, writer, entries).map(|manifest| {
        let groups_kept = manifest.groups.len() - groups_made.min(manifest.groups.len());
        Converted { groups_made, groups_kept, manifest }
    })
}

fn surveyed(job: &Conversion, listing: Option<&mut Listing>) -> Result<Survey> {
    let survey = survey(job.paths, job.out, job.config, listing)?;
    if survey.source.n_files == 0 {
        let places: Vec<String> = job.paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Error::new(places.join(", "), "no game records (.sgf)").hint("a folder with .sgf files in it or below"));
    }
    Ok(survey)
}

/// The manifest of `out` if its shards are there and are of just these sources.
fn current(out: &Path, survey: &Survey) -> Option<Manifest> {
    let dataset = Dataset::open(out).ok()?;
    let manifest = dataset.manifest();
    let same = manifest.source == survey.source && manifest.report.files_skipped == survey.n_skipped;
    let whole = |group: &GroupEntry| group.completeness == Completeness::Whole && out.join(&group.file).is_file();
    (same && manifest.groups.iter().all(whole)).then(|| manifest.clone())
}

fn finish(job: &Conversion, survey: Survey, writer: DatasetWriter, entries: Vec<GroupEntry>) -> Result<Manifest> {
    let mut report = Report { files_skipped: survey.n_skipped, ..Report::default() };
    writer.add_counts(&mut report, &entries)?;
    if report.games_accepted == 0 {
        let reasons = report.refused_by_reason.iter().map(|(reason, n)| format!("{n} {reason}"));
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        let what = format!("no usable game in {} files; refused: {reasons}", report.files);
        return Err(Error::new(job.out.display(), what).hint("-v, which tells each refusal"));
    }
    writer.finish(survey.source, report, entries)
}

/// What a run will use.
struct Plan {
    workers: usize,
    queue_games: usize,
    bytes: u64,
}

/// Memory of a run without games in it: program, board tables, write buffers, block tables.
const BASE_BYTES: u64 = 12 << 20;
/// Memory of a long 19x19 game in flight: 300 positions of 640 bytes and its record.
const GAME_BYTES: u64 = 200 << 10;
/// Memory of a file being parsed, by its size: its bytes, and the tree of one game at a time (measured 1.1 for a
/// collection of 29,010 games in 46 MB; a file that is one game with long variations needs more).
const FILE_FACTOR: u64 = 2;

impl Plan {
    /// The asked-for workers and queue, or shorter queues and then fewer workers where memory is short.
    fn new(job: &Conversion, survey: &Survey) -> Result<Plan> {
        let (mut workers, mut queue_games) = (job.config.workers.max(1), job.config.queue_games.max(1));
        let fixed = BASE_BYTES + survey.bytes_max.min(SGF_FILE_BYTES_MAX) * FILE_FACTOR;
        let bytes = |workers: usize, queue: usize| fixed + (workers * (2 * queue + 1)) as u64 * GAME_BYTES;
        while bytes(workers, queue_games) > job.ram_budget_bytes {
            match (queue_games, workers) {
                (2.., _) => queue_games /= 2,
                (_, 2..) => workers -= 1,
                _ => {
                    let what = format!("needs {} MB of memory", bytes(1, 1) >> 20);
                    let what = format!("{what}, the profile allows {} MB", job.ram_budget_bytes >> 20);
                    return Err(Error::new("convert", what).hint("splitting the largest file, or a profile with more memory"));
                }
            }
        }
        Ok(Plan { workers, queue_games, bytes: bytes(workers, queue_games) })
    }
}

/// A conversion at work: which groups are done, which games are known.
struct Making<'a> {
    job: &'a Conversion<'a>,
    plan: &'a Plan,
    survey: &'a Survey,
    writer: &'a mut DatasetWriter,
    tick: &'a mut dyn FnMut(Progress),
    known: Known,
    /// The group files that stand, by group.
    entries: Vec<Option<GroupEntry>>,
    progress: Progress,
    n_made: usize,
}

impl<'a> Making<'a> {
    /// Finds the groups that are there already.
    fn new(
        job: &'a Conversion<'a>,
        plan: &'a Plan,
        survey: &'a Survey,
        writer: &'a mut DatasetWriter,
        tick: &'a mut dyn FnMut(Progress),
    ) -> Result<Making<'a>> {
        let mut there = writer.finished_groups();
        let (mut known, mut progress) = (Known::new(job.config.duplicates), Progress::default());
        let mut entries = Vec::with_capacity(survey.groups.len());
        for (i, planned) in survey.groups.iter().enumerate() {
            let entry = there.remove(&planned.key.to_string());
            match &entry {
                Some(entry) => {
                    let group = Group::read(job.out, &entry.file)?;
                    known.learn(i as u32, &group, job.out)?;
                    progress.add(&group.report);
                }
                None => progress.bytes_total += planned.bytes,
            }
            entries.push(entry);
        }
        let n_there = entries.iter().flatten().count();
        log::info!(
            "convert: {} files in {} groups, {n_there} of them done; {:.1} MB to read; {} workers, {} games queued each, about {} MB of memory",
            survey.source.n_files,
            entries.len(),
            progress.bytes_total as f64 / 1e6,
            plan.workers,
            plan.queue_games,
            plan.bytes >> 20
        );
        Ok(Making { job, plan, survey, writer, tick, known, entries, progress, n_made: 0 })
    }

    /// Makes the groups that are missing, and then those that dropped games for groups that have changed.
    fn run(&mut self, mut listing: ListingReader) -> Result<Vec<GroupEntry>> {
        (self.tick)(self.progress);
        let kept: Vec<usize> = (0..self.entries.len()).filter(|&i| self.entries[i].is_some()).collect();
        self.make_missing(&mut listing)?;
        // All games are known now, so what is made in a second round stands.
        for i in kept {
            let Some(entry) = &self.entries[i] else { continue };
            let group = Group::read(self.job.out, &entry.file)?;
            if !self.known.agrees(i as u32, &group, self.job.out)? {
                self.entries[i] = None;
                self.progress.subtract(&group.report);
                self.progress.bytes_total += self.survey.groups[i].bytes;
            }
        }
        self.make_missing(&mut listing)?;
        Ok(self.entries.iter().flatten().cloned().collect())
    }

    fn make_missing(&mut self, listing: &mut ListingReader) -> Result<()> {
        let missing: Vec<(usize, PlannedGroup)> = self.missing().collect();
        if missing.is_empty() { Ok(()) } else { self.make(&missing, listing) }
    }

    fn missing(&self) -> impl Iterator<Item = (usize, PlannedGroup)> {
        let missing = (0..self.entries.len()).filter(|&i| self.entries[i].is_none());
        missing.map(|i| (i, self.survey.groups[i]))
    }

    /// Reads, replays and writes. Item `i` goes through worker `i % n` both ways, over queues of fixed length: so the
    /// writer meets the items in their order without a buffer to sort them.
    fn make(&mut self, groups: &[(usize, PlannedGroup)], listing: &mut ListingReader) -> Result<()> {
        let bytes_before = self.progress.bytes_done;
        thread::scope(|scope| {
            let (mut to_workers, mut from_workers) = (Vec::new(), Vec::new());
            for _ in 0..self.plan.workers {
                let (to, jobs) = sync_channel(self.plan.queue_games);
                let (results, from) = sync_channel(self.plan.queue_games);
                let min_moves = self.job.config.min_moves;
                scope.spawn(move || work(min_moves, jobs, results));
                to_workers.push(to);
                from_workers.push(from);
            }
            let reader = scope.spawn(move || read(groups, listing, bytes_before, &to_workers));
            let written = self.write(from_workers);
            // Either all came through, or the queues are closed and everybody ends.
            let all_read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            written.and(all_read)
        })
    }

    /// Writes in the order of reading.
    fn write(&mut self, from_workers: Vec<Receiver<Item<Done>>>) -> Result<()> {
        let mut tally = Tally::default();
        let mut dropped = Vec::new();
        let mut group_idx = 0;
        for from in from_workers.iter().cycle() {
            if self.job.stop.requested() {
                return Err(Error::stopped(self.job.out.display(), "stopped; what was there is there, the next run goes on"));
            }
            // The worker whose turn it is has nothing more: neither have the others.
            let Ok(item) = from.recv() else { break };
            let before = [tally.report.games_accepted, tally.report.games_refused, tally.report.positions];
            match item.what {
                Done::Begin(i) => group_idx = i,
                Done::Game(mut game) => match self.known.judge(group_idx as u32, game.hash) {
                    Verdict::First => {
                        self.writer.push_game(game.size, game.hash, &mut game.records)?;
                        tally.accept(&game);
                    }
                    Verdict::Repeated => tally.drop_duplicate(),
                    Verdict::Earlier => {
                        dropped.push(game.hash.to_string());
                        tally.drop_duplicate();
                    }
                },
                Done::BadGame(kind, refusal) => tally.refuse_game(kind, refusal),
                Done::BadFile(kind, refusal) => tally.refuse_file(kind, refusal),
                Done::End(n_files, completeness) => {
                    let mut report = std::mem::take(&mut tally).report;
                    report.files = n_files;
                    let key = self.survey.groups[group_idx].key.to_string();
                    let group = Group { key, completeness, report, dropped: std::mem::take(&mut dropped), shards: Vec::new() };
                    self.entries[group_idx] = Some(self.writer.end_group(group)?);
                    self.known.end_group();
                    self.n_made += 1;
                    continue;
                }
            }
            let report = &tally.report;
            self.progress.games += report.games_accepted - before[0];
            self.progress.refused += report.games_refused - before[1];
            self.progress.positions += report.positions - before[2];
            self.progress.bytes_done = item.bytes_done;
            (self.tick)(self.progress);
        }
        Ok(())
    }
}

impl Progress {
    fn add(&mut self, report: &Report) {
        self.games += report.games_accepted;
        self.refused += report.games_refused;
        self.positions += report.positions;
    }

    fn subtract(&mut self, report: &Report) {
        self.games -= report.games_accepted;
        self.refused -= report.games_refused;
        self.positions -= report.positions;
    }
}

/// A game or a failure on its way, in the order of the files.
struct Item<T> {
    /// Bytes of records before it, about.
    bytes_done: u64,
    what: T,
}

/// What the reader finds.
enum Read {
    /// The group that the next items are of.
    Begin(usize),
    /// A record and its file.
    Game(Arc<str>, Box<GameRecord>),
    /// Kind, to be counted, and the whole story.
    BadGame(&'static str, Refusal),
    BadFile(&'static str, Refusal),
    /// The group is complete: files read, and whether all could be.
    End(u64, Completeness),
}

/// What the writer gets.
enum Done {
    Begin(usize),
    Game(GamePositions),
    BadGame(String, Refusal),
    BadFile(&'static str, Refusal),
    End(u64, Completeness),
}

/// Nobody listens any more: the writer failed or was stopped, and says why.
struct Closed;

/// Sends to the workers in turn.
struct Feed<'a> {
    to_workers: &'a [SyncSender<Item<Read>>],
    turn: usize,
    bytes_done: u64,
}

impl Feed<'_> {
    fn send(&mut self, what: Read) -> std::result::Result<(), Closed> {
        let bytes_done = self.bytes_done;
        self.send_at(bytes_done, what)
    }

    fn send_at(&mut self, bytes_done: u64, what: Read) -> std::result::Result<(), Closed> {
        let to = &self.to_workers[self.turn];
        self.turn = (self.turn + 1) % self.to_workers.len();
        to.send(Item { bytes_done, what }).map_err(|_| Closed)
    }
}

/// Feeds the workers with these groups.
fn read(
    groups: &[(usize, PlannedGroup)],
    listing: &mut ListingReader,
    bytes_done: u64,
    to_workers: &[SyncSender<Item<Read>>],
) -> Result<()> {
    let mut feed = Feed { to_workers, turn: 0, bytes_done };
    for (idx, group) in groups {
        listing.seek(group.listing_at)?;
        let (mut n_files, mut completeness) = (0, Completeness::Whole);
        let mut sent = feed.send(Read::Begin(*idx));
        for _ in 0..group.n_items {
            let Listed { found, size } = listing.next_item()?;
            sent = sent.and_then(|()| match found {
                Found::Record(path) => {
                    n_files += 1;
                    read_file(&path, size, &mut completeness, &mut feed)
                }
                Found::Unreadable(path, reason) => {
                    completeness = Completeness::Partial;
                    feed.send(unreadable("unreadable folder", &path, reason))
                }
                Found::Other => Ok(()),
            });
            if sent.is_err() {
                return Ok(());
            }
        }
        if feed.send(Read::End(n_files, completeness)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Sends the games of a file that had `size` bytes when it was surveyed.
fn read_file(path: &Path, size: u64, completeness: &mut Completeness, feed: &mut Feed) -> std::result::Result<(), Closed> {
    let bytes = match read_limited(path, SGF_FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(e) => {
            *completeness = Completeness::Partial;
            return feed.send(unreadable("unreadable file", path, e.what().to_string()));
        }
    };
    if bytes.len() as u64 != size {
        // It is being written: the next run looks again.
        *completeness = Completeness::Partial;
    }
    let file: Arc<str> = shown(path).into();
    // The line of a game tells how far a large collection is.
    let n_lines = bytes.iter().filter(|&&b| b == b'\n').count().max(1) as u64;
    for game in sgf::games(&bytes) {
        let (line, what) = match game {
            Ok(record) => (record.line, Read::Game(Arc::clone(&file), Box::new(record))),
            Err(error) => (error.line, bad_game(&file, &error)),
        };
        let share = u64::from(line.saturating_sub(1)).min(n_lines);
        feed.send_at(feed.bytes_done + bytes.len() as u64 * share / n_lines, what)?;
    }
    feed.bytes_done += bytes.len() as u64;
    Ok(())
}

/// Something that could not be read: told at once, as it may be worth mending.
fn unreadable(kind: &'static str, path: &Path, reason: String) -> Read {
    log::warn!("{}: {reason}; left out", shown(path));
    Read::BadFile(kind, file_refusal(path, reason))
}

fn bad_game(file: &str, error: &sgf::GameError) -> Read {
    let refusal = Refusal {
        file: file.to_string(),
        game: error.game_idx.into(),
        line: error.line.into(),
        column: error.column.into(),
        reason: error.reason.to_string(),
    };
    let kind = kind_of(&error.reason);
    match error.reason {
        sgf::Reason::EmptyFile | sgf::Reason::NoGame(_) | sgf::Reason::TooLarge => Read::BadFile(kind, refusal),
        _ => Read::BadGame(kind, refusal),
    }
}

/// Replays and encodes until the reader or the writer is gone.
fn work(min_moves: usize, jobs: Receiver<Item<Read>>, results: SyncSender<Item<Done>>) {
    let mut replayer = Replayer::new(min_moves);
    for Item { bytes_done, what } in jobs {
        let what = match what {
            Read::Game(file, record) => match replayer.positions(&record) {
                Ok(positions) => Done::Game(positions),
                Err(unfit) => {
                    let refusal = Refusal {
                        file: file.to_string(),
                        game: record.game_idx.into(),
                        line: unfit.line.into(),
                        column: unfit.column.into(),
                        reason: unfit.reason,
                    };
                    Done::BadGame(unfit.kind, refusal)
                }
            },
            Read::BadGame(kind, refusal) => Done::BadGame(kind.to_string(), refusal),
            Read::BadFile(kind, refusal) => Done::BadFile(kind, refusal),
            Read::Begin(group_idx) => Done::Begin(group_idx),
            Read::End(n_files, completeness) => Done::End(n_files, completeness),
        };
        if results.send(Item { bytes_done, what }).is_err() {
            return;
        }
    }
}
