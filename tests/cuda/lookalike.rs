//! Builds the look-alikes of libcuda and libnvrtc, and runs tests of this program in children that load them.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Tells a child that it is one.
const INSIDE: &str = "EDGEZERO_CUDA_INSIDE";

/// What a child finds.
pub struct World {
    /// Definitions for the look-alikes; none: no libraries.
    defines: Option<Vec<String>>,
    compiler: bool,
    env: Vec<(&'static str, &'static str)>,
}

/// Whether this process is a child.
pub fn inside() -> Option<()> {
    std::env::var_os(INSIDE).map(|_| ())
}

/// Changes the look-alike's world from inside.
pub fn set(name: &str, value: &str) {
    // SAFETY: a child runs one test, and no other thread reads the environment now.
    unsafe { std::env::set_var(name, value) };
}

/// A count that the look-alike keeps.
pub fn count(name: &str) -> i64 {
    // SAFETY: the look-alike exports functions of this type under the names that the tests ask for.
    unsafe { cudarc::driver::sys::culib().get::<unsafe extern "C" fn() -> i64>(name.as_bytes()).expect("the look-alike")() }
}

impl World {
    /// The look-alike that claims this version of CUDA.
    pub fn cuda(version: u32) -> World {
        World { defines: Some(vec![format!("-DCLAIMED={version}")]), compiler: true, env: Vec::new() }
    }

    /// One that lacks a function.
    pub fn without_fill() -> World {
        World { defines: Some(vec!["-DWITHOUT_FILL".to_string()]), ..World::cuda(0) }
    }

    /// No libcuda.
    pub fn nothing() -> World {
        World { defines: None, ..World::cuda(0) }
    }

    /// No libnvrtc, and nothing kept of it.
    pub fn without_compiler(self) -> World {
        World { compiler: false, ..self }
    }

    /// Another variable.
    pub fn with(mut self, name: &'static str, value: &'static str) -> World {
        self.env.push((name, value));
        self
    }

    /// Runs a test of this program in this world; what it printed, or None where g++ is missing.
    pub fn run(&self, test: &str) -> Option<String> {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cuda-lookalike");
        let name = match &self.defines {
            Some(defines) => format!("{}{}", defines.join(""), if self.compiler { "" } else { "-alone" }),
            None => "nothing".to_string(),
        };
        let (dir, cache) = (base.join(name), base.join(if self.compiler { "cache" } else { "no-cache" }));
        if !self.build(&dir) {
            eprintln!("skipped: g++ is not installed");
            return None;
        }
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
        command.env(INSIDE, "1").env("LD_LIBRARY_PATH", &dir).env("EDGEZERO_CACHE", cache).env_remove("EDGEZERO_NVRTC");
        command.envs(self.env.iter().copied());
        let output = command.output().expect("a child");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{test} with {:?} {:?}: {}\n{said}", self.defines, self.env, output.status);
        println!("{said}");
        Some(said)
    }

    /// The libraries, made anew where their sources are newer. Whether that is possible.
    fn build(&self, dir: &Path) -> bool {
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        std::fs::create_dir_all(dir).expect("a folder for the look-alike");
        let Some(defines) = &self.defines else { return true };
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda");
        let dialect = format!("-DDIALECT=\"{}\"", sources.join("dialect.h").display());
        let mut libraries = vec![("libcuda.cpp", "libcuda.so.1")];
        if self.compiler {
            libraries.push(("libnvrtc.cpp", "libnvrtc.so.11.2"));
        }
        libraries.iter().all(|(source, library)| {
            let (source, library) = (sources.join(source), dir.join(library));
            newer(&library, &source) || {
                let mut command = Command::new("g++");
                command.args(["-std=c++17", "-O2", "-g", "-fPIC", "-shared"]).args(defines).arg(&dialect);
                let made = command.arg(source).arg("-o").arg(library).status();
                made.is_ok_and(|status| {
                    assert!(status.success(), "g++ on the look-alike");
                    true
                })
            }
        })
    }
}

fn newer(made: &Path, source: &Path) -> bool {
    let time = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    time(made).is_some_and(|made| time(source).is_some_and(|source| made > source))
}
