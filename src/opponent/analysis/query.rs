//! Queries and actions, read from JSON with KataGo's complaints.

use super::AnalysisConfig;
use crate::go::{Color, Game, Move, Point, Rules, Size};
use crate::opponent::session::Side;
use crate::search::{Doubling, Limits, Params};
use serde_json::{Map, Value};
use std::time::{Duration, Instant};

/// Most positions of one query.
const TURNS_MAX: usize = 10_000;
/// Longest time of a search that is believed, in seconds.
const SECONDS_MAX: f64 = 1e6;
/// Fields that ask for numbers which this search does not have.
const MISSING: [&str; 3] = ["includeOwnershipStdev", "includeMovesOwnershipStdev", "includeNoResultValue"];

/// What is wrong with a line, and in which field.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) what: String,
    pub(super) field: Option<String>,
}

impl Trouble {
    pub(super) fn new(what: impl Into<String>, field: Option<&str>) -> Trouble {
        Trouble { what: what.into(), field: field.map(str::to_string) }
    }
}

/// A line that was understood.
pub(super) enum Request {
    Query(Box<Query>, Vec<Trouble>),
    Version(Value),
    Models(Value),
    ClearCache(Value),
    Terminate { echo: Value, of: Option<String>, turns: Option<Vec<usize>> },
}

/// Where a game begins. The game itself would take ten times the memory while it waits.
struct Start {
    size: Size,
    rules: Rules,
    komi: f32,
    stones: Vec<(Point, Option<Color>)>,
    to_move: Option<Color>,
}

impl Start {
    fn game(&self) -> Game {
        let mut game = Game::new(self.size, self.rules, self.komi);
        if !self.stones.is_empty() {
            game.set_stones(self.stones.iter().copied());
        }
        self.to_move.into_iter().for_each(|color| game.set_to_move(color));
        game
    }
}

/// Positions of one game to be analysed.
pub(super) struct Query {
    pub(super) id: String,
    start: Start,
    moves: Vec<(Color, Move)>,
    /// Numbers of moves, and the priority of each.
    pub(super) turns: Vec<(usize, i64)>,
    visits: u32,
    playouts: u32,
    seconds: Option<f64>,
    pub(super) report_every: Option<Duration>,
    pub(super) side: Side,
    pub(super) params: Params,
    pub(super) includes_ownership: bool,
    pub(super) includes_moves_ownership: bool,
    pub(super) includes_policy: bool,
    pub(super) includes_pv_visits: bool,
    /// Moves of a variation that are told.
    pub(super) pv_moves_max: usize,
    /// Moves of a player that are not tried first, or the only ones that are.
    avoided: Vec<(Color, Vec<Move>)>,
    allowed: Vec<(Color, Vec<Move>)>,
}

impl Query {
    /// The game after `turn` moves.
    pub(super) fn game(&self, turn: usize) -> Game {
        let mut game = self.start.game();
        for &(color, mv) in &self.moves[..turn] {
            game.play_tolerant(color, mv).expect("tried when the query was read");
        }
        game
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        let named = self.avoided.iter().chain(&self.allowed).map(|(_, moves)| size_of_val(&moves[..]) + size_of_val(moves));
        size_of::<Query>()
            + self.id.len()
            + size_of_val(&self.start.stones[..])
            + size_of_val(&self.moves[..])
            + size_of_val(&self.turns[..])
            + named.sum::<usize>()
    }

    pub(super) fn limits(&self, begun: Instant) -> Limits {
        let deadline = self.seconds.map(|s| begun + Duration::from_secs_f64(s));
        Limits { visits: self.visits, playouts: self.playouts, deadline }
    }

    /// The moves that `color` may not begin with.
    pub(super) fn barred(&self, color: Color, size: Size) -> Vec<Move> {
        let of = |list: &[(Color, Vec<Move>)]| -> Vec<Move> {
            list.iter().filter(|(c, _)| *c == color).flat_map(|(_, moves)| moves.iter().copied()).collect()
        };
        let (mut barred, allowed) = (of(&self.avoided), of(&self.allowed));
        if !allowed.is_empty() {
            barred.extend(size.points().map(Move::Play).chain([Move::Pass]).filter(|mv| !allowed.contains(mv)));
        }
        barred
    }
}

/// Reads one line; a failure comes with the id as far as there is one.
pub(super) fn parse(text: &str, config: &AnalysisConfig) -> Result<(String, Request), (Option<String>, Trouble)> {
    let value: Value = serde_json::from_str(text)
        .map_err(|e| (None, Trouble::new(format!("{e} - could not parse input line as json request: {text}"), None)))?;
    let Value::Object(object) = &value else {
        return Err((None, Trouble::new("Request was not a json object", None)));
    };
    let id = match object.get("id") {
        Some(Value::String(id)) => id.clone(),
        _ => return Err((None, Trouble::new("Request must have a string \"id\" field", Some("id")))),
    };
    let request = match object.get("action") {
        None => query(object, &id, config).map(|(query, warnings)| Request::Query(Box::new(query), warnings)),
        Some(Value::String(action)) => self::action(action, object, &value),
        Some(_) => Err(Trouble::new("Must be a string", Some("action"))),
    };
    match request {
        Ok(request) => Ok((id, request)),
        Err(trouble) => Err((Some(id), trouble)),
    }
}

fn action(name: &str, object: &Map<String, Value>, echo: &Value) -> Result<Request, Trouble> {
    let turns = || match object.get("turnNumbers") {
        None => Ok(None),
        Some(_) => numbers(object, "turnNumbers").map(Some),
    };
    Ok(match name {
        "query_version" => Request::Version(echo.clone()),
        "query_models" => Request::Models(echo.clone()),
        "clear_cache" => Request::ClearCache(echo.clone()),
        "terminate_all" => Request::Terminate { echo: echo.clone(), of: None, turns: turns()? },
        "terminate" => match object.get("terminateId") {
            Some(Value::String(of)) => Request::Terminate { echo: echo.clone(), of: Some(of.clone()), turns: turns()? },
            _ => {
                return Err(Trouble::new(
                    "Requests for a query id must have a \"terminateId\" field as a string",
                    Some("terminateId"),
                ));
            }
        },
        _ => {
            return Err(Trouble::new(
                format!(
                    "'action' field must be 'query_version' or 'query_models' or 'clear_cache' or 'terminate' or 'terminate_all', was: {name}"
                ),
                Some("action"),
            ));
        }
    })
}

fn query(object: &Map<String, Value>, id: &str, config: &AnalysisConfig) -> Result<(Query, Vec<Trouble>), Trouble> {
    let size = size(object)?;
    let rules = rules(object)?;
    let komi = komi(object, &rules)?;
    let stones = pairs(object, "initialStones", size)?.unwrap_or_default();
    let stones: Vec<(Point, Option<Color>)> = stones
        .into_iter()
        .map(|(color, mv)| {
            Ok((mv.point().ok_or_else(|| Trouble::new("Invalid board location: pass", Some("initialStones")))?, Some(color)))
        })
        .collect::<Result<_, Trouble>>()?;
    let mut start = Start { size, rules, komi, stones, to_move: None };
    if start.game().board().chain_without_liberty().is_some() {
        return Err(Trouble::new("Illegal stone placements: a chain has no liberty", Some("initialStones")));
    }
    let moves = pairs(object, "moves", size)?
        .ok_or_else(|| Trouble::new("Must specify an array of [player,location] pairs", Some("moves")))?;
    start.to_move = match object.get("initialPlayer") {
        Some(player) => {
            let color = player.as_str().and_then(Color::parse);
            Some(color.ok_or_else(|| Trouble::new("Must be \"b\" or \"w\"", Some("initialPlayer")))?)
        }
        None => moves.first().map(|(color, _)| *color),
    };
    let mut game = start.game();
    for (i, &(color, mv)) in moves.iter().enumerate() {
        game.play_tolerant(color, mv).map_err(|_| Trouble::new(format!("Illegal move {i}: {}", mv.gtp(size)), Some("moves")))?;
    }
    let Settings { side, mut params, playouts, seconds, mut warnings } = settings(object, config)?;
    if let Some(temperature) = number(object, "rootPolicyTemperature", 0.01..=100.0)? {
        params.root_temperature = temperature as f32;
    }
    if let Some(reduction) = number(object, "rootFpuReductionMax", 0.0..=2.0)? {
        params.fpu_reduction_root = reduction as f32;
    }
    for field in MISSING {
        if flag(object, field)? {
            warnings.push(Trouble::new("Not available", Some(field)));
        }
    }
    for field in ["avoidMoves", "allowMoves"] {
        let entries = object.get(field).and_then(Value::as_array).into_iter().flatten();
        if entries.filter_map(|entry| entry.get("untilDepth")?.as_i64()).any(|depth| depth > 1) {
            warnings.push(Trouble::new("Counts for the first move only: untilDepth is taken for 1", Some(field)));
        }
    }
    let report_every = number(object, "reportDuringSearchEvery", 0.001..=SECONDS_MAX)?;
    let known = |field: &str| FIELDS.contains(&field) || MISSING.contains(&field);
    let unknown = object.keys().filter(|field| !known(field));
    warnings.extend(unknown.map(|field| Trouble::new("Unexpected or unused field, do you have a typo?", Some(field))));
    let query = Query {
        id: id.to_string(),
        turns: turns(object, moves.len())?,
        start,
        moves,
        visits: whole(object, "maxVisits", 1)?.map_or(config.search.visits, |n| n.min(i64::from(u32::MAX)) as u32),
        playouts,
        seconds,
        report_every: report_every.map(Duration::from_secs_f64),
        side,
        params,
        includes_ownership: flag(object, "includeOwnership")?,
        includes_moves_ownership: flag(object, "includeMovesOwnership")?,
        includes_policy: flag(object, "includePolicy")?,
        includes_pv_visits: flag(object, "includePVVisits")?,
        pv_moves_max: whole(object, "analysisPVLen", 1)?.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX)),
        avoided: barred(object, "avoidMoves", size)?,
        allowed: barred(object, "allowMoves", size)?,
    };
    Ok((query, warnings))
}

/// Fields that are acted on.
const FIELDS: [&str; 24] = [
    "id",
    "moves",
    "rules",
    "boardXSize",
    "boardYSize",
    "komi",
    "initialStones",
    "initialPlayer",
    "analyzeTurns",
    "maxVisits",
    "priority",
    "priorities",
    "reportDuringSearchEvery",
    "includeOwnership",
    "includeMovesOwnership",
    "includePolicy",
    "includePVVisits",
    "avoidMoves",
    "allowMoves",
    "overrideSettings",
    "analysisPVLen",
    "rootPolicyTemperature",
    "rootFpuReductionMax",
    "whiteHandicapBonus",
];

fn size(object: &Map<String, Value>) -> Result<Size, Trouble> {
    let side = |field: &'static str| {
        let n = object.get(field).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        n.filter(|n| (2..=19).contains(n)).ok_or_else(|| Trouble::new("Must be an integer from 2 to 19", Some(field)))
    };
    let (w, h) = (side("boardXSize")?, side("boardYSize")?);
    Size::new(w, h).ok_or_else(|| Trouble::new("Must be an integer from 2 to 19", Some("boardXSize")))
}

fn rules(object: &Map<String, Value>) -> Result<Rules, Trouble> {
    let bad = |text: &Value| {
        Trouble::new(format!("Could not parse rules: {}", text.as_str().map_or(text.to_string(), str::to_string)), Some("rules"))
    };
    let mut rules = match object.get("rules") {
        Some(text @ Value::String(name)) => Rules::parse(name).map_err(|_| bad(text)),
        Some(text @ Value::Object(object)) => Rules::from_json(object).map_err(|_| bad(text)),
        _ => Err(Trouble::new("Must specify rules", Some("rules"))),
    }?;
    if let Some(bonus) = object.get("whiteHandicapBonus") {
        let wrong = |_| Trouble::new("Must be \"0\", \"N\" or \"N-1\"", Some("whiteHandicapBonus"));
        rules.set("whiteHandicapBonus", bonus).map_err(wrong)?;
    }
    Ok(rules)
}

fn komi(object: &Map<String, Value>, rules: &Rules) -> Result<f32, Trouble> {
    let bad = || Trouble::new("Must be a integer or half-integer from -400.0 to 400.0", Some("komi"));
    let komi = match object.get("komi") {
        None if rules.scoring == crate::go::rules::Scoring::Territory => 6.5,
        None => 7.5,
        Some(komi) => komi.as_f64().ok_or_else(bad)?,
    };
    if !(-400.0..=400.0).contains(&komi) || (komi * 2.0).fract() != 0.0 {
        return Err(bad());
    }
    Ok(komi as f32)
}

/// A list of colours and vertices; none if the field is not there.
fn pairs(object: &Map<String, Value>, field: &'static str, size: Size) -> Result<Option<Vec<(Color, Move)>>, Trouble> {
    let bad = || Trouble::new("Must be an array of pairs of the form: [\"b\" or \"w\", GTP board vertex]", Some(field));
    let Some(list) = object.get(field) else { return Ok(None) };
    let pair = |pair: &Value| {
        let [color, vertex] = &pair.as_array().ok_or_else(bad)?[..] else { return Err(bad()) };
        let color = color.as_str().and_then(Color::parse).ok_or_else(bad)?;
        let vertex = vertex.as_str().ok_or_else(bad)?;
        let mv = Move::parse_gtp(vertex, size)
            .ok_or_else(|| Trouble::new(format!("Could not parse board location: {vertex}"), Some(field)))?;
        Ok((color, mv))
    };
    list.as_array().ok_or_else(bad)?.iter().map(pair).collect::<Result<_, _>>().map(Some)
}

fn turns(object: &Map<String, Value>, n_moves: usize) -> Result<Vec<(usize, i64)>, Trouble> {
    let turns = match object.get("analyzeTurns") {
        None => vec![n_moves],
        Some(_) => numbers(object, "analyzeTurns")?,
    };
    if turns.len() > TURNS_MAX || turns.iter().any(|&turn| turn > n_moves) {
        return Err(Trouble::new(
            format!("Must be an array of at most {TURNS_MAX} integers from 0 to the number of moves"),
            Some("analyzeTurns"),
        ));
    }
    let priority = whole(object, "priority", i64::MIN)?.unwrap_or(0);
    let priorities = match object.get("priorities") {
        None => vec![priority; turns.len()],
        Some(list) => {
            let list: Option<Vec<i64>> = list.as_array().and_then(|list| list.iter().map(Value::as_i64).collect());
            let list = list.filter(|list| list.len() == turns.len());
            list.ok_or_else(|| Trouble::new("Must be an array of integers, one for each of analyzeTurns", Some("priorities")))?
        }
    };
    Ok(turns.into_iter().zip(priorities).collect())
}

fn numbers(object: &Map<String, Value>, field: &str) -> Result<Vec<usize>, Trouble> {
    let list = object.get(field).and_then(Value::as_array);
    let list: Option<Vec<usize>> =
        list.and_then(|list| list.iter().map(|n| n.as_u64().and_then(|n| n.try_into().ok())).collect());
    list.ok_or_else(|| Trouble::new("Must be an array of integers", Some(field)))
}

fn whole(object: &Map<String, Value>, field: &str, least: i64) -> Result<Option<i64>, Trouble> {
    let Some(value) = object.get(field) else { return Ok(None) };
    match value.as_i64().filter(|&n| n >= least) {
        Some(n) => Ok(Some(n)),
        None => Err(Trouble::new(format!("Must be an integer, at least {least}"), Some(field))),
    }
}

fn number(object: &Map<String, Value>, field: &str, range: std::ops::RangeInclusive<f64>) -> Result<Option<f64>, Trouble> {
    let Some(value) = object.get(field) else { return Ok(None) };
    match value.as_f64().filter(|n| range.contains(n)) {
        Some(n) => Ok(Some(n)),
        None => Err(Trouble::new(format!("Must be a number from {} to {}", range.start(), range.end()), Some(field))),
    }
}

fn flag(object: &Map<String, Value>, field: &str) -> Result<bool, Trouble> {
    match object.get(field) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(Trouble::new("Must be a boolean", Some(field))),
    }
}

/// `avoidMoves` and `allowMoves`: they count for the first move.
fn barred(object: &Map<String, Value>, field: &'static str, size: Size) -> Result<Vec<(Color, Vec<Move>)>, Trouble> {
    let bad = || Trouble::new("Must be an array of dicts with 'player', 'moves' and 'untilDepth'", Some(field));
    let Some(list) = object.get(field) else { return Ok(Vec::new()) };
    let entry = |entry: &Value| {
        let color = entry.get("player").and_then(Value::as_str).and_then(Color::parse).ok_or_else(bad)?;
        let moves = entry.get("moves").and_then(Value::as_array).ok_or_else(bad)?;
        let parse = |name: &Value| name.as_str().and_then(|name| Move::parse_gtp(name, size)).ok_or_else(bad);
        Ok((color, moves.iter().map(parse).collect::<Result<Vec<Move>, Trouble>>()?))
    };
    list.as_array().ok_or_else(bad)?.iter().map(entry).collect()
}

/// What `overrideSettings` changes.
struct Settings {
    side: Side,
    params: Params,
    playouts: u32,
    seconds: Option<f64>,
    warnings: Vec<Trouble>,
}

/// `overrideSettings`; what is not known is a warning.
fn settings(object: &Map<String, Value>, config: &AnalysisConfig) -> Result<Settings, Trouble> {
    const FIELD: &str = "overrideSettings";
    let (mut side, mut playouts, mut seconds, mut warnings) = (config.side, u32::MAX, None, Vec::new());
    let mut params = Params { wide_root_noise: Params::ANALYSIS_WIDE_ROOT_NOISE, ..Params::default() };
    let (mut advantage, mut player) = (0.0, None);
    let none = Map::new();
    let settings = match object.get(FIELD) {
        None => &none,
        Some(Value::Object(settings)) => settings,
        Some(_) => return Err(Trouble::new("Must be an object", Some(FIELD))),
    };
    for (key, value) in settings {
        let bad = || Trouble::new(format!("Could not set settings: {key} to {value}"), Some(FIELD));
        let number = |low: f64, high: f64| value.as_f64().filter(|n| (low..=high).contains(n)).ok_or_else(bad);
        match key.as_str() {
            "reportAnalysisWinratesAs" => {
                side = match value.as_str().map(str::to_ascii_uppercase).as_deref() {
                    Some("BLACK") => Side::Black,
                    Some("WHITE") => Side::White,
                    Some("SIDETOMOVE") => Side::ToMove,
                    _ => return Err(bad()),
                }
            }
            "maxTime" => seconds = Some(number(0.0, 1e30)?).filter(|&s| s < SECONDS_MAX),
            "cpuctExploration" => params.cpuct = number(0.0, 10.0)? as f32,
            "fpuReductionMax" => params.fpu_reduction = number(0.0, 2.0)? as f32,
            "rootFpuReductionMax" => params.fpu_reduction_root = number(0.0, 2.0)? as f32,
            "rootPolicyTemperature" => params.root_temperature = number(0.01, 100.0)? as f32,
            "wideRootNoise" | "analysisWideRootNoise" => params.wide_root_noise = number(0.0, 5.0)? as f32,
            "playoutDoublingAdvantage" => advantage = number(-3.0, 3.0)? as f32,
            "playoutDoublingAdvantagePla" => {
                let name = value.as_str().ok_or_else(bad)?;
                player = if name.is_empty() { None } else { Some(Color::parse(name).ok_or_else(bad)?) };
            }
            "maxPlayouts" => playouts = number(1.0, 1e18)?.min(f64::from(u32::MAX)) as u32,
            // A position is searched by one thread; the others search other positions.
            "numSearchThreads" => {}
            // The moves before the root are always seen.
            "ignorePreRootHistory" if value == &Value::Bool(false) => {}
            _ => warnings.push(Trouble::new(format!("Unknown config params: {key}"), Some(FIELD))),
        }
    }
    params.doubling = (advantage != 0.0).then_some(Doubling { advantage, player });
    Ok(Settings { side, params, playouts, seconds, warnings })
}
