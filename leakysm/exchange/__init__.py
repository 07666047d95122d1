"""Weights in and out: safetensors, npz and PyTorch's names and layout; a run's folder for imported weights."""
