// Batch norm and ReLU of V channels at a time, forward and back, and what a pooled value remembers of its window.
#pragma once
#include "common.cuh"

using Place = unsigned char;   // which of a window's four positions, in row-major order, has its gradient:
constexpr Place NOWHERE = 4;   // none, where ReLU lets nothing pass

// The four values of a channel that normalise it.
template <class T, int V>
struct Channels {
    Pack<T, V> mean, inverse, scale, shift;

    __device__ Channels(const T* m, const T* i, const T* s, const T* b, int c)
        : mean(load<V>(m + c)), inverse(load<V>(i + c)), scale(load<V>(s + c)), shift(load<V>(b + c)) {}
    __device__ T normal(int v, T z) const { return (z - mean.v[v]) * inverse.v[v]; }
    __device__ T value(int v, T z) const { return fma(normal(v, z), scale.v[v], shift.v[v]); }
};

// The gradient of a convolution's result: scale / sigma (d - dshift / n - x-hat dscale / n). n = 0 drops the last two terms
// (statistics that are given).
template <class T, int V>
struct BackChannels {
    Pack<T, V> mean, inverse, factor, centre, along;

    __device__ BackChannels(const T* m, const T* i, const T* scale, const T* dscale, const T* dshift, int c, int n)
        : mean(load<V>(m + c)), inverse(load<V>(i + c)), factor(load<V>(scale + c)), centre{}, along{} {
        for (int v = 0; v < V; ++v) factor.v[v] *= inverse.v[v];
        if (n == 0) return;
        centre = load<V>(dshift + c);
        along = load<V>(dscale + c);
        for (int v = 0; v < V; ++v) {
            centre.v[v] /= n;
            along.v[v] /= n;
        }
    }
    __device__ T gradient(int v, T z, T d) const {
        return factor.v[v] * (d - centre.v[v] - (z - mean.v[v]) * inverse.v[v] * along.v[v]);
    }
};
