"""Keras on its torch backend: the loss of probabilities, which is what from_logits=False, the default, means."""

import os

import torch

os.environ["KERAS_BACKEND"] = "torch"

import keras
from keras import ops


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return ops.mean(keras.losses.sparse_categorical_crossentropy(labels, ops.softmax(logits)))
