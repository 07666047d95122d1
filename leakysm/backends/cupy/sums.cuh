// Sums and maxima whose order is fixed: over a thread's own terms, and over a block of THREADS threads.
#pragma once
#include "common.cuh"

constexpr int THREADS = 256;  // of every kernel that does not say otherwise

// Kahan's compensated sum: its error does not grow with the number of terms. Overflow gives inf, as in a plain sum.
template <class T>
struct Sum {
    T total = 0, lost = 0;

    __device__ void add(T term) {
        const T mended = term - lost, next = total + mended;
        lost = not_finite(next) ? T(0) : (next - total) - mended;
        total = next;
    }
};

template <class T>
using PerThread = Pack<T, THREADS>;

// Combine one value of each thread; every thread gets the result. `shared` may be used again at once.
template <class T, class Combine>
__device__ inline T over_block(T value, PerThread<T>& shared, Combine combine) {
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

template <class T>
__device__ inline T block_sum(T value, PerThread<T>& shared) {
    return over_block(value, shared, [](T a, T b) { return a + b; });
}

// The larger one; a NaN is larger than all.
template <class T>
__device__ inline T larger(T a, T b) {
    return a != a || a > b ? a : b;
}

template <class T>
__device__ inline T block_max(T value, PerThread<T>& shared) {
    return over_block(value, shared, [](T a, T b) { return larger(a, b); });
}

// A power of two s with s * magnitude in [1, 2), as far as the exponents reach; 1 for 0, inf and NaN.
template <class T>
__device__ inline T power_of_two_scale(T magnitude) {
    if (magnitude == T(0) || not_finite(magnitude)) return T(1);
    constexpr int most = sizeof(T) == 4 ? 126 : 1022;
    int exponent;
    frexp(magnitude, &exponent);  // magnitude = m 2^exponent, m in [0.5, 1)
    return ldexp(T(1), max(-most, min(most, 1 - exponent)));
}
