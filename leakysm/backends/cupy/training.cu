// The two ends of a training step: images of an episode from the data set's bytes, and the update of the parameters.
#include "sums.cuh"

// x[i] = (images[indices[i]] / 255 - mean) / deviation. images (n, pixels, C) bytes, x (N, pixels, C). Grid: values.
__global__ void gather(const unsigned char* images, const long long* indices, const float* mean, const float* deviation,
                       float* x, int N, int pixels, int C) {
    const int i = blockIdx.x * THREADS + threadIdx.x, size = pixels * C;
    if (i >= N * size) return;
    const int c = i % C;
    x[i] = (images[indices[i / size] * size + i % size] / 255.0f - mean[c]) / deviation[c];
}

// largest[block] = the block's largest |gradient|, NaN if it holds one. Grid: any number of blocks.
__global__ void largest_magnitude(const float* gradient, float* largest, int P) {
    SHARED(shared, PerThread);
    float most = 0;
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < P; i += gridDim.x * THREADS)
        most = larger(most, fabs(gradient[i]));
    most = block_max(most, shared);
    if (threadIdx.x == 0) largest[blockIdx.x] = most;
}

// magnitude = the largest of all blocks; ready = 1 if that and the loss are finite, else 0: then the updates below change
// nothing. One block.
__global__ void judge(const float* largest, const float* loss, float* magnitude, int* ready, int blocks) {
    SHARED(shared, PerThread);
    float most = 0;
    for (int i = threadIdx.x; i < blocks; i += THREADS) most = larger(most, largest[i]);
    most = block_max(most, shared);
    if (threadIdx.x != 0) return;
    *magnitude = most;
    *ready = !not_finite(most) && !not_finite(*loss);
}

// Adam (Kingma & Ba 2015, algorithm 1). rates: learning rate / (1 - decay_m^t), 1 - decay_v^t. Grid: parameters.
__global__ void adam(float* vector, const float* gradient, float* first, float* second, const float* rates,
                     const int* ready, int P, float gain_m, float gain_v, float epsilon) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= P || !*ready) return;
    const float g = gradient[i], m = first[i] + gain_m * (g - first[i]), v = second[i] + gain_v * (g * g - second[i]);
    first[i] = m;
    second[i] = v;
    vector[i] -= rates[0] * m / (sqrt(v / rates[1]) + epsilon);
}

// Heavy-ball momentum (Polyak 1964). rates: the learning rate. Grid: parameters.
__global__ void momentum(float* vector, const float* gradient, float* velocity, const float* rates, const int* ready, int P,
                         float decay) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= P || !*ready) return;
    velocity[i] = decay * velocity[i] + gradient[i];
    vector[i] -= rates[0] * velocity[i];
}

// running = keep running + gain batch, for a block's mean, and for its variance with gain_variance. Grid: channels.
__global__ void update_running(float* running_mean, float* running_variance, const float* mean, const float* variance,
                               const int* ready, int F, float keep, float gain, float gain_variance) {
    const int f = blockIdx.x * THREADS + threadIdx.x;
    if (f >= F || !*ready) return;
    running_mean[f] = keep * running_mean[f] + gain * mean[f];
    running_variance[f] = keep * running_variance[f] + gain_variance * variance[f];
}
