//! NVIDIA's libraries as files: which are there, and of which versions. Nothing is loaded.

use super::tree::Tree;
use serde::Serialize;
use std::collections::BTreeMap;

/// A shared library's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Library {
    /// Its place in the tree, with a slash at the start.
    pub path: String,
    /// The version in its name, such as `8.2.1`; the driver's own library has `1` or `1.1`.
    pub version: String,
}

impl Library {
    /// The first numbers of the version, 0 for those that are not there.
    pub fn major_minor(&self) -> (u32, u32) {
        let mut numbers = self.version.split('.').map(|n| n.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }
}

/// The libraries that training and play on a GPU need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Software {
    /// The driver's version where it is a module of its own, as on a PC.
    pub driver: Option<String>,
    /// The driver's library.
    pub libcuda: Option<Library>,
    /// Version of the CUDA toolkit.
    pub cuda: Option<String>,
    /// The compiler that makes kernels at run time.
    pub nvrtc: Option<Library>,
    /// cuDNN.
    pub cudnn: Option<Library>,
    /// TensorRT.
    pub tensorrt: Option<Library>,
    /// TensorRT's own program that makes plans.
    pub trtexec: Option<String>,
}

impl Software {
    /// Looks for the libraries where distributions and JetPacks put them.
    pub fn read(tree: &Tree) -> Software {
        let places = places(tree);
        let find = |name: &str| library(tree, &places, name);
        let trtexec = ["usr/src/tensorrt/bin/trtexec", "usr/bin/trtexec"].into_iter().find(|path| tree.is_there(path));
        Software {
            driver: driver(tree),
            libcuda: find("libcuda"),
            cuda: toolkit(tree).or_else(|| find("libcudart").map(|library| library.version)),
            nvrtc: find("libnvrtc"),
            cudnn: find("libcudnn"),
            tensorrt: find("libnvinfer"),
            trtexec: trtexec.map(|path| format!("/{path}")),
        }
    }
}

/// Installed packages of dpkg by name, with their versions.
#[derive(Clone, Debug, Default)]
pub struct Packages(BTreeMap<String, String>);

impl Packages {
    /// Reads dpkg's list; none is there on other distributions.
    pub fn read(tree: &Tree) -> Packages {
        let text = tree.text("var/lib/dpkg/status").unwrap_or_default();
        let packages = text.split("\n\n").filter_map(|block| {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let installed = field("Status:").is_some_and(|status| status.ends_with(" installed"));
            installed.then_some((field("Package:")?.to_string(), field("Version:")?.to_string()))
        });
        Packages(packages.collect())
    }

    /// The version of an installed package.
    pub fn version(&self, package: &str) -> Option<String> {
        self.0.get(package).cloned()
    }
}

/// Folders that hold libraries, those of the toolkits last.
fn places(tree: &Tree) -> Vec<String> {
    let mut places = Vec::new();
    for arch in ["aarch64-linux-gnu", "x86_64-linux-gnu"] {
        places.extend(["", "/tegra", "/nvidia", "/tegra-egl"].map(|part| format!("usr/lib/{arch}{part}")));
    }
    places.extend(["usr/lib64", "usr/lib", "usr/lib/wsl/lib", "usr/local/lib"].map(str::to_string));
    // The newest toolkit last but one: `cuda` is a link to the one in use, where there is such a link.
    for toolkit in tree.beginning("usr/local", "cuda") {
        places.push(format!("{toolkit}/lib64"));
        places.extend(tree.names(&format!("{toolkit}/targets")).into_iter().map(|t| format!("{toolkit}/targets/{t}/lib")));
    }
    places
}

/// The file `name.so.VERSION` with the longest version in the first folder that has one.
fn library(tree: &Tree, places: &[String], name: &str) -> Option<Library> {
    let begins = format!("{name}.so.");
    places.iter().find_map(|place| {
        let names = tree.names(place).into_iter().filter(|file| file.starts_with(&begins));
        let version_of = |file: &String| file[begins.len()..].to_string();
        let is_version =
            |version: &String| version.split('.').all(|part| part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty());
        let file = names.filter(|file| is_version(&version_of(file))).max_by_key(|file| file.matches('.').count())?;
        Some(Library { path: format!("/{place}/{file}"), version: version_of(&file) })
    })
}

/// `version.json` since CUDA 11.1, `version.txt` before.
fn toolkit(tree: &Tree) -> Option<String> {
    if let Some(text) = tree.text("usr/local/cuda/version.json") {
        let json: serde_json::Value = serde_json::from_str(&text).ok()?;
        return json["cuda"]["version"].as_str().map(str::to_string);
    }
    let text = tree.text("usr/local/cuda/version.txt")?;
    Some(text.strip_prefix("CUDA Version")?.trim().to_string())
}

/// `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  …`
fn driver(tree: &Tree) -> Option<String> {
    let text = tree.text("proc/driver/nvidia/version")?;
    let after = text.lines().next()?.split("Kernel Module").nth(1)?;
    let is_version = |word: &&str| word.contains('.') && word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    after.split_whitespace().find(is_version).map(str::to_string)
}
