//! Compressed streams: gzip, bzip2, xz and Zstandard, of one frame or several one after another.

use super::kind::{Format, Looks, looks};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, Read};

/// Bytes read from the packed side at once.
const BUFFER_BYTES: usize = 1 << 16;
/// Bytes that tell a format.
const MAGIC_BYTES: usize = 10;

/// Unpacks a stream. What follows its last frame is left alone, as gzip does.
pub(super) struct Stream<R: Read> {
    format: Format,
    window_bytes_max: u64,
    /// Whether a frame was found.
    begun: bool,
    state: State<R>,
}

enum State<R: Read> {
    /// Before a frame.
    Between(Source<R>),
    Gzip(Box<flate2::bufread::GzDecoder<Source<R>>>),
    Bzip2(bzip2::bufread::BzDecoder<Source<R>>),
    Xz(Box<lzma_rust2::XzReader<Source<R>>>),
    Zstd(Source<R>, Box<FrameDecoder>),
    End,
}

impl<R: Read> Stream<R> {
    /// Unpacks `from`; looking back further than `window_bytes_max` fails before that memory is taken.
    pub(super) fn new(from: R, format: Format, window_bytes_max: u64) -> Stream<R> {
        Stream { format, window_bytes_max, begun: false, state: State::Between(Source::new(from)) }
    }

    /// Starts the next frame of the same format, if one follows.
    fn start(&self, mut source: Source<R>) -> io::Result<State<R>> {
        while looks(source.peek(MAGIC_BYTES)?) == Looks::Archive(self.format) {
            match self.format {
                Format::Gzip => return Ok(State::Gzip(Box::new(flate2::bufread::GzDecoder::new(source)))),
                Format::Bzip2 => return Ok(State::Bzip2(bzip2::bufread::BzDecoder::new(source))),
                Format::Xz => {
                    let window_kb = u32::try_from(self.window_bytes_max >> 10).unwrap_or(u32::MAX);
                    return Ok(State::Xz(Box::new(lzma_rust2::XzReader::new_mem_limit(source, false, window_kb))));
                }
                Format::Zstd => {
                    let mut decoder = FrameDecoder::new();
                    decoder.set_max_window_size(self.window_bytes_max);
                    match decoder.init(&mut source) {
                        Ok(()) => return Ok(State::Zstd(source, Box::new(decoder))),
                        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                            io::copy(&mut (&mut source).take(length.into()), &mut io::sink())?;
                        }
                        Err(e) => return Err(io::Error::other(e)),
                    }
                }
                Format::Tar | Format::Zip | Format::SevenZ => break,
            }
        }
        Ok(State::End)
    }

    fn read_on(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = match &mut self.state {
                State::Between(_) => 0,
                State::Gzip(decoder) => decoder.read(buf)?,
                State::Bzip2(decoder) => decoder.read(buf)?,
                State::Xz(decoder) => decoder.read(buf)?,
                State::Zstd(source, decoder) => read_zstd(source, decoder, buf)?,
                State::End => return Ok(0),
            };
            if n > 0 {
                return Ok(n);
            }
            let source = match std::mem::replace(&mut self.state, State::End) {
                State::Between(source) | State::Zstd(source, _) => source,
                State::Gzip(decoder) => decoder.into_inner(),
                State::Bzip2(decoder) => decoder.into_inner(),
                State::Xz(decoder) => decoder.into_inner(),
                State::End => return Ok(0),
            };
            self.state = self.start(source)?;
            if !self.begun && matches!(self.state, State::End) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.begun = true;
        }
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let read = self.read_on(buf);
        if read.is_err() {
            // Some decoders must not be asked again after a failure.
            self.state = State::End;
        }
        read
    }
}

fn read_zstd<R: Read>(source: &mut Source<R>, decoder: &mut FrameDecoder, buf: &mut [u8]) -> io::Result<usize> {
    while decoder.can_collect() == 0 && !decoder.is_finished() {
        decoder.decode_blocks(&mut *source, BlockDecodingStrategy::UptoBlocks(1)).map_err(io::Error::other)?;
    }
    let n = decoder.read(buf)?;
    let sums = (decoder.get_checksum_from_data(), decoder.get_calculated_checksum());
    if n == 0 && matches!(sums, (Some(told), Some(found)) if told != found) {
        return Err(io::Error::other("wrong checksum"));
    }
    Ok(n)
}

/// A buffered reader that can look ahead.
struct Source<R> {
    from: R,
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

impl<R: Read> Source<R> {
    fn new(from: R) -> Source<R> {
        Source { from, buf: vec![0; BUFFER_BYTES], start: 0, end: 0 }
    }

    /// The next `n` bytes, or fewer at the end.
    fn peek(&mut self, n: usize) -> io::Result<&[u8]> {
        if self.end - self.start < n {
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            while self.end < n {
                match self.from.read(&mut self.buf[self.end..]) {
                    Ok(0) => break,
                    Ok(more) => self.end += more,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(&self.buf[self.start..self.end.min(self.start + n)])
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}

impl<R: Read> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.end = self.from.read(&mut self.buf)?;
        }
        Ok(&self.buf[self.start..self.end])
    }

    fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(text: &str) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    }

    fn bzip2(text: &str) -> Vec<u8> {
        let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    }

    fn zstd(text: &str) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn frames_follow_each_other_and_garbage_ends_them() {
        let skipped = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc";
        let cases = [
            (Format::Gzip, [gzip("one,"), gzip("two"), b"garbage".to_vec()].concat()),
            (Format::Bzip2, [bzip2("one,"), bzip2("two"), vec![0; 9]].concat()),
            (Format::Zstd, [&skipped[..], &zstd("one,"), skipped, &zstd("two")].concat()),
        ];
        for (format, bytes) in cases {
            let mut text = String::new();
            Stream::new(&bytes[..], format, 1 << 20).read_to_string(&mut text).unwrap();
            assert_eq!(text, "one,two", "{format:?}");
            let half = &bytes[..bytes.len() / 4];
            let read = Stream::new(half, format, 1 << 20).read_to_end(&mut Vec::new());
            assert!(read.is_err(), "{format:?}");
        }
    }
}
