"""A block of Conv4, y = max_pool(relu(batch_norm(conv(x, w)))), forwards and backwards, in chunks that stay in cache.

Two things bound the time: the matrix products of the convolution, and moving its outputs, which are four times as many
as y and the largest arrays of a training step. So everything here passes over the outputs as few times as can be.

Notation: x (N, H, W, C), h = H // 2, w = W // 2; F filters; n = N H W outputs of a channel; o (n, F) the outputs of the
convolution; X (n, 9 C) the im2col matrix, so that o = X w; gain = |scale|; sigma^2 = variance + eps.

Chunks (`chunks`). A chunk is a few whole images, or a band of rows of one image. All its steps run while it is in
cache: im2col, one matrix product, the pooled maximum, sums for mean and variance. Threads take chunk after chunk. How
the batch is cut, and the order in which sums of chunks are added, do not depend on the number of threads: so neither
does any bit of the result.

Window order (`windows`). A chunk's rows are not in the order of pixels: first come all top left corners of the pooling
windows, then all top right, bottom left and bottom right ones, last the outputs of an odd last column and row that no
window covers. im2col writes this order at no cost. Pooling is then a maximum of four contiguous blocks, in long loops.

Pooling before normalisation (`pooling`). For scale >= 0 the function relu(scale / sigma (o - mean) + shift) does not
fall where o grows. So it may be applied after the maximum, to a quarter of the data:

    y = relu(gain / sigma (max o - mean) + shift)

For scale < 0 the function turns a minimum into the maximum. So the weights of such a channel are negated at the start,
which negates its outputs exactly, and their gradient is negated at the end. At scale 0 all normalised values of a
window are equal, and the first position is chosen.

Mean and variance (`channels`, `forward`). Sums of o' and of o'^2 are taken chunk by chunk, where o' = o - subtracted,
and `subtracted` is an estimate of the mean from a few images: so the squares do not cancel. What is left of the mean is
`offset`, the mean of o'. If offset^2 is much larger than the variance, the pass is done once more with the better
estimate. If squares leave the dtype's range, which shows in the variance, the weights are multiplied by a power of two,
and the pass is done once more.

The backward pass (`backward`, from what `forward` has `saved`). Let g be dy where y > 0, routed to the chosen position
of each window and 0 elsewhere, and o^ = (o' - offset) / sigma the normalised outputs. Batch norm's gradient (Ioffe &
Szegedy, 2015) is

    dshift = sum g          dscale = sum g o^          do = gain / sigma (g - dshift / n - o^ dscale / n)

Both sums are over the pooled values alone, for g is 0 elsewhere. With o^ written out, do is one multiplication and one
addition for each output, and the addition of g at a quarter of them:

    do = k (g + a o' + b)       k = gain / sigma       a = -dscale / (n sigma)       b = -dshift / n - a offset

k is one number for each channel, so it is applied to the weights, not to the outputs: dx uses k w, and dw is multiplied
by k. Both gradients come from one im2col, that of d = do / k: convolving d with the flipped weights gives dx, and x
times the same matrix gives dw. With an im2col for each, a training step takes 1.09 times as long at 28x28, 1.18 times
at 84x84.

Few channels (`patches`). The first block has so few input channels that computing an output costs less than moving it.
There X is kept in place of the outputs, which are computed again from it. Mean, variance and most of dw follow from
the sums of X and from X^T X alone, 9 x 9 for one channel:

    mean = w^T sum X / n        variance = diag(w^T cov(X) w)        X^T (a o' + b) = n cov(X) w a + (sum X) b

This is done for float32 only, with the moments in float64. Without it a training step takes 1.2 times as long.

Evaluation (`inference`) takes the same steps with given statistics, and keeps only the arguments.
"""
