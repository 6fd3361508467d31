// Points on their way into shared memory, for the convolutions on tensor cores. This text stands behind view.cuh.
//
// Cells of all boards are one list. A tile is some consecutive cells; its patch is the tile with `halo` cells before and behind,
// (ky / 2) * len + kx / 2, so that every neighbour of a cell is the row at a fixed distance, and a patch is one contiguous piece
// of memory. Neighbours beyond the edge of a board are other cells in that list: who reads them asks `tap_bits`.

// Channels of a patch in shared memory at once.
const int CHUNK = 32;
// Numbers between rows: 80 bytes, so that eight rows of 16 bytes lie in different banks (20 words apart: 0, 20, 8, 28, 16, 4, 24, 12).
const int PATCH_STRIDE = CHUNK + 8;

// The same for fragments of wmma, which begin at multiples of 32 bytes: banks repeat every four rows.
const int WMMA_STRIDE = CHUNK + 16;

// Boards with a shared border, as one list of positions.
struct Bordered {
    int len, pitch, board, positions;

    // The cell of a position, -1 on the border and outside.
    __device__ int cell_of(int position) const {
        if (position < 0 || position >= positions) return -1;
        int at = position % board, row = at / pitch, column = at % pitch;
        return row < len && column < len ? (position / board * len + row) * len + column : -1;
    }
};
DEVICE Bordered bordered(int cells, int len, int ky, int kx) {
    int pitch = len + kx / 2, board = pitch * (len + ky / 2);
    return {len, pitch, board, cells / (len * len) * board};
}

// A bit for each tap of the kernel whose neighbour of `cell` is on the same board's array; none for cells beyond the last.
DEVICE unsigned tap_bits(int cell, int cells, int len, int ky, int kx) {
    if (cell >= cells) return 0;
    int at = cell % (len * len), row = at / len - ky / 2, column = at % len - kx / 2;
    unsigned bits = 0;
    for (int i = 0; i < ky; i++)
        for (int j = 0; j < kx; j++)
            if ((unsigned)(row + i) < (unsigned)len && (unsigned)(column + j) < (unsigned)len) bits |= 1u << (i * kx + j);
    return bits;
}

// Tensors of points are f32 in memory, or 16 bits: f16 or bf16, whichever T the kernel multiplies in. Kernels are told by a
// number of `kinds`, a bit for each tensor that is 16 bits wide (one kernel serves first and last layers too), and one for results
// that are a gradient.

enum { X_HALF = 1, Y_HALF = 2, DY_HALF = 2, Y_GRADIENT = 4 };

// Four numbers as they lie in memory: f32, or T in the first two words.
struct Four {
    uint4 raw;
};

// Channels `channel` to the third behind of `cell`; 0 where there are none.
template <class T>
DEVICE Four fetch4(const void *x, bool half, int cell, int cells, int c, int channel) {
    Four v = {make_uint4(0, 0, 0, 0)};
    if ((unsigned)cell >= (unsigned)cells || channel >= c) return v;
    size_t at = (size_t)cell * c + channel;
    int n = c - channel;
    if (half) {
        const T *from = (const T *)x + at;
        if (c % 4 == 0) {
            uint2 two = *(const uint2 *)from;
            v.raw.x = two.x, v.raw.y = two.y;
        } else {
            v.raw.x = from[0].bits | (n > 1 ? (unsigned)from[1].bits << 16 : 0u);
            v.raw.y = (n > 2 ? from[2].bits : 0u) | (n > 3 ? (unsigned)from[3].bits << 16 : 0u);
        }
    } else {
        const unsigned *from = (const unsigned *)x + at;
        if (c % 4 == 0)
            v.raw = *(const uint4 *)from;
        else
            v.raw = make_uint4(from[0], n > 1 ? from[1] : 0u, n > 2 ? from[2] : 0u, n > 3 ? from[3] : 0u);
    }
    return v;
}

// What lies between points and what reads them, for the four channels that a thread brings in all its rows.
struct Norm4 {
    float4 scale, shift;
    int act;
    bool on;
};

// The first `n` of four, the others 0.
DEVICE float4 some_of(const float *from, int n) {
    return make_float4(n > 0 ? from[0] : 0.0f, n > 1 ? from[1] : 0.0f, n > 2 ? from[2] : 0.0f, n > 3 ? from[3] : 0.0f);
}

DEVICE Norm4 norm4(const float *saved, int c, int channel, int act) {
    Norm4 n = {make_float4(0, 0, 0, 0), make_float4(0, 0, 0, 0), act, saved != nullptr};
    if (!saved) return n;
    n.scale = some_of(saved + 2 * c + channel, c - channel), n.shift = some_of(saved + 3 * c + channel, c - channel);
    return n;
}

// Four numbers, normed and activated where they are on the board and 0 where not, to shared memory in T.
template <class T>
DEVICE void put4(T *to, const Four &from, bool half, const Norm4 &n, bool on_board) {
    T t = T();
    if (half && !n.on) {
        *(uint2 *)to = make_uint2(from.raw.x, from.raw.y);
        return;
    }
    float4 v = make_float4(__uint_as_float(from.raw.x), __uint_as_float(from.raw.y), __uint_as_float(from.raw.z), __uint_as_float(from.raw.w));
    if (half) {
        float2 a = unpair(t, from.raw.x), b = unpair(t, from.raw.y);
        v = make_float4(a.x, a.y, b.x, b.y);
    }
    if (n.on && on_board) {
        v.x = act_value(n.act, v.x * n.scale.x + n.shift.x);
        v.y = act_value(n.act, v.y * n.scale.y + n.shift.y);
        v.z = act_value(n.act, v.z * n.scale.z + n.shift.z);
        v.w = act_value(n.act, v.w * n.scale.w + n.shift.w);
        v = make_float4(within(t, v.x), within(t, v.y), within(t, v.z), within(t, v.w));
    } else if (n.on) {
        v = make_float4(0, 0, 0, 0);
    }
    *(uint2 *)to = make_uint2(pair(t, v.x, v.y), pair(t, v.z, v.w));
}

// Cells `cell_of(row)` (negative: none), channels c0 to c0 + 31, to rows of `patch` that are STRIDE numbers apart; 0 where there is
// nothing. Eight threads bring a row (one line of 128 bytes in f32), and each has UNROLL rows under way before it waits for the first.
template <int THREADS, int STRIDE, class T, class CellOf>
DEVICE void load_patch(T *patch, int rows, CellOf cell_of, const void *x, bool half, const float *saved, const float *mask, int cells,
                       int c, int c0, int act) {
    const int UNROLL = 4, STEP = THREADS / 8;
    int quad = 4 * (threadIdx.x % 8);
    Norm4 n = norm4(saved, c, c0 + quad, act);
    for (int row0 = threadIdx.x / 8; row0 < rows; row0 += UNROLL * STEP) {
        Four v[UNROLL];
        bool on[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            int row = row0 + u * STEP, cell = row < rows ? cell_of(row) : -1;
            v[u] = fetch4<T>(x, half, cell, cells, c, c0 + quad);
            on[u] = n.on && (unsigned)cell < (unsigned)cells && mask[cell] != 0.0f;
        }
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            int row = row0 + u * STEP;
            if (row < rows) put4(patch + row * STRIDE + quad, v[u], half, n, on[u]);
        }
    }
}

// A weight gradient's tile: cells of its own, and warps that have a tap each (5x5: five taps a block; 1x1: they share the cells).
const int GRAD_CELLS = 64;
template <int TAPS>
struct GradShape {
    static const int WARPS = TAPS == 9 ? 9 : TAPS == 25 ? 5 : 4, THREADS = 32 * WARPS;
    static const int TAPS_AT_ONCE = TAPS == 1 ? 1 : WARPS, GROUPS = TAPS / TAPS_AT_ONCE;
};

// What a thread of a weight gradient has under way while the products of a tile run: its part of the next patch (ROWS_MAX rows at the
// most, 32 channels) and of the next rows of dy (BN channels).
template <class T, int THREADS, int ROWS_MAX, int BN>
struct GradStage {
    static const int PATCHES = (ROWS_MAX * 8 + THREADS - 1) / THREADS, DYS = (GRAD_CELLS * BN / 4 + THREADS - 1) / THREADS;
    Four x[PATCHES], dy[DYS];
    unsigned on;
    Norm4 norm;
    bool x_half, dy_half;

    // Row r of the patch is cell cell_of(r - halo), row r of dy cell_of(r); negative: none.
    template <class CellOf>
    __device__ void fetch(CellOf cell_of, int rows, int halo, const void *from, const float *mask, const void *dy_from, int cells,
                          int c_in, int c0, int c_out, int n0) {
        on = 0;
#pragma unroll
        for (int i = 0; i < PATCHES; i++) {
            int row = (int)(threadIdx.x + i * THREADS) / 8, cell = row < rows ? cell_of(row - halo) : -1;
            x[i] = fetch4<T>(from, x_half, cell, cells, c_in, c0 + 4 * (int)(threadIdx.x % 8));
            if (norm.on && (unsigned)cell < (unsigned)cells && mask[cell] != 0.0f) on |= 1u << i;
        }
#pragma unroll
        for (int i = 0; i < DYS; i++) {
            int piece = threadIdx.x + i * THREADS, row = piece / (BN / 4);
            dy[i] = fetch4<T>(dy_from, dy_half, row < GRAD_CELLS ? cell_of(row) : -1, cells, c_out, n0 + piece % (BN / 4) * 4);
        }
    }

    // To the patch and the tile of dy, whose rows are so many numbers apart.
    template <int STRIDE, int D_STRIDE>
    __device__ void put(T *patch, int rows, T *d_tile) {
#pragma unroll
        for (int i = 0; i < PATCHES; i++) {
            int row = (int)(threadIdx.x + i * THREADS) / 8;
            if (row < rows) put4(patch + row * STRIDE + 4 * (threadIdx.x % 8), x[i], x_half, norm, on >> i & 1);
        }
        Norm4 none = norm4(nullptr, 0, 0, 0);
#pragma unroll
        for (int i = 0; i < DYS; i++) {
            int piece = threadIdx.x + i * THREADS, row = piece / (BN / 4);
            if (row < GRAD_CELLS) put4(d_tile + row * D_STRIDE + piece % (BN / 4) * 4, dy[i], dy_half, none, true);
        }
    }
};

// One result, and two neighbouring ones (the first at an even place).
template <class T>
DEVICE float load1(const void *from, bool half, size_t at) {
    return half ? to_f32(((const T *)from)[at]) : ((const float *)from)[at];
}
template <class T>
DEVICE float2 load2(const void *from, bool half, size_t at) {
    return half ? unpair(T(), *(const unsigned *)((const T *)from + at)) : *(const float2 *)((const float *)from + at);
}
template <class T>
DEVICE void store1(void *to, int kinds, size_t at, float v) {
    if (kinds & Y_HALF)
        from_f32(kinds & Y_GRADIENT ? v : within(T(), v), ((T *)to)[at]);
    else
        ((float *)to)[at] = v;
}
template <class T>
DEVICE void store2(void *to, int kinds, size_t at, float2 v) {
    if ((kinds & (Y_HALF | Y_GRADIENT)) == Y_HALF) v = make_float2(within(T(), v.x), within(T(), v.y));
    if (kinds & Y_HALF)
        *(unsigned *)((T *)to + at) = pair(T(), v.x, v.y);
    else
        *(float2 *)((float *)to + at) = v;
}

// to [taps, k_pad, n_pad] in T from w [taps, c_in, c_out]: k is c_in, n is c_out, the rest 0. `turned`: for the gradient of the input,
// the kernel turned by half a circle, k is c_out and n is c_in.
template <class T>
DEVICE void prepare_weights(T *to, const float *w, int taps, int c_in, int c_out, int k_pad, int n_pad, int turned) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= taps * k_pad * n_pad) return;
    int n = at % n_pad, k = at / n_pad % k_pad, tap = at / (n_pad * k_pad);
    int i = turned ? n : k, o = turned ? k : n, from = turned ? taps - 1 - tap : tap;
    from_f32(i < c_in && o < c_out ? w[((size_t)from * c_in + i) * c_out + o] : 0.0f, to[at]);
}

// Moments of the results of a tile, as the batch norm wants them: partials [tiles, 2c + 1] mean, squared deviations, points.
// shared: sums and sums of squares [2 halves of the rows, BN, 2], then the halves' points. All threads call it.
template <int BN>
DEVICE void write_moments(float *partials, const float *shared, int n0, int c_out) {
    float n = shared[4 * BN] + shared[4 * BN + 1];
    float *to = partials + (size_t)blockIdx.x * (2 * c_out + 1);
    for (int j = threadIdx.x; j < BN && n0 + j < c_out; j += blockDim.x) {
        float s = shared[2 * j] + shared[2 * (BN + j)], q = shared[2 * j + 1] + shared[2 * (BN + j) + 1];
        float mean = n > 0.0f ? s / n : 0.0f;
        to[n0 + j] = mean;
        to[c_out + n0 + j] = fmaxf(q - s * mean, 0.0f);
    }
    if (n0 == 0 && threadIdx.x == 0) to[2 * c_out] = n;
}
