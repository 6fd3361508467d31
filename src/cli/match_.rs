//! `edgezero match`: many games between two players, and what they say about their strength.

use super::Context;
use super::evaluator;
use super::out::{energy_line, outln};
use super::progress::Progress;
use crate::arena::{
    Entrant, GAMES_MAX, GameLine, Kind, Match, MatchConfig, NetsConfig, OnFault, OpeningConfig, OpeningKind, PlayerConfig,
    SprtConfig, Tally, table,
};
use crate::base::fs::read_limited;
use crate::base::{Error, Result};
use crate::go::Size;
use crate::infer::Batcher;
use crate::opponent::{Effort, Resigning};
use argh::FromArgs;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Largest file of a net, in bytes: KataGo's largest convolutional nets have 500 MB.
const NET_BYTES_MAX: u64 = 4 << 30;
/// Time between two lines in a log.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Letters of the identity in the name of a match's folder.
const IDENTITY_LETTERS: usize = 8;

/// Play a match between two players, each a net or another GTP program, and tell who is the stronger.
///
/// Each opening is played twice with colours swapped. The same command goes on where it was stopped.
#[derive(FromArgs)]
#[argh(subcommand, name = "match")]
pub(super) struct MatchArgs {
    /// a net (a run's folder, .safetensors, KataGo's .bin.gz) or the command of a program, such as "gnugo --mode gtp"; quotes
    /// hold words together as in a shell
    #[argh(positional)]
    a: String,
    /// the other one
    #[argh(positional)]
    b: String,
    /// games to play, an even number; the default is 100
    #[argh(option, default = "100")]
    games: usize,
    /// side of the board in points, or WIDTHxHEIGHT; the default is the profile's
    #[argh(option, from_str_fn(size))]
    board_size: Option<Size>,
    /// rules: a name such as chinese or japanese, or KataGo's JSON form; the default is the profile's
    #[argh(option)]
    rules: Option<String>,
    /// komi; the default is the profile's
    #[argh(option)]
    komi: Option<f32>,
    /// stones that Black has at the start, 2 to 9
    #[argh(option, default = "0")]
    handicap: usize,
    /// first moves of both games of a pair: policy (drawn from A's, else B's net; the default), random, or none
    #[argh(option, from_str_fn(opening))]
    opening: Option<OpeningKind>,
    /// how many; the default is a quarter of width and height together
    #[argh(option)]
    opening_moves: Option<usize>,
    /// visits of a move, for both or one side; the default is the profile's
    #[argh(option)]
    visits: Option<u32>,
    /// see --visits
    #[argh(option)]
    visits_a: Option<u32>,
    /// see --visits
    #[argh(option)]
    visits_b: Option<u32>,
    /// playouts of a move, without those kept from the move before
    #[argh(option)]
    playouts: Option<u32>,
    /// see --playouts
    #[argh(option)]
    playouts_a: Option<u32>,
    /// see --playouts
    #[argh(option)]
    playouts_b: Option<u32>,
    /// seconds of a move; programs are told with time_settings
    #[argh(option)]
    time: Option<f64>,
    /// see --time
    #[argh(option)]
    time_a: Option<f64>,
    /// see --time
    #[argh(option)]
    time_b: Option<f64>,
    /// strength of A's net from 20k to 9d
    #[argh(option)]
    level_a: Option<String>,
    /// strength of B's net
    #[argh(option)]
    level_b: Option<String>,
    /// end as soon as it is decided between two strengths of A above B in Elo: this one (H0)
    #[argh(option)]
    elo0: Option<f64>,
    /// and this one (H1)
    #[argh(option)]
    elo1: Option<f64>,
    /// chance to accept H1 where H0 holds; the default is 0.05
    #[argh(option, default = "0.05")]
    alpha: f64,
    /// chance to accept H0 where H1 holds; the default is 0.05
    #[argh(option, default = "0.05")]
    beta: f64,
    /// seconds a program may take for a move before it loses; the default is 60
    #[argh(option, default = "60.0")]
    timeout: f64,
    /// seconds a program may take until it is ready; the default is 120
    #[argh(option, default = "120.0")]
    start_timeout: f64,
    /// a game in which a program crashes, hangs or breaks the rules: loss (the default) or void
    #[argh(option, default = "OnFault::Loss", from_str_fn(on_fault))]
    on_fault: OnFault,
    /// seed of openings and searches; the default is 1
    #[argh(option, default = "1")]
    seed: u64,
    /// games at once; the default is the threads, or 1 where time limits a move
    #[argh(option)]
    workers: Option<usize>,
    /// folder of journal, records and report; the default is matches/ and a name of its own for these options
    #[argh(option)]
    out: Option<PathBuf>,
    /// nets play on where they would resign, and the report tells how often resigning would have been right
    #[argh(switch)]
    play_on: bool,
    /// print the report as JSON
    #[argh(switch)]
    json: bool,
}

fn size(text: &str) -> std::result::Result<Size, String> {
    let (w, h) = text.split_once('x').unwrap_or((text, text));
    let side = |side: &str| side.parse().ok();
    side(w).zip(side(h)).and_then(|(w, h)| Size::new(w, h)).ok_or_else(|| format!("{text}, expected 2 to 19, or such as 9x7"))
}

fn opening(text: &str) -> std::result::Result<OpeningKind, String> {
    match text {
        "policy" => Ok(OpeningKind::Policy),
        "random" => Ok(OpeningKind::Random),
        "none" => Ok(OpeningKind::None),
        _ => Err(format!("'{text}', expected policy, random or none")),
    }
}

fn on_fault(text: &str) -> std::result::Result<OnFault, String> {
    match text {
        "loss" => Ok(OnFault::Loss),
        "void" => Ok(OnFault::Void),
        _ => Err(format!("'{text}', expected loss or void")),
    }
}

pub(super) fn run(args: MatchArgs, ctx: &Context) -> Result<()> {
    let (match_, json) = (prepare(&args, ctx)?, args.json);
    let config = &match_.config;
    let [w, h] = config.board;
    let (workers, dir) = (match_.workers, match_.dir.display());
    log::info!(
        "match: board={w}x{h} rules={} komi={} games={} workers={workers} out={dir}",
        config.rules,
        config.komi,
        args.games
    );
    let watch = ctx.watch(ctx.budget(workers), Some(&match_.dir))?;
    let mut talk = Talk::new(args.games as u64);
    let told = match_.run(&ctx.stop, &mut |tally, line| talk.tell(tally, line));
    talk.progress.finish();
    let report = told?;
    match json {
        true => outln!("{}", report.to_json())?,
        false => outln!("{}", table(&report))?,
    }
    let (seen, n_played) = (watch.seen(), report.tally.games - talk.n_before.unwrap_or(0));
    if let (Some(joules), 1..) = (seen.energy_j, n_played) {
        log::info!("{}", energy_line(&seen, joules, n_played as f64, "a game"));
    }
    match ctx.stop.requested() && report.tally.verdict().is_none() && report.tally.games < args.games as u64 {
        true => Err(Error::stopped("match", format!("stopped after {} of {} games", report.tally.games, args.games))
            .hint("the same command goes on")),
        false => Ok(()),
    }
}

/// What the options ask for.
fn prepare(args: &MatchArgs, ctx: &Context) -> Result<Match> {
    if args.games == 0 || !args.games.is_multiple_of(2) || args.games > GAMES_MAX {
        let what = format!("{}, expected an even number: each opening is played with both colours", args.games);
        return Err(Error::call("--games", what));
    }
    let opponent = super::gtp::config(args.rules.clone(), args.komi, ctx)?;
    let sources = [source(&args.a)?, source(&args.b)?];
    let efforts = efforts(args, &sources)?;
    let default = Size::square(ctx.profile.train.board_size);
    let size = args.board_size.or(default).ok_or_else(|| Error::call("--board-size", "the profile has none"))?;
    let has_net = sources.iter().any(|source| matches!(source, Source::Net(_)));
    let kind = match args.opening {
        Some(OpeningKind::Policy) if !has_net => {
            return Err(Error::call("--opening", "policy, but no net plays").hint("--opening random"));
        }
        Some(kind) => kind,
        None if has_net => OpeningKind::Policy,
        None => OpeningKind::Random,
    };
    let opening = OpeningConfig { kind, moves: args.opening_moves.unwrap_or((size.w() + size.h()) / 4) };
    let [level_a, level_b] = [&args.level_a, &args.level_b];
    let [a, b] = &sources;
    let players = [player(a, &efforts[0], level_a, ctx)?, player(b, &efforts[1], level_b, ctx)?];
    let config = MatchConfig {
        players,
        board: [size.w(), size.h()],
        rules: opponent.rules.clone(),
        komi: opponent.komi,
        handicap: args.handicap,
        nets: NetsConfig {
            resign_below: opponent.resign_below,
            resign_streak: opponent.resign_streak,
            resign_after: opponent.resign_after,
            batch_size: ctx.profile.search.batch_size,
            resigning: if args.play_on { Resigning::PlaysOn } else { Resigning::Resigns },
        },
        opening,
        seed: args.seed,
        on_fault: args.on_fault,
        answer_s_max: args.timeout,
        ready_s_max: args.start_timeout,
        sprt: sprt(args)?,
    };
    config.check().map_err(|bad| Error::call(format!("--{}", bad.key), bad.what))?;
    let is_timed = efforts.iter().any(|effort| effort.seconds.is_some());
    let workers = args.workers.unwrap_or(if is_timed { 1 } else { ctx.threads }).min(args.games);
    if workers == 0 {
        return Err(Error::call("--workers", "0, expected 1 or more"));
    }
    let n_sessions = workers * sources.iter().filter(|source| matches!(source, Source::Net(_))).count();
    let mut nets: Vec<PathBuf> = Vec::new();
    for source in &sources {
        match source {
            Source::Net(file) if !nets.contains(file) => nets.push(file.clone()),
            _ => {}
        }
    }
    let search = evaluator::search_config(&nets, workers, ctx)?.shared_by(n_sessions.max(1));
    let dir = args.out.clone().unwrap_or_else(|| default_dir(&sources, &config));
    let entrants = entrants(sources, efforts, workers, ctx)?;
    Ok(Match { config, entrants, dir, games: args.games, workers, search, opponent })
}

/// What a player was named by.
enum Source {
    Net(PathBuf),
    Program(String),
}

/// A file or folder that is a net by its name, else a command.
fn source(text: &str) -> Result<Source> {
    let path = Path::new(text);
    let is_net_name = crate::infer::is_net_name(path);
    match path.is_dir() || (is_net_name && (path.is_file() || !text.contains(char::is_whitespace))) {
        true => evaluator::file_of(path).map(Source::Net),
        false if text.trim().is_empty() => Err(Error::call("match", "an empty player, expected a net or a command")),
        false => Ok(Source::Program(text.trim().to_string())),
    }
}

fn efforts(args: &MatchArgs, sources: &[Source; 2]) -> Result<[Effort; 2]> {
    let effort = |visits: Option<u32>, playouts: Option<u32>, time: Option<f64>, level: &Option<String>, source: &Source| {
        // What is said for both is the nets' where a program has its own way to be told.
        let is_net = matches!(source, Source::Net(_));
        let (both_visits, both_playouts) = if is_net { (args.visits, args.playouts) } else { (None, None) };
        if level.is_some() && !is_net {
            return Err(Error::call("--level", "a program has no level that we could set").hint("its own options"));
        }
        evaluator::effort(visits.or(both_visits), playouts.or(both_playouts), time.or(args.time), level.as_deref())
    };
    Ok([
        effort(args.visits_a, args.playouts_a, args.time_a, &args.level_a, &sources[0])?,
        effort(args.visits_b, args.playouts_b, args.time_b, &args.level_b, &sources[1])?,
    ])
}

fn player(source: &Source, effort: &Effort, level: &Option<String>, ctx: &Context) -> Result<PlayerConfig> {
    let Effort { visits, playouts, seconds, .. } = *effort;
    let level = level.clone();
    match source {
        Source::Program(command) => Ok(PlayerConfig { player: command.clone(), sha256: None, visits, playouts, seconds, level }),
        Source::Net(file) => {
            let bytes = read_limited(file, NET_BYTES_MAX)?;
            let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            // What the profile decides belongs to the match as well.
            let has_limit = visits.is_some() || playouts.is_some() || seconds.is_some();
            let visits = if has_limit { visits } else { Some(ctx.profile.search.visits) };
            Ok(PlayerConfig { player: file.display().to_string(), sha256: Some(sha256), visits, playouts, seconds, level })
        }
    }
}

fn sprt(args: &MatchArgs) -> Result<Option<SprtConfig>> {
    match (args.elo0, args.elo1) {
        (Some(elo0), Some(elo1)) => Ok(Some(SprtConfig { elo0, elo1, alpha: args.alpha, beta: args.beta })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(Error::call("--elo0", "without --elo1")),
        (None, Some(_)) => Err(Error::call("--elo1", "without --elo0")),
    }
}

fn default_dir(sources: &[Source; 2], config: &MatchConfig) -> PathBuf {
    let name = |source: &Source| match source {
        Source::Net(file) => net_name(file),
        Source::Program(command) => {
            let program = command.split_whitespace().next().unwrap_or_default();
            Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned()
        }
    };
    let json = serde_json::to_vec(config).unwrap_or_default();
    let identity: String = Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect();
    let [a, b] = sources.each_ref().map(name);
    Path::new("matches").join(format!("{a}-{b}-{}", &identity[..IDENTITY_LETTERS]))
}

/// A run's folder or the file, without the ending that says what it is.
fn net_name(file: &Path) -> String {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let whole = name(file).unwrap_or_default();
    let stem = whole.split('.').next().unwrap_or_default().to_string();
    match (stem.as_str(), file.parent().and_then(name)) {
        ("net", Some(run)) => run,
        _ => stem,
    }
}

fn entrants(sources: [Source; 2], efforts: [Effort; 2], workers: usize, ctx: &Context) -> Result<[Entrant; 2]> {
    let mut opened: Vec<(PathBuf, Arc<Batcher>)> = Vec::new();
    let are_two_nets = matches!(&sources, [Source::Net(a), Source::Net(b)] if a != b);
    // Two nets that think at the same time share the threads.
    let threads = if are_two_nets && workers > 1 { ctx.threads.div_ceil(2) } else { ctx.threads };
    let mut kind = |source: Source| match source {
        Source::Program(command) => Ok(Kind::Program { command }),
        Source::Net(file) => {
            let name = net_name(&file);
            if let Some((_, net)) = opened.iter().find(|(other, _)| *other == file) {
                return Ok(Kind::Net { name, net: net.clone() });
            }
            // While a batch is evaluated the next one gathers; waiting for it is not needed.
            let net = Arc::new(Batcher::new(evaluator::open_for(&file, threads, workers, ctx)?, Duration::ZERO));
            opened.push((file, net.clone()));
            Ok(Kind::Net { name, net })
        }
    };
    let [a, b] = sources;
    let (a, b) = (kind(a)?, kind(b)?);
    Ok([Entrant { kind: a, effort: efforts[0] }, Entrant { kind: b, effort: efforts[1] }])
}

/// Progress on stderr.
struct Talk {
    progress: Progress,
    begun: Instant,
    last: Instant,
    /// Games that were there already, and all that are to be.
    n_before: Option<u64>,
    n_games: u64,
}

impl Talk {
    fn new(n_games: u64) -> Talk {
        let now = Instant::now();
        Talk { progress: Progress::new("match"), begun: now, last: now, n_before: None, n_games }
    }

    fn tell(&mut self, tally: &Tally, line: Option<&GameLine>) {
        let n_before = *self.n_before.get_or_insert(tally.games - u64::from(line.is_some()));
        if let Some(GameLine { game, fault: Some(fault), .. }) = line {
            let what = format!("game {}: {:?}: {}: {}", game + 1, fault.by, fault.kind.word(), fault.what);
            self.progress.say(&what, &what);
        }
        let is_last = tally.games >= self.n_games;
        if !self.progress.is_bar() && self.last.elapsed() < LINE_EVERY && !is_last {
            return;
        }
        self.last = Instant::now();
        let (all, played) = (tally.all(), tally.games - n_before);
        let per_minute = played as f64 / self.begun.elapsed().as_secs_f64().max(1e-3) * 60.0;
        let left = if played == 0 { 0.0 } else { (self.n_games.saturating_sub(tally.games)) as f64 / per_minute * 60.0 };
        let score = format!("+{} ={} -{}", all.wins, all.draws, all.losses);
        let elo = tally.estimate.as_ref().and_then(|e| e.elo).map_or("-".to_string(), |elo| format!("{elo:+.0}"));
        let llr = tally.sprt.map_or(String::new(), |state| format!(" llr {:.2}", state.llr));
        let short = format!("{score} elo {elo}{llr} {per_minute:.1}/min");
        let mut values = vec![("wdl", format!("{}/{}/{}", all.wins, all.draws, all.losses)), ("elo", elo)];
        values.extend(tally.sprt.map(|state| ("llr", format!("{:.3}", state.llr))));
        values.push(("games_per_min", format!("{per_minute:.1}")));
        self.progress.show_values(tally.games, self.n_games, left, &short, &values);
    }
}
