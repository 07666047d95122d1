// Batch norm, ReLU and 2x2 max pool of a convolution's result z, in one pass forward and two back. The pool comes first:
// x-hat -> scale x-hat + shift -> ReLU is monotone, so the window's winner is its largest z (scale > 0), its smallest
// (scale < 0) or its first (scale 0), and all that follows touches a quarter of the data. NHWC, V values an access.
#include "norm.cuh"
#include "sums.cuh"

constexpr int LANES = 16;               // of a tile of pooled pixels: lanes along the channels
constexpr int ROWS = THREADS / LANES;   // and along the pixels
constexpr int TILE = 256;               // pooled pixels of a tile

// What normalises a channel.
template <class T>
struct Moments {
    T mean, variance, inverse;  // inverse = 1 / sigma
};

// Those of the n values z[0], z[F], ..., for a channel whose squares or sums leave the type: multiplied by powers of two.
template <class T>
__device__ inline Moments<T> scaled_moments(const T* z, int n, int F, T eps, PerThread<T>& shared) {
    T largest = 0, centre = 0, square = 0;
    for (int i = threadIdx.x; i < n; i += THREADS) largest = larger(largest, T(fabs(z[static_cast<long long>(i) * F])));
    const T first = power_of_two_scale(block_max(largest, shared));
    for (int pass = 0; pass < 2; ++pass) {
        T sum = 0;
        for (int i = threadIdx.x; i < n; i += THREADS) sum += z[static_cast<long long>(i) * F] * first - centre;
        centre += block_sum(sum, shared) / n;
    }
    largest = sqrt(eps) * first;
    for (int i = threadIdx.x; i < n; i += THREADS)
        largest = larger(largest, T(fabs(z[static_cast<long long>(i) * F] * first - centre)));
    const T second = power_of_two_scale(block_max(largest, shared)), power = first * second;
    for (int i = threadIdx.x; i < n; i += THREADS) {
        const T d = (z[static_cast<long long>(i) * F] * first - centre) * second;
        square += d * d;
    }
    const T spread = block_sum(square, shared) / n;
    return {centre / first, spread / power / power, 1 / sqrt(spread + eps * power * power) * power};
}

// Mean, biased variance and 1 / sigma of each channel from the tiles' means and squared deviations (F, tiles): Chan's rule
// with the mean known first, mended as a tile's is. Tiles have `length` values, the last one what is left of n. Where squares
// or sums left the type, from z (n, F) itself. Grid: channels.
template <class T>
__global__ void finish_statistics(const T* z, const T* tile_mean, const T* tile_square, T* mean, T* variance, T* inverse,
                                  int tiles, int length, int n, T eps) {
    SHARED(shared, PerThread<T>);
    const int f = blockIdx.x;
    tile_mean += static_cast<long long>(f) * tiles;
    tile_square += static_cast<long long>(f) * tiles;
    T sum = 0, left = 0, square = 0;
    for (int i = threadIdx.x; i < tiles; i += THREADS) sum += tile_mean[i] * (T(min(length, n - i * length)) / n);
    T centre = block_sum(sum, shared);
    for (int i = threadIdx.x; i < tiles; i += THREADS)
        left += (tile_mean[i] - centre) * (T(min(length, n - i * length)) / n);
    centre += block_sum(left, shared);
    for (int i = threadIdx.x; i < tiles; i += THREADS) {
        const T d = tile_mean[i] - centre;
        square += tile_square[i] + min(length, n - i * length) * d * d;
    }
    const T spread = block_sum(square, shared) / n;
    Moments<T> found = {centre, spread, 1 / sqrt(spread + eps)};
    const T usual = sizeof(T) == 4 ? T(1e24) : T(1e240);  // a variance up to here, and down to 1 / here
    if (!(spread + eps < usual && spread + eps > 1 / usual)) found = scaled_moments(z + f, n, gridDim.x, eps, shared);
    if (threadIdx.x == 0) {
        mean[f] = found.mean;
        variance[f] = found.variance;
        inverse[f] = found.inverse;
    }
}

// inverse = 1 / sqrt(variance + eps), for statistics that are given.
template <class T>
__global__ void invert_deviation(const T* variance, T* inverse, int F, T eps) {
    const int f = blockIdx.x * blockDim.x + threadIdx.x;
    if (f < F) inverse[f] = 1 / sqrt(variance[f] + eps);
}

// Does z beat the best so far? A NaN beats every number; at scale 0, where 0 inf is NaN, inf does too.
template <class T>
__device__ inline bool beats(T z, T best, T scale) {
    if (z != z) return best == best;
    if (scale > 0) return z > best;
    if (scale < 0) return z < best;
    return not_finite(z) && !not_finite(best);
}

// y = max_pool2d(relu(batch_norm(z))); the winners' z and places. z (N, H, W, F) -> y, winner, place (N, H / 2, W / 2, F).
template <class T, int V>
__global__ void pool(const T* z, const T* mean, const T* inverse, const T* scale, const T* shift, T* y, T* winner,
                     Place* place, int N, int H, int W, int F) {
    const int h = H / 2, w = W / 2, packs = F / V, i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= N * h * w * packs) return;
    const Divider by_packs(packs), by_w(w), by_h(h);
    int n = i;
    const int c = by_packs.split(n) * V, column = by_w.split(n), row = by_h.split(n);
    const Channels<T, V> channels(mean, inverse, scale, shift, c);
    const T* corner = z + ((static_cast<long long>(n) * H + 2 * row) * W + 2 * column) * F + c;
    Pack<T, V> corners[4], out;
    Pack<Place, V> places{};
    for (int q = 0; q < 4; ++q) corners[q] = load<V>(corner + (static_cast<long long>(q / 2) * W + q % 2) * F);
    for (int v = 0; v < V; ++v) {
        T best = corners[0].v[v];
        for (int q = 1; q < 4; ++q)
            if (beats(corners[q].v[v], best, channels.scale.v[v])) {
                best = corners[q].v[v];
                places.v[v] = q;
            }
        const T value = channels.value(v, best);
        out.v[v] = value <= 0 ? T(0) : value;
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
template <class T, int V>
__global__ void pool_sums(const T* dy, const T* winner, const Place* place, const T* mean, const T* inverse, T* sums,
                          int rows, int F) {
    struct Sums {
        T d[ROWS][LANES * V], dn[ROWS][LANES * V];
    };
    SHARED(shared, Sums);
    const int lane = threadIdx.x % LANES, row = threadIdx.x / LANES, f0 = blockIdx.y * LANES * V, c = f0 + lane * V;
    Pack<T, V> d{}, dn{};
    if (c < F) {
        const Pack<T, V> m = load<V>(mean + c), scale = load<V>(inverse + c);
        const int last = min(rows, static_cast<int>(blockIdx.x + 1) * TILE);
        for (int r = blockIdx.x * TILE + row; r < last; r += ROWS) {
            const long long at = static_cast<long long>(r) * F + c;
            const Pack<T, V> g = load<V>(dy + at), z = load<V>(winner + at);
            const Pack<Place, V> places = load<V>(place + at);
            for (int v = 0; v < V; ++v) {
                const T passed = places.v[v] == NOWHERE ? T(0) : g.v[v];
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
    T total = 0, total_n = 0;
    for (int r = 0; r < ROWS; ++r) {
        total += shared.d[r][f];
        total_n += shared.dn[r][f];
    }
    sums[static_cast<long long>(f0 + f) * gridDim.x + blockIdx.x] = total;
    sums[static_cast<long long>(F + f0 + f) * gridDim.x + blockIdx.x] = total_n;
}

// dshift and dscale (F) from the tiles' sums (2, F, tiles). Grid: channels.
template <class T>
__global__ void finish_sums(const T* sums, T* dscale, T* dshift, int tiles, int F) {
    SHARED(shared, PerThread<T>);
    const int f = blockIdx.x;
    T total[2];
    for (int which = 0; which < 2; ++which) {
        const T* from = sums + static_cast<long long>(which * F + f) * tiles;
        T sum = 0;
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
template <class T, int V>
__global__ void unpool(const T* z, const T* dy, const Place* place, const T* mean, const T* inverse, const T* scale,
                       const T* dscale, const T* dshift, T* dz, int N, int H, int W, int F, int n) {
    const int h = (H + 1) / 2, w = (W + 1) / 2, packs = F / V, i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= N * h * w * packs) return;
    const Divider by_packs(packs), by_w(w), by_h(h);
    int image = i;
    const int c = by_packs.split(image) * V, column = by_w.split(image), row = by_h.split(image);
    const int right = 2 * column + 1 < W ? 2 : 1, below = 2 * row + 1 < H ? 2 : 1;
    const BackChannels<T, V> channels(mean, inverse, scale, dscale, dshift, c, n);
    Pack<T, V> g{};
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
        Pack<T, V> value = load<V>(z + at);
        for (int v = 0; v < V; ++v)
            value.v[v] = channels.gradient(v, value.v[v], places.v[v] == q ? g.v[v] : T(0));
        store<V>(dz + at, value);
    }
}
