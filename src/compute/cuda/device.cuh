// What every kernel is written in: half-precision types, and wrapped PTX instructions. This text stands before each .cu
// file's when it is compiled (NVRTC has no include path), so it includes nothing. C++14: the Nano's NVRTC is 10.2.
// Compiled by g++ for tests, the second half of this file is replaced by tests/cuda/dialect.h, which has the same names.
//
// A kernel is `extern "C" __global__ void name(..) { .. }` followed by the line `KERNEL(name)`.

// Numbers of 16 bits in memory, and two of them in a register (lower address in the lower half).
struct f16 {
    unsigned short bits;
};
struct bf16 {
    unsigned short bits;
};

// Which instructions the target has.
#define HAS_WMMA (__CUDA_ARCH__ >= 700)
#define HAS_MMA (__CUDA_ARCH__ >= 800)
// Products of pairs at twice the rate of f32, and no tensor cores. (sm_61 has the instruction at a 64th of that rate.)
#define HAS_HALF2 (__CUDA_ARCH__ >= 530 && __CUDA_ARCH__ < 700 && __CUDA_ARCH__ != 610)

#ifndef EDGEZERO_DIALECT

#define KERNEL(name)
// Memory that a launch gives each block.
#define DYNAMIC_SHARED(type, name)                 \
    extern __shared__ __align__(16) char shared_[]; \
    type *name = (type *)shared_
#define DEVICE static __device__ __forceinline__

DEVICE float to_f32(float v) { return v; }
DEVICE float to_f32(f16 v) {
    float r;
    asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(v.bits));
    return r;
}
DEVICE float to_f32(bf16 v) { return __uint_as_float((unsigned)v.bits << 16); }

DEVICE void from_f32(float v, float &to) { to = v; }
DEVICE void from_f32(float v, f16 &to) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(to.bits) : "f"(v)); }
DEVICE void from_f32(float v, bf16 &to) {
    // To nearest, ties to even; infinities stay, and what is no number stays none.
    unsigned u = __float_as_uint(v);
    to.bits = v == v ? (u + 0x7fff + ((u >> 16) & 1)) >> 16 : 0x7fff;
}

// Two numbers to a pair and back. The tag says which kind.
DEVICE unsigned pair(f16, float lo, float hi) {
    unsigned r;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
#else
    f16 l, h;
    from_f32(lo, l);
    from_f32(hi, h);
    asm("mov.b32 %0, {%1, %2};" : "=r"(r) : "h"(l.bits), "h"(h.bits));
#endif
    return r;
}
DEVICE unsigned pair(bf16, float lo, float hi) {
    unsigned r;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
#else
    bf16 l, h;
    from_f32(lo, l);
    from_f32(hi, h);
    r = (unsigned)h.bits << 16 | l.bits;
#endif
    return r;
}
DEVICE float2 unpair(f16, unsigned v) {
    f16 l, h;
    asm("mov.b32 {%0, %1}, %2;" : "=h"(l.bits), "=h"(h.bits) : "r"(v));
    return make_float2(to_f32(l), to_f32(h));
}
DEVICE float2 unpair(bf16, unsigned v) { return make_float2(__uint_as_float(v << 16), __uint_as_float(v & 0xffff0000u)); }

// One half of a pair in both: an operand of fma2 is read so at no cost.
DEVICE unsigned low_twice(unsigned v) {
    unsigned r;
    asm("{.reg .b16 l, h; mov.b32 {l, h}, %1; mov.b32 %0, {l, l};}" : "=r"(r) : "r"(v));
    return r;
}
DEVICE unsigned high_twice(unsigned v) {
    unsigned r;
    asm("{.reg .b16 l, h; mov.b32 {l, h}, %1; mov.b32 %0, {h, h};}" : "=r"(r) : "r"(v));
    return r;
}

// Arithmetic on pairs of f16, each result rounded once.
DEVICE unsigned fma2(unsigned a, unsigned b, unsigned c) {
    unsigned r;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}
DEVICE unsigned add2(unsigned a, unsigned b) {
    unsigned r;
    asm("add.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
}
DEVICE unsigned mul2(unsigned a, unsigned b) {
    unsigned r;
    asm("mul.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
}

// Copies 16 bytes from global to shared memory without waiting, both aligned to 16; zeros with `Fill::Zero`.
// `cp_async_commit` closes a group, `cp_async_wait<n>` waits until at most the n youngest groups are under way.
// Before sm_80 the copy is done at once.
enum class Fill { Copy, Zero };
DEVICE void cp_async_16(void *shared, const void *global, Fill fill) {
#if __CUDA_ARCH__ >= 800
    unsigned to = (unsigned)__cvta_generic_to_shared(shared);
    int bytes = fill == Fill::Copy ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes) : "memory");
#else
    *(uint4 *)shared = fill == Fill::Copy ? *(const uint4 *)global : make_uint4(0, 0, 0, 0);
#endif
}
DEVICE void cp_async_commit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int N>
DEVICE void cp_async_wait() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

#if HAS_MMA
// Four 8x8 matrices of 16-bit numbers from shared memory: lane 8i + r gives the address of row r (16 bytes) of matrix i.
// Lane l gets of each matrix the pair at row l / 4, columns 2 (l % 4) and the next; transposed: column l / 4, those rows.
DEVICE void ldmatrix_x4(unsigned (&to)[4], const void *row) {
    unsigned at = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
}
DEVICE void ldmatrix_x4_trans(unsigned (&to)[4], const void *row) {
    unsigned at = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
}

// d += a b with a [16, 16], b [16, 8], d [16, 8]. Lane l, with g = l / 4 and t = 2 (l % 4), holds
// a: (g, t..) (g + 8, t..) (g, t + 8..) (g + 8, t + 8..), b: (t.., g) (t + 8.., g), d: (g, t..) (g + 8, t..).
DEVICE void mma_m16n8k16(f16, float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
DEVICE void mma_m16n8k16(bf16, float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#endif

#if HAS_WMMA
// Fragments of 16x16 matrices of f16, and f32 sums; which lane holds what is not defined. Addresses are in shared memory,
// aligned to 32 bytes, `stride` (elements between rows or columns) is a multiple of 8. `Row`: a row is contiguous.
enum class Major { Row, Column };
struct WmmaA {
    unsigned r[8];
};
struct WmmaB {
    unsigned r[8];
};
struct WmmaD {
    float r[8];
};
#define WMMA_LOAD(name, Fragment, what)                                                                                     \
    template <Major M>                                                                                                      \
    DEVICE void name(Fragment &to, const f16 *from, int stride) {                                                           \
        unsigned at = (unsigned)__cvta_generic_to_shared(from);                                                             \
        if (M == Major::Row)                                                                                                \
            asm volatile("wmma.load." what ".sync.aligned.row.m16n16k16.shared.f16 {%0, %1, %2, %3, %4, %5, %6, %7}, [%8], %9;" \
                         : "=r"(to.r[0]), "=r"(to.r[1]), "=r"(to.r[2]), "=r"(to.r[3]), "=r"(to.r[4]), "=r"(to.r[5]),        \
                           "=r"(to.r[6]), "=r"(to.r[7])                                                                     \
                         : "r"(at), "r"(stride)                                                                             \
                         : "memory");                                                                                       \
        else                                                                                                                \
            asm volatile("wmma.load." what ".sync.aligned.col.m16n16k16.shared.f16 {%0, %1, %2, %3, %4, %5, %6, %7}, [%8], %9;" \
                         : "=r"(to.r[0]), "=r"(to.r[1]), "=r"(to.r[2]), "=r"(to.r[3]), "=r"(to.r[4]), "=r"(to.r[5]),        \
                           "=r"(to.r[6]), "=r"(to.r[7])                                                                     \
                         : "r"(at), "r"(stride)                                                                             \
                         : "memory");                                                                                       \
    }
WMMA_LOAD(wmma_load_a, WmmaA, "a")
WMMA_LOAD(wmma_load_b, WmmaB, "b")

#define WMMA_MMA(layout)                                                                                                    \
    asm volatile("wmma.mma.sync.aligned." layout ".m16n16k16.f32.f32 {%0, %1, %2, %3, %4, %5, %6, %7}, "                    \
                 "{%8, %9, %10, %11, %12, %13, %14, %15}, {%16, %17, %18, %19, %20, %21, %22, %23}, "                       \
                 "{%0, %1, %2, %3, %4, %5, %6, %7};"                                                                        \
                 : "+f"(d.r[0]), "+f"(d.r[1]), "+f"(d.r[2]), "+f"(d.r[3]), "+f"(d.r[4]), "+f"(d.r[5]), "+f"(d.r[6]),        \
                   "+f"(d.r[7])                                                                                             \
                 : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(a.r[4]), "r"(a.r[5]), "r"(a.r[6]), "r"(a.r[7]),  \
                   "r"(b.r[0]), "r"(b.r[1]), "r"(b.r[2]), "r"(b.r[3]), "r"(b.r[4]), "r"(b.r[5]), "r"(b.r[6]), "r"(b.r[7]))
// d += a b
template <Major A, Major B>
DEVICE void wmma_mma(WmmaD &d, const WmmaA &a, const WmmaB &b) {
    if (A == Major::Row && B == Major::Row) WMMA_MMA("row.row");
    if (A == Major::Row && B == Major::Column) WMMA_MMA("row.col");
    if (A == Major::Column && B == Major::Row) WMMA_MMA("col.row");
    if (A == Major::Column && B == Major::Column) WMMA_MMA("col.col");
}
DEVICE void wmma_store(float *to, const WmmaD &d, int stride) {
    unsigned at = (unsigned)__cvta_generic_to_shared(to);
    asm volatile("wmma.store.d.sync.aligned.row.m16n16k16.shared.f32 [%0], {%1, %2, %3, %4, %5, %6, %7, %8}, %9;" ::"r"(at),
                 "f"(d.r[0]), "f"(d.r[1]), "f"(d.r[2]), "f"(d.r[3]), "f"(d.r[4]), "f"(d.r[5]), "f"(d.r[6]), "f"(d.r[7]), "r"(stride)
                 : "memory");
}
#endif

#endif // EDGEZERO_DIALECT
