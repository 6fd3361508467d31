// Convolutions on the tensor cores of sm_70 and sm_72 (Xavier): as conv_mma.cu, with what those chips have.
//
// Fragments are loaded whole, with a fixed distance between rows, so a row cannot be sent elsewhere. Tiles run over boards with a
// border instead, of kx / 2 columns and ky / 2 rows of zeros that neighbouring rows and boards share: 20x20 positions for 3x3 on
// 19x19, a tenth of the products in vain. Rows are 96 bytes apart, as fragments must begin at 32 bytes. There are no asynchronous
// copies: the next stage of weights waits in registers while the products run.
#if HAS_WMMA && !HAS_MMA

const int TILE_CELLS = 128, WMMA_THREADS = 128;

// As conv_mma.cu's. Grid: tiles of 128 positions, tiles of BN outputs. Shared: 4 * rows + 2 * (48 * rows + 64 * (BN + 16)) bytes with
// rows = 128 + 2 halo rounded up to 8, halo = ky / 2 * (len + kx / 2) + kx / 2; at least 128 * (BN + 16) + 4 * rows.
template <int BN>
DEVICE void conv_tile(void *y, const void *base, const void *x, const float *saved, const float *mask, const f16 *w, float *moments, int cells,
                      int len, int ky, int kx, int c_in, int c_out, int k_pad, int n_pad, int act, int kinds) {
    const int W_STRIDE = BN + 16, W_STAGE = CHUNK * W_STRIDE, PIECES = BN / 32;
    DYNAMIC_SHARED(int, cell_of);
    int lane = threadIdx.x % 32, warp_m = threadIdx.x / 32 % 2, warp_n = threadIdx.x / 64;
    Bordered all = bordered(cells, len, ky, kx);
    int taps = ky * kx, halo = ky / 2 * all.pitch + kx / 2, rows = (TILE_CELLS + 2 * halo + 7) / 8 * 8;
    int m0 = blockIdx.x * TILE_CELLS, n0 = blockIdx.y * BN, n_steps = k_pad / CHUNK * taps;
    f16 *patch = (f16 *)(cell_of + rows), *ring = patch + rows * WMMA_STRIDE;
    for (int row = threadIdx.x; row < rows; row += WMMA_THREADS) cell_of[row] = all.cell_of(m0 - halo + row);

    uint4 next[PIECES];
    auto fetch_weights = [&](int step) {
        const f16 *from = w + ((size_t)(step % taps) * k_pad + step / taps * CHUNK) * n_pad + n0;
#pragma unroll
        for (int i = 0; i < PIECES; i++) {
            int piece = threadIdx.x + i * WMMA_THREADS;
            next[i] = *(const uint4 *)(from + (size_t)(piece / (BN / 8)) * n_pad + piece % (BN / 8) * 8);
        }
    };
    auto put_weights = [&](int step) {
        f16 *to = ring + step % 2 * W_STAGE;
#pragma unroll
        for (int i = 0; i < PIECES; i++) {
            int piece = threadIdx.x + i * WMMA_THREADS;
            *(uint4 *)(to + piece / (BN / 8) * W_STRIDE + piece % (BN / 8) * 8) = next[i];
        }
    };

    WmmaD sums[4][BN / 32] = {};
    fetch_weights(0);
    put_weights(0);
    for (int step = 0, tap = 0; step < n_steps; step++, tap = tap + 1 == taps ? 0 : tap + 1) {
        if (tap == 0) {
            __syncthreads();
            load_patch<WMMA_THREADS, WMMA_STRIDE>(patch, rows, [&](int row) { return cell_of[row]; }, x, kinds & X_HALF, saved, mask, cells, c_in,
                                                  step / taps * CHUNK, act);
        }
        __syncthreads();
        if (step + 1 < n_steps) fetch_weights(step + 1);
        int distance = (tap / kx - ky / 2) * all.pitch + tap % kx - kx / 2;
        const f16 *a_at = patch + (halo + warp_m * 64 + distance) * WMMA_STRIDE;
        const f16 *b_at = ring + step % 2 * W_STAGE + warp_n * (BN / 2);
#pragma unroll
        for (int k = 0; k < CHUNK; k += 16) {
            WmmaB b[BN / 32];
#pragma unroll
            for (int j = 0; j < BN / 32; j++) wmma_load_b<Major::Row>(b[j], b_at + k * W_STRIDE + 16 * j, W_STRIDE);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                WmmaA a;
                wmma_load_a<Major::Row>(a, a_at + 16 * i * WMMA_STRIDE + k, WMMA_STRIDE);
#pragma unroll
                for (int j = 0; j < BN / 32; j++) wmma_mma<Major::Row, Major::Row>(sums[i][j], a, b[j]);
            }
        }
        // the other stage was left by all before the barrier above
        if (step + 1 < n_steps) put_weights(step + 1);
    }

    // sixteen rows of a warp at a time through shared memory, then whole rows of y; a lane has one column in 32
    const int STRIP = BN / 2 + 8, COLUMNS = (BN / 2 + 31) / 32;
    float *strip = (float *)(cell_of + rows) + threadIdx.x / 32 * 16 * STRIP;
    bool half = kinds & Y_HALF;
    float sum[COLUMNS] = {}, square[COLUMNS] = {}, points = 0.0f;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < BN / 32; j++) wmma_store(strip + 16 * j, sums[i][j], STRIP);
        __syncwarp();
        for (int r = 0; r < 16; r++) {
            int cell = cell_of[halo + warp_m * 64 + 16 * i + r];
            if (cell < 0) continue;
            float on = moments && mask[cell] != 0.0f ? 1.0f : 0.0f;
            points += on;
#pragma unroll
            for (int h = 0; h < COLUMNS; h++) {
                int column = lane + 32 * h, n = n0 + warp_n * (BN / 2) + column;
                if (column >= BN / 2 || n >= c_out) continue;
                size_t at = (size_t)cell * c_out + n;
                float v = strip[r * STRIP + column] + (base ? load1<f16>(base, half, at) : 0.0f);
                store1<f16>(y, kinds, at, v);
                sum[h] += on * v;
                square[h] += on * v * v;
            }
        }
        __syncwarp();
    }
    if (!moments) return;
    float *shared = (float *)cell_of;
    __syncthreads();
#pragma unroll
    for (int h = 0; h < COLUMNS; h++) {
        int column = lane + 32 * h;
        float *to = shared + (warp_m * BN + warp_n * (BN / 2) + column) * 2;
        if (column < BN / 2) to[0] = sum[h], to[1] = square[h];
    }
    if (lane == 0 && warp_n == 0) shared[4 * BN + warp_m] = points;
    __syncthreads();
    write_moments<BN>(moments, shared, n0, c_out);
}

#define CONV(BN)                                                                                                            \
    extern "C" __global__ void __launch_bounds__(WMMA_THREADS, BN <= 64 ? 3 : 2) conv_wmma_f16_##BN(                        \
        void *y, const void *base, const void *x, const float *saved, const float *mask, const f16 *w, float *moments, int cells, \
        int len, int ky, int kx, int c_in, int c_out, int k_pad, int n_pad, int act, int kinds) {                           \
        conv_tile<BN>(y, base, x, saved, mask, w, moments, cells, len, ky, kx, c_in, c_out, k_pad, n_pad, act, kinds);      \
    }                                                                                                                       \
    KERNEL(conv_wmma_f16_##BN)
CONV(32)
CONV(64)
CONV(96)
CONV(128)

extern "C" __global__ void prepare_conv_f16(f16 *to, const float *w, int taps, int c_in, int c_out, int k_pad, int n_pad, int turned) {
    prepare_weights(to, w, taps, c_in, c_out, k_pad, n_pad, turned);
}
KERNEL(prepare_conv_f16)

#endif // HAS_WMMA && !HAS_MMA
