// Batch norm over the points on the board, and the way back through norm and activation. Blocks: 32 channels by ROWS threads;
// grid: groups of channels, splits of the cells.

// partials [splits, 2c + 1]: mean and squared deviations of each channel over a split's points, and their number.
extern "C" __global__ void norm_moments(float *partials, const float *x, const float *mask, int cells, int c) {
    __shared__ float shared[ROWS][32], means[32], counts[ROWS];
    int channel = blockIdx.x * 32 + threadIdx.x, share = (cells + (int)gridDim.y - 1) / (int)gridDim.y;
    int first = (int)blockIdx.y * share, end = min(first + share, cells);
    float sum = 0.0f, count = 0.0f;
    for (int cell = first + threadIdx.y; cell < end; cell += ROWS)
        if (mask[cell] != 0.0f) {
            count += 1.0f;
            if (channel < c) sum += x[(size_t)cell * c + channel];
        }
    if (threadIdx.x == 0) counts[threadIdx.y] = count;
    sum = sum_rows(sum, shared);
    float total = 0.0f;
    for (int row = 0; row < ROWS; row++) total += counts[row];
    if (threadIdx.y == 0) means[threadIdx.x] = total > 0.0f ? sum / total : 0.0f;
    __syncthreads();
    float mean = means[threadIdx.x], squares = 0.0f;
    if (channel < c)
        for (int cell = first + threadIdx.y; cell < end; cell += ROWS)
            if (mask[cell] != 0.0f) {
                float d = x[(size_t)cell * c + channel] - mean;
                squares += d * d;
            }
    squares = sum_rows(squares, shared);
    float *to = partials + (size_t)blockIdx.y * (2 * c + 1);
    if (threadIdx.y == 0 && channel < c) to[channel] = mean, to[c + channel] = squares;
    if (threadIdx.y == 0 && channel == 0) to[2 * c] = total;
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

// Merges the moments in order (Chan et al. 1979) into saved [4, c], and lets running [2, c] follow by *momentum.
extern "C" __global__ void norm_finish(float *saved, float *running, const float *partials, const float *gamma, const float *beta,
                                       const float *momentum, int splits, int c, float epsilon) {
    int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= c) return;
    double n = 0.0, mean = 0.0, m2 = 0.0;
    for (int split = 0; split < splits; split++) {
        const float *p = partials + (size_t)split * (2 * c + 1);
        double k = p[2 * c];
        if (k == 0.0) continue;
        double delta = p[channel] - mean;
        m2 += p[c + channel] + delta * delta * n * k / (n + k);
        mean += delta * k / (n + k);
        n += k;
    }
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

// With z = x * scale + shift, dz = dy act'(z) in the place of dy, 0 off the board; h = (x - mean) / std.
// partials [splits, 2c]: sums of dz and of dz h.
extern "C" __global__ void norm_grad_sums(float *partials, float *dy, const float *x, const float *saved, const float *mask,
                                          int cells, int c, int act) {
    __shared__ float shared[ROWS][32];
    int channel = blockIdx.x * 32 + threadIdx.x, share = (cells + (int)gridDim.y - 1) / (int)gridDim.y;
    int first = (int)blockIdx.y * share, end = min(first + share, cells);
    float dbias = 0.0f, dscale = 0.0f;
    if (channel < c) {
        float mean = saved[channel], inv_std = saved[c + channel], scale = saved[2 * c + channel], shift = saved[3 * c + channel];
        for (int cell = first + threadIdx.y; cell < end; cell += ROWS) {
            size_t at = (size_t)cell * c + channel;
            float dz = mask[cell] != 0.0f ? dy[at] * act_slope(act, x[at] * scale + shift) : 0.0f;
            dy[at] = dz;
            if (mask[cell] != 0.0f) {
                dbias += dz;
                dscale += dz * (x[at] - mean) * inv_std;
            }
        }
    }
    dbias = sum_rows(dbias, shared);
    dscale = sum_rows(dscale, shared);
    if (threadIdx.y == 0 && channel < c) {
        partials[(size_t)blockIdx.y * 2 * c + channel] = dbias;
        partials[(size_t)blockIdx.y * 2 * c + c + channel] = dscale;
    }
}
KERNEL(norm_grad_sums)

// totals [2c]: the sums over the splits divided by the number of points; the sums are added to dbias and dscale where given.
extern "C" __global__ void norm_grad_totals(float *totals, float *dbias, float *dscale, const float *partials, const float *counts,
                                            int splits, int n, int c) {
    int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= c) return;
    double bias = 0.0, scale = 0.0, points = 0.0;
    for (int split = 0; split < splits; split++) {
        bias += partials[(size_t)split * 2 * c + channel];
        scale += partials[(size_t)split * 2 * c + c + channel];
    }
    for (int i = 0; i < n; i++) points += counts[i];
    if (dbias) dbias[channel] += (float)bias;
    if (dscale) dscale[channel] += (float)scale;
    float share = points > 0.0 ? (float)(1.0 / points) : 0.0f;
    totals[channel] = (float)bias * share;
    totals[c + channel] = (float)scale * share;
}
KERNEL(norm_grad_totals)

// dx = scale (dz - dbias / N - h dscale / N): added to dx where given, else in the place of dz; 0 off the board.
extern "C" __global__ void norm_grad_apply(float *dz, float *dx, const float *totals, const float *x, const float *saved,
                                           const float *mask, int cells, int c) {
    size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= (size_t)cells * c) return;
    int channel = (int)(at % c);
    if (mask[at / c] == 0.0f) return;
    float h = (x[at] - saved[channel]) * saved[c + channel];
    float d = saved[2 * c + channel] * (dz[at] - totals[channel] - h * totals[c + channel]);
    if (dx)
        dx[at] += d;
    else
        dz[at] = d;
}
KERNEL(norm_grad_apply)
