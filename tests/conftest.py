"""Where the real images are, and how hard Hypothesis looks."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from leakysm.verify.processes import wait_passively

# Before anything loads torch. Else its threads wait in loops, and the tests of torch take several times as long.
wait_passively()

# No test depends on the clock; examples are drawn anew on each machine but from fixed seeds, so that main stays green.
settings.register_profile(
    "leakysm", deadline=None, max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", deadline=None, max_examples=1000)  # --hypothesis-profile=search: by hand
settings.load_profile("leakysm")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def real_images(variable: str, name: str) -> Path:
    """The folder that the environment variable names, or `name` in the folder `shared` beside the repository."""
    folder = Path(os.environ.get(variable, SHARED / name))
    if not folder.is_dir():
        pytest.skip(f"no real images: {variable} names no folder and there is no ../shared/{name}")
    return folder


@pytest.fixture(scope="session")
def omniglot_path() -> Path:
    return real_images("LEAKYSM_OMNIGLOT", "omniglot")


@pytest.fixture(scope="session")
def omniglot_cache(omniglot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that holds the real Omniglot, prepared once for a test run. Do not write to it."""
    from leakysm.data import load
    from leakysm.locks import locked

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "omniglot-cache"
    folder.mkdir(exist_ok=True)
    with locked(folder / ".lock", wait=True):
        load("omniglot", omniglot_path, cache_dir=folder)
    return folder


@pytest.fixture(scope="session")
def caltech101_path() -> Path:
    return real_images("LEAKYSM_CALTECH101", "caltech101")


@pytest.fixture(scope="session")
def miniimagenet_path() -> Path:
    """The published tables; no images."""
    return real_images("LEAKYSM_MINIIMAGENET", "miniimagenet")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests run when asked for by name (-m slow) alone."""
    if "slow" in (config.option.markexpr or ""):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: run by hand with -m slow"))


def what_is_in(folder: Path) -> set[str]:
    """Files and folders in it, and in its folder `runs`, where the commands write by default; no caches."""
    found = {path.relative_to(folder).as_posix() for path in (*folder.glob("*"), *folder.glob("runs/*"))}
    return {name for name in found if not name.startswith(".") and name != "__pycache__"}


THERE_BEFORE = pytest.StashKey[set[str]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[THERE_BEFORE] = what_is_in(session.config.invocation_params.dir)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """A test that leaves something in the working directory fails, and the next ones do not."""
    yield
    known = item.config.stash[THERE_BEFORE]
    left = what_is_in(item.config.invocation_params.dir) - known
    known |= left
    if left:
        pytest.fail(f"left in the working directory: {', '.join(sorted(left))}", pytrace=False)


@pytest.fixture
def without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """HOME is not set, and the user is unknown to the system."""
    pwd = pytest.importorskip("pwd")

    def unknown(user: object) -> None:
        raise KeyError(user)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "LEAKYSM_CACHE"):
        monkeypatch.delenv(name, raising=False)
