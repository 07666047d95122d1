from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from leakysm.data.fetch import ARCHIVES, Archive, fetch, images_digest
from leakysm.errors import CheckFailed, UserError
from tests.data.conftest import BACKGROUND, drawing, write_zip


@dataclass
class Server:
    """Serves `files`; `cut` breaks each answer off after so many bytes, `ranges` says whether it can resume."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    cut: int | None = None
    ranges: bool = True


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.requests.append((self.path, wanted))
            content = state.files.get(self.path.lstrip("/"))
            if content is None:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and state.ranges else 0
            if start and start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : None if state.cut is None else start + state.cut])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        state.address = f"http://127.0.0.1:{http.server_port}/base"
        yield state
        http.shutdown()
        thread.join()


@pytest.fixture
def archive(server: Server, tmp_path: Path) -> Archive:
    file = write_zip(tmp_path / "original.zip", BACKGROUND)
    server.files["base/sub/a.zip"] = file.read_bytes()
    return Archive("sub/a.zip", hashlib.md5(file.read_bytes()).hexdigest(), images_digest(file))


def content(server: Server) -> bytes:
    return server.files["base/sub/a.zip"]


def test_fetched_once_with_progress_and_left_alone_afterwards(server: Server, archive: Archive, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int | None]] = []
    out = tmp_path / "out"
    for _ in range(2):
        files = fetch(out, [archive], mirror=f"{server.address}/", progress=lambda *call: calls.append(call))
        assert files == [out / "a.zip"]
        assert files[0].read_bytes() == content(server)
        assert [*out.iterdir()] == files
    assert server.requests == [("/base/sub/a.zip", None)]
    assert calls[-1] == ("a.zip", len(content(server)), len(content(server)))
    assert [call[1] for call in calls] == sorted(call[1] for call in calls)


def test_a_transfer_that_broke_off_goes_on_from_there(server: Server, archive: Archive, tmp_path: Path) -> None:
    size = len(content(server))
    server.cut = size // 4
    for turn in range(3):
        with pytest.raises(
            UserError, match=rf"broke off after {(turn + 1) * server.cut} of {size} bytes; run the comm"
        ):
            fetch(tmp_path / "out", [archive], mirror=server.address)
        assert not (tmp_path / "out" / "a.zip").exists()
    server.cut = None
    (file,) = fetch(tmp_path / "out", [archive], mirror=server.address)
    assert file.read_bytes() == content(server)
    starts = [None, *(f"bytes={turn * (size // 4)}-" for turn in (1, 2, 3))]
    assert [wanted for _, wanted in server.requests] == starts


def test_a_server_without_ranges_sends_it_all_again(server: Server, archive: Archive, tmp_path: Path) -> None:
    server.cut, server.ranges = 1000, False
    with pytest.raises(UserError, match="broke off after 1000 of"):
        fetch(tmp_path, [archive], mirror=server.address)
    server.cut = None
    (file,) = fetch(tmp_path, [archive], mirror=server.address)
    assert file.read_bytes() == content(server)


@pytest.mark.parametrize("beginning", ["whole", "longer", "other"])
def test_whatever_lay_there_from_before_the_result_is_right(
    server: Server, archive: Archive, tmp_path: Path, beginning: str
) -> None:
    whole = content(server)
    before = {"whole": whole, "longer": whole + b"x", "other": b"?" * 5000}[beginning]
    (tmp_path / "a.zip.part").write_bytes(before)
    (file,) = fetch(tmp_path, [archive], mirror=server.address)
    assert file.read_bytes() == (before if beginning == "longer" else whole)  # a byte behind a zip does no harm
    assert images_digest(file) == archive.images
    assert not (tmp_path / "a.zip.part").exists()


def test_a_rebuilt_archive_with_the_same_images_is_the_published_data(
    server: Server, archive: Archive, tmp_path: Path
) -> None:
    rebuilt = write_zip(tmp_path / "rebuilt.zip", dict(reversed(BACKGROUND.items()))).read_bytes()
    assert rebuilt != content(server)
    server.files["base/sub/a.zip"] = rebuilt
    (file,) = fetch(tmp_path / "out", [archive], mirror=server.address)
    assert file.read_bytes() == rebuilt


def test_other_data_are_refused_and_removed(server: Server, archive: Archive, tmp_path: Path) -> None:
    changed = {**BACKGROUND, next(iter(BACKGROUND)): drawing(999)}
    server.files["base/sub/a.zip"] = write_zip(tmp_path / "changed.zip", changed).read_bytes()
    with pytest.raises(CheckFailed, match=rf"is not the published a\.zip: MD5 .*, expected {archive.md5}.*was removed"):
        fetch(tmp_path / "out", [archive], mirror=server.address)
    assert [*(tmp_path / "out").iterdir()] == []


def test_a_web_page_in_place_of_the_archive_is_refused_and_removed(
    server: Server, archive: Archive, tmp_path: Path
) -> None:
    server.files["base/sub/a.zip"] = b"<html>Please log in</html>"
    address = f"{server.address}/{archive.place}"
    with pytest.raises(
        UserError, match=f"{address} is not an intact zip archive.*it was removed; give another --mirror"
    ):
        fetch(tmp_path / "out", [archive], mirror=server.address)
    assert [*(tmp_path / "out").iterdir()] == []


def test_other_data_that_were_there_before_are_named_and_kept(server: Server, archive: Archive, tmp_path: Path) -> None:
    mine = write_zip(tmp_path / "a.zip", {"x.png": b"mine"}).read_bytes()
    with pytest.raises(CheckFailed, match=r"a\.zip is not the published a\.zip.*remove it and fetch it again"):
        fetch(tmp_path, [archive], mirror=server.address)
    assert (tmp_path / "a.zip").read_bytes() == mine
    assert server.requests == []


def test_a_broken_archive_that_was_there_before_is_named_with_the_mend(
    server: Server, archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / "a.zip").write_bytes(content(server)[:-5])
    with pytest.raises(UserError, match=r"a\.zip is not an intact zip archive.*remove it and fetch it again"):
        fetch(tmp_path, [archive], mirror=server.address)
    assert (tmp_path / "a.zip").exists()


def test_a_missing_file_gives_the_servers_answer(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the server answers 404 Not Found; give another --mirror"):
        fetch(tmp_path, [Archive("b.zip", "0")], mirror=server.address)


def test_offline_is_said_in_one_line_with_the_mend(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for mirror in (f"http://127.0.0.1:{port}", "https://no-such-host.invalid"):
        with pytest.raises(
            UserError, match=r"cannot be reached .*; check the network, give another --mirror"
        ) as caught:
            fetch(tmp_path, ARCHIVES, mirror=mirror)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mirror", ["file:///etc", "ftp://host/x", "here", "", "https://[bad", "https://"])
def test_only_web_addresses_are_mirrors(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(UserError, match="is not a web address; expected https"):
        fetch(tmp_path, ARCHIVES, mirror=mirror)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file: cannot be written .*; choose another folder"):
        fetch(tmp_path / "file", ARCHIVES, mirror="http://127.0.0.1:1")


def test_the_real_images_have_the_stated_digests(omniglot_path: Path) -> None:
    for archive in ARCHIVES:
        assert images_digest(omniglot_path / archive.name) == archive.images
