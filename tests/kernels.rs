//! The fast CUDA kernels on the host, through tests/cuda/dialect.h, beside the CPU backend. Needs g++.

use edgezero::compute::cpu::{CpuBuf, CpuOps};
use edgezero::compute::{Activation, At, AtMut, Base, ConvShape, Input, Mask, NORM_SAVED, NormAct, Ops, Store, Weights};
use libloading::Library;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Text of every program, before its kernels.
const SHARED: [&str; 3] = ["device.cuh", "view.cuh", "tile.cuh"];

/// Kernels that g++ made.
struct Kernels(Library);

/// An argument of a kernel.
#[derive(Clone, Copy)]
enum Arg {
    Int(i32),
    Pointer(*const c_void),
}

fn pointer<T>(of: &[T]) -> Arg {
    Arg::Pointer(of.as_ptr().cast())
}

const NULL: Arg = Arg::Pointer(std::ptr::null());

fn int(v: usize) -> Arg {
    Arg::Int(v as i32)
}

impl Kernels {
    /// Compiled for a compute capability (times ten). None, told, without g++.
    fn new(name: &str, arch: u32) -> Option<Kernels> {
        if Command::new("g++").arg("--version").output().is_err() {
            println!("skipped: no g++, which compiles the kernels for the host");
            return None;
        }
        let cuda = Path::new(ROOT).join("src/compute/cuda");
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("dialect-{name}-{arch}"));
        std::fs::create_dir_all(&dir).unwrap();
        let text: String = SHARED
            .into_iter()
            .chain([format!("{name}.cu").as_str()])
            .map(|f| std::fs::read_to_string(cuda.join(f)).unwrap())
            .collect();
        let (source, library) = (dir.join("kernels.cu"), dir.join("kernels.so"));
        std::fs::write(&source, text).unwrap();
        let mut gcc = Command::new("g++");
        gcc.args(["-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-fno-gnu-unique", "-x", "c++"]);
        gcc.arg(format!("-DDIALECT_ARCH={arch}")).arg("-include").arg(Path::new(ROOT).join("tests/cuda/dialect.h"));
        if cfg!(target_arch = "x86_64") {
            gcc.arg("-march=native");
        }
        let out = gcc.arg(&source).arg("-o").arg(&library).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        // SAFETY: the library was made above; it has no initialisers but tables.
        Some(Kernels(unsafe { Library::new(&library).unwrap() }))
    }

    /// In which order threads run: results must not depend on it.
    fn order(&self, order: u32) {
        // SAFETY: the function has this type.
        unsafe { self.0.get::<unsafe extern "C" fn(u32)>(b"dialect_order").unwrap()(order) };
    }

    fn launch(&self, name: &str, grid: [usize; 3], block: usize, shared_bytes: usize, args: &[Arg]) {
        type Launch = unsafe extern "C" fn(*const u32, *const u32, usize, *mut *mut c_void) -> c_int;
        assert!(shared_bytes <= 48 << 10, "{name}: {shared_bytes} bytes of shared memory need leave on a device");
        let held: Vec<u64> = args
            .iter()
            .map(|arg| match *arg {
                Arg::Int(v) => u64::from(v as u32),
                Arg::Pointer(p) => p as u64,
            })
            .collect();
        let mut places: Vec<*mut c_void> = held.iter().map(|v| std::ptr::from_ref(v).cast_mut().cast()).collect();
        let (grid, block) = (grid.map(|v| v as u32), [block as u32, 1, 1]);
        // SAFETY: the functions have these types; the arguments are those of the kernel, and its buffers are as long as it needs.
        unsafe {
            let launch = self.0.get::<Launch>(format!("dialect_launch_{name}").as_bytes()).unwrap();
            if launch(grid.as_ptr(), block.as_ptr(), shared_bytes, places.as_mut_ptr()) != 0 {
                let error = self.0.get::<unsafe extern "C" fn() -> *const c_char>(b"dialect_error").unwrap();
                panic!("{}", CStr::from_ptr(error()).to_string_lossy());
            }
        }
    }
}

/// A convolution and what its kernels are tried with.
struct Case {
    shape: ConvShape,
    act: Option<Activation>,
    /// Outputs of a tile: forward, gradient of the input, of the weights.
    tiles: [usize; 3],
    splits: usize,
}

const fn case(s: [usize; 6], act: Option<Activation>, tiles: [usize; 3], splits: usize) -> Case {
    let [n, len, kernel_y, kernel_x, c_in, c_out] = s;
    Case { shape: ConvShape { n, len, kernel_y, kernel_x, c_in, c_out }, act, tiles, splits }
}

const CASES: [Case; 7] = [
    case([2, 19, 3, 3, 96, 96], Some(Activation::Relu), [96, 96, 48], 3),
    case([1, 7, 3, 3, 32, 32], None, [32, 32, 32], 2),
    // the first layer
    case([3, 9, 5, 5, 22, 64], None, [64, 32, 32], 2),
    case([5, 9, 3, 3, 33, 1], Some(Activation::Mish), [32, 64, 32], 3),
    case([2, 13, 1, 1, 96, 48], Some(Activation::Silu), [64, 96, 48], 4),
    case([2, 8, 3, 3, 40, 130], Some(Activation::Identity), [128, 64, 48], 50),
    // a matrix product
    case([300, 1, 1, 1, 288, 96], None, [96, 128, 48], 3),
];

/// Numbers between -1 and 1 that half precision holds.
fn random(seed: u64, len: usize) -> CpuBuf {
    use rand::Rng as _;
    let mut r = edgezero::base::rng::rng(seed, len as u64);
    (0..len).map(|_| ((r.next_u64() >> 53) as f32 - 1024.0) / 1024.0).collect()
}

/// Largest difference over the root of the mean square of what is expected.
fn error(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    assert!(got.iter().all(|v| v.is_finite()), "a result is not written or no number");
    let square = expected.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / expected.len() as f64;
    let largest = got.iter().zip(expected).map(|(g, e)| f64::from((g - e).abs())).fold(0.0, f64::max);
    largest / square.sqrt()
}

/// Buffers of a case, and the CPU's view of them.
struct Data {
    x: CpuBuf,
    dy: CpuBuf,
    before: CpuBuf,
    weights: CpuBuf,
    saved: CpuBuf,
    mask: CpuBuf,
    counts: CpuBuf,
}

impl Data {
    fn new(s: ConvShape) -> Data {
        let mask: CpuBuf = random(5, s.cells()).iter().map(|v| f32::from(u8::from(*v > -0.8))).collect();
        let counts = mask.chunks(s.len * s.len).map(|board| board.iter().sum()).collect();
        let fan = ((s.depth() as f32).sqrt().recip() * 1024.0).round() / 1024.0;
        Data {
            x: random(1, s.cells() * s.c_in),
            dy: random(2, s.cells() * s.c_out),
            before: random(3, s.cells() * s.c_in.max(s.c_out)),
            weights: random(4, s.weights()).iter().map(|v| v * fan).collect(),
            saved: random(6, NORM_SAVED * s.c_in),
            mask,
            counts,
        }
    }

    fn input(&self, act: Option<Activation>) -> Input<'_, CpuBuf> {
        let mask = Mask { mask: &self.mask, counts: &self.counts };
        Input { x: &self.x, norm: act.map(|act| NormAct { saved: At { buf: &self.saved, at: 0 }, act, mask }) }
    }

    /// As kernels take it.
    fn saved(&self, act: Option<Activation>) -> [Arg; 2] {
        let number = act.map_or(0, |act| act as usize);
        [if act.is_some() { pointer(&self.saved) } else { NULL }, int(number)]
    }
}

/// How a family of kernels is launched.
struct Family {
    name: &'static str,
    arch: u32,
    /// Shared bytes of a tile with so many outputs, forward and of a weight gradient.
    forward_bytes: fn(ConvShape, usize) -> usize,
    grad_bytes: fn(ConvShape, usize) -> usize,
    /// Cells in the grid of all boards.
    cells: fn(ConvShape) -> usize,
    /// Outputs of the widest tile.
    tile_max: usize,
    /// Threads of a block, of a tile and of taps and a tile.
    threads: fn(usize) -> usize,
    grad_threads: fn(usize, usize) -> usize,
    tolerance: f64,
}

/// Threads where a warp has a tap.
fn warps(taps: usize, _: usize) -> usize {
    match taps {
        25 => 160,
        9 => 288,
        _ => 128,
    }
}

/// Rows of a patch of so many cells, and those before and behind it, where rows of the board are `pitch` apart.
fn rows(s: ConvShape, cells: usize, pitch: usize) -> usize {
    cells + 2 * (s.kernel_y / 2 * pitch + s.kernel_x / 2)
}

const MMA: Family = Family {
    name: "mma",
    arch: 870,
    forward_bytes: |s, tile| 2 * (40 * (1 + rows(s, 128, s.len)) + 96 * (tile + 8)),
    grad_bytes: |s, tile| (2 * (40 * (1 + rows(s, 64, s.len)) + 64 * (tile + 8)) + 256).max(128 * tile),
    cells: ConvShape::cells,
    tile_max: 128,
    threads: |_| 128,
    grad_threads: warps,
    tolerance: 5e-3,
};

const HALF2: Family = Family {
    name: "half2",
    arch: 530,
    forward_bytes: |s, tile| 2 * ((36 * (1 + rows(s, 128, s.len))).next_multiple_of(8) + 64 * tile),
    grad_bytes: |s, tile| (2 * (40 * (1 + rows(s, 64, s.len)) + 64 * tile) + 200).max(128 * tile),
    cells: ConvShape::cells,
    tile_max: 96,
    threads: |tile| if tile == 32 { 64 } else { 128 },
    grad_threads: |taps, tile| tile / 2 * if taps == 1 { if tile == 32 { 8 } else { 4 } } else { if taps == 25 { 5 } else { 9 } },
    // sums of 32 products are rounded too
    tolerance: 1e-2,
};

const WMMA: Family = Family {
    name: "wmma",
    arch: 720,
    forward_bytes: |s, tile| {
        let rows = rows(s, 128, s.len + s.kernel_x / 2).next_multiple_of(8);
        4 * rows + (2 * (48 * rows + 64 * (tile + 16))).max(128 * (tile + 16))
    },
    grad_bytes: |s, tile| {
        let rows = rows(s, 64, s.len + s.kernel_x / 2);
        let warps = if s.kernel_x == 3 { 9 } else { 5 };
        (2 * (48 * rows + 64 * (tile + 16))).max(1536 * warps).max(6144 + 128 * tile)
    },
    cells: |s| s.n * (s.len + s.kernel_x / 2) * (s.len + s.kernel_y / 2),
    tile_max: 128,
    threads: |_| 128,
    grad_threads: warps,
    tolerance: 5e-3,
};

/// `y = before + conv(x, weights)` of a shape by the kernels, `turned` for the gradient of the input; and the moments of y.
#[allow(clippy::too_many_arguments)]
fn convolve(
    kernels: &Kernels,
    family: &Family,
    kind: &str,
    s: ConvShape,
    tile: usize,
    data: &Data,
    [x, saved, act, base]: [Arg; 4],
    turned: bool,
    y: &mut [f32],
) -> Vec<f32> {
    let (k_pad, n_pad, taps) = (s.c_in.next_multiple_of(32), s.c_out.next_multiple_of(tile), s.kernel_y * s.kernel_x);
    let weights = vec![0u16; taps * k_pad * n_pad];
    let (c_in, c_out) = if turned { (s.c_out, s.c_in) } else { (s.c_in, s.c_out) };
    let half = if kind.ends_with("bf16") { "bf16" } else { "f16" };
    let args =
        [pointer(&weights), pointer(&data.weights), int(taps), int(c_in), int(c_out), int(k_pad), int(n_pad), int(turned.into())];
    kernels.launch(&format!("prepare_conv_{half}"), [weights.len().div_ceil(256), 1, 1], 256, 0, &args);
    let tiles = (family.cells)(s).div_ceil(128);
    let moments = vec![f32::NAN; tiles * (2 * s.c_out + 1)];
    let bytes = (family.forward_bytes)(s, tile);
    let mut args = vec![pointer(y), base, x, saved, pointer(&data.mask), pointer(&weights), pointer(&moments)];
    args.extend([s.cells(), s.len, s.kernel_y, s.kernel_x, s.c_in, s.c_out, k_pad, n_pad].map(int));
    args.extend([act, int(0)]);
    let threads = (family.threads)(tile);
    kernels.launch(&format!("conv_{}_{kind}_{tile}", family.name), [tiles, n_pad / tile, 1], threads, bytes, &args);
    moments
}

/// Mean and variance of the points on the board, from moments of tiles and from the numbers themselves.
fn check_moments(name: &str, moments: &[f32], y: &[f32], mask: &[f32], c: usize) {
    let on: Vec<&[f32]> = y.chunks(c).zip(mask).filter(|(_, m)| **m != 0.0).map(|(y, _)| y).collect();
    for i in 0..c {
        let mean = on.iter().map(|y| f64::from(y[i])).sum::<f64>() / on.len() as f64;
        let squares = on.iter().map(|y| (f64::from(y[i]) - mean).powi(2)).sum::<f64>();
        let (mut n, mut mu, mut m2) = (0.0f64, 0.0f64, 0.0f64);
        for p in moments.chunks(2 * c + 1).filter(|p| p[2 * c] > 0.0) {
            let (k, delta) = (f64::from(p[2 * c]), f64::from(p[i]) - mu);
            m2 += f64::from(p[c + i]) + delta * delta * n * k / (n + k);
            mu += delta * k / (n + k);
            n += k;
        }
        assert_eq!(n as usize, on.len(), "{name}: points of the moments");
        assert!((mu - mean).abs() < 1e-5 && (m2 - squares).abs() < 1e-4 * (1.0 + squares), "{name}: moments of channel {i}");
    }
}

fn check_forward(kernels: &Kernels, family: &Family, kind: &str, ops: &CpuOps, case: &Case, tolerance: f64) {
    let (s, data) = (case.shape, Data::new(case.shape));
    let name = format!("conv_{}_{kind}_{} {s:?}", family.name, case.tiles[0]);
    let (mut expected, mut got) = (data.before.clone(), vec![f32::NAN; s.cells() * s.c_out]);
    let weights = Weights::Plain(At { buf: &data.weights, at: 0 });
    ops.conv(s, Base::Own, data.input(case.act), weights, &mut expected);
    let [saved, act] = data.saved(case.act);
    let read = [pointer(&data.x), saved, act, pointer(&data.before)];
    let moments = convolve(kernels, family, kind, s, case.tiles[0], &data, read, false, &mut got);
    let off = error(&got, &expected[..got.len()]);
    println!("{name}: {off:.1e}");
    assert!(off < tolerance, "{name}: off by {off}");
    check_moments(&name, &moments, &got, &data.mask, s.c_out);
}

fn check_grad_input(kernels: &Kernels, family: &Family, kind: &str, ops: &CpuOps, case: &Case, tolerance: f64) {
    let (s, data) = (case.shape, Data::new(case.shape));
    let name = format!("conv_{}_{kind}_{} input gradient {s:?}", family.name, case.tiles[1]);
    let mut expected = data.before.clone();
    ops.conv_grad_input(s, Store::Add, At { buf: &data.weights, at: 0 }, &data.dy, &mut expected);
    let mut got = data.before[..s.cells() * s.c_in].to_vec();
    let back = ConvShape { c_in: s.c_out, c_out: s.c_in, ..s };
    // added to what the result holds
    let read = [pointer(&data.dy), NULL, int(0), pointer(&got)];
    convolve(kernels, family, kind, back, case.tiles[1], &data, read, true, &mut got);
    let off = error(&got, &expected[..got.len()]);
    println!("{name}: {off:.1e}");
    assert!(off < tolerance, "{name}: off by {off}");
}

fn check_grad_weights(kernels: &Kernels, family: &Family, kind: &str, ops: &CpuOps, case: &Case, tolerance: f64) {
    let (s, data, tile) = (case.shape, Data::new(case.shape), case.tiles[2]);
    let mut expected = ops.alloc(s.weights()).unwrap();
    ops.conv_grad_weights(s, data.input(case.act), &data.dy, AtMut { buf: &mut expected, at: 0 });
    let taps = s.kernel_y * s.kernel_x;
    let name = format!("conv_grad_{}_{kind}_{taps}_{tile}", family.name);
    let partials = vec![f32::NAN; case.splits * s.weights()];
    let (groups, threads) = (if taps == 25 { 5 } else { 1 }, (family.grad_threads)(taps, tile));
    let [saved, act] = data.saved(case.act);
    let mut args = vec![pointer(&partials), pointer(&data.x), saved, pointer(&data.mask), pointer(&data.dy)];
    args.extend([s.cells(), s.len, s.kernel_y, s.kernel_x, s.c_in, s.c_out].map(int));
    args.extend([act, int(0)]);
    let grid = [s.c_in.div_ceil(32), s.c_out.div_ceil(tile) * groups, case.splits];
    kernels.launch(&name, grid, threads, (family.grad_bytes)(s, tile), &args);
    let got: Vec<f32> = (0..s.weights()).map(|i| partials.iter().skip(i).step_by(s.weights()).sum()).collect();
    let off = error(&got, &expected);
    println!("{name} {s:?}: {off:.1e}");
    assert!(off < tolerance, "{name} {s:?}: off by {off}");
}

/// bf16 has three bits less.
fn tolerance(family: &Family, kind: &str) -> f64 {
    if kind.ends_with("bf16") { 8.0 * family.tolerance } else { family.tolerance }
}

fn forward_as_on_the_cpu(family: &Family, kinds: &[&str]) {
    let Some(kernels) = Kernels::new(&format!("conv_{}", family.name), family.arch) else { return };
    let ops = CpuOps::new(2).unwrap();
    for (i, case) in CASES.iter().enumerate() {
        kernels.order(i as u32);
        for kind in kinds {
            let case = &Case { tiles: case.tiles.map(|tile| tile.min(family.tile_max)), ..*case };
            check_forward(&kernels, family, kind, &ops, case, tolerance(family, kind));
            check_grad_input(&kernels, family, kind, &ops, case, tolerance(family, kind));
        }
    }
}

fn grad_weights_as_on_the_cpu(family: &Family, kinds: &[&str]) {
    let Some(kernels) = Kernels::new(&format!("wgrad_{}", family.name), family.arch) else { return };
    let ops = CpuOps::new(2).unwrap();
    for (i, case) in CASES.iter().enumerate() {
        kernels.order(i as u32);
        for kind in kinds {
            check_grad_weights(&kernels, family, kind, &ops, case, tolerance(family, kind));
        }
    }
}

#[test]
fn mma_forward_and_input_gradients() {
    forward_as_on_the_cpu(&MMA, &["f16", "bf16"]);
}

#[test]
fn mma_weight_gradients() {
    grad_weights_as_on_the_cpu(&MMA, &["f16", "bf16"]);
}

#[test]
fn wmma_forward_and_input_gradients() {
    forward_as_on_the_cpu(&WMMA, &["f16"]);
}

#[test]
fn wmma_weight_gradients() {
    grad_weights_as_on_the_cpu(&WMMA, &["f16"]);
}

#[test]
fn half2_forward_and_input_gradients() {
    forward_as_on_the_cpu(&HALF2, &["f16"]);
}

#[test]
fn half2_weight_gradients() {
    grad_weights_as_on_the_cpu(&HALF2, &["f16"]);
}
