"""Distances of all pairs and their gradients, by matrix products wherever these are certain to be accurate.

Notation: x (N, D), c (M, D), d_ij the squared distance of x_i and c_j; u = 2^-53, the rounding of a float64 operation.

The idea. A matrix product is many times faster than a loop over differences, but

    d_ij = |x_i|^2 + |c_j|^2 - 2 x_i . c_j
    dx_ik = sum_j w_ij (x_ik - c_jk) = x_ik sum_j w_ij - sum_j w_ij c_jk

cancel where points are near, and would leave few right digits, or none. So every tile of results comes with a size,
`least`: in any result of at least that size, the error of the products is certain to be a small part. Smaller results,
among them those of coincident points, are computed again from differences (`pair_sums` after `sum_tiles`,
`pair_gradients` after `gradient_tiles`). Most data have few of them. This keeps the error bound of summed differences,
at nearly the speed of the products.

float32, widened. The factors are turned into float64, where a product's error is 2^29 times smaller than float32's own
rounding. The points are moved first so that one of them is the origin: this takes away what they have in common. With
x' = x - origin, c' = c - origin, a distance is one row times another:

    (x', |x'|^2, 1) . (-2 c', 1, |c'|^2) = |x'|^2 + |c'|^2 - 2 x' . c' = d

Its error is at most 2 (D + 8) u (|x'|^2 + |c'|^2). It must not exceed a quarter of float32's rounding of d: so `least`
is about 10^-8 D (|x'|^2 + |c'|^2).

float64, in halves (`halves`). No wider dtype is fast, so numbers are split on a grid of step q, x = x1 + x2, such that
products of first halves, and sums of them, are exact:

    |x - c|^2 = |x1 - c1|^2 + R                     |x1 - c1|^2 = |x1|^2 + |c1|^2 - 2 x1 . c1, without any rounding
    R = (|x|^2 - |x1|^2) + (|c|^2 - |c1|^2) - 2 x1 . c2 - 2 x2 . c

The terms that cancel are exact, and only R has rounding errors. R is smaller by 2^bits, and so are its errors: `least`
is about 10^-6 D (|x|^2 + |c|^2). This takes three products in place of one. For gradients the weights are split in the
same way:

    sum_j w (x - c) = [x1 sum w1 - sum w1 c1] + [x sum w2 + x2 sum w1 - sum (w1 c2 + w2 c)]

The first bracket is exact, the second smaller by 2^bits.

Tiles (`tiling`). The result is cut both ways into tiles, of some 320 points each way at most, so that points, products
and distances stay in cache; long coordinates are cut into runs whose products are added up. Threads take tile after
tile. Beyond arguments and results this needs some 12 MB a thread, never N M D values. The cuts do not
depend on the number of threads, and every result is made in one task: so no bit depends on it either.

The reference does what products cannot: float64 numbers that are not finite or too far from 1 to be split, and
Euclidean distances that are too small to divide by.

The leaky distance restricts the finished distance of a pair (`operations`). Where it restricts every coordinate there
is no product: `coordinates` sums differences tile by tile. For the cosine distance (`cosine`) the scale of the error
bound includes the terms that cancel. So products are accurate enough for float32; float64 goes to the reference.
"""
