// Weight gradients on the tensor cores of sm_70 and sm_72 (Xavier): as wgrad_mma.cu, over boards with a border as conv_wmma.cu has
// them. What dy is on the border is 0, so the products there add nothing.
#if HAS_WMMA && !HAS_MMA

// Rows before and behind a tile at the most: 19x19 with its border.
template <int TAPS>
struct HaloMax {
    static const int V = TAPS == 9 ? 21 : TAPS == 25 ? 44 : 0;
};

// partials [splits, taps, c_in, c_out]. Grid: chunks of 32 inputs, tiles of BN outputs times groups of taps, splits.
// Shared: 2 * (48 * (64 + 2 halo) + 64 * (BN + 16)) bytes, at least 1536 a warp; for 1x1 at least 6144 + 128 * BN.
template <int TAPS, int BN>
DEVICE void grad_tile(float *partials, const void *x, const float *saved, const float *mask, const void *dy, int cells, int len, int ky,
                      int kx, int c_in, int c_out, int act, int kinds) {
    typedef GradShape<TAPS> S;
    const int D_STRIDE = BN + 16;
    DYNAMIC_SHARED(f16, patch);
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    Bordered all = bordered(cells, len, ky, kx);
    int halo = ky / 2 * all.pitch + kx / 2, rows = GRAD_CELLS + 2 * halo;
    int c0 = blockIdx.x * CHUNK, n0 = (int)blockIdx.y / S::GROUPS * BN;
    int tap = TAPS == 1 ? 0 : (int)blockIdx.y % S::GROUPS * S::TAPS_AT_ONCE + warp;
    f16 *d_tile = patch + rows * WMMA_STRIDE;
    int n_tiles = (all.positions + GRAD_CELLS - 1) / GRAD_CELLS, share = (n_tiles + (int)gridDim.z - 1) / (int)gridDim.z;
    int first = (int)blockIdx.z * share, end = min(first + share, n_tiles);

    GradStage<f16, S::THREADS, GRAD_CELLS + 2 * HaloMax<TAPS>::V, BN> stage;
    stage.norm = norm4(saved, c_in, c0 + 4 * (threadIdx.x % 8), act);
    stage.x_half = kinds & X_HALF, stage.dy_half = kinds & DY_HALF;
    auto fetch = [&](int tile) {
        stage.fetch([&](int row) { return all.cell_of(tile * GRAD_CELLS + row); }, rows, halo, x, mask, dy, cells, c_in, c0, c_out, n0);
    };

    const f16 *a_at = patch + (halo + (tap / kx - ky / 2) * all.pitch + tap % kx - kx / 2) * WMMA_STRIDE;
    WmmaD sums[2][BN / 16] = {};
    if (first < end) fetch(first);
    for (int tile = first; tile < end; tile++) {
        __syncthreads();
        stage.template put<WMMA_STRIDE, D_STRIDE>(patch, rows, d_tile);
        __syncthreads();
        if (tile + 1 < end) fetch(tile + 1);
#pragma unroll
        for (int k = 0; k < GRAD_CELLS; k += 16) {
            if (TAPS == 1 && k / 16 != warp) continue;
            WmmaA a[2];
            wmma_load_a<Major::Column>(a[0], a_at + k * WMMA_STRIDE, WMMA_STRIDE);
            wmma_load_a<Major::Column>(a[1], a_at + k * WMMA_STRIDE + 16, WMMA_STRIDE);
#pragma unroll
            for (int j = 0; j < BN / 16; j++) {
                WmmaB b;
                wmma_load_b<Major::Row>(b, d_tile + k * D_STRIDE + 16 * j, D_STRIDE);
#pragma unroll
                for (int i = 0; i < 2; i++) wmma_mma<Major::Column, Major::Row>(sums[i][j], a[i], b);
            }
        }
    }

    // squares of 16 through shared memory; for 1x1 the warps add theirs one after the other
    const int SQUARE_STRIDE = 24;
    float *square = (float *)patch + warp * 16 * SQUARE_STRIDE, *gathered = (float *)patch + S::WARPS * 16 * SQUARE_STRIDE;
    float *to = partials + ((size_t)blockIdx.z * TAPS + tap) * c_in * c_out;
    for (int turn = 0; turn < (TAPS == 1 ? S::WARPS : 1); turn++) {
        __syncthreads();
        if (TAPS == 1 && warp != turn) continue;
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < BN / 16; j++) {
                wmma_store(square, sums[i][j], SQUARE_STRIDE);
                __syncwarp();
                for (int at = lane; at < 256; at += 32) {
                    int c = 16 * i + at / 16, n = 16 * j + at % 16;
                    float v = square[at / 16 * SQUARE_STRIDE + at % 16];
                    if (TAPS == 1 && turn > 0) v += gathered[c * BN + n];
                    if (TAPS == 1 && turn + 1 < S::WARPS)
                        gathered[c * BN + n] = v;
                    else if (c0 + c < c_in && n0 + n < c_out)
                        to[(size_t)(c0 + c) * c_out + n0 + n] = v;
                }
                __syncwarp();
            }
    }
}

#define GRAD(TAPS, BN)                                                                                                      \
    extern "C" __global__ void __launch_bounds__(GradShape<TAPS>::THREADS, TAPS == 9 ? 1 : 2) conv_grad_wmma_f16_##TAPS##_##BN( \
        float *partials, const void *x, const float *saved, const float *mask, const void *dy, int cells, int len, int ky, int kx, \
        int c_in, int c_out, int act, int kinds) {                                                                          \
        grad_tile<TAPS, BN>(partials, x, saved, mask, dy, cells, len, ky, kx, c_in, c_out, act, kinds);                     \
    }                                                                                                                       \
    KERNEL(conv_grad_wmma_f16_##TAPS##_##BN)
GRAD(1, 32) GRAD(1, 48) GRAD(9, 32) GRAD(9, 48) GRAD(25, 32)

#endif // HAS_WMMA && !HAS_MMA
