"""`python -m vfnet_d2.doctor`: what is installed, and the command that mends what does not fit.

Imports nothing of vfnet_d2 or Detectron2 on top, so that it runs where those cannot be imported.
"""

import importlib.metadata
import importlib.util
import platform
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

# the floors of setup.py
FLOORS = {"torch": "2.10", "torchvision": "0.25", "numpy": "1.24", "pillow": "9.1"}
# where pip's name differs from the module's
DISTRIBUTIONS = {"PIL": "pillow", "cv2": "opencv-python-headless", "yaml": "PyYAML"}
PAIR_OFFSET = 15  # torchvision 0.(N + 15) is built for torch 2.N
TESTED_PAIR = "torch==2.14.1 torchvision==0.29.1"

PACKAGES = ("torch", "torchvision", "numpy", "PIL", "fvcore", "pycocotools")
DETECTRON2_MODULES = ("config", "data", "engine", "evaluation", "modeling", "utils.visualizer")
# Where an unedited v0.6 uses what libraries have removed: file, name used there, library.
LEFTOVERS = (
    ("data/build.py", r"\bnp\.(int)\b", "numpy"),
    ("evaluation/sem_seg_evaluation.py", r"\bnp\.(float|int)\b", "numpy"),
    ("structures/masks.py", r"\bnp\.(bool)\b", "numpy"),
    ("data/transforms/transform.py", r"\bImage\.(LINEAR)\b", "PIL.Image"),
    ("model_zoo/model_zoo.py", r"\bpkg_resources\.(resource_filename)\b", "pkg_resources"),
)

PIP = f"{sys.executable} -m pip"
INSTALL_DETECTRON2 = f"{sys.executable} tools/install_detectron2.py"
REPLACE_DETECTRON2 = f"{PIP} uninstall --yes detectron2 pb1-detectron2 && {INSTALL_DETECTRON2}"


class Check(NamedTuple):
    """One line of the report; when `problem` is set, something must be fixed and `fix` does it."""

    name: str
    value: str
    problem: str | None = None
    fix: str | None = None


def load(name: str) -> tuple[ModuleType | None, str]:
    """Import a module; return it, or None and why not (whatever the module raised, on one line)."""
    try:
        return importlib.import_module(name), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}".splitlines()[0]


def minor(version: str) -> tuple[int, int]:
    """`(major, minor)` of a version such as `2.14.1+cpu`; zeros for what cannot be read."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def check_python() -> Check:
    """This interpreter; one that is too old could not have come this far."""
    return Check("python", f"{platform.python_version()} ({sys.executable})")


def wanted(name: str) -> str:
    """What to ask pip for to get this distribution; torch and torchvision go together."""
    names = ("torch", "torchvision") if name.startswith("torch") else (name,)
    return " ".join(f"'{name}>={FLOORS[name]}'" if name in FLOORS else name for name in names)


def cure(error: str, *, otherwise: str) -> str:
    """The command after a failed import: install the module that it misses, or `otherwise`."""
    missing = re.search(r"No module named '(?!detectron2)(\w+)", error)
    name = missing and DISTRIBUTIONS.get(missing[1], missing[1])
    return f"{PIP} install {wanted(name)}" if name else otherwise


def check_package(module: str) -> Check:
    """A package that must import and not be older than its floor."""
    name = DISTRIBUTIONS.get(module, module)
    imported, error = load(module)
    if imported is None:
        again = TESTED_PAIR if name in TESTED_PAIR else f"--no-deps {name}"
        fix = cure(error, otherwise=f"{PIP} install --force-reinstall {again}")
        return Check(name, "does not load", error, fix)
    version = str(getattr(imported, "__version__", None) or installed_version(name))
    if minor(version) >= minor(FLOORS.get(name, "0.0")):
        return Check(name, version)
    return Check(name, version, f"older than {FLOORS[name]}", f"{PIP} install {wanted(name)}")


def installed_version(name: str) -> str:
    """The version that pip recorded."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def check_pair() -> Check:
    """The torchvision that goes with this torch."""
    versions = [installed_version("torch"), installed_version("torchvision")]
    check = Check("torch and torchvision", " and ".join(versions))
    (major, number), (_, vision_number) = map(minor, versions)
    if major == 2 and vision_number and vision_number != number + PAIR_OFFSET:
        problem = f"torch 2.{number} goes with torchvision 0.{number + PAIR_OFFSET}"
        pair = f"'torch==2.{number}.*' 'torchvision==0.{number + PAIR_OFFSET}.*'"
        return check._replace(problem=problem, fix=f"{PIP} install {pair}")
    return check


def check_cuda() -> Check:
    """What CUDA torch has. Never a problem: everything runs on a CPU too."""
    torch, _ = load("torch")
    if torch is None:
        return Check("CUDA", "unknown without torch")
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return Check("CUDA", f"torch's is {torch.version.cuda or 'none'}, {devices} device(s) here")


def check_cv2() -> Check:
    """OpenCV, which Detectron2's Visualizer imports; which of its distributions is no matter."""
    check = check_package("cv2")._replace(name="cv2")
    if check.problem and ".so" in check.problem:
        # the variant with windows, on a machine that lacks their libraries
        return check._replace(fix=f"{PIP} uninstall --yes opencv-python && {check.fix}")
    return check


def find_leftovers(folder: Path) -> list[str]:
    """The names, such as `np.int`, that this Detectron2 uses and its libraries no longer have."""
    gone: set[str] = set()
    for file, pattern, module in LEFTOVERS:
        text = (folder / file).read_text(encoding="utf-8") if (folder / file).is_file() else ""
        used = re.finditer(pattern, text)
        gone.update(match[0] for match in used if not hasattr(load(module)[0], match[1]))
    return sorted(gone)


def check_detectron2() -> Check:
    """Which Detectron2 is there, and whether what is used of it can be imported.

    v0.6 and the main branch both call themselves 0.6; only main has `detectron2.tracking`.
    """
    spec = importlib.util.find_spec("detectron2")
    if spec is None or spec.origin is None:  # no file: a mere folder of that name
        return Check("detectron2", "missing", "not installed", INSTALL_DETECTRON2)
    folder = Path(spec.origin).parent
    which = "main (newer than v0.6)" if (folder / "tracking").is_dir() else "v0.6"
    check = Check("detectron2", f"{which} in {folder}")
    broken = [module for module in (*PACKAGES, "cv2") if load(module)[1]]
    if broken:  # each of them has a line of its own
        return check._replace(value=f"{check.value}, not tried without {', '.join(broken)}")
    gone = find_leftovers(folder)
    if gone == ["pkg_resources.resource_filename"]:  # so is the main branch
        zoo = f"for its model_zoo (nothing here needs it) run {PIP} install 'setuptools<82'"
        check = check._replace(value=f"{check.value}; {zoo}")
    elif gone:
        problem = f"uses {', '.join(gone)}, which the installed libraries no longer have"
        return check._replace(problem=problem, fix=REPLACE_DETECTRON2)
    for module in DETECTRON2_MODULES:
        _, error = load(f"detectron2.{module}")
        if error:
            fix = cure(error, otherwise=REPLACE_DETECTRON2)
            return check._replace(problem=f"detectron2.{module}: {error}", fix=fix)
    extra = f"; detectron2.export fails (nothing here needs it): {REPLACE_DETECTRON2}"
    return check._replace(value=check.value + (extra if load("detectron2.export")[1] else ""))


def run_nms() -> bool:
    """Whether torchvision's nms keeps one of two equal boxes."""
    import torch
    from torchvision.ops import nms

    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 4.0]])
    return bool(nms(boxes, torch.tensor([0.5, 0.9]), 0.5).tolist() == [1])


def run_deform_conv2d() -> bool:
    """Whether torchvision's deform_conv2d, moved one pixel to the right, reads the neighbour."""
    import torch
    from torchvision.ops import deform_conv2d

    image = torch.tensor([[[[1.0, 2.0]]]])
    offset = torch.tensor([[[[0.0, 0.0]], [[1.0, 1.0]]]])  # (y, x) of the only sample
    return bool(deform_conv2d(image, offset, torch.ones(1, 1, 1, 1)).tolist() == [[[[2.0, 0.0]]]])


def check_op(name: str, run: Callable[[], bool]) -> Check:
    """An op of torchvision that must load and give the right answer on the CPU."""
    if load("torch")[1] or load("torchvision")[1]:  # which has a line of its own
        return Check(name, "not tried without torch and torchvision")
    try:
        problem = "" if run() else "gives a wrong result"
    except Exception as error:
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
    if not problem:
        return Check(name, "runs")
    # mostly a torchvision built for another torch, under a version that looks right to pip
    return Check(name, "does not run", problem, f"{PIP} install --force-reinstall {TESTED_PAIR}")


def check_setuptools() -> Check:
    """Not imported: it refuses to be when something has imported Python's own distutils before."""
    return Check("setuptools", installed_version("setuptools"))


def check_compiled_ops() -> Check:
    """Detectron2's own compiled ops. Never a problem: nothing here needs them."""
    module, _ = load("detectron2._C")
    return Check("detectron2._C", "loads" if module else "not compiled (nothing here needs it)")


CHECKS: tuple[Callable[[], Check], ...] = (
    check_python,
    *(partial(check_package, module) for module in PACKAGES),
    check_cv2,
    check_pair,
    check_cuda,
    check_detectron2,
    check_compiled_ops,
    check_setuptools,
    partial(check_op, "nms", run_nms),
    partial(check_op, "deform_conv2d", run_deform_conv2d),
)


def report(checks: list[Check]) -> str:
    """The table of all checks, and below it what must be fixed with the command for each."""
    lines = [f"{check.name:<22} {check.value}" for check in checks]
    broken = [check for check in checks if check.problem]
    lines += ["", f"{len(broken)} to fix:" if broken else "Everything fits together."]
    for check in broken:
        lines += [f"  {check.name}: {check.problem}", f"    {check.fix}"]
    return "\n".join(lines)


def main() -> int:
    """Print the report; return 1 when something must be fixed, else 0."""
    checks = [check() for check in CHECKS]
    print(report(checks))
    return int(any(check.problem for check in checks))


if __name__ == "__main__":
    sys.exit(main())
