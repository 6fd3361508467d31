//! Sessions of the analysis protocol.

use super::*;
use crate::base::rng::{below, mix, rng};
use crate::base::signal::Stop;
use crate::infer::scripted::Scripted;
use crate::infer::{self, Batcher, Evaluation};
use crate::opponent::gtp::Lines;
use rand::Rng as _;

struct All<I>(I);

impl<I: Iterator<Item = std::io::Result<Line>>> Input for All<I> {
    fn next_line(&mut self) -> Option<std::io::Result<Line>> {
        self.0.next()
    }
    fn is_waiting(&mut self) -> bool {
        true
    }
}

/// A script that says it is a net of version 11.
struct Eleventh<E>(E);

impl<E: Evaluator> Evaluator for Eleventh<E> {
    fn evaluate(&mut self, rows: &[infer::Request<'_>], out: &mut [Evaluation]) -> Result<()> {
        self.0.evaluate(rows, out)
    }
    fn batch_max(&self) -> usize {
        self.0.batch_max()
    }
    fn describe(&self) -> String {
        self.0.describe()
    }
    fn version(&self) -> u32 {
        11
    }
}

fn ask(n_workers: usize, lines: &str) -> Vec<Value> {
    let net = Scripted::new(8, |request| {
        let mut bits = request.row.iter().fold(1, |h, &b| mix(h ^ u64::from(b)));
        let mut answer = Evaluation::even(request.len);
        answer.policy.iter_mut().for_each(|logit| {
            bits = mix(bits);
            *logit = (bits >> 40) as f32 / (1 << 22) as f32;
        });
        answer.value = [1.0, 0.0, -9.0];
        answer
    });
    let batcher = Batcher::new(Box::new(Eleventh(net)), Duration::from_millis(1));
    let clients = (0..n_workers).map(|_| Box::new(batcher.client()) as Box<dyn Evaluator>).collect();
    let search = SearchConfig { tree_mb: 4, cache_mb: 1, visits: 20, batch_size: 2 };
    let mut out = Vec::new();
    serve(
        clients,
        AnalysisConfig { search, side: Side::ToMove, stop: Stop::default(), at_end: AtEnd::Finish },
        &mut All(Lines::new(lines.as_bytes())),
        &mut out,
    )
    .unwrap();
    String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of<'a>(answers: &'a [Value], id: &str) -> Vec<&'a Value> {
    answers.iter().filter(|a| a["id"] == id).collect()
}

#[test]
fn a_recorded_session_is_answered() {
    let lines = r#"{"id":"v","action":"query_version"}
{"id":"QUERY:1","rules":"japanese","priority":0,"analyzeTurns":[4],"maxVisits":12,"komi":6.5,"boardXSize":9,"boardYSize":9,"includeOwnership":true,"includeMovesOwnership":true,"includePolicy":true,"initialStones":[],"initialPlayer":"B","moves":[["B","E5"],["W","C3"],["B","G4"],["W","pass"]],"overrideSettings":{"reportAnalysisWinratesAs":"BLACK","wideRootNoise":0.04,"maxTime":8}}
{"id":"2","rules":"chinese","komi":7.5,"boardXSize":9,"boardYSize":9,"moves":[],"initialStones":[["B","E5"],["W","D4"]],"initialPlayer":"W","analyzeTurns":[0],"maxVisits":5,"includePVVisits":true}
{"id":"3","rules":"chinese","komi":7.5,"boardXSize":9,"boardYSize":9,"moves":[["B","E5"],["W","E5"]]}
{"id":"4","rules":"nonsense","komi":7.5,"boardXSize":9,"boardYSize":9,"moves":[]}
{"id":"5","rules":"chinese","komi":7.5,"boardXSize":9,"boardYSize":9,"moves":[],"fooBar":1,"maxVisits":2}
{"id":"6","rules":"chinese","boardXSize":9,"boardYSize":9}
not json
{"id":"7","rules":"tromp-taylor","komi":7.5,"boardXSize":9,"boardYSize":5,"moves":[["B","E5"]],"analyzeTurns":[0,1],"maxVisits":3,"reportDuringSearchEvery":0.05}
{"id":"m","action":"query_models"}
{"id":"t","action":"terminate","terminateId":"zzz"}
{"id":"c","action":"clear_cache"}
{"id":"8","rules":"tromp-taylor","komi":7.25,"boardXSize":9,"boardYSize":9,"moves":[["B","E5"]],"maxVisits":3}
{"id":"9","rules":"tromp-taylor","komi":7.5,"boardXSize":9,"boardYSize":9,"moves":[["B","pass"],["W","pass"]],"maxVisits":3}
"#;
    for n_workers in [1, 3] {
        let answers = ask(n_workers, lines);
        let first = of(&answers, "QUERY:1")[0];
        assert_eq!(
            (&first["turnNumber"], &first["rootInfo"]["visits"], &first["rootInfo"]["currentPlayer"]),
            (&json!(4), &json!(12), &json!("B"))
        );
        assert_eq!(first["ownership"].as_array().unwrap().len(), 81);
        let policy = first["policy"].as_array().unwrap();
        assert_eq!((policy.len(), &policy[4 * 9 + 4]), (82, &json!(-1.0)), "E5 is taken");
        let infos = first["moveInfos"].as_array().unwrap();
        assert!(infos.iter().all(|m| m["ownership"].as_array().is_some_and(|o| o.len() == 81)));
        assert!(infos.iter().enumerate().all(|(i, m)| m["order"] == i && m["pv"][0] == m["move"] && m["winrate"].is_f64()));
        // The net likes whoever is to move.
        assert!(first["rootInfo"]["rawWinrate"].as_f64().unwrap() > 0.7);
        let second = of(&answers, "2")[0];
        assert_eq!((&second["rootInfo"]["currentPlayer"], &second["turnNumber"]), (&json!("W"), &json!(0)));
        assert!(second["moveInfos"][0]["pvVisits"].is_array() && second.get("ownership").is_none());
        assert_eq!(*of(&answers, "3")[0], json!({"error": "Illegal move 1: E5", "field": "moves", "id": "3"}));
        assert_eq!(*of(&answers, "4")[0], json!({"error": "Could not parse rules: nonsense", "field": "rules", "id": "4"}));
        let fifth = of(&answers, "5");
        assert!(fifth.len() == 2 && fifth[0]["field"] == "fooBar" && fifth[1]["rootInfo"]["visits"] == 2);
        assert_eq!(of(&answers, "6")[0]["error"], "Must specify an array of [player,location] pairs");
        let turns: Vec<&Value> =
            of(&answers, "7").iter().filter(|a| a["isDuringSearch"] == false).map(|a| &a["turnNumber"]).collect();
        assert!(turns.len() == 2 && turns.contains(&&json!(0)) && turns.contains(&&json!(1)));
        assert_eq!(of(&answers, "8")[0]["field"], "komi");
        assert_eq!(of(&answers, "9")[0]["rootInfo"]["visits"], 3);
        assert!(of(&answers, "v")[0]["version"].is_string() && of(&answers, "m")[0]["models"][0]["name"].is_string());
        assert_eq!(of(&answers, "m")[0]["models"][0]["version"], 11);
        assert_eq!(*of(&answers, "t")[0], json!({"action": "terminate", "id": "t", "terminateId": "zzz"}));
        assert!(answers.iter().any(|a| a["id"].is_null() && a["error"].as_str().unwrap().contains("could not parse input line")));
    }
}

#[test]
fn what_is_asked_for_is_done_or_refused() {
    const POSITION: &str = r#""rules":"chinese","komi":7.5,"boardXSize":5,"boardYSize":5,"moves":[["B","C3"]]"#;
    let lines = [
        r#""id":"owners","maxVisits":20000,"includeMovesOwnership":true,"reportDuringSearchEvery":0.02"#,
        r#""id":"pv","maxVisits":200,"analysisPVLen":2,"includePVVisits":true"#,
        r#""id":"playouts","overrideSettings":{"maxPlayouts":7,"wideRootNoise":0.5,"playoutDoublingAdvantage":1,"playoutDoublingAdvantagePla":"BLACK"}"#,
        r#""id":"missing","maxVisits":3,"includeOwnershipStdev":true,"overrideSettings":{"antiMirror":true}"#,
        r#""id":"bonus","maxVisits":3,"whiteHandicapBonus":"N-1""#,
        r#""id":"bad","maxVisits":3,"whiteHandicapBonus":"M""#,
        r#""id":"worse","overrideSettings":{"playoutDoublingAdvantagePla":"GREEN"}"#,
    ];
    let lines: String = lines.iter().map(|line| format!("{{{line},{POSITION}}}\n")).collect();
    let answers = ask(2, &lines);
    assert!(of(&answers, "owners").iter().any(|a| a["isDuringSearch"] == true), "no interim report");
    for answer in of(&answers, "owners") {
        let infos = answer["moveInfos"].as_array().unwrap();
        assert!(!infos.is_empty() && infos.iter().all(|m| m["ownership"].as_array().is_some_and(|o| o.len() == 25)));
    }
    let pv = &of(&answers, "pv")[0]["moveInfos"][0];
    assert_eq!((pv["pv"].as_array().unwrap().len(), pv["pvVisits"].as_array().unwrap().len()), (2, 2));
    assert_eq!(of(&answers, "playouts")[0]["rootInfo"]["visits"], 8);
    let missing: Vec<&Value> = of(&answers, "missing").iter().filter_map(|a| a.get("warning")).collect();
    assert_eq!(missing, ["Unknown config params: antiMirror", "Not available"]);
    assert!(of(&answers, "bonus")[0].get("rootInfo").is_some());
    assert_eq!(
        (&of(&answers, "bad")[0]["field"], &of(&answers, "worse")[0]["field"]),
        (&json!("whiteHandicapBonus"), &json!("overrideSettings"))
    );
}

#[test]
fn what_is_terminated_answers_once() {
    // One worker: the first would take for ever, the others wait behind it.
    let position = r#""rules":"chinese","komi":7.5,"boardXSize":9,"boardYSize":9,"moves":[],"maxVisits":100000000"#;
    let query = |id: &str| format!("{{\"id\":\"{id}\",{position}}}\n");
    let end = r#"{"id":"x","action":"terminate","terminateId":"a"}"#;
    let lines = format!("{}{}{}{end}\n{{\"id\":\"y\",\"action\":\"terminate_all\"}}\n", query("a"), query("b"), query("c"));
    let answers = ask(1, &lines);
    for id in ["a", "b", "c"] {
        assert_eq!(of(&answers, id).len(), 1, "{id}");
    }
    assert!(of(&answers, "c")[0]["noResults"] == true);
}

#[test]
fn each_query_has_visits_of_its_own() {
    let query = |id: &str, more: &str| {
        let position = r#""rules":"chinese","komi":7.5,"boardXSize":5,"boardYSize":5,"moves":[]"#;
        format!("{{\"id\":\"{id}\",{position}{more}}}\n")
    };
    let first = ask(1, &query("a", r#","maxVisits":60"#));
    let tried: Vec<String> = of(&first, "a")[0]["moveInfos"].as_array().unwrap().iter().map(|m| m["move"].to_string()).collect();
    let avoid =
        format!(",\"maxVisits\":60,\"avoidMoves\":[{{\"player\":\"B\",\"moves\":[{}],\"untilDepth\":2}}]", tried[..2].join(","));
    let other = r#","maxVisits":20,"rootPolicyTemperature":5,"overrideSettings":{"wideRootNoise":0}"#;
    let lines = query("a", r#","maxVisits":60"#) + &query("b", &avoid) + &query("c", other) + &query("d", r#","maxVisits":60"#);
    let answers = ask(1, &lines);
    let answer = |id: &str| *of(&answers, id).last().unwrap();
    let sum = |id: &str| answer(id)["moveInfos"].as_array().unwrap().iter().map(|m| m["visits"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(["a", "b", "c", "d"].map(|id| answer(id)["rootInfo"]["visits"].as_u64().unwrap()), [60, 60, 20, 60]);
    assert_eq!(["a", "b", "c", "d"].map(sum), [59, 59, 19, 59]);
    assert_eq!(answer("a")["moveInfos"], answer("d")["moveInfos"]);
    let told = answer("b")["moveInfos"].to_string();
    assert!(tried[..2].iter().all(|mv| !told.contains(&format!("\"move\":{mv}"))), "{told}");
    assert_eq!(of(&answers, "b")[0]["field"], "avoidMoves", "a warning that only the first move counts");
}

#[test]
fn a_stop_ends_what_waits() {
    let stop = Stop::default();
    let (mut n_asked, asked) = (0, stop.clone());
    let net = Scripted::new(8, move |request| {
        n_asked += 1;
        if n_asked == 30 {
            asked.request();
        }
        Evaluation::even(request.len)
    });
    let search = SearchConfig { tree_mb: 4, cache_mb: 0, visits: 20, batch_size: 2 };
    let config = AnalysisConfig { search, side: Side::ToMove, stop, at_end: AtEnd::Finish };
    let line = |i| format!("{{\"id\":\"{i}\",\"rules\":\"aga\",\"boardXSize\":9,\"boardYSize\":9,\"moves\":[]}}\n");
    let lines: String = (0..40).map(line).collect();
    let mut out = Vec::new();
    serve(vec![Box::new(net)], config, &mut All(Lines::new(lines.as_bytes())), &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert_eq!(out.lines().count(), 2, "the first, and what was under way\n{out}");
}

#[test]
fn what_waits_takes_little_memory() {
    let moves: Vec<String> =
        (0..9).flat_map(|x| (1..=9).map(move |y| format!("[\"B\",\"{}{y}\"]", (b'A' + x + x / 8) as char))).collect();
    let line =
        format!("{{\"id\":\"a\",\"rules\":\"aga\",\"boardXSize\":9,\"boardYSize\":9,\"moves\":[{}]}}", moves[..60].join(","));
    let search = SearchConfig { tree_mb: 4, cache_mb: 0, visits: 20, batch_size: 2 };
    let config = AnalysisConfig { search, side: Side::ToMove, stop: Stop::default(), at_end: AtEnd::Finish };
    let Ok((_, Request::Query(query, _))) = query::parse(&line, &config) else { panic!("{line}") };
    assert!((300..2000).contains(&query.bytes()), "{}", query.bytes());
    assert_eq!(query.game(60).board().count(crate::go::Color::Black), 60);
}

#[test]
fn what_is_open_at_the_end_may_be_dropped() {
    let net = Scripted::new(8, |request| {
        std::thread::sleep(Duration::from_millis(1));
        Evaluation::even(request.len)
    });
    let search = SearchConfig { tree_mb: 4, cache_mb: 0, visits: u32::MAX, batch_size: 2 };
    let config = AnalysisConfig { search, side: Side::ToMove, stop: Stop::default(), at_end: AtEnd::Quit };
    let line = |i| format!("{{\"id\":\"{i}\",\"rules\":\"aga\",\"boardXSize\":9,\"boardYSize\":9,\"moves\":[]}}\n");
    let lines: String = (0..40).map(line).collect();
    let mut out = Vec::new();
    serve(vec![Box::new(net)], config, &mut All(Lines::new(lines.as_bytes())), &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().lines().count() < 40);
}

#[test]
fn priorities_come_first() {
    let query = |id: &str, priority: i64| {
        format!(
            "{{\"id\":\"{id}\",\"rules\":\"aga\",\"boardXSize\":5,\"boardYSize\":5,\"moves\":[],\"maxVisits\":300,\"priority\":{priority}}}\n"
        )
    };
    let lines: String = [("a", 0), ("b", 0), ("c", 5), ("d", 9), ("e", 0)].iter().map(|&(id, p)| query(id, p)).collect();
    let ids: Vec<String> = ask(1, &lines).iter().map(|a| a["id"].as_str().unwrap().to_string()).collect();
    assert_eq!(ids.len(), 5);
    let at = |id: &str| ids.iter().position(|i| i == id).unwrap();
    assert!(at("b") < at("e"), "{ids:?}");
}

#[test]
fn bad_lines_get_an_error_each() {
    const PARTS: [&str; 22] = [
        r#""id":"a""#,
        r#""id":7"#,
        r#""rules":"chinese""#,
        r#""rules":{"ko":"SIMPLE"}"#,
        r#""rules":3"#,
        r#""boardXSize":5"#,
        r#""boardYSize":5"#,
        r#""boardXSize":-1"#,
        r#""moves":[["B","A1"]]"#,
        r#""moves":[["B"]]"#,
        r#""moves":[]"#,
        r#""komi":1e99"#,
        r#""maxVisits":0"#,
        r#""maxVisits":3"#,
        r#""analyzeTurns":[9]"#,
        r#""analyzeTurns":[0]"#,
        r#""action":"fly""#,
        r#""priority":1.5"#,
        r#""initialStones":[["W","pass"]]"#,
        r#""overrideSettings":{"maxTime":"x"}"#,
        r#""avoidMoves":[{"player":"B","moves":["A2"],"untilDepth":1}]"#,
        r#""reportDuringSearchEvery":1e-9"#,
    ];
    let mut draw = rng(4, 0);
    let mut lines = String::new();
    for _ in 0..3000 {
        let n = below(draw.next_u64(), 10);
        let parts: Vec<&str> = (0..n).map(|_| PARTS[below(draw.next_u64(), PARTS.len())]).collect();
        // Of keys given twice the last one counts.
        const GOOD: &str = r#""id":"a","rules":"chinese","boardXSize":5,"boardYSize":5,"moves":[],"maxVisits":2"#;
        let good = if draw.next_u64().is_multiple_of(2) { Some(GOOD) } else { None };
        let line = format!("{{{}}}", good.into_iter().chain(parts).collect::<Vec<_>>().join(","));
        let cut = if draw.next_u64().is_multiple_of(8) { below(draw.next_u64(), line.len()) } else { line.len() };
        lines += &line[..cut];
        lines.push('\n');
    }
    let n_lines = lines.lines().filter(|l| !l.is_empty()).count();
    let answers = ask(2, &lines);
    let n_final = answers.iter().filter(|a| a.get("warning").is_none()).count();
    assert_eq!(n_final, n_lines);
    assert!(answers.iter().any(|a| a.get("rootInfo").is_some()));
}
