//! The character sets of records: as declared, as a byte order mark says, or as the text itself tells.
//!
//! In Shift_JIS, GB18030, Big5 and ISO-2022-JP the second byte of a character may look like `]` or `\`, so the
//! character set is needed before brackets can be found.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, ISO_2022_JP, ISO_8859_2, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252,
    X_USER_DEFINED,
};
use std::borrow::Cow;

/// Text looked at to tell a character set, in bytes from the first that is not ASCII. Detection is sure long before.
const SAMPLE_BYTES: usize = 1 << 16;

/// Bytes from 0x80 on in a game from which on a declared encoding is doubted: a few names.
const DOUBT_BYTES_MIN: usize = 12;
/// By how many of a thousand common characters another encoding must be better than the declared one.
const DOUBT: usize = 300;

/// How bytes pair up to characters inside a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pairs {
    /// No byte below 0x80 belongs to a longer character.
    Plain,
    ShiftJis,
    /// GBK and GB18030; a four-byte character reads as two pairs.
    Gb,
    Big5,
    /// Between `ESC $ B` and the next `ESC`, two bytes make a character.
    Iso2022Jp,
}

impl Pairs {
    pub(super) fn of(encoding: &'static Encoding) -> Pairs {
        if encoding == SHIFT_JIS {
            Pairs::ShiftJis
        } else if encoding == GB18030 || encoding == GBK {
            Pairs::Gb
        } else if encoding == BIG5 {
            Pairs::Big5
        } else if encoding == ISO_2022_JP {
            Pairs::Iso2022Jp
        } else {
            Pairs::Plain
        }
    }

    /// Whether `trail` after the byte `lead` belongs to the same character.
    pub(super) fn joins(self, lead: u8, trail: u8) -> bool {
        match self {
            Pairs::Plain | Pairs::Iso2022Jp => false,
            Pairs::ShiftJis => matches!(lead, 0x81..=0x9f | 0xe0..=0xfc) && matches!(trail, 0x40..=0x7e | 0x80..=0xfc),
            Pairs::Gb => matches!(lead, 0x81..=0xfe) && matches!(trail, 0x30..=0x39 | 0x40..=0x7e | 0x80..=0xfe),
            Pairs::Big5 => matches!(lead, 0x81..=0xfe) && matches!(trail, 0x40..=0x7e | 0xa1..=0xfe),
        }
    }
}

/// The encoding a CA value names, if it is one in which bytes can be read as they are.
pub(super) fn declared(label: &[u8]) -> Option<&'static Encoding> {
    let label = label.trim_ascii();
    let encoding = match label.to_ascii_lowercase().as_slice() {
        b"cp936" | b"ms936" => GB18030,
        b"cp932" | b"ms932" => SHIFT_JIS,
        b"cp949" | b"ms949" | b"uhc" => EUC_KR,
        b"cp950" | b"ms950" => BIG5,
        b"latin-1" | b"iso latin 1" => WINDOWS_1252,
        b"latin-2" => ISO_8859_2,
        _ => Encoding::for_label_no_replacement(label)?,
    };
    if encoding == GBK {
        // GB2312 and GBK are its subsets, and records that declare them often hold more.
        return Some(GB18030);
    }
    let unreadable = encoding == UTF_16LE || encoding == UTF_16BE || encoding == X_USER_DEFINED;
    (!unreadable).then_some(encoding)
}

/// How an encoding was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// The game says so, and all of its bytes agree; or there is nothing but ASCII in it.
    Sure,
    /// The bytes looked like it.
    Guess,
}

/// The encoding of the bytes of one game: the declared one where it fits, else UTF-8 where that fits, else a guess.
pub(super) fn choose(declared: Option<&'static Encoding>, game: &[u8]) -> (&'static Encoding, Basis) {
    let Some(first) = first_unusual(game) else {
        return (UTF_8, Basis::Sure);
    };
    if game[first] == 0x1b && fits_iso_2022_jp(&game[first..game.len().min(first + SAMPLE_BYTES)]) {
        return (ISO_2022_JP, Basis::Sure);
    }
    let Some(first) = game[first..].iter().position(|&b| b >= 0x80).map(|step| first + step) else {
        return (UTF_8, Basis::Sure);
    };
    let sample = &game[first..game.len().min(first + SAMPLE_BYTES)];
    if let Some(encoding) = declared {
        // Every byte is a character in the one-byte encodings, so that they fit anything.
        let fits = if encoding.is_single_byte() { !fits_utf8(sample) } else { fits(encoding, sample) };
        if fits && !encoding.is_single_byte() && sample.iter().filter(|&&b| b >= 0x80).count() >= DOUBT_BYTES_MIN {
            // Bytes of one of these encodings are often characters of another, but of the rare kind.
            let (guess, plausible) = guess(sample);
            if plausible.unwrap_or(0) >= plausibility(encoding, sample).unwrap_or(0) + DOUBT {
                return (guess, Basis::Guess);
            }
        }
        if fits {
            let sure = !encoding.is_single_byte() && !encoding.decode_without_bom_handling(sample).1;
            return (encoding, if sure { Basis::Sure } else { Basis::Guess });
        }
    }
    if fits_utf8(sample) {
        return (UTF_8, Basis::Sure);
    }
    (guess(sample).0, Basis::Guess)
}

/// The first byte that is not ASCII, or begins an escape sequence: where there is none, nothing depends on the encoding.
pub(super) fn first_unusual(text: &[u8]) -> Option<usize> {
    const CHUNK: usize = 64;
    let unusual = |b: u8| b >= 0x80 || b == 0x1b;
    // Without a branch for each byte, so that it can be done for many at once.
    let any = |chunk: &[u8]| chunk.iter().fold(false, |any, &b| any | unusual(b));
    let (at, chunk) = text.chunks(CHUNK).enumerate().find(|(_, chunk)| any(chunk))?;
    Some(at * CHUNK + chunk.iter().position(|&b| unusual(b))?)
}

/// Encodings in which half a character may look like `]` or `\`: to be tried where a game is broken as it was read.
pub(super) const RIVALS: [&Encoding; 3] = [SHIFT_JIS, GB18030, BIG5];

/// Whether `text` has a byte from 0x80 on right before a `\`, so that this may be half a character instead of an escape.
pub(super) fn may_hide_brackets(text: &[u8]) -> bool {
    text.windows(2).any(|pair| pair[0] >= 0x80 && pair[1] == b'\\')
}

/// The encoding that the bytes look like, and how plausible the text is in it.
pub(super) fn guess(text: &[u8]) -> (&'static Encoding, Option<usize>) {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(text, true);
    let guess = detector.guess(None, Utf8Detection::Deny);
    let guess = if guess == GBK { GB18030 } else { guess };
    (guess, plausibility(guess, text))
}

/// How many of a thousand characters of `text` that are not ASCII are in common use, if it reads without a fault in that
/// encoding, one with two bytes a character.
pub(super) fn plausibility(encoding: &'static Encoding, text: &[u8]) -> Option<usize> {
    let text = &text[..text.len().min(SAMPLE_BYTES)];
    if encoding.decode_without_bom_handling(text).1 {
        return None;
    }
    let (mut n_common, mut n_all) = (0, 0);
    let mut bytes = text.iter().copied().peekable();
    while let Some(lead) = bytes.next() {
        if lead >= 0x80 {
            let trail = bytes.next_if(|&trail| trail >= 0xa1 || Pairs::of(encoding).joins(lead, trail));
            n_all += 1;
            n_common += usize::from(trail.is_some_and(|trail| is_common(encoding, lead, trail)));
        }
    }
    (1000 * n_common).checked_div(n_all)
}

/// Whether the character is punctuation, a kana, a Hangul syllable or a Chinese character of the first level of its standard.
fn is_common(encoding: &'static Encoding, lead: u8, trail: u8) -> bool {
    if encoding == SHIFT_JIS {
        matches!(lead, 0x81..=0x83 | 0x88..=0x97)
    } else if encoding == BIG5 {
        matches!(lead, 0xa1..=0xc6)
    } else if encoding == GB18030 {
        matches!(lead, 0xa1..=0xa3 | 0xb0..=0xd7) && trail >= 0xa1
    } else if encoding == EUC_JP {
        matches!(lead, 0xa1 | 0xa4 | 0xa5 | 0xb0..=0xcf) && trail >= 0xa1
    } else {
        encoding == EUC_KR && matches!(lead, 0xa1..=0xa3 | 0xb0..=0xc8) && trail >= 0xa1
    }
}

/// Whether the text has two-byte runs of ISO-2022-JP, nothing outside of seven bits, and no faults.
fn fits_iso_2022_jp(sample: &[u8]) -> bool {
    let runs = sample.windows(3).any(|w| matches!(w, b"\x1b$B" | b"\x1b$@"));
    runs && sample.is_ascii() && fits(ISO_2022_JP, sample)
}

/// UTF-16 files as UTF-8; everything else as it is. The second part says whether the text is known to be UTF-8.
pub(super) fn to_bytewise(file: &[u8]) -> (Cow<'_, [u8]>, Option<&'static Encoding>) {
    // A bare file begins with `(`, after white space perhaps: half of its bytes are zeros.
    let n_space = file
        .chunks_exact(2)
        .take_while(|unit| matches!(unit, [b' ' | b'\t' | b'\r' | b'\n', 0] | [0, b' ' | b'\t' | b'\r' | b'\n']));
    let text = &file[2 * n_space.count()..];
    let utf16 = match (file, text) {
        ([0xff, 0xfe, ..], _) | (_, [b'(', 0, _, 0, ..]) => Some(UTF_16LE),
        ([0xfe, 0xff, ..], _) | (_, [0, b'(', 0, _, ..]) => Some(UTF_16BE),
        _ => None,
    };
    match utf16 {
        Some(encoding) => {
            let (text, _) = encoding.decode_with_bom_removal(file);
            (Cow::Owned(text.into_owned().into_bytes()), Some(UTF_8))
        }
        None if file.starts_with(b"\xef\xbb\xbf") => (Cow::Borrowed(file), Some(UTF_8)),
        None => (Cow::Borrowed(file), None),
    }
}

/// Whether the text reads as UTF-8, but for a few cut characters.
fn fits_utf8(sample: &[u8]) -> bool {
    let (mut good, mut bad) = (0, 0);
    for chunk in sample.utf8_chunks() {
        // Each has one byte that is not of those that go on.
        good += chunk.valid().bytes().filter(|&b| b >= 0xc0).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    good > 0 && mostly(good, bad)
}

/// Whether the text reads in an encoding of several bytes, but for a few cut characters.
fn fits(encoding: &'static Encoding, sample: &[u8]) -> bool {
    if encoding == UTF_8 {
        return fits_utf8(sample);
    }
    let (text, faults) = encoding.decode_without_bom_handling(sample);
    if !faults {
        return true;
    }
    let bad = text.chars().filter(|&c| c == char::REPLACEMENT_CHARACTER).count();
    let good = text.chars().filter(|&c| !c.is_ascii() && c != char::REPLACEMENT_CHARACTER).count();
    mostly(good, bad)
}

/// Servers cut long names in the middle of a character; one fault in five is more than that.
fn mostly(good: usize, bad: usize) -> bool {
    good >= 4 * bad
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_in_use() {
        let cases: [(&str, Option<&'static Encoding>); 16] = [
            ("UTF-8", Some(UTF_8)),
            (" utf8 ", Some(UTF_8)),
            ("GB2312", Some(GB18030)),
            ("gbk", Some(GB18030)),
            ("cp936", Some(GB18030)),
            ("Shift_JIS", Some(SHIFT_JIS)),
            ("MS_KANJI", Some(SHIFT_JIS)),
            ("SJIS", Some(SHIFT_JIS)),
            ("cp949", Some(EUC_KR)),
            ("ks_c_5601-1987", Some(EUC_KR)),
            ("Big5", Some(BIG5)),
            ("EUC-JP", Some(EUC_JP)),
            ("ISO-8859-1", Some(WINDOWS_1252)),
            ("UTF-16", None),
            ("X-KLINGON", None),
            ("../../etc/passwd", None),
        ];
        for (label, expected) in cases {
            assert_eq!(declared(label.as_bytes()), expected, "{label}");
        }
    }

    #[test]
    fn the_text_decides() {
        let gb = GB18030.encode("柯洁对古力的一局棋").0;
        let cases: [(&str, Option<&'static Encoding>, &[u8], &'static Encoding); 8] = [
            ("ascii", Some(SHIFT_JIS), b"plain", UTF_8),
            ("declared", Some(GB18030), &gb, GB18030),
            ("undeclared utf-8", None, "井山裕太".as_bytes(), UTF_8),
            ("utf-8 declared latin", Some(WINDOWS_1252), "Škerda".as_bytes(), UTF_8),
            ("latin declared latin", Some(WINDOWS_1252), b"M\xfcller", WINDOWS_1252),
            ("latin undeclared", None, b"M\xfcller vs Se\xf1or", WINDOWS_1252),
            ("gb declared utf-8", Some(UTF_8), &gb, GB18030),
            ("utf-8 cut once", Some(UTF_8), b"\xe4\xba\x95\xe5\xb1\xb1\xe8\xa3\x95\xe5\xa4\xaa\xe4\xba", UTF_8),
        ];
        for (name, declared, bytes, expected) in cases {
            assert_eq!(choose(declared, bytes).0, expected, "{name}");
        }
    }

    #[test]
    fn sixteen_bit_files() {
        for (name, file) in
            [("le", &b"\xff\xfe(\0;\0"[..]), ("be", b"\xfe\xff\0(\0;"), ("le bare", b"(\0;\0"), ("be bare", b"\0(\0;")]
        {
            assert_eq!(to_bytewise(file), (Cow::Owned(b"(;".to_vec()), Some(UTF_8)), "{name}");
        }
        assert_eq!(to_bytewise(b"(;").1, None);
    }
}
