// The two ends of a training step: images of an episode from the data set's bytes, and the update of the parameters.
#include "sums.cuh"

// x[i] = (images[indices[i]] / 255 - mean) / deviation. images (n, pixels, C) bytes, x (N, pixels, C). Grid: values.
template <class T>
__global__ void gather(const unsigned char* images, const long long* indices, const T* mean, const T* deviation, T* x,
                       int N, int pixels, int C) {
    const int i = blockIdx.x * THREADS + threadIdx.x, size = pixels * C;
    if (i >= N * size) return;
    const int c = i % C;
    x[i] = (images[indices[i / size] * size + i % size] / T(255) - mean[c]) / deviation[c];
}

// largest[block] = the block's largest |gradient|, NaN if it holds one. Grid: any number of blocks.
template <class T>
__global__ void largest_magnitude(const T* gradient, T* largest, int P) {
    SHARED(shared, PerThread<T>);
    T most = 0;
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < P; i += gridDim.x * THREADS)
        most = larger(most, fabs(gradient[i]));
    most = block_max(most, shared);
    if (threadIdx.x == 0) largest[blockIdx.x] = most;
}

// magnitude = the largest of all blocks; ready = 1 if that and the loss are finite, else 0: then the updates below change
// nothing. One block.
template <class T>
__global__ void judge(const T* largest, const T* loss, T* magnitude, int* ready, int blocks) {
    SHARED(shared, PerThread<T>);
    T most = 0;
    for (int i = threadIdx.x; i < blocks; i += THREADS) most = larger(most, largest[i]);
    most = block_max(most, shared);
    if (threadIdx.x != 0) return;
    *magnitude = most;
    *ready = !not_finite(most) && !not_finite(*loss);
}

// Adam (Kingma & Ba 2015, algorithm 1). rates: learning rate / (1 - decay_m^t), 1 - decay_v^t. Grid: parameters.
template <class T>
__global__ void adam(T* vector, const T* gradient, T* first, T* second, const T* rates, const int* ready, int P, T gain_m,
                     T gain_v, T epsilon) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= P || !*ready) return;
    const T g = gradient[i], m = first[i] + gain_m * (g - first[i]), v = second[i] + gain_v * (g * g - second[i]);
    first[i] = m;
    second[i] = v;
    vector[i] -= rates[0] * m / (sqrt(v / rates[1]) + epsilon);
}

// Heavy-ball momentum (Polyak 1964). rates: the learning rate. Grid: parameters.
template <class T>
__global__ void momentum(T* vector, const T* gradient, T* velocity, const T* rates, const int* ready, int P, T decay) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= P || !*ready) return;
    velocity[i] = decay * velocity[i] + gradient[i];
    vector[i] -= rates[0] * velocity[i];
}

// running = keep running + gain batch, for a block's mean, and for its variance with gain_variance. Grid: channels.
template <class T>
__global__ void update_running(T* running_mean, T* running_variance, const T* mean, const T* variance, const int* ready,
                               int F, T keep, T gain, T gain_variance) {
    const int f = blockIdx.x * THREADS + threadIdx.x;
    if (f >= F || !*ready) return;
    running_mean[f] = keep * running_mean[f] + gain * mean[f];
    running_variance[f] = keep * running_variance[f] + gain_variance * variance[f];
}
