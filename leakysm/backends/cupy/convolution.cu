// 3x3 convolution (stride 1, zero padding 1) and its weight gradient as matrix products whose left operand, the image's
// windows, is read straight from the image and never stored. Images NHWC, kernels HWIO: row k = (tap, channel) of a kernel.
// The gradient of the image is the convolution of dy with the kernel turned round (turn_kernel).
#include "gemm.cuh"

template <class T, int BM>
struct ConvolutionShared {
    GemmShared<T, BM, true> gemm;
    T partial[8][BN];
    int h[BM], w[BM];  // where a row's pixel is; far outside for a row beyond the last
};

// Mean and sum of squared deviations of each column of the tile, for batch norm: from differences, so nothing cancels.
template <class T, int BM>
__device__ inline void tile_statistics(ConvolutionShared<T, BM>& s, int rows, T* mean, T* square, int columns, int tiles) {
    const int quad = threadIdx.x % 16 * 4, lane = threadIdx.x / 16;  // 16 x 8 threads
    for (int pass = 0; pass < 2; ++pass) {
        Pack<T, 4> centre{}, sum{};
        if (pass == 1) centre = load<4>(s.partial[0] + quad);
        for (int r = lane; r < rows; r += 8) {
            const Pack<T, 4> value = load<4>(s.gemm.c + r * C_STRIDE + quad);
            for (int q = 0; q < 4; ++q) {
                const T d = value.v[q] - centre.v[q];
                sum.v[q] += pass == 0 ? d : d * d;
            }
        }
        __syncthreads();  // everybody has read the mean
        store<4>(s.partial[lane] + quad, sum);
        __syncthreads();
        if (threadIdx.x < BN) {
            T total = 0;
            for (int i = 0; i < 8; ++i) total += s.partial[i][threadIdx.x];
            if (pass == 0) s.partial[0][threadIdx.x] = total /= rows;
            if (static_cast<int>(threadIdx.x) < columns)
                (pass == 0 ? mean : square)[static_cast<long long>(threadIdx.x) * tiles] = total;
        }
        __syncthreads();
    }
}

// y = conv2d(x, w). x (N, H, W, C), w (9 C, F), y (N, H, W, F). Unless tile_mean is null: also each tile's statistics,
// tile_mean and tile_square (F, tiles). VA, VB: values an access of x and of w and y. Grid: tiles of BM pixels, of 64 F.
template <class T, int BM, int VA, int VB, bool TF32>
__global__ void __launch_bounds__(128, BM == 128 ? 3 : 4)
    convolve(const T* x, const T* w, T* y, T* tile_mean, T* tile_square, int N, int H, int W, int C, int F) {
    SHARED(s, ConvolutionShared<T, BM>);
    const int tid = threadIdx.x, pixels = N * H * W, m0 = blockIdx.x * BM, f0 = blockIdx.y * BN, K = 9 * C;
    const Divider by_width(W), by_height(H), by_channels(C);
    for (int r = tid; r < BM; r += 128) {
        int m = m0 + r;
        s.w[r] = by_width.split(m);
        s.h[r] = m0 + r < pixels ? by_height.split(m) : -8;
    }
    __syncthreads();

    constexpr int LANES = BK / VA;
    auto fetch = [&](Stage<T, BM, true>& stage, int slice) {
        const int k0 = slice * BK, k = k0 + tid % LANES * VA;
        int tap = k;
        const int c = by_channels.split(tap), dh = tap / 3 - 1, dw = tap % 3 - 1;
        for (int r = tid / LANES; r < BM; r += 128 / LANES) {
            const int h = s.h[r] + dh, column = s.w[r] + dw;
            const bool inside = k < K && h >= 0 && h < H && column >= 0 && column < W;
            const T* from = x + (static_cast<long long>(m0 + r) + dh * W + dw) * C + c;
            copy_async<VA * sizeof(T)>(stage.a + r * stage.A_STRIDE + k - k0, inside ? from : x, inside);
        }
        for (int i = tid * VB; i < BK * BN; i += 128 * VB) {
            const int row = i / BN, f = i % BN;
            const bool inside = k0 + row < K && f0 + f < F;
            const T* from = w + static_cast<long long>(k0 + row) * F + f0 + f;
            copy_async<VB * sizeof(T)>(stage.b + row * B_STRIDE + f, inside ? from : w, inside);
        }
    };
    using Tile = typename TileOf<TF32, T, BM, 128, true>::type;
    multiply<Tile>(s.gemm, (K + BK - 1) / BK, fetch);

    const int rows = min(BM, pixels - m0), columns = min(BN, F - f0);
    store_tile<VB>(s.gemm.c, y + static_cast<long long>(m0) * F + f0, rows, columns, F, 128);
    if (tile_mean) {
        const long long at = static_cast<long long>(f0) * gridDim.x + blockIdx.x;
        tile_statistics(s, rows, tile_mean + at, tile_square + at, columns, gridDim.x);
    }
}

// partial[slice] = sum over the slice's pixels of window(x)' dy: (slices, 9 C, F), to be added up by sum_slices.
// dy (N, H, W, F). Grid: tiles of BM rows (tap, channel), tiles of 64 F, slices of `length` pixels.
template <class T, int BM, int THREADS, int VA, int VB, bool TF32>
__global__ void __launch_bounds__(THREADS, 512 / THREADS)
    weight_gradient(const T* x, const T* dy, T* partial, int N, int H, int W, int C, int F, int length) {
    SHARED(shared, GemmShared<T, BM, false>);
    const int tid = threadIdx.x, K = 9 * C, k0 = blockIdx.x * BM, f0 = blockIdx.y * BN;
    const int first = blockIdx.z * length, last = min(N * H * W, first + length);
    const Divider by_width(W), by_height(H), by_channels(C);

    constexpr int LANES = BM / VA;
    static_assert(THREADS % LANES == 0, "a thread keeps its tap and channel");
    const int k = k0 + tid % LANES * VA;
    int tap = k;
    const int c = by_channels.split(tap), dh = tap / 3 - 1, dw = tap % 3 - 1;
    auto fetch = [&](Stage<T, BM, false>& stage, int slice) {
        const int m0 = first + slice * BK;
        for (int r = tid / LANES; r < BK; r += THREADS / LANES) {
            int rest = m0 + r;
            const int column = by_width.split(rest) + dw, h = by_height.split(rest) + dh;
            const bool inside = k < K && m0 + r < last && h >= 0 && h < H && column >= 0 && column < W;
            const T* from = x + (static_cast<long long>(m0 + r) + dh * W + dw) * C + c;
            copy_async<VA * sizeof(T)>(stage.a + r * stage.A_STRIDE + k - k0, inside ? from : x, inside);
        }
        for (int i = tid * VB; i < BK * BN; i += THREADS * VB) {
            const int row = i / BN, f = i % BN;
            const bool inside = m0 + row < last && f0 + f < F;
            const T* from = dy + static_cast<long long>(m0 + row) * F + f0 + f;
            copy_async<VB * sizeof(T)>(stage.b + row * B_STRIDE + f, inside ? from : dy, inside);
        }
    };
    using Tile = typename TileOf<TF32, T, BM, THREADS, false>::type;
    multiply<Tile>(shared, (last - first + BK - 1) / BK, fetch);

    T* out = partial + (static_cast<long long>(blockIdx.z) * K + k0) * F + f0;
    store_tile<VB>(shared.c, out, min(BM, K - k0), min(BN, F - f0), F, THREADS);
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
