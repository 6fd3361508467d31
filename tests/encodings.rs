//! Records in every character set, declared rightly, wrongly or not at all: names decode, moves are right.

use edgezero::sgf::{GameRecord, Step, games};
use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, ISO_2022_JP, SHIFT_JIS, UTF_8, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252,
    WINDOWS_1254,
};

/// How the file says what it is in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Rightly,
    Not,
    Wrongly(&'static str),
}

struct Case {
    encoding: &'static Encoding,
    label: &'static str,
    players: [&'static str; 2],
    comment: &'static str,
}

const CASES: [Case; 12] = [
    Case {
        encoding: GB18030,
        label: "GB18030",
        players: ["聂卫平", "俞斌"],
        comment: "黑棋这一手是好棋，白棋应该先在右上角挡住。誠懇",
    },
    Case {
        encoding: GB18030, label: "GB2312", players: ["柯洁", "古力"], comment: "第三届世界围棋公开赛决赛第一局，黑中盘胜"
    },
    Case {
        encoding: BIG5,
        label: "Big5",
        players: ["許皓鋐", "周功蓋"],
        comment: "黑棋這一手是好棋，白棋應該先在右上角擋住。功許蓋",
    },
    Case {
        encoding: SHIFT_JIS,
        label: "Shift_JIS",
        players: ["井山裕太名人", "十段ソ表能"],
        comment: "黒の好手です。白は右上を受けるべきでした。ソ表能予申貼暴十欺構",
    },
    Case {
        encoding: EUC_JP,
        label: "EUC-JP",
        players: ["小林光一", "武宮正樹"],
        comment: "黒の好手です。白は右上を受けるべきでした。",
    },
    Case {
        encoding: EUC_KR,
        label: "EUC-KR",
        players: ["이창호", "조훈현"],
        comment: "흑의 좋은 수입니다. 백은 우상귀를 받아야 했습니다.",
    },
    Case {
        encoding: ISO_2022_JP,
        label: "ISO-2022-JP",
        players: ["ポン林光一", "武宮ゾル"],
        comment: "黒の好手です。白は右上を受けるべきでした。ポゾ",
    },
    Case {
        encoding: WINDOWS_1252,
        label: "ISO-8859-1",
        players: ["Jürgen Müller", "André Señor"],
        comment: "Schöner Zug für Weiß, très joli",
    },
    Case {
        encoding: WINDOWS_1250,
        label: "windows-1250",
        players: ["Jiří Šťastný", "Łukasz Żółw"],
        comment: "Černý hraje příliš tvrdě, měl bránit roh",
    },
    Case {
        encoding: WINDOWS_1251,
        label: "windows-1251",
        players: ["Александр Динерштейн", "Илья Шикшин"],
        comment: "Хороший ход чёрных, белые должны были защитить угол",
    },
    Case {
        encoding: WINDOWS_1254,
        label: "windows-1254",
        players: ["Şükrü Işık", "Çağrı Gün"],
        comment: "Siyahın güzel bir hamlesi, beyaz köşeyi korumalıydı",
    },
    Case { encoding: UTF_8, label: "UTF-8", players: ["井山裕太", "박정환"], comment: "Schöner Zug — 好手" },
];

/// The text of a record; the comment is in the second node, where its end must be found to get at the last moves.
fn text(case: &Case, told: Told) -> String {
    let ca = match told {
        Told::Rightly => format!("CA[{}]", case.label),
        Told::Not => String::new(),
        Told::Wrongly(label) => format!("CA[{label}]"),
    };
    let [black, white] = case.players;
    format!("(;FF[4]{ca}SZ[9]PB[{black}]PW[{white}];B[ee]C[{}];W[cc]N[{black}];B[gg])", case.comment)
}

/// The text as bytes; a `]` or `\` that is the second half of a character stays bare, as programs write it.
fn encoded(case: &Case, told: Told) -> Vec<u8> {
    let text = text(case, told);
    let (bytes, _, faults) = case.encoding.encode(&text);
    assert!(!faults, "{}", case.label);
    bytes.into_owned()
}

fn moves(record: &GameRecord) -> Vec<String> {
    let mv = |step: &Step| match *step {
        Step::Move { color, mv, .. } => Some(format!("{}{}", color.letter(), mv.gtp(record.size))),
        _ => None,
    };
    record.steps.iter().filter_map(mv).collect()
}

fn check(name: &str, file: &[u8], players: [&str; 2]) {
    let all: Vec<_> = games(file).collect();
    assert_eq!(all.len(), 1, "{name}: {all:?}");
    let record = all[0].as_ref().unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(moves(record), ["BE5", "WC7", "BG3"], "{name}");
    assert_eq!(record.players.clone().map(Option::unwrap), players.map(str::to_string), "{name}");
}

#[test]
fn every_character_set_however_it_is_told() {
    let (mut n, mut wrong) = (0, Vec::new());
    let mut check = |name: &str, file: &[u8], players: [&'static str; 2]| {
        let (name, file) = (name.to_string(), file.to_vec());
        n += 1;
        if let Err(panic) = std::panic::catch_unwind(move || check(&name, &file, players)) {
            wrong.push(panic.downcast_ref::<String>().cloned().unwrap_or_default());
        }
    };
    for case in &CASES {
        for told in [Told::Rightly, Told::Not, Told::Wrongly("UTF-8"), Told::Wrongly("X-unknown"), Told::Wrongly("ISO-2022-KR")] {
            let name = format!("{} told {told:?}", case.label);
            check(&name, &encoded(case, told), case.players);
        }
    }
    // The wrong East Asian label, where the bytes do not fit it.
    for (case, label) in [(0, "Shift_JIS"), (2, "EUC-KR"), (3, "Big5"), (5, "Shift_JIS"), (4, "Shift_JIS"), (3, "GB2312")] {
        let case = &CASES[case];
        let name = format!("{} called {label}", case.label);
        check(&name, &encoded(case, Told::Wrongly(label)), case.players);
    }
    // Latin-1 is what many programs write whatever the text is in.
    for case in CASES.iter().filter(|case| case.encoding == UTF_8) {
        check("UTF-8 called Latin-1", &encoded(case, Told::Wrongly("ISO-8859-1")), case.players);
    }
    assert!(wrong.is_empty(), "{} of {n} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn sixteen_bits_and_marks() {
    for case in &CASES {
        for told in [Told::Rightly, Told::Not] {
            let text = text(case, told);
            let units = || text.encode_utf16();
            let le: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
            let be: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
            let spaced: Vec<u8> = "\r\n ".encode_utf16().flat_map(u16::to_le_bytes).chain(le.iter().copied()).collect();
            let spaced_be: Vec<u8> = "\r\n ".encode_utf16().flat_map(u16::to_be_bytes).chain(be.iter().copied()).collect();
            let files = [
                ("utf-16le", le.clone()),
                ("utf-16be", be.clone()),
                ("utf-16le with a mark", [b"\xff\xfe", &le[..]].concat()),
                ("utf-16be with a mark", [b"\xfe\xff", &be[..]].concat()),
                ("utf-16le after white space", spaced),
                ("utf-16be after white space", spaced_be),
                ("utf-8 with a mark", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
            ];
            for (name, file) in files {
                check(&format!("{name}, {} {told:?}", case.label), &file, case.players);
            }
        }
    }
}

#[test]
fn one_character_that_ends_like_a_bracket_or_escape() {
    // All that is not ASCII is in one name: too little to tell the character set by, but the brackets tell.
    let lone = [
        (SHIFT_JIS, "表"),
        (SHIFT_JIS, "ソ"),
        (SHIFT_JIS, "十"),
        (SHIFT_JIS, "能"),
        (SHIFT_JIS, "予"),
        (SHIFT_JIS, "ゾ"),
        (BIG5, "許"),
        (BIG5, "功"),
        (BIG5, "蓋"),
        (GB18030, "誠"),
        (GB18030, "乗"),
    ];
    for (encoding, name) in lone {
        for last in ["PB", "C"] {
            let text = format!("(;SZ[9]{last}[{name}];B[ee];W[cc];B[gg])");
            let bytes = encoding.encode(&text).0.into_owned();
            let all: Vec<_> = games(&bytes).collect();
            assert_eq!(all.len(), 1, "{name} {}", encoding.name());
            let record = all[0].as_ref().unwrap_or_else(|e| panic!("{name} in {}: {e}", encoding.name()));
            assert_eq!(moves(record), ["BE5", "WC7", "BG3"], "{name} in {}", encoding.name());
        }
    }
    // What is broken in every character set stays refused, with the fault that it has as it stands.
    let broken = b"(;SZ[9]PB[\x95\x5c;B[ee];W[cc])";
    assert!(games(broken).next().unwrap().is_err());
}
