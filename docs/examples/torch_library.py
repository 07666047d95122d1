"""PyTorch's own operations in this project's layout: NHWC images, HWIO kernels."""

import torch
from torch.nn import functional


def cosine_distance(x, c):
    return 1 - functional.cosine_similarity(x[:, None, :], c[None, :, :], dim=-1)


def log_softmax(logits):
    return functional.log_softmax(logits, dim=-1)


def cross_entropy(logits, labels):
    return functional.cross_entropy(logits, labels)


def relu(x):
    return functional.relu(x)


def conv2d(x, w):
    return functional.conv2d(x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), padding=1).permute(0, 2, 3, 1)


def max_pool2d(x):
    return functional.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


def batch_norm(x, scale, shift, *, eps=1e-5):
    flat = x.reshape(-1, x.shape[-1])
    variance, mean = torch.var_mean(flat, dim=0, unbiased=False)
    y = functional.batch_norm(flat, None, None, scale, shift, training=True, eps=eps)
    return y.reshape(x.shape), mean, variance


def batch_norm_inference(x, scale, shift, mean, variance, *, eps=1e-5):
    flat = x.reshape(-1, x.shape[-1])
    # The functional form gives no gradients for the running statistics, so this is written out.
    return ((flat - mean) / torch.sqrt(variance + eps) * scale + shift).reshape(x.shape)


def conv_block(x, w, scale, shift, *, eps=1e-5):
    y, mean, variance = batch_norm(conv2d(x, w), scale, shift, eps=eps)
    return max_pool2d(relu(y)), mean, variance
