// CUDA's words for a plain C++ compiler, so that the tests run the very kernels without a GPU. A block's threads are fibers
// on one CPU thread that switch at every barrier, in ascending or descending order: a missing barrier then gives other
// results in one of the orders. Shared memory, and the target of a copy under way, hold NaN until they are written.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#ifdef LEAKYSM_HOST_FLUSH
#include <xmmintrin.h>
#endif

#define LEAKYSM_HOST
#define __global__
#define __device__
#define __launch_bounds__(...)
#define SHARED(name, ...) auto& name = host::shared<__VA_ARGS__>()
#define __syncthreads() host::barrier(__LINE__)
#define __syncwarp() static_cast<void>(0)
#define __syncthreads_or(condition) host::any(condition, __LINE__)

struct dim3 {
    unsigned x, y, z;
};
static dim3 threadIdx, blockIdx, blockDim, gridDim;

using std::exp;
using std::fabs;
using std::fma;
using std::frexp;
using std::ldexp;
using std::log1p;
using std::max;
using std::min;
using std::sqrt;

namespace host {

constexpr int MOST_THREADS = 1024;
constexpr size_t STACK = 128 << 10;
constexpr size_t SHARED_BYTES = 48 << 10;  // what a block gets without asking

struct Copy {
    void* to;
    const void* from;
    int bytes;
    bool valid;
};

struct Fiber {
    ucontext_t begin;                        // enters it for the first time; from then on _longjmp is far cheaper
    jmp_buf resume;
    bool begun;
    int line;                                // of the barrier that it waits at; 0: it has ended
    size_t used;                             // shared memory named so far
    std::vector<std::vector<Copy>> copies;   // its groups of asynchronous copies, oldest first; the last one is open
};

static std::vector<Fiber> fibers(MOST_THREADS);
static std::vector<char> stacks(MOST_THREADS* STACK);
static ucontext_t unused;
static jmp_buf scheduler;
static int current;
static void (*body)(void**);
static void** body_arguments;
alignas(64) static char shared_memory[SHARED_BYTES];

template <class T>
T& shared() {
    Fiber& fiber = fibers[current];
    size_t at = (fiber.used + alignof(T) - 1) / alignof(T) * alignof(T);
    fiber.used = at + sizeof(T);
    static_assert(sizeof(T) <= SHARED_BYTES, "too much shared memory");
    return *reinterpret_cast<T*>(shared_memory + at);
}

inline void to_scheduler(int line) {
    fibers[current].line = line;
    if (_setjmp(fibers[current].resume) == 0) _longjmp(scheduler, 1);
}

inline void barrier(int line) { to_scheduler(line); }

inline bool any(bool condition, int line) {
    static bool found = false;
    found = found || condition;
    barrier(line);
    const bool result = found;
    barrier(line);
    found = false;
    barrier(line);
    return result;
}

inline void to_fiber() {
    if (_setjmp(scheduler) != 0) return;  // it came back
    Fiber& fiber = fibers[current];
    if (fiber.begun) _longjmp(fiber.resume, 1);
    fiber.begun = true;
    swapcontext(&unused, &fiber.begin);
}

inline void enter() {
    body(body_arguments);
    to_scheduler(0);
}

inline void start(int thread) {
    Fiber& fiber = fibers[thread];
    getcontext(&fiber.begin);
    fiber.begin.uc_stack.ss_sp = stacks.data() + thread * STACK;
    fiber.begin.uc_stack.ss_size = STACK;
    fiber.begin.uc_link = nullptr;
    makecontext(&fiber.begin, enter, 0);
    fiber.begun = false;
    fiber.used = 0;
    fiber.copies.assign(1, {});
}

// One block; false if its threads part at a barrier.
inline bool run_block(bool descending) {
    const int n = blockDim.x * blockDim.y * blockDim.z;
    std::memset(shared_memory, 0xff, SHARED_BYTES);
    for (int t = 0; t < n; ++t) start(t);
    for (;;) {
        for (int i = 0; i < n; ++i) {
            current = descending ? n - 1 - i : i;
            const unsigned rest = current / blockDim.x;
            threadIdx = {current % blockDim.x, rest % blockDim.y, rest / blockDim.y};
            to_fiber();
        }
        for (int t = 1; t < n; ++t)
            if (fibers[t].line != fibers[0].line) return false;
        if (fibers[0].line == 0) return true;
    }
}

template <class... A, size_t... I>
void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_reference_t<A>*>(arguments[I])...);
}

template <class... A>
void call(void (*kernel)(A...), void** arguments) {
    call(kernel, arguments, std::index_sequence_for<A...>());
}

// With -DLEAKYSM_HOST_FLUSH: while a kernel runs, numbers below the smallest normal one are 0, read or written.
struct Flush {
#ifdef LEAKYSM_HOST_FLUSH
    const unsigned before = _mm_getcsr();
    Flush() { _mm_setcsr(before | 0x8040); }
    ~Flush() { _mm_setcsr(before); }
#else
    Flush() {}
#endif
};

inline int run(void (*kernel)(void**), const unsigned* shape, void** arguments, int descending) {
    const Flush flush;
    body = kernel;
    body_arguments = arguments;
    gridDim = {shape[0], shape[1], shape[2]};
    blockDim = {shape[3], shape[4], shape[5]};
    const unsigned blocks = shape[0] * shape[1] * shape[2];
    for (unsigned i = 0; i < blocks; ++i) {
        const unsigned b = descending ? blocks - 1 - i : i;
        blockIdx = {b % shape[0], b / shape[0] % shape[1], b / shape[0] / shape[1]};
        if (!run_block(descending)) return 1;
    }
    return 0;
}

// mma.m16n8k8 as PTX describes its lanes: each publishes what it holds, then sums up its own four results.
struct Lane {
    float a[4], b[2];
};
static Lane lanes[MOST_THREADS];

// A sum as the tensor cores make it: all terms are cut one bit below the last place of the largest, their sum at its own.
// Four products and the sum before at a time, as in an A100; an H100 takes eight and keeps one bit more (Fasi et al. 2021,
// "Numerical behavior of NVIDIA tensor cores"; models of github.com/north-numerical-computing/MATLAB-tensor-core).
inline float cut_sum(const double* terms, int count) {
    double largest = 0, plain = 0, sum = 0;
    for (int i = 0; i < count; ++i) largest = max(largest, fabs(terms[i])), plain += terms[i];
    if (!(largest < INFINITY) || largest == 0 || plain != plain) return static_cast<float>(plain);
    int exponent;
    frexp(largest, &exponent);
    const double last = ldexp(1.0, max(exponent - 25, -150));
    for (int i = 0; i < count; ++i) sum += std::trunc(terms[i] / last) * last;
    if (sum == 0) return 0;
    frexp(sum, &exponent);
    const double place = ldexp(1.0, max(exponent - 24, -149));
    return static_cast<float>(std::trunc(sum / place) * place);
}

}  // namespace host

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}

inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// Copies happen only when they are waited for, so that a wait too few shows as NaN.
inline void host_copy_async(void* to, const void* from, bool valid, int bytes) {
    std::memset(to, 0xff, bytes);
    host::fibers[host::current].copies.back().push_back({to, from, bytes, valid});
}

inline void host_copies_commit() { host::fibers[host::current].copies.push_back({}); }

inline void host_copies_wait(int groups) {
    auto& copies = host::fibers[host::current].copies;
    while (static_cast<int>(copies.size()) - 1 > groups) {
        for (const host::Copy& c : copies.front()) {
            if (c.valid)
                std::memcpy(c.to, c.from, c.bytes);
            else
                std::memset(c.to, 0, c.bytes);
        }
        copies.erase(copies.begin());
    }
}

inline unsigned host_to_tf32(float value) {
    const unsigned bits = __float_as_uint(value);
    return std::isfinite(value) ? (bits + 0x1000) & 0xffffe000 : bits;
}

inline void host_mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    const int t = threadIdx.x, warp = t / 32 * 32, group = t % 32 / 4, member = t % 4;
    // The last 13 bits of a factor are not looked at.
    for (int i = 0; i < 4; ++i) host::lanes[t].a[i] = __uint_as_float(a[i] & 0xffffe000);
    for (int i = 0; i < 2; ++i) host::lanes[t].b[i] = __uint_as_float(b[i] & 0xffffe000);
    __syncthreads();
    for (int i = 0; i < 4; ++i) {
        const int row = group + i / 2 * 8, column = member * 2 + i % 2;
        for (int half = 0; half < 2; ++half) {
            double terms[5] = {d[i]};
            for (int k = 0; k < 4; ++k) {
                const host::Lane& of_a = host::lanes[warp + row % 8 * 4 + k];
                const host::Lane& of_b = host::lanes[warp + column * 4 + k];
                terms[k + 1] = static_cast<double>(of_a.a[row / 8 + half * 2]) * of_b.b[half];
            }
            d[i] = host::cut_sum(terms, 5);
        }
    }
    __syncthreads();
}

// launch_<i>(grid and block, pointers to the arguments, descending?) -> 0, or 1 where threads part at a barrier.
#define HOST_LAUNCH(i, ...)                                                                            \
    extern "C" int launch_##i(const unsigned* shape, void** arguments, int descending) {               \
        return host::run([](void** a) { host::call(&__VA_ARGS__, a); }, shape, arguments, descending); \
    }
