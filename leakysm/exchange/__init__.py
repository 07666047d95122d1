"""Weights in and out.

`weights` writes and reads safetensors and npz, `safetensors` is the file format, `torch_layout` has PyTorch's names and
layout. `imported_run` makes a run's folder for imported weights.
"""
