//! What Sabaki, Lizzie, LizzieYzy, GoGui and KaTrain send when they start, and what each needs to read in the answers.

mod common;
#[path = "common/engine.rs"]
mod engine;

use common::TempDir;
use edgezero::net::{NetConfig, tensors};
use engine::Engine;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;

/// A net that has learnt nothing: all of this is about words.
fn net(dir: &Path) -> String {
    let path = dir.join("net.safetensors");
    tensors::save(&path, &NetConfig::named("b2c32").unwrap().init(1)).unwrap();
    path.to_str().unwrap().to_string()
}

fn gtp(dir: &TempDir, more: &[&str]) -> Engine {
    let net = net(dir.path());
    Engine::start(["gtp", "--net", &net, "--visits", "30", "--threads", "1"].iter().chain(more))
}

const KATAGO: [&str; 4] = ["--gtp-name", "KataGo", "--gtp-version", "1.17.2"];

fn is_vertex(word: &str) -> bool {
    let (letter, number) = word.split_at(1);
    word == "pass" || ("ABCDEFGHJKLMNOPQRST".contains(letter) && number.parse().is_ok_and(|n: u32| (1..=19).contains(&n)))
}

/// A candidate as Sabaki and the Lizzies take it apart: keys with one value each, then `pv` and its moves to the end of the
/// segment or up to the next word that is no vertex.
fn candidates(line: &str) -> Vec<HashMap<String, String>> {
    let segments = line.strip_prefix("info ").unwrap_or_else(|| panic!("no report: {line:?}")).split(" info ");
    segments
        .map(|segment| {
            let mut words = segment.split(' ').peekable();
            let mut found = HashMap::new();
            while let Some(key) = words.next() {
                if key == "pv" {
                    let mut moves = Vec::new();
                    while let Some(mv) = words.next_if(|word| is_vertex(word)) {
                        moves.push(mv);
                    }
                    assert!(!moves.is_empty(), "{segment}");
                    found.insert("pv".to_string(), moves.join(" "));
                    break;
                }
                found
                    .insert(key.to_string(), words.next().unwrap_or_else(|| panic!("{key} has no value: {segment}")).to_string());
            }
            assert!(is_vertex(&found["move"]) && found["pv"].starts_with(&found["move"]), "{segment}");
            found["visits"].parse::<u32>().unwrap();
            found
        })
        .collect()
}

#[track_caller]
fn is_fraction(text: &str) {
    assert!(text.parse::<f64>().is_ok_and(|x| (0.0..=1.0).contains(&x)), "{text}");
}

/// The numbers after the word `ownership`, which ends the line.
fn ownership(line: &str) -> Vec<f64> {
    let (_, numbers) = line.split_once("ownership ").unwrap_or_else(|| panic!("no ownership: {line}"));
    numbers.split(' ').map_while(|n| n.parse().ok()).collect()
}

/// Reads the reports of an analysis with the sign `head` until there are two, then breaks it with `next`.
fn break_analysis(engine: &mut Engine, head: &str, next: &str) -> Vec<String> {
    assert_eq!(engine.line(), head);
    let mut reports = vec![engine.line(), engine.line()];
    engine.send(next);
    loop {
        match engine.line() {
            line if line.is_empty() => return reports,
            line => reports.push(line),
        }
    }
}

#[test]
fn sabaki() {
    let dir = TempDir::new("sabaki");
    let mut engine = gtp(&dir, &[]);
    for command in ["name", "version", "protocol_version", "list_commands"] {
        engine.send(command);
    }
    assert_eq!(engine.reply(), "= edgezero");
    assert!(engine.reply().starts_with("= "));
    assert_eq!(engine.reply(), "= 2");
    let commands = engine.reply();
    let commands: Vec<&str> = commands[2..].lines().collect();
    assert_eq!(commands[0], "protocol_version");
    // Listed, `analyze` would have to speak in ten-thousandths.
    let first = ["analyze", "kata-analyze", "lz-analyze"].into_iter().find(|name| commands.contains(name));
    assert_eq!(first, Some("kata-analyze"));
    for command in ["komi 6.5", "boardsize 9", "clear_board", "set_free_handicap C3 G7", "play W E5"] {
        assert_eq!(engine.result(command), "", "{command}");
    }
    engine.send("kata-analyze B 2");
    for line in break_analysis(&mut engine, "=", "protocol_version") {
        for found in candidates(&line) {
            is_fraction(&found["winrate"]);
            found["scoreLead"].parse::<f64>().unwrap();
            // Its variation has to be the end of a segment.
            assert!(!line.contains("pvVisits") && !line.contains("rootInfo") && !line.contains("ownership"));
        }
    }
    assert_eq!(engine.reply(), "= 2");
    assert_eq!(engine.result("undo"), "");
    assert!(["genmove_analyze", "kata-genmove_analyze"].iter().any(|name| commands.contains(name)));
    let told = engine.ask("kata-genmove_analyze W 2");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "=");
    let played = lines.last().unwrap().strip_prefix("play ").unwrap();
    assert!(is_vertex(played), "{told}");
    assert!(lines.len() > 2 && lines[1..lines.len() - 1].iter().all(|line| !candidates(line).is_empty()), "{told}");
    for command in ["rectangular_boardsize 9 13", "clear_board", "play B J13"] {
        assert_eq!(engine.result(command), "", "{command}");
    }
    assert_eq!(engine.result("quit"), "");
    assert!(engine.end().0.is_empty());
}

#[test]
fn lizzie() {
    let dir = TempDir::new("lizzie");
    let mut engine = gtp(&dir, &KATAGO);
    assert!(engine.ask("1 name").starts_with("=1 KataGo"));
    // Written a.b, of which it parses b.
    let version = engine.ask("2 version");
    assert!(version.strip_prefix("=2 ").unwrap().split('.').nth(1).unwrap().parse::<u32>().is_ok(), "{version}");
    assert_eq!(engine.ask("3 boardsize 19"), "=3 ");
    assert_eq!(engine.ask("4 komi 7.5"), "=4 ");
    engine.send("5 kata-analyze 2 ownership true");
    for line in break_analysis(&mut engine, "=5", "6 name") {
        assert_eq!(ownership(&line).len(), 361);
        for found in candidates(&line) {
            for key in ["winrate", "prior"] {
                is_fraction(&found[key]);
            }
            for key in ["lcb", "scoreMean", "scoreStdev"] {
                found[key].parse::<f64>().unwrap();
            }
        }
    }
    assert_eq!(engine.reply(), "=6 KataGo");
    for (id, command) in ["play B Q16", "undo", "clear_board", "time_settings 0 2 1"].iter().enumerate() {
        assert_eq!(engine.ask(&format!("{} {command}", id + 7)), format!("={} ", id + 7));
    }
    assert!(is_vertex(engine.ask("11 genmove b").strip_prefix("=11 ").unwrap()));
    engine.send("12 lz-analyze 2 avoid b C3,Q16 1");
    for line in break_analysis(&mut engine, "=12", "13 clear_board") {
        for found in candidates(&line) {
            for key in ["winrate", "prior", "lcb"] {
                assert!(found[key].parse::<u32>().is_ok_and(|n| n <= 10_000), "{line}");
            }
        }
    }
    assert_eq!(engine.reply(), "=13 ");
    assert!(engine.ask("14 fixed_handicap 4").strip_prefix("=14 ").unwrap().split(' ').all(is_vertex));
    assert!(engine.ask("15 lz-genmove_analyze b 2").lines().last().unwrap().starts_with("play "));
    assert_eq!(engine.ask("16 quit"), "=16 ");
    // It reads both outputs as one.
    let told = engine.end().1;
    let looks_like_a_reply =
        |line: &String| ["info", "=", "?", "play"].iter().any(|sign| line.starts_with(sign)) || line.contains(" -> ");
    assert!(!told.iter().any(looks_like_a_reply), "{told:?}");
}

#[test]
fn lizzieyzy() {
    let dir = TempDir::new("lizzieyzy");
    let mut engine = gtp(&dir, &KATAGO);
    assert_eq!(engine.result("name"), "KataGo");
    assert_eq!(engine.result("version").split('.').map(|n| n.parse::<u32>().unwrap()).take(2).collect::<Vec<_>>(), [1, 17]);
    let commands = engine.result("list_commands");
    assert!(commands.starts_with("protocol_version\n"));
    for name in ["stop", "kata-set-rules", "kata-get-rules", "kata-raw-nn", "lz-analyze", "kata-genmove_analyze", "set_position"]
    {
        assert!(commands.lines().any(|known| known == name), "{name}");
    }
    assert_eq!(engine.ask("komi 7.25").split(':').next(), Some("? komi must be an integer or half-integer"));
    assert_eq!(engine.ask("komi 1000"), "? unacceptable komi");
    for command in
        ["komi 7.5", "boardsize 19", r#"kata-set-rules {"ko":"SIMPLE","scoring":"TERRITORY","tax":"SEKI","suicide":false}"#]
    {
        assert_eq!(engine.result(command), "", "{command}");
    }
    for name in ["playoutDoublingAdvantage", "analysisWideRootNoise"] {
        engine.result(&format!("kata-get-param {name}")).parse::<f64>().unwrap();
        assert_eq!(engine.result(&format!("kata-set-param {name} 0")), "");
    }
    assert_eq!(engine.result("kata-set-param numSearchThreads 2"), "");
    let rules: Value = serde_json::from_str(&engine.result("kata-get-rules")).unwrap();
    assert_eq!((&rules["scoring"], &rules["ko"]), (&json!("TERRITORY"), &json!("SIMPLE")));
    engine.send("kata-analyze B 2 ownership true pvVisits true movesOwnership true");
    for line in break_analysis(&mut engine, "=", "stop") {
        assert_eq!(ownership(&line).len(), 361);
        assert!(line.contains(" pvVisits ") && candidates(&line).iter().all(|found| found.contains_key("scoreLead")));
    }
    assert_eq!(engine.reply(), "= ");
    // The heat map: as many numbers a row as the board is wide.
    let heat = engine.result("kata-raw-nn 0");
    let rows: Vec<&str> = heat.lines().skip_while(|line| *line != "policy").skip(1).take(19).collect();
    assert!(rows.iter().all(|row| row.split_whitespace().count() == 19), "{heat}");
    for command in ["time_settings 0 2 1", "time_left b 2 1", "set_position B C3 W C4"] {
        assert_eq!(engine.result(command), "", "{command}");
    }
    assert!(engine.ask("kata-genmove_analyze B 10").lines().last().unwrap().starts_with("play "));
    assert_eq!(engine.result("quit"), "");
    engine.end();
}

#[test]
fn gogui() {
    let dir = TempDir::new("gogui");
    let mut engine = gtp(&dir, &[]);
    assert_eq!(engine.result("name"), "edgezero");
    assert_eq!(engine.result("protocol_version"), "2");
    assert!(!engine.result("version").is_empty());
    let commands = engine.result("list_commands");
    let is_listed = |name: &str| commands.lines().any(|known| known == name);
    for command in ["gogui-interrupt", "gogui-sigint", "gogui-rules_game_id", "gogui-version 1.6"] {
        let name = command.split(' ').next().unwrap();
        assert_eq!(engine.ask(command).starts_with('='), is_listed(name), "{command}");
    }
    // Lines of type, label and command; each of them works once the placeholders are filled in.
    const TYPES: [&str; 11] = ["gfx", "dboard", "cboard", "sboard", "bwboard", "plist", "string", "var", "varc", "param", "none"];
    let analyze = engine.result("gogui-analyze_commands");
    for line in analyze.lines() {
        let fields: Vec<&str> = line.split('/').collect();
        assert!(fields.len() == 3 && TYPES.contains(&fields[0]), "{line}");
        let command = fields[2].replace("%m", "b").replace("%c", "w").replace("%p", "C3").replace("%s", "0");
        let reply = engine.ask(&command);
        assert!(reply.starts_with('='), "{command}: {reply}");
    }
    for command in ["boardsize 9", "clear_board", "komi 6.5", "time_settings 0 60 5", "gogui-play_sequence B E5 W C3"] {
        assert_eq!(engine.result(command), "", "{command}");
    }
    assert!(is_vertex(&engine.result("genmove b")));
    assert!(is_vertex(&engine.result("kgs-genmove_cleanup w")));
    assert_eq!(engine.result("gg-undo 2"), "");
    assert_eq!(engine.result("undo"), "");
    assert!(engine.ask("final_status_list dead").starts_with('='));
    assert!(engine.result("cputime").parse::<f64>().is_ok());
    assert_eq!(engine.result("quit"), "");
    engine.end();
}

/// KaTrain's queries as it builds them: a node's, one to ponder on, and the one that ends it.
#[test]
fn katrain() {
    let dir = TempDir::new("katrain");
    let net = net(dir.path());
    let config = dir.path().join("analysis.cfg");
    std::fs::write(&config, "maxVisits = 10\n").unwrap();
    let config = config.to_str().unwrap();
    let args = ["analysis", "-model", &net, "-config", config, "-override-config", "homeDataDir=/tmp,numSearchThreads=2"];
    let mut engine = Engine::start(args);
    let query = |id: u32, visits: u32, rules: Value| {
        json!({"id": format!("QUERY:{id}"), "rules": rules, "priority": 0, "analyzeTurns": [2], "maxVisits": visits, "komi": 6.5,
            "boardXSize": 9, "boardYSize": 9, "includeOwnership": true, "includeMovesOwnership": true, "includePolicy": true,
            "initialStones": [["B", "G7"]], "initialPlayer": "B", "moves": [["B", "E5"], ["W", "C3"]],
            "overrideSettings": {"reportAnalysisWinratesAs": "BLACK", "wideRootNoise": 0.04, "maxTime": 8.0}})
    };
    let answer = |engine: &Engine| -> Value { serde_json::from_str(&engine.line()).unwrap() };
    let names = ["japanese", "chinese", "korean", "aga", "tromp-taylor", "new zealand", "stone_scoring"];
    for (id, name) in (1..).zip(names) {
        engine.send(&query(id, 12, json!(name)).to_string());
        let told = answer(&engine);
        assert_eq!((&told["id"], &told["isDuringSearch"]), (&json!(format!("QUERY:{id}")), &json!(false)), "{told}");
        assert!(told["rootInfo"]["winrate"].is_f64() && told["rootInfo"]["scoreLead"].is_f64(), "{told}");
        assert_eq!((told["ownership"].as_array().unwrap().len(), told["policy"].as_array().unwrap().len()), (81, 82));
        for info in told["moveInfos"].as_array().unwrap() {
            let keys = ["move", "order", "visits", "scoreLead", "winrate", "pv", "prior"];
            assert!(keys.iter().all(|key| !info[key].is_null()), "{info}");
        }
    }
    let mut ponder = query(20, 10_000_000, json!("japanese"));
    ponder["overrideSettings"]["maxTime"] = json!(1e9);
    ponder["reportDuringSearchEvery"] = json!(0.05);
    engine.send(&ponder.to_string());
    let told = answer(&engine);
    assert!(told["isDuringSearch"] == true && told["rootInfo"]["visits"].as_u64() > Some(0), "{told}");
    engine.send(&json!({"id": "QUERY:21", "action": "terminate", "terminateId": "QUERY:20"}).to_string());
    let (mut echoed, mut ended) = (0, 0);
    while echoed == 0 || ended == 0 {
        let told = answer(&engine);
        echoed += usize::from(told["action"] == "terminate");
        ended += usize::from(told["id"] == "QUERY:20" && told["isDuringSearch"] == false);
    }
    engine.send(&json!({"id": "QUERY:22", "moves": []}).to_string());
    assert!(answer(&engine)["error"].is_string());
    let (out, err) = engine.end();
    assert!(out.is_empty(), "{out:?}");
    assert!(!err.iter().any(|line| line.contains("what()") || line.contains("Uncaught exception")), "{err:?}");
}

/// Everything KataGo was sent when it was recorded succeeds or fails here as it did there.
#[test]
fn a_recorded_session_of_katago() {
    let Some(data) = common::data() else { return };
    let recorded = std::fs::read_to_string(data.join("katago/gtp_transcript.txt")).unwrap();
    let sign_of = |line: &str| {
        let (sign, rest) = (line.chars().next()?, line.get(1..)?);
        let id: String = rest.chars().take_while(char::is_ascii_digit).collect();
        "=?".contains(sign).then(|| format!("{sign}{id}"))
    };
    let expected: Vec<String> = recorded.lines().filter_map(sign_of).collect();
    let dir = TempDir::new("recorded");
    let mut engine = gtp(&dir, &KATAGO);
    let mut told = Vec::new();
    let mut is_analysis = false;
    for command in recorded.lines().filter_map(|line| line.strip_prefix("> ")) {
        let command = command.trim();
        if is_analysis {
            engine.line();
        }
        engine.send(command);
        if is_analysis {
            while !engine.line().is_empty() {}
        }
        is_analysis = command.contains("analyze") && !command.contains("genmove");
        let reply = if is_analysis { engine.line() } else { engine.reply() };
        told.push(sign_of(&reply).unwrap());
    }
    assert!(told.len() > 40);
    assert_eq!(told, expected);
    engine.end();
}
