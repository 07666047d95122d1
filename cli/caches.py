"""Where libraries keep files between two calls of a command: in the cache folder of leakysm, if there is one."""

from __future__ import annotations

import os


def keep_hypothesis_files() -> None:
    """Let Hypothesis keep its examples there, in this process and in new ones, and not in the working directory."""
    from hypothesis.configuration import set_hypothesis_home_dir

    from leakysm.data.cache import known_cache_folder

    folder = f"{known_cache_folder() or os.devnull}/hypothesis"  # below a device nothing can be kept
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
    set_hypothesis_home_dir(folder)


def keep_compiled_programs() -> None:
    """Let JAX keep its compiled programs there: checking again takes a third of the time."""
    from leakysm.data.cache import known_cache_folder

    if folder := known_cache_folder():
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "jax"))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
