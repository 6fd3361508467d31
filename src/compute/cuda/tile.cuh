// Points on their way into shared memory, for the convolutions on tensor cores. This text stands behind view.cuh.
//
// Cells of all boards are one list. A tile is some consecutive cells; its patch is the tile with `halo` cells before and behind,
// (ky / 2) * len + kx / 2, so that every neighbour of a cell is the row at a fixed distance, and a patch is one contiguous piece
// of memory. Neighbours beyond the edge of a board are other cells in that list: who reads them asks `tap_bits`.

// As kernels' names have it.
typedef float f32;

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

// Four numbers as they lie in memory.
template <class X>
struct Four {
    uint2 raw;
};
template <>
struct Four<float> {
    float4 raw;
};

DEVICE void load4(Four<float> &to, const float *from) { to.raw = *(const float4 *)from; }
template <class X>
DEVICE void load4(Four<X> &to, const X *from) {
    to.raw = *(const uint2 *)from;
}
// The first `n` of four, the others 0; from any address.
DEVICE void load_some(Four<float> &to, const float *from, int n) {
    to.raw = make_float4(n > 0 ? from[0] : 0.0f, n > 1 ? from[1] : 0.0f, n > 2 ? from[2] : 0.0f, n > 3 ? from[3] : 0.0f);
}
template <class X>
DEVICE void load_some(Four<X> &to, const X *from, int n) {
    to.raw.x = (n > 0 ? from[0].bits : 0u) | (n > 1 ? (unsigned)from[1].bits << 16 : 0u);
    to.raw.y = (n > 2 ? from[2].bits : 0u) | (n > 3 ? (unsigned)from[3].bits << 16 : 0u);
}
DEVICE float4 values4(const Four<float> &v) { return v.raw; }
template <class X>
DEVICE float4 values4(const Four<X> &v) {
    float2 a = unpair(X(), v.raw.x), b = unpair(X(), v.raw.y);
    return make_float4(a.x, a.y, b.x, b.y);
}

// Channels `c0 + 4 quad` to the fourth behind of `cell`; 0 where there are none.
template <class X>
DEVICE Four<X> fetch4(const X *x, int cell, int cells, int c, int channel) {
    Four<X> v;
    const X *from = x + (size_t)cell * c + channel;
    bool inside = (unsigned)cell < (unsigned)cells;
    if (inside && c % 4 == 0 && channel < c)
        load4(v, from);
    else
        load_some(v, from, inside ? c - channel : 0);
    return v;
}

// What lies between points and what reads them, for the four channels that a thread brings in all its rows.
struct Norm4 {
    float4 scale, shift;
    int act;
    bool on;
};

DEVICE Norm4 norm4(const float *saved, int c, int channel, int act) {
    Norm4 n = {make_float4(0, 0, 0, 0), make_float4(0, 0, 0, 0), act, saved != nullptr};
    if (!saved) return n;
    Four<float> scale, shift;
    load_some(scale, saved + 2 * c + channel, c - channel);
    load_some(shift, saved + 3 * c + channel, c - channel);
    n.scale = scale.raw, n.shift = shift.raw;
    return n;
}

// A number that T can hold: a gradient beyond f16 is cut off, for one infinity would end in all weights.
DEVICE float within(f16, float v) { return fminf(fmaxf(v, -65504.0f), 65504.0f); }
DEVICE float within(bf16, float v) { return v; }

// Four numbers, normed and activated where they are on the board and 0 where not, to shared memory in T.
template <class T, class X>
DEVICE void put4(T *to, const Four<X> &raw, const Norm4 &n, bool on_board) {
    float4 v = values4(raw);
    if (n.on && on_board) {
        v.x = act_value(n.act, v.x * n.scale.x + n.shift.x);
        v.y = act_value(n.act, v.y * n.scale.y + n.shift.y);
        v.z = act_value(n.act, v.z * n.scale.z + n.shift.z);
        v.w = act_value(n.act, v.w * n.scale.w + n.shift.w);
    } else if (n.on) {
        v = make_float4(0, 0, 0, 0);
    }
    T t = T();
    *(uint2 *)to = make_uint2(pair(t, within(t, v.x), within(t, v.y)), pair(t, within(t, v.z), within(t, v.w)));
}

// Cells `cell_of(row)` (negative: none), channels c0 to c0 + 31, to rows of `patch` that are STRIDE numbers apart; 0 where there is
// nothing. Eight threads bring a row (one line of 128 bytes in f32), and each has UNROLL rows under way before it waits for the first.
template <int THREADS, int STRIDE, class T, class X, class CellOf>
DEVICE void load_patch(T *patch, int rows, CellOf cell_of, const X *x, const float *saved, const float *mask, int cells, int c, int c0,
                       int act) {
    const int UNROLL = 4, STEP = THREADS / 8;
    int quad = 4 * (threadIdx.x % 8);
    Norm4 n = norm4(saved, c, c0 + quad, act);
    for (int row0 = threadIdx.x / 8; row0 < rows; row0 += UNROLL * STEP) {
        Four<X> v[UNROLL];
        bool on[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            int row = row0 + u * STEP, cell = row < rows ? cell_of(row) : -1;
            v[u] = fetch4(x, cell, cells, c, c0 + quad);
            on[u] = n.on && (unsigned)cell < (unsigned)cells && mask[cell] != 0.0f;
        }
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            int row = row0 + u * STEP;
            if (row < rows) put4(patch + row * STRIDE + quad, v[u], n, on[u]);
        }
    }
}

// Two neighbouring results.
DEVICE float2 load2(const float *from) { return *(const float2 *)from; }
template <class X>
DEVICE float2 load2(const X *from) {
    return unpair(X(), *(const unsigned *)from);
}
DEVICE void store2(float *to, float2 v) { *(float2 *)to = v; }
template <class X>
DEVICE void store2(X *to, float2 v) {
    *(unsigned *)to = pair(X(), v.x, v.y);
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
