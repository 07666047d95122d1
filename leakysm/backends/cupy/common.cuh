// What all kernels share. Compiled by nvrtc (through CuPy), by nvcc, and by a plain C++ compiler for the tests without a
// GPU, where a header of the tests comes first and stands in for CUDA's own words.
#pragma once

#ifndef LEAKYSM_HOST
#define SHARED(name, ...) __shared__ __VA_ARGS__ name  // one block's shared memory: a name and its type
#endif

// Numbers that the host must know too come from kernels.py, as LEAKYSM_...
constexpr int V = LEAKYSM_PACK;  // channels that a thread reads and writes at once

// N values that are loaded and stored in one access.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
    T v[N];
};

template <int N, class T>
__device__ inline Pack<T, N> load(const T* from) {
    return *reinterpret_cast<const Pack<T, N>*>(from);
}

template <int N, class T>
__device__ inline void store(T* to, const Pack<T, N>& pack) {
    *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

// Division of 0 <= n < 2^31 by a divisor that is fixed for the kernel: a product and a shift, which the host finds (`dividers`
// in kernels.py).
struct Divider {
    unsigned magic, shift;

    // n becomes n / divisor, the remainder is returned.
    __device__ int split(int& n, int divisor) const {
        const int q = static_cast<int>((static_cast<unsigned long long>(n) * magic) >> shift), r = n - q * divisor;
        n = q;
        return r;
    }
};

// BYTES bytes from global to shared memory, zeros where not valid, without waiting: see copies_commit and copies_wait.
template <int BYTES>
__device__ inline void copy_async(void* shared, const void* global, bool valid) {
#if defined(LEAKYSM_HOST)
    host_copy_async(shared, global, valid, BYTES);
#elif __CUDA_ARCH__ >= 800
    const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global), "n"(BYTES),
                 "r"(valid ? BYTES : 0)
                 : "memory");
#else
    using Word = Pack<unsigned, BYTES / 4>;
    *static_cast<Word*>(shared) = valid ? *static_cast<const Word*>(global) : Word{};
#endif
}

// Close the group of copies begun since the last call.
__device__ inline void copies_commit() {
#if defined(LEAKYSM_HOST)
    host_copies_commit();
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Wait until at most GROUPS of the calling thread's groups are still under way.
template <int GROUPS>
__device__ inline void copies_wait() {
#if defined(LEAKYSM_HOST)
    host_copies_wait(GROUPS);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS) : "memory");
#endif
}

// 1 where a value is inf or NaN.
__device__ inline bool not_finite(float value) {
    return !(value - value == 0);
}
