// Weight gradients in pairs of f16 (sm_53, sm_62): for each tap, x' [cells, c_in] turned times dy [cells, c_out].
//
// A block makes 32 inputs times BN outputs of several taps over its share of the cells, 64 at a time, as wgrad_mma.cu does; a thread
// eight inputs times eight outputs of one tap: a cell is 4 + 4 words of shared memory to 32 products of pairs. Both halves of a pair
// are neighbouring outputs. Pairs add up 32 cells, then those sums go to f32. For 1x1 slices of a block share the cells.
// 9 taps: 4.5 BN threads of 128 registers, two blocks an SM with BN 48, three with BN 32: while one loads another multiplies.
#if HAS_HALF2

// TAPS: of the kernel. A part of the threads has one tap, or for 1x1 one cell in four or eight.
template <int TAPS, int BN>
struct PairShape {
    static const int SLICES = TAPS > 1 ? 1 : BN == 32 ? 8 : 4, TAPS_AT_ONCE = TAPS == 9 ? 9 : TAPS == 25 ? 5 : 1, GROUPS = TAPS / TAPS_AT_ONCE;
    static const int PART = 4 * (BN / 8), THREADS = PART * SLICES * TAPS_AT_ONCE;
};

// partials [splits, taps, c_in, c_out]. Grid: chunks of 32 inputs, tiles of BN outputs times groups of taps, splits.
// Shared: 2 * (40 * (1 + 64 + 2 halo) + 64 * BN) + 200 bytes, at least 128 * BN for 1x1.
template <int TAPS, int BN>
DEVICE void grad_tile(float *partials, const void *x, const float *saved, const float *mask, const void *dy, int cells, int len, int ky,
                      int kx, int c_in, int c_out, int act, int kinds) {
    typedef PairShape<TAPS, BN> S;
    // cells that a thread adds up in a tile, and in pairs
    const int OWN = GRAD_CELLS / S::SLICES, SPAN = OWN < 32 ? OWN : 32, TILES = 32 / SPAN;
    DYNAMIC_SHARED(f16, shared);
    int part = threadIdx.x / S::PART, c_at = threadIdx.x % 4 * 8, n_at = threadIdx.x % S::PART / 4 * 8;
    int halo = ky / 2 * len + kx / 2, rows = GRAD_CELLS + 2 * halo;
    int c0 = blockIdx.x * CHUNK, n0 = (int)blockIdx.y / S::GROUPS * BN;
    int tap = TAPS == 1 ? 0 : (int)blockIdx.y % S::GROUPS * S::TAPS_AT_ONCE + part, slice = TAPS == 1 ? part : 0;
    f16 *zeros = shared, *patch = zeros + PATCH_STRIDE, *d_tile = patch + rows * PATCH_STRIDE;
    // a word for each tap and half of the tile: which of its 32 cells have that neighbour
    unsigned *inside = (unsigned *)(d_tile + GRAD_CELLS * BN);
    if (threadIdx.x < PATCH_STRIDE / 2) ((unsigned *)zeros)[threadIdx.x] = 0;
    int n_tiles = (cells + GRAD_CELLS - 1) / GRAD_CELLS, share = (n_tiles + (int)gridDim.z - 1) / (int)gridDim.z;
    int first = (int)blockIdx.z * share, end = min(first + share, n_tiles);

    Norm4 none = norm4(nullptr, 0, 0, 0);
    const int STEP = S::THREADS, PIECES = GRAD_CELLS * BN / 4, UNROLL = 4;
    auto put_dy = [&](int m0) {
        for (int piece0 = threadIdx.x; piece0 < PIECES; piece0 += UNROLL * STEP) {
            Four v[UNROLL];
#pragma unroll
            for (int u = 0; u < UNROLL; u++) {
                int piece = piece0 + u * STEP;
                v[u] = fetch4<f16>(dy, kinds & DY_HALF, piece < PIECES ? m0 + piece / (BN / 4) : -1, cells, c_out, n0 + piece % (BN / 4) * 4);
            }
#pragma unroll
            for (int u = 0; u < UNROLL; u++)
                if (piece0 + u * STEP < PIECES) put4(d_tile + 4 * (piece0 + u * STEP), v[u], kinds & DY_HALF, none, true);
        }
    };
    auto put_inside = [&](int m0) {
        // whole warps come in
        if (threadIdx.x >= GRAD_CELLS) return;
        unsigned bits = tap_bits(m0 + threadIdx.x, cells, len, ky, kx);
        for (int t = 0; t < TAPS; t++) {
            unsigned all = __ballot_sync(~0u, bits >> t & 1);
            if (threadIdx.x % 32 == 0) inside[2 * t + threadIdx.x / 32] = all;
        }
    };

    int distance = (tap / kx - ky / 2) * len + tap % kx - kx / 2;
    const f16 *a_row = patch + (halo + distance + slice) * PATCH_STRIDE + c_at, *b_row = d_tile + slice * BN + n_at;
    float sums[8][8] = {};
    unsigned pairs[8][4] = {};
    for (int tile = first; tile < end; tile++) {
        int m0 = tile * GRAD_CELLS;
        __syncthreads();
        load_patch<S::THREADS, PATCH_STRIDE>(patch, rows, [&](int row) { return m0 - halo + row; }, x, kinds & X_HALF, saved, mask, cells,
                                             c_in, c0, act);
        put_dy(m0);
        put_inside(m0);
        __syncthreads();
        for (int at = 0; at < OWN; at += SPAN) {
            // 1x1: off the last board dy is 0
            unsigned valid = TAPS == 1 ? ~0u : inside[2 * tap + at / 32];
#pragma unroll 4
            for (int k = 0; k < SPAN; k++) {
                int row = (at + k) * S::SLICES;
                uint4 a = *(const uint4 *)(valid >> k & 1 ? a_row + row * PATCH_STRIDE : zeros);
                uint4 b = *(const uint4 *)(b_row + row * BN);
                const unsigned twos[4] = {a.x, a.y, a.z, a.w};
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    unsigned v = i % 2 ? high_twice(twos[i / 2]) : low_twice(twos[i / 2]);
                    pairs[i][0] = fma2(v, b.x, pairs[i][0]);
                    pairs[i][1] = fma2(v, b.y, pairs[i][1]);
                    pairs[i][2] = fma2(v, b.z, pairs[i][2]);
                    pairs[i][3] = fma2(v, b.w, pairs[i][3]);
                }
            }
            if (TILES > 1 && (tile - first) % TILES + 1 < TILES && tile + 1 < end) continue;
#pragma unroll
            for (int i = 0; i < 8; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    float2 v = unpair(f16(), pairs[i][j]);
                    sums[i][2 * j] += v.x, sums[i][2 * j + 1] += v.y;
                    pairs[i][j] = 0;
                }
        }
    }

    if (TAPS == 1) {
        // the slices add theirs one after the other
        float *gathered = (float *)shared + c_at * BN + n_at;
        for (int turn = 0; turn < S::SLICES; turn++) {
            __syncthreads();
            if (slice != turn) continue;
#pragma unroll
            for (int i = 0; i < 8; i++)
#pragma unroll
                for (int j = 0; j < 8; j++) {
                    float *to = gathered + i * BN + j;
                    sums[i][j] += turn ? *to : 0.0f;
                    *to = sums[i][j];
                }
        }
        if (slice + 1 != S::SLICES) return;
    }
    float *to = partials + ((size_t)blockIdx.z * TAPS + tap) * c_in * c_out;
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < 8; j++)
            if (c0 + c_at + i < c_in && n0 + n_at + j < c_out) to[(size_t)(c0 + c_at + i) * c_out + n0 + n_at + j] = sums[i][j];
}

#define GRAD(TAPS, BN, BLOCKS)                                                                                              \
    extern "C" __global__ void __launch_bounds__(PairShape<TAPS, BN>::THREADS, BLOCKS) conv_grad_half2_f16_##TAPS##_##BN(    \
        float *partials, const void *x, const float *saved, const float *mask, const void *dy, int cells, int len, int ky, int kx, \
        int c_in, int c_out, int act, int kinds) {                                                                          \
        grad_tile<TAPS, BN>(partials, x, saved, mask, dy, cells, len, ky, kx, c_in, c_out, act, kinds);                     \
    }                                                                                                                       \
    KERNEL(conv_grad_half2_f16_##TAPS##_##BN)
GRAD(1, 32, 3) GRAD(1, 48, 2) GRAD(9, 32, 3) GRAD(9, 48, 2) GRAD(25, 32, 4)

#endif // HAS_HALF2
