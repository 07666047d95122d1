from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from leakysm.data.folder_or_zip import open_source
from leakysm.data.images import decode, in_threads, read_images
from leakysm.data.inputs import InputFormat
from leakysm.errors import UserError
from tests.data.conftest import noise, png, write_files
from tests.data.own_images import read_for_net


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


FRAMES = [Image.fromarray(noise(seed, 8, 8)) for seed in range(3)]
RGBA = Image.fromarray(noise(0, 8, 8, 4))
PALETTE = FRAMES[0].convert("RGB").quantize(8)


def deep_png() -> bytes:
    """16 bits in each of three channels, which Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes(range(48))) * 8
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


REFUSED = {
    "16 bit colour": (deep_png(), r"has 16 bits or more a channel \(mode RGB\)"),
    "no image": (b"not an image", "is not an image that Pillow can read"),
    "empty": (b"", "is not an image that Pillow can read"),
    "web page": (b"<!doctype html><html></html>", "is not an image that Pillow can read"),
    "cut short": (png(noise(0, 84, 84))[:2000], "is a damaged image"),
    "animated gif": (
        encoded(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]),
        r"is animated, or has pages \(3 frames",
    ),
    "animated png": (
        encoded(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]),
        r"is animated, or has pages \(3 frames",
    ),
    "pages": (
        encoded(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:]),
        r"is animated, or has pages \(3 frames",
    ),
    "16 bit": (png(np.arange(64, dtype=np.uint16).reshape(8, 8)), "has 16 bits or more a channel"),
    "16 bit ppm": (b"P6 2 2 65535 " + bytes(24), r"has 16 bits or more a channel \(mode RGB\)"),
    "16 bit plain ppm": (b"P3 1 1 65535 1 2 3 ", r"has 16 bits or more a channel \(mode RGB\)"),
    "gif cut short": (encoded(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:])[:900], "is a"),
    "32 bit": (encoded(FRAMES[0].convert("F"), "TIFF"), "has 16 bits or more a channel"),
    "RGBA": (encoded(RGBA, "PNG"), r"has transparency \(mode RGBA\)"),
    "grey and alpha": (encoded(RGBA.convert("LA"), "PNG"), r"has transparency \(mode LA\)"),
    "transparent colour": (encoded(PALETTE, "PNG", transparency=0), r"has transparency \(mode P\)"),
    "print colours": (encoded(RGBA.convert("CMYK"), "JPEG"), r"has unknown colours \(mode CMYK\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_faithfully_is_refused_in_one_line(case: str) -> None:
    data, message = REFUSED[case]
    with pytest.raises(UserError, match=f"some/place.png {message}") as caught:
        decode(data, "some/place.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("image", "mode"),
    [
        (FRAMES[0], "L"),
        (FRAMES[0].convert("1"), "L"),
        (FRAMES[0].convert("RGB"), "RGB"),
        (PALETTE, "RGB"),
    ],
)
def test_pixels_come_out_as_they_were_written(image: Image.Image, mode: str) -> None:
    decoded = decode(encoded(image, "PNG"), "x")
    assert decoded.mode == mode
    np.testing.assert_array_equal(np.asarray(decoded), np.asarray(image.convert(mode)))


def test_grey_and_colour_together_are_colour(tmp_path: Path) -> None:
    grey, colour = noise(0, 6, 5), noise(1, 6, 5, 3)
    source = open_source(write_files(tmp_path, {"a.png": png(grey), "b.png": png(colour), "c.png": png(grey)}))
    both = read_images(source, ["a.png", "b.png", "c.png"])
    assert both.shape == (3, 6, 5, 3)
    for k, expected in enumerate((grey[..., None], colour, grey[..., None])):
        np.testing.assert_array_equal(both[k], np.broadcast_to(expected, (6, 5, 3)))
    assert read_images(source, ["a.png", "c.png"]).shape == (2, 6, 5, 1)
    assert read_images(source, ["a.png"], channels=3).shape == (1, 6, 5, 3)


def test_mixed_sizes_name_two_files(tmp_path: Path) -> None:
    source = open_source(write_files(tmp_path, {"a.png": png(noise(0, 6, 5)), "b.png": png(noise(0, 5, 6))}))
    with pytest.raises(UserError, match=r"mixed sizes: a\.png is 5x6, b\.png 6x5; make a copy of one size"):
        read_images(source, ["a.png", "b.png"])


@given(st.integers(0, 100), st.data())
def test_threads_keep_the_order_and_report_the_end(n: int, data: st.DataObject) -> None:
    calls: list[tuple[int, int]] = []
    results = in_threads(lambda item: item * item, range(n), lambda *call: calls.append(call))
    assert list(results) == [k * k for k in range(n)]
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1:] == ([(n, n)] if n else [])


@given(st.integers(1, 200), st.data())
def test_the_first_error_comes_through(n: int, data: st.DataObject) -> None:
    bad = data.draw(st.sets(st.integers(0, n - 1), min_size=1))

    def work(item: int) -> int:
        if item in bad:
            raise UserError(f"bad {item}")
        return item

    with pytest.raises(UserError, match=f"bad {min(bad)}$"):
        list(in_threads(work, range(n)))


def test_own_images_become_what_the_net_was_trained_on(tmp_path: Path) -> None:
    pixels = noise(0, 105, 105)
    write_files(
        tmp_path, {"grey.png": png(pixels), "bit.png": png(pixels, "1"), "colour.png": png(noise(1, 84, 84, 3))}
    )
    files = [tmp_path / name for name in ("grey.png", "bit.png", "colour.png")]
    ink = read_for_net(files, InputFormat.unscaled((28, 28, 1), ink=True))
    plain = read_for_net(files, InputFormat.unscaled((28, 28, 1)))
    assert ink.shape == (3, 28, 28, 1)
    np.testing.assert_array_equal(ink, 255 - plain)
    smaller = Image.fromarray(pixels).resize((28, 28), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(plain[0, :, :, 0], np.asarray(smaller))
    assert len(np.unique(plain[1])) > 2  # a 1-bit image is grey before it shrinks
    same = read_for_net(files[2:], InputFormat.unscaled((84, 84, 3)))
    np.testing.assert_array_equal(same[0], noise(1, 84, 84, 3))


def test_own_images_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.png does not exist; check its name"):
        read_for_net([tmp_path / "no.png"], InputFormat.unscaled((28, 28, 1), ink=True))


UPRIGHT = {  # by EXIF's orientation: what is to be done with the stored rows and columns
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].T,
    8: lambda a: np.rot90(a),
}


def test_an_image_is_whole_though_what_it_says_of_a_camera_is_not() -> None:
    pixels = noise(0, 16, 24)
    for exif in (b"garbage!", b"Exif\0\0II*\0\xff\xff\xff\xff"):
        decoded = decode(encoded(Image.fromarray(pixels), "PNG", exif=exif), "x")
        np.testing.assert_array_equal(np.asarray(decoded), pixels)


def test_a_phones_photograph_is_its_first_picture() -> None:
    first, second = (Image.new("L", (16, 16), grey) for grey in (200, 50))
    both = encoded(first, "MPO", save_all=True, append_images=[second])
    np.testing.assert_array_equal(np.asarray(decode(both, "x")), np.full((16, 16), 200))


@pytest.mark.parametrize("form", ["WEBP", "PNG"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_photographs_stand_upright(orientation: int, form: str) -> None:
    pixels = noise(0, 16, 24)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encoded(Image.fromarray(pixels).convert("RGB"), form, lossless=True, exif=exif), "x")
    np.testing.assert_array_equal(np.asarray(decoded)[..., 0], UPRIGHT[orientation](pixels))
