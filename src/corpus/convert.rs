//! The conversion: one reader, many replayers, one writer.

use super::config::{ConvertConfig, Variations};
use super::duplicate::Seen;
use super::scribe::Scribe;
use super::source::{Files, Found, Item as SourceItem, Reader, Survey, survey};
use super::tally::{Tally, file_refusal, kind_of};
use super::worker::{Judged, Worker};
use crate::base::limits::SGF_FILE_BYTES_MAX;
use crate::base::signal::Stop;
use crate::base::{Error, Result};
use crate::sgf::{self, GameRecord};
use crate::shard::{DatasetWriter, Manifest, Refusal};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// What to convert, where to, and in which bounds.
pub struct Conversion<'a> {
    /// Files and folders of records, and archives of them.
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

/// Converts; `tick` gets the progress after each game. Gives the manifest of the finished data set.
///
/// # Errors
/// Paths that are not there, an output folder that holds something else, no usable game at all, a full disk,
/// [`Error::stopped`]. Broken records are no errors: they are counted and told in the manifest.
pub fn convert(job: &Conversion, tick: &mut dyn FnMut(Progress)) -> Result<Manifest> {
    let mut writer = DatasetWriter::create(job.out)?;
    let survey = survey(job.paths, job.out, job.config)?;
    if survey.source.n_files == 0 {
        let places: Vec<String> = job.paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Error::new(places.join(", "), "no game records (.sgf)").hint("a folder with .sgf files in it or below"));
    }
    let plan = Plan::new(job, &survey)?;
    log::info!(
        "convert: {} files, {:.1} MB; {} workers, {} games queued each, about {} MB of memory",
        survey.source.n_files,
        survey.source.bytes as f64 / 1e6,
        plan.workers,
        plan.queue_games,
        plan.bytes >> 20
    );
    let tally = run(job, &plan, &survey, &mut writer, tick)?;
    if tally.report.games_accepted == 0 {
        let reasons = tally.report.refused_by_reason.iter().map(|(reason, n)| format!("{n} {reason}"));
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        let what = format!("no usable game in {} files; refused: {reasons}", tally.report.files);
        return Err(Error::new(job.out.display(), what).hint("-v, which tells each refusal"));
    }
    writer.finish(survey.source, tally.report)
}

/// Whether `out` holds shards of just these records, so that there is nothing to convert.
///
/// # Errors
/// Paths that are not there.
pub fn is_current(paths: &[PathBuf], out: &Path, config: &ConvertConfig) -> Result<bool> {
    let source = survey(paths, out, config)?.source;
    Ok(Manifest::read(out).is_ok_and(|manifest| manifest.source == source))
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
        let fixed = BASE_BYTES + survey.bytes_max.min(SGF_FILE_BYTES_MAX) * FILE_FACTOR + survey.archive_bytes;
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

/// A game or a failure on its way, in the order of the files.
struct Item<T> {
    /// Bytes of records before it, about.
    bytes_done: u64,
    what: T,
}

/// What the reader finds.
enum Read {
    /// A record and its file.
    Game(Arc<str>, Box<GameRecord>),
    /// Kind, to be counted, and the whole story.
    BadGame(&'static str, Refusal),
    BadFile(&'static str, Refusal),
}

/// What the writer gets.
pub(super) enum Done {
    Judged(Judged),
    BadGame(&'static str, Refusal),
    BadFile(&'static str, Refusal),
}

/// Reads, replays and writes. Item `i` goes through worker `i % n` both ways, over queues of fixed length: so the
/// writer meets the items in their order without a buffer to sort them.
fn run(
    job: &Conversion,
    plan: &Plan,
    survey: &Survey,
    writer: &mut DatasetWriter,
    tick: &mut dyn FnMut(Progress),
) -> Result<Tally> {
    let files = Files::new(job.paths, job.out)?;
    let seen = Seen::default();
    thread::scope(|scope| {
        let seen = &seen;
        let (mut to_workers, mut from_workers) = (Vec::new(), Vec::new());
        for _ in 0..plan.workers {
            let (to, jobs) = sync_channel(plan.queue_games);
            let (results, from) = sync_channel(plan.queue_games);
            scope.spawn(move || work(Worker::new(job.config, seen), jobs, results));
            to_workers.push(to);
            from_workers.push(from);
        }
        let variations = job.config.variations;
        let reader = scope.spawn(move || {
            // Shards take a hundred times the room of their records: where they go is room for a temporary file.
            let beside = job.out.parent().filter(|dir| dir.is_dir()).unwrap_or(Path::new("."));
            read(files, variations, &Reader::new(&job.config.archive, beside.to_path_buf(), job.stop), &to_workers)
        });
        let mut scribe = Scribe::new(writer, seen, job.config.duplicates);
        let written = write(job, survey, from_workers, &mut scribe, tick);
        let mut tally = scribe.tally;
        // Either all came through, or the queues are closed and everybody ends.
        let (n_files, n_skipped) = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written?;
        (tally.report.files, tally.report.files_skipped) = (n_files, n_skipped);
        Ok(tally)
    })
}

/// Feeds the workers in turn; gives the numbers of files read and left alone.
fn read(files: Files, variations: Variations, reader: &Reader, to_workers: &[SyncSender<Item<Read>>]) -> (u64, u64) {
    let (mut n_files, mut n_skipped, mut bytes_done) = (0, 0, 0);
    let mut turn = (0..to_workers.len()).cycle();
    // Breaks when nobody listens any more.
    let mut send = |item| match turn.next().is_some_and(|i| to_workers[i].send(item).is_ok()) {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    };
    let mut take = |item: SourceItem| match item {
        SourceItem::NotRecords => {
            n_skipped += 1;
            ControlFlow::Continue(())
        }
        SourceItem::Refused { origin, kind, reason } => {
            n_files += u64::from(kind != UNREADABLE_FOLDER);
            send(Item { bytes_done, what: Read::BadFile(kind, file_refusal(origin, reason)) })
        }
        SourceItem::Records { origin, bytes, source_bytes } => {
            n_files += 1;
            let sent = read_games(&origin.into(), &bytes, variations, |done_share, what| {
                send(Item { bytes_done: bytes_done + (source_bytes as f64 * done_share) as u64, what })
            });
            bytes_done += source_bytes;
            sent
        }
    };
    for found in files {
        let taken = match found {
            Found::File(entry) => reader.read(&entry, &mut take),
            Found::Other => take(SourceItem::NotRecords),
            Found::Unreadable(path, reason) => {
                let kind = if path.is_dir() { UNREADABLE_FOLDER } else { "unreadable file" };
                take(SourceItem::Refused { origin: path.display().to_string(), kind, reason })
            }
        };
        if taken.is_break() {
            break;
        }
    }
    (n_files, n_skipped)
}

/// The kind of refusal that concerns no file.
const UNREADABLE_FOLDER: &str = "unreadable folder";

/// Sends the games of one file, each with the share of the file before it.
fn read_games(
    file: &Arc<str>,
    bytes: &[u8],
    variations: Variations,
    mut send: impl FnMut(f64, Read) -> ControlFlow<()>,
) -> ControlFlow<()> {
    // The line of a game tells how far a large collection is.
    let n_lines = bytes.iter().filter(|&&b| b == b'\n').count().max(1) as f64;
    for game in records(bytes, variations) {
        let (line, what) = match game {
            Ok(record) => (record.line, Read::Game(Arc::clone(file), Box::new(record))),
            Err(error) => (error.line, bad_game(file, &error)),
        };
        send((f64::from(line.saturating_sub(1)) / n_lines).min(1.0), what)?;
    }
    ControlFlow::Continue(())
}

/// The lines of games that are asked for.
fn records(
    bytes: &[u8],
    variations: Variations,
) -> Box<dyn Iterator<Item = std::result::Result<GameRecord, sgf::GameError>> + '_> {
    match variations {
        Variations::Main => Box::new(sgf::games(bytes)),
        Variations::All => Box::new(sgf::lines(bytes)),
    }
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
fn work(mut worker: Worker, jobs: Receiver<Item<Read>>, results: SyncSender<Item<Done>>) {
    for Item { bytes_done, what } in jobs {
        let what = match what {
            Read::Game(file, record) => Done::Judged(worker.judge(&file, *record)),
            Read::BadGame(kind, refusal) => Done::BadGame(kind, refusal),
            Read::BadFile(kind, refusal) => Done::BadFile(kind, refusal),
        };
        if results.send(Item { bytes_done, what }).is_err() {
            return;
        }
    }
}

/// Writes in the order of reading.
fn write(
    job: &Conversion,
    survey: &Survey,
    from_workers: Vec<Receiver<Item<Done>>>,
    scribe: &mut Scribe,
    tick: &mut dyn FnMut(Progress),
) -> Result<()> {
    for from in from_workers.iter().cycle() {
        if job.stop.requested() {
            return Err(Error::stopped(job.out.display(), "stopped; nothing was changed there"));
        }
        // The worker whose turn it is has nothing more: neither have the others.
        let Ok(item) = from.recv() else { break };
        scribe.write(item.what)?;
        let report = &scribe.tally.report;
        tick(Progress {
            bytes_done: item.bytes_done,
            bytes_total: survey.source.bytes,
            games: report.games_accepted,
            refused: report.games_refused,
            positions: report.positions,
        });
    }
    Ok(())
}
