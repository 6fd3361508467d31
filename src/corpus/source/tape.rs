//! The members of a tar.

use super::archive::{Flow, Place, Unpacker};
use std::io::{self, Read};
use std::ops::ControlFlow;
use tar::EntryType;

/// Longest extension header read (a long name, attributes), in bytes.
const HEADER_BYTES_MAX: u64 = 1 << 16;

impl Unpacker<'_> {
    /// Reads a tar to its end or to its first fault.
    pub(super) fn tar(&mut self, from: &mut dyn Read, place: &Place) -> Flow {
        let mut archive = tar::Archive::new(from);
        // Raw: the crate would read a long name of any length into memory.
        let entries = match archive.entries() {
            Ok(entries) => entries.raw(true),
            Err(e) => return self.failed(place, e),
        };
        let mut long_name = None;
        for entry in entries {
            let mut entry = match entry {
                Ok(entry) => entry,
                Err(e) => return self.failed(place, format!("{e}; the rest of it is lost")),
            };
            let kind = entry.header().entry_type();
            if !matches!(kind, EntryType::GNULongName | EntryType::XHeader) {
                self.count_member(place)?;
            }
            match kind {
                EntryType::GNULongName => match extension(&mut entry) {
                    Ok(name) => long_name = Some(name.strip_suffix(&[0]).unwrap_or(&name).to_vec()),
                    Err(e) => return self.failed(place, e),
                },
                EntryType::XHeader => match extension(&mut entry) {
                    Ok(text) => long_name = pax_path(&text).or(long_name),
                    Err(e) => return self.failed(place, e),
                },
                EntryType::Regular | EntryType::Continuous => {
                    let name = long_name.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
                    // Old tars mark a folder by the end of its name alone.
                    if !name.ends_with(b"/") {
                        self.member(place.member(&name), &mut entry)?;
                    }
                }
                EntryType::Directory | EntryType::XGlobalHeader | EntryType::GNULongLink => {
                    if kind == EntryType::Directory {
                        long_name = None;
                    }
                }
                _ => {
                    long_name = None;
                    self.other()?;
                }
            }
        }
        ControlFlow::Continue(())
    }
}

fn extension(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(HEADER_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > HEADER_BYTES_MAX {
        return Err(io::Error::other(format!("a header of more than {HEADER_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// The path in a pax header: lines of `LENGTH key=value`, the length counting the whole line.
fn pax_path(text: &[u8]) -> Option<Vec<u8>> {
    let mut rest = text;
    let mut path = None;
    while let Some(space) = rest.iter().position(|&b| b == b' ') {
        let len: usize = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
        let line = rest.get(space + 1..len)?;
        if let Some(value) = line.strip_prefix(b"path=") {
            path = Some(value.strip_suffix(b"\n").unwrap_or(value).to_vec());
        }
        rest = &rest[len..];
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_headers() {
        assert_eq!(pax_path(b"13 path=a/b\n\n16 mtime=1234.56\n").as_deref(), Some(&b"a/b\n"[..]));
        for broken in [&b"9"[..], b"99 path=a\n", b"0 path=a\n", b"x path=a\n", b"1 path=a\n", b""] {
            assert_eq!(pax_path(broken), None, "{broken:?}");
        }
    }
}
