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

// How a tensor's numbers lie in memory: kernels are told, for tensors of points are f32 or 16 bits wide.
enum { KIND_F32, KIND_F16, KIND_BF16 };

// A number that T can hold. Values beyond f16 are cut off; gradients are not, so that one too large is seen in the sums of all.
DEVICE float within(f16, float v) { return v > 65504.0f ? 65504.0f : v < -65504.0f ? -65504.0f : v; }
DEVICE float within(bf16, float v) { return v; }
DEVICE float within_kind(int kind, float v) { return kind == KIND_F16 ? within(f16(), v) : v; }

DEVICE float number_at(const void *from, int kind, size_t at) {
    if (kind == KIND_F16) return to_f32(((const f16 *)from)[at]);
    if (kind == KIND_BF16) return to_f32(((const bf16 *)from)[at]);
    return ((const float *)from)[at];
}
DEVICE void put_number(void *to, int kind, size_t at, float v) {
    if (kind == KIND_F16)
        from_f32(v, ((f16 *)to)[at]);
    else if (kind == KIND_BF16)
        from_f32(v, ((bf16 *)to)[at]);
    else
        ((float *)to)[at] = v;
}

// Four neighbouring channels.
struct Quad {
    float v[4];
};

// Whether quads begin at multiples of 16 bytes: a part of a buffer may begin anywhere.
DEVICE bool whole_quads(const void *from, int c) { return c % 4 == 0 && (size_t)from % 16 == 0; }

// Channels `channel` to the third behind of a cell; 0 where there are none.
DEVICE Quad quad_at(const void *from, int kind, size_t cell, int c, int channel) {
    Quad q = {{0.0f, 0.0f, 0.0f, 0.0f}};
    size_t at = cell * c + channel;
    if (channel >= c) return q;
    if (!whole_quads(from, c)) {
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (channel + i < c) q.v[i] = number_at(from, kind, at + i);
    } else if (kind == KIND_F32) {
        float4 v = *(const float4 *)((const float *)from + at);
        q.v[0] = v.x, q.v[1] = v.y, q.v[2] = v.z, q.v[3] = v.w;
    } else {
        uint2 v = *(const uint2 *)((const f16 *)from + at);
        float2 a = kind == KIND_F16 ? unpair(f16(), v.x) : unpair(bf16(), v.x);
        float2 b = kind == KIND_F16 ? unpair(f16(), v.y) : unpair(bf16(), v.y);
        q.v[0] = a.x, q.v[1] = a.y, q.v[2] = b.x, q.v[3] = b.y;
    }
    return q;
}
DEVICE void put_quad(void *to, int kind, size_t cell, int c, int channel, const Quad &q) {
    size_t at = cell * c + channel;
    if (channel >= c) return;
    if (!whole_quads(to, c)) {
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (channel + i < c) put_number(to, kind, at + i, q.v[i]);
    } else if (kind == KIND_F32) {
        *(float4 *)((float *)to + at) = make_float4(q.v[0], q.v[1], q.v[2], q.v[3]);
    } else if (kind == KIND_F16) {
        *(uint2 *)((f16 *)to + at) = make_uint2(pair(f16(), q.v[0], q.v[1]), pair(f16(), q.v[2], q.v[3]));
    } else {
        *(uint2 *)((bf16 *)to + at) = make_uint2(pair(bf16(), q.v[0], q.v[1]), pair(bf16(), q.v[2], q.v[3]));
    }
}

// `x` [cells, c] as it is, or with `saved` [4, c] (mean, 1 / std, scale, shift) normed and activated on the board, 0 off it.
struct View {
    const void *x;
    int kind;
    const float *saved, *mask;
    int c, act;
};

DEVICE float view_at(const View &v, size_t cell, int channel) {
    if (v.saved && v.mask[cell] == 0.0f) return 0.0f;
    float x = number_at(v.x, v.kind, cell * v.c + channel);
    return v.saved ? act_value(v.act, x * v.saved[2 * v.c + channel] + v.saved[3 * v.c + channel]) : x;
}

// Four channels of a cell on the board; `scale` and `shift` are those of `saved`.
DEVICE Quad view_quad(const View &v, size_t cell, int channel, const Quad &scale, const Quad &shift) {
    Quad q = quad_at(v.x, v.kind, cell, v.c, channel);
    if (v.saved)
#pragma unroll
        for (int i = 0; i < 4; i++) q.v[i] = act_value(v.act, q.v[i] * scale.v[i] + shift.v[i]);
    return q;
}

// Blocks that reduce: QUADS threads bring 32 channels of a cell (one or two lines of memory), ROWS cells at once.
const int QUADS = 8, ROWS = 32;

// A thread's place in its block; the first 32 have a channel each in what follows a sum.
DEVICE int thread_of_block() { return (int)threadIdx.y * QUADS + (int)threadIdx.x; }

// The sums over the rows of a block, in a fixed order: the first 32 threads get their channel's. All threads call it.
DEVICE float sum_rows(Quad q, float (*shared)[32]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        q.v[i] += __shfl_xor_sync(~0u, q.v[i], 8);
        q.v[i] += __shfl_xor_sync(~0u, q.v[i], 16);
        if (threadIdx.y % 4 == 0) shared[threadIdx.y / 4][4 * threadIdx.x + i] = q.v[i];
    }
    __syncthreads();
    float sum = 0.0f;
    if (thread_of_block() < 32)
        for (int warp = 0; warp < ROWS / 4; warp++) sum += shared[warp][thread_of_block()];
    __syncthreads();
    return sum;
}

// The same over the warps of a block whose lanes have a channel each: all threads get it.
DEVICE double sum_warps(double v, double (*shared)[32]) {
    int lane = thread_of_block() % 32;
    shared[thread_of_block() / 32][lane] = v;
    __syncthreads();
    double sum = 0.0;
    for (int warp = 0; warp < ROWS / 4; warp++) sum += shared[warp][lane];
    __syncthreads();
    return sum;
}
