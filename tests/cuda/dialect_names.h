// The names of CUDA and of src/compute/cuda/device.cuh for g++; included by dialect.h.
#pragma once

#define __global__
#define __device__
#define __host__
#define __constant__ __attribute__((visibility("default")))
// One block runs at a time, so its static shared memory is a static variable. It is not cleared between blocks.
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define DYNAMIC_SHARED(type, name) type *name = (type *)dialect::dynamic_shared
#define DEVICE [[maybe_unused]] static inline

#define threadIdx (dialect::current->thread)
#define blockIdx (dialect::block_idx)
#define blockDim (dialect::block_dim)
#define gridDim (dialect::grid_dim)
#define warpSize 32

// ---- vectors
#define DIALECT_VECTORS(T, name, bytes)                                          \
    struct alignas(2 * bytes) name##2 { T x, y; };                               \
    struct name##3 { T x, y, z; };                                               \
    struct alignas(4 * bytes > 16 ? 16 : 4 * bytes) name##4 { T x, y, z, w; };   \
    DEVICE name##2 make_##name##2(T x, T y) { return {x, y}; }                   \
    DEVICE name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }           \
    DEVICE name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
#define uint3 dialect_unused_uint3
DIALECT_VECTORS(float, float, 4)
DIALECT_VECTORS(int, int, 4)
DIALECT_VECTORS(unsigned, uint, 4)
DIALECT_VECTORS(unsigned short, ushort, 2)
DIALECT_VECTORS(unsigned char, uchar, 1)
DIALECT_VECTORS(double, double, 8)
#undef uint3

// ---- barriers, shuffles, votes
DEVICE void __syncthreads() {
    dialect::block_barrier(0, [](int a, int) { return a; }, "__syncthreads");
}
DEVICE int __syncthreads_or(int v) {
    return dialect::block_barrier(v != 0, [](int a, int b) { return a | b; }, "__syncthreads_or");
}
DEVICE int __syncthreads_and(int v) {
    return dialect::block_barrier(v != 0, [](int a, int b) { return a & b; }, "__syncthreads_and");
}
DEVICE int __syncthreads_count(int v) {
    return dialect::block_barrier(v != 0, [](int a, int b) { return a + b; }, "__syncthreads_count");
}
DEVICE void __syncwarp(unsigned mask = ~0u) {
    dialect::together("__syncwarp", mask, [](dialect::Warp &) {});
}
template <class T>
T __shfl_sync(unsigned mask, T v, int src, int width = 32) {
    unsigned l = dialect::lane_id();
    return dialect::shuffle("__shfl_sync", mask, v, (l & ~(width - 1)) | (src & (width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T v, int by, int width = 32) {
    unsigned l = dialect::lane_id(), src = l ^ by;
    return dialect::shuffle("__shfl_xor_sync", mask, v, (src & ~(width - 1)) > (l & ~(width - 1)) ? l : src);
}
template <class T>
T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32) {
    unsigned l = dialect::lane_id();
    return dialect::shuffle("__shfl_down_sync", mask, v, (l & (width - 1)) + by < (unsigned)width ? l + by : l);
}
template <class T>
T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32) {
    unsigned l = dialect::lane_id();
    return dialect::shuffle("__shfl_up_sync", mask, v, (l & (width - 1)) >= by ? l - by : l);
}
DEVICE unsigned __ballot_sync(unsigned mask, int on) { return dialect::ballot(mask, on); }
DEVICE int __any_sync(unsigned mask, int on) { return dialect::ballot(mask, on) != 0; }
DEVICE int __all_sync(unsigned mask, int on) { return dialect::ballot(mask, !on) == 0; }
DEVICE void __threadfence() {}
DEVICE void __threadfence_block() {}

// ---- atomics: fibres change places at barriers only, so plain code is atomic
template <class T, class V>
T atomicAdd(T *to, V v) {
    T old = *to;
    *to = old + (T)v;
    return old;
}
template <class T, class V>
T atomicMax(T *to, V v) {
    T old = *to;
    *to = std::max(old, (T)v);
    return old;
}
template <class T, class V>
T atomicMin(T *to, V v) {
    T old = *to;
    *to = std::min(old, (T)v);
    return old;
}
template <class T, class V>
T atomicOr(T *to, V v) {
    T old = *to;
    *to = old | (T)v;
    return old;
}
template <class T, class V>
T atomicExch(T *to, V v) {
    T old = *to;
    *to = (T)v;
    return old;
}
template <class T>
T atomicCAS(T *to, T expected, T v) {
    T old = *to;
    if (old == expected) *to = v;
    return old;
}

// ---- numbers
template <class T>
T __ldg(const T *p) {
    return *p;
}
template <class To, class From>
To dialect_bits(From v) {
    static_assert(sizeof(To) == sizeof(From), "");
    To to;
    std::memcpy(&to, &v, sizeof to);
    return to;
}
DEVICE unsigned __float_as_uint(float v) { return dialect_bits<unsigned>(v); }
DEVICE int __float_as_int(float v) { return dialect_bits<int>(v); }
DEVICE float __uint_as_float(unsigned v) { return dialect_bits<float>(v); }
DEVICE float __int_as_float(int v) { return dialect_bits<float>(v); }
DEVICE float rsqrtf(float v) { return 1.0f / std::sqrt(v); }
DEVICE float __frcp_rn(float v) { return 1.0f / v; }
// glibc declares functions of these names.
#define __expf(v) std::exp((float)(v))
#define __logf(v) std::log((float)(v))
DEVICE float __fdividef(float a, float b) { return a / b; }
DEVICE int __popc(unsigned v) { return __builtin_popcount(v); }
DEVICE int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
DEVICE int __ffs(int v) { return __builtin_ffs(v); }
DEVICE int __clz(int v) { return v ? __builtin_clz(v) : 32; }
#define DIALECT_MIN_MAX(T)                             \
    DEVICE T min(T a, T b) { return b < a ? b : a; }   \
    DEVICE T max(T a, T b) { return a < b ? b : a; }
DIALECT_MIN_MAX(int)
DIALECT_MIN_MAX(unsigned)
DIALECT_MIN_MAX(long long)
DIALECT_MIN_MAX(unsigned long long)
DIALECT_MIN_MAX(float)
DIALECT_MIN_MAX(double)

// ---- half precision, rounded to nearest, ties to even
struct f16;
struct bf16;
namespace dialect {
inline float half_value(unsigned bits) {
    unsigned exponent = bits >> 10 & 31, mantissa = bits & 1023;
    float v = exponent == 31 ? (mantissa ? NAN : INFINITY)
                             : exponent ? std::ldexp(1024.0f + mantissa, (int)exponent - 25) : std::ldexp((float)mantissa, -24);
    return bits >> 15 ? -v : v;
}
static const std::vector<float> half_values = [] {
    std::vector<float> all(1 << 16);
    for (unsigned i = 0; i < all.size(); i++) all[i] = half_value(i);
    return all;
}();
inline uint16_t to_half(double v) {
    uint64_t u = dialect_bits<uint64_t>(v), sign = u >> 48 & 0x8000;
    u &= ~0ull >> 1;
    if (u > 0x7ff0000000000000) return 0x7fff;
    if (u >= 0x40effe0000000000) return sign | 0x7c00; // 65520
    if (u < 0x3f10000000000000) return sign | (uint16_t)(int)std::nearbyint(dialect_bits<double>(u) * 0x1p24);
    // A carry into the next binade is a carry of the bits too.
    return sign | ((u - 0x3f00000000000000 + 0x1ffffffffff + (u >> 42 & 1)) >> 42);
}
inline uint16_t to_half(float v) {
    unsigned u = dialect_bits<unsigned>(v), sign = u >> 16 & 0x8000;
    u &= 0x7fffffff;
    if (u > 0x7f800000) return 0x7fff;
    if (u >= 0x477ff000) return sign | 0x7c00;
    if (u < 0x38800000) return sign | (uint16_t)(int)std::nearbyint(dialect_bits<float>(u) * 0x1p24f);
    return sign | ((u - 0x38000000 + 0xfff + (u >> 13 & 1)) >> 13);
}
inline float bf16_value(unsigned bits) { return dialect_bits<float>((uint32_t)bits << 16); }
inline uint16_t to_bf16(float v) {
    unsigned u = dialect_bits<unsigned>(v);
    return v == v ? (u + 0x7fff + (u >> 16 & 1)) >> 16 : 0x7fff;
}
inline float value(const f16 *, unsigned bits) { return half_values[bits & 0xffff]; }
inline float value(const bf16 *, unsigned bits) { return bf16_value(bits & 0xffff); }
template <class F>
unsigned each_half(unsigned a, unsigned b, unsigned c, F f) {
    auto one = [&](int at) {
        return (unsigned)to_half((double)f((double)half_values[a >> at & 0xffff], (double)half_values[b >> at & 0xffff],
                                           (double)half_values[c >> at & 0xffff]));
    };
    return one(0) | one(16) << 16;
}
} // namespace dialect

DEVICE float to_f32(float v) { return v; }
DEVICE void from_f32(float v, float &to) { to = v; }
// f16 and bf16 are defined by device.cuh, after this: what takes them is a template until then.
template <class H, class = decltype(H::bits)>
float to_f32(H v) {
    return dialect::value((const H *)nullptr, v.bits);
}
template <class H, class = decltype(H::bits)>
void from_f32(float v, H &to) {
    to.bits = std::is_same<H, f16>::value ? dialect::to_half(v) : dialect::to_bf16(v);
}
template <class H, class = decltype(H::bits)>
unsigned pair(H, float lo, float hi) {
    H l, h;
    from_f32(lo, l), from_f32(hi, h);
    return (unsigned)h.bits << 16 | l.bits;
}
template <class H, class = decltype(H::bits)>
float2 unpair(H, unsigned v) {
    return {dialect::value((const H *)nullptr, v), dialect::value((const H *)nullptr, v >> 16)};
}
DEVICE unsigned low_twice(unsigned v) { return (v & 0xffff) | v << 16; }
DEVICE unsigned high_twice(unsigned v) { return v >> 16 | (v & 0xffff0000); }
DEVICE unsigned fma2(unsigned a, unsigned b, unsigned c) {
    return dialect::each_half(a, b, c, [](double a, double b, double c) { return a * b + c; });
}
DEVICE unsigned add2(unsigned a, unsigned b) {
    return dialect::each_half(a, b, 0, [](double a, double b, double) { return a + b; });
}
DEVICE unsigned mul2(unsigned a, unsigned b) {
    return dialect::each_half(a, b, 0, [](double a, double b, double) { return a * b; });
}

// ---- asynchronous copies: done as late as the waits allow
enum class Fill { Copy, Zero };
DEVICE void cp_async_16(void *shared, const void *global, Fill fill) {
    dialect::check_aligned(shared, 16, "cp_async_16");
    dialect::check_aligned(global, 16, "cp_async_16");
    std::memset(shared, 0xff, 16);
    dialect::current->copies.push_back({shared, fill == Fill::Copy ? global : nullptr, dialect::current->groups});
}
DEVICE void cp_async_commit() { dialect::current->groups++; }
template <int N>
void cp_async_wait() {
    dialect::Fiber &f = *dialect::current;
    size_t n = 0;
    for (; n < f.copies.size() && f.copies[n].group + N < f.groups; n++) {
        const dialect::Copy &c = f.copies[n];
        c.from ? std::memcpy(c.to, c.from, 16) : std::memset(c.to, 0, 16);
    }
    f.copies.erase(f.copies.begin(), f.copies.begin() + n);
}

// ---- matrix instructions
namespace dialect {
inline void ldmatrix(unsigned *to, const void *row, bool transposed) {
    check_aligned(row, 16, "ldmatrix");
    lane().in[0] = row, lane().out = to;
    together(transposed ? "ldmatrix_x4_trans" : "ldmatrix_x4", ~0u, [&](Warp &w) {
        for (unsigned l = 0; l < LANES; l++)
            for (unsigned i = 0; i < 4; i++) {
                auto at = [&](unsigned r, unsigned c) -> unsigned { return ((const uint16_t *)w.lanes[8 * i + r].in[0])[c]; };
                unsigned g = l / 4, t = 2 * (l % 4);
                ((unsigned *)w.lanes[l].out)[i] = transposed ? at(t, g) | at(t + 1, g) << 16 : at(g, t) | at(g, t + 1) << 16;
            }
    });
}
template <class H>
void mma(float *d, const unsigned *a, const unsigned *b) {
    lane().in[0] = a, lane().in[1] = b, lane().out = d;
    together("mma_m16n8k16", ~0u, [](Warp &w) {
        float ma[16][16], mb[16][8], md[16][8];
        auto value = [](unsigned v) { return dialect::value((const H *)nullptr, v); };
        for (unsigned l = 0; l < LANES; l++) {
            unsigned g = l / 4, t = 2 * (l % 4);
            const unsigned *a = (const unsigned *)w.lanes[l].in[0], *b = (const unsigned *)w.lanes[l].in[1];
            const float *d = (const float *)w.lanes[l].out;
            for (unsigned i = 0; i < 2; i++) {
                for (unsigned h = 0; h < 2; h++) {
                    ma[g][t + 8 * i + h] = value(a[2 * i] >> 16 * h);
                    ma[g + 8][t + 8 * i + h] = value(a[2 * i + 1] >> 16 * h);
                    mb[t + 8 * i + h][g] = value(b[i] >> 16 * h);
                    md[g + 8 * i][t + h] = d[2 * i + h];
                }
            }
        }
        for (unsigned m = 0; m < 16; m++)
            for (unsigned k = 0; k < 16; k++)
                for (unsigned n = 0; n < 8; n++) md[m][n] += ma[m][k] * mb[k][n];
        for (unsigned l = 0; l < LANES; l++) {
            unsigned g = l / 4, t = 2 * (l % 4);
            float *d = (float *)w.lanes[l].out;
            for (unsigned i = 0; i < 2; i++)
                for (unsigned h = 0; h < 2; h++) d[2 * i + h] = md[g + 8 * i][t + h];
        }
    });
}
} // namespace dialect
DEVICE void ldmatrix_x4(unsigned (&to)[4], const void *row) { dialect::ldmatrix(to, row, false); }
DEVICE void ldmatrix_x4_trans(unsigned (&to)[4], const void *row) { dialect::ldmatrix(to, row, true); }
template <class H, class = decltype(H::bits)>
void mma_m16n8k16(H, float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    unsigned b[2] = {b0, b1};
    dialect::mma<H>(d, a, b);
}

// The layout of these fragments is nobody's business: row l / 2, columns 8 (l % 2) and up, turned and crossed so that code
// which relies on a layout fails.
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
namespace dialect {
inline unsigned wmma_row(unsigned l, unsigned) { return (l * 5 + 3) % 32 / 2; }
inline unsigned wmma_column(unsigned l, unsigned i) { return (l * 5 + 3) % 2 * 8 + (i + l) % 8; }
template <Major M, class H>
void wmma_load(unsigned *to, const H *from, int stride, const char *what) {
    check_aligned(from, 32, what);
    if (stride % 8) fail(std::string(what) + ": the stride is no multiple of 8");
    lane().value = (uint64_t)from;
    together(what, ~0u, [&](Warp &w) {
        for (unsigned l = 0; l < LANES; l++)
            if (w.lanes[l].value != (uint64_t)from) fail(std::string(what) + ": lanes give different addresses");
    });
    unsigned l = lane_id();
    for (unsigned i = 0; i < 8; i++) {
        unsigned r = wmma_row(l, i), c = wmma_column(l, i);
        to[i] = from[M == Major::Row ? r * stride + c : c * stride + r].bits;
    }
}
} // namespace dialect
template <Major M, class H>
void wmma_load_a(WmmaA &to, const H *from, int stride) {
    dialect::wmma_load<M>(to.r, from, stride, M == Major::Row ? "wmma_load_a row" : "wmma_load_a column");
}
template <Major M, class H>
void wmma_load_b(WmmaB &to, const H *from, int stride) {
    dialect::wmma_load<M>(to.r, from, stride, M == Major::Row ? "wmma_load_b row" : "wmma_load_b column");
}
template <Major A, Major B>
void wmma_mma(WmmaD &d, const WmmaA &a, const WmmaB &b) {
    dialect::lane().in[0] = &a, dialect::lane().in[1] = &b, dialect::lane().out = &d;
    dialect::together("wmma_mma", ~0u, [](dialect::Warp &w) {
        float ma[16][16], mb[16][16], md[16][16];
        for (unsigned l = 0; l < 32; l++)
            for (unsigned i = 0; i < 8; i++) {
                unsigned r = dialect::wmma_row(l, i), c = dialect::wmma_column(l, i);
                ma[r][c] = dialect::half_values[((const WmmaA *)w.lanes[l].in[0])->r[i]];
                mb[r][c] = dialect::half_values[((const WmmaB *)w.lanes[l].in[1])->r[i]];
                md[r][c] = ((const WmmaD *)w.lanes[l].out)->r[i];
            }
        for (unsigned m = 0; m < 16; m++)
            for (unsigned k = 0; k < 16; k++)
                for (unsigned n = 0; n < 16; n++) md[m][n] += ma[m][k] * mb[k][n];
        for (unsigned l = 0; l < 32; l++)
            for (unsigned i = 0; i < 8; i++) ((WmmaD *)w.lanes[l].out)->r[i] = md[dialect::wmma_row(l, i)][dialect::wmma_column(l, i)];
    });
}
DEVICE void wmma_store(float *to, const WmmaD &d, int stride) {
    dialect::check_aligned(to, 32, "wmma_store");
    unsigned l = dialect::lane_id();
    dialect::together("wmma_store", ~0u, [](dialect::Warp &) {});
    for (unsigned i = 0; i < 8; i++) to[dialect::wmma_row(l, i) * stride + dialect::wmma_column(l, i)] = d.r[i];
}
