// Convolutions on tensor cores from sm_80 on: implicit GEMM over points as they lie in memory, sums in f32.
//
// Forward and input gradient: a block makes 128 cells times BN outputs. Four warps, 64 cells times BN / 2 outputs each: 2 BN / 2
// registers of sums leave room for three blocks an SM with BN 96 (and two with 128), whose loads and products overlap. Chunks of 32
// input channels: the patch (168 rows for 3x3 on 19x19) is normed, activated and rounded once and read by all taps; a tap is a
// distance between rows, so nothing is gathered. Rows of neighbours off the board's array are read from a row of zeros. Weights
// come through a ring of three stages by asynchronous copies. Per 16 of depth a warp reads 64 + BN / 2 rows of 32 bytes
// and makes 64 BN / 2 * 16 products: 3.5 KB (28 cycles) to 49152 (48 cycles of an Orin's SM) for BN 96.
#if HAS_MMA

const int TILE_CELLS = 128, MMA_THREADS = 128, STAGES = 3;

// Adds up this lane's sums of its columns' results, of their squares and of points, over its eight rows; see write_moments.
template <int BN>
DEVICE void tile_moments(float *partials, float *shared, const float (&sum)[BN / 16][2], const float (&square)[BN / 16][2],
                         float points, int n0, int c_out) {
    int lane = threadIdx.x % 32, warp_m = threadIdx.x / 32 % 2, warp_n = threadIdx.x / 64;
    float count = points;
    for (int d = 4; d < 32; d *= 2) count += __shfl_xor_sync(~0u, count, d);
    // shared: [2 halves of the rows, BN, 2], then the halves' points
    __syncthreads();
    for (int j = 0; j < BN / 16; j++)
        for (int h = 0; h < 2; h++) {
            float s = sum[j][h], q = square[j][h];
            for (int d = 4; d < 32; d *= 2) {
                s += __shfl_xor_sync(~0u, s, d);
                q += __shfl_xor_sync(~0u, q, d);
            }
            float *to = shared + (warp_m * BN + warp_n * BN / 2 + 8 * j + 2 * (lane % 4) + h) * 2;
            if (lane < 4) to[0] = s, to[1] = q;
        }
    if (lane == 0 && warp_n == 0) shared[4 * BN + warp_m] = count;
    __syncthreads();
    write_moments<BN>(partials, shared, n0, c_out);
}

// y [cells, c_out] = base + conv(x, w), base null or of y's shape (or y); w by prepare_conv. moments: null, or where `write_moments`
// of y go (of the sums as they are before y rounds them). Grid: tiles of 128 cells, tiles of BN outputs. Shared: 2 * (40 * (1 + 128 + 2 halo) + 96 * (BN + 8)) bytes.
template <class T, int BN>
DEVICE void conv_tile(void *y, const void *base, const void *x, const float *saved, const float *mask, const T *w, float *moments, int cells,
                      int len, int ky, int kx, int c_in, int c_out, int k_pad, int n_pad, int act, int kinds) {
    const int W_STRIDE = BN + 8, W_STAGE = CHUNK * W_STRIDE;
    DYNAMIC_SHARED(T, shared);
    int lane = threadIdx.x % 32, warp_m = threadIdx.x / 32 % 2, warp_n = threadIdx.x / 64;
    int taps = ky * kx, halo = ky / 2 * len + kx / 2, rows = TILE_CELLS + 2 * halo;
    int m0 = blockIdx.x * TILE_CELLS, n0 = blockIdx.y * BN, n_steps = k_pad / CHUNK * taps;
    T *zeros = shared, *patch = zeros + PATCH_STRIDE, *ring = patch + rows * PATCH_STRIDE;
    if (threadIdx.x < PATCH_STRIDE / 2) ((unsigned *)zeros)[threadIdx.x] = 0;

    auto fetch_weights = [&](int step) {
        if (step < n_steps) {
            const T *from = w + ((size_t)(step % taps) * k_pad + step / taps * CHUNK) * n_pad + n0;
            T *to = ring + step % STAGES * W_STAGE;
#pragma unroll
            for (int i = 0; i < BN / 32; i++) {
                int piece = threadIdx.x + i * MMA_THREADS, k = piece / (BN / 8), n = piece % (BN / 8) * 8;
                cp_async_16(to + k * W_STRIDE + n, from + (size_t)k * n_pad + n, Fill::Copy);
            }
        }
        cp_async_commit();
    };

    // lane l brings the address of row l % 16 of each of its four 16-row tiles
    unsigned bits[4];
#pragma unroll
    for (int i = 0; i < 4; i++) bits[i] = tap_bits(m0 + warp_m * 64 + 16 * i + lane % 16, cells, len, ky, kx);
    const T *a_row = patch + (halo + warp_m * 64 + lane % 16) * PATCH_STRIDE + lane / 16 * 8;
    const T *b_row = ring + lane % 16 * W_STRIDE + warp_n * (BN / 2) + lane / 16 * 8;
    float sums[4][BN / 16][4] = {};

    fetch_weights(0);
    fetch_weights(1);
    for (int step = 0, tap = 0; step < n_steps; step++, tap = tap + 1 == taps ? 0 : tap + 1) {
        if (tap == 0) {
            __syncthreads();
            load_patch<MMA_THREADS, PATCH_STRIDE>(patch, rows, [&](int row) { return m0 - halo + row; }, x, kinds & X_HALF, saved, mask, cells, c_in, step / taps * CHUNK, act);
        }
        cp_async_wait<1>();
        __syncthreads();
        // into the stage that all threads left before that barrier
        fetch_weights(step + 2);
        int distance = ((tap / kx - ky / 2) * len + tap % kx - kx / 2) * PATCH_STRIDE;
        const T *a_at[4];
#pragma unroll
        for (int i = 0; i < 4; i++) a_at[i] = bits[i] >> tap & 1 ? a_row + distance + 16 * i * PATCH_STRIDE : zeros;
        const T *b_at = b_row + step % STAGES * W_STAGE;
#pragma unroll
        for (int k = 0; k < CHUNK; k += 16) {
            unsigned b[BN / 32][4];
#pragma unroll
            for (int j = 0; j < BN / 32; j++) ldmatrix_x4_trans(b[j], b_at + k * W_STRIDE + 16 * j);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                unsigned a[4];
                ldmatrix_x4(a, a_at[i] + k);
#pragma unroll
                for (int j = 0; j < BN / 16; j++) mma_m16n8k16(T(), sums[i][j], a, b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
            }
        }
    }

    // sums[i][j]: rows lane / 4 and 8 below of tile i, columns 2 (lane % 4) and the next of tile j
    float sum[BN / 16][2] = {}, square[BN / 16][2] = {}, points = 0.0f;
    bool half = kinds & Y_HALF;
    int n_lane = n0 + warp_n * (BN / 2) + 2 * (lane % 4);
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            int cell = m0 + warp_m * 64 + 16 * i + lane / 4 + 8 * h;
            if (cell >= cells) continue;
            float on = moments && mask[cell] != 0.0f ? 1.0f : 0.0f;
            points += on;
#pragma unroll
            for (int j = 0; j < BN / 16; j++) {
                int n = n_lane + 8 * j;
                size_t at = (size_t)cell * c_out + n;
                float2 v = make_float2(sums[i][j][2 * h], sums[i][j][2 * h + 1]);
                if (n + 1 < c_out && c_out % 2 == 0) {
                    if (base) {
                        float2 b = load2<T>(base, half, at);
                        v.x += b.x, v.y += b.y;
                    }
                    store2<T>(y, kinds, at, v);
                } else {
                    if (base && n < c_out) v.x += load1<T>(base, half, at);
                    if (base && n + 1 < c_out) v.y += load1<T>(base, half, at + 1);
                    if (n < c_out) store1<T>(y, kinds, at, v.x);
                    if (n + 1 < c_out) store1<T>(y, kinds, at + 1, v.y);
                }
                v.x *= on, v.y *= on;
                sum[j][0] += v.x, sum[j][1] += v.y;
                square[j][0] += v.x * v.x, square[j][1] += v.y * v.y;
            }
        }
    if (moments) tile_moments<BN>(moments, (float *)shared, sum, square, points, n0, c_out);
}

#define CONV(T, BN)                                                                                                         \
    extern "C" __global__ void __launch_bounds__(MMA_THREADS, BN <= 96 ? 3 : 2) conv_mma_##T##_##BN(                        \
        void *y, const void *base, const void *x, const float *saved, const float *mask, const T *w, float *moments, int cells, \
        int len, int ky, int kx, int c_in, int c_out, int k_pad, int n_pad, int act, int kinds) {                           \
        conv_tile<T, BN>(y, base, x, saved, mask, w, moments, cells, len, ky, kx, c_in, c_out, k_pad, n_pad, act, kinds);   \
    }                                                                                                                       \
    KERNEL(conv_mma_##T##_##BN)
#define CONVS(T) CONV(T, 32) CONV(T, 64) CONV(T, 96) CONV(T, 128)
CONVS(f16)
CONVS(bf16)

#define PREPARE(T)                                                                                                          \
    extern "C" __global__ void prepare_conv_##T(T *to, const float *w, int taps, int c_in, int c_out, int k_pad, int n_pad, int turned) { \
        prepare_weights(to, w, taps, c_in, c_out, k_pad, n_pad, turned);                                                    \
    }                                                                                                                       \
    KERNEL(prepare_conv_##T)
PREPARE(f16)
PREPARE(bf16)

#endif // HAS_MMA
