//! KataGo's model files: `.bin.gz`, `.txt.gz`, `.gz`, `.bin`, `.txt` are read (convolutional nets of versions 8 to 16; of several policies the first), `.bin.gz` is written (version 8).

mod read;
#[cfg(test)]
mod tests;
mod tokens;
mod write;

pub use read::read;
pub use tokens::Numbers;
pub use write::write;

use super::Net;
use crate::base::fs::{read_limited, write_whole};
use crate::base::{Error, Result};
use std::io::Read;
use std::path::Path;

/// Largest file and largest unpacked content, in bytes. KataGo's largest convolutional nets unpack to 450 MB.
pub const FILE_BYTES_MAX: u64 = 1 << 29;

/// How a file's content is packed, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Format {
    gzip: bool,
    /// None: binary, and if that fails text.
    numbers: Option<Numbers>,
}

fn format(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let (gzip, numbers) = match () {
        _ if name.ends_with(".bin.gz") => (true, Some(Numbers::Binary)),
        _ if name.ends_with(".txt.gz") => (true, Some(Numbers::Text)),
        _ if name.ends_with(".gz") => (true, None),
        _ if name.ends_with(".bin") => (false, Some(Numbers::Binary)),
        _ if name.ends_with(".txt") => (false, Some(Numbers::Text)),
        _ => return None,
    };
    Some(Format { gzip, numbers })
}

/// Whether the name is one of KataGo's model files.
pub fn is_model_name(path: &Path) -> bool {
    format(path).is_some()
}

/// Reads a file by its name.
pub fn open(path: &Path) -> Result<Net> {
    let place = path.display().to_string();
    let Some(format) = format(path) else {
        return Err(Error::new(place, "not a model file by its name").hint("a name ending in .bin.gz, .txt.gz, .bin or .txt"));
    };
    let bytes = read_limited(path, FILE_BYTES_MAX)?;
    let bytes = if format.gzip { unzip(&place, &bytes)? } else { bytes };
    match format.numbers {
        Some(numbers) => read(&place, &bytes, numbers),
        None => read(&place, &bytes, Numbers::Binary).or_else(|binary| read(&place, &bytes, Numbers::Text).map_err(|_| binary)),
    }
}

fn unzip(place: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut limited = flate2::read::MultiGzDecoder::new(bytes).take(FILE_BYTES_MAX + 1);
    limited.read_to_end(&mut out).map_err(|e| Error::new(place, format!("no whole gzip data: {e}")))?;
    if out.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::new(place, format!("unpacks to more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(out)
}

/// Writes a net as `.bin.gz` of version 8, whole or not at all.
pub fn save(path: &Path, net: &Net) -> Result<()> {
    if format(path) != Some(Format { gzip: true, numbers: Some(Numbers::Binary) }) {
        return Err(
            Error::new(path.display(), "no net is written under this name").hint("a name ending in .safetensors or .bin.gz")
        );
    }
    write_whole(path, &to_bytes(net)?)
}

/// A net as the bytes of a `.bin.gz` of version 8, the same every time.
pub fn to_bytes(net: &Net) -> Result<Vec<u8>> {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let packed = gzip.write_all(&write(net)?).and_then(|()| gzip.finish());
    packed.map_err(|e| Error::new("a net to be packed", e))
}
