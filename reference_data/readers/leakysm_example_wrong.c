/* Three usual mistakes, which leakysm_vectors.c must find: the expanded square, a gradient without the slope, and p - 1. */
#include "leakysm_vectors.h"
#include <math.h>

static double dot(const double *a, const double *b, long width) {
    double sum = 0;
    for (long k = 0; k < width; k++) sum += a[k] * b[k];
    return sum;
}

static void expanded_value(lk_call *call) {
    const lk_array *x = lk_argument(call, "x"), *c = lk_argument(call, "c");
    long rows = x->shape[0], columns = c->shape[0], width = x->shape[1];
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < columns; j++) {
            const double *a = x->values + i * width, *b = c->values + j * width;
            lk_result(call, "y")->values[i * columns + j] = dot(a, a, width) - 2 * dot(a, b, width) + dot(b, b, width);
        }
}

static void squared_vjp(lk_call *call) {
    const lk_array *x = lk_argument(call, "x"), *c = lk_argument(call, "c"), *dy = lk_argument(call, "dy");
    long rows = x->shape[0], columns = c->shape[0], width = x->shape[1];
    lk_array *dx = lk_result(call, "dx"), *dc = lk_result(call, "dc");
    for (long i = 0; i < dx->size; i++) dx->values[i] = 0;
    for (long i = 0; i < dc->size; i++) dc->values[i] = 0;
    for (long i = 0; i < rows * columns * width; i++) {
        long k = i % width, j = i / width % columns, row = i / width / columns;
        double term = 2 * (x->values[row * width + k] - c->values[j * width + k]) * dy->values[row * columns + j];
        dx->values[row * width + k] += term;
        dc->values[j * width + k] -= term;
    }
}

static void minus_one_vjp(lk_call *call) {
    const lk_array *logits = lk_argument(call, "logits"), *labels = lk_argument(call, "labels");
    long rows = logits->shape[0], width = logits->shape[1];
    double dy = lk_argument(call, "dy")->values[0];
    for (long i = 0; i < rows; i++) {
        const double *z = logits->values + i * width;
        double top = z[0], sum = 0;
        for (long j = 0; j < width; j++) top = fmax(top, z[j]);
        for (long j = 0; j < width; j++) sum += exp(z[j] - top);
        for (long j = 0; j < width; j++) {
            double p = exp(z[j] - top) / sum - (j == (long)labels->values[i]);
            lk_result(call, "dlogits")->values[i * width + j] = p / (double)rows * dy;
        }
    }
}

const lk_operation lk_operations[] = {
    {"squared_euclidean", expanded_value, squared_vjp},
    {"leaky_squared_euclidean", 0, squared_vjp},
    {"cross_entropy", 0, minus_one_vjp},
    {0, 0, 0},
};
