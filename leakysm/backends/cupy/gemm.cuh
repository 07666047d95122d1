// One block's share of a matrix product: a BM x 64 tile of sum_k a(row, k) b(k, column), with the operands brought through
// shared memory in slices of 16 k by asynchronous copies, three slices deep. Float or double on the ordinary units, float
// rounded to TF32 on the tensor cores, or float split into parts of TF32 on them, to float's own accuracy.
// The order of every sum is fixed: same inputs, same bits.
#pragma once
#include "common.cuh"

enum Products { ORDINARY, TF32, SPLIT };

constexpr int BN = 64;        // columns of a tile
constexpr int BK = 16;        // length of a slice of the sum
constexpr int STAGES = 3;     // slices in flight
constexpr int B_STRIDE = BN + 8;  // padded, so that a warp's accesses meet different banks
constexpr int C_STRIDE = BN + 4;

// One slice of both operands. A_BY_ROW: a is [BM][BK], as a convolution reads it; else [BK][BM], as a weight gradient does.
template <class T, int BM, bool A_BY_ROW>
struct alignas(32) Stage {
    static constexpr int A_STRIDE = A_BY_ROW ? BK + 4 : BM + 8;
    T a[(A_BY_ROW ? BM : BK) * A_STRIDE];
    T b[BK * B_STRIDE];
};

// The tile on the ordinary units: every thread holds TM x TN results in registers.
template <class T, int BM, int THREADS, bool A_BY_ROW>
struct Ordinary {
    static constexpr int TN = BM > 64 ? 8 : 4, TX = BN / TN, TY = THREADS / TX, TM = BM / TY;
    static_assert(TX * TY == THREADS && TM * TY == BM && TM % 4 == 0, "the threads must tile the block");
    using Slice = Stage<T, BM, A_BY_ROW>;
    T sum[TM][TN] = {};

    // Rows and columns of a thread are spread so that a warp reads whole lines of banks.
    static __device__ int row(int i) {
        const int ty = threadIdx.x / TX;
        return A_BY_ROW ? ty + TY * i : (i / 4) * (TY * 4) + ty * 4 + i % 4;
    }
    static __device__ int column(int quad) { return quad * (TX * 4) + (threadIdx.x % TX) * 4; }

    __device__ void add(const Slice& slice) {
#pragma unroll
        for (int k = 0; k < BK; k += 4) {
            T a[4][TM];
#pragma unroll
            for (int i = 0; i < TM; i += A_BY_ROW ? 1 : 4) {
                if (A_BY_ROW) {
                    const Pack<T, 4> p = load<4>(slice.a + row(i) * Slice::A_STRIDE + k);
#pragma unroll
                    for (int q = 0; q < 4; ++q) a[q][i] = p.v[q];
                } else {
#pragma unroll
                    for (int q = 0; q < 4; ++q) {
                        const Pack<T, 4> p = load<4>(slice.a + (k + q) * Slice::A_STRIDE + row(i));
#pragma unroll
                        for (int r = 0; r < 4; ++r) a[q][i + r] = p.v[r];
                    }
                }
            }
#pragma unroll
            for (int q = 0; q < 4; ++q) {
#pragma unroll
                for (int j = 0; j < TN; j += 4) {
                    const Pack<T, 4> b = load<4>(slice.b + (k + q) * B_STRIDE + column(j / 4));
#pragma unroll
                    for (int i = 0; i < TM; ++i)
#pragma unroll
                        for (int r = 0; r < 4; ++r) sum[i][j + r] = fma(a[q][i], b.v[r], sum[i][j + r]);
                }
            }
        }
    }

    __device__ void write(T* c) const {
#pragma unroll
        for (int i = 0; i < TM; ++i)
#pragma unroll
            for (int j = 0; j < TN; j += 4)
                store<4>(c + row(i) * C_STRIDE + column(j / 4),
                         Pack<T, 4>{{sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]}});
    }
};

// Round to TF32: 10 bits after the point, ties away from zero.
__device__ inline unsigned to_tf32(float value) {
#if defined(LEAKYSM_HOST)
    return host_to_tf32(value);
#elif __CUDA_ARCH__ >= 800
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
#else
    return __float_as_uint(value);
#endif
}

// d += a b for a warp: d 16 x 8, a 16 x 8 (row-major), b 8 x 8, spread over its lanes as PTX's mma.m16n8k8 lays down.
__device__ inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(LEAKYSM_HOST)
    host_mma(d, a, b);
#elif __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    __trap();  // the host asks for tensor cores only from compute capability 8.0 on
#endif
}

// The tile on the tensor cores: a warp holds 32 rows.
template <class T, int BM, int THREADS, bool A_BY_ROW>
struct TensorCores {
    static constexpr int WARPS_M = BM / 32, WARPS_N = THREADS / 32 / WARPS_M, NI = BN / 8 / WARPS_N;
    static_assert(WARPS_M * WARPS_N * 32 == THREADS && NI * WARPS_N * 8 == BN, "the warps must tile the block");
    using Slice = Stage<T, BM, A_BY_ROW>;
    float sum[2][NI][4] = {};

    // mma's lanes: a group of four lanes holds a row of a and d, a column of b.
    static __device__ int group() { return threadIdx.x % 32 / 4; }
    static __device__ int member() { return threadIdx.x % 4; }
    static __device__ int row(int i) { return threadIdx.x / 32 % WARPS_M * 32 + i * 16 + group(); }
    static __device__ int column(int j) { return (threadIdx.x / 32 / WARPS_M * NI + j) * 8; }
    static __device__ float a_at(const Slice& slice, int r, int k) {
        return slice.a[A_BY_ROW ? r * Slice::A_STRIDE + k : k * Slice::A_STRIDE + r];
    }

    __device__ void add(const Slice& slice) {
#pragma unroll
        for (int k = 0; k < BK; k += 8) {
            const int t = k + member();
            unsigned a[2][4], b[NI][2];
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                a[i][0] = to_tf32(a_at(slice, row(i), t));
                a[i][1] = to_tf32(a_at(slice, row(i) + 8, t));
                a[i][2] = to_tf32(a_at(slice, row(i), t + 4));
                a[i][3] = to_tf32(a_at(slice, row(i) + 8, t + 4));
            }
#pragma unroll
            for (int j = 0; j < NI; ++j) {
                b[j][0] = to_tf32(slice.b[t * B_STRIDE + column(j) + group()]);
                b[j][1] = to_tf32(slice.b[(t + 4) * B_STRIDE + column(j) + group()]);
            }
#pragma unroll
            for (int i = 0; i < 2; ++i)
#pragma unroll
                for (int j = 0; j < NI; ++j) mma_tf32(sum[i][j], a[i], b[j]);
        }
    }

    __device__ void write(T* c) const {
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
            for (int j = 0; j < NI; ++j)
#pragma unroll
                for (int q = 0; q < 4; ++q)
                    c[(row(i) + q / 2 * 8) * C_STRIDE + column(j) + 2 * member() + q % 2] = sum[i][j][q];
    }
};

// N values, each high + low: high rounded to TF32, low what that left. At most float's last bit is lost where the tensor
// cores, which do not look at a factor's last 13 bits, cut low. Not for inf, NaN and what rounds to inf, nor below 2^-102,
// where low may be subnormal.
template <int N>
struct Parts {
    static constexpr unsigned SMALLEST = 50u << 23;  // twice the bits of 2^-102
    unsigned high[N], low[N];

    // least: twice the bits of the smallest magnitude so far that is not 0, less 1
    __device__ void set(int i, float value, unsigned& least) {
        const unsigned bits = __float_as_uint(value);
        least = min(least, 2 * bits - 1);
        high[i] = bits + 0x1000;
        low[i] = __float_as_uint(value - __uint_as_float(high[i] & 0xffffe000));
    }
};

// The tile on the tensor cores to float's accuracy: of (high + low) (high + low) all but low low, which is about float's
// last bit (Markidis et al. 2018). The tensor cores cut where float rounds, so each slice's sum begins at 0 there, and the
// slices are added outside (Ootomo & Yokota 2022).
template <class T, int BM, int THREADS, bool A_BY_ROW>
struct SplitCores : TensorCores<T, BM, THREADS, A_BY_ROW> {
    using Base = TensorCores<T, BM, THREADS, A_BY_ROW>;
    using Slice = typename Base::Slice;
    static constexpr int STEPS = BK / 8;
    unsigned least = ~0u;

    __device__ void add(const Slice& slice) {
        Parts<4> a[STEPS][2];
#pragma unroll
        for (int s = 0; s < STEPS; ++s)
#pragma unroll
            for (int i = 0; i < 2; ++i)
#pragma unroll
                for (int q = 0; q < 4; ++q) {
                    const int k = s * 8 + Base::member() + q / 2 * 4;
                    a[s][i].set(q, Base::a_at(slice, Base::row(i) + q % 2 * 8, k), least);
                }
#pragma unroll
        for (int j = 0; j < Base::NI; ++j) {
            float part[2][4] = {};
#pragma unroll
            for (int s = 0; s < STEPS; ++s) {
                Parts<2> b;
#pragma unroll
                for (int q = 0; q < 2; ++q) {
                    const int k = s * 8 + Base::member() + q * 4;
                    b.set(q, slice.b[k * B_STRIDE + Base::column(j) + Base::group()], least);
                }
#pragma unroll
                for (int i = 0; i < 2; ++i) mma_tf32(part[i], a[s][i].low, b.high);
#pragma unroll
                for (int i = 0; i < 2; ++i) mma_tf32(part[i], a[s][i].high, b.low);
#pragma unroll
                for (int i = 0; i < 2; ++i) mma_tf32(part[i], a[s][i].high, b.high);
            }
#pragma unroll
            for (int i = 0; i < 2; ++i)
#pragma unroll
                for (int q = 0; q < 4; ++q) this->sum[i][j][q] += part[i][q];
        }
    }

    // Whether all that this thread has read could be split.
    __device__ bool holds() const {
        float zero = 0;
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
            for (int j = 0; j < Base::NI; ++j)
#pragma unroll
                for (int q = 0; q < 4; ++q) zero += this->sum[i][j][q] - this->sum[i][j][q];
        return !not_finite(zero) && least >= Parts<4>::SMALLEST;
    }
};

template <Products P, class T, int BM, int THREADS, bool A_BY_ROW>
struct TileOf {
    using type = Ordinary<T, BM, THREADS, A_BY_ROW>;
};
template <class T, int BM, int THREADS, bool A_BY_ROW>
struct TileOf<TF32, T, BM, THREADS, A_BY_ROW> {
    using type = TensorCores<T, BM, THREADS, A_BY_ROW>;
};
template <class T, int BM, int THREADS, bool A_BY_ROW>
struct TileOf<SPLIT, T, BM, THREADS, A_BY_ROW> {
    using type = SplitCores<T, BM, THREADS, A_BY_ROW>;
};

// Slices in flight, or the finished tile: the same memory.
template <class T, int BM, bool A_BY_ROW>
union GemmShared {
    Stage<T, BM, A_BY_ROW> stages[STAGES];
    T c[BM * C_STRIDE];
};

// Add all slices to the tile: after `begin()`, `fetch(stage, i)` begins the copies of slice i.
template <class Tile, class Shared, class Begin, class Fetch>
__device__ inline void add_slices(Tile& tile, Shared& shared, int slices, Begin begin, Fetch fetch) {
    begin();
    __syncthreads();
    for (int i = 0; i < STAGES - 1; ++i) {
        if (i < slices) fetch(shared.stages[i], i);
        copies_commit();
    }
    for (int i = 0; i < slices; ++i) {
        copies_wait<STAGES - 2>();
        __syncthreads();  // slice i has arrived, and slice i - 1 is read by nobody any more
        if (i + STAGES - 1 < slices) fetch(shared.stages[(i + STAGES - 1) % STAGES], i + STAGES - 1);
        copies_commit();
        tile.add(shared.stages[i % STAGES]);
    }
    __syncthreads();
}

// The product. Leaves the tile in shared.c, ready to be read by all.
template <Products P, class T, int BM, int THREADS, bool A_BY_ROW, class Shared, class Begin, class Fetch>
__device__ inline void multiply(Shared& shared, int slices, Begin begin, Fetch fetch) {
    typename TileOf<P, T, BM, THREADS, A_BY_ROW>::type tile;
    add_slices(tile, shared, slices, begin, fetch);
    if constexpr (P == SPLIT) {
        if (__syncthreads_or(!tile.holds())) {  // once more, in one piece
            Ordinary<T, BM, THREADS, A_BY_ROW> whole;
            add_slices(whole, shared, slices, begin, fetch);
            whole.write(shared.c);
            __syncthreads();
            return;
        }
    }
    tile.write(shared.c);
    __syncthreads();
}

// Rows of the tile in shared memory to out (leading dimension ld), V values an access; columns beyond `columns` are left.
template <int V, class T>
__device__ inline void store_tile(const T* c, T* out, int rows, int columns, int ld, int threads) {
    for (int i = threadIdx.x * V; i < rows * BN; i += threads * V) {
        const int r = i / BN, f = i % BN;
        if (f < columns) store<V>(out + static_cast<long long>(r) * ld + f, load<V>(c + r * C_STRIDE + f));
    }
}
