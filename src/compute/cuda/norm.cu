// Batch norm over the points on the board, and the way back through norm and activation. Blocks that reduce: 32 channels by ROWS
// cells (view.cuh); grid: groups of channels, splits of the cells. Kinds say how tensors lie in memory.

// partials [splits, 2c + 1]: mean and squared deviations of each channel over a split's points, and their number. The numbers are
// taken from that of the split's first cell, so that a mean far from 0 costs no bits.
extern "C" __global__ void norm_moments(float *partials, const void *x, const float *mask, int cells, int c, int kind) {
    __shared__ float shared[ROWS / 4][32];
    int channel = blockIdx.x * 32 + 4 * threadIdx.x, share = (cells + (int)gridDim.y - 1) / (int)gridDim.y;
    int first = (int)blockIdx.y * share, end = min(first + share, cells);
    bool shifted = first < end && mask[first] != 0.0f;
    Quad from = {}, sum = {}, square = {}, points = {};
    if (shifted) from = quad_at(x, kind, first, c, channel);
#pragma unroll 4
    for (int cell = first + threadIdx.y; cell < end; cell += ROWS) {
        float on = mask[cell] != 0.0f ? 1.0f : 0.0f;
        Quad v = quad_at(x, kind, cell, c, channel);
        points.v[0] += on;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            // what is off the board may be no number
            float d = on != 0.0f ? v.v[i] - from.v[i] : 0.0f;
            sum.v[i] += d;
            square.v[i] += d * d;
        }
    }
    points.v[1] = points.v[2] = points.v[3] = points.v[0];
    float s = sum_rows(sum, shared), q = sum_rows(square, shared), n = sum_rows(points, shared);
    int own = blockIdx.x * 32 + thread_of_block();
    if (thread_of_block() >= 32 || own >= c) return;
    float *to = partials + (size_t)blockIdx.y * (2 * c + 1), mean = n > 0.0f ? s / n : 0.0f;
    to[own] = mean + (shifted ? number_at(x, kind, (size_t)first * c + own) : 0.0f);
    to[c + own] = fmaxf(q - s * mean, 0.0f);
    if (own == 0) to[2 * c] = n;
}
KERNEL(norm_moments)

DEVICE void norm_save(float *saved, float mean, float variance, const float *gamma, const float *beta, int c, int channel,
                      float epsilon) {
    float inv_std = 1.0f / sqrtf(variance + epsilon), scale = (gamma ? gamma[channel] : 1.0f) * inv_std;
    saved[channel] = mean;
    saved[c + channel] = inv_std;
    saved[2 * c + channel] = scale;
    saved[3 * c + channel] = (beta ? beta[channel] : 0.0f) - scale * mean;
}

// Merges moments into saved [4, c], and lets running [2, c] follow by *momentum. Grid: groups of channels.
extern "C" __global__ void norm_finish(float *saved, float *running, const float *partials, const float *gamma, const float *beta,
                                       const float *momentum, int splits, int c, float epsilon) {
    __shared__ double shared[ROWS / 4][32];
    int channel = blockIdx.x * 32 + thread_of_block() % 32, warp = thread_of_block() / 32;
    double n = 0.0, sum = 0.0, m2 = 0.0;
    if (channel < c)
#pragma unroll 4
        for (int split = warp; split < splits; split += ROWS / 4) {
            const float *p = partials + (size_t)split * (2 * c + 1);
            n += p[2 * c];
            sum += (double)p[2 * c] * p[channel];
        }
    n = sum_warps(n, shared);
    double mean = sum_warps(sum, shared) / (n > 0.0 ? n : 1.0);
    if (channel < c)
#pragma unroll 4
        for (int split = warp; split < splits; split += ROWS / 4) {
            const float *p = partials + (size_t)split * (2 * c + 1);
            double d = p[channel] - mean;
            m2 += p[c + channel] + p[2 * c] * (d * d);
        }
    m2 = sum_warps(m2, shared);
    if (channel >= c || warp != 0) return;
    float variance = (float)(m2 / (n > 1.0 ? n : 1.0)), unbiased = n > 1.0 ? (float)(n / (n - 1.0)) : 1.0f;
    running[channel] += *momentum * ((float)mean - running[channel]);
    running[c + channel] += *momentum * (variance * unbiased - running[c + channel]);
    norm_save(saved, (float)mean, variance, gamma, beta, c, channel, epsilon);
}
KERNEL(norm_finish)

// saved [4, c] from running [2, c].
extern "C" __global__ void norm_running(float *saved, const float *running, const float *gamma, const float *beta, int c,
                                        float epsilon) {
    int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel < c) norm_save(saved, running[channel], running[c + channel], gamma, beta, c, channel, epsilon);
}
KERNEL(norm_running)

// What a thread knows of its four channels' norm.
struct NormQuads {
    Quad mean, inv_std, scale, shift;
};
DEVICE NormQuads norm_quads(const float *saved, int c, int channel) {
    return {quad_at(saved, KIND_F32, 0, c, channel), quad_at(saved, KIND_F32, 1, c, channel), quad_at(saved, KIND_F32, 2, c, channel),
            quad_at(saved, KIND_F32, 3, c, channel)};
}

// With z = x * scale + shift, dz = dy act'(z) on the board; h = (x - mean) / std. partials [splits, 2c]: sums of dz and of dz h.
extern "C" __global__ void norm_grad_sums(float *partials, const void *dy, const void *x, const float *saved, const float *mask,
                                          int cells, int c, int act, int dy_kind, int x_kind) {
    __shared__ float shared[ROWS / 4][32];
    int channel = blockIdx.x * 32 + 4 * threadIdx.x, share = (cells + (int)gridDim.y - 1) / (int)gridDim.y;
    int first = (int)blockIdx.y * share, end = min(first + share, cells);
    NormQuads norm = norm_quads(saved, c, channel);
    Quad dbias = {}, dscale = {};
#pragma unroll 2
    for (int cell = first + threadIdx.y; cell < end; cell += ROWS) {
        if (mask[cell] == 0.0f) continue;
        Quad d = quad_at(dy, dy_kind, cell, c, channel), v = quad_at(x, x_kind, cell, c, channel);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float dz = d.v[i] * act_slope(act, v.v[i] * norm.scale.v[i] + norm.shift.v[i]);
            dbias.v[i] += dz;
            dscale.v[i] += dz * (v.v[i] - norm.mean.v[i]) * norm.inv_std.v[i];
        }
    }
    float bias = sum_rows(dbias, shared), scale = sum_rows(dscale, shared);
    int own = blockIdx.x * 32 + thread_of_block();
    if (thread_of_block() >= 32 || own >= c) return;
    partials[(size_t)blockIdx.y * 2 * c + own] = bias;
    partials[(size_t)blockIdx.y * 2 * c + c + own] = scale;
}
KERNEL(norm_grad_sums)

// totals [2c]: the sums over the splits divided by the number of points; the sums are added to dbias and dscale where given.
extern "C" __global__ void norm_grad_totals(float *totals, float *dbias, float *dscale, const float *partials, const float *counts,
                                            int splits, int n, int c) {
    __shared__ double shared[ROWS / 4][32];
    int channel = blockIdx.x * 32 + thread_of_block() % 32, warp = thread_of_block() / 32;
    double bias = 0.0, scale = 0.0, points = 0.0;
    for (int split = warp; split < splits && channel < c; split += ROWS / 4) {
        bias += partials[(size_t)split * 2 * c + channel];
        scale += partials[(size_t)split * 2 * c + c + channel];
    }
    for (int i = warp; i < n; i += ROWS / 4) points += counts[i];
    bias = sum_warps(bias, shared), scale = sum_warps(scale, shared), points = sum_warps(points, shared);
    if (channel >= c || warp != 0) return;
    if (dbias) dbias[channel] += (float)bias;
    if (dscale) dscale[channel] += (float)scale;
    float share = points > 0.0 ? (float)(1.0 / points) : 0.0f;
    totals[channel] = (float)bias * share;
    totals[c + channel] = (float)scale * share;
}
KERNEL(norm_grad_totals)

// dx = scale (dz - dbias / N - h dscale / N) with dz as above: added to dx where given, else in the place of dy; 0 off the board.
// Grid: groups of channels, splits of the cells.
extern "C" __global__ void norm_grad_apply(void *dy, void *dx, const float *totals, const void *x, const float *saved,
                                           const float *mask, int cells, int c, int act, int dy_kind, int x_kind, int dx_kind) {
    int channel = blockIdx.x * 32 + 4 * threadIdx.x, share = (cells + (int)gridDim.y - 1) / (int)gridDim.y;
    int first = (int)blockIdx.y * share, end = min(first + share, cells);
    NormQuads norm = norm_quads(saved, c, channel);
    Quad bias = quad_at(totals, KIND_F32, 0, c, channel), scale = quad_at(totals, KIND_F32, 1, c, channel);
#pragma unroll 2
    for (int cell = first + threadIdx.y; cell < end; cell += ROWS) {
        bool on = mask[cell] != 0.0f;
        if (dx && !on) continue;
        Quad r = {};
        if (on) {
            Quad d = quad_at(dy, dy_kind, cell, c, channel), v = quad_at(x, x_kind, cell, c, channel);
            if (dx) r = quad_at(dx, dx_kind, cell, c, channel);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float dz = d.v[i] * act_slope(act, v.v[i] * norm.scale.v[i] + norm.shift.v[i]);
                float h = (v.v[i] - norm.mean.v[i]) * norm.inv_std.v[i];
                r.v[i] += norm.scale.v[i] * (dz - bias.v[i] - h * scale.v[i]);
            }
        }
        put_quad(dx ? dx : dy, dx ? dx_kind : dy_kind, cell, c, channel, r);
    }
}
KERNEL(norm_grad_apply)
