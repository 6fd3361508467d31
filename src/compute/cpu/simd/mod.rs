//! Vectors of the processor at hand: one generic source for every kernel, compiled once an instruction set.
//!
//! A kernel is a struct with a [`Kernel::run`] that takes a value of a [`Simd`] type. Such a value exists only where the
//! processor was asked ([`Isa::detect`]), so its methods need no further check. [`Isa::run`] enters a function that is
//! compiled for the instruction set, into which all of the kernel is inlined.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(super) mod half;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_half;
pub(super) mod portable;

/// Numbers of the widest vector.
pub(super) const WIDTH_MAX: usize = 16;

/// What a kernel may do with vectors of `f32`.
pub(super) trait Simd: Copy + Send + Sync {
    /// A vector.
    type V: Copy;
    /// Numbers of a vector.
    const WIDTH: usize;
    /// Rows of a GEMM tile by its number of vectors (1 to 4): as many sums as the registers hold. 0: no such tile.
    const ROWS: [usize; 4];

    /// All the same.
    fn splat(self, x: f32) -> Self::V;
    /// a + b
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// a - b
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// a * b
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a * b + c
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// c - a * b
    fn fnma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger ones.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// x where `test` is above zero, 0 elsewhere.
    fn where_positive(self, test: Self::V, x: Self::V) -> Self::V;

    /// Runs a kernel in a function of its own that is compiled for this instruction set.
    fn enter<K: Kernel>(self, kernel: K);

    /// # Safety
    /// `WIDTH` numbers can be read at `from`.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// # Safety
    /// `WIDTH` numbers can be written at `to`.
    unsafe fn store(self, to: *mut f32, v: Self::V);
    /// Stores numbers rounded to f16.
    /// # Safety
    /// `WIDTH` numbers can be written at `to`.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    unsafe fn store_half(self, to: *mut u16, v: Self::V) {
        let mut all = [0.0f32; WIDTH_MAX];
        // SAFETY: the array holds the widest vector; the rest is the caller's promise.
        unsafe {
            self.store(all.as_mut_ptr(), v);
            for i in 0..Self::WIDTH {
                to.add(i).write(half::narrow(all[i]));
            }
        }
    }
    /// The first `n` < `WIDTH` numbers, zeros after.
    /// # Safety
    /// `n` numbers can be read at `from`.
    unsafe fn load_first(self, from: *const f32, n: usize) -> Self::V;
    /// # Safety
    /// `n` < `WIDTH` numbers can be written at `to`.
    unsafe fn store_first(self, to: *mut f32, n: usize, v: Self::V);

    /// The first `n` <= `WIDTH` numbers, zeros after.
    /// # Safety
    /// `n` numbers can be read at `from`.
    #[inline(always)]
    unsafe fn load_n(self, from: *const f32, n: usize) -> Self::V {
        // SAFETY: the caller's promise.
        unsafe { if n == Self::WIDTH { self.load(from) } else { self.load_first(from, n) } }
    }

    /// # Safety
    /// `n` <= `WIDTH` numbers can be written at `to`.
    #[inline(always)]
    unsafe fn store_n(self, to: *mut f32, n: usize, v: Self::V) {
        // SAFETY: the caller's promise.
        unsafe { if n == Self::WIDTH { self.store(to, v) } else { self.store_first(to, n, v) } }
    }
}

/// Work that is compiled for every instruction set.
pub(super) trait Kernel {
    /// Mark it `#[inline(always)]`, and all that it calls.
    fn run<S: Simd>(self, s: S);
}

/// An instruction set that this processor has.
#[derive(Clone, Copy)]
pub(super) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
    Portable(portable::Portable),
}

impl Isa {
    /// All that work here, the fastest first.
    pub fn all() -> Vec<Isa> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(avx512::Avx512::detect().map(Isa::Avx512));
            all.extend(avx2::Avx2::detect().map(Isa::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        all.extend(neon::Neon::detect().map(Isa::Neon));
        all.push(Isa::Portable(portable::Portable));
        all
    }

    /// The fastest.
    pub fn detect() -> Isa {
        Isa::all()[0]
    }

    /// The name, as a person knows it.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(_) => "NEON",
            Isa::Portable(_) => "portable",
        }
    }

    /// Numbers of a vector.
    pub fn width(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => avx512::Avx512::WIDTH,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => avx2::Avx2::WIDTH,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(_) => neon::Neon::WIDTH,
            Isa::Portable(_) => portable::Portable::WIDTH,
        }
    }

    /// Vectors of the widest GEMM tile.
    pub fn panel_vectors(self) -> usize {
        let rows = match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => avx512::Avx512::ROWS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => avx2::Avx2::ROWS,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(_) => neon::Neon::ROWS,
            Isa::Portable(_) => portable::Portable::ROWS,
        };
        rows.iter().filter(|r| **r > 0).count()
    }

    /// Runs a kernel with this instruction set.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(s) => s.enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(s) => s.enter(kernel),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(s) => s.enter(kernel),
            Isa::Portable(s) => s.enter(kernel),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Everything<'a> {
        x: &'a [f32],
        y: &'a mut [f32],
    }

    impl Kernel for Everything<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            // SAFETY: both slices are 40 long, two vectors of at most 16 numbers and eight more.
            unsafe {
                let (a, b) = (s.load(self.x.as_ptr()), s.load_first(self.x.as_ptr().add(S::WIDTH), S::WIDTH - 1));
                let two = s.splat(2.0);
                let sum = s.add(s.mul(a, two), s.sub(a, b));
                let sum = s.fma(a, b, sum);
                let sum = s.fnma(two, b, sum);
                let sum = s.max(sum, s.splat(-1.0));
                let sum = s.add(sum, s.where_positive(a, b));
                s.store(self.y.as_mut_ptr(), sum);
                s.store_first(self.y.as_mut_ptr().add(S::WIDTH), 2, sum);
            }
        }
    }

    #[test]
    fn vectors_do_what_numbers_do() {
        let x: Vec<f32> = (0..40).map(|i| ((i * 7) % 11) as f32 * 0.5 - 2.0).collect();
        for isa in Isa::all() {
            let (w, mut y) = (isa.width(), vec![9.0f32; 40]);
            isa.run(Everything { x: &x, y: &mut y });
            for i in 0..w {
                let (a, b) = (x[i], if i + 1 < w { x[w + i] } else { 0.0 });
                let expected = (3.0 * a - b + a * b - 2.0 * b).max(-1.0) + if a > 0.0 { b } else { 0.0 };
                assert_eq!(y[i], expected, "{} {i}", isa.name());
            }
            assert!(y[w..w + 2] == y[..2] && y[w + 2..].iter().all(|y| *y == 9.0), "{}", isa.name());
        }
    }
}
