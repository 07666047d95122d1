/* What an implementation in C sees of a call; leakysm_vectors.c says how it is judged. */
#ifndef LEAKYSM_VECTORS_H
#define LEAKYSM_VECTORS_H

typedef struct { /* row-major. Values are what the tested dtype holds: (float)values[i] is exact in float32 */
    char path[96];
    int dimensions;
    long shape[8], size;
    double *values;
} lk_array;

typedef struct lk_call lk_call;

typedef struct { /* value and vjp fill the results; either may be NULL */
    const char *name;
    void (*value)(lk_call *);
    void (*vjp)(lk_call *);
} lk_operation;

extern const lk_operation lk_operations[]; /* yours; the last has no name */

int lk_is_float(const lk_call *call);                                          /* float32 is tested, else float64 */
const lk_array *lk_argument(const lk_call *call, const char *name);            /* "x", "labels", "dy" */
double lk_number(const lk_call *call, const char *name, double otherwise);     /* a parameter, rounded to the dtype */
const char *lk_word(const lk_call *call, const char *name, const char *otherwise); /* "per": "pair" or "coordinate" */
lk_array *lk_result(lk_call *call, const char *name); /* "y", "dx": to be filled; the reader rounds it to the dtype */

#endif
