"""The installer's decisions: what is kept, which source comes next, what an error says."""

from pathlib import Path

import pytest

import install_detectron2
from detectron2_sources import InstallError, Tree
from install_detectron2 import Found, keep, look, main, require_tools

NOTHING = Found(torch="2.14.1", path=None, version=None, ops=False, zoo=False, error="none")
GOOD = Found(
    torch="2.14.1", path="/site/detectron2", version="0.6", ops=False, zoo=True, error=None
)


def never(*arguments: object, **options: object) -> None:
    """Stands for a step that must not be taken."""
    pytest.fail("took a step that it should not have")


def failing(*arguments: object, **options: object) -> None:
    """Stands for a source that is out of reach."""
    raise InstallError("out of reach")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources asked and trees installed, in order; Detectron2 is absent before, good after."""
    taken: list[str] = []
    sights = iter([NOTHING, GOOD])
    monkeypatch.setattr(install_detectron2, "look", lambda: next(sights))
    monkeypatch.setattr(install_detectron2, "answers", lambda *a, **k: True)
    monkeypatch.delenv(install_detectron2.SOURCE_VARIABLE, raising=False)
    for name in ("from_git", "from_index", "from_source"):

        def source(*arguments: object, name: str = name, **options: object) -> Tree:
            taken.append(name if name != "from_source" else f"{name} {arguments[0]}")
            return Tree(Path("tree"), name)

        monkeypatch.setattr(install_detectron2, name, source)
    monkeypatch.setattr(
        install_detectron2, "install", lambda tree, **options: taken.append(f"install {tree.name}")
    )
    return taken


def test_look_finds_the_detectron2_of_this_environment() -> None:
    import detectron2

    found = look()
    assert found.path == detectron2.__path__[0]
    assert found.error is None


def test_detectron2_that_works_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install_detectron2, "look", lambda: GOOD)
    monkeypatch.setattr(install_detectron2, "fetch", never)
    assert main(["--source", "elsewhere"]) == 0
    assert capsys.readouterr().out.startswith("kept: Detectron2 0.6 in /site/detectron2")


def test_detectron2_that_does_not_work_names_error_and_removal() -> None:
    broken = GOOD._replace(error="AttributeError: np.int")
    with pytest.raises(InstallError, match=r"/site/detectron2 .*np\.int.*pip uninstall"):
        keep(broken, with_ops=False)


def test_kept_detectron2_without_ops_does_not_satisfy_with_ops() -> None:
    with pytest.raises(InstallError, match="no compiled ops"):
        keep(GOOD, with_ops=True)


def test_model_zoo_that_does_not_import_is_only_a_remark() -> None:
    assert "model zoo does not import" in keep(GOOD._replace(zoo=False), with_ops=False)


def test_missing_torch_names_the_command() -> None:
    with pytest.raises(InstallError, match=r"torch is not usable.*-m pip install -r requirements"):
        require_tools(NOTHING._replace(torch=None))


def test_git_comes_before_the_index(steps: list[str]) -> None:
    assert main([]) == 0
    assert steps == ["from_git", "install from_git"]


@pytest.mark.parametrize("arguments", [["--source", "tree"], ["--source", "tree", "--no-git"]])
def test_source_comes_before_all(steps: list[str], arguments: list[str]) -> None:
    assert main(arguments) == 0
    assert steps == ["from_source tree", "install from_source"]


def test_source_is_read_from_the_environment(
    steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VFNET_D2_DETECTRON2_SOURCE", "variable")
    assert main([]) == 0
    assert steps[0] == "from_source variable"


def test_index_is_taken_when_the_git_host_is_silent(
    steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install_detectron2, "answers", lambda *a, **k: False)
    assert main([]) == 0
    assert steps == ["from_index", "install from_index"]


def test_index_is_taken_when_git_fails(steps: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install_detectron2, "from_git", failing)
    assert main([]) == 0
    assert steps == ["from_index", "install from_index"]


def test_no_git_asks_no_host(steps: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install_detectron2, "answers", never)
    assert main(["--no-git"]) == 0
    assert steps[0] == "from_index"


def test_ops_are_not_looked_for_in_the_index(
    steps: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--no-git", "--with-ops"]) == 1
    assert "--with-ops needs a source with layers/csrc" in capsys.readouterr().err
    assert steps == []


def test_ops_need_a_source_that_has_them(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=r"--with-ops: upstream has no detectron2/layers/csrc"):
        install_detectron2.install(Tree(tmp_path, "upstream"), with_ops=True, verbose=False)


@pytest.mark.parametrize("exact", [True, False], ids=["index", "other"])
def test_unknown_source_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact: bool
) -> None:
    monkeypatch.setattr(install_detectron2, "pip", never)
    (tmp_path / "setup.py").write_text("setup()\n")
    tree = Tree(tmp_path, "upstream", exact)
    with pytest.raises(InstallError, match=r"upstream is not the source expected: .*found 0"):
        install_detectron2.install(tree, with_ops=False, verbose=False)


def test_error_is_one_line_without_traceback(
    steps: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install_detectron2, "from_source", failing)
    assert main(["--source", "tree"]) == 1
    assert capsys.readouterr().err == "install_detectron2: error: out of reach\n"


def test_detectron2_that_went_in_but_does_not_import_is_an_error(
    steps: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sights = iter([NOTHING, GOOD._replace(error="ModuleNotFoundError: No module named 'yacs'")])
    monkeypatch.setattr(install_detectron2, "look", lambda: next(sights))
    assert main([]) == 1
    assert (
        "does not import (ModuleNotFoundError: No module named 'yacs')" in capsys.readouterr().err
    )
