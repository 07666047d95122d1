// What a convolution's weights need besides its matrix products.
#include "common.cuh"

// total[group][i] = sum of partial[slice][i] over the group's slices, count values each. A thread adds 8 slices by halves to
// its sum, and the SHARES threads of a value add theirs by halves. Grid: tiles of LANES values, groups of slices.
__global__ void sum_slices(const float* partial, float* total, int count, int slices) {
    constexpr int LANES = LEAKYSM_VALUES, SHARES = LEAKYSM_THREADS / LANES;
    struct Shares {
        float v[SHARES][LANES];
    };
    SHARED(shared, Shares);
    const int lane = threadIdx.x % LANES, share = threadIdx.x / LANES, i = blockIdx.x * LANES + lane;
    const int first = blockIdx.y * LEAKYSM_GROUP, last = first + min(slices - first, LEAKYSM_GROUP);
    float sum = 0;
    if (i < count)
        for (int s = first + share * 8; s < last; s += SHARES * 8) {
            float v[8];
#pragma unroll
            for (int q = 0; q < 8; ++q) v[q] = s + q < last ? partial[static_cast<long long>(s + q) * count + i] : 0.0f;
            sum += ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
        }
    shared.v[share][lane] = sum;
    for (int half = SHARES / 2; half > 0; half /= 2) {
        __syncthreads();
        if (share < half) shared.v[share][lane] += shared.v[share + half][lane];
    }
    if (share == 0 && i < count) total[static_cast<long long>(blockIdx.y) * count + i] = shared.v[0][lane];
}

// turned[8 - tap][f][c] = w[tap][c][f]: the kernel of the image's gradient. w (9, C, F) -> (9, F, C).
__global__ void turn_kernel(const float* w, float* turned, int C, int F) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= 9 * C * F) return;
    const int c = i % C, f = i / C % F, tap = i / C / F;
    turned[i] = w[(static_cast<long long>(8 - tap) * C + c) * F + f];
}
