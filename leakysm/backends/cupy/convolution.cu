// 3x3 convolution (stride 1, zero padding 1) and its weight gradient as matrix products whose left operand, the image's
// windows, is read straight from the image and never stored. Images NHWC, kernels HWIO: row k = (tap, channel) of a kernel.
// The gradient of the image is the convolution of dy with the kernel turned round (turn_kernel).
#include "gemm.cuh"
#include "norm.cuh"

constexpr int TILE_THREADS = LEAKYSM_TILE_THREADS;  // of a convolution's tile

// Which of the nine taps of a pixel's window lie inside the image: bit t for tap t. 0 for a pixel beyond the last.
__device__ inline unsigned taps_inside(int pixel, int last, int H, int W, Divider by_height, Divider by_width) {
    if (pixel >= last) return 0;
    const int w = by_width.split(pixel, W), h = by_height.split(pixel, H);
    const unsigned columns = (w > 0 ? 1 : 0) | 2 | (w + 1 < W ? 4 : 0);
    return (h > 0 ? columns : 0) | columns << 3 | (h + 1 < H ? columns << 6 : 0);
}

// Begin the copy of rows [0, BK) of b (k, F), from row k0 on, columns f0 on, as far as there are `rows` and F.
template <int THREADS>
__device__ inline void fetch_rows(float* to, const float* b, int k0, int rows, int f0, int F) {
    constexpr int COUNT = (BK * BN / V + THREADS - 1) / THREADS;
#pragma unroll
    for (int i = 0; i < COUNT; ++i) {
        const int at = (i * THREADS + static_cast<int>(threadIdx.x)) * V, row = at / BN, f = at % BN;
        if (BK * BN / V % THREADS != 0 && at >= BK * BN) break;
        const bool inside = k0 + row < rows && f0 + f < F;
        const float* from = b + static_cast<long long>(k0 + row) * F + f0 + f;
        copy_async<V * sizeof(float)>(to + row * B_STRIDE + f, inside ? from : b, inside);
    }
}

template <int BM>
struct ConvolutionShared {
    GemmShared<BM, true> gemm;
    float partial[TILE_THREADS / 16][BN];  // of tile_statistics: 16 lanes of four columns each, and this many of rows
    unsigned taps[BM];
};

// Mean and sum of squared deviations of each column of the tile, for batch norm: from differences, so nothing cancels. The
// mean is corrected once, by the mean of the differences: the square of its rounding error may exceed the variance.
template <int BM>
__device__ inline void tile_statistics(ConvolutionShared<BM>& s, int rows, float* mean, float* square, int columns,
                                       int tiles) {
    constexpr int LANES = TILE_THREADS / 16;
    const int quad = threadIdx.x % 16 * 4, lane = threadIdx.x / 16;
    float middle = 0;
    for (int pass = 0; pass < 3; ++pass) {
        Pack<float, 4> centre{}, sum{};
        if (pass > 0) centre = load<4>(s.partial[0] + quad);
        for (int r = lane; r < rows; r += LANES) {
            const Pack<float, 4> value = load<4>(s.gemm.c + r * C_STRIDE + quad);
            for (int q = 0; q < 4; ++q) {
                const float d = value.v[q] - centre.v[q];
                sum.v[q] += pass < 2 ? d : d * d;
            }
        }
        __syncthreads();  // everybody has read the mean
        store<4>(s.partial[lane] + quad, sum);
        __syncthreads();
        if (threadIdx.x < BN) {
            float total = 0;
            for (int i = 0; i < LANES; ++i) total += s.partial[i][threadIdx.x];
            if (pass < 2) s.partial[0][threadIdx.x] = total = middle += total / rows;
            if (pass > 0 && static_cast<int>(threadIdx.x) < columns)
                (pass == 1 ? mean : square)[static_cast<long long>(threadIdx.x) * tiles] = total;
        }
        __syncthreads();
    }
}

// y = conv2d(x, w). x (N, H, W, C), w (9 C, F), y (N, H, W, F). Unless tile_mean is null: also each tile's statistics,
// tile_mean and tile_square (F, tiles). VA: values an access of x; F is a multiple of V. Grid: tiles of BM pixels, of 64 F.
template <int BM, int VA, Products P>
__global__ void __launch_bounds__(TILE_THREADS, BM > 64 ? 3 : 4)
    convolve(const float* x, const float* w, float* y, float* tile_mean, float* tile_square, int N, int H, int W, int C,
             int F, Divider by_height, Divider by_width, Divider by_channels) {
    SHARED(s, ConvolutionShared<BM>);
    const int tid = threadIdx.x, pixels = N * H * W, m0 = blockIdx.x * BM, f0 = blockIdx.y * BN, K = 9 * C;
    auto begin = [&] {
        for (int r = tid; r < BM; r += TILE_THREADS) s.taps[r] = taps_inside(m0 + r, pixels, H, W, by_height, by_width);
    };

    constexpr int LANES = BK / VA, STEP = TILE_THREADS / LANES;  // a thread's rows are STEP apart, its column stays
    const int lane = tid % LANES * VA, first = tid / LANES;
    const long long row = static_cast<long long>(m0 + first) * C;
    auto fetch = [&](Stage<BM, true>& stage, int slice) {
        int tap = slice * BK + lane;
        const int c = by_channels.split(tap, C);  // a tap beyond the ninth is inside nowhere
        const float* from = x + (row + ((tap / 3 - 1) * W + tap % 3 - 1) * C + c);
#pragma unroll
        for (int i = 0; i < BM / STEP; ++i) {
            const bool inside = s.taps[first + i * STEP] >> tap & 1;
            float* to = stage.a + (first + i * STEP) * stage.A_STRIDE + lane;
            copy_async<VA * sizeof(float)>(to, inside ? from + i * STEP * C : x, inside);
        }
        fetch_rows<TILE_THREADS>(stage.b, w, slice * BK, K, f0, F);
    };
    multiply<P, BM, TILE_THREADS, true>(s.gemm, (K + BK - 1) / BK, begin, fetch);

    const int rows = min(BM, pixels - m0), columns = min(BN, F - f0);
    store_tile(s.gemm.c, y + static_cast<long long>(m0) * F + f0, rows, columns, F, TILE_THREADS);
    if (tile_mean) {
        const long long at = static_cast<long long>(f0) * gridDim.x + blockIdx.x;
        tile_statistics(s, rows, tile_mean + at, tile_square + at, columns, gridDim.x);
    }
}

template <int BM>
struct WeightGradientShared {
    GemmShared<BM, false> gemm;
    unsigned taps[STAGES][BK];
};

// partial[slice] = sum over the slice's pixels of window(x)' dz: (slices, 9 C, F), to be added up by sum_slices. dz
// (N, H, W, F) is brought by fetch_dz(to, pixel, last) and settle(): its rows [pixel, pixel + BK) as far as `last`. V divides F.
// Grid: for each slice of `length` pixels the tiles of BM rows (tap, channel), one after another; tiles of 64 F.
template <int BM, int THREADS, int VA, Products P, class FetchDz, class Settle>
__device__ inline void weight_gradient_tile(const float* x, float* partial, int N, int H, int W, int C, int F,
                                            int length, Divider by_height, Divider by_width, Divider by_channels,
                                            FetchDz fetch_dz, Settle settle) {
    SHARED(s, WeightGradientShared<BM>);
    const int tid = threadIdx.x, K = 9 * C, tiles = (K + BM - 1) / BM, part = blockIdx.x / tiles;
    const int k0 = (blockIdx.x - part * tiles) * BM, f0 = blockIdx.y * BN;
    const int first = part * length, last = first + min(N * H * W - first, length);
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
    const int c = by_channels.split(tap, C);  // a tap beyond the ninth is inside nowhere
    const long long corner = (static_cast<long long>(first + pixel) + (tap / 3 - 1) * W + tap % 3 - 1) * C + c;
    tap = min(tap, 31);
    auto fetch = [&](Stage<BM, false>& stage, int slice) {
        if (slice + 1 >= STAGES) find_taps(slice + 1);
        const float* from = x + (corner + static_cast<long long>(slice) * BK * C);
#pragma unroll
        for (int i = 0; i < BK / STEP; ++i) {
            const bool inside = s.taps[slice % STAGES][pixel + i * STEP] >> tap & 1;
            float* to = stage.a + (pixel + i * STEP) * stage.A_STRIDE + lane;
            copy_async<VA * sizeof(float)>(to, inside ? from + i * STEP * C : x, inside);
        }
        fetch_dz(stage.b, first + slice * BK, last);
    };
    const int slices = (last - first + BK - 1) / BK;
    float* out = partial + (static_cast<long long>(part) * K + k0) * F + f0;
    multiply_in_chains<P, BM, THREADS, false>(s.gemm, slices, begin, fetch, settle, out, min(BM, K - k0),
                                              min(BN, F - f0), F);
}

// The above with dz from memory. VA: values an access of x.
template <int BM, int THREADS, int VA, Products P>
__global__ void __launch_bounds__(THREADS, (P == FLOAT32 ? 512 : P == TF32 ? 448 : 384) / THREADS)
    weight_gradient(const float* x, const float* dz, float* partial, int N, int H, int W, int C, int F, int length,
                    Divider by_height, Divider by_width, Divider by_channels) {
    const int f0 = blockIdx.y * BN;
    auto fetch_dz = [&](float* to, int pixel, int last) { fetch_rows<THREADS>(to, dz, pixel, last, f0, F); };
    weight_gradient_tile<BM, THREADS, VA, P>(x, partial, N, H, W, C, F, length, by_height, by_width, by_channels,
                                             fetch_dz, Nothing());
}

// The above for a net's first layer, where nobody else needs dz: it is made here, as unpool makes it, and never stored.
// z (N, H, W, F), dy, place (N, H / 2, W / 2, F); n as in BackChannels.
template <int BM, Products P>
__global__ void __launch_bounds__(TILE_THREADS, 4)
    first_weight_gradient(const float* x, const float* z, const float* dy, const Place* place, const float* mean,
                          const float* inverse, const float* scale, const float* dscale, const float* dshift,
                          float* partial, int N, int H, int W, int C, int F, int n, int length, Divider by_height,
                          Divider by_width, Divider by_channels) {
    constexpr int LANES = BN / V, STEP = TILE_THREADS / LANES, COUNT = BK / STEP;
    static_assert(LANES * STEP == TILE_THREADS && COUNT * STEP == BK, "a thread keeps its channels");
    const int lane = threadIdx.x % LANES * V, f = min(static_cast<int>(blockIdx.y) * BN + lane, F - V);
    const BackChannels channels(mean, inverse, scale, dscale, dshift, f, n);
    constexpr Place UNPOOLED = NOWHERE + 1, BEYOND = NOWHERE + 2;  // pixels that no window holds, and those after the last
    Pack<float, V> value[COUNT], g[COUNT];
    Pack<Place, V> places[COUNT] = {};
    Place here[COUNT];
    float* target = nullptr;
    auto fetch_dz = [&](float* to, int pixel, int last) {
        target = to;
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            const int m = pixel + threadIdx.x / LANES + i * STEP;
            int image = m;
            const int column = by_width.split(image, W), row = by_height.split(image, H);
            here[i] = m < last ? UNPOOLED : BEYOND;
            if (m >= last) continue;
            value[i] = load<V>(z + static_cast<long long>(m) * F + f);
            if (row / 2 >= H / 2 || column / 2 >= W / 2) continue;
            const long long at = ((static_cast<long long>(image) * (H / 2) + row / 2) * (W / 2) + column / 2) * F + f;
            g[i] = load<V>(dy + at);
            places[i] = load<V>(place + at);
            here[i] = row % 2 * 2 + column % 2;
        }
    };
    auto settle = [&] {
        if (!target) return;
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            for (int v = 0; v < V; ++v) {
                const float d = places[i].v[v] == here[i] ? g[i].v[v] : 0.0f;
                value[i].v[v] = here[i] == BEYOND ? 0.0f : channels.gradient(v, value[i].v[v], d);
            }
            store<V>(target + (threadIdx.x / LANES + i * STEP) * B_STRIDE + lane, value[i]);
        }
        target = nullptr;
    };
    weight_gradient_tile<BM, TILE_THREADS, 1, P>(x, partial, N, H, W, C, F, length, by_height, by_width, by_channels,
                                                 fetch_dz, settle);
}
