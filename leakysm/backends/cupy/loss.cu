// Prototypes and softmax cross-entropy over distances or logits, and the figures of a training step. Formulas: leakysm/ops.
#include "sums.cuh"

// centres (M, D): the mean of the rows of z (S, D) with label m, each divided before it is added; shots (M): how many.
// labels (S) are whole numbers of 64 bits. Grid: tiles of D, classes.
__global__ void prototypes(const float* z, const long long* labels, float* centres, float* shots, int S, int D) {
    const int k = blockIdx.x * THREADS + threadIdx.x, m = blockIdx.y;
    int count = 0;
    for (int i = 0; i < S; ++i) count += labels[i] == m;
    if (k < D) {
        Sum sum;
        for (int i = 0; i < S; ++i)
            if (labels[i] == m) sum.add(z[static_cast<long long>(i) * D + k] / count);
        centres[static_cast<long long>(m) * D + k] = sum.total;
    }
    if (k == 0) shots[m] = count;
}

// dz (S, D): the gradient of each row's class, divided by its shots. Grid: tiles of S D.
__global__ void prototypes_gradient(const float* dcentres, const long long* labels, const float* shots, float* dz, int S,
                                    int D) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= S * D) return;
    const long long m = labels[i / D];
    dz[i] = dcentres[m * D + i % D] / shots[m];
}

// What is left of a row for the figures of a step, each (N).
enum Figure { LEAKYSM_FIGURES, FIGURES };

// Cross-entropy of the logits z = sign * values (N, M), a row a block. figures (FIGURES, N), unless null; gradient (N, M)
// with respect to `values`, unless null: of *dy times the mean loss, dy null for 1.
__global__ void cross_entropy(const float* values, const long long* labels, const float* dy, float* figures,
                              float* gradient, int N, int M, float sign, float vanished) {
    SHARED(shared, PerThread);
    const long long row = static_cast<long long>(blockIdx.x) * M;
    const int tid = threadIdx.x, label = static_cast<int>(labels[blockIdx.x]);
    float largest = sign * values[row], place = -M, others = 0, rest = 0, faint = 0, distance = 0;
    for (int j = tid; j < M; j += THREADS) largest = larger(largest, sign * values[row + j]);
    largest = block_max(largest, shared);
    if (not_finite(largest)) largest -= largest;  // NaN, for the whole row
    for (int j = tid; j < M; j += THREADS)
        if (sign * values[row + j] == largest) place = max(place, float(-j));
    const int first = static_cast<int>(-block_max(place, shared));
    for (int j = tid; j < M; j += THREADS) {
        const float e = exp(sign * values[row + j] - largest);
        if (j != first) others += e;
        if (j != label) rest += e;
    }
    others = block_sum(others, shared);
    rest = block_sum(rest, shared);
    for (int j = tid; j < M; j += THREADS) {
        const float e = j == label ? -rest : exp(sign * values[row + j] - largest);
        const float p = e / (1 + others);
        if (gradient) gradient[row + j] = sign * p * ((dy ? *dy : 1.0f) / N);
        if (fabs(p) < vanished) faint += 1;
        distance += values[row + j];
    }
    if (!figures) return;
    faint = block_sum(faint, shared);
    distance = block_sum(distance, shared);
    if (tid != 0) return;
    float* out = figures + blockIdx.x;
    // Halves, so that a row's loss cannot overflow before it is divided by N.
    out[LOSS * N] = (log1p(others) / 2 - (sign * values[row + label] / 2 - largest / 2)) / (float(N) / 2);
    out[RIGHT * N] = first == label;
    out[VANISHED * N] = faint;
    out[DISTANCE * N] = distance;
    out[PROBABILITY * N] = 1 / (1 + others);
}

// lengths (N): Euclidean norm of factor times each row of x (N, D), scaled so that no square overflows. Grid: rows.
__global__ void row_lengths(const float* x, float* lengths, int D, float factor) {
    SHARED(shared, PerThread);
    x += static_cast<long long>(blockIdx.x) * D;
    float largest = 0;
    Sum sum;
    for (int k = threadIdx.x; k < D; k += THREADS) largest = larger(largest, fabs(factor * x[k]));
    const float s = power_of_two_scale(block_max(largest, shared));
    for (int k = threadIdx.x; k < D; k += THREADS) {
        const float value = factor * x[k] * s;
        sum.add(value * value);
    }
    const float total = block_sum(sum.total, shared);
    if (threadIdx.x == 0) lengths[blockIdx.x] = sqrt(total) / s;
}

// The sum of N values, in one block.
__global__ void total(const float* values, float* sum, int N) {
    SHARED(shared, PerThread);
    Sum own;
    for (int i = threadIdx.x; i < N; i += THREADS) own.add(values[i]);
    const float all = block_sum(own.total, shared);
    if (threadIdx.x == 0) *sum = all;
}

// A step's record: loss, accuracy, and the figures of early-gradient sparsity in the order of the trainer's journal.
// figures (FIGURES, N) of cross_entropy over (N, M) distances, lengths (N) of row_lengths. One block.
__global__ void summarise(const float* figures, const float* lengths, float* record, int N, int M, float faint) {
    SHARED(shared, PerThread);
    float longest = 0;
    for (int i = threadIdx.x; i < N; i += THREADS) longest = larger(longest, lengths[i]);
    longest = block_max(longest, shared);
    Sum sums[FIGURES], below, length;
    for (int i = threadIdx.x; i < N; i += THREADS) {
        for (int f = 0; f < FIGURES; ++f) sums[f].add(figures[f * N + i]);
        below.add(lengths[i] < faint * longest ? 1.0f : 0.0f);
        length.add(lengths[i]);
    }
    const float pairs = float(N) * M;
    const float values[] = {sums[LOSS].total,
                        sums[RIGHT].total / N,
                        sums[VANISHED].total / pairs,
                        below.total / N,
                        length.total / N,
                        sums[DISTANCE].total / pairs,
                        sums[PROBABILITY].total / N};
    for (int i = 0; i < 7; ++i) {
        const float value = block_sum(values[i], shared);
        if (threadIdx.x == 0) record[i] = value;
    }
}
