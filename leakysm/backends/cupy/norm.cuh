// Batch norm and ReLU of V channels at a time, forward and back, and what a pooled value remembers of its window.
#pragma once
#include "common.cuh"

using Place = unsigned char;   // which of a window's four positions, in row-major order, has its gradient:
constexpr Place NOWHERE = 4;   // none, where ReLU lets nothing pass

// The four values of a channel that normalise it.
struct Channels {
    Pack<float, V> mean, inverse, scale, shift;

    __device__ Channels(const float* m, const float* i, const float* s, const float* b, int c)
        : mean(load<V>(m + c)), inverse(load<V>(i + c)), scale(load<V>(s + c)), shift(load<V>(b + c)) {}
    __device__ float normal(int v, float z) const { return (z - mean.v[v]) * inverse.v[v]; }
    __device__ float value(int v, float z) const { return fma(normal(v, z), scale.v[v], shift.v[v]); }
};

// The gradient of a convolution's result: scale / sigma (d - dshift / n - x-hat dscale / n). n = 0 drops the last two terms
// (statistics that are given).
struct BackChannels {
    Pack<float, V> mean, inverse, factor, centre, along;

    __device__ BackChannels(const float* m, const float* i, const float* scale, const float* dscale, const float* dshift,
                            int c, int n)
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
    __device__ float gradient(int v, float z, float d) const {
        return factor.v[v] * (d - centre.v[v] - (z - mean.v[v]) * inverse.v[v] * along.v[v]);
    }
};
