/* Judges an implementation in C by the reference vectors, from `leakysm vectors export FOLDER --format text`.

       cc -std=c99 -O2 -o judge leakysm_vectors.c YOURS.c -lm && ./judge FOLDER/squared_euclidean.txt

   YOURS.c defines lk_operations (leakysm_vectors.h). Exit status 0: right, 1: out of bounds, 2: cannot be judged.
   Needs C99 and IEEE arithmetic (no -ffast-math). The format and its rule: FORMAT.md. */
#include "leakysm_vectors.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 2, MOST = 512, MOST_TEXTS = 32, MOST_RESULTS = 32 };
typedef struct { const char *name; double eps, smallest, largest; } dtype_of;
static const dtype_of DTYPES[] = {{"float32", FLT_EPSILON, FLT_MIN, FLT_MAX}, {"float64", DBL_EPSILON, DBL_MIN, DBL_MAX}};

struct lk_call {
    char id[128], keys[MOST_TEXTS][64], texts[MOST_TEXTS][1024]; /* attributes and parameters */
    int n_texts, n_arrays, n_results;
    lk_array arrays[MOST], results[MOST_RESULTS];
    const dtype_of *dtype;
};
static lk_call call;
static long cases, comparisons, failures;

static void fail(const char *what, const char *which) {
    fprintf(stderr, "%s: %s\n", which, what);
    exit(2);
}

static const lk_array *find(const char *where, const char *last) {
    size_t length = strlen(where);
    for (int i = 0; i < call.n_arrays; i++) {
        const char *path = call.arrays[i].path;
        if (!strncmp(path, where, length) && path[length] == '/' && !strcmp(path + length + 1, last)) return &call.arrays[i];
    }
    return NULL;
}

int lk_is_float(const lk_call *c) { return c->dtype == &DTYPES[0]; }
const lk_array *lk_argument(const lk_call *c, const char *name) { (void)c; return find("arguments", name); }

const char *lk_word(const lk_call *c, const char *name, const char *otherwise) {
    for (int i = 0; i < c->n_texts; i++)
        if (!strcmp(c->keys[i], name)) return c->texts[i];
    return otherwise;
}

double lk_number(const lk_call *c, const char *name, double otherwise) {
    const char *word = lk_word(c, name, NULL);
    double value = word ? strtod(word, NULL) : otherwise;
    return lk_is_float(c) ? (float)value : value;
}

lk_array *lk_result(lk_call *c, const char *name) {
    for (int i = 0; i < c->n_results; i++)
        if (!strcmp(c->results[i].path, name)) return &c->results[i];
    fail("no such result", name);
    return NULL;
}

/* error / bound of one element, at most 1 where it is right: the rule of FORMAT.md, in its order. */
static double ratio(double found, double expected, double scale, double under, double reach, double k, int is_gradient) {
    const dtype_of *d = call.dtype;
    double bound = k * (d->eps * scale) + under * d->smallest;
    if (isnan(expected)) return isnan(found) ? 0 : INFINITY;
    if (is_gradient && reach > d->largest) return 0;
    if (isinf(expected)) return found == expected ? 0 : INFINITY;
    if (isinf(found) && found * expected > 0 && (reach > d->largest || fabs(expected) + bound > d->largest)) return 0;
    if (!isfinite(found)) return INFINITY;
    return found == expected ? 0 : fabs(found - expected) / bound;
}

static double at(const lk_array *a, long i) { return a->values[a->dimensions ? i : 0]; } /* a scalar counts for all */

/* The largest error / bound of a result: every element against expected, its alternatives and their interval. */
static double largest_ratio(const lk_array *found, const char *part) {
    char where[2][128]; /* the truth, and its alternatives, one behind the other */
    snprintf(where[0], sizeof where[0], "%s/%s", part, found->path);
    snprintf(where[1], sizeof where[1], "alternatives/%s/%s", call.dtype->name, found->path);
    const lk_array *expected[2], *scale[2], *under[2], *reach = find(where[0], "reach");
    const lk_array *least = find(where[1], "least"), *most = find(where[1], "most");
    for (int w = 0; w < 2; w++) {
        expected[w] = find(where[w], "expected");
        scale[w] = find(where[w], "scale");
        under[w] = find(where[w], "under");
    }
    const lk_array *k = find(where[0], strstr(lk_word(&call, "one_way", ""), call.dtype->name) ? "worst" : "usual");
    if (!k || !scale[0] || !under[0] || (expected[1] && (!scale[1] || !under[1]))) fail("is not complete", call.id);
    int is_gradient = !strcmp(part, "vjp");
    double largest = 0;
    for (long i = 0; i < found->size; i++) {
        double best = INFINITY, value = lk_is_float(&call) ? (float)found->values[i] : found->values[i];
        double beyond = at(reach ? reach : scale[0], i);
        for (int w = 0; w < 2 && expected[w]; w++)
            for (long j = i; j < expected[w]->size; j += found->size)
                best = fmin(best, ratio(value, expected[w]->values[j], at(scale[w], i), at(under[w], i), beyond, k->values[0], is_gradient));
        if (least && most) {
            double nearest = fmin(fmax(value, at(least, i)), at(most, i)); /* of NaN: least */
            best = fmin(best, ratio(value, nearest, at(scale[1], i), at(under[1], i), beyond, k->values[0], is_gradient));
        }
        largest = fmax(largest, best);
    }
    return largest;
}

static void judge_part(const char *part, void (*run)(lk_call *)) {
    size_t length = strlen(part);
    call.n_results = 0;
    for (int i = 0; i < call.n_arrays; i++) {
        const char *name = call.arrays[i].path + length + 1, *end = strrchr(name, '/');
        if (strncmp(call.arrays[i].path, part, length) || name[-1] != '/' || strcmp(end, "/expected")) continue;
        if (call.n_results == MOST_RESULTS) fail("has too many results", call.id);
        lk_array *r = &call.results[call.n_results++];
        *r = call.arrays[i];
        memmove(r->path, r->path + length + 1, (size_t)(end - name));
        r->path[end - name] = 0;
        r->values = malloc((size_t)(r->size + 1) * sizeof(double));
        if (!r->values) fail("out of memory", call.id);
        for (long j = 0; j < r->size; j++) r->values[j] = NAN;
    }
    run(&call);
    for (int i = 0; i < call.n_results; i++) {
        double worst = largest_ratio(&call.results[i], part);
        comparisons++;
        if (!(worst <= 1) && ++failures)
            printf("%s %s in %s: %.3g times the bound\n", call.id, call.results[i].path, call.dtype->name, worst);
        free(call.results[i].values);
    }
}

/* Judges the case that was read, in both dtypes, and forgets it. */
static void judge(void) {
    const lk_operation *o = lk_operations;
    size_t length = strcspn(call.id, "/");
    while (o->name && (strlen(o->name) != length || strncmp(o->name, call.id, length))) o++;
    if (o->name && strcmp(lk_word(&call, "own", ""), "true")) {
        cases++;
        for (call.dtype = DTYPES; call.dtype < DTYPES + 2; call.dtype++) {
            if (!strstr(lk_word(&call, "dtypes", ""), call.dtype->name)) continue;
            if (o->value) judge_part("value", o->value);
            if (o->vjp) judge_part("vjp", o->vjp);
        }
    }
    for (int i = 0; i < call.n_arrays; i++) free(call.arrays[i].values);
    call.n_texts = call.n_arrays = 0;
}

static int read_array(FILE *file) {
    lk_array *a = &call.arrays[call.n_arrays];
    if (call.n_arrays == MOST || fscanf(file, "%95s %*s %d", a->path, &a->dimensions) != 2 || a->dimensions > 8) return 0;
    a->size = 1;
    for (int i = 0; i < a->dimensions; a->size *= a->shape[i++])
        if (fscanf(file, "%ld", &a->shape[i]) != 1 || a->shape[i] < 0) return 0;
    a->values = malloc((size_t)(a->size + 1) * sizeof(double));
    call.n_arrays++;
    for (long i = 0; i < a->size; i++)
        if (!a->values || fscanf(file, "%lf", &a->values[i]) != 1) return 0;
    return 1;
}

static int read_text(FILE *file) {
    if (call.n_texts == MOST_TEXTS || fscanf(file, "%63s", call.keys[call.n_texts]) != 1) return 0;
    char *text = call.texts[call.n_texts++], line[1026];
    if (!fgets(line, sizeof line, file) || !strchr(line, '\n')) return 0;
    snprintf(text, 1024, "%.*s", (int)strcspn(line + (line[0] == ' '), "\n"), line + (line[0] == ' '));
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 2) fail("judge FILE.txt is expected", "usage");
    FILE *file = fopen(argv[1], "r");
    if (!file) fail("cannot be opened", argv[1]);
    int format = 0, whole = 1;
    long expected = 0, read = 0, end = -1;
    char word[16];
    if (fscanf(file, "leakysm-vectors %d %*s %ld", &format, &expected) < 1) fail("is no text file of reference vectors", argv[1]);
    if (format != FORMAT) fail("is of an unknown format; 2 is expected", argv[1]);
    while (whole && end < 0 && fscanf(file, "%15s", word) == 1) {
        if (!strcmp(word, "case") || !strcmp(word, "end")) {
            if (read) judge();
            whole = !strcmp(word, "end") ? fscanf(file, "%ld", &end) == 1 : fscanf(file, "%127s", call.id) == 1 && ++read;
        } else {
            whole = !strcmp(word, "array") ? read_array(file) : read_text(file);
        }
    }
    if (!whole || end != expected || end != read || read == 0) fail("is cut off, or holds no case", argv[1]);
    if (comparisons == 0) fail("no case was compared; an operation of the file is expected", argv[1]);
    printf("%ld cases, %ld comparisons, %ld out of bounds\n", cases, comparisons, failures);
    return failures ? 1 : 0;
}
