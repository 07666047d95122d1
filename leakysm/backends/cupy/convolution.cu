// 3x3 convolution (stride 1, zero padding 1) and its weight gradient as matrix products whose left operand, the image's
// windows, is read straight from the image and never stored. Images NHWC, kernels HWIO: row k = (tap, channel) of a kernel.
// The gradient of the image is the convolution of dy with the kernel turned round (turn_kernel).
#include "gemm.cuh"
#include "norm.cuh"

// Which of the nine taps of a pixel's window lie inside the image: bit t for tap t. 0 for a pixel beyond the last.
__device__ inline unsigned taps_inside(int pixel, int last, int H, int W, const Divider& by_height, const Divider& by_width) {
    if (pixel >= last) return 0;
    const int w = by_width.split(pixel), h = by_height.split(pixel);
    const unsigned columns = (w > 0 ? 1 : 0) | 2 | (w + 1 < W ? 4 : 0);
    return (h > 0 ? columns : 0) | columns << 3 | (h + 1 < H ? columns << 6 : 0);
}

// Begin the copy of rows [0, BK) of b (k, F), from row k0 on, columns f0 on, as far as there are `rows` and F.
template <int VB, int THREADS, class T>
__device__ inline void fetch_rows(T* to, const T* b, int k0, int rows, int f0, int F) {
    constexpr int COUNT = (BK * BN / VB + THREADS - 1) / THREADS;
#pragma unroll
    for (int i = 0; i < COUNT; ++i) {
        const int at = (i * THREADS + static_cast<int>(threadIdx.x)) * VB, row = at / BN, f = at % BN;
        if (BK * BN / VB % THREADS != 0 && at >= BK * BN) break;
        const bool inside = k0 + row < rows && f0 + f < F;
        const T* from = b + static_cast<long long>(k0 + row) * F + f0 + f;
        copy_async<VB * sizeof(T)>(to + row * B_STRIDE + f, inside ? from : b, inside);
    }
}

template <class T, int BM>
struct ConvolutionShared {
    GemmShared<T, BM, true> gemm;
    T partial[8][BN];
    unsigned taps[BM];
};

// Mean and sum of squared deviations of each column of the tile, for batch norm: from differences, so nothing cancels. The
// mean is mended once by the mean of what it leaves: what it was rounded by, squared, may exceed the variance.
template <class T, int BM>
__device__ inline void tile_statistics(ConvolutionShared<T, BM>& s, int rows, T* mean, T* square, int columns, int tiles) {
    const int quad = threadIdx.x % 16 * 4, lane = threadIdx.x / 16;  // 16 x 8 threads
    T middle = 0;
    for (int pass = 0; pass < 3; ++pass) {
        Pack<T, 4> centre{}, sum{};
        if (pass > 0) centre = load<4>(s.partial[0] + quad);
        for (int r = lane; r < rows; r += 8) {
            const Pack<T, 4> value = load<4>(s.gemm.c + r * C_STRIDE + quad);
            for (int q = 0; q < 4; ++q) {
                const T d = value.v[q] - centre.v[q];
                sum.v[q] += pass < 2 ? d : d * d;
            }
        }
        __syncthreads();  // everybody has read the mean
        store<4>(s.partial[lane] + quad, sum);
        __syncthreads();
        if (threadIdx.x < BN) {
            T total = 0;
            for (int i = 0; i < 8; ++i) total += s.partial[i][threadIdx.x];
            if (pass < 2) s.partial[0][threadIdx.x] = total = middle += total / rows;
            if (pass > 0 && static_cast<int>(threadIdx.x) < columns)
                (pass == 1 ? mean : square)[static_cast<long long>(threadIdx.x) * tiles] = total;
        }
        __syncthreads();
    }
}

// y = conv2d(x, w). x (N, H, W, C), w (9 C, F), y (N, H, W, F). Unless tile_mean is null: also each tile's statistics,
// tile_mean and tile_square (F, tiles). VA, VB: values an access of x and of w and y. Grid: tiles of BM pixels, of 64 F.
template <class T, int BM, int VA, int VB, Products P>
__global__ void __launch_bounds__(128, BM == 128 ? 3 : 4)
    convolve(const T* x, const T* w, T* y, T* tile_mean, T* tile_square, int N, int H, int W, int C, int F) {
    SHARED(s, ConvolutionShared<T, BM>);
    const int tid = threadIdx.x, pixels = N * H * W, m0 = blockIdx.x * BM, f0 = blockIdx.y * BN, K = 9 * C;
    const Divider by_width(W), by_height(H), by_channels(C);
    auto begin = [&] {
        for (int r = tid; r < BM; r += 128) s.taps[r] = taps_inside(m0 + r, pixels, H, W, by_height, by_width);
    };

    constexpr int LANES = BK / VA, STEP = 128 / LANES;  // a thread's rows are STEP apart, its column stays
    const int lane = tid % LANES * VA, first = tid / LANES;
    const long long row = static_cast<long long>(m0 + first) * C;
    auto fetch = [&](Stage<T, BM, true>& stage, int slice) {
        int tap = slice * BK + lane;
        const int c = by_channels.split(tap);  // a tap beyond the ninth is inside nowhere
        const T* from = x + (row + ((tap / 3 - 1) * W + tap % 3 - 1) * C + c);
#pragma unroll
        for (int i = 0; i < BM / STEP; ++i) {
            const bool inside = s.taps[first + i * STEP] >> tap & 1;
            T* to = stage.a + (first + i * STEP) * stage.A_STRIDE + lane;
            copy_async<VA * sizeof(T)>(to, inside ? from + i * STEP * C : x, inside);
        }
        fetch_rows<VB, 128>(stage.b, w, slice * BK, K, f0, F);
    };
    multiply<P, T, BM, 128, true>(s.gemm, (K + BK - 1) / BK, begin, fetch);

    const int rows = min(BM, pixels - m0), columns = min(BN, F - f0);
    store_tile<VB>(s.gemm.c, y + static_cast<long long>(m0) * F + f0, rows, columns, F, 128);
    if (tile_mean) {
        const long long at = static_cast<long long>(f0) * gridDim.x + blockIdx.x;
        tile_statistics(s, rows, tile_mean + at, tile_square + at, columns, gridDim.x);
    }
}

template <class T, int BM>
struct WeightGradientShared {
    GemmShared<T, BM, false> gemm;
    unsigned taps[STAGES][BK];
};

// partial[slice] = sum over the slice's pixels of window(x)' dz: (slices, 9 C, F), to be added up by sum_slices. dz
// (N, H, W, F) is brought by fetch_dz(to, pixel, last): its rows [pixel, pixel + BK) as far as `last`.
// Grid: tiles of BM rows (tap, channel), tiles of 64 F, slices of `length` pixels.
template <class T, int BM, int THREADS, int VA, int VB, Products P, class FetchDz>
__device__ inline void weight_gradient_tile(const T* x, T* partial, int N, int H, int W, int C, int F, int length,
                                            FetchDz fetch_dz) {
    SHARED(s, WeightGradientShared<T, BM>);
    const int tid = threadIdx.x, K = 9 * C, k0 = blockIdx.x * BM, f0 = blockIdx.y * BN;
    const int first = blockIdx.z * length, last = min(N * H * W, first + length);
    const Divider by_width(W), by_height(H), by_channels(C);
    // The taps of slice i's pixels are found while slice i - 1 is fetched, and before that for the first ones.
    auto find_taps = [&](int slice) {
        if (tid < BK)
            s.taps[slice % STAGES][tid] = taps_inside(first + slice * BK + tid, last, H, W, by_height, by_width);
    };
    auto begin = [&] {
        for (int i = 0; i < STAGES; ++i) find_taps(i);
    };

    constexpr int LANES = BM / VA, STEP = THREADS / LANES;
    static_assert(STEP * LANES == THREADS && BK % STEP == 0, "a thread keeps its tap and channel");
    const int lane = tid % LANES * VA, pixel = tid / LANES;
    int tap = k0 + lane;
    const int c = by_channels.split(tap);  // a tap beyond the ninth is inside nowhere
    const long long corner = (static_cast<long long>(first + pixel) + (tap / 3 - 1) * W + tap % 3 - 1) * C + c;
    tap = min(tap, 31);
    auto fetch = [&](Stage<T, BM, false>& stage, int slice) {
        if (slice + 1 >= STAGES) find_taps(slice + 1);
        const T* from = x + (corner + static_cast<long long>(slice) * BK * C);
#pragma unroll
        for (int i = 0; i < BK / STEP; ++i) {
            const bool inside = s.taps[slice % STAGES][pixel + i * STEP] >> tap & 1;
            T* to = stage.a + (pixel + i * STEP) * stage.A_STRIDE + lane;
            copy_async<VA * sizeof(T)>(to, inside ? from + i * STEP * C : x, inside);
        }
        fetch_dz(stage.b, first + slice * BK, last);
    };
    multiply<P, T, BM, THREADS, false>(s.gemm, (last - first + BK - 1) / BK, begin, fetch);

    T* out = partial + (static_cast<long long>(blockIdx.z) * K + k0) * F + f0;
    store_tile<VB>(s.gemm.c, out, min(BM, K - k0), min(BN, F - f0), F, THREADS);
}

// The above with dz from memory. VA, VB: values an access of x and of dz.
template <class T, int BM, int THREADS, int VA, int VB, Products P>
__global__ void __launch_bounds__(THREADS, P == SPLIT ? 4 : 512 / THREADS)
    weight_gradient(const T* x, const T* dz, T* partial, int N, int H, int W, int C, int F, int length) {
    const int f0 = blockIdx.y * BN;
    auto fetch_dz = [&](T* to, int pixel, int last) { fetch_rows<VB, THREADS>(to, dz, pixel, last, f0, F); };
    weight_gradient_tile<T, BM, THREADS, VA, VB, P>(x, partial, N, H, W, C, F, length, fetch_dz);
}

// The above for a net's first layer, where nobody else needs dz: it is made here, as unpool makes it, and never stored.
// z (N, H, W, F), dy, place (N, H / 2, W / 2, F); n as in BackChannels. F is a multiple of V.
template <class T, int V, Products P>
__global__ void __launch_bounds__(128, 4)
    first_weight_gradient(const T* x, const T* z, const T* dy, const Place* place, const T* mean, const T* inverse,
                          const T* scale, const T* dscale, const T* dshift, T* partial, int N, int H, int W, int C, int F,
                          int n, int length) {
    constexpr int LANES = BN / V, STEP = 128 / LANES, COUNT = BK / STEP;
    static_assert(LANES * STEP == 128 && COUNT * STEP == BK, "a thread keeps its channels");
    const int lane = threadIdx.x % LANES * V, f = min(static_cast<int>(blockIdx.y) * BN + lane, F - V);
    const Divider by_width(W), by_height(H);
    const BackChannels<T, V> channels(mean, inverse, scale, dscale, dshift, f, n);
    auto fetch_dz = [&](T* to, int pixel, int last) {
        Pack<T, V> value[COUNT], g[COUNT] = {};
        Pack<Place, V> places[COUNT];
        Place here[COUNT];
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {  // all loads before the first use
            const int m = pixel + threadIdx.x / LANES + i * STEP;
            int image = m;
            const int column = by_width.split(image), row = by_height.split(image);
            here[i] = NOWHERE + 1;
            if (m >= last) continue;
            value[i] = load<V>(z + static_cast<long long>(m) * F + f);
            if (row / 2 >= H / 2 || column / 2 >= W / 2) continue;
            const long long at = ((static_cast<long long>(image) * (H / 2) + row / 2) * (W / 2) + column / 2) * F + f;
            g[i] = load<V>(dy + at);
            places[i] = load<V>(place + at);
            here[i] = row % 2 * 2 + column % 2;
        }
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            const int row = threadIdx.x / LANES + i * STEP;
            for (int v = 0; v < V; ++v) {
                const T d = here[i] <= NOWHERE && places[i].v[v] == here[i] ? g[i].v[v] : T(0);
                value[i].v[v] = pixel + row < last ? channels.gradient(v, value[i].v[v], d) : T(0);
            }
            store<V>(to + row * B_STRIDE + lane, value[i]);
        }
    };
    weight_gradient_tile<T, 32, 128, 1, V, P>(x, partial, N, H, W, C, F, length, fetch_dz);
}

// total[i] = sum over the slices of partial[slice][i], four interleaved sums, in the order of the slices.
template <class T>
__global__ void sum_slices(const T* partial, T* total, int count, int slices) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    T sum[4] = {};
    for (int s = 0; s < slices; s += 4)
        for (int q = 0; q < 4; ++q)
            if (s + q < slices) sum[q] += partial[static_cast<long long>(s + q) * count + i];
    total[i] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// turned[8 - tap][f][c] = w[tap][c][f]: the kernel of the image's gradient. w (9, C, F) -> (9, F, C).
template <class T>
__global__ void turn_kernel(const T* w, T* turned, int C, int F) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= 9 * C * F) return;
    const int c = i % C, f = i / C % F, tap = i / C / F;
    turned[i] = w[(static_cast<long long>(8 - tap) * C + c) * F + f];
}
