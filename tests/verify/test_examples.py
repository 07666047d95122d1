"""The example implementations come out as the documentation says, and its example runs as it stands."""

import runpy
from pathlib import Path

import pytest

from docs.examples import pages
from leakysm.verify.conformance import Settings, conform_module

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
SETTINGS = Settings(examples=0, shrink_seconds=0.1, most_numbers=2000)
FLOAT32 = Settings(
    ("float32",), examples=0, shrink_seconds=0.1, most_numbers=300
)  # JAX compiles for every shape and dtype

# example, library, operation -> the flags that must be among its failures; None where it passes
FINDINGS = [
    ("torch_difference", "torch", "squared_euclidean", None),
    ("torch_difference", "torch", "leaky_squared_euclidean", None),
    ("torch_difference", "torch", "prototypes", None),
    ("torch_difference", "torch", "prototypical_loss", {"saturated"}),
    ("torch_cdist", "torch", "squared_euclidean", {"many-rows", "far", "coincident"}),
    ("torch_cdist_exact", "torch", "squared_euclidean", {"subnormal"}),
    ("torch_expansion", "torch", "squared_euclidean", {"coincident", "far", "ulp-apart"}),
    ("torch_library", "torch", "cross_entropy", {"saturated"}),
    ("torch_library", "torch", "cosine_distance", {"zero-vector"}),
    ("torch_library", "torch", "conv2d", {"size"}),  # its backward pass raises for a permuted kernel
    ("torch_library", "torch", "batch_norm", {"overflow"}),
    ("torch_library", "torch", "max_pool2d", None),
    ("torch_library", "torch", "relu", None),
    ("torch_library", "torch", "conv_block", {"layout"}),  # batch norm backward ignores its weight's stride
    ("torch_log_of_softmax", "torch", "cross_entropy", {"saturated", "plain"}),
    ("jax_difference", "jax", "relu", None),
    ("jax_difference", "jax", "squared_euclidean", None),
    ("jax_norm", "jax", "squared_euclidean", {"coincident"}),
    ("scipy_distances", "scipy", "squared_euclidean", None),
    ("scipy_distances", "scipy", "euclidean", {"overflow"}),
    ("scipy_distances", "scipy", "cosine_distance", {"zero-vector"}),
    ("sklearn_distances", "sklearn", "squared_euclidean", {"far", "ulp-apart"}),
]


@pytest.mark.parametrize(("example", "library", "operation", "flags"), FINDINGS)
def test_an_example_comes_out_as_documented(example: str, library: str, operation: str, flags: set[str] | None) -> None:
    pytest.importorskip(library)
    report = conform_module(
        str(EXAMPLES / f"{example}.py"), operations=[operation], settings=FLOAT32 if library == "jax" else SETTINGS
    )
    row = report.rows[-1]
    assert row.status == ("passed" if flags is None else "failed"), row.problem
    assert set(row.failures) >= flags if flags else not row.failures
    table = (ROOT / "docs" / "findings.md").read_text()
    line = next(li for li in table.splitlines() if f"| `{example}` |" in li and f"| {operation} |" in li)
    if set(row.failures) != {"layout"}:  # the table tells of contiguous arrays
        assert ("| passed" if flags is None else "| failed") in line
    assert library in report.versions


def test_the_example_of_the_documentation_runs_as_it_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    text = pages.part((ROOT / "docs" / "conformance.md").read_text(), "example")
    code = text.removeprefix("```python\n").removesuffix("```\n")
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    file = tmp_path / "my_losses.py"
    file.write_text(code)
    with pytest.raises(SystemExit) as end:  # in this process, whose exact results it then shares
        runpy.run_path(str(file), run_name="__main__")
    assert not end.value.code, capsys.readouterr().out


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("verification.md", "bounds"),
        ("checks.md", "flags"),
        ("conformance.md", "mends"),
        ("conformance.md", "operations"),
    ],
)
def test_the_tables_of_the_documentation_are_the_generated_ones(page: str, name: str) -> None:
    lines = getattr(pages, name)()
    shown = pages.part((ROOT / "docs" / page).read_text(), name).splitlines()
    assert shown == lines, "python docs/examples/fill_pages.py fills them"
