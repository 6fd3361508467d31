// Convolutions on chips without tensor cores that multiply pairs of f16 at twice the rate of f32 (sm_53: Nano, sm_62: TX2).
//
// Implicit GEMM as conv_mma.cu has it, over points as they lie in memory: both halves of a pair are neighbouring output channels, so
// the layout is the same on every chip. A block makes 128 cells times BN outputs, a thread eight cells (16 apart) times eight
// outputs (twelve with BN 96): per two channels it reads 8 + 8 (12) words of shared memory for 64 (96) products of pairs. Pairs add up
// 32 products (one tap of 32 channels), which costs about a bit of the eleven; those sums go to f32.
// Registers decide how many blocks an SM has (64 K of them, 32 K a block, in steps of four warps): two of 128 threads with BN 96,
// three with BN 64; 25 and 21 KB of shared memory each of 64. While one loads another multiplies.
#if HAS_HALF2

const int TILE_CELLS = 128, CELLS = 8, CELL_GROUPS = TILE_CELLS / CELLS;
// 72 bytes from row to row: sixteen rows of 8 bytes lie in different banks.
const int HALF2_STRIDE = CHUNK + 4;

// As conv_mma.cu's. Blocks of 16 BN / OUTS threads, OUTS outputs each. Shared: 2 * (36 * (1 + 128 + 2 halo) rounded up to 8 numbers + 64 * BN) bytes.
template <int BN, int OUTS>
DEVICE void conv_tile(void *y, const void *base, const void *x, const float *saved, const float *mask, const f16 *w, float *moments,
                      int cells, int len, int ky, int kx, int c_in, int c_out, int k_pad, int n_pad, int act, int kinds) {
    const int THREADS = CELL_GROUPS * BN / OUTS, W_STAGE = CHUNK * BN, PIECES = CHUNK * BN / 8 / THREADS;
    DYNAMIC_SHARED(f16, shared);
    int group = threadIdx.x % CELL_GROUPS, n_at = threadIdx.x / CELL_GROUPS * OUTS;
    int taps = ky * kx, halo = ky / 2 * len + kx / 2, rows = TILE_CELLS + 2 * halo;
    int m0 = blockIdx.x * TILE_CELLS, n0 = blockIdx.y * BN, n_steps = k_pad / CHUNK * taps;
    f16 *zeros = shared, *patch = zeros + HALF2_STRIDE, *ring = shared + ((rows + 1) * HALF2_STRIDE + 7) / 8 * 8;
    if (threadIdx.x < HALF2_STRIDE / 2) ((unsigned *)zeros)[threadIdx.x] = 0;

    uint4 next[PIECES];
    auto fetch_weights = [&](int step) {
        const f16 *from = w + ((size_t)(step % taps) * k_pad + step / taps * CHUNK) * n_pad + n0;
#pragma unroll
        for (int i = 0; i < PIECES; i++) {
            int piece = threadIdx.x + i * THREADS;
            next[i] = *(const uint4 *)(from + (size_t)(piece / (BN / 8)) * n_pad + piece % (BN / 8) * 8);
        }
    };
    auto put_weights = [&](int step) {
        uint4 *to = (uint4 *)(ring + step % 2 * W_STAGE);
#pragma unroll
        for (int i = 0; i < PIECES; i++) to[threadIdx.x + i * THREADS] = next[i];
    };

    unsigned bits[CELLS];
#pragma unroll
    for (int i = 0; i < CELLS; i++) bits[i] = tap_bits(m0 + group + CELL_GROUPS * i, cells, len, ky, kx);
    float sums[CELLS][OUTS] = {};
    fetch_weights(0);
    put_weights(0);
    for (int step = 0, tap = 0; step < n_steps; step++, tap = tap + 1 == taps ? 0 : tap + 1) {
        if (tap == 0) {
            __syncthreads();
            load_patch<THREADS, HALF2_STRIDE>(patch, rows, [&](int row) { return m0 - halo + row; }, x, kinds & X_HALF, saved, mask,
                                              cells, c_in, step / taps * CHUNK, act);
        }
        __syncthreads();
        if (step + 1 < n_steps) fetch_weights(step + 1);
        const f16 *a_row = patch + (halo + group + (tap / kx - ky / 2) * len + tap % kx - kx / 2) * HALF2_STRIDE;
        const f16 *a_at[CELLS];
#pragma unroll
        for (int i = 0; i < CELLS; i++) a_at[i] = bits[i] >> tap & 1 ? a_row + CELL_GROUPS * i * HALF2_STRIDE : zeros;
        const f16 *b_at = ring + step % 2 * W_STAGE + n_at;
        unsigned pairs[CELLS][OUTS / 2] = {};
#pragma unroll 2
        for (int k = 0; k < CHUNK; k += 4) {
            uint2 a[CELLS];
#pragma unroll
            for (int i = 0; i < CELLS; i++) a[i] = *(const uint2 *)(a_at[i] + k);
#pragma unroll
            for (int h = 0; h < 4; h++) {
                uint2 b[OUTS / 4];
#pragma unroll
                for (int j = 0; j < OUTS / 4; j++) b[j] = *(const uint2 *)(b_at + (k + h) * BN + 4 * j);
#pragma unroll
                for (int i = 0; i < CELLS; i++) {
                    unsigned two = h < 2 ? a[i].x : a[i].y, v = h % 2 ? high_twice(two) : low_twice(two);
#pragma unroll
                    for (int j = 0; j < OUTS / 4; j++) {
                        pairs[i][2 * j] = fma2(v, b[j].x, pairs[i][2 * j]);
                        pairs[i][2 * j + 1] = fma2(v, b[j].y, pairs[i][2 * j + 1]);
                    }
                }
            }
        }
#pragma unroll
        for (int i = 0; i < CELLS; i++)
#pragma unroll
            for (int j = 0; j < OUTS / 2; j++) {
                float2 v = unpair(f16(), pairs[i][j]);
                sums[i][2 * j] += v.x, sums[i][2 * j + 1] += v.y;
            }
        // the other stage was left by all before the barrier above
        if (step + 1 < n_steps) put_weights(step + 1);
    }

    bool half = kinds & Y_HALF;
    int n = n0 + n_at;
    float points = 0.0f;
#pragma unroll
    for (int i = 0; i < CELLS; i++) {
        int cell = m0 + group + CELL_GROUPS * i;
        float on = moments && cell < cells && mask[cell] != 0.0f ? 1.0f : 0.0f;
        points += on;
#pragma unroll
        for (int j = 0; j < OUTS; j += 2) {
            float2 v = make_float2(sums[i][j], sums[i][j + 1]);
            size_t at = (size_t)cell * c_out + n + j;
            if (cell < cells && c_out % 2 == 0 && n + j < c_out) {
                if (base) {
                    float2 b = load2<f16>(base, half, at);
                    v.x += b.x, v.y += b.y;
                }
                store2<f16>(y, kinds, at, v);
            } else if (cell < cells) {
                if (base && n + j < c_out) v.x += load1<f16>(base, half, at);
                if (base && n + j + 1 < c_out) v.y += load1<f16>(base, half, at + 1);
                if (n + j < c_out) store1<f16>(y, kinds, at, v.x);
                if (n + j + 1 < c_out) store1<f16>(y, kinds, at + 1, v.y);
            }
            sums[i][j] = on * v.x, sums[i][j + 1] = on * v.y;
        }
    }
    if (!moments) return;
    // all cells of eight outputs are with sixteen neighbouring lanes
#pragma unroll
    for (int d = 1; d < CELL_GROUPS; d *= 2) points += __shfl_xor_sync(~0u, points, d);
    float *to = moments + (size_t)blockIdx.x * (2 * c_out + 1);
#pragma unroll
    for (int j = 0; j < OUTS; j++) {
        float sum = 0.0f, square = 0.0f;
#pragma unroll
        for (int i = 0; i < CELLS; i++) sum += sums[i][j], square += sums[i][j] * sums[i][j];
#pragma unroll
        for (int d = 1; d < CELL_GROUPS; d *= 2) {
            sum += __shfl_xor_sync(~0u, sum, d);
            square += __shfl_xor_sync(~0u, square, d);
        }
        float mean = points > 0.0f ? sum / points : 0.0f;
        if (group == j && n + j < c_out) to[n + j] = mean, to[c_out + n + j] = fmaxf(square - sum * mean, 0.0f);
    }
    if (n == 0 && group == 0) to[2 * c_out] = points;
}

#define CONV(BN, OUTS, BLOCKS)                                                                                              \
    extern "C" __global__ void __launch_bounds__(CELL_GROUPS * BN / OUTS, BLOCKS) conv_half2_f16_##BN(                      \
        void *y, const void *base, const void *x, const float *saved, const float *mask, const f16 *w, float *moments, int cells, \
        int len, int ky, int kx, int c_in, int c_out, int k_pad, int n_pad, int act, int kinds) {                           \
        conv_tile<BN, OUTS>(y, base, x, saved, mask, w, moments, cells, len, ky, kx, c_in, c_out, k_pad, n_pad, act, kinds); \
    }                                                                                                                       \
    KERNEL(conv_half2_f16_##BN)
CONV(32, 8, 3)
CONV(64, 8, 3)
CONV(96, 12, 2)

extern "C" __global__ void prepare_conv_f16(f16 *to, const float *w, int taps, int c_in, int c_out, int k_pad, int n_pad, int turned) {
    prepare_weights(to, w, taps, c_in, c_out, k_pad, n_pad, turned);
}
KERNEL(prepare_conv_f16)

#endif // HAS_HALF2
