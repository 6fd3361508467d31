// Poolings of points to 3c numbers a board, vectors on points, and biases of vectors. Kinds say how points lie in memory; vectors
// are f32. Blocks that reduce: 32 channels by ROWS cells (view.cuh); grid: boards, groups of channels.

// y [n, 3c]: mean, mean r / 10, and the maximum (value: mean (r^2 / 100 - 0.1)), r = sqrt(points) - 14.
extern "C" __global__ void pool_points(float *y, const void *x, const float *saved, const float *mask, const float *counts, int len,
                                       int c, int act, int value, int kind) {
    __shared__ float shared[ROWS / 4][32];
    int board = blockIdx.x, channel = blockIdx.y * 32 + 4 * threadIdx.x, area = len * len;
    View v = {x, kind, saved, mask, c, act};
    Quad scale = {}, shift = {}, sum = {}, best = {{LEAST, LEAST, LEAST, LEAST}};
    if (saved) scale = quad_at(saved, KIND_F32, 2, c, channel), shift = quad_at(saved, KIND_F32, 3, c, channel);
#pragma unroll 2
    for (int p = threadIdx.y; p < area; p += ROWS) {
        size_t cell = (size_t)board * area + p;
        if (mask[cell] == 0.0f) continue;
        Quad at = view_quad(v, cell, channel, scale, shift);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            sum.v[i] += at.v[i];
            best.v[i] = at.v[i] > best.v[i] ? at.v[i] : best.v[i];
        }
    }
    float total = sum_rows(sum, shared);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        best.v[i] = fmaxf(best.v[i], __shfl_xor_sync(~0u, best.v[i], 8));
        best.v[i] = fmaxf(best.v[i], __shfl_xor_sync(~0u, best.v[i], 16));
        if (threadIdx.y % 4 == 0) shared[threadIdx.y / 4][4 * threadIdx.x + i] = best.v[i];
    }
    __syncthreads();
    int own = blockIdx.y * 32 + thread_of_block();
    if (thread_of_block() >= 32 || own >= c) return;
    float most = LEAST;
    for (int warp = 0; warp < ROWS / 4; warp++) most = fmaxf(most, shared[warp][thread_of_block()]);
    float count = counts[board], mean = total * (1.0f / (count > 1.0f ? count : 1.0f)), r = sqrtf(count) - 14.0f;
    float *to = y + (size_t)board * 3 * c + own;
    to[0] = mean;
    to[c] = mean * r * 0.1f;
    to[2 * c] = value ? mean * (r * r * 0.01f - 0.1f) : most;
}
KERNEL(pool_points)

// dx = (add: its own +) the gradient of what the pooling reads, 0 off the board; the maximum's goes to its first point.
extern "C" __global__ void pool_grad(void *dx, const float *dy, const void *x, const float *saved, const float *mask,
                                     const float *counts, int len, int c, int act, int value, int add, int dx_kind, int kind) {
    __shared__ float bests[ROWS][33];
    __shared__ int firsts[ROWS][33];
    int board = blockIdx.x, channel = blockIdx.y * 32 + 4 * threadIdx.x, area = len * len;
    View v = {x, kind, saved, mask, c, act};
    Quad scale = {}, shift = {}, best = {{LEAST, LEAST, LEAST, LEAST}};
    int first[4] = {area, area, area, area};
    if (saved && !value) scale = quad_at(saved, KIND_F32, 2, c, channel), shift = quad_at(saved, KIND_F32, 3, c, channel);
    for (int p = threadIdx.y; p < area && !value; p += ROWS) {
        size_t cell = (size_t)board * area + p;
        if (mask[cell] == 0.0f) continue;
        Quad at = view_quad(v, cell, channel, scale, shift);
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (at.v[i] > best.v[i] || first[i] == area) best.v[i] = at.v[i], first[i] = p;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) bests[threadIdx.y][4 * threadIdx.x + i] = best.v[i], firsts[threadIdx.y][4 * threadIdx.x + i] = first[i];
    __syncthreads();
    float count = counts[board], r = sqrtf(count) - 14.0f;
    Quad each = {}, most = {};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (channel + i >= c) continue;
        for (int row = 0; row < ROWS && !value; row++) {
            float b = bests[row][4 * threadIdx.x + i];
            int f = firsts[row][4 * threadIdx.x + i];
            if (b > best.v[i] || (b == best.v[i] && f < first[i])) best.v[i] = b, first[i] = f;
        }
        const float *from = dy + (size_t)board * 3 * c + channel + i;
        float third = value ? from[2 * c] * (r * r * 0.01f - 0.1f) : 0.0f;
        each.v[i] = (from[0] + from[c] * (r * 0.1f) + third) / (count > 1.0f ? count : 1.0f);
        most.v[i] = value ? 0.0f : from[2 * c];
    }
    for (int p = threadIdx.y; p < area; p += ROWS) {
        size_t cell = (size_t)board * area + p;
        Quad d = {};
        if (add) d = quad_at(dx, dx_kind, cell, c, channel);
        float on = mask[cell] != 0.0f ? 1.0f : 0.0f;
#pragma unroll
        for (int i = 0; i < 4; i++) d.v[i] += on * each.v[i] + (p == first[i] ? most.v[i] : 0.0f);
        put_quad(dx, dx_kind, cell, c, channel, d);
    }
}
KERNEL(pool_grad)

// y [rows, c] = act(x + bias).
extern "C" __global__ void bias_act(float *y, const float *x, const float *bias, int rows, int c, int act) {
    size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at < (size_t)rows * c) y[at] = act_value(act, x[at] + bias[at % c]);
}
KERNEL(bias_act)

// dx = dy act'(x + bias), dbias += its sum over the rows. Grid: groups of channels.
extern "C" __global__ void bias_act_grad(float *dx, float *dbias, const float *dy, const float *x, const float *bias, int rows, int c,
                                         int act) {
    __shared__ float shared[ROWS / 4][32];
    int channel = blockIdx.x * 32 + 4 * threadIdx.x;
    Quad b = {}, sum = {};
#pragma unroll
    for (int i = 0; i < 4; i++) b.v[i] = channel + i < c ? bias[channel + i] : 0.0f;
    for (int row = threadIdx.y; row < rows; row += ROWS) {
        Quad d = quad_at(dy, KIND_F32, row, c, channel), v = quad_at(x, KIND_F32, row, c, channel);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            d.v[i] *= act_slope(act, v.v[i] + b.v[i]);
            sum.v[i] += d.v[i];
        }
        put_quad(dx, KIND_F32, row, c, channel, d);
    }
    float total = sum_rows(sum, shared);
    int own = blockIdx.x * 32 + thread_of_block();
    if (thread_of_block() < 32 && own < c) dbias[own] += total;
}
KERNEL(bias_act_grad)

// y [n, area, c] += v [n, c]. A thread four channels of a cell.
extern "C" __global__ void broadcast(void *y, const float *v, int n, int area, int c, int kind) {
    unsigned at = blockIdx.x * blockDim.x + threadIdx.x, quads = (c + 3) / 4;
    if (at >= (unsigned)n * area * quads) return;
    int cell = (int)(at / quads), channel = 4 * (int)(at % quads);
    Quad q = quad_at(y, kind, cell, c, channel), more = quad_at(v, KIND_F32, cell / area, c, channel);
#pragma unroll
    for (int i = 0; i < 4; i++) q.v[i] = within_kind(kind, q.v[i] + more.v[i]);
    put_quad(y, kind, cell, c, channel, q);
}
KERNEL(broadcast)

// dv [n, c] = the sum of dy over the cells of a board.
extern "C" __global__ void broadcast_grad(float *dv, const void *dy, int area, int c, int kind) {
    __shared__ float shared[ROWS / 4][32];
    int board = blockIdx.x, channel = blockIdx.y * 32 + 4 * threadIdx.x;
    Quad sum = {};
#pragma unroll 4
    for (int p = threadIdx.y; p < area; p += ROWS) {
        Quad d = quad_at(dy, kind, (size_t)board * area + p, c, channel);
#pragma unroll
        for (int i = 0; i < 4; i++) sum.v[i] += d.v[i];
    }
    float total = sum_rows(sum, shared);
    int own = blockIdx.y * 32 + thread_of_block();
    if (thread_of_block() < 32 && own < c) dv[(size_t)board * c + own] = total;
}
KERNEL(broadcast_grad)
