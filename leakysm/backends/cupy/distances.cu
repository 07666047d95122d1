// Distances between all pairs of a row of x (N, D) and a row of c (M, D), and their gradients, from differences and never
// through an (N, M, D) array. Formulas: leakysm/ops. Long sums are compensated: their error does not grow with their length.
#include "sums.cuh"

enum Kind { LEAKYSM_KINDS };

// The restriction of a squared distance. Not `active`: the identity, bit for bit.
struct Leak {
    float threshold, slope, shrink;  // the slope is slope times shrink, 1 or a power of two: a subnormal one has no digits
    bool active;

    __device__ float sloped(float v) const { return v * shrink * slope; }
    __device__ float value(float d) const { return !active || d <= threshold ? d : threshold + sloped(d - threshold); }
    __device__ float chain(float d, float g) const { return !active || d <= threshold ? g : sloped(g); }
};

constexpr int SIDE = LEAKYSM_SIDE;              // a block computes SIDE x SIDE pairs,
constexpr int PARTS = THREADS / (SIDE * SIDE);  // each by as many threads, which share its coordinates
constexpr int CHUNK = 128;  // coordinates at a time
static_assert(SIDE * SIDE * PARTS == THREADS && PARTS == 4, "the threads must tile the pairs");

struct PairTile {
    float x[SIDE][CHUNK + PARTS], c[SIDE][CHUNK + PARTS];
    PerThread threads;
};

// Call f(a, b, q) for the thread's share of its pair's coordinates, q = 0..3 a part of the sum; end() after each chunk.
// Beyond D both coordinates are 0.
template <class F, class End>
__device__ inline void over_coordinates(const float* x, const float* c, int N, int M, int D, PairTile& tile, F f,
                                        End end) {
    const int n0 = blockIdx.x * SIDE, m0 = blockIdx.y * SIDE, tid = threadIdx.x;
    const int i = tid / (SIDE * PARTS), j = tid / PARTS % SIDE, part = tid % PARTS;
    for (int k0 = 0; k0 < D; k0 += CHUNK) {
        __syncthreads();
        for (int t = tid; t < SIDE * CHUNK; t += THREADS) {
            const int row = t / CHUNK, k = t % CHUNK;
            const bool inside = k0 + k < D;
            tile.x[row][k] = inside && n0 + row < N ? x[static_cast<long long>(n0 + row) * D + k0 + k] : 0.0f;
            tile.c[row][k] = inside && m0 + row < M ? c[static_cast<long long>(m0 + row) * D + k0 + k] : 0.0f;
        }
        __syncthreads();
        const int steps = (min(CHUNK, D - k0) + PARTS - 1) / PARTS;
#pragma unroll 8
        for (int t = 0; t < steps; ++t) f(tile.x[i][t * PARTS + part], tile.c[j][t * PARTS + part], t % 4);
        end();
    }
}

// Combine what the threads of a pair have; each of them gets the result.
template <class Combine>
__device__ inline float over_parts(float value, PairTile& tile, Combine combine) {
    const int tid = threadIdx.x, pair = tid / PARTS * PARTS;
    __syncthreads();
    tile.threads.v[tid] = value;
    __syncthreads();
    const float* v = tile.threads.v + pair;
    return combine(combine(v[0], v[1]), combine(v[2], v[3]));
}

// y (N, M): distances. What the gradient needs besides, all (N, M): SQUARED: plain, the distance before the restriction,
// unless that is null. EUCLIDEAN: scale and norm, the norm 1 for coincident points. COSINE: plain, the cosine; x and c are
// unit rows. Grid: tiles of N, of M.
template <int KIND>
__global__ void distances(const float* x, const float* c, float* y, float* plain, float* scale, float* norm, int N, int M,
                          int D, float threshold, float slope, float shrink, int active) {
    SHARED(tile, PairTile);
    const Leak leak{threshold, slope, shrink, active != 0};
    float s = 1, part[4] = {};
    Sum own;
    if (KIND == EUCLIDEAN) {
        float largest = 0;
        auto see = [&](float a, float b, int) { largest = larger(largest, fabs(a - b)); };
        over_coordinates(x, c, N, M, D, tile, see, [] {});
        s = power_of_two_scale(over_parts(largest, tile, [](float a, float b) { return larger(a, b); }));
    }
    over_coordinates(
        x, c, N, M, D, tile,
        [&](float a, float b, int q) {
            const float d = (a - b) * s, square = d * d;
            part[q] += KIND == COSINE ? a * b : KIND == COORDINATE ? leak.value(square) : square;
        },
        [&] {
            own.add((part[0] + part[1]) + (part[2] + part[3]));
            part[0] = part[1] = part[2] = part[3] = 0;
        });
    const float sum = over_parts(own.total, tile, [](float a, float b) { return a + b; });
    const int pair = threadIdx.x / PARTS, n = blockIdx.x * SIDE + pair / SIDE, m = blockIdx.y * SIDE + pair % SIDE;
    if (n >= N || m >= M || threadIdx.x % PARTS != 0) return;
    const long long at = static_cast<long long>(n) * M + m;
    if (KIND == SQUARED) {
        y[at] = leak.value(sum);
        if (plain) plain[at] = sum;
    } else if (KIND == COORDINATE) {
        y[at] = sum;
    } else if (KIND == EUCLIDEAN) {
        const float r = sqrt(sum);
        y[at] = r / s;
        scale[at] = s;
        norm[at] = r == 0 ? 1.0f : r;
    } else {
        plain[at] = sum;
        y[at] = 1 - sum;
    }
}

constexpr int WIDTH = LEAKYSM_WIDTH;     // a block of distances_gradient: coordinates of one row,
constexpr int SHARES = THREADS / WIDTH;  // and the shares into which the other rows are dealt

// da_ik = factor_i sum over j of the derivative of y_ij by a_ik, times dy_ij; factor 1 where it is null. a (A, D) are the
// rows that the gradient is of, b (B, D) the other ones; weights lie at i * stride_i + j * stride_j, so that both roles
// are served. SQUARED: plain null means no restriction. Grid: rows A, tiles of D.
template <int KIND>
__global__ void distances_gradient(const float* a, const float* b, const float* dy, const float* plain, const float* scale,
                                   const float* norm, const float* factor, float* da, int B, int D, int stride_i,
                                   int stride_j, float threshold, float slope, float shrink, int active) {
    SHARED(shared, PerThread);
    const Leak leak{threshold, slope, shrink, active != 0};
    const int i = blockIdx.x, lane = threadIdx.x % WIDTH, k = blockIdx.y * WIDTH + lane;
    Sum sum;
    if (k < D) {
        const float own = a[static_cast<long long>(i) * D + k];
#pragma unroll 4
        for (int j = threadIdx.x / WIDTH; j < B; j += SHARES) {
            const long long at = static_cast<long long>(i) * stride_i + static_cast<long long>(j) * stride_j;
            const float other = b[static_cast<long long>(j) * D + k], d = own - other, g = dy[at];
            if (KIND == SQUARED)
                sum.add(2 * (plain ? leak.chain(plain[at], g) : g) * d);
            else if (KIND == COORDINATE)
                sum.add(2 * leak.chain(d * d, g) * d);
            else if (KIND == EUCLIDEAN)
                sum.add(g * (d * scale[at] / norm[at]));
            else
                sum.add(-g * (other - plain[at] * own));
        }
    }
    shared.v[threadIdx.x] = sum.total;
    __syncthreads();
    if (static_cast<int>(threadIdx.x) >= WIDTH || k >= D) return;
    float total = 0;
    for (int share = 0; share < SHARES; ++share) total += shared.v[share * WIDTH + lane];
    da[static_cast<long long>(i) * D + k] = factor ? total * factor[i] : total;
}

// Unit rows u = x / |x| and factor = 1 / |x|, both 0 for a zero vector. x, u (N, D), factor (N). Grid: rows.
__global__ void unit_rows(const float* x, float* u, float* factor, int D) {
    SHARED(shared, PerThread);
    x += static_cast<long long>(blockIdx.x) * D;
    u += static_cast<long long>(blockIdx.x) * D;
    float largest = 0;
    Sum sum;
    for (int k = threadIdx.x; k < D; k += THREADS) largest = larger(largest, fabs(x[k]));
    const float s = power_of_two_scale(block_max(largest, shared));
    for (int k = threadIdx.x; k < D; k += THREADS) sum.add(x[k] * s * (x[k] * s));
    const float norm = sqrt(block_sum(sum.total, shared));
    for (int k = threadIdx.x; k < D; k += THREADS) u[k] = norm == 0 ? 0.0f : x[k] * s / norm;
    if (threadIdx.x == 0) factor[blockIdx.x] = norm == 0 ? 0.0f : s / norm;
}
