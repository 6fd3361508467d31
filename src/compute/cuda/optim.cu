// What runs over all parameters. `decays` [len]: 1 where weight decay applies, 0 where not, 255 where nothing moves. A gradient that
// is no number moves nothing either: so a step is left out.

// g += decay p; m = momentum m + g; p -= rate (g + momentum m). numbers: rate.
extern "C" __global__ void step_sgd(float *p, const float *grads, float *first, const unsigned char *decays, const float *numbers,
                                    int len, float momentum, float decay) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= len || decays[at] == 255 || grads[at] != grads[at]) return;
    float g = grads[at] + (decays[at] ? decay : 0.0f) * p[at], m = momentum * first[at] + g;
    first[at] = m;
    p[at] -= numbers[0] * (g + momentum * m);
}
KERNEL(step_sgd)

// numbers: the rate with the first moment's correction, the second's correction under the root, 1 - rate * decay.
extern "C" __global__ void step_adamw(float *p, const float *grads, float *first, float *second, const unsigned char *decays,
                                      const float *numbers, int len, float beta1, float beta2, float epsilon) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= len || decays[at] == 255 || grads[at] != grads[at]) return;
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

// Largest factor of gradients: those of a mean are above 2^-24 of it by far.
const float SCALE_MAX = 16777216.0f;

// *factor: what takes the gradient's own factor, *scale, back and shortens it to `longest` (0: never). sums[0] += its length, and where
// it is left out sums[1] += 1. Where `grow_after` is 0 *scale stays and nothing is left out; else a gradient that is not finite gives
// a *factor that is no number and halves *scale, unless that is 1: then the net itself diverged, and its length says so. *scale is
// doubled after so many steps in a row that fitted. 256 threads, a partial each.
extern "C" __global__ void clip_factor(float *factor, double *sums, float *scale, int *fitted_steps, const double *partials, int n,
                                       float longest, int grow_after) {
    __shared__ double shared[8];
    double sum = sum_256((int)threadIdx.x < n ? partials[threadIdx.x] : 0.0, shared);
    if (threadIdx.x != 0) return;
    bool fits = sum - sum == 0.0;
    if (grow_after > 0 && !fits && *scale > 1.0f) {
        *factor = (float)(sum - sum);
        sums[1] += 1.0;
        *scale *= 0.5f;
        *fitted_steps = 0;
        return;
    }
    float unscale = 1.0f / *scale;
    double length = sqrt(sum) * unscale;
    sums[0] += length;
    *factor = longest > 0.0f && length > (double)longest ? (float)(longest / length * unscale) : unscale;
    if (grow_after == 0 || ++*fitted_steps < grow_after) return;
    *fitted_steps = 0;
    if (*scale < SCALE_MAX) *scale *= 2.0f;
}
KERNEL(clip_factor)

// values *= *factor.
extern "C" __global__ void scale_values(float *values, const float *factor, int len) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < len && *factor != 1.0f) values[at] *= *factor;
}
KERNEL(scale_values)
