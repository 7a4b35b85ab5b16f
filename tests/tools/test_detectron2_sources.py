"""Where Detectron2 comes from: copies, archives, the repository, and the index's checked sdist."""

import http.server
import shutil
import socket
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import detectron2_sources
from detectron2_sources import (
    InstallError,
    answers,
    check_sha256,
    from_git,
    from_index,
    from_path,
    from_source,
    last_error,
)

# the test vector for "abc" of FIPS 180-2, B.1
ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The smallest tree that counts as a source of Detectron2."""
    tree = tmp_path / "upstream"
    (tree / "detectron2").mkdir(parents=True)
    (tree / "setup.py").write_text("# setup\n")
    (tree / "detectron2" / "__init__.py").write_text('__version__ = "0.6"\n')
    return tree


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The installer's working folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_right_sha256_passes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    check_sha256(tmp_path / "file", ABC_SHA256)


def test_wrong_sha256_names_file_and_both_sums(tmp_path: Path) -> None:
    (tmp_path / "file.tar.gz").write_bytes(b"abc")
    expected = "0" * 64
    with pytest.raises(InstallError) as error:
        check_sha256(tmp_path / "file.tar.gz", expected)
    for word in ("file.tar.gz", expected, ABC_SHA256, "--source"):
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("ok\nfatal: no such remote\nerror: subprocess-exited-with-error\n", "fatal: no such"),
        ("  ValueError: bad\nERROR: Failed building wheel\n", "ValueError: bad"),
        ("working\nERROR: No matching distribution\nbye\n", "ERROR: No matching"),
        ("", "exit status 3"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES ...\n", "has not the sha256"),
        (
            "ERROR: Distributions from PyPI cannot declare direct URL dependencies.\n",
            "-m pip install 'pip<26.3'",
        ),
    ],
    ids=["git", "python", "pip", "silent", "hash", "newest pip"],
)
def test_last_error_is_the_telling_line(output: str, reason: str) -> None:
    assert reason in last_error(output, 3)


def test_path_is_copied_without_its_history(source: Path, work: Path) -> None:
    (source / ".git").mkdir()
    (source / "detectron2" / "_C.so").touch()
    tree = from_path(source, work)
    copied = sorted(str(file.relative_to(tree.path)) for file in tree.path.rglob("*"))
    assert copied == ["detectron2", "detectron2/__init__.py", "setup.py"]
    assert work in tree.path.parents


def test_archive_is_unpacked(source: Path, work: Path, tmp_path: Path) -> None:
    archive = tmp_path / "d2.tgz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(source, "detectron2-0.6")
    tree = from_path(archive, work)
    assert (tree.path / "setup.py").read_text() == "# setup\n"


def test_archive_is_unpacked_where_python_has_no_filters(
    source: Path, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Debian 12's Python 3.11.2, before the filters of 3.11.4."""
    unpack = shutil.unpack_archive

    def unpack_without_filter(
        filename: Path, extract_dir: Path | None = None, format: str | None = None
    ) -> None:
        unpack(filename, extract_dir, format)

    monkeypatch.setattr(shutil, "unpack_archive", unpack_without_filter)
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    archive = tmp_path / "d2.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(source, "detectron2-0.6")
    assert (from_path(archive, work).path / "setup.py").read_text() == "# setup\n"


def test_folder_without_detectron2_says_what_is_expected(work: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(InstallError, match=r"other is no Detectron2 source: expected setup\.py"):
        from_path(tmp_path / "other", work)


def test_file_that_is_no_archive_says_so(work: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("text")
    with pytest.raises(InstallError, match=r"notes\.md: .*give a source folder or an archive"):
        from_path(tmp_path / "notes.md", work)


def test_source_that_is_neither_path_nor_url(work: Path) -> None:
    with pytest.raises(InstallError, match="--source nowhere: no such file or folder, and no URL"):
        from_source("nowhere", work, verbose=False)


def test_git_fetches_the_pinned_commit(
    source: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        settings = ("user.name=t", "user.email=t@example.org", "commit.gpgsign=false")
        options = [option for setting in settings for option in ("-c", setting)]
        command = ["git", "-C", str(source), *options, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # as a git hook sets them
        monkeypatch.delenv(variable, raising=False)
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message=first")
    monkeypatch.setattr(detectron2_sources, "GIT_URL", source.as_uri())
    monkeypatch.setattr(detectron2_sources, "GIT_COMMIT", git("rev-parse", "HEAD"))
    tree = from_git(work, verbose=False)
    assert (tree.path / "detectron2" / "__init__.py").read_text() == '__version__ = "0.6"\n'


def test_missing_commit_is_one_line(
    tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detectron2_sources, "GIT_URL", (tmp_path / "absent").as_uri())
    with pytest.raises(InstallError, match=r"^fetching .*absent failed: fatal: [^\n]*$"):
        from_git(work, verbose=False)


@pytest.fixture
def impostor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index with another sdist than the pinned one; its setup.py leaves the file returned."""
    mark, tree = tmp_path / "setup-was-run", tmp_path / "pb1-detectron2-0.6"
    tree.mkdir()
    (tree / "setup.py").write_text(
        f"open({str(mark)!r}, 'w').close()\n"
        "from setuptools import setup\nsetup(name='pb1-detectron2', version='0.6')\n"
    )
    index = tmp_path / "index"
    index.mkdir()
    with tarfile.open(index / "pb1-detectron2-0.6.tar.gz", "w:gz") as file:
        file.add(tree, tree.name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return mark


def test_other_sdist_is_refused_before_its_setup_runs(impostor: Path, work: Path) -> None:
    with pytest.raises(InstallError, match=r"downloading pb1-detectron2==0\.6 failed.*sha256"):
        from_index(work, verbose=False)
    assert not impostor.exists()


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/here" else 404)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a web server on this machine, reached without a proxy."""
    monkeypatch.setenv("no_proxy", "*")
    with http.server.HTTPServer(("127.0.0.1", 0), _Page) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("page", "there"), [("/here", True), ("/blocked", False)])
def test_host_answers_when_the_page_is_there(site: str, page: str, there: bool) -> None:
    assert answers(site + page, seconds=30.0) is there


def test_silent_host_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not answers(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.2)
