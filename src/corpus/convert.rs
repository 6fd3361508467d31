//! The conversion: which groups of sources are made, and what becomes of them.

use super::config::ConvertConfig;
use super::groups::{PlannedGroup, Survey, survey};
use super::known::Known;
use super::listing::{Listing, ListingReader};
use super::part::{Numbering, PartLine};
use super::pipeline::Pipeline;
use super::plan::{Make, Plan};
use super::scribe::{Output, Scribe};
use crate::base::error::Fault;
use crate::base::fs::{WholeFile, create_dir};
use crate::base::signal::Stop;
use crate::base::{Error, Result};
use crate::shard::{
    Completeness, Dataset, DatasetWriter, Group, GroupEntry, LEDGER_NAME, Manifest, Report, Source, Unfinished, open_ledger,
};
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// What to convert, where to, and in which bounds.
pub struct Conversion<'a> {
    /// Files and folders of records, and archives of them.
    pub paths: &'a [PathBuf],
    /// Folder of the shards: new, empty, or older shards to be brought up to date.
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
/// conversion of all sources into a new folder would give, byte for byte.
///
/// # Errors
/// Paths that are not there, an output folder that holds something else, no usable game at all, a full disk,
/// [`Error::stopped`]. Broken records are no errors: they are counted and told in the manifest.
pub fn convert(job: &Conversion, tick: &mut dyn FnMut(Progress)) -> Result<Converted> {
    DatasetWriter::check_folder(job.out)?;
    // In a folder without a data set there is nothing to compare with.
    if Dataset::open(job.out).is_ok()
        && let Some(manifest) = current(job.out, &surveyed(job, None)?)
    {
        DatasetWriter::tidy(job.out, &manifest);
        let mut progress = Progress::default();
        progress.add(&manifest.report);
        tick(progress);
        return Ok(Converted { groups_made: 0, groups_kept: manifest.groups.len(), manifest });
    }
    let mut writer = DatasetWriter::create(job.out)?;
    let mut listing = Listing::create(job.out)?;
    // Once more, so that what is written down is what is read.
    let survey = surveyed(job, Some(&mut listing))?;
    warn_of_less(job, &survey);
    let plan = Plan::new(job.config, job.ram_budget_bytes, &survey.needs, Make::Shards)?;
    let mut making = Making::new(job, &plan, &survey, &mut writer, tick);
    let made = making.run(listing.finish()?);
    let groups_made = making.n_made;
    let entries = made.inspect_err(|e| {
        if e.fault() != Fault::Call {
            writer.on_drop(Unfinished::Keep);
        }
    })?;
    writer.on_drop(Unfinished::Keep);
    let manifest = finish(job, survey, writer, entries)?;
    let groups_kept = manifest.groups.len() - groups_made.min(manifest.groups.len());
    Ok(Converted { groups_made, groups_kept, manifest })
}

/// What the sources are just now, by their names, sizes and times alone: nothing of them is read.
///
/// # Errors
/// No path that is there.
pub fn source_now(paths: &[PathBuf], out: &Path, config: &ConvertConfig) -> Result<Source> {
    Ok(survey(paths, out, config, None)?.source)
}

/// Warns where most of what made the data set is not given any more: a list of new files alone, most often.
fn warn_of_less(job: &Conversion, survey: &Survey) {
    let Ok(before) = Manifest::read(job.out) else { return };
    let (n_before, n_now) = (before.source.n_files, survey.source.n_files);
    if n_now < n_before / 2 {
        log::warn!(
            "{}: made from {n_before} files, {n_now} are given now: the games of the others go (Ctrl-C, and another --out, keeps them)",
            job.out.display()
        );
    }
}

/// Does everything but shards: reads, repairs, filters, replays and knows again each game, and tells what would become of
/// it. Where `job.out` is a folder, the ledger is written there, and nothing else; an empty path asks for none.
///
/// Planes are not made, and the last position is not counted: positions whose labels depend on that count as unknown.
///
/// # Errors
/// As [`convert`]. A folder that holds more than the ledger of an earlier dry run is refused.
pub fn dry_run(job: &Conversion, tick: &mut dyn FnMut(Progress)) -> Result<Report> {
    let mut ledger = match job.out.as_os_str().is_empty() {
        true => None,
        false => Some(ledger_alone(job.out)?),
    };
    let beside = if ledger.is_some() { job.out.to_path_buf() } else { std::env::temp_dir() };
    let mut listing = Listing::create(&beside)?;
    let survey = surveyed(job, Some(&mut listing))?;
    let plan = Plan::new(job.config, job.ram_budget_bytes, &survey.needs, Make::Account)?;
    plan.say(&survey.source, "", survey.source.bytes);
    let known = Known::new(job.config.duplicates);
    let groups: Vec<(usize, PlannedGroup)> = survey.groups.iter().copied().enumerate().collect();
    let mut scribe = Scribe::new(Output::Account(Numbering::new(job.config.duplicates), ledger.as_mut()), &known);
    let pipeline = Pipeline { config: job.config, plan: &plan, make: Make::Account, spool_dir: &beside, stop: job.stop };
    let bytes_total = survey.source.bytes;
    pipeline.run(&groups, &mut listing.finish()?, &known, &mut scribe, &mut |scribe, written| {
        if job.stop.requested() {
            return Err(Error::stopped("dry run", "stopped"));
        }
        let mut progress = Progress { bytes_total, bytes_done: written.bytes_done, ..Progress::default() };
        progress.add(&scribe.tally.report);
        tick(progress);
        Ok(())
    })?;
    let mut report = scribe.into_report();
    report.files_skipped += survey.source.n_others;
    ledger.map_or(Ok(()), WholeFile::commit)?;
    Ok(report)
}

/// The ledger in a folder that holds nothing else.
fn ledger_alone(dir: &Path) -> Result<WholeFile> {
    create_dir(dir)?;
    for entry in std::fs::read_dir(dir).map_err(|e| Error::io(dir, &e))? {
        let name = entry.map_err(|e| Error::io(dir, &e))?.file_name();
        if name != LEDGER_NAME {
            let what = format!("holds {:?}: a dry run will not write its ledger beside it", name.to_string_lossy());
            return Err(Error::call(dir.display(), what).hint("an empty or a new folder for --out, or no --out"));
        }
    }
    WholeFile::create(&dir.join(LEDGER_NAME))
}

fn surveyed(job: &Conversion, listing: Option<&mut Listing>) -> Result<Survey> {
    let survey = survey(job.paths, job.out, job.config, listing)?;
    if survey.source.n_files == 0 {
        let places: Vec<String> = job.paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Error::new(places.join(", "), "no game records (.sgf)").hint("a folder with .sgf files in it or below"));
    }
    Ok(survey)
}

/// The manifest of `out` if its files are there and are of just these sources.
fn current(out: &Path, survey: &Survey) -> Option<Manifest> {
    let dataset = Dataset::open(out).ok()?;
    let manifest = dataset.manifest();
    let whole = |entry: &GroupEntry| {
        entry.completeness == Completeness::Whole && Group::read(out, &entry.file).is_ok_and(|group| group.is_there(out))
    };
    let same = manifest.source == survey.source && open_ledger(out).is_ok();
    (same && manifest.groups.iter().all(whole)).then(|| manifest.clone())
}

/// Numbers the lines of all groups, sums their counts, and completes the data set.
fn finish(job: &Conversion, survey: Survey, mut writer: DatasetWriter, entries: Vec<GroupEntry>) -> Result<Manifest> {
    let mut report = Report { files_skipped: survey.source.n_others, ..Report::default() };
    let (mut numbering, mut line) = (Numbering::new(job.config.duplicates), PartLine::default());
    for entry in &entries {
        let group = Group::read(job.out, &entry.file)?;
        let part = group.open_ledger(job.out)?;
        let path = part.path().to_path_buf();
        let mut part = BufReader::with_capacity(PART_BUFFER_BYTES, part);
        while line.read(&mut part).map_err(|e| Error::io(&path, &e))? {
            writer.push_ledger(numbering.number(&line)?)?;
        }
        report.add(group.report);
        if job.stop.requested() {
            return Err(stopped(job));
        }
    }
    report.games_duplicate += numbering.n_duplicate;
    report.games_shared_opening += numbering.n_shared_opening;
    if report.games_accepted == 0 {
        writer.on_drop(Unfinished::Remove);
        let reasons = report.refused_by_reason.iter().chain(&report.filtered_by_reason);
        let reasons = reasons.map(|(reason, n)| format!("{n} {reason}")).collect::<Vec<_>>().join(", ");
        let what = format!("no usable game in {} files; refused: {reasons}", report.files);
        return Err(Error::new(job.out.display(), what).hint("-v, which tells each refusal"));
    }
    writer.finish(survey.source, report, entries)
}

/// Bytes of a part read at once.
const PART_BUFFER_BYTES: usize = 1 << 16;

fn stopped(job: &Conversion) -> Error {
    Error::stopped(job.out.display(), "stopped; what was there is there, the next run goes on")
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
    ) -> Making<'a> {
        let mut there = writer.finished_groups();
        let entries: Vec<_> = survey.groups.iter().map(|planned| there.remove(&planned.key.to_string())).collect();
        let missing = survey.groups.iter().zip(&entries).filter(|(_, entry)| entry.is_none());
        let progress = Progress { bytes_total: missing.map(|(planned, _)| planned.bytes).sum(), ..Progress::default() };
        let n_there = entries.iter().flatten().count();
        let groups = format!(" in {} groups, {n_there} of them done", entries.len());
        plan.say(&survey.source, &groups, progress.bytes_total);
        let known = Known::new(job.config.duplicates);
        Making { job, plan, survey, writer, tick, known, entries, progress, n_made: 0 }
    }

    /// Keeps and makes groups in the order of their sources: so each is looked at with just the games known that come before
    /// it, and ends as it would in a new folder.
    fn run(&mut self, mut listing: ListingReader) -> Result<Vec<GroupEntry>> {
        (self.tick)(self.progress);
        let mut idx = 0;
        while idx < self.entries.len() {
            if self.keeps(idx)? {
                idx += 1;
                continue;
            }
            let n_missing = self.entries[idx..].iter().take_while(|entry| entry.is_none()).count();
            self.make(idx..idx + n_missing, &mut listing)?;
            idx += n_missing;
        }
        Ok(self.entries.iter().flatten().cloned().collect())
    }

    /// Whether the group is there and may stay as it is; if not it is missing.
    fn keeps(&mut self, idx: usize) -> Result<bool> {
        let Some(entry) = &self.entries[idx] else { return Ok(false) };
        if self.job.stop.requested() {
            return Err(stopped(self.job));
        }
        let group = Group::read(self.job.out, &entry.file)?;
        let keeps = self.known.agrees(idx as u32, &group, self.job.out)?;
        if keeps {
            self.progress.add(&group.report);
            (self.tick)(self.progress);
        } else {
            self.entries[idx] = None;
            self.progress.bytes_total += self.survey.groups[idx].bytes;
        }
        Ok(keeps)
    }

    fn make(&mut self, idxs: std::ops::Range<usize>, listing: &mut ListingReader) -> Result<()> {
        let Making { job, plan, survey, known, entries, progress, n_made, .. } = self;
        let groups: Vec<(usize, PlannedGroup)> = idxs.map(|idx| (idx, survey.groups[idx])).collect();
        let mut scribe = Scribe::new(Output::Shards(self.writer), known);
        let pipeline = Pipeline { config: job.config, plan, make: Make::Shards, spool_dir: job.out, stop: job.stop };
        // Before these groups, and with those of them that are complete.
        let (start, mut done) = (*progress, *progress);
        pipeline.run(&groups, listing, known, &mut scribe, &mut |scribe, written| {
            if job.stop.requested() {
                return Err(stopped(job));
            }
            if let Some((idx, completeness)) = written.ended {
                done.add(&scribe.tally.report);
                entries[idx] = scribe.end_group(survey.groups[idx].key.to_string(), completeness)?;
                *n_made += 1;
            }
            *progress = done;
            progress.add(&scribe.tally.report);
            progress.bytes_done = start.bytes_done + written.bytes_done;
            (self.tick)(*progress);
            Ok(())
        })
    }
}

impl Progress {
    fn add(&mut self, report: &Report) {
        self.games += report.games_accepted;
        self.refused += report.games_refused;
        self.positions += report.positions;
    }
}
