// Distances between all pairs of a row of x (N, D) and a row of c (M, D), and their gradients, from differences and never
// through an (N, M, D) array. Formulas: leakysm/ops. A sum over D, or over the other set's rows, is taken in chunks of 32,
// each in four interleaved parts, and the chunks are added with compensation: its error does not grow with its length.
#include "sums.cuh"

enum Kind { SQUARED, COORDINATE, EUCLIDEAN, COSINE };

// The restriction of a squared distance. Not `active`: the identity, bit for bit.
template <class T>
struct Leak {
    T threshold, slope;
    bool active;

    __device__ T value(T d) const { return !active || d <= threshold ? d : threshold + slope * (d - threshold); }
    __device__ T derivative(T d) const { return !active || d <= threshold ? T(1) : slope; }
};

constexpr int SIDE = 16;   // a block computes 16 x 16 pairs, a thread one of them
constexpr int CHUNK = 32;

template <class T>
struct PairTile {
    T x[SIDE][CHUNK + 1], c[SIDE][CHUNK + 1];
};

// Call f(a, b, q) for the coordinates of the thread's pair, q = 0..3 the part of the sum it belongs to; end() after each
// chunk. Beyond D both coordinates are 0.
template <class T, class F, class End>
__device__ inline void over_coordinates(const T* x, const T* c, int N, int M, int D, PairTile<T>& tile, F f, End end) {
    const int n0 = blockIdx.x * SIDE, m0 = blockIdx.y * SIDE, i = threadIdx.x / SIDE, j = threadIdx.x % SIDE;
    for (int k0 = 0; k0 < D; k0 += CHUNK) {
        __syncthreads();
        for (int t = threadIdx.x; t < SIDE * CHUNK; t += THREADS) {
            const int row = t / CHUNK, k = t % CHUNK;
            const bool inside = k0 + k < D;
            tile.x[row][k] = inside && n0 + row < N ? x[static_cast<long long>(n0 + row) * D + k0 + k] : T(0);
            tile.c[row][k] = inside && m0 + row < M ? c[static_cast<long long>(m0 + row) * D + k0 + k] : T(0);
        }
        __syncthreads();
#pragma unroll 8
        for (int k = 0; k < CHUNK; ++k) f(tile.x[i][k], tile.c[j][k], k % 4);
        end();
    }
}

// y (N, M): distances. What the gradient needs besides, all (N, M): SQUARED: plain, the distance before the restriction,
// unless that is null. EUCLIDEAN: scale and norm, the norm 1 for coincident points. COSINE: plain, the cosine; x and c are
// unit rows. Grid: tiles of N, of M.
template <class T, int KIND>
__global__ void distances(const T* x, const T* c, T* y, T* plain, T* scale, T* norm, int N, int M, int D, T threshold,
                          T slope, int active) {
    SHARED(tile, PairTile<T>);
    const Leak<T> leak{threshold, slope, active != 0};
    T s = 1, part[4] = {};
    Sum<T> sum;
    if (KIND == EUCLIDEAN) {
        T largest = 0;
        over_coordinates(x, c, N, M, D, tile, [&](T a, T b, int) { largest = larger(largest, fabs(a - b)); }, [] {});
        s = power_of_two_scale(largest);
    }
    over_coordinates(
        x, c, N, M, D, tile,
        [&](T a, T b, int q) {
            const T d = (a - b) * s, square = d * d;
            part[q] += KIND == COSINE ? a * b : KIND == COORDINATE ? leak.value(square) : square;
        },
        [&] {
            sum.add((part[0] + part[1]) + (part[2] + part[3]));
            part[0] = part[1] = part[2] = part[3] = 0;
        });
    const int n = blockIdx.x * SIDE + threadIdx.x / SIDE, m = blockIdx.y * SIDE + threadIdx.x % SIDE;
    if (n >= N || m >= M) return;
    const long long at = static_cast<long long>(n) * M + m;
    if (KIND == SQUARED) {
        y[at] = leak.value(sum.total);
        if (plain) plain[at] = sum.total;
    } else if (KIND == COORDINATE) {
        y[at] = sum.total;
    } else if (KIND == EUCLIDEAN) {
        const T r = sqrt(sum.total);
        y[at] = r / s;
        scale[at] = s;
        norm[at] = r == 0 ? T(1) : r;
    } else {
        plain[at] = sum.total;
        y[at] = 1 - sum.total;
    }
}

// da_ik = factor_i sum over j of the derivative of y_ij by a_ik, times dy_ij; factor 1 where it is null. a (A, D) are the
// rows that the gradient is of, b (B, D) the other ones; weights lie at i * stride_i + j * stride_j, so that both roles
// are served. SQUARED: plain null means no restriction. Grid: chunks of D, tiles of A.
template <class T, int KIND>
__global__ void distances_gradient(const T* a, const T* b, const T* dy, const T* plain, const T* scale, const T* norm,
                                   const T* factor, T* da, int A, int B, int D, int stride_i, int stride_j, T threshold,
                                   T slope, int active) {
    const Leak<T> leak{threshold, slope, active != 0};
    const int k = blockIdx.x * CHUNK + threadIdx.x % CHUNK, i = blockIdx.y * (THREADS / CHUNK) + threadIdx.x / CHUNK;
    if (k >= D || i >= A) return;
    const T own = a[static_cast<long long>(i) * D + k];
    Sum<T> sum;
    for (int j0 = 0; j0 < B; j0 += CHUNK) {
        T part[4] = {};
        for (int j = j0; j < min(B, j0 + CHUNK); j += 4) {
#pragma unroll
            for (int q = 0; q < 4; ++q) {
                if (j + q >= B) break;
                const long long at = static_cast<long long>(i) * stride_i + static_cast<long long>(j + q) * stride_j;
                const T other = b[static_cast<long long>(j + q) * D + k], d = own - other, g = dy[at];
                if (KIND == SQUARED)
                    part[q] += 2 * (plain ? g * leak.derivative(plain[at]) : g) * d;
                else if (KIND == COORDINATE)
                    part[q] += 2 * (g * leak.derivative(d * d)) * d;
                else if (KIND == EUCLIDEAN)
                    part[q] += g * (d * scale[at] / norm[at]);
                else
                    part[q] -= g * (other - plain[at] * own);
            }
        }
        sum.add((part[0] + part[1]) + (part[2] + part[3]));
    }
    da[static_cast<long long>(i) * D + k] = factor ? sum.total * factor[i] : sum.total;
}

// Unit rows u = x / |x| and factor = 1 / |x|, both 0 for a zero vector. x, u (N, D), factor (N). Grid: rows.
template <class T>
__global__ void unit_rows(const T* x, T* u, T* factor, int D) {
    SHARED(shared, PerThread<T>);
    x += static_cast<long long>(blockIdx.x) * D;
    u += static_cast<long long>(blockIdx.x) * D;
    T largest = 0;
    Sum<T> sum;
    for (int k = threadIdx.x; k < D; k += THREADS) largest = larger(largest, fabs(x[k]));
    const T s = power_of_two_scale(block_max(largest, shared));
    for (int k = threadIdx.x; k < D; k += THREADS) sum.add(x[k] * s * (x[k] * s));
    const T norm = sqrt(block_sum(sum.total, shared));
    for (int k = threadIdx.x; k < D; k += THREADS) u[k] = norm == 0 ? T(0) : x[k] * s / norm;
    if (threadIdx.x == 0) factor[blockIdx.x] = norm == 0 ? T(0) : s / norm;
}
