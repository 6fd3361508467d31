//! `kata-get-param` and `kata-set-param`: what programs ask about and change while a game goes on.

use super::Reply;
use super::analyze::general;
use crate::opponent::session::{Ponder, Session, Side};
use crate::search::Doubling;
use serde_json::{Map, Value, json};

/// The parameters that are known.
const NAMES: [&str; 12] = [
    "analysisWideRootNoise",
    "cpuctExploration",
    "fpuReductionMax",
    "maxPlayouts",
    "maxTime",
    "maxVisits",
    "numSearchThreads",
    "playoutDoublingAdvantage",
    "ponderingEnabled",
    "reportAnalysisWinratesAs",
    "rootFpuReductionMax",
    "wideRootNoise",
];

/// What stands for no limit, as KataGo has it.
const NO_LIMIT: &str = "1125899906842624";

pub(super) fn list() -> String {
    NAMES.join(" ")
}

fn value(session: &Session, name: &str) -> Option<String> {
    let (effort, params) = (&session.effort, session.params());
    let limit = |limit: Option<u32>| limit.map_or(NO_LIMIT.to_string(), |n| n.to_string());
    Some(match name {
        "maxVisits" => limit(Some(effort.visits.unwrap_or(session.visits_default()))),
        "maxPlayouts" => limit(effort.playouts),
        "maxTime" => effort.seconds.map_or("1e+20".to_string(), |s| general(s as f32)),
        "numSearchThreads" => "1".to_string(),
        "playoutDoublingAdvantage" => general(params.doubling.map_or(0.0, |d| d.advantage)),
        "analysisWideRootNoise" => general(session.wide_root_noise),
        "wideRootNoise" => general(params.wide_root_noise),
        "ponderingEnabled" => (session.ponder == Ponder::Yes).to_string(),
        "reportAnalysisWinratesAs" => match session.side {
            Side::ToMove => "SIDETOMOVE".to_string(),
            Side::Black => "BLACK".to_string(),
            Side::White => "WHITE".to_string(),
        },
        "cpuctExploration" => general(params.cpuct),
        "fpuReductionMax" => general(params.fpu_reduction),
        "rootFpuReductionMax" => general(params.fpu_reduction_root),
        _ => return None,
    })
}

pub(super) fn get(session: &Session, args: &[&str]) -> Reply {
    match args {
        [name] => value(session, name).ok_or_else(|| "Invalid parameter".to_string()),
        _ => Err(format!("Expected one argument for kata-get-param but got '{}'", args.join(" "))),
    }
}

pub(super) fn get_all(session: &Session) -> String {
    let all: Map<String, Value> =
        NAMES.iter().filter_map(|name| Some((name.to_string(), Value::from(value(session, name)?)))).collect();
    Value::Object(all).to_string()
}

pub(super) fn set(session: &mut Session, args: &[&str]) -> Reply {
    let &[name, value] = args else {
        return Err(format!("Expected two arguments for kata-set-param but got '{}'", args.join(" ")));
    };
    let bad = || format!("Could not set parameter {name} to '{value}'");
    let count = || value.parse::<u64>().ok().filter(|&n| n > 0).map(|n| n.min(u64::from(u32::MAX)) as u32).ok_or_else(bad);
    let number = |low: f32, high: f32| value.parse::<f32>().ok().filter(|n| (low..=high).contains(n)).ok_or_else(bad);
    let mut params = session.params().clone();
    match name {
        "maxVisits" => session.effort.visits = Some(count()?),
        "maxPlayouts" => session.effort.playouts = Some(count()?),
        "maxTime" => session.effort.seconds = Some(f64::from(number(0.0, 1e20)?)).filter(|&s| s < 1e6),
        "ponderingEnabled" => {
            session.ponder = match value {
                "true" => Ponder::Yes,
                "false" => Ponder::No,
                _ => return Err(bad()),
            }
        }
        "reportAnalysisWinratesAs" => {
            session.side = match value.to_ascii_uppercase().as_str() {
                "SIDETOMOVE" => Side::ToMove,
                "BLACK" => Side::Black,
                "WHITE" => Side::White,
                _ => return Err(bad()),
            }
        }
        "cpuctExploration" => params.cpuct = number(0.0, 10.0)?,
        "fpuReductionMax" => params.fpu_reduction = number(0.0, 2.0)?,
        "rootFpuReductionMax" => params.fpu_reduction_root = number(0.0, 2.0)?,
        // One thread searches; the backend has those of the profile. Programs send this without looking.
        "numSearchThreads" => drop(count()?),
        "playoutDoublingAdvantage" => {
            let advantage = number(-3.0, 3.0)?;
            params.doubling = (advantage != 0.0).then_some(Doubling { advantage, player: None });
        }
        "analysisWideRootNoise" => session.wide_root_noise = number(0.0, 5.0)?,
        "wideRootNoise" => params.wide_root_noise = number(0.0, 5.0)?,
        _ => return Err("Invalid parameter".to_string()),
    }
    session.set_params(params);
    Ok(String::new())
}

/// GoGui's dialog: without arguments the settings, with two a change.
pub(super) fn gogui(session: &mut Session, args: &[&str]) -> Reply {
    if let &[name, told] = args {
        // Its boxes are ticked in numbers.
        let told = match (name, told) {
            ("ponderingEnabled", "1") => "true",
            ("ponderingEnabled", "0") => "false",
            _ => told,
        };
        return set(session, &[name, told]);
    }
    let lines = [("maxVisits", "string"), ("maxTime", "string"), ("ponderingEnabled", "bool")].map(|(name, kind)| {
        let told = value(session, name).unwrap_or_default();
        let told = match told.as_str() {
            "true" => "1",
            "false" => "0",
            other => other,
        };
        format!("[{kind}] {name} {told}")
    });
    Ok(lines.join("\n"))
}

pub(super) fn models(session: &mut Session) -> String {
    let (name, batch_max, version) = (session.describe(), session.batch_max(), session.model_version());
    json!([{"name": name, "internalName": name, "maxBatchSize": batch_max, "usesHumanSLProfile": false, "usingFP16": "false", "version": version}]).to_string()
}
