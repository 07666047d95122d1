// Batch norm, ReLU and 2x2 max pool of a convolution's result z, in one pass forward and two back. The pool comes first:
// x-hat -> scale x-hat + shift -> ReLU is monotone, so the window's winner is its largest z (scale > 0), its smallest
// (scale < 0) or its first (scale 0), and all that follows touches a quarter of the data. NHWC, V values an access.
#include "norm.cuh"
#include "sums.cuh"

constexpr int LANES = LEAKYSM_LANES;               // of a tile of pooled pixels: lanes along the channels
constexpr int ROWS = THREADS / LANES;   // and along the pixels
constexpr int TILE = LEAKYSM_TILE;     // pooled pixels of a tile

// What normalises a channel.
struct Moments {
    float mean, variance, inverse;  // inverse = 1 / sigma
};

// The statistics of the n values z[0], z[F], ..., if squares or sums leave the type's range: scaled by powers of two.
__device__ inline Moments scaled_moments(const float* z, int n, int F, float eps, PerThread& shared) {
    float largest = 0, centre = 0, square = 0;
    for (int i = threadIdx.x; i < n; i += THREADS) largest = larger(largest, fabs(z[static_cast<long long>(i) * F]));
    const float first = power_of_two_scale(block_max(largest, shared));
    for (int pass = 0; pass < 2; ++pass) {
        float sum = 0;
        for (int i = threadIdx.x; i < n; i += THREADS) sum += z[static_cast<long long>(i) * F] * first - centre;
        centre += block_sum(sum, shared) / n;
    }
    largest = sqrt(eps) * first;
    for (int i = threadIdx.x; i < n; i += THREADS)
        largest = larger(largest, fabs(z[static_cast<long long>(i) * F] * first - centre));
    const float second = power_of_two_scale(block_max(largest, shared)), power = first * second;
    for (int i = threadIdx.x; i < n; i += THREADS) {
        const float d = (z[static_cast<long long>(i) * F] * first - centre) * second;
        square += d * d;
    }
    const float spread = block_sum(square, shared) / n;
    return {centre / first, spread / power / power, 1 / sqrt(spread + eps * power * power) * power};
}

// Mean, biased variance and 1 / sigma of each channel from the tiles' means and squared deviations (F, tiles): Chan's rule
// with the mean known first, mended as a tile's is. Tiles have `length` values, the last one what is left of n. Where squares
// or sums left the type, from z (n, F) itself. Grid: channels.
__global__ void finish_statistics(const float* z, const float* tile_mean, const float* tile_square, float* mean,
                                  float* variance, float* inverse, int tiles, int length, int n, float eps) {
    SHARED(shared, PerThread);
    const int f = blockIdx.x;
    tile_mean += static_cast<long long>(f) * tiles;
    tile_square += static_cast<long long>(f) * tiles;
    float sum = 0, left = 0, square = 0;
    for (int i = threadIdx.x; i < tiles; i += THREADS) sum += tile_mean[i] * (float(min(length, n - i * length)) / n);
    float centre = block_sum(sum, shared);
    for (int i = threadIdx.x; i < tiles; i += THREADS)
        left += (tile_mean[i] - centre) * (float(min(length, n - i * length)) / n);
    centre += block_sum(left, shared);
    for (int i = threadIdx.x; i < tiles; i += THREADS) {
        const float d = tile_mean[i] - centre;
        square += tile_square[i] + min(length, n - i * length) * d * d;
    }
    const float spread = block_sum(square, shared) / n;
    Moments found = {centre, spread, 1 / sqrt(spread + eps)};
    const float usual = 1e24f;  // a variance up to here, and down to 1 / here
    if (!(spread + eps < usual && spread + eps > 1 / usual)) found = scaled_moments(z + f, n, gridDim.x, eps, shared);
    if (threadIdx.x == 0) {
        mean[f] = found.mean;
        variance[f] = found.variance;
        inverse[f] = found.inverse;
    }
}

// inverse = 1 / sqrt(variance + eps), for statistics that are given.
__global__ void invert_deviation(const float* variance, float* inverse, int F, float eps) {
    const int f = blockIdx.x * blockDim.x + threadIdx.x;
    if (f < F) inverse[f] = 1 / sqrt(variance[f] + eps);
}

// Does z beat the best so far? A NaN beats every number; at scale 0, where 0 inf is NaN, inf does too.
__device__ inline bool beats(float z, float best, float scale) {
    if (z != z) return best == best;
    if (scale > 0) return z > best;
    if (scale < 0) return z < best;
    return not_finite(z) && !not_finite(best);
}

// y = max_pool2d(relu(batch_norm(z))); the winners' z and places. z (N, H, W, F) -> y, winner, place (N, H / 2, W / 2, F).
__global__ void pool(const float* z, const float* mean, const float* inverse, const float* scale, const float* shift,
                     float* y, float* winner, Place* place, int N, int H, int W, int F, Divider by_h, Divider by_w,
                     Divider by_packs) {
    const int h = H / 2, w = W / 2, packs = F / V, i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= N * h * w * packs) return;
    int n = i;
    const int c = by_packs.split(n, packs) * V, column = by_w.split(n, w), row = by_h.split(n, h);
    const Channels channels(mean, inverse, scale, shift, c);
    const float* corner = z + ((static_cast<long long>(n) * H + 2 * row) * W + 2 * column) * F + c;
    Pack<float, V> corners[4], out;
    Pack<Place, V> places{};
    for (int q = 0; q < 4; ++q) corners[q] = load<V>(corner + (static_cast<long long>(q / 2) * W + q % 2) * F);
    for (int v = 0; v < V; ++v) {
        float best = corners[0].v[v];
        for (int q = 1; q < 4; ++q)
            if (beats(corners[q].v[v], best, channels.scale.v[v])) {
                best = corners[q].v[v];
                places.v[v] = q;
            }
        const float value = channels.value(v, best);
        out.v[v] = value <= 0 ? 0.0f : value;
        if (!(value > 0)) places.v[v] = NOWHERE;
        corners[0].v[v] = best;
    }
    const long long at = static_cast<long long>(i) * V;
    store<V>(y + at, out);
    store<V>(winner + at, corners[0]);
    store<V>(place + at, places);
}

// Sums over each tile of pooled pixels: of d = dy where ReLU lets it pass, and of d x-hat. dy, winner, place (rows, F) ->
// sums (2, F, tiles). Grid: tiles of pixels, tiles of LANES packs of channels.
__global__ void pool_sums(const float* dy, const float* winner, const Place* place, const float* mean,
                          const float* inverse, float* sums, int rows, int F) {
    struct Sums {
        float d[ROWS][LANES * V], dn[ROWS][LANES * V];
    };
    SHARED(shared, Sums);
    const int lane = threadIdx.x % LANES, row = threadIdx.x / LANES, f0 = blockIdx.y * LANES * V, c = f0 + lane * V;
    Pack<float, V> d{}, dn{};
    if (c < F) {
        const Pack<float, V> m = load<V>(mean + c), scale = load<V>(inverse + c);
        const int last = min(rows, static_cast<int>(blockIdx.x + 1) * TILE);
        for (int r = blockIdx.x * TILE + row; r < last; r += ROWS) {
            const long long at = static_cast<long long>(r) * F + c;
            const Pack<float, V> g = load<V>(dy + at), z = load<V>(winner + at);
            const Pack<Place, V> places = load<V>(place + at);
            for (int v = 0; v < V; ++v) {
                const float passed = places.v[v] == NOWHERE ? 0.0f : g.v[v];
                d.v[v] += passed;
                dn.v[v] += passed * ((z.v[v] - m.v[v]) * scale.v[v]);
            }
        }
    }
    for (int v = 0; v < V; ++v) {
        shared.d[row][lane * V + v] = d.v[v];
        shared.dn[row][lane * V + v] = dn.v[v];
    }
    __syncthreads();
    const int f = threadIdx.x;
    if (f >= LANES * V || f0 + f >= F) return;
    float total = 0, total_n = 0;
    for (int r = 0; r < ROWS; ++r) {
        total += shared.d[r][f];
        total_n += shared.dn[r][f];
    }
    sums[static_cast<long long>(f0 + f) * gridDim.x + blockIdx.x] = total;
    sums[static_cast<long long>(F + f0 + f) * gridDim.x + blockIdx.x] = total_n;
}

// dshift and dscale (F) from the tiles' sums (2, F, tiles). Grid: channels.
__global__ void finish_sums(const float* sums, float* dscale, float* dshift, int tiles, int F) {
    SHARED(shared, PerThread);
    const int f = blockIdx.x;
    float total[2];
    for (int which = 0; which < 2; ++which) {
        const float* from = sums + static_cast<long long>(which * F + f) * tiles;
        float sum = 0;
        for (int i = threadIdx.x; i < tiles; i += THREADS) sum += from[i];
        total[which] = block_sum(sum, shared);
    }
    if (threadIdx.x == 0) {
        dshift[f] = total[0];
        dscale[f] = total[1];
    }
}

// dz, the gradient of the convolution's result, from d: dy at the winners' places, and 0 elsewhere (see BackChannels).
// z, dz (N, H, W, F), dy, place (N, H / 2, W / 2, F). A thread owns a window, or what an odd height or width leaves of one.
__global__ void unpool(const float* z, const float* dy, const Place* place, const float* mean, const float* inverse,
                       const float* scale, const float* dscale, const float* dshift, float* dz, int N, int H, int W, int F,
                       int n, Divider by_h, Divider by_w, Divider by_packs) {
    const int h = (H + 1) / 2, w = (W + 1) / 2, packs = F / V, i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= N * h * w * packs) return;
    int image = i;
    const int c = by_packs.split(image, packs) * V, column = by_w.split(image, w), row = by_h.split(image, h);
    const int right = 2 * column + 1 < W ? 2 : 1, below = 2 * row + 1 < H ? 2 : 1;
    const BackChannels channels(mean, inverse, scale, dscale, dshift, c, n);
    Pack<float, V> g{};
    Pack<Place, V> places;
    for (int v = 0; v < V; ++v) places.v[v] = NOWHERE;
    if (right + below == 4) {
        const long long at = ((static_cast<long long>(image) * (H / 2) + row) * (W / 2) + column) * F + c;
        g = load<V>(dy + at);
        places = load<V>(place + at);
    }
    const long long corner = ((static_cast<long long>(image) * H + 2 * row) * W + 2 * column) * F + c;
    for (int q = 0; q < 4; ++q) {
        if (q % 2 >= right || q / 2 >= below) continue;
        const long long at = corner + (static_cast<long long>(q / 2) * W + q % 2) * F;
        Pack<float, V> value = load<V>(z + at);
        for (int v = 0; v < V; ++v)
            value.v[v] = channels.gradient(v, value.v[v], places.v[v] == q ? g.v[v] : 0.0f);
        store<V>(dz + at, value);
    }
}
