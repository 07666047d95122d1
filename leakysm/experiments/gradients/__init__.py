"""The early steps of several distances on the same episodes and weights: how large, and how sparse, gradients are.

`measure` makes the steps; `observed` has the figures beyond those of every training step, and `histogram` sorts
distances and gradients. `claims` judges the claims of the paper's abstract. `plots` and `files` write the results.
`suggest` proposes a slope, also for a user's own `embeddings`.
"""
