// What a GPU can do at most: products that never leave the registers. Results are stored where nobody reads them, so that the
// compiler keeps them.

const int CHAINS = 8;

// 2 * CHAINS operations a thread and round.
extern "C" __global__ void ceiling_f32(float *out, int rounds, float a, float b) {
    float sums[CHAINS];
#pragma unroll
    for (int i = 0; i < CHAINS; i++) sums[i] = b + (float)i;
    for (int round = 0; round < rounds; round++) {
#pragma unroll
        for (int i = 0; i < CHAINS; i++) sums[i] = sums[i] * a + b;
    }
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < CHAINS; i++) sum += sums[i];
    if (sum == 12345.0f) out[threadIdx.x] = sum;
}
KERNEL(ceiling_f32)

// 4096 * CHAINS operations a warp and round where there are tensor cores (sm_80: m16n8k16, sm_70: two of those), else 128 * CHAINS.
extern "C" __global__ void ceiling_f16(float *out, int rounds, float a, float b) {
    float sum = 0.0f;
#if HAS_MMA
    float sums[CHAINS][4] = {};
    unsigned ones = pair(f16(), a, b), as[4] = {ones, ones, ones, ones};
    for (int round = 0; round < rounds; round++) {
#pragma unroll
        for (int i = 0; i < CHAINS; i++) mma_m16n8k16(f16(), sums[i], as, ones, ones);
    }
#pragma unroll
    for (int i = 0; i < CHAINS; i++) sum += sums[i][0];
#elif HAS_WMMA
    WmmaA as;
    WmmaB bs;
    WmmaD sums[CHAINS / 2] = {};
    for (int i = 0; i < 8; i++) as.r[i] = bs.r[i] = pair(f16(), a, b);
    for (int round = 0; round < rounds; round++) {
#pragma unroll
        for (int i = 0; i < CHAINS / 2; i++) wmma_mma<Major::Row, Major::Row>(sums[i], as, bs);
    }
#pragma unroll
    for (int i = 0; i < CHAINS / 2; i++) sum += sums[i].r[0];
#else
    unsigned sums[CHAINS], as = pair(f16(), a, a), bs = pair(f16(), b, b);
#pragma unroll
    for (int i = 0; i < CHAINS; i++) sums[i] = bs;
    for (int round = 0; round < rounds; round++) {
#pragma unroll
        for (int i = 0; i < CHAINS; i++) sums[i] = fma2(sums[i], as, bs);
    }
#pragma unroll
    for (int i = 0; i < CHAINS; i++) sum += unpair(f16(), sums[i]).x;
#endif
    if (sum == 12345.0f) out[threadIdx.x] = sum;
}
KERNEL(ceiling_f16)
