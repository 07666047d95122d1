from __future__ import annotations

import pytest

from leakysm.small_texts import parse_json, parse_toml


def test_small_texts_are_read() -> None:
    assert parse_toml("a.b = [1, 2.5]") == {"a": {"b": [1, 2.5]}}
    assert parse_json(b'{"a": [[1], "]"]}') == {"a": [[1], "]"]}


@pytest.mark.parametrize(
    ("message", "text"),
    [("deep", "[" * 100_000), ("digits", "1" * 5_000), ("deep", '{"a":' * 1_000), ("dots", "a." * 100_000 + "a = 1")],
)
def test_what_is_beyond_a_bound_is_refused(message: str, text: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_toml(text if "dots" in message else f"a = {text}")
    if message != "dots":
        with pytest.raises(ValueError, match=message):
            parse_json(text.encode())
