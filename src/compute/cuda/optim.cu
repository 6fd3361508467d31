// What runs over all parameters. `decays` [len]: 1 where weight decay applies, 0 where not, 255 where nothing moves.

// g += decay p; m = momentum m + g; p -= rate (g + momentum m). numbers: rate.
extern "C" __global__ void step_sgd(float *p, const float *grads, float *first, const unsigned char *decays, const float *numbers,
                                    int len, float momentum, float decay) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= len || decays[at] == 255) return;
    float g = grads[at] + (decays[at] ? decay : 0.0f) * p[at], m = momentum * first[at] + g;
    first[at] = m;
    p[at] -= numbers[0] * (g + momentum * m);
}
KERNEL(step_sgd)

// numbers: the rate with the first moment's correction, the second's correction under the root, 1 - rate * decay.
extern "C" __global__ void step_adamw(float *p, const float *grads, float *first, float *second, const unsigned char *decays,
                                      const float *numbers, int len, float beta1, float beta2, float epsilon) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= len || decays[at] == 255) return;
    float g = grads[at], m = beta1 * first[at] + (1.0f - beta1) * g, v = beta2 * second[at] + (1.0f - beta2) * g * g;
    first[at] = m;
    second[at] = v;
    p[at] = p[at] * (decays[at] ? numbers[2] : 1.0f) - numbers[0] * m / (sqrtf(v) * numbers[1] + epsilon);
}
KERNEL(step_adamw)

// average = *keep average + (1 - *keep) values.
extern "C" __global__ void average_values(float *average, const float *values, const float *keep, int len) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < len) average[at] = *keep * average[at] + (1.0f - *keep) * values[at];
}
KERNEL(average_values)

// The sum over 256 threads in a fixed order, for the first.
DEVICE double sum_256(double v, double *shared) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) v += __shfl_down_sync(~0u, v, d);
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = v;
    __syncthreads();
    double sum = 0.0;
    for (int warp = 0; warp < 8; warp++) sum += shared[warp];
    return sum;
}

// partials [blocks]: sums of squares. Blocks of 256 threads.
extern "C" __global__ void squares(double *partials, const float *values, int len) {
    __shared__ double shared[8];
    double sum = 0.0;
#pragma unroll 4
    for (int at = blockIdx.x * 256 + threadIdx.x; at < len; at += (int)gridDim.x * 256) sum += (double)values[at] * values[at];
    sum = sum_256(sum, shared);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}
KERNEL(squares)

// *factor: what takes a gradient's scale back (`unscale`) and shortens it to `longest` (0: never); its length without the scale is
// added to *norm. 256 threads, a partial each.
extern "C" __global__ void clip_factor(float *factor, double *norm, const double *partials, int n, float longest, float unscale) {
    __shared__ double shared[8];
    double sum = sum_256((int)threadIdx.x < n ? partials[threadIdx.x] : 0.0, shared);
    if (threadIdx.x != 0) return;
    double length = sqrt(sum) * unscale;
    *norm += length;
    *factor = longest > 0.0f && length > (double)longest ? (float)(longest / length * unscale) : unscale;
}
KERNEL(clip_factor)

// values *= *factor.
extern "C" __global__ void scale_values(float *values, const float *factor, int len) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < len && *factor != 1.0f) values[at] *= *factor;
}
KERNEL(scale_values)
