// Poolings of points to 3c numbers a board, vectors on points, and biases of vectors.
// Blocks that reduce: 32 channels by ROWS threads; grid: boards, groups of channels.

// y [n, 3c]: mean, mean r / 10, and the maximum (value: mean (r^2 / 100 - 0.1)), r = sqrt(points) - 14.
extern "C" __global__ void pool_points(float *y, const float *x, const float *saved, const float *mask, const float *counts, int len,
                                       int c, int act, int value) {
    __shared__ float shared[ROWS][32];
    int board = blockIdx.x, channel = blockIdx.y * 32 + threadIdx.x, area = len * len;
    View v = {x, saved, mask, c, act};
    float sum = 0.0f, best = LEAST;
    if (channel < c)
        for (int p = threadIdx.y; p < area; p += ROWS) {
            size_t cell = (size_t)board * area + p;
            if (mask[cell] == 0.0f) continue;
            float at = view_at(v, cell, channel);
            sum += at;
            best = at > best ? at : best;
        }
    sum = sum_rows(sum, shared);
    shared[threadIdx.y][threadIdx.x] = best;
    __syncthreads();
    if (threadIdx.y != 0 || channel >= c) return;
    for (int row = 1; row < ROWS; row++) best = shared[row][threadIdx.x] > best ? shared[row][threadIdx.x] : best;
    float count = counts[board], mean = sum * (1.0f / (count > 1.0f ? count : 1.0f)), r = sqrtf(count) - 14.0f;
    float *to = y + (size_t)board * 3 * c + channel;
    to[0] = mean;
    to[c] = mean * r * 0.1f;
    to[2 * c] = value ? mean * (r * r * 0.01f - 0.1f) : best;
}
KERNEL(pool_points)

// dx = (add: its own +) the gradient of what the pooling reads, 0 off the board; the maximum's goes to its first point.
extern "C" __global__ void pool_grad(float *dx, const float *dy, const float *x, const float *saved, const float *mask,
                                     const float *counts, int len, int c, int act, int value, int add) {
    __shared__ float bests[ROWS][32];
    __shared__ int firsts[ROWS][32];
    int board = blockIdx.x, channel = blockIdx.y * 32 + threadIdx.x, area = len * len;
    View v = {x, saved, mask, c, act};
    float best = LEAST;
    int first = area;
    if (channel < c && !value)
        for (int p = threadIdx.y; p < area; p += ROWS) {
            size_t cell = (size_t)board * area + p;
            if (mask[cell] == 0.0f) continue;
            float at = view_at(v, cell, channel);
            if (at > best || first == area) best = at, first = p;
        }
    bests[threadIdx.y][threadIdx.x] = best;
    firsts[threadIdx.y][threadIdx.x] = first;
    __syncthreads();
    if (channel >= c) return;
    for (int row = 0; row < ROWS; row++) {
        float b = bests[row][threadIdx.x];
        int f = firsts[row][threadIdx.x];
        if (b > best || (b == best && f < first)) best = b, first = f;
    }
    float count = counts[board], r = sqrtf(count) - 14.0f;
    const float *from = dy + (size_t)board * 3 * c + channel;
    float third = value ? from[2 * c] * (r * r * 0.01f - 0.1f) : 0.0f;
    float each = (from[0] + from[c] * (r * 0.1f) + third) / (count > 1.0f ? count : 1.0f);
    for (int p = threadIdx.y; p < area; p += ROWS) {
        size_t cell = (size_t)board * area + p, at = cell * c + channel;
        float d = mask[cell] != 0.0f ? each : 0.0f;
        if (!value && p == first) d += from[2 * c];
        dx[at] = add ? dx[at] + d : d;
    }
}
KERNEL(pool_grad)

// y [rows, c] = act(x + bias).
extern "C" __global__ void bias_act(float *y, const float *x, const float *bias, int rows, int c, int act) {
    size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at < (size_t)rows * c) y[at] = act_value(act, x[at] + bias[at % c]);
}
KERNEL(bias_act)

// dx = dy act'(x + bias), dbias += its sum over the rows. One thread a channel.
extern "C" __global__ void bias_act_grad(float *dx, float *dbias, const float *dy, const float *x, const float *bias, int rows, int c,
                                         int act) {
    int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= c) return;
    float sum = 0.0f, b = bias[channel];
    for (int row = 0; row < rows; row++) {
        size_t at = (size_t)row * c + channel;
        float d = dy[at] * act_slope(act, x[at] + b);
        dx[at] = d;
        sum += d;
    }
    dbias[channel] += sum;
}
KERNEL(bias_act_grad)

// y [n, area, c] += v [n, c].
extern "C" __global__ void broadcast(float *y, const float *v, int n, int area, int c) {
    size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at < (size_t)n * area * c) y[at] += v[at / c / area * c + at % c];
}
KERNEL(broadcast)

// dv [n, c] = the sum of dy over the cells of a board.
extern "C" __global__ void broadcast_grad(float *dv, const float *dy, int area, int c) {
    __shared__ float shared[ROWS][32];
    int board = blockIdx.x, channel = blockIdx.y * 32 + threadIdx.x;
    float sum = 0.0f;
    if (channel < c)
        for (int p = threadIdx.y; p < area; p += ROWS) sum += dy[((size_t)board * area + p) * c + channel];
    sum = sum_rows(sum, shared);
    if (threadIdx.y == 0 && channel < c) dv[(size_t)board * c + channel] = sum;
}
KERNEL(broadcast_grad)
