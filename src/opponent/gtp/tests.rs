//! Transcripts: what is sent, what must come back.

use super::*;
use crate::base::rng::{below, rng};
use crate::go::{Move, Rules, Size};
use crate::infer::Evaluation;
use crate::infer::scripted::Scripted;
use crate::opponent::OpponentConfig;
use rand::Rng as _;

/// A net that likes given moves in their order, least of all to pass, and says the same of every position.
pub(super) struct Liking {
    pub(super) moves: Vec<&'static str>,
    pub(super) win: f32,
    pub(super) lead: f32,
}

impl Default for Liking {
    fn default() -> Liking {
        Liking { moves: Vec::new(), win: 0.5, lead: 0.0 }
    }
}

impl Liking {
    pub(super) fn says(&self, len: usize) -> Evaluation {
        let mut answer = Evaluation::even(len);
        for (rank, name) in self.moves.iter().enumerate() {
            let mv = Move::parse_gtp(name, Size::square(len).unwrap()).unwrap();
            answer.policy[mv.policy_index(len)] = 5.0 - rank as f32 / 10.0;
        }
        answer.policy[len * len] = -1.0;
        answer.value = [self.win.ln(), (1.0 - self.win).ln(), f32::NEG_INFINITY];
        answer.score[2] = self.lead / 20.0;
        answer
    }
}

pub(super) fn config() -> OpponentConfig {
    OpponentConfig { rules: "chinese".to_string(), komi: 7.5, resign_below: 0.05, resign_streak: 2, resign_after: 0.0 }
}

/// Sends the lines of `> …` in `transcript` and compares everything that comes back with what follows them.
#[track_caller]
fn check(net: Liking, transcript: &str) {
    let evaluator = Scripted::new(8, move |request| net.says(request.len));
    let mut session = Session::new(Box::new(evaluator), config()).unwrap();
    let mut told = String::new();
    for line in transcript.lines().map(str::trim).filter_map(|line| line.strip_prefix('>')) {
        let mut out = Vec::new();
        let lines = Lines::new(line.trim().as_bytes());
        serve(&mut session, lines, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.is_empty() || out.ends_with("\n\n"), "{line}: {out:?}");
        told.push_str(format!("> {}", line.trim()).trim_end());
        told.push('\n');
        told.extend(out.lines().filter(|line| !line.is_empty()).map(|line| format!("{}|\n", without_hash(line).trim_start())));
    }
    let expected: String = transcript.lines().map(|line| format!("{}\n", line.trim())).filter(|line| line.len() > 1).collect();
    assert_eq!(told, expected);
}

/// The position's hash is nobody's business here.
fn without_hash(line: &str) -> &str {
    line.find("HASH").map_or(line, |at| &line[..at + 4])
}

#[test]
fn framing_ids_and_comments() {
    check(
        Liking::default(),
        "> protocol_version
         = 2|
         > 7 name
         =7 edgezero|
         > 12  play b d4 # a comment
         =12 |
         > 13 nonsense 1 2
         ?13 unknown command|
         > nonsense
         ? unknown command|
         >
         > # only a comment
         > 14
         ?14 unknown command|
         > 15\tknown_command\tgenmove
         =15 true|
         > known_command gen
         = false|
         > 16 quit
         =16 |",
    );
}

#[test]
fn the_board_and_its_errors() {
    check(
        Liking::default(),
        "> boardsize 9
         = |
         > play B E5
         = |
         > boardsize 9
         = |
         > play w e5
         ? illegal move|
         > play X E4
         ? Could not parse color: 'X'|
         > play B K1
         ? Could not parse vertex: 'K1'|
         > play B
         ? Expected two arguments for play but got 'B'|
         > boardsize 20
         ? unacceptable size|
         > boardsize 1
         ? unacceptable size|
         > boardsize x
         ? Expected one or two integers for boardsize but got 'x'|
         > boardsize 5:7
         = |
         > play B E7
         = |
         > play B F1
         ? Could not parse vertex: 'F1'|
         > rectangular_boardsize 4 3
         = |
         > undo
         ? cannot undo|
         > play b a1
         = |
         > showboard
         = MoveNum: 1 HASH|
             A B C D|
          3  . . . .|
          2  . . . .|
          1 (X). . .|
         Next player: White|
         Rules: {\"friendlyPassOk\":true,\"hasButton\":false,\"ko\":\"SIMPLE\",\"scoring\":\"AREA\",\"suicide\":false,\"tax\":\"NONE\",\"whiteHandicapBonus\":\"N\"}|
         Komi: 7.5|
         B stones captured: 0|
         W stones captured: 0|
         > undo
         = |
         > undo
         ? cannot undo|",
    );
}

#[test]
fn komi_and_rules() {
    check(
        Liking::default(),
        "> get_komi
         = 7.5|
         > komi 6.5
         = |
         > komi 6.4
         ? komi must be an integer or half-integer|
         > komi 500
         ? unacceptable komi|
         > komi nan
         ? unacceptable komi|
         > komi five
         ? Could not parse komi: 'five'|
         > clear_board
         = |
         > get_komi
         = 6.5|
         > kata-set-rules new zealand
         = |
         > kata-get-rules
         = {\"friendlyPassOk\":true,\"hasButton\":false,\"ko\":\"SITUATIONAL\",\"scoring\":\"AREA\",\"suicide\":true,\"tax\":\"NONE\",\"whiteHandicapBonus\":\"0\"}|
         > kata-set-rules { \"ko\": \"SIMPLE\" }
         = |
         > kata-set-rule suicide false
         = |
         > kata-get-rules
         = {\"friendlyPassOk\":false,\"hasButton\":false,\"ko\":\"SIMPLE\",\"scoring\":\"AREA\",\"suicide\":false,\"tax\":\"NONE\",\"whiteHandicapBonus\":\"0\"}|
         > get_komi
         = 6.5|
         > time_settings 60 30 1
         = |
         > time_left b 12.5 0
         = |
         > time_left b soon 0
         ? Could not parse time: 'soon'|
         > time_settings 1 2
         ? Expected three numbers, 0 or more, for time_settings but got '1 2'|
         > time_settings main 60 30 1
         ? Expected three numbers, 0 or more, for time_settings but got 'main 60 30 1'|",
    );
}

#[test]
fn handicap() {
    check(
        Liking { moves: vec!["G7", "E5"], ..Liking::default() },
        "> boardsize 9
         = |
         > fixed_handicap 10
         ? Number of handicap stones is invalid for this board|
         > fixed_handicap 2
         = C3 G7|
         > fixed_handicap 2
         ? Board is not empty|
         > genmove w
         = E5|
         > clear_board
         = |
         > place_free_handicap 30
         = C3 G7 G3 C7 C5 G5 E3 E7 E5|
         > clear_board
         = |
         > set_free_handicap A1 A1
         ? Vertex given twice: 'A1'|
         > set_free_handicap A1 J9
         = |
         > final_status_list alive
         = J9 A1|
         > undo
         ? cannot undo|",
    );
}

/// Black has just taken a ko at C2.
const KO: &str = "
         > boardsize 5
         = |
         > play b b3
         = |
         > play w c3
         = |
         > play b a2
         = |
         > play w d2
         = |
         > play b b1
         = |
         > play w c1
         = |
         > play w b2
         = |
         > play b c2
         = |
";

#[test]
fn never_an_illegal_move() {
    // White likes an occupied point, the ko, a suicide; then a point that may be played.
    check(
        Liking { moves: vec!["B1", "B2", "A1", "E5"], ..Liking::default() },
        &format!(
            "{KO}
             > genmove w
             = E5|"
        ),
    );
}

#[test]
fn superko_binds_the_engine_but_not_the_controller() {
    let passed = format!(
        "> kata-set-rules tromp-taylor
         = |
         {KO}
         > play w pass
         = |
         > play b pass
         = |"
    );
    let liking = || Liking { moves: vec!["B2", "E5"], ..Liking::default() };
    check(
        liking(),
        &format!(
            "{passed}
             > genmove w
             = E5|"
        ),
    );
    check(
        liking(),
        &format!(
            "{passed}
             > play w b2
             = |"
        ),
    );
}

/// Both sides live with two eyes; nothing is left to play but eyes. Nine handicap stones give White nine points.
const ENDED: &str = "
         > boardsize 5
         = |
         > komi 0.5
         = |
         > set_free_handicap A2 B2 C2 C1 C3 C4 B4 A4 C5
         = |
         > play w d2
         = |
         > play w d3
         = |
         > play w d4
         = |
         > play w d5
         = |
         > play w e2
         = |
         > play w e4
         = |
         > play w d1
         = |
         > play b b1
         = |
         > play w e1
         = |
";

#[test]
fn passes_when_only_eyes_are_left() {
    let likes_eyes = || Liking { moves: vec!["A1", "A3", "B3", "A5", "E3", "E5"], ..Liking::default() };
    check(
        likes_eyes(),
        &format!(
            "{ENDED}
             > genmove b
             = pass|
             > genmove w
             = pass|
             > final_score
             = W+4.5|
             > final_status_list dead
             = |"
        ),
    );
}

#[test]
fn resigns_only_when_it_is_clear() {
    let lost = || Liking { moves: vec!["C3", "C4", "C5", "D3"], win: 0.01, lead: -30.0 };
    check(
        lost(),
        "> boardsize 9
         = |
         > genmove b
         = C3|
         > play w e5
         = |
         > genmove b
         = resign|",
    );
    check(
        Liking { lead: -1.0, ..lost() },
        "> boardsize 9
         = |
         > genmove b
         = C3|
         > play w e5
         = |
         > genmove b
         = C4|",
    );
}

#[test]
fn records_are_loaded() {
    let path = std::env::temp_dir().join(format!("edgezero-load-{}.sgf", std::process::id()));
    std::fs::write(&path, "(;SZ[5]KM[3]RU[Japanese]AB[aa][bb]PL[W];W[cc];B[dd];W[dd])").unwrap();
    let path = path.to_str().unwrap();
    check(
        Liking::default(),
        &format!(
            "> loadsgf {path}
             ? cannot load file: move 3: occupied point|
             > get_komi
             = 7.5|
             > loadsgf {path} 3
             = |
             > get_komi
             = 3|
             > play w d2
             ? illegal move|
             > undo
             = |
             > undo
             = |
             > undo
             ? cannot undo|
             > loadsgf {path} 0
             ? Could not parse move number: '0'|
             > loadsgf /no/such.sgf
             ? cannot load file: /no/such.sgf: No such file or directory (os error 2)|"
        ),
    );
    std::fs::remove_file(path).unwrap();
}

#[test]
fn rules_in_json_are_loaded() {
    // As `edgezero play --rules '{…}' --sgf` writes them.
    let path = std::env::temp_dir().join(format!("edgezero-load-json-{}.sgf", std::process::id()));
    let rules = Rules::named("aga-button").unwrap().to_json();
    std::fs::write(&path, format!("(;SZ[5]KM[3]RU[{rules}];W[cc])")).unwrap();
    let path = path.to_str().unwrap();
    check(Liking::default(), &format!("> loadsgf {path}\n= |\n> kata-get-rules\n= {rules}|"));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn parameters_times_and_positions() {
    check(
        Liking::default(),
        "> kata-get-param maxVisits
         = 1|
         > kata-set-param maxVisits 10
         = |
         > kata-get-param maxVisits
         = 10|
         > kata-set-param maxVisits many
         ? Could not set parameter maxVisits to 'many'|
         > kata-get-param analysisWideRootNoise
         = 0.04|
         > kata-set-param analysisWideRootNoise 0.1
         = |
         > kata-get-param analysisWideRootNoise
         = 0.1|
         > kata-set-param playoutDoublingAdvantage 1.5
         = |
         > kata-get-param playoutDoublingAdvantage
         = 1.5|
         > kata-set-param playoutDoublingAdvantage 4
         ? Could not set parameter playoutDoublingAdvantage to '4'|
         > kata-get-param nonsense
         ? Invalid parameter|
         > kgs-time_settings byoyomi 60 5 3
         = |
         > kata-time_settings fischer 60 2
         = |
         > kgs-time_settings byoyomi 60
         ? Unknown or incomplete time settings: 'byoyomi 60'|
         > kgs-time_settings none
         = |
         > boardsize 5
         = |
         > set_position B C3 W C4
         = |
         > genmove w
         = A5|
         > set_position B A1 W A2 W B1
         ? Illegal stone placements: a chain has no liberty|
         > gg-undo 2
         ? cannot undo|
         > set_position
         = |
         > gogui-play_sequence b A1 w A2 b A1
         ? illegal move|
         > gogui-play_sequence b A1 w A2
         = |
         > printsgf
         = (;FF[4]GM[1]CA[UTF-8]AP[edgezero]SZ[5]RU[{\"friendlyPassOk\"\\:true,\"hasButton\"\\:false,\"ko\"\\:\"SIMPLE\",\"scoring\"\\:\"AREA\",\"suicide\"\\:false,\"tax\"\\:\"NONE\",\"whiteHandicapBonus\"\\:\"N\"}]KM[7.5];B[ae];W[ad])|
         > gg-undo 2
         = |",
    );
}

#[test]
fn any_line_gets_one_answer() {
    const WORDS: [&str; 38] = [
        "kata-analyze",
        "lz-genmove_analyze",
        "kata-set-param",
        "maxVisits",
        "kgs-time_settings",
        "absolute",
        "fischer",
        "set_position",
        "gogui-policy",
        "avoid",
        "play",
        "genmove",
        "undo",
        "boardsize",
        "komi",
        "kata-set-rules",
        "kata-set-rule",
        "set_free_handicap",
        "fixed_handicap",
        "clear_board",
        "time_left",
        "final_status_list",
        "b",
        "w",
        "A1",
        "c3",
        "pass",
        "J19",
        "5",
        "-7",
        "99999999999999999999",
        "nan",
        "4:3",
        "japanese",
        "{\"ko\":\"SIMPLE\"}",
        "dead",
        "\u{e9}",
        "=",
    ];
    let net = Liking { moves: vec!["B2"], ..Liking::default() };
    let mut session = Session::new(Box::new(Scripted::new(8, move |request| net.says(request.len))), config()).unwrap();
    let mut draw = rng(1, 0);
    for line_idx in 0..20_000 {
        let n_words = 1 + below(draw.next_u64(), 4);
        let words: Vec<&str> = (0..n_words).map(|_| WORDS[below(draw.next_u64(), WORDS.len())]).collect();
        let line = format!("{line_idx} {}", words.join(" "));
        let mut out = Vec::new();
        serve(&mut session, Lines::new(line.as_bytes()), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let framed =
            [format!("={line_idx} "), format!("={line_idx}\n"), format!("?{line_idx} ")].iter().any(|sign| out.starts_with(sign));
        assert!(framed && out.ends_with("\n\n") && out.matches("\n\n").count() == 1, "{line}: {out:?}");
    }
}

#[test]
fn a_score_before_the_end_is_what_the_net_thinks() {
    check(
        Liking { lead: 6.1, ..Liking::default() },
        "> boardsize 5
         = |
         > komi 6.5
         = |
         > final_score
         = W+6.5|
         > play b C3
         = |
         > final_score
         = W+6.5|
         > play w pass
         = |
         > final_score
         = B+6.5|
         > play b pass
         = |
         > final_score
         = B+18.5|",
    );
}
