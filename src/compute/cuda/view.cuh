// Activations, and points as an operation reads them. This text stands behind device.cuh, before the plain kernels.

// As compute::Activation numbers them.
enum { ACT_IDENTITY, ACT_RELU, ACT_MISH, ACT_SILU };

// Minus infinity, which NVRTC has no name for.
#define LEAST __uint_as_float(0xff800000u)

DEVICE float sigmoid(float z) { return 1.0f / (1.0f + expf(-z)); }

// tanh(ln(1 + e^z)) without cancellation.
DEVICE float tanh_softplus(float z) {
    if (z > 20.0f) return 1.0f;
    float e = expf(z), q = e * (e + 2.0f);
    return q / (q + 2.0f);
}

DEVICE float act_value(int act, float z) {
    if (act == ACT_RELU) return z > 0.0f ? z : 0.0f;
    if (act == ACT_MISH) return z * tanh_softplus(z);
    if (act == ACT_SILU) return z * sigmoid(z);
    return z;
}

DEVICE float act_slope(int act, float z) {
    if (act == ACT_RELU) return z > 0.0f ? 1.0f : 0.0f;
    if (act == ACT_MISH) {
        float t = tanh_softplus(z);
        return t + z * (1.0f - t * t) * sigmoid(z);
    }
    if (act == ACT_SILU) {
        float s = sigmoid(z);
        return s * (1.0f + z * (1.0f - s));
    }
    return 1.0f;
}

// `x` [cells, c] as it is, or with `saved` [4, c] (mean, 1 / std, scale, shift) normed and activated on the board, 0 off it.
struct View {
    const float *x, *saved, *mask;
    int c, act;
};

DEVICE float view_at(const View &v, size_t cell, int channel) {
    float x = v.x[cell * v.c + channel];
    if (!v.saved) return x;
    if (v.mask[cell] == 0.0f) return 0.0f;
    return act_value(v.act, x * v.saved[2 * v.c + channel] + v.saved[3 * v.c + channel]);
}

// Blocks that reduce have 32 channels by ROWS threads.
const int ROWS = 8;

// The sum over the rows of a block, for the first row; all threads call it.
DEVICE float sum_rows(float value, float (*shared)[32]) {
    shared[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    float sum = 0.0f;
    if (threadIdx.y == 0)
        for (int row = 0; row < ROWS; row++) sum += shared[row][threadIdx.x];
    __syncthreads();
    return sum;
}
