//! Our own net files: safetensors with the arch in the metadata.

use super::{Arch, Layout, Net};
use crate::base::fs::{read_limited, write_whole};
use crate::base::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The one entry of the file's metadata: a JSON object of the entries below and the caller's.
pub const METADATA_KEY: &str = "edgezero";
/// Key of the arch (JSON) in the metadata.
pub const ARCH_KEY: &str = "edgezero.arch";
/// Key of the net's name in the metadata.
pub const NAME_KEY: &str = "edgezero.name";
/// Largest file, in bytes: a checkpoint holds parameters, two moments and an average.
pub const FILE_BYTES_MAX: u64 = 1 << 32;

/// A named tensor of `f32`.
pub type Named<'a> = (String, Vec<usize>, &'a [f32]);

impl Net {
    /// Every tensor of parameters and statistics with its name and shape, in the order of the layout.
    pub fn tensors(&self) -> Vec<Named<'_>> {
        let params =
            self.layout.params.iter().map(|i| (i.name.clone(), i.shape.clone(), &self.params[i.offset..i.offset + i.len]));
        let stats = self.layout.stats.iter().map(|i| (i.name.clone(), vec![i.len], &self.stats[i.offset..i.offset + i.len]));
        params.chain(stats).collect()
    }

    /// What [`Decoded::net`] needs besides the tensors.
    pub fn metadata(&self) -> Result<HashMap<String, String>> {
        let arch = serde_json::to_string(&self.arch).map_err(|e| Error::new(&self.name, e))?;
        Ok(HashMap::from([(ARCH_KEY.to_string(), arch), (NAME_KEY.to_string(), self.name.clone())]))
    }
}

/// A safetensors file of named tensors. Same input, same bytes: all metadata goes into one entry as JSON with sorted keys,
/// because the order of several would follow the hasher.
pub fn encode(tensors: &[Named<'_>], metadata: HashMap<String, String>) -> Result<Vec<u8>> {
    let views = tensors.iter().map(|(name, shape, values)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values));
        view.map(|v| (name.as_str(), v)).map_err(|e| Error::new(name, e))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    let sorted: BTreeMap<String, String> = metadata.into_iter().collect();
    let text = serde_json::to_string(&sorted).map_err(|e| Error::new("net file", e))?;
    let metadata = HashMap::from([(METADATA_KEY.to_string(), text)]);
    safetensors::serialize(views, Some(metadata)).map_err(|e| Error::new("net file", e))
}

/// A net as the bytes of a file.
pub fn to_bytes(net: &Net) -> Result<Vec<u8>> {
    encode(&net.tensors(), net.metadata()?)
}

/// A safetensors file opened: metadata, and tensors by name.
pub struct Decoded<'a> {
    place: &'a str,
    metadata: HashMap<String, String>,
    tensors: SafeTensors<'a>,
}

impl<'a> Decoded<'a> {
    /// Reads the header of a file; `place` names it in errors.
    pub fn new(place: &'a str, bytes: &'a [u8]) -> Result<Decoded<'a>> {
        let broken = |e: safetensors::SafeTensorError| Error::new(place, format!("no sound safetensors file: {e}"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
        let foreign = |what: String| Error::new(place, format!("{what}: not a net of edgezero"));
        let entry = header.metadata().as_ref().and_then(|m| m.get(METADATA_KEY));
        let entry = entry.ok_or_else(|| foreign(format!("no '{METADATA_KEY}' in its metadata")))?;
        let metadata = serde_json::from_str(entry).map_err(|e| foreign(format!("its metadata: {e}")))?;
        Ok(Decoded { place, metadata, tensors })
    }

    /// An entry of the metadata.
    pub fn meta(&self, key: &str) -> Result<&str> {
        let value = self.metadata.get(key).map(String::as_str);
        value.ok_or_else(|| Error::new(self.place, format!("no '{key}' in its metadata: not a net of edgezero")))
    }

    /// Copies a tensor of exactly this shape.
    pub fn tensor(&self, name: &str, shape: &[usize], to: &mut [f32]) -> Result<()> {
        let error = |what: String| Error::new(self.place, format!("tensor '{name}': {what}"));
        let view = self.tensors.tensor(name).map_err(|_| error("missing".to_string()))?;
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            return Err(error(format!("{:?} {:?}, expected F32 {shape:?}", view.dtype(), view.shape())));
        }
        for (x, b) in to.iter_mut().zip(view.data().chunks_exact(4)) {
            *x = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        }
        Ok(())
    }

    /// The net in the file; tensors besides its own are left to the caller.
    pub fn net(&self) -> Result<Net> {
        let mut arch: Arch =
            serde_json::from_str(self.meta(ARCH_KEY)?).map_err(|e| Error::new(self.place, format!("its arch: {e}")))?;
        arch.check(self.place)?;
        let layout = arch.place();
        // no larger than the file: every tensor is in it
        let stored = |name: &str| self.tensors.tensor(name).map_or(0, |v| v.data().len() / 4);
        let missing = |name: &str| Error::new(self.place, format!("tensor '{name}': missing or of another shape"));
        if let Some(p) = layout.params.iter().find(|p| stored(&p.name) != p.len) {
            return Err(missing(&p.name));
        }
        if let Some(s) = layout.stats.iter().find(|s| stored(&s.name) != s.len) {
            return Err(missing(&s.name));
        }
        let (mut params, mut stats) = (vec![0.0; layout.params_len()], vec![0.0; layout.stats_len()]);
        self.fill(&layout, "", &mut params, &mut stats)?;
        Net::new(self.place, self.meta(NAME_KEY)?, arch, params, stats)
    }

    /// Copies the tensors called `prefix` and a name of the net into the net.
    pub fn load_into(&self, prefix: &str, net: &mut Net) -> Result<()> {
        let Net { layout, params, stats, .. } = net;
        self.fill(layout, prefix, params, stats)
    }

    fn fill(&self, layout: &Layout, prefix: &str, params: &mut [f32], stats: &mut [f32]) -> Result<()> {
        for p in &layout.params {
            self.tensor(&format!("{prefix}{}", p.name), &p.shape, &mut params[p.offset..p.offset + p.len])?;
        }
        for s in &layout.stats {
            self.tensor(&format!("{prefix}{}", s.name), &[s.len], &mut stats[s.offset..s.offset + s.len])?;
        }
        Ok(())
    }
}

/// A net from the bytes of a file; `place` names it in errors.
pub fn from_bytes(place: &str, bytes: &[u8]) -> Result<Net> {
    Decoded::new(place, bytes)?.net()
}

/// Reads a file.
pub fn open(path: &Path) -> Result<Net> {
    from_bytes(&path.display().to_string(), &read_limited(path, FILE_BYTES_MAX)?)
}

/// Writes a file, whole or not at all.
pub fn save(path: &Path, net: &Net) -> Result<()> {
    write_whole(path, &to_bytes(net)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::NetConfig;

    #[test]
    fn a_net_is_read_back_and_written_the_same() {
        let net = NetConfig::named("b3c8").unwrap().init(1);
        let bytes = to_bytes(&net).unwrap();
        assert!(from_bytes("memory", &bytes).unwrap() == net);
        assert!((0..20).all(|_| to_bytes(&net).unwrap() == bytes), "same bytes every time");
    }

    #[test]
    fn foreign_and_broken_files_are_refused() {
        let net = NetConfig::named("b1c4").unwrap().init(1);
        let bytes = to_bytes(&net).unwrap();
        let refused = |bytes: &[u8], why: &str| {
            let e = from_bytes("a.safetensors", bytes).unwrap_err().to_string();
            assert!(e.starts_with("a.safetensors: ") && e.contains(why), "{why}: {e}");
        };
        refused(&bytes[..bytes.len() - 1], "no sound safetensors file");
        refused(b"", "no sound safetensors file");
        let tensors = net.tensors();
        refused(&encode(&tensors, HashMap::new()).unwrap(), "no 'edgezero.arch'");
        refused(&encode(&tensors[1..], net.metadata().unwrap()).unwrap(), "'conv_in.weight': missing");
        let foreign = safetensors::serialize(Vec::<(String, TensorView<'_>)>::new(), None).unwrap();
        refused(&foreign, "not a net of edgezero");
        let with = |from: &str, to: &str| {
            let mut meta = net.metadata().unwrap();
            let arch = meta.get_mut(ARCH_KEY).unwrap();
            let changed = arch.replacen(from, to, 1);
            assert_ne!(*arch, changed);
            *arch = changed;
            encode(&tensors, meta).unwrap()
        };
        refused(&with("\"version\":8", "\"version\":18"), "18, expected 8 to 16");
        refused(&with("\"c_out\":4", "\"c_out\":5"), "expected");
        refused(&with("\"c_out\":4", "\"c_out\":99999999999"), "output channels");
        refused(&with("ordinary", "extraordinary"), "unknown variant");
        let mut nan = net.clone();
        nan.params_mut()[3] = f32::NAN;
        refused(&to_bytes(&nan).unwrap(), "conv_in.weight holds NaN");
    }
}
