//! Commands that go on until the next line, and what stops them.

use super::tests::{Liking, config};
use super::*;
use crate::infer::scripted::Scripted;

/// A controller that sends its next line after having been looked at a number of times.
struct Patient {
    lines: std::vec::IntoIter<&'static str>,
    looks: usize,
    patience: usize,
}

impl Input for Patient {
    fn next_line(&mut self) -> Option<std::io::Result<Line>> {
        self.looks = 0;
        self.lines.next().map(|line| Ok(Line::Text(line.to_string())))
    }
    fn is_waiting(&mut self) -> bool {
        self.looks += 1;
        self.looks > self.patience
    }
}

fn session() -> Session {
    let net = Liking { moves: vec!["C3", "D3"], win: 0.6, lead: 2.5 };
    let evaluator = Box::new(Scripted::new(8, move |request| net.says(request.len)));
    let search = crate::search::SearchConfig { tree_mb: 8, cache_mb: 1, visits: 40, batch_size: 2 };
    Session::with_search(evaluator, config(), search, Default::default()).unwrap()
}

fn live(lines: Vec<&'static str>) -> String {
    let mut session = session();
    let mut out = Vec::new();
    serve_input(&mut session, &mut Patient { lines: lines.into_iter(), looks: 0, patience: 12 }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn analysis_goes_on_until_the_next_line() {
    let told =
        live(vec!["boardsize 5", "3 kata-analyze B 1 maxmoves 2 rootInfo true ownership true pvVisits true", "4 name", "quit"]);
    let answer = told.split("\n\n").nth(1).unwrap();
    let mut lines = answer.lines();
    assert_eq!(lines.next(), Some("=3"));
    let report = lines.next().unwrap();
    let keys = "move visits edgeVisits utility winrate scoreMean scoreStdev scoreLead scoreSelfplay prior lcb utilityLcb weight order pv";
    let words: Vec<&str> = report.split(' ').collect();
    let of_first: Vec<&str> = words[1..].iter().step_by(2).take(15).copied().collect();
    assert_eq!((words[0], of_first.join(" ").as_str()), ("info", keys));
    assert_eq!(report.matches("info ").count(), 2, "{report}");
    assert_eq!(report.split(" ownership ").nth(1).unwrap().split(' ').count(), 25);
    assert!(report.contains(" rootInfo visits ") && report.contains(" pvVisits "));
    assert!(told.contains("\n\n=4 edgezero\n\n"), "{told}");
}

#[test]
fn analysis_in_leelas_words() {
    let told = live(vec![
        "boardsize 5",
        "lz-analyze 1 avoid b C3,D3 1",
        "",
        "play b a1",
        "lz-analyze w interval 1 allow w B2 1",
        "stop",
    ]);
    let reports: Vec<&str> = told.lines().filter(|line| line.starts_with("info")).collect();
    assert!(reports.len() >= 2, "{told}");
    assert!(!reports[0].contains("move C3 ") && !reports[0].contains("move D3 "), "{told}");
    assert!(reports.last().unwrap().starts_with("info move B2 ") && reports.last().unwrap().matches("info").count() == 1);
    let words: Vec<&str> = reports[0].split(' ').collect();
    assert_eq!(
        [words[1], words[3], words[5], words[7], words[9], words[11], words[13]],
        ["move", "visits", "winrate", "prior", "lcb", "order", "pv"]
    );
    assert!(words[6].parse::<u32>().is_ok_and(|w| w <= 10_000), "{}", words[6]);
}

#[test]
fn moves_with_analysis_are_played_or_told() {
    let told = live(vec![
        "boardsize 5",
        "1 kata-genmove_analyze b 1",
        "2 undo",
        "3 kata-search_analyze b 1",
        "4 undo",
        "5 kata-search b",
        "6 lz-genmove_analyze w 1",
        "7 kata-search_analyze_cancellable b 1 maxmoves x",
        "8 kata-analyze nonsense",
    ]);
    let answers: Vec<&str> = told.split("\n\n").collect();
    for i in [1, 3, 6] {
        assert!(
            answers[i].starts_with(&format!("={i}\ninfo move ")) && answers[i].lines().last().unwrap().starts_with("play "),
            "{told}"
        );
    }
    assert_eq!((answers[2], answers[4]), ("=2 ", "?4 cannot undo"));
    assert!(answers[5].starts_with("=5 ") && answers[5].len() == 5);
    assert!(answers[7].starts_with("?7 Could not parse analyze") && answers[8].starts_with("?8 Could not parse analyze"));
}

#[test]
fn raw_answers_in_katagos_form() {
    let told = live(vec!["boardsize 5", "kata-raw-nn 0", "kata-raw-nn w all", "kata-raw-nn 9"]);
    let blocks: Vec<&str> = told.split("symmetry ").collect();
    assert_eq!(blocks.len(), 1 + 1 + 8 + 1, "{told}");
    let lines: Vec<&str> = blocks[1].lines().collect();
    assert_eq!(&lines[..3], ["0", "whiteWin 0.400000", "whiteLoss 0.600000"]);
    assert!(
        lines[4] == "whiteLead -2.500"
            && lines[10] == "policy"
            && lines[16].starts_with("policyPass 0.")
            && lines[17] == "whiteOwnership"
    );
    assert_eq!(lines[11].split_whitespace().count(), 5);
}

#[test]
fn a_variation_of_another_board_is_not_shown() {
    let told = live(vec![
        "boardsize 7",
        "clear_board",
        "kata-analyze b 1",
        "gogui-pv",
        "boardsize 5",
        "gogui-pv",
        "genmove b",
        "gogui-pv",
    ]);
    let replies: Vec<&str> = told.split("\n\n").collect();
    assert!(replies[3].len() > 2 && replies[7].len() > 2, "{told}");
    assert_eq!(replies[5], "= ", "{told}");
}

#[test]
fn moves_that_were_not_tried_and_owners_are_told_when_asked() {
    let told = live(vec![
        "boardsize 5",
        "kata-analyze b 1 minmoves 26 maxmoves 26 movesOwnership true pvEdgeVisits true",
        "",
        "boardsize 19",
        "lz-analyze b 1 minmoves 400",
        "",
        "boardsize 5",
        "1 kata-analyze b 1 ownershipStdev true movesOwnershipStdev true noResultValue true",
        "",
        "2 kata-genmove_analyze b 1 movesOwnership true",
    ]);
    let reports: Vec<&str> = told.lines().filter(|line| line.starts_with("info")).collect();
    for segment in reports[0].split("info ").skip(1) {
        let owners = segment.split("movesOwnership ").nth(1).unwrap_or_default();
        assert_eq!(owners.split_whitespace().count(), 25, "{segment}");
        assert!(segment.contains(" pvEdgeVisits "), "{segment}");
    }
    let n_moves = |report: &str| report.matches("info move").count();
    // So many moves that not each was tried so soon.
    let of_lz = reports.iter().find(|r| !r.contains("edgeVisits")).expect("a report of lz-analyze");
    assert!(n_moves(of_lz) == 362 && of_lz.contains(" visits 0 "), "{of_lz}");
    assert_eq!(n_moves(reports[0]), 26, "25 points and the pass");
    assert!(reports[0].contains("order 25 "), "{}", reports[0]);
    assert!(told.contains("\n\n=1\ninfo move ") && !told.contains("ownershipStdev"), "{told}");
    assert!(reports.last().unwrap().contains(" movesOwnership "), "{}", reports.len());
}

#[test]
fn a_first_thought_is_reported_too() {
    let told = live(vec!["boardsize 5", "kata-set-param maxVisits 1", "1 kata-genmove_analyze b 1"]);
    let answer = told.split("\n\n").nth(2).unwrap();
    let lines: Vec<&str> = answer.lines().collect();
    let played = lines[2].strip_prefix("play ").unwrap();
    assert!(lines.len() == 3 && lines[1].starts_with(&format!("info move {played} visits 0 ")), "{told}");
}

#[test]
fn goguis_boxes_are_ticked_in_numbers() {
    let told =
        live(vec!["1 gogui-param ponderingEnabled 1", "2 gogui-param", "3 gogui-param ponderingEnabled 0", "4 gogui-param"]);
    assert!(told.contains("=1 \n") && told.contains("[bool] ponderingEnabled 1"), "{told}");
    assert!(told.contains("=3 \n") && told.ends_with("[bool] ponderingEnabled 0\n\n"), "{told}");
}

/// A controller that interrupts as soon as it is looked at.
struct Hasty(std::vec::IntoIter<&'static str>);

impl Input for Hasty {
    fn next_line(&mut self) -> Option<std::io::Result<Line>> {
        self.0.next().map(|line| Ok(Line::Text(line.to_string())))
    }
    fn is_waiting(&mut self) -> bool {
        false
    }
    fn may_interrupt(&self) -> bool {
        true
    }
    fn is_interrupted(&mut self) -> bool {
        true
    }
}

#[test]
fn an_interrupted_move_is_played_at_once() {
    let mut session = session();
    session.effort.visits = Some(u32::MAX);
    let mut out = Vec::new();
    let lines = vec!["boardsize 5", "1 genmove b", "# interrupt", "2 genmove x", "3 undo"];
    serve_input(&mut session, &mut Hasty(lines.into_iter()), &mut out).unwrap();
    let told = String::from_utf8(out).unwrap();
    let answers: Vec<&str> = told.split("\n\n").collect();
    assert!(["=1 C3", "=1 D3"].contains(&answers[1]), "{told}");
    assert_eq!(answers[2..], ["?2 Could not parse color: 'x'", "=3 ", ""]);
}

#[test]
fn an_interrupt_is_known_while_a_command_is_under_way() {
    let input = |text: &'static str| {
        let mut input = Ahead::new(move || text.as_bytes(), crate::base::signal::Stop::default());
        while !input.is_waiting() {
            std::thread::yield_now();
        }
        input
    };
    assert!(input("# interrupt\n").is_interrupted() && input("#  interrupt \nname\n").is_interrupted());
    assert!(!input("name\n# interrupt\n").is_interrupted() && !input("# other\n").is_interrupted());
}
