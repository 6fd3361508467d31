//! A look at the header of a 7-Zip archive before it is read: what it says it takes must be within the limits.
//!
//! The format is that of 7zFormat.txt in the sources of 7-Zip.

use super::super::config::ArchiveConfig;
use super::archive::Fault;
use std::io::{self, Read, Seek, SeekFrom};

/// Bytes before the packed streams.
const SIGNATURE_BYTES: u64 = 32;
/// Bytes of header that one member may take, with a long name.
const MEMBER_HEADER_BYTES_MAX: u64 = 1 << 10;

/// Most coders of a block, and most streams of a coder: 7-Zip's own limit.
const CODERS_MAX: u64 = 32;

const END: u8 = 0;
const HEADER: u8 = 1;
const ARCHIVE_PROPERTIES: u8 = 2;
const MAIN_STREAMS: u8 = 4;
const FILES: u8 = 5;
const PACK: u8 = 6;
const UNPACK: u8 = 7;
const SUBSTREAMS: u8 = 8;
const SIZES: u8 = 9;
const DIGESTS: u8 = 10;
const FOLDERS: u8 = 11;
const UNPACK_SIZES: u8 = 12;
const NUMBERS: u8 = 13;
const ENCODED_HEADER: u8 = 23;

const ID_COPY: &[u8] = &[0];
const ID_LZMA: &[u8] = &[3, 1, 1];
const ID_LZMA2: &[u8] = &[0x21];
const ID_PPMD: &[u8] = &[3, 4, 1];
const ID_AES: &[u8] = &[6, 0xf1, 7, 1];

/// The memory that each block takes to unpack, in bytes. Refuses a header whose reading would take more than the limits,
/// or that makes no sense.
pub(super) fn windows<F: Read + Seek>(file: &mut F, limits: &ArchiveConfig) -> Result<Vec<u64>, Fault> {
    let (n_files, windows) = look(file, limits).map_err(|why| match why {
        Why::Fault(fault) => fault,
        Why::Read(e) => Fault::damaged(format!("its header: {e}")),
    })?;
    if n_files > limits.members_max {
        return Err(Fault::limit(format!("{n_files} members, at most {} are read", limits.members_max)));
    }
    Ok(windows)
}

/// Memory for what a coder looks back at, in bytes.
fn window_bytes(id: &[u8], properties: &[u8]) -> u64 {
    let u32_at = |at: usize| properties.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
    match id {
        ID_LZMA | ID_PPMD => u32_at(1).into(),
        ID_LZMA2 => match properties.first() {
            Some(&bits @ 0..40) => (2 | u64::from(bits & 1)) << (bits / 2 + 11),
            _ => u64::from(u32::MAX),
        },
        _ => 0,
    }
}

enum Why {
    Read(io::Error),
    Fault(Fault),
}

impl From<io::Error> for Why {
    fn from(e: io::Error) -> Why {
        Why::Read(e)
    }
}

fn nonsense(what: &str) -> Why {
    Why::Read(io::Error::other(what))
}

/// The number of files, and the windows of the blocks.
fn look<F: Read + Seek>(file: &mut F, limits: &ArchiveConfig) -> Result<(u64, Vec<u64>), Why> {
    let header_bytes_max = limits.members_max.saturating_mul(MEMBER_HEADER_BYTES_MAX).min(limits.window_mb << 20);
    let file_bytes = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(12))?;
    let mut place = [0; 16];
    file.read_exact(&mut place)?;
    let (at, bytes) = (u64_of(&place[..8]), u64_of(&place[8..]));
    if bytes == 0 && at == 0 {
        // 7-Zip leaves zeros while it writes; then the header would have to be searched for.
        return Err(nonsense("the archive was not finished"));
    }
    let start = at.checked_add(SIGNATURE_BYTES).filter(|start| start.saturating_add(bytes) <= file_bytes);
    let start = start.ok_or_else(|| nonsense("it lies beyond the end, the file is cut"))?;
    let mut header = read_at(file, start, bytes, header_bytes_max)?;
    if header.first() == Some(&ENCODED_HEADER) {
        let streams = streams_info(&mut Bytes(&header[1..]))?;
        header = decode(file, &streams, header_bytes_max, limits.window_mb << 20)?;
    }
    let mut bytes = Bytes(&header);
    if bytes.u8()? != HEADER {
        return Err(nonsense("not a header"));
    }
    let mut id = bytes.u8()?;
    if id == ARCHIVE_PROPERTIES {
        while bytes.u8()? != END {
            let len = bytes.number()?;
            bytes.take(len)?;
        }
        id = bytes.u8()?;
    }
    let mut windows = Vec::new();
    if id == MAIN_STREAMS {
        windows = streams_info(&mut bytes)?.blocks.iter().map(|block| block.window_bytes).collect();
        id = bytes.u8()?;
    }
    Ok((if id == FILES { bytes.number()? } else { 0 }, windows))
}

fn u64_of(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))
}

fn read_at<F: Read + Seek>(file: &mut F, at: u64, len: u64, len_max: u64) -> Result<Vec<u8>, Why> {
    if len > len_max {
        return Err(Why::Fault(Fault::limit(format!("a header of {len} bytes, at most {len_max} are read"))));
    }
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < len { Err(nonsense("it is cut")) } else { Ok(bytes) }
}

/// What a header says of the first stream, and that is all there is of an encoded header.
#[derive(Default)]
struct Streams {
    pack_at: u64,
    pack_bytes: u64,
    /// Method and properties of the coders of the first block.
    coders: Vec<(Vec<u8>, Vec<u8>)>,
    unpacked_bytes: u64,
    blocks: Vec<BlockHead>,
}

/// What a header says of a block.
struct BlockHead {
    window_bytes: u64,
    n_outs: u64,
    has_digest: bool,
}

/// Unpacks a header.
fn decode<F: Read + Seek>(file: &mut F, streams: &Streams, bytes_max: u64, window_max: u64) -> Result<Vec<u8>, Why> {
    if streams.unpacked_bytes > bytes_max {
        let what = format!("a header of {} bytes, at most {bytes_max} are read", streams.unpacked_bytes);
        return Err(Why::Fault(Fault::limit(what)));
    }
    if streams.coders.iter().any(|(id, _)| id == ID_AES) {
        return Err(Why::Fault(Fault { kind: "encrypted", reason: "encrypted, names included".to_string() }));
    }
    let [(id, properties)] = &streams.coders[..] else {
        return Err(nonsense("packed in a way that is not read here"));
    };
    let window = window_bytes(id, properties);
    if window > window_max {
        return Err(Why::Fault(Fault::limit(format!("unpacking its header takes {} MiB", window >> 20))));
    }
    let at = streams.pack_at.checked_add(SIGNATURE_BYTES).ok_or_else(|| nonsense("beyond the end"))?;
    file.seek(SeekFrom::Start(at))?;
    let packed = file.take(streams.pack_bytes);
    let len = streams.unpacked_bytes;
    let mut header = Vec::new();
    match id.as_slice() {
        ID_COPY => packed.take(len).read_to_end(&mut header)?,
        ID_LZMA => {
            let (Some(&props), dict) = (properties.first(), window as u32) else {
                return Err(nonsense("no properties"));
            };
            lzma_rust2::LzmaReader::new_with_props(packed, len, props, dict, None)?.take(len).read_to_end(&mut header)?
        }
        ID_LZMA2 => lzma_rust2::Lzma2Reader::new(packed, window as u32, None).take(len).read_to_end(&mut header)?,
        _ => return Err(nonsense("packed in a way that is not read here")),
    };
    Ok(header)
}

fn streams_info(bytes: &mut Bytes) -> Result<Streams, Why> {
    let mut streams = Streams::default();
    loop {
        match bytes.u8()? {
            END => return Ok(streams),
            PACK => pack_info(bytes, &mut streams)?,
            UNPACK => unpack_info(bytes, &mut streams)?,
            SUBSTREAMS => substreams(bytes, &streams.blocks)?,
            _ => return Err(nonsense("unknown part")),
        }
    }
}

fn pack_info(bytes: &mut Bytes, streams: &mut Streams) -> Result<(), Why> {
    streams.pack_at = bytes.number()?;
    let n_streams = bytes.count()?;
    loop {
        match bytes.u8()? {
            END => return Ok(()),
            SIZES => {
                for i in 0..n_streams {
                    let size = bytes.number()?;
                    streams.pack_bytes = if i == 0 { size } else { streams.pack_bytes };
                }
            }
            DIGESTS => drop(bytes.digests(n_streams)?),
            _ => return Err(nonsense("unknown part of the packed streams")),
        }
    }
}

fn unpack_info(bytes: &mut Bytes, streams: &mut Streams) -> Result<(), Why> {
    if bytes.u8()? != FOLDERS {
        return Err(nonsense("no blocks"));
    }
    let n_blocks = bytes.count()?;
    if bytes.u8()? != 0 {
        return Err(nonsense("blocks told elsewhere"));
    }
    streams.blocks.clear();
    for _ in 0..n_blocks {
        let block = block(bytes, streams)?;
        streams.blocks.push(block);
    }
    if bytes.u8()? != UNPACK_SIZES {
        return Err(nonsense("no sizes of blocks"));
    }
    for i in 0..streams.blocks.iter().map(|block| block.n_outs).sum() {
        let size = bytes.number()?;
        streams.unpacked_bytes = if i == 0 { size } else { streams.unpacked_bytes };
    }
    loop {
        match bytes.u8()? {
            END => return Ok(()),
            DIGESTS => {
                let defined = bytes.digests(n_blocks)?;
                streams.blocks.iter_mut().zip(defined).for_each(|(block, defined)| block.has_digest = defined);
            }
            _ => return Err(nonsense("unknown part of the blocks")),
        }
    }
}

/// Reads one block's coders; those of the first are kept.
fn block(bytes: &mut Bytes, streams: &mut Streams) -> Result<BlockHead, Why> {
    let n_coders = bytes.number()?;
    if n_coders > CODERS_MAX {
        return Err(nonsense("too many coders"));
    }
    let mut block = BlockHead { window_bytes: 0, n_outs: 0, has_digest: false };
    let mut n_ins = 0;
    for _ in 0..n_coders {
        let flags = bytes.u8()?;
        let id = bytes.take(u64::from(flags & 0xf))?;
        let (ins, outs) = if flags & 0x10 != 0 { (bytes.number()?, bytes.number()?) } else { (1, 1) };
        if ins > CODERS_MAX || outs > CODERS_MAX {
            return Err(nonsense("too many streams of a coder"));
        }
        (n_ins, block.n_outs) = (n_ins + ins, block.n_outs + outs);
        let len = if flags & 0x20 != 0 { bytes.number()? } else { 0 };
        let properties = bytes.take(len)?;
        block.window_bytes += window_bytes(id, properties);
        if streams.blocks.is_empty() {
            streams.coders.push((id.to_vec(), properties.to_vec()));
        }
    }
    let n_pairs = block.n_outs.saturating_sub(1);
    let n_packed = n_ins.saturating_sub(n_pairs);
    for _ in 0..2 * n_pairs + if n_packed > 1 { n_packed } else { 0 } {
        bytes.number()?;
    }
    Ok(block)
}

/// Skips the sizes of the files in the blocks.
fn substreams(bytes: &mut Bytes, blocks: &[BlockHead]) -> Result<(), Why> {
    let mut n_files = vec![1; blocks.len()];
    loop {
        match bytes.u8()? {
            END => return Ok(()),
            NUMBERS => {
                for n in &mut n_files {
                    *n = bytes.count()?;
                }
            }
            SIZES => {
                // The size of a block's last file follows from the others.
                for _ in 0..n_files.iter().map(|n| n.saturating_sub(1)).sum() {
                    bytes.number()?;
                }
            }
            DIGESTS => {
                let told = n_files.iter().zip(blocks).filter(|(n, block)| !(**n == 1 && block.has_digest));
                drop(bytes.digests(told.map(|(n, _)| n).sum())?);
            }
            _ => return Err(nonsense("unknown part of the files in blocks")),
        }
    }
}

/// A cursor on a header.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn u8(&mut self) -> io::Result<u8> {
        let (&first, rest) = self.0.split_first().ok_or(io::ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(first)
    }

    fn take(&mut self, len: u64) -> io::Result<&'a [u8]> {
        let len = usize::try_from(len).ok().filter(|&len| len <= self.0.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        Ok(taken)
    }

    /// A number: the leading ones of its first byte tell how many more bytes there are.
    fn number(&mut self) -> io::Result<u64> {
        let first = self.u8()?;
        let n_more = first.leading_ones();
        let more = self.take(n_more.into())?;
        let high = u64::from(first) & (0x7f_u64 >> n_more.min(7));
        Ok(u64_of(more) | if n_more < 7 { high << (8 * n_more) } else { 0 })
    }

    /// A number of things that take a byte or more each.
    fn count(&mut self) -> Result<u64, Why> {
        let n = self.number()?;
        if n > self.0.len() as u64 { Err(nonsense("more than there is room for")) } else { Ok(n) }
    }

    /// Skips checksums of `n` things, some of which may have none; tells which have.
    fn digests(&mut self, n: u64) -> Result<Vec<bool>, Why> {
        if n > 8 * self.0.len() as u64 {
            return Err(nonsense("more checksums than there is room for"));
        }
        let defined: Vec<bool> = match self.u8()? {
            0 => {
                let bits = self.take(n.div_ceil(8))?;
                (0..n as usize).map(|i| bits[i / 8] & (0x80 >> (i % 8)) != 0).collect()
            }
            _ => vec![true; n as usize],
        };
        self.take(4 * defined.iter().filter(|&&defined| defined).count() as u64)?;
        Ok(defined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_windows() {
        let cases: [(&[u8], u64); 5] = [
            (&[0x05], 5),
            (&[0x81, 0x02], 0x102),
            (&[0xc1, 1, 2], 0x1_0201),
            (&[0xfe, 1, 0, 0, 0, 0, 0, 1], 1 | 1 << 48),
            (&[0xff, 1, 0, 0, 0, 0, 0, 0, 1], 1 | 1 << 56),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Bytes(bytes).number().unwrap(), expected, "{bytes:?}");
        }
        assert_eq!(window_bytes(ID_LZMA2, &[24]), 16 << 20);
        assert_eq!(window_bytes(ID_LZMA, &[0x5d, 0, 0, 0, 4]), 64 << 20);
        assert_eq!(window_bytes(ID_LZMA2, &[40]), u64::from(u32::MAX));
    }
}
