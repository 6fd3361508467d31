//! What a file is: by its first bytes, and by its name where they do not tell.

use super::super::config::RECORD_SUFFIXES;

/// Bytes that are enough to tell the format of a file: one block of a tar.
pub(super) const HEAD_BYTES: usize = 512;

/// An archive or a compressed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// PKZIP.
    Zip,
    /// 7-Zip.
    SevenZ,
    /// Tape archive, any dialect.
    Tar,
    /// gzip: one compressed file, often a tar.
    Gzip,
    /// bzip2: the same.
    Bzip2,
    /// xz: the same.
    Xz,
    /// Zstandard: the same.
    Zstd,
}

/// What the first bytes of a file tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    Archive(Format),
    /// An archive of a kind that is not read here.
    Unread(&'static str),
    /// None of those.
    Plain,
}

/// The format by the first [`HEAD_BYTES`] of a file, or fewer where it is shorter.
pub(super) fn looks(head: &[u8]) -> Looks {
    match head {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] | [b'P', b'K', 7, 8, ..] => Looks::Archive(Format::Zip),
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Looks::Archive(Format::SevenZ),
        [0x1f, 0x8b, 8, ..] => Looks::Archive(Format::Gzip),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..] => Looks::Archive(Format::Bzip2),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, ..] => Looks::Archive(Format::Bzip2),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Looks::Archive(Format::Xz),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Looks::Archive(Format::Zstd),
        [b'R', b'a', b'r', b'!', 0x1a, 7, ..] => Looks::Unread("rar archives"),
        [_, _, b'-', b'l', b'h', _, b'-', ..] => Looks::Unread("lha archives"),
        [b'M', b'S', b'C', b'F', 0, 0, 0, 0, ..] => Looks::Unread("cabinet archives"),
        [0x1f, 0x9d, ..] => Looks::Unread("files of compress (.Z)"),
        _ if is_tar(head) => Looks::Archive(Format::Tar),
        _ => Looks::Plain,
    }
}

/// Whether this is the header of a tar member: its checksum holds. Older dialects have no other mark.
fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.first_chunk::<512>() else {
        return false;
    };
    let digits: Vec<u8> = block[148..156].iter().copied().filter(|b| !matches!(b, b' ' | 0)).collect();
    let Some(sum) = std::str::from_utf8(&digits).ok().and_then(|text| u32::from_str_radix(text, 8).ok()) else {
        return false;
    };
    let blanks = 8 * u32::from(b' ');
    let sums = |range: &[u8]| range.iter().map(|&b| u32::from(b)).sum::<u32>();
    // A block of zeros is the end of a tar, not a member.
    block[0] != 0 && sum == sums(&block[..148]) + blanks + sums(&block[156..])
}

/// Names that archives have. Of two that fit, the longer comes first.
const ARCHIVE_SUFFIXES: [&str; 17] = [
    ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tgz", ".tbz2", ".tbz", ".txz", ".tzst", ".tar", ".zip", ".7z", ".gz", ".bz2",
    ".xz", ".zst", ".zstd",
];

/// Names of archives that are not read here, so that they are told of instead of passed over.
const UNREAD_SUFFIXES: [&str; 5] = [".rar", ".lzh", ".lha", ".cab", ".z"];

/// Names of documents and programs which are zip files inside: nobody keeps records in them.
const DOCUMENT_SUFFIXES: [&str; 18] = [
    ".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".epub", ".jar", ".apk", ".whl", ".xpi", ".cbz", ".kmz", ".vsix",
    ".pages", ".numbers", ".key", ".svgz",
];

/// The ending of `name` that says it is an archive.
pub(super) fn archive_suffix(name: &[u8]) -> Option<&'static str> {
    suffix(name, &ARCHIVE_SUFFIXES)
}

/// Whether `name` says that this is an archive of a kind that is not read here.
pub(super) fn is_unread_archive(name: &[u8]) -> bool {
    suffix(name, &UNREAD_SUFFIXES).is_some()
}

/// Whether `name` says that this is a document, whatever its bytes look like.
pub(super) fn is_document(name: &[u8]) -> bool {
    suffix(name, &DOCUMENT_SUFFIXES).is_some()
}

/// Whether `name` says that this is a record.
pub(super) fn is_record(name: &[u8]) -> bool {
    suffix(name, &RECORD_SUFFIXES).is_some()
}

fn suffix(name: &[u8], suffixes: &[&'static str]) -> Option<&'static str> {
    // A name that is nothing but the ending is a hidden file.
    let ends = |s: &&&str| name.len() > s.len() && name[name.len() - s.len()..].eq_ignore_ascii_case(s.as_bytes());
    suffixes.iter().find(ends).copied()
}

/// The name without the ending of an archive: of the file or folder that it unpacks to.
pub(super) fn stem(name: &[u8]) -> &[u8] {
    archive_suffix(name).map_or(name, |suffix| &name[..name.len() - suffix.len()])
}

/// Ends the parts of a key; no name can hold it.
const PART_END: u8 = 0;
/// Between the stem and the ending of an archive's name in a key, after all that shares the stem alone.
const STEM_END: u8 = 1;

/// Appends what a file or folder of this name is sorted by: names by their bytes, an archive where that which it
/// unpacks to would stand.
pub(super) fn push_key(key: &mut Vec<u8>, name: &[u8]) {
    let stem = stem(name);
    key.extend(stem.iter().filter(|&&b| b > STEM_END));
    if stem.len() < name.len() {
        key.push(STEM_END);
        key.extend_from_slice(&name[stem.len()..]);
    }
    key.push(PART_END);
}

/// The parts of a key as people read them, archives marked by `!`; `decode` turns names to text.
pub(super) fn shown(key: &[u8], decode: impl Fn(&[u8]) -> String) -> String {
    let mut text = String::new();
    for part in key.split(|&b| b == PART_END).filter(|part| !part.is_empty()) {
        let name: Vec<u8> = part.iter().copied().filter(|&b| b != STEM_END).collect();
        text.extend(decode(&name).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }));
        text.push(if name.len() < part.len() { '!' } else { '/' });
    }
    text.pop();
    text
}

/// The key with the endings of archives taken away: the names in the folder that it would be unpacked to.
pub(super) fn unpacked_key(key: &[u8]) -> Vec<u8> {
    let mut names = Vec::with_capacity(key.len());
    for part in key.split_inclusive(|&b| b == PART_END) {
        names.extend_from_slice(part.split(|&b| b == STEM_END || b == PART_END).next().unwrap_or_default());
        names.push(PART_END);
    }
    names
}

/// First folder, all folders, and the name of a record at the place that `inside` tells: see [`super::Item::Records`].
pub(in super::super) fn parts_inside(inside: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let path = inside.strip_suffix(&[PART_END]).unwrap_or(inside);
    let Some(end) = path.iter().rposition(|&b| b == PART_END) else { return (&[], &[], path) };
    let (folders, name) = (&path[..end], &path[end + 1..]);
    (folders.split(|&b| b == PART_END).next().unwrap_or_default(), folders, name)
}

/// Whether a file of this name is packed.
pub(in super::super) fn is_packed(name: &[u8]) -> bool {
    archive_suffix(name).is_some()
}

/// Whether unnamed text is a record: `(` comes first, after white space or a byte order mark.
pub(super) fn starts_like_a_record(head: &[u8]) -> bool {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = text.trim_ascii_start();
    matches!(text, [b'(', b' ' | b'\r' | b'\n' | b';', ..] | [0xff, 0xfe, b'(', 0, ..] | [0xfe, 0xff, 0, b'(', ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, stem_of) in [("a.tar.gz", "a"), ("a.SGF.GZ", "a.SGF"), ("b.Zip", "b"), ("c.sgf", "c.sgf"), (".zip", ".zip")] {
            assert_eq!(stem(name.as_bytes()), stem_of.as_bytes(), "{name}");
        }
        assert!(is_record(b"a.SgF") && is_record(b"\xff.mgt") && !is_record(b".sgf") && !is_record(b"a.sgf.txt"));
        assert!(is_document(b"x.DOCX") && is_unread_archive(b"x.rar"));
    }

    #[test]
    fn keys_sort_as_the_unpacked_folder_walks() {
        let key = |path: &str| {
            let mut key = Vec::new();
            path.split('/').for_each(|name| push_key(&mut key, name.as_bytes()));
            key
        };
        let sorted = ["a/b.sgf", "a.zip/b.sgf", "a-b/c.sgf", "a.sgf", "a.sgf.gz", "ab.sgf"];
        let mut keys: Vec<_> = sorted.iter().rev().map(|p| key(p)).collect();
        keys.sort();
        let back: Vec<_> = keys.iter().map(|k| shown(k, |name| String::from_utf8_lossy(name).into_owned())).collect();
        assert_eq!(back, ["a/b.sgf", "a.zip!b.sgf", "a-b/c.sgf", "a.sgf", "a.sgf.gz", "ab.sgf"]);
    }

    #[test]
    fn formats() {
        assert_eq!(looks(b"PK\x03\x04"), Looks::Archive(Format::Zip));
        assert_eq!(looks(b"(;SZ[9])"), Looks::Plain);
        assert_eq!(looks(&[0; 512]), Looks::Plain);
        assert!(matches!(looks(b"Rar!\x1a\x07\x01"), Looks::Unread(_)));
        assert!(starts_like_a_record(b"\xef\xbb\xbf\n (;B[aa])") && !starts_like_a_record(b"(see below)"));
    }
}
