// Weight gradients on tensor cores from sm_80 on: for each tap, x' [cells, c_in] turned times dy [cells, c_out], sums in f32.
//
// A block makes 32 inputs times BN outputs of several taps over its share of the cells, 64 at a time: the patch and dy are brought
// once for all taps, a warp has a tap of its own (5x5: five taps a block; 1x1: the warps share the cells instead). What
// comes next is loaded into registers while the products run. Both factors are read turned (ldmatrix.trans), neighbours off the
// board's array from a row of zeros. Shares write partial sums, which `add_partials` adds in order: the same bytes every time.
// Per 16 cells a warp reads 16 * (32 + BN) numbers and makes 32 BN 16 products: 2.5 KB (20 cycles) to 24 cycles for BN 48,
// 3 KB to 32 for BN 64. Nine warps may have 168 registers each: the sums of BN 96 and what is under way would not fit.
#if HAS_MMA

// Rows before and behind a tile at the most: 19x19.
template <int TAPS>
struct HaloMax {
    static const int V = TAPS == 9 ? 20 : TAPS == 25 ? 40 : 0;
};

// partials [splits, taps, c_in, c_out]. Grid: chunks of 32 inputs, tiles of BN outputs times groups of taps, splits.
// Shared: 2 * (40 * (1 + 64 + 2 halo) + 64 * (BN + 8)) + 256 bytes, at least 128 * BN for 1x1.
template <class T, int TAPS, int BN>
DEVICE void grad_tile(float *partials, const void *x, const float *saved, const float *mask, const void *dy, int cells, int len, int ky,
                      int kx, int c_in, int c_out, int act, int kinds) {
    typedef GradShape<TAPS> S;
    const int D_STRIDE = BN + 8;
    DYNAMIC_SHARED(T, shared);
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int halo = ky / 2 * len + kx / 2, rows = GRAD_CELLS + 2 * halo;
    int c0 = blockIdx.x * CHUNK, n0 = (int)blockIdx.y / S::GROUPS * BN;
    int tap = TAPS == 1 ? 0 : (int)blockIdx.y % S::GROUPS * S::TAPS_AT_ONCE + warp;
    T *zeros = shared, *patch = zeros + PATCH_STRIDE, *d_tile = patch + rows * PATCH_STRIDE;
    unsigned *bits = (unsigned *)(d_tile + GRAD_CELLS * D_STRIDE);
    if (threadIdx.x < PATCH_STRIDE / 2) ((unsigned *)zeros)[threadIdx.x] = 0;
    int n_tiles = (cells + GRAD_CELLS - 1) / GRAD_CELLS, share = (n_tiles + (int)gridDim.z - 1) / (int)gridDim.z;
    int first = (int)blockIdx.z * share, end = min(first + share, n_tiles);

    GradStage<T, S::THREADS, GRAD_CELLS + 2 * HaloMax<TAPS>::V, BN> stage;
    stage.norm = norm4(saved, c_in, c0 + 4 * (threadIdx.x % 8), act);
    stage.x_half = kinds & X_HALF, stage.dy_half = kinds & DY_HALF;
    auto fetch = [&](int tile) {
        stage.fetch([&](int row) { return tile * GRAD_CELLS + row; }, rows, halo, x, mask, dy, cells, c_in, c0, c_out, n0);
    };
    auto put = [&](int tile) {
        stage.template put<PATCH_STRIDE, D_STRIDE>(patch, rows, d_tile);
        if (threadIdx.x < GRAD_CELLS) bits[threadIdx.x] = tap_bits(tile * GRAD_CELLS + threadIdx.x, cells, len, ky, kx);
    };

    // lane l brings the address of cell l % 8 + l / 16 * 8 of 16, channels l / 8 % 2 * 8 and up
    int distance = (tap / kx - ky / 2) * len + tap % kx - kx / 2, a_cell = lane % 8 + lane / 16 * 8;
    const T *a_row = patch + (halo + distance + a_cell) * PATCH_STRIDE + lane / 8 % 2 * 8;
    const T *b_row = d_tile + lane % 16 * D_STRIDE + lane / 16 * 8;
    float sums[2][BN / 8][4] = {};
    if (first < end) fetch(first);
    for (int tile = first; tile < end; tile++) {
        __syncthreads();
        put(tile);
        __syncthreads();
        if (tile + 1 < end) fetch(tile + 1);
#pragma unroll
        for (int k = 0; k < GRAD_CELLS; k += 16) {
            if (TAPS == 1 && k / 16 != warp) continue;
            const T *a_at = bits[k + a_cell] >> tap & 1 ? a_row + k * PATCH_STRIDE : zeros;
            unsigned a[2][4];
            ldmatrix_x4_trans(a[0], a_at);
            ldmatrix_x4_trans(a[1], a_at + 16);
#pragma unroll
            for (int j = 0; j < BN / 16; j++) {
                unsigned b[4];
                ldmatrix_x4_trans(b, b_row + k * D_STRIDE + 16 * j);
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    mma_m16n8k16(T(), sums[i][2 * j], a[i], b[0], b[1]);
                    mma_m16n8k16(T(), sums[i][2 * j + 1], a[i], b[2], b[3]);
                }
            }
        }
    }

    float *gathered = (float *)shared;
    if (TAPS == 1)
        // the warps add theirs one after the other
        for (int turn = 0; turn < S::WARPS; turn++) {
            __syncthreads();
            if (warp != turn) continue;
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < BN / 8; j++)
                    for (int h = 0; h < 4; h++) {
                        float *to = gathered + (16 * i + lane / 4 + h / 2 * 8) * BN + 8 * j + 2 * (lane % 4) + h % 2;
                        *to = turn ? *to + sums[i][j][h] : sums[i][j][h];
                        if (turn + 1 == S::WARPS) sums[i][j][h] = *to;
                    }
        }
    if (TAPS == 1 && warp + 1 != S::WARPS) return;
    float *to = partials + ((size_t)blockIdx.z * TAPS + tap) * c_in * c_out;
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < BN / 8; j++)
#pragma unroll
            for (int h = 0; h < 4; h++) {
                int c = c0 + 16 * i + lane / 4 + h / 2 * 8, n = n0 + 8 * j + 2 * (lane % 4) + h % 2;
                if (c < c_in && n < c_out) to[(size_t)c * c_out + n] = sums[i][j][h];
            }
}

#define GRAD(T, TAPS, BN)                                                                                                   \
    extern "C" __global__ void __launch_bounds__(GradShape<TAPS>::THREADS, TAPS == 9 ? 1 : TAPS == 25 ? 2 : 3)              \
        conv_grad_mma_##T##_##TAPS##_##BN(float *partials, const void *x, const float *saved, const float *mask, const void *dy, \
                                          int cells, int len, int ky, int kx, int c_in, int c_out, int act, int kinds) {    \
        grad_tile<T, TAPS, BN>(partials, x, saved, mask, dy, cells, len, ky, kx, c_in, c_out, act, kinds);                  \
    }                                                                                                                       \
    KERNEL(conv_grad_mma_##T##_##TAPS##_##BN)
#define GRADS(T) GRAD(T, 1, 32) GRAD(T, 1, 48) GRAD(T, 9, 32) GRAD(T, 9, 48) GRAD(T, 25, 32)
GRADS(f16)
GRADS(bf16)

#endif // HAS_MMA
