// The losses of a batch and their gradients (compute::loss). One block of 128 threads a sample.

const int LOSS_THREADS = 128;
// Numbers of a sample's sums, in the order of compute::Losses without n.
const int LOSS_SUMS = 14;
enum {
    TOTAL, POLICY, POLICY_WEIGHT, POLICY_N, POLICY_HITS, VALUE, VALUE_WEIGHT, VALUE_N, VALUE_HITS, SCORE, SCORE_ERROR, SCORE_WEIGHT,
    OWNERSHIP, OWNERSHIP_WEIGHT
};

// The sum over a block's four warps, for all threads.
DEVICE float block_sum(float value, float *shared) {
#pragma unroll
    for (int d = 1; d < 32; d *= 2) value += __shfl_xor_sync(~0u, value, d);
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
    __syncthreads();
    float sum = shared[0] + shared[1] + shared[2] + shared[3];
    __syncthreads();
    return sum;
}

// The larger of two, of equal ones the earlier.
DEVICE void keep_larger(float &best, int &best_idx, float other, int idx) {
    if (other > best || (other == best && idx < best_idx)) best = other, best_idx = idx;
}

// Huber's loss with delta 1, and its slope.
DEVICE float huber(float d, float *slope) {
    float a = fabsf(d);
    *slope = a <= 1.0f ? d : copysignf(1.0f, d);
    return a <= 1.0f ? 0.5f * d * d : a - 0.5f;
}

DEVICE float softplus(float z) { return z > 20.0f ? z : log1pf(expf(z)); }

// weight: the sample's; factor: what the gradient is multiplied by besides.
DEVICE void policy_loss(double *sums, const float *logits, float pass, const float *mask, int area, int target, float weight,
                        float part, float factor, float *grad, float *grad_pass, float *shared, int *shared_idx) {
    float best = LEAST;
    int best_idx = area;
    for (int j = threadIdx.x; j < area; j += LOSS_THREADS)
        if (mask[j] != 0.0f && logits[j] > best) best = logits[j], best_idx = j;
    for (int d = 1; d < 32; d *= 2) keep_larger(best, best_idx, __shfl_xor_sync(~0u, best, d), __shfl_xor_sync(~0u, best_idx, d));
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = best, shared_idx[threadIdx.x / 32] = best_idx;
    __syncthreads();
    for (int warp = 0; warp < LOSS_THREADS / 32; warp++) keep_larger(best, best_idx, shared[warp], shared_idx[warp]);
    __syncthreads();
    if (!(best > pass)) best = pass, best_idx = area;
    float total = 0.0f;
    for (int j = threadIdx.x; j < area; j += LOSS_THREADS)
        if (mask[j] != 0.0f) total += expf(logits[j] - best);
    total = block_sum(total, shared) + expf(pass - best);
    if (threadIdx.x == 0) {
        float at_target = target >= area ? pass : logits[target];
        double loss = (double)(logf(total) + best - at_target) * weight;
        sums[POLICY] = loss;
        sums[TOTAL] += loss * part;
        sums[POLICY_WEIGHT] = weight;
        sums[POLICY_N] = 1.0;
        sums[POLICY_HITS] = best_idx == min(target, area) ? 1.0 : 0.0;
        if (grad) *grad_pass = weight * factor * (expf(pass - best) / total - (target >= area ? 1.0f : 0.0f));
    }
    if (!grad) return;
    for (int j = threadIdx.x; j < area; j += LOSS_THREADS) {
        float share = mask[j] * expf(fminf(logits[j] - best, 0.0f)) / total;
        grad[j] = weight * factor * (share - (j == target ? 1.0f : 0.0f));
    }
}

DEVICE int largest3(const float *v) {
    int best = v[1] > v[0] ? 1 : 0;
    return v[2] > v[best] ? 2 : best;
}

DEVICE void value_loss(double *sums, const float *logits, const float *target, float weight, float part, float factor, float *grad) {
    float best = fmaxf(logits[0], fmaxf(logits[1], logits[2])), total = 0.0f, loss = 0.0f, mass = 0.0f;
    for (int i = 0; i < 3; i++) total += expf(logits[i] - best);
    float log_total = logf(total) + best;
    for (int i = 0; i < 3; i++) loss += target[i] * (log_total - logits[i]), mass += target[i];
    sums[VALUE] = (double)loss * weight;
    sums[TOTAL] += (double)loss * weight * part;
    sums[VALUE_WEIGHT] = weight;
    sums[VALUE_N] = 1.0;
    sums[VALUE_HITS] = largest3(logits) == largest3(target) ? 1.0 : 0.0;
    if (grad)
        for (int i = 0; i < 3; i++) grad[i] = weight * factor * (expf(logits[i] - log_total) * mass - target[i]);
}

DEVICE void score_loss(double *sums, const float *raw, float target, float weight, float part, float factor, float *grad) {
    float error = raw[0] - target / 20.0f, slope_mean, slope_stdev, slope_lead;
    float loss = huber(error, &slope_mean);
    // sqrt(pi / 2): standard deviation over mean absolute deviation
    loss += huber(softplus(raw[1]) - 1.2533141f * fabsf(error), &slope_stdev);
    loss += huber(raw[2] - target / 20.0f, &slope_lead);
    sums[SCORE] = (double)loss * weight;
    sums[TOTAL] += (double)loss * weight * part;
    sums[SCORE_WEIGHT] = weight;
    sums[SCORE_ERROR] = (double)(fabsf(error) * 20.0f) * weight;
    if (!grad) return;
    grad[0] = weight * factor * slope_mean;
    grad[1] = weight * factor * slope_stdev * sigmoid(raw[1]);
    grad[2] = weight * factor * slope_lead;
}

DEVICE void ownership_loss(double *sums, const float *logits, const float *target, const float *mask, int area, float weight,
                           float part, float factor, float *grad, float *shared) {
    float loss = 0.0f, points = 0.0f;
    for (int j = threadIdx.x; j < area; j += LOSS_THREADS) {
        points += mask[j];
        if (mask[j] == 0.0f) continue;
        float z = 2.0f * logits[j], p = 0.5f + 0.5f * target[j];
        loss += fmaxf(z, 0.0f) + log1pf(expf(-fabsf(z))) - p * z;
        if (grad) grad[j] = 2.0f * weight * factor * (sigmoid(z) - p);
    }
    loss = block_sum(loss, shared);
    points = block_sum(points, shared);
    if (threadIdx.x == 0) {
        double mean = (double)loss / (points > 1.0f ? points : 1.0f) * weight;
        sums[OWNERSHIP] = mean;
        sums[TOTAL] += mean * part;
        sums[OWNERSHIP_WEIGHT] = weight;
    }
}

// sums [n, LOSS_SUMS]. Gradients (all or none) have the shapes of the outputs. parts: factors of policy, value, score, ownership in
// what is minimised; share: 1 / the samples that the gradient is averaged over; *scale: what gradients are multiplied by besides.
extern "C" __global__ void losses(double *all_sums, const float *policy, const float *pass, const float *value, const float *score,
                                  const float *ownership, const float *mask, const float *counts, const unsigned short *to_policy,
                                  const float *to_value, const float *value_weight, const float *to_score,
                                  const float *score_weight, const float *to_ownership, const float *ownership_weight,
                                  const float *weights, float *d_policy, float *d_pass, float *d_value, float *d_score,
                                  float *d_ownership, int len, int score_c, float part_policy, float part_value, float part_score,
                                  float part_ownership, float share, const float *scale) {
    __shared__ float shared[LOSS_THREADS / 32];
    __shared__ int shared_idx[LOSS_THREADS / 32];
    int i = blockIdx.x, area = len * len;
    size_t board = (size_t)i * area;
    double *sums = all_sums + (size_t)i * LOSS_SUMS;
    if (threadIdx.x < LOSS_SUMS) sums[threadIdx.x] = 0.0;
    if (d_policy) {
        for (int j = threadIdx.x; j < area; j += LOSS_THREADS) d_policy[board + j] = d_ownership[board + j] = 0.0f;
        for (int j = threadIdx.x; j < score_c; j += LOSS_THREADS) d_score[(size_t)i * score_c + j] = 0.0f;
        if (threadIdx.x < 3) d_value[3 * i + threadIdx.x] = 0.0f;
        if (threadIdx.x == 0) d_pass[i] = 0.0f;
    }
    __syncthreads();
    share *= *scale;
    float weight = weights[i];
    if (to_policy[i] != 0xffff && weight != 0.0f)
        policy_loss(sums, policy + board, pass[i], mask + board, area, to_policy[i], weight, part_policy, part_policy * share,
                    d_policy ? d_policy + board : nullptr, d_pass + i, shared, shared_idx);
    float w = weight * value_weight[i];
    if (w != 0.0f && threadIdx.x == 0)
        value_loss(sums, value + 3 * i, to_value + 3 * i, w, part_value, part_value * share, d_value ? d_value + 3 * i : nullptr);
    w = weight * score_weight[i];
    if (w != 0.0f && threadIdx.x == 0)
        score_loss(sums, score + (size_t)i * score_c, to_score[i], w, part_score, part_score * share,
                   d_score ? d_score + (size_t)i * score_c : nullptr);
    w = weight * ownership_weight[i];
    if (w != 0.0f) {
        float count = counts[i] > 1.0f ? counts[i] : 1.0f;
        ownership_loss(sums, ownership + board, to_ownership + board, mask + board, area, w, part_ownership,
                       part_ownership * share / count, d_ownership ? d_ownership + board : nullptr, shared);
    }
}
KERNEL(losses)

// tally [1 + LOSS_SUMS] += n and the samples' sums, in a fixed order. One block of 16 by 16 threads: a sum, and one sample in 16.
extern "C" __global__ void losses_total(double *tally, const double *sums, int n) {
    __shared__ double shared[16][16];
    int k = threadIdx.x;
    double sum = 0.0;
    for (int i = threadIdx.y; k > 0 && k <= LOSS_SUMS && i < n; i += 16) sum += sums[(size_t)i * LOSS_SUMS + k - 1];
    shared[threadIdx.y][k] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || k > LOSS_SUMS) return;
    sum = k == 0 ? n : 0.0;
    for (int row = 0; row < 16; row++) sum += shared[row][k];
    tally[k] += sum;
}
KERNEL(losses_total)
