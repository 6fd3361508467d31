// Convolutions by their definition, f32: the reference on any device. One thread a result; weights [ky, kx, c_in, c_out]. Kinds say
// how points lie in memory.

// y [cells, c_out] = base + conv(x, w); without base 0. `base` may be y.
extern "C" __global__ void conv_plain(void *y, const void *base, const void *x, const float *saved, const float *mask,
                                      const float *w, int n, int len, int ky, int kx, int c_in, int c_out, int act,
                                      int x_kind, int y_kind) {
    size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x, area = (size_t)len * len;
    if (at >= n * area * c_out) return;
    int o = (int)(at % c_out);
    size_t cell = at / c_out, board = cell / area * area;
    int row = (int)(cell % area) / len, column = (int)(cell % area) % len;
    View v = {x, x_kind, saved, mask, c_in, act};
    float sum = 0.0f;
    for (int i = 0; i < ky; i++)
        for (int j = 0; j < kx; j++) {
            int yy = row + i - ky / 2, xx = column + j - kx / 2;
            if (yy < 0 || yy >= len || xx < 0 || xx >= len) continue;
            size_t from = board + (size_t)yy * len + xx;
            const float *taps = w + (size_t)(i * kx + j) * c_in * c_out + o;
            for (int c = 0; c < c_in; c++) sum += view_at(v, from, c) * taps[(size_t)c * c_out];
        }
    put_number(y, y_kind, at, within_kind(y_kind, base ? number_at(base, y_kind, at) + sum : sum));
}
KERNEL(conv_plain)

// dx [cells, c_in] = (add: its own +) the sum over taps and outputs of dy times w.
extern "C" __global__ void conv_grad_input_plain(void *dx, const void *dy, const float *w, int n, int len, int ky, int kx,
                                                 int c_in, int c_out, int add, int dy_kind, int dx_kind) {
    size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x, area = (size_t)len * len;
    if (at >= n * area * c_in) return;
    int c = (int)(at % c_in);
    size_t cell = at / c_in, board = cell / area * area;
    int row = (int)(cell % area) / len, column = (int)(cell % area) % len;
    float sum = 0.0f;
    for (int i = 0; i < ky; i++)
        for (int j = 0; j < kx; j++) {
            int yy = row - i + ky / 2, xx = column - j + kx / 2;
            if (yy < 0 || yy >= len || xx < 0 || xx >= len) continue;
            size_t from = (board + (size_t)yy * len + xx) * c_out;
            const float *taps = w + ((size_t)(i * kx + j) * c_in + c) * c_out;
            for (int o = 0; o < c_out; o++) sum += number_at(dy, dy_kind, from + o) * taps[o];
        }
    put_number(dx, dx_kind, at, add ? number_at(dx, dx_kind, at) + sum : sum);
}
KERNEL(conv_grad_input_plain)

// partials [splits, ky, kx, c_in, c_out]: each split sums x' dy over its share of the cells.
// Blocks of 16x16 threads; grid: tiles of 16 c_in times 16 c_out, taps, splits.
extern "C" __global__ void conv_grad_weights_plain(float *partials, const void *x, const float *saved, const float *mask,
                                                   const void *dy, int n, int len, int ky, int kx, int c_in, int c_out, int act,
                                                   int x_kind, int dy_kind) {
    __shared__ float xs[16][17], ds[16][17];
    int tiles_out = (c_out + 15) / 16, tx = threadIdx.x, ty = threadIdx.y;
    int c0 = (int)blockIdx.x / tiles_out * 16, o0 = (int)blockIdx.x % tiles_out * 16;
    int i = (int)blockIdx.y / kx, j = (int)blockIdx.y % kx;
    size_t area = (size_t)len * len, cells = n * area, share = (cells + gridDim.z - 1) / gridDim.z;
    size_t first = blockIdx.z * share, end = first + share < cells ? first + share : cells;
    View v = {x, x_kind, saved, mask, c_in, act};
    float sum = 0.0f;
    for (size_t at = first; at < end; at += 16) {
        // thread (tx, ty) brings channel tx of cell ty
        size_t cell = at + ty;
        float xv = 0.0f, dv = 0.0f;
        if (cell < end) {
            int row = (int)(cell % area) / len + i - ky / 2, column = (int)(cell % area) % len + j - kx / 2;
            if (c0 + tx < c_in && row >= 0 && row < len && column >= 0 && column < len)
                xv = view_at(v, cell / area * area + (size_t)row * len + column, c0 + tx);
            if (o0 + tx < c_out) dv = number_at(dy, dy_kind, cell * c_out + o0 + tx);
        }
        xs[ty][tx] = xv;
        ds[ty][tx] = dv;
        __syncthreads();
        for (int k = 0; k < 16; k++) sum += xs[k][ty] * ds[k][tx];
        __syncthreads();
    }
    if (c0 + ty < c_in && o0 + tx < c_out)
        partials[(((size_t)blockIdx.z * ky * kx + blockIdx.y) * c_in + c0 + ty) * c_out + o0 + tx] = sum;
}
KERNEL(conv_grad_weights_plain)

// to [len] += the sum of partials [splits, len], in order.
extern "C" __global__ void add_partials(float *to, const float *partials, int len, int splits) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= len) return;
    float sum = 0.0f;
    for (int split = 0; split < splits; split++) sum += partials[(size_t)split * len + at];
    to[at] += sum;
}
KERNEL(add_partials)
