//! What the whole-binary tests share.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::Read;
use std::path::{Path, PathBuf};

/// The folder of corpus, specs and nets: `EDGEZERO_DATA`, or `../shared` beside the crate. Prints why and gives
/// `None` when it is not there.
pub fn data() -> Option<PathBuf> {
    let dir = match std::env::var_os("EDGEZERO_DATA") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    if dir.join("corpus").is_dir() {
        return Some(dir);
    }
    eprintln!("skipped: no data folder {}", dir.display());
    None
}

/// A folder that goes away with the test.
pub struct TempDir(PathBuf);

impl TempDir {
    /// An empty folder; `name` is unique to the test.
    pub fn new(name: &str) -> TempDir {
        let dir = std::env::temp_dir().join(format!("edgezero-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a temporary folder");
        TempDir(dir)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// GNU Go's program, or a line that says that a test was skipped.
pub fn gnugo() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps games out of root's PATH.
    let dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/games")]);
    let found = dirs.map(|dir| dir.join("gnugo")).find(|program| program.is_file());
    if found.is_none() {
        eprintln!("skipped: gnugo is not installed");
    }
    found
}

/// The files of a `.tar.gz` of plain USTAR members, in order: name and content.
pub fn members(archive: &Path) -> impl Iterator<Item = (String, Vec<u8>)> {
    let file = std::fs::File::open(archive).expect("an archive of the corpus");
    let mut tar = flate2::read::GzDecoder::new(std::io::BufReader::new(file));
    std::iter::from_fn(move || {
        loop {
            let mut header = [0; 512];
            tar.read_exact(&mut header).ok()?;
            let text = |from: usize, to: usize| {
                let field = header[from..to].split(|&b| b == 0).next().unwrap_or_default();
                String::from_utf8_lossy(field).trim().to_string()
            };
            let (name, prefix) = (text(0, 100), text(345, 500));
            let bytes = usize::from_str_radix(&text(124, 136), 8).ok()?;
            let mut content = vec![0; bytes.next_multiple_of(512)];
            tar.read_exact(&mut content).ok()?;
            content.truncate(bytes);
            // '0': an ordinary file.
            if header[156] == b'0' {
                let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
                return Some((name, content));
            }
        }
    })
}
