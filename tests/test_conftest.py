"""A test that leaves files in the working directory fails, and its error names them."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

LEAVING = """
import os
import pathlib

def test_leaves_an_empty_folder():
    os.makedirs("runs/bad")

def test_leaves_nothing():
    pathlib.Path("file").write_text("")
    os.remove("file")

def test_leaves_another_folder():
    os.makedirs("runs/other")
"""


def test_what_a_test_leaves_in_the_working_directory_is_told(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text())
    pytester.makepyfile(LEAVING)
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(
        ["left in the working directory: runs, runs/bad", "left in the working directory: runs/other"]
    )
