//! Kernels for the device at hand: from the disk, or compiled by NVRTC and kept on the disk.

use crate::base::fs::{read_limited, write_whole};
use crate::base::{Error, Result};
use crate::device::cuda::{CapabilityText, Context, VersionText};
use libloading::Library;
use sha2::{Digest, Sha256};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Largest image of kernels on the disk, in bytes.
const IMAGE_BYTES_MAX: u64 = 256 << 20;
/// Bytes before the image in its file: its SHA-256.
const DIGEST_BYTES: usize = 32;

/// Kernels that are compiled together.
pub(super) struct Source {
    /// A name for files and errors.
    pub name: &'static str,
    /// The parts of the text, in order.
    pub parts: &'static [&'static str],
}

impl Source {
    fn text(&self) -> String {
        self.parts.concat()
    }
}

/// An image of kernels for the device.
pub(super) fn image(context: &Context, source: &Source) -> Result<Vec<u8>> {
    let capability = context.facts().capability;
    let text = source.text();
    let file = cache_dir().map(|dir| {
        let key = key(context, &text);
        dir.join("kernels").join(format!("{}-{}-{key}.cubin", source.name, CapabilityText(capability)))
    });
    if let Some(image) = file.as_deref().and_then(kept) {
        return Ok(image);
    }
    let nvrtc = Nvrtc::find()?;
    log::info!("compiling kernels '{}' for {}: once on this machine", source.name, context.facts().name);
    let begun = Instant::now();
    let image = nvrtc.compile(source, &text, capability)?;
    log::info!("compiled in {:.1} s", begun.elapsed().as_secs_f64());
    if let Some(file) = file {
        keep(&file, &image).unwrap_or_else(|e| log::warn!("{e}; kernels will be compiled again next time"));
    }
    Ok(image)
}

/// What decides the image: text, architecture, the driver, and this program's way of asking.
fn key(context: &Context, text: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("1 {:?} {} ", context.facts().capability, context.driver().version()));
    hash.update(text);
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Where images are kept: `EDGEZERO_CACHE`, or the user's cache folder.
fn cache_dir() -> Option<PathBuf> {
    let dir = |name: &str| std::env::var_os(name).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    dir("EDGEZERO_CACHE")
        .or_else(|| dir("XDG_CACHE_HOME").map(|dir| dir.join("edgezero")))
        .or_else(|| dir("HOME").map(|dir| dir.join(".cache/edgezero")))
}

fn kept(file: &Path) -> Option<Vec<u8>> {
    if !file.is_file() {
        return None;
    }
    let all = read_limited(file, IMAGE_BYTES_MAX).ok()?;
    let (digest, image) = all.split_at_checked(DIGEST_BYTES)?;
    // a damaged file is written anew
    (Sha256::digest(image)[..] == *digest).then(|| image.to_vec())
}

fn keep(file: &Path, image: &[u8]) -> Result<()> {
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).map_err(|e| Error::io(dir, &e))?;
    }
    let digest = Sha256::digest(image);
    write_whole(file, &[&digest[..], image].concat())
}

type Program = *mut c_void;

/// NVIDIA's run-time compiler.
struct Nvrtc {
    library: Library,
    place: String,
    version: u32,
}

impl Nvrtc {
    /// The first that loads: by the names it has had, where linkers look and where CUDA is installed.
    fn find() -> Result<Nvrtc> {
        let names = ["", ".13", ".12", ".11.8", ".11.2", ".11.1", ".11.0", ".10.2"].map(|end| format!("libnvrtc.so{end}"));
        let mut dirs = vec![PathBuf::new()];
        dirs.extend(["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(std::env::var_os).map(|d| PathBuf::from(d).join("lib64")));
        dirs.extend(["/usr/local/cuda/lib64", "/usr/local/cuda/targets/aarch64-linux/lib"].map(PathBuf::from));
        let named = std::env::var_os("EDGEZERO_NVRTC").map(PathBuf::from);
        let all = named.into_iter().chain(dirs.iter().flat_map(|dir| names.iter().map(move |name| dir.join(name))));
        for path in all {
            // SAFETY: loading runs the library's initialisers, which libnvrtc has for that.
            if let Ok(library) = unsafe { Library::new(&path) } {
                return Nvrtc::new(library, path.display().to_string());
            }
        }
        let hint = "install CUDA's NVRTC (cuda-nvrtc), name it with EDGEZERO_NVRTC=/path/libnvrtc.so, or --backend cpu";
        Err(Error::new("CUDA", "no libnvrtc.so, which compiles the kernels for this GPU").hint(hint))
    }

    fn new(library: Library, place: String) -> Result<Nvrtc> {
        let mut nvrtc = Nvrtc { library, place, version: 0 };
        let (mut major, mut minor) = (0, 0);
        type Version = unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int;
        // SAFETY: the function has this type and writes two ints.
        nvrtc.check("nvrtcVersion", unsafe { nvrtc.get::<Version>("nvrtcVersion")?(&mut major, &mut minor) })?;
        nvrtc.version = (1000 * major + 10 * minor) as u32;
        log::debug!("nvrtc={} version={}", nvrtc.place, VersionText(nvrtc.version));
        Ok(nvrtc)
    }

    /// # Safety
    /// `F` is the type of the function of this name.
    unsafe fn get<F: Copy>(&self, name: &str) -> Result<F> {
        // SAFETY: the caller's promise.
        let found = unsafe { self.library.get::<F>(name.as_bytes()) };
        found.map(|f| *f).map_err(|_| Error::new(&self.place, format!("lacks {name}")).hint("a newer NVRTC, or --backend cpu"))
    }

    fn check(&self, what: &str, code: c_int) -> Result<()> {
        if code == 0 { Ok(()) } else { Err(Error::new(&self.place, format!("{what}: error {code}"))) }
    }

    /// An image for a device: a cubin, or with an old compiler PTX.
    fn compile(&self, source: &Source, text: &str, (major, minor): (u32, u32)) -> Result<Vec<u8>> {
        type Create = unsafe extern "C" fn(
            *mut Program,
            *const c_char,
            *const c_char,
            c_int,
            *const *const c_char,
            *const *const c_char,
        ) -> c_int;
        type Compile = unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int;
        type Destroy = unsafe extern "C" fn(*mut Program) -> c_int;
        let [sizes, images] = self.results();
        let kind = if images == "nvrtcGetCUBIN" { "sm" } else { "compute" };
        let c_text = |text: &str| CString::new(text).map_err(|e| Error::new(source.name, e));
        let (text, name) = (c_text(text)?, c_text(&format!("{}.cu", source.name))?);
        let options = [c_text(&format!("--gpu-architecture={kind}_{major}{minor}"))?, c_text("--std=c++14")?];
        let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let mut program = std::ptr::null_mut();
        // SAFETY: the functions have these types; all texts end with zero bytes and outlive the program.
        unsafe {
            let create = self.get::<Create>("nvrtcCreateProgram")?;
            let code = create(&mut program, text.as_ptr(), name.as_ptr(), 0, std::ptr::null(), std::ptr::null());
            self.check("nvrtcCreateProgram", code)?;
            let code = self.get::<Compile>("nvrtcCompileProgram")?(program, options.len() as c_int, options.as_ptr());
            let made = match code {
                0 => self.bytes(program, sizes, images),
                _ => Err(self.complaint(source, program, code)),
            };
            self.get::<Destroy>("nvrtcDestroyProgram")?(&mut program);
            made
        }
    }

    /// The functions that give size and bytes of the result: cubins since CUDA 11.1.
    fn results(&self) -> [&'static str; 2] {
        // SAFETY: the address is only looked for.
        if unsafe { self.library.get::<*const ()>(b"nvrtcGetCUBIN") }.is_ok() {
            ["nvrtcGetCUBINSize", "nvrtcGetCUBIN"]
        } else {
            ["nvrtcGetPTXSize", "nvrtcGetPTX"]
        }
    }

    /// # Safety
    /// The program is alive and was compiled.
    unsafe fn bytes(&self, program: Program, size_name: &str, bytes_name: &str) -> Result<Vec<u8>> {
        type Size = unsafe extern "C" fn(Program, *mut usize) -> c_int;
        type Bytes = unsafe extern "C" fn(Program, *mut c_char) -> c_int;
        let mut size = 0;
        // SAFETY: the functions have these types; the second writes as many bytes as the first says.
        unsafe {
            self.check(size_name, self.get::<Size>(size_name)?(program, &mut size))?;
            let mut bytes = vec![0u8; size];
            self.check(bytes_name, self.get::<Bytes>(bytes_name)?(program, bytes.as_mut_ptr().cast()))?;
            Ok(bytes)
        }
    }

    /// What the compiler said, as far as it helps.
    ///
    /// # Safety
    /// The program is alive.
    unsafe fn complaint(&self, source: &Source, program: Program, code: c_int) -> Error {
        // SAFETY: the caller's promise; the log is a text that ends with a zero byte.
        let log = unsafe { self.bytes(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog") }.unwrap_or_default();
        let log = CStr::from_bytes_until_nul(&log).map_or(String::new(), |text| text.to_string_lossy().into_owned());
        let first =
            log.lines().find(|line| line.contains("error")).or(log.lines().next()).unwrap_or("no reason given").to_string();
        log::debug!("{log}");
        let place = format!("compiling kernels '{}' with {} ({})", source.name, self.place, VersionText(self.version));
        Error::new(place, format!("error {code}: {first}")).hint("an NVRTC that knows this GPU, or --backend cpu")
    }
}
