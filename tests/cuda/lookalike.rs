//! Builds the look-alikes of libcuda and libnvrtc, and runs tests of this program in children that load them.
//!
//! From outside: LOOKALIKE_EMULATOR runs the children of a program for another architecture (`qemu-aarch64 -cpu max`),
//! LOOKALIKE_CXX is the compiler for it (g++), and LOOKALIKE_SANITIZE=1 makes every world a sanitized one.

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Tells a child that it is one.
const INSIDE: &str = "EDGEZERO_CUDA_INSIDE";
/// Flags under which addresses and arithmetic of kernels and look-alikes are checked.
const SANITIZERS: &str = "-O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all";
/// What the look-alike and its kernels are made of: images of other sources are not taken for theirs.
const SOURCES: [&str; 4] = ["dialect.h", "dialect_names.h", "libcuda.cpp", "libnvrtc.cpp"];

/// What a child finds.
pub struct World {
    /// Definitions for the look-alikes; none: no libraries.
    defines: Option<Vec<String>>,
    compiler: bool,
    sanitizers: Sanitizers,
    env: Vec<(&'static str, &'static str)>,
}

/// Whether the look-alikes and the kernels are made with AddressSanitizer and UndefinedBehaviorSanitizer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sanitizers {
    On,
    Off,
}

impl Sanitizers {
    fn usual() -> Sanitizers {
        if std::env::var_os("LOOKALIKE_SANITIZE").is_some() { Sanitizers::On } else { Sanitizers::Off }
    }

    /// Flags for the compiler.
    fn flags(self) -> &'static str {
        if self == Sanitizers::On { SANITIZERS } else { "" }
    }
}

/// The C++ compiler.
fn cxx() -> String {
    std::env::var("LOOKALIKE_CXX").unwrap_or_else(|_| "g++".to_string())
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
        let defines = Some(vec![format!("-DCLAIMED={version}")]);
        World { defines, compiler: true, sanitizers: Sanitizers::usual(), env: Vec::new() }
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

    /// With sanitizers: what they find ends the child.
    pub fn sanitized(self) -> World {
        World { sanitizers: Sanitizers::On, ..self }
    }

    /// Another variable.
    pub fn with(mut self, name: &'static str, value: &'static str) -> World {
        self.env.push((name, value));
        self
    }

    /// Runs a test of this program in this world; what it printed, or None where the compiler or the sanitizers are missing.
    pub fn run(&self, test: &str) -> Option<String> {
        let mut command = self.command(&std::env::current_exe().expect("this program"))?;
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(INSIDE, "1");
        let output = command.output().expect("a child");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{test} with {:?} {:?}: {}\n{said}", self.defines, self.env, output.status);
        println!("{said}");
        Some(said)
    }

    /// A program that is to be started in this world; None where the compiler or the sanitizers are missing.
    pub fn command(&self, program: &Path) -> Option<Command> {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cuda-lookalike-{}", self.of_sources()));
        let name = match &self.defines {
            Some(defines) => format!("{}{}", defines.join(""), if self.compiler { "" } else { "-alone" }),
            None => "nothing".to_string(),
        };
        let (dir, cache) = (base.join(name), base.join(if self.compiler { "cache" } else { "no-cache" }));
        if !self.build(&dir) {
            eprintln!("skipped: {} is not installed", cxx());
            return None;
        }
        let mut command = emulated(program);
        command.env("LD_LIBRARY_PATH", &dir).env("EDGEZERO_CACHE", cache).env_remove("EDGEZERO_NVRTC");
        if self.sanitizers == Sanitizers::On {
            let Some(libraries) = preloaded() else {
                eprintln!("skipped: no sanitizers for what {} makes here", cxx());
                return None;
            };
            command.env("LD_PRELOAD", libraries).env("LOOKALIKE_FLAGS", SANITIZERS);
            // Rust's own memory is not what is looked at: leaks of it, and its stacks
            command.env("ASAN_OPTIONS", "detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=1");
            command.env("UBSAN_OPTIONS", "print_stacktrace=1");
        }
        command.envs(self.env.iter().copied());
        Some(command)
    }

    /// Short for everything that decides what the libraries and the kernels' images are.
    fn of_sources(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("{} {}", cxx(), self.sanitizers.flags()));
        SOURCES.iter().for_each(|name| hash.update(std::fs::read(source(name)).expect("a source of the look-alike")));
        hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The libraries, where they are not there yet. Whether that is possible.
    fn build(&self, dir: &Path) -> bool {
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        std::fs::create_dir_all(dir).expect("a folder for the look-alike");
        let Some(defines) = &self.defines else { return true };
        let dialect = format!("-DDIALECT=\"{}\"", source("dialect.h").display());
        let mut libraries = vec![("libcuda.cpp", "libcuda.so.1")];
        if self.compiler {
            libraries.push(("libnvrtc.cpp", "libnvrtc.so.11.2"));
        }
        libraries.iter().all(|(name, library)| {
            let library = dir.join(library);
            library.exists() || {
                // whole or not at all, as another process may want it too
                let part = library.with_extension(format!("part-{}", std::process::id()));
                let mut command = Command::new(cxx());
                command.args(["-std=c++17", "-O2", "-g", "-fPIC", "-shared"]).args(self.sanitizers.flags().split_whitespace());
                let made = command.args(defines).arg(&dialect).arg(source(name)).arg("-o").arg(&part).status();
                made.is_ok_and(|status| {
                    assert!(status.success(), "{} on the look-alike", cxx());
                    std::fs::rename(&part, &library).expect("the look-alike in its place");
                    true
                })
            }
        })
    }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda").join(name)
}

/// A program, through the emulator where there is one.
fn emulated(program: &Path) -> Command {
    let Ok(emulator) = std::env::var("LOOKALIKE_EMULATOR") else { return Command::new(program) };
    let mut words = emulator.split_whitespace();
    let mut command = Command::new(words.next().expect("the emulator's name"));
    command.args(words).arg(program);
    command
}

/// What a program without sanitizers must load before everything else; none where it cannot.
fn preloaded() -> Option<String> {
    // an emulator would take the libraries for its own
    if std::env::var_os("LOOKALIKE_EMULATOR").is_some() {
        return None;
    }
    let path = |name: &str| {
        let said = Command::new(cxx()).arg(format!("-print-file-name={name}")).output().ok()?;
        // a library that is not there is told by its bare name
        let path = String::from_utf8_lossy(&said.stdout).trim().to_string();
        path.contains('/').then_some(path)
    };
    Some(format!("{} {}", path("libasan.so")?, path("libstdc++.so")?))
}
