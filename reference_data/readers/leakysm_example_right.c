/* Three operations as leakysm_vectors.c calls them. Sums are in double, so this is right in both dtypes. */
#include "leakysm_vectors.h"
#include <math.h>
#include <string.h>

typedef struct { double threshold, slope; int per_pair; } leak_of;

static leak_of leak(const lk_call *call) {
    leak_of l = {lk_number(call, "threshold", INFINITY), lk_number(call, "slope", 1), 1};
    l.per_pair = !strcmp(lk_word(call, "per", "pair"), "pair");
    return l;
}

static double leaked(leak_of l, double d) { return d <= l.threshold ? d : l.threshold + l.slope * (d - l.threshold); }

/* The distance of two rows; no leak of the sum. */
static double distance(const double *x, const double *c, long width, leak_of l) {
    double sum = 0;
    for (long k = 0; k < width; k++) {
        double square = (x[k] - c[k]) * (x[k] - c[k]);
        sum += l.per_pair ? square : leaked(l, square);
    }
    return sum;
}

static void distance_value(lk_call *call) {
    const lk_array *x = lk_argument(call, "x"), *c = lk_argument(call, "c");
    long rows = x->shape[0], columns = c->shape[0], width = x->shape[1];
    leak_of l = leak(call);
    lk_array *y = lk_result(call, "y");
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < columns; j++) {
            double sum = distance(x->values + i * width, c->values + j * width, width, l);
            y->values[i * columns + j] = l.per_pair ? leaked(l, sum) : sum;
        }
}

static void distance_vjp(lk_call *call) {
    const lk_array *x = lk_argument(call, "x"), *c = lk_argument(call, "c"), *dy = lk_argument(call, "dy");
    long rows = x->shape[0], columns = c->shape[0], width = x->shape[1];
    leak_of l = leak(call);
    lk_array *dx = lk_result(call, "dx"), *dc = lk_result(call, "dc");
    for (long i = 0; i < dx->size; i++) dx->values[i] = 0;
    for (long i = 0; i < dc->size; i++) dc->values[i] = 0;
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < columns; j++) {
            double whole = distance(x->values + i * width, c->values + j * width, width, l);
            for (long k = 0; k < width; k++) {
                double difference = x->values[i * width + k] - c->values[j * width + k];
                double tested = l.per_pair ? whole : difference * difference;
                double term = 2 * (tested <= l.threshold ? 1 : l.slope) * difference * dy->values[i * columns + j];
                dx->values[i * width + k] += term;
                dc->values[j * width + k] -= term;
            }
        }
}

/* exp(z - the row's maximum) into powers; gives the sum of all but the first maximum, whose place goes to top. */
static double row(const double *z, long width, double *powers, long *top) {
    double others = 0;
    *top = 0;
    for (long j = 0; j < width; j++)
        if (z[j] > z[*top] || isnan(z[j])) *top = j;
    for (long j = 0; j < width; j++) {
        powers[j] = exp(z[j] - z[*top]);
        if (j != *top) others += powers[j];
    }
    return others + 0 * powers[*top]; /* NaN if the row is undefined */
}

static void cross_entropy_value(lk_call *call) {
    const lk_array *logits = lk_argument(call, "logits"), *labels = lk_argument(call, "labels");
    long rows = logits->shape[0], width = logits->shape[1], top;
    double sum = 0, powers[4096];
    for (long i = 0; i < rows; i++) {
        const double *z = logits->values + i * width;
        double others = row(z, width, powers, &top);
        sum += (log1p(others) - (z[(long)labels->values[i]] - z[top])) / (double)rows;
    }
    lk_result(call, "y")->values[0] = sum;
}

static void cross_entropy_vjp(lk_call *call) {
    const lk_array *logits = lk_argument(call, "logits"), *labels = lk_argument(call, "labels");
    long rows = logits->shape[0], width = logits->shape[1], top;
    double powers[4096], dy = lk_argument(call, "dy")->values[0];
    for (long i = 0; i < rows; i++) {
        double *gradient = lk_result(call, "dlogits")->values + i * width, rest = 0;
        double others = row(logits->values + i * width, width, powers, &top);
        long label = (long)labels->values[i];
        for (long j = 0; j < width; j++) {
            double p = powers[j] / (1 + others);
            if (j != label) rest += p;
            gradient[j] = p / (double)rows * dy;
        }
        gradient[label] = -rest / (double)rows * dy;
    }
}

const lk_operation lk_operations[] = {
    {"squared_euclidean", distance_value, distance_vjp},
    {"leaky_squared_euclidean", distance_value, distance_vjp},
    {"cross_entropy", cross_entropy_value, cross_entropy_vjp},
    {0, 0, 0},
};
