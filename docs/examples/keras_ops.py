"""Keras on its torch backend."""

import os

import torch

os.environ["KERAS_BACKEND"] = "torch"

from keras import ops


def log_softmax(logits):
    return ops.log_softmax(logits)


def cross_entropy(logits, labels):
    return ops.mean(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))


def relu(x):
    return ops.relu(x)


def conv2d(x, w):
    return ops.conv(x, w, padding="same")


def max_pool2d(x):
    return ops.max_pool(x, 2)


def batch_norm(x, scale, shift, *, eps=1e-5):
    mean, variance = ops.moments(x, list(range(x.ndim - 1)))
    return ops.batch_normalization(x, mean, variance, -1, shift, scale, eps), mean, variance


def batch_norm_inference(x, scale, shift, mean, variance, *, eps=1e-5):
    return ops.batch_normalization(x, mean, variance, -1, shift, scale, eps)


def squared_euclidean(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return ops.sum(ops.square(x[:, None, :] - c[None, :, :]), -1)


def euclidean(x, c):
    return ops.norm(x[:, None, :] - c[None, :, :], axis=-1)
