// One block's share of a matrix product: a BM x 64 tile of sum_k a(row, k) b(k, column), with the operands brought through
// shared memory in slices of 16 k by asynchronous copies, three slices deep. On the ordinary units, rounded to TF32 on the
// tensor cores, or split into parts of TF32 on them, to float's own accuracy.
// The order of every sum is fixed: same inputs, same bits.
#pragma once
#include "common.cuh"

enum Products { LEAKYSM_PRODUCTS };

constexpr int BN = LEAKYSM_COLUMNS;  // columns of a tile
constexpr int BK = LEAKYSM_DEPTH;    // length of a slice of the sum
constexpr int STAGES = 3;            // slices in flight
constexpr int B_STRIDE = BN + 8;     // padded, so that a warp's accesses meet different banks
constexpr int C_STRIDE = BN + 4;

// One slice of both operands. A_BY_ROW: a is [BM][BK], as a convolution reads it; else [BK][BM], as a weight gradient does.
template <int BM, bool A_BY_ROW>
struct alignas(32) Stage {
    static constexpr int A_STRIDE = A_BY_ROW ? BK + 4 : BM + 8;
    float a[(A_BY_ROW ? BM : BK) * A_STRIDE];
    float b[BK * B_STRIDE];
};

// The tile on the ordinary units: every thread holds TM x TN results in registers.
template <int BM, int THREADS, bool A_BY_ROW>
struct Ordinary {
    static constexpr int TN = BM > 64 ? 8 : 4, TX = BN / TN, TY = THREADS / TX, TM = BM / TY;
    static_assert(TX * TY == THREADS && TM * TY == BM && TM % 4 == 0, "the threads must tile the block");
    using Slice = Stage<BM, A_BY_ROW>;
    float sum[TM][TN] = {};

    // Rows and columns of a thread are spread so that a warp reads whole lines of banks.
    static __device__ int row(int i) {
        const int ty = threadIdx.x / TX;
        return A_BY_ROW ? ty + TY * i : (i / 4) * (TY * 4) + ty * 4 + i % 4;
    }
    static __device__ int column(int quad) { return quad * (TX * 4) + (threadIdx.x % TX) * 4; }

    __device__ void add(const Slice& slice) {
#pragma unroll
        for (int k = 0; k < BK; k += 4) {
            float a[4][TM];
#pragma unroll
            for (int i = 0; i < TM; i += A_BY_ROW ? 1 : 4) {
                if (A_BY_ROW) {
                    const Pack<float, 4> p = load<4>(slice.a + row(i) * Slice::A_STRIDE + k);
#pragma unroll
                    for (int q = 0; q < 4; ++q) a[q][i] = p.v[q];
                } else {
#pragma unroll
                    for (int q = 0; q < 4; ++q) {
                        const Pack<float, 4> p = load<4>(slice.a + (k + q) * Slice::A_STRIDE + row(i));
#pragma unroll
                        for (int r = 0; r < 4; ++r) a[q][i + r] = p.v[r];
                    }
                }
            }
#pragma unroll
            for (int q = 0; q < 4; ++q) {
#pragma unroll
                for (int j = 0; j < TN; j += 4) {
                    const Pack<float, 4> b = load<4>(slice.b + (k + q) * B_STRIDE + column(j / 4));
#pragma unroll
                    for (int i = 0; i < TM; ++i)
#pragma unroll
                        for (int r = 0; r < 4; ++r) sum[i][j + r] = fma(a[q][i], b.v[r], sum[i][j + r]);
                }
            }
        }
    }

    // f(row, column, values) for all results of this thread, in packs of neighbouring columns.
    template <class F>
    __device__ void each(F f) const {
#pragma unroll
        for (int i = 0; i < TM; ++i)
#pragma unroll
            for (int j = 0; j < TN; j += 4)
                f(row(i), column(j / 4), Pack<float, 4>{{sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]}});
    }

    __device__ void clear() {
#pragma unroll
        for (int i = 0; i < TM; ++i)
#pragma unroll
            for (int j = 0; j < TN; ++j) sum[i][j] = 0;
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
template <int BM, int THREADS, bool A_BY_ROW>
struct TensorCores {
    static constexpr int WARPS_M = BM / 32, WARPS_N = THREADS / 32 / WARPS_M, NI = BN / 8 / WARPS_N;
    static_assert(WARPS_M * WARPS_N * 32 == THREADS && NI * WARPS_N * 8 == BN, "the warps must tile the block");
    using Slice = Stage<BM, A_BY_ROW>;
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
        __syncwarp();  // the warp's matrix instruction wants all its threads
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

    // f(row, column, values) for all results of this thread, in packs of neighbouring columns.
    template <class F>
    __device__ void each(F f) const {
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
            for (int j = 0; j < NI; ++j)
#pragma unroll
                for (int q = 0; q < 4; q += 2)
                    f(row(i) + q / 2 * 8, column(j) + 2 * member(), Pack<float, 2>{{sum[i][j][q], sum[i][j][q + 1]}});
    }

    __device__ void clear() {
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
            for (int j = 0; j < NI; ++j)
#pragma unroll
                for (int q = 0; q < 4; ++q) sum[i][j][q] = 0;
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
// last bit (Markidis et al. 2018). The tensor cores cut where float rounds, so each slice's sum begins at 0 there, and
// ordinary units add the slices (Ootomo & Yokota 2022).
template <int BM, int THREADS, bool A_BY_ROW>
struct SplitCores : TensorCores<BM, THREADS, A_BY_ROW> {
    using Base = TensorCores<BM, THREADS, A_BY_ROW>;
    using Slice = typename Base::Slice;
    static constexpr int STEPS = BK / 8;
    unsigned least = ~0u;  // see Parts

    __device__ void add(const Slice& slice) {
        __syncwarp();
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

template <Products P, int BM, int THREADS, bool A_BY_ROW>
struct TileOf {
    using type = Ordinary<BM, THREADS, A_BY_ROW>;
};
template <int BM, int THREADS, bool A_BY_ROW>
struct TileOf<TF32, BM, THREADS, A_BY_ROW> {
    using type = TensorCores<BM, THREADS, A_BY_ROW>;
};
template <int BM, int THREADS, bool A_BY_ROW>
struct TileOf<SPLIT, BM, THREADS, A_BY_ROW> {
    using type = SplitCores<BM, THREADS, A_BY_ROW>;
};

// Slices in flight, or the finished tile: the same memory.
template <int BM, bool A_BY_ROW>
union GemmShared {
    Stage<BM, A_BY_ROW> stages[STAGES];
    float c[BM * C_STRIDE];
};

// A step that there is nothing to do for.
struct Nothing {
    template <class... Given>
    __device__ void operator()(Given...) const {}
};

// Add all slices to the tile: after `begin()`, `fetch(stage, i)` begins the copies of slice i. What it loaded to registers,
// settle() brings to shared memory, once another slice is added. added(i): slice i is added.
template <class Tile, class Shared, class Begin, class Fetch, class Settle, class Added>
__device__ inline void add_slices(Tile& tile, Shared& shared, int slices, Begin begin, Fetch fetch, Settle settle,
                                  Added added) {
    begin();
    __syncthreads();
    for (int i = 0; i < STAGES - 1; ++i) {
        if (i < slices) fetch(shared.stages[i], i);
        copies_commit();
        settle();
    }
    for (int i = 0; i < slices; ++i) {
        copies_wait<STAGES - 2>();
        __syncthreads();  // slice i has arrived, and slice i - 1 is read by nobody any more
        if (i + STAGES - 1 < slices) fetch(shared.stages[(i + STAGES - 1) % STAGES], i + STAGES - 1);
        copies_commit();
        tile.add(shared.stages[i % STAGES]);
        settle();
        added(i);
    }
    __syncthreads();
}

// The tile to shared memory, ready to be read by all.
template <class Tile>
__device__ inline void write_tile(const Tile& tile, float* c) {
    tile.each([&](int row, int column, auto values) {
        store<sizeof(values) / sizeof(float)>(c + row * C_STRIDE + column, values);
    });
    __syncthreads();
}

// Call run(tile) with a tile that is 0, and, if that could not be split, again with one of the ordinary units.
template <Products P, int BM, int THREADS, bool A_BY_ROW, class Run>
__device__ inline void with_tile(Run run) {
    typename TileOf<P, BM, THREADS, A_BY_ROW>::type tile;
    run(tile);
    if constexpr (P == SPLIT) {
        if (__syncthreads_or(!tile.holds())) {
            Ordinary<BM, THREADS, A_BY_ROW> whole;
            run(whole);
        }
    }
}

// The product as one sum. Leaves the tile in shared.c, ready to be read by all.
template <Products P, int BM, int THREADS, bool A_BY_ROW, class Shared, class Begin, class Fetch>
__device__ inline void multiply(Shared& shared, int slices, Begin begin, Fetch fetch) {
    with_tile<P, BM, THREADS, A_BY_ROW>([&](auto& tile) {
        add_slices(tile, shared, slices, begin, fetch, Nothing(), Nothing());
        write_tile(tile, shared.c);
    });
}

// Move the tile's rows and columns that are there to out (leading dimension ld): written, or added to what stands there.
// The tile is 0 then. Every thread reads and writes its own results alone.
template <class Tile>
__device__ inline void move_tile(Tile& tile, float* out, int rows, int columns, int ld, bool add) {
    tile.each([&](int row, int column, auto values) {
        if (row >= rows || column >= columns) return;
        constexpr int N = sizeof(values) / sizeof(float);
        float* at = out + static_cast<long long>(row) * ld + column;
        if (add) {
            const auto before = load<N>(at);
            for (int i = 0; i < N; ++i) values.v[i] += before.v[i];
        }
        store<N>(at, values);
    });
    tile.clear();
}

// Rows of the tile in shared memory to out (leading dimension ld); columns beyond `columns` are left.
__device__ inline void store_tile(const float* c, float* out, int rows, int columns, int ld, int threads) {
    for (int i = threadIdx.x * V; i < rows * BN; i += threads * V) {
        const int r = i / BN, f = i % BN;
        if (f < columns) store<V>(out + static_cast<long long>(r) * ld + f, load<V>(c + r * C_STRIDE + f));
    }
}

// The product as a sum of sums, to out (leading dimension ld), as far as there are rows and columns: one long sum would drift
// where all terms are alike. The outer sum needs no registers: it stands in out. Split products have none to spare for that
// in their loop: each slice is a sum of its own there, and the host gives them no more slices than one sum may take.
template <Products P, int BM, int THREADS, bool A_BY_ROW, class Shared, class Begin, class Fetch, class Settle>
__device__ inline void multiply_in_chains(Shared& shared, int slices, Begin begin, Fetch fetch, Settle settle, float* out,
                                          int rows, int columns, int ld) {
    constexpr int CHAIN = LEAKYSM_CHAIN / BK;
    static_assert(CHAIN * BK == LEAKYSM_CHAIN, "a chain is whole slices");
    if constexpr (P == SPLIT) {
        SplitCores<BM, THREADS, A_BY_ROW> tile;
        add_slices(tile, shared, slices, begin, fetch, settle, Nothing());
        if (!__syncthreads_or(!tile.holds())) {
            write_tile(tile, shared.c);
            store_tile(shared.c, out, rows, columns, ld, THREADS);
            return;
        }
    }
    typename TileOf<P == SPLIT ? FLOAT32 : P, BM, THREADS, A_BY_ROW>::type tile;
    add_slices(tile, shared, slices, begin, fetch, settle, [&](int i) {
        if (i % CHAIN == CHAIN - 1 || i == slices - 1) move_tile(tile, out, rows, columns, ld, i >= CHAIN);
    });
}
