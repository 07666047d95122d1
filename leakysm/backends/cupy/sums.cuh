// Sums and maxima whose order is fixed: over a thread's own terms, and over a block of THREADS threads.
#pragma once
#include "common.cuh"

constexpr int THREADS = LEAKYSM_THREADS;  // of every kernel that does not say otherwise

// Kahan's compensated sum: its error does not grow with the number of terms. Overflow gives inf, as in a plain sum.
struct Sum {
    float total = 0, lost = 0;

    __device__ void add(float term) {
        const float mended = term - lost, next = total + mended;
        lost = not_finite(next) ? 0.0f : (next - total) - mended;
        total = next;
    }
};

using PerThread = Pack<float, THREADS>;

// Combine one value of each thread; every thread gets the result. `shared` may be used again at once.
template <class Combine>
__device__ inline float over_block(float value, PerThread& shared, Combine combine) {
    const int tid = threadIdx.x;
    __syncthreads();
    shared.v[tid] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (tid < half) shared.v[tid] = combine(shared.v[tid], shared.v[tid + half]);
        __syncthreads();
    }
    return shared.v[0];
}

__device__ inline float block_sum(float value, PerThread& shared) {
    return over_block(value, shared, [](float a, float b) { return a + b; });
}

// The larger one; a NaN is larger than all.
__device__ inline float larger(float a, float b) {
    return a != a || a > b ? a : b;
}

__device__ inline float block_max(float value, PerThread& shared) {
    return over_block(value, shared, [](float a, float b) { return larger(a, b); });
}

// A power of two s with s * magnitude in [1, 2), as far as the exponents reach; 1 for 0, inf and NaN.
__device__ inline float power_of_two_scale(float magnitude) {
    if (magnitude == 0.0f || not_finite(magnitude)) return 1.0f;
    constexpr int most = 126;
    int exponent;
    frexp(magnitude, &exponent);  // magnitude = m 2^exponent, m in [0.5, 1)
    return ldexp(1.0f, max(-most, min(most, 1 - exponent)));
}
