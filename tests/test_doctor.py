"""The doctor: each mismatch is seen, and its command is the one that mends it."""

import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from vfnet_d2 import doctor
from vfnet_d2.doctor import Check

PIP = f"{sys.executable} -m pip"


def loading(**modules: object) -> Callable[[str], tuple[object | None, str]]:
    """Stands for `doctor.load`: gives these modules, and for a string fails with that error."""

    def load(name: str) -> tuple[object | None, str]:
        module = modules.get(name.replace(".", "_"), ModuleType(name))
        return (None, module) if isinstance(module, str) else (module, "")

    return load


@pytest.fixture
def detectron2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a Detectron2 without any content, in which every import succeeds."""
    folder = tmp_path / "detectron2"
    folder.mkdir()
    spec = ModuleSpec("detectron2", None, origin=str(folder / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(doctor, "load", loading())
    return folder


def use(folder: Path, path: str, text: str) -> None:
    """Write a source file of the fake Detectron2."""
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("version", "parts"),
    [("2.14.1", (2, 14)), ("2.9.0+cpu", (2, 9)), ("0.1.5.post20221221", (0, 1)), ("?", (0, 0))],
)
def test_minor(version: str, parts: tuple[int, int]) -> None:
    assert doctor.minor(version) == parts


# the pairs of torchvision's own compatibility table
@pytest.mark.parametrize(
    ("torch", "torchvision"),
    [
        ("2.14.1", "0.29.1"),
        ("2.11.0+cu130", "0.26.0"),
        ("2.10.0", "0.25.0"),
        ("2.14.1", "not installed"),  # which has a line of its own
    ],
)
def test_matching_pair_is_fine(
    torch: str, torchvision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {"torch": torch, "torchvision": torchvision}
    monkeypatch.setattr(doctor, "installed_version", versions.get)
    assert doctor.check_pair().problem is None


def test_pair_that_does_not_match_keeps_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.11.0", "torchvision": "0.29.1"}
    monkeypatch.setattr(doctor, "installed_version", versions.get)
    check = doctor.check_pair()
    assert check.problem == "torch 2.11 goes with torchvision 0.26"
    assert check.fix == f"{PIP} install 'torch==2.11.*' 'torchvision==0.26.*'"


def test_old_torch_is_upgraded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "load", loading(torch=SimpleNamespace(__version__="2.9.1")))
    check = doctor.check_package("torch")
    fix = f"{PIP} install 'torch>=2.10' 'torchvision>=0.25'"
    assert check == Check("torch", "2.9.1", "older than 2.10", fix)


def test_version_at_the_floor_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "load", loading(torch=SimpleNamespace(__version__="2.10.0")))
    assert doctor.check_package("torch") == Check("torch", "2.10.0")


@pytest.mark.parametrize(
    ("module", "error", "install"),
    [
        ("PIL", "ModuleNotFoundError: No module named 'PIL'", "install 'pillow>=9.1'"),
        ("fvcore", "ModuleNotFoundError: No module named 'yaml'", "install PyYAML"),
        ("fvcore", "ImportError: broken", "install --force-reinstall --no-deps fvcore"),
        (
            "torchvision",
            "RuntimeError: operator torchvision::nms does not exist",
            "install --force-reinstall torch==2.14.1 torchvision==0.29.1",
        ),
    ],
    ids=["missing", "its requirement is missing", "broken", "built for another torch"],
)
def test_package_that_does_not_load(
    module: str, error: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "load", loading(**{module: error}))
    check = doctor.check_package(module)
    assert (check.problem, check.fix) == (error, f"{PIP} {install}")


def test_opencv_with_windows_on_a_slim_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    error = "ImportError: libGL.so.1: cannot open shared object file: No such file or directory"
    monkeypatch.setattr(doctor, "load", loading(cv2=error))
    again = f"{PIP} install --force-reinstall --no-deps opencv-python-headless"
    assert doctor.check_cv2().fix == f"{PIP} uninstall --yes opencv-python && {again}"


def test_missing_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "load", loading(cv2="ModuleNotFoundError: No module named 'cv2'"))
    assert doctor.check_cv2().fix == f"{PIP} install opencv-python-headless"


@pytest.mark.parametrize("spec", [None, ModuleSpec("detectron2", None)], ids=["none", "folder"])
def test_missing_detectron2(spec: ModuleSpec | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert doctor.check_detectron2().fix == f"{sys.executable} tools/install_detectron2.py"


def test_v06_and_main_are_told_apart_by_their_features(detectron2: Path) -> None:
    assert doctor.check_detectron2().value.startswith("v0.6 in ")
    (detectron2 / "tracking").mkdir()
    assert doctor.check_detectron2().value.startswith("main (newer than v0.6) in ")


def test_names_that_libraries_removed_are_found(
    detectron2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numpy = SimpleNamespace(int64=int, bool=bool)
    monkeypatch.setattr(doctor, "load", loading(numpy=numpy, PIL_Image=SimpleNamespace()))
    use(detectron2, "data/build.py", "dtype=np.int, np.int64")
    use(detectron2, "structures/masks.py", ".astype(np.bool)")
    use(detectron2, "data/transforms/transform.py", "Image.LINEAR, cv2.INTER_LINEAR")
    check = doctor.check_detectron2()
    assert check.problem and check.problem.startswith("uses Image.LINEAR, np.int, which")
    assert check.fix and check.fix.startswith(f"{PIP} uninstall --yes detectron2 pb1-detectron2 &&")


def test_pkg_resources_alone_is_a_remark_with_its_command(
    detectron2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "load", loading(pkg_resources="ModuleNotFoundError"))
    use(detectron2, "model_zoo/model_zoo.py", "pkg_resources.resource_filename(")
    check = doctor.check_detectron2()
    assert check.problem is None
    assert check.value.endswith(f"run {PIP} install 'setuptools<82'")


def test_detectron2_whose_import_fails(detectron2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = "ImportError: cannot import name 'x'"
    monkeypatch.setattr(doctor, "load", loading(detectron2_engine=error))
    check = doctor.check_detectron2()
    assert check.problem == f"detectron2.engine: {error}"
    assert check.fix and check.fix.endswith("tools/install_detectron2.py")


def test_detectron2_without_one_of_its_packages(
    detectron2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = "ModuleNotFoundError: No module named 'omegaconf'"
    monkeypatch.setattr(doctor, "load", loading(detectron2_config=error))
    assert doctor.check_detectron2().fix == f"{PIP} install omegaconf"


def test_detectron2_is_not_blamed_for_a_package_with_its_own_line(
    detectron2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "load", loading(cv2="ImportError: libGL.so.1"))
    check = doctor.check_detectron2()
    assert (check.problem, "not tried without cv2" in check.value) == (None, True)


@pytest.mark.parametrize("run", [doctor.run_nms, doctor.run_deform_conv2d])
def test_op_runs_here(run: Callable[[], bool]) -> None:
    assert run()


def raising() -> bool:
    """An op that was never registered."""
    raise RuntimeError("operator torchvision::nms does not exist\nand more")


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        (lambda: False, "gives a wrong result"),
        (raising, "RuntimeError: operator torchvision::nms does not exist"),
    ],
    ids=["wrong", "absent"],
)
def test_op_that_does_not_run(run: Callable[[], bool], problem: str) -> None:
    check = doctor.check_op("nms", run)
    assert check.problem == problem
    assert check.fix == f"{PIP} install --force-reinstall torch==2.14.1 torchvision==0.29.1"


def test_report_lists_values_problems_and_commands() -> None:
    text = doctor.report([Check("a", "1"), Check("b", "2", "too old", "pip install b")])
    words = text.split()
    assert words[:4] == ["a", "1", "b", "2"]
    assert text.endswith("1 to fix:\n  b: too old\n    pip install b")


@pytest.mark.parametrize(("problem", "status"), [(None, 0), ("too old", 1)])
def test_exit_status_says_whether_something_must_be_fixed(
    problem: str | None, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "CHECKS", (lambda: Check("a", "1", problem),))
    assert doctor.main() == status


def test_this_environment_is_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    names = [check().name for check in doctor.CHECKS]
    assert len(names) == len(set(names))
    assert doctor.main() == 0, capsys.readouterr().out
