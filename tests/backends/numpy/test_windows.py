"""Cutting a batch into chunks, window order, and im2col."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from leakysm.backends.numpy.block.chunks import Tiling, plan
from leakysm.backends.numpy.block.windows import (
    columns_by_tap,
    columns_of,
    in_window_order,
    padded_images,
    windows_of,
)
from leakysm.backends.numpy.runs import cut
from leakysm.backends.numpy.scratch import Scratch

CHUNKS = Tiling().chunks
sizes = st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9))


@given(length=st.integers(0, 500), step=st.integers(0, 60), multiple=st.integers(1, 8))
def test_runs_cover_the_length_in_order(length, step, multiple):
    runs = cut(length, step, multiple)
    assert [i for run in runs for i in range(run.start, run.stop)] == list(range(length))
    assert max(run.stop - run.start for run in runs) <= max(1, step)
    assert len(runs) % multiple == 0 or len(runs) == max(1, length)


@given(size=sizes, rows=st.integers(1, 200))
@example(size=(1, 83, 85), rows=400)
def test_chunks_cover_outputs_and_pooled_values_once_in_order(size, rows):
    N, H, W = size
    chunks = [chunk for task in plan(N, H, W, rows, CHUNKS) for chunk in task]
    outputs = [i for chunk in chunks for i in range(chunk.outputs.start, chunk.outputs.stop)]
    pooled = [i for chunk in chunks for i in range(chunk.pooled.start, chunk.pooled.stop)]
    assert outputs == list(range(N * H * W))
    assert pooled == list(range(N * (H // 2) * (W // 2)))
    images = np.arange(N * H * W).reshape(N, H, W)
    assert sorted(i for chunk in chunks for i in images[chunk.images, chunk.rows].flat) == list(range(N * H * W))


@given(size=sizes)
def test_window_order_puts_corners_first_and_keeps_every_pixel(size):
    n, H, W = size
    h, w = H // 2, W // 2
    images = np.arange(n * H * W).reshape(n, H, W)
    parts = in_window_order(images)
    flat = np.concatenate([part.reshape(-1) for _, part in parts])
    assert sorted(flat) == list(range(n * H * W))
    assert [rows.stop - rows.start for rows, _ in parts] == [part.size for _, part in parts]
    corners = flat[: 4 * n * h * w].reshape(4, n, h, w)
    for k, (i, j) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        np.testing.assert_array_equal(corners[k], images[:, i : 2 * h : 2, j : 2 * w : 2])


@given(size=sizes, channels=st.integers(1, 4), rows=st.integers(1, 60))
def test_im2col_holds_every_window_with_zeros_outside(size, channels, rows):
    N, H, W = size
    x = np.arange(1.0, N * H * W * channels + 1).reshape(N, H, W, channels)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = np.stack([padded[:, i : i + H, j : j + W] for i in range(3) for j in range(3)], axis=3)
    scratch = Scratch()
    for task in plan(N, H, W, rows, CHUNKS):
        images = padded_images(x, task, scratch)
        for chunk in task:
            expected = np.concatenate(
                [part.reshape(-1, 9 * channels) for _, part in in_window_order(taps[chunk.images, chunk.rows])]
            )
            np.testing.assert_array_equal(columns_of(windows_of(images), chunk, scratch), expected)
            by_tap = np.empty_like(expected.T, order="C")
            columns_by_tap(images, chunk, by_tap)
            np.testing.assert_array_equal(by_tap, expected.T)
