"""TensorFlow: its own operations, NumPy in and out, with gradients by GradientTape."""

import tensorflow as tf


def squared_euclidean(x, c):
    return tf.reduce_sum(tf.math.squared_difference(x[:, None, :], c[None, :, :]), -1)


def euclidean(x, c):
    return tf.norm(x[:, None, :] - c[None, :, :], axis=-1)


def cosine_distance(x, c):
    return 1 - tf.matmul(tf.math.l2_normalize(x, -1), tf.math.l2_normalize(c, -1), transpose_b=True)


def log_softmax(logits):
    return tf.nn.log_softmax(logits)


def cross_entropy(logits, labels):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def relu(x):
    return tf.nn.relu(x)


def conv2d(x, w):
    return tf.nn.conv2d(x, w, 1, "SAME")


def max_pool2d(x):
    return tf.nn.max_pool2d(x, 2, 2, "VALID")


def batch_norm(x, scale, shift, *, eps=1e-5):
    mean, variance = tf.nn.moments(x, list(range(x.ndim - 1)))
    return tf.nn.batch_normalization(x, mean, variance, shift, scale, eps), mean, variance


def batch_norm_inference(x, scale, shift, mean, variance, *, eps=1e-5):
    return tf.nn.batch_normalization(x, mean, variance, shift, scale, eps)


def _on_numpy(function):
    """The value and its gradients by every floating-point argument."""

    def value(*given, **keywords):
        results = function(*map(tf.constant, given), **keywords)
        return tuple(a.numpy() for a in results) if isinstance(results, tuple) else results.numpy()

    def vjp(*given, **keywords):
        *arguments, dy = map(tf.constant, given)
        wanted = [a for a in arguments if a.dtype.is_floating]
        with tf.GradientTape() as tape:
            tape.watch(wanted)
            results = function(*arguments, **keywords)
        y = results[0] if isinstance(results, tuple) else results
        gradients = tape.gradient(y, wanted, dy, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return tuple(a.numpy() for a in gradients)

    return value, vjp


for _name in [name for name, found in vars().copy().items() if callable(found) and not name.startswith("_")]:
    globals()[_name], globals()[_name + "_vjp"] = _on_numpy(globals()[_name])
