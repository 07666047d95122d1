"""Image files read as uint8 arrays, on several threads; a file that cannot be read faithfully is refused by name."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from leakysm.cores import usable_cores
from leakysm.data.dataset import Images, Report
from leakysm.data.folder_or_zip import LARGEST_IMAGE, Source
from leakysm.data.inputs import InputFormat
from leakysm.errors import UserError
from leakysm.files import printable, read_file

RUN = 16  # images that a thread reads before it takes more
# What Pillow may open. For others it may start a program: Ghostscript for an EPS file, whatever its name is.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
T = TypeVar("T")
R = TypeVar("R")
_GREY, _COLOUR = ("1", "L"), ("RGB", "P")
BILINEAR = Image.Resampling.BILINEAR
RESIZE = "make a copy of one size: `leakysm data prepare --size 84`, with the same --dataset and --data"


def is_image_name(name: str) -> bool:
    """Whether a file's name ends as those of images do."""
    return name.lower().endswith(_SUFFIXES)


def decode(content: bytes, where: str) -> Image.Image:
    """One still 8-bit image in mode L or RGB, turned upright as the camera noted; a 1-bit image becomes L.

    UserError, naming `where`, if it is damaged or cannot be read faithfully.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        _refuse_unfaithful(image, where)
        image.load()
        if image.mode != "1":  # no camera's image has 1 bit
            with suppress(Exception):  # the camera's notes may be damaged while the image is whole
                ImageOps.exif_transpose(image, in_place=True)
        if image.mode in _GREY:
            return image.convert("L")
        return image.convert("RGB") if image.mode == "P" else image
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise UserError(f"{where} has more pixels than Pillow reads; save it smaller") from None
    except UnidentifiedImageError:
        raise UserError(f"{where} is not an image that Pillow can read; leave it out, or save it as PNG") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow fails in many ways on damaged files
        raise UserError(f"{where} is a damaged image ({error}); save it again as PNG, or leave it out") from None


def _refuse_unfaithful(image: ImageFile, where: str) -> None:
    """UserError if 8-bit grey or RGB would not show what the image shows."""
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: a phone's photograph, the first frame
    if frames > 1:
        raise UserError(f"{where} is animated, or has pages ({frames} frames, expected 1); save one as PNG")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        raise UserError(
            f"{where} has transparency (mode {image.mode}); flatten it on a background and save it as RGB or grey"
        )
    if image.mode.startswith(("I", "F")) or _is_deep_colour(image):
        raise UserError(f"{where} has 16 bits or more a channel (mode {image.mode}); save it as 8-bit RGB or grey")
    if image.mode not in _GREY + _COLOUR:
        raise UserError(f"{where} has unknown colours (mode {image.mode}); save it as 8-bit RGB or grey")


def _is_deep_colour(image: ImageFile) -> bool:
    """Whether Pillow opened 16-bit colours as if they were 8-bit: the raw mode, or a PPM's largest value, tells."""
    largest = [tile[3][1] for tile in image.tile if tile[0].startswith("ppm") and isinstance(tile[3], tuple)]
    return ";16" in str(image.tile) or any(isinstance(value, int) and value > 255 for value in largest)


def read_images(
    source: Source, names: Sequence[str], *, channels: int | None = None, report: Report | None = None
) -> Images:
    """The named files as one array (n, H, W, C), all of one size.

    channels: 3 turns grey into RGB; None is 3 if any image has colour, else 1.
    """

    def read(name: str) -> Images:
        image = decode(source.read(name), f"{source.path}: {name}")
        return np.frombuffer(image.tobytes(), np.uint8).reshape(image.height, image.width, -1)

    height, width = read(names[0]).shape[:2]
    out = np.empty((len(names), height, width, channels or 1), np.uint8)
    for row, image in enumerate(in_threads(read, names, report)):
        if image.shape[:2] != (height, width):
            raise UserError(
                f"{source.path}: images of mixed sizes: {names[0]} is {width}x{height}, {names[row]} "
                f"{image.shape[1]}x{image.shape[0]}; {RESIZE}"
            )
        if image.shape[2] > out.shape[3]:
            out = np.repeat(out, 3, axis=3)
        out[row] = image
    return out


def to_input_format(content: bytes, where: str, inputs: InputFormat) -> Images:
    """An image file's content as uint8 (H, W, C) of that format: grey if C is 1, resized (bilinear), 255 - grey if ink.

    The size changes whatever the proportions. The data sets' own images take the same steps in the same order: 8 bits
    first, then the size. UserError, naming `where`, unless it is one still 8-bit image.
    """
    height, width, channels = inputs.image_shape
    image = decode(content, where).convert("L" if channels == 1 else "RGB").resize((width, height), BILINEAR)
    pixels = np.frombuffer(image.tobytes(), np.uint8).reshape(inputs.image_shape)
    return 255 - pixels if inputs.ink else pixels


def read_each_for_net(
    files: Sequence[Path], inputs: InputFormat, report: Report | None = None
) -> list[Images | UserError]:
    """Each of a user's own images (H, W, C) in that format, or why it cannot be read; read on several threads."""

    def read(file: Path) -> Images | UserError:
        try:
            if file.is_dir():
                raise UserError(f"{printable(file)} is a folder; name image files, e.g. {printable(file)}/*.png")
            return to_input_format(read_file(file, most=LARGEST_IMAGE, mend="check its name"), str(file), inputs)
        except UserError as error:
            return error

    return [*in_threads(read, files, report)]


def in_threads(function: Callable[[T], R], items: Sequence[T], report: Report | None = None) -> Iterator[R]:
    """function(item) of each item, in order. Few results wait at a time, so that memory stays small.

    Threads help because Pillow and zlib release Python's lock. report(done, total) is called as results come.
    """
    runs = (items[first : first + RUN] for first in range(0, len(items), RUN))
    workers, done = usable_cores(), 0
    with ThreadPoolExecutor(workers) as pool:
        begun = deque(pool.submit(_each, function, run) for run in islice(runs, 4 * workers))
        while begun:
            try:
                results = begun.popleft().result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
            begun.extend(pool.submit(_each, function, run) for run in islice(runs, 1))
            yield from results
            done += len(results)
            if report:
                report(done, len(items))


def _each(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    return [function(item) for item in items]
