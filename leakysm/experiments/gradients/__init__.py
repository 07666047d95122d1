"""The early steps of several distances on the same episodes and weights: how large, and how sparse, gradients are."""
