"""The rules of the package's structure, as checks over its syntax trees.

Layers, from the bottom: L0 knows nothing of detection, L1 are the parts of a detector, L2 whole
detectors, data and evaluation, L3 what a user's program calls. A module imports from lower layers,
from its own folder and, within its layer, from single modules beside the folders; never from
another folder of its layer, but for what SIDEWAYS lists. A name is imported from where it is
defined.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = "vfnet_d2"
MAX_FILE_LINES = 250
# Lines of a function's body, without its signature and docstring.
MAX_FUNCTION_LINES = 50

# The layer of a folder or of a single module, by the longest name that fits.
LAYERS = {
    "layers": 0,
    "losses": 0,
    "components": 0,
    "modeling.structures": 0,
    "modeling.stages": 1,
    "modeling.targets": 1,
    "modeling.postprocess": 1,
    "modeling.suppression": 1,
    "modeling.box_coders": 1,
    "modeling.matchers": 1,
    "modeling.heads": 1,
    "modeling.backbone": 1,
    "modeling.meta_arch": 2,
    "data": 2,
    "evaluation": 2,
    "config": 3,
    "model_zoo": 3,
    "engine": 3,
    "checkpoint": 3,
    "cli": 4,
    "__main__": 4,
}
# They stand outside: the package's own __init__ and what it calls see to the registration, that of
# `modeling` registers everything, and the doctor must run where nothing else can be imported.
OUTSIDE = {"", "registration", "modeling", "doctor"}
# Folders of one layer that may know another, as CONTRIBUTING.md says.
SIDEWAYS = {("engine", "checkpoint"), ("model_zoo", "checkpoint"), ("__main__", "cli")}
# Folder and modules of it that its other modules may import: the template of all detectors.
DETECTORS = "modeling.meta_arch"
TEMPLATE = {f"{DETECTORS}.{name}" for name in ("one_stage", "iou_matched", "parts")}
# What the two lowest layers may use besides the standard library.
FOUNDATION = {"detectron2", "fvcore", "torchvision", "torch", PACKAGE}


class Import(NamedTuple):
    """One imported module and, for ``from`` imports, the names taken from it."""

    module: str
    names: tuple[str, ...]
    line: int


def imports_of(tree: ast.Module) -> Iterator[Import]:
    """Every import of a module, also those inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, (), node.lineno)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield Import(module, tuple(alias.name for alias in node.names), node.lineno)


def defined_in(tree: ast.Module) -> set[str]:
    """Names that a module's own top-level statements define."""
    names: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            names.add(statement.name)
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return names


class Project:
    """All modules of a package: their syntax trees by dotted name below the package."""

    def __init__(self, package: Path) -> None:
        self.trees: dict[str, ast.Module] = {}
        self.files: dict[str, Path] = {}
        self.folders: set[str] = set()
        for path in sorted(package.rglob("*.py")):
            parts = path.relative_to(package).with_suffix("").parts
            name = ".".join(parts).removesuffix("__init__").rstrip(".")
            if parts[-1] == "__init__":
                self.folders.add(name)
            self.trees[name] = ast.parse(path.read_text())
            self.files[name] = path

    def place(self, name: str) -> tuple[str, int] | None:
        """The folder or single module of a module in LAYERS, and its layer."""
        fitting = [key for key in LAYERS if f"{name}.".startswith(f"{key}.")]
        return (max(fitting, key=len), LAYERS[max(fitting, key=len)]) if fitting else None

    def unplaced(self) -> list[str]:
        """Modules of which nobody has said where they belong; empty __init__ files aside."""
        return [
            f"{name}: add it to LAYERS"
            for name, tree in self.trees.items()
            if name not in OUTSIDE and self.place(name) is None
            if not (name in self.folders and not list(imports_of(tree)))
        ]

    def direction_problems(self) -> list[str]:
        """Imports that go up, or sideways into another folder."""
        problems = []
        for name, found in self._own_imports():
            source, target = self.place(name), self.place(found.module)
            if source is None or source[0] == (target and target[0]):
                continue
            where = f"{name}:{found.line} imports {found.module}"
            if target is None:
                problems.append(f"{where}, which has no layer")
            elif target[1] > source[1]:
                problems.append(f"{where}, from L{source[1]} up to L{target[1]}")
            elif (source[0], target[0]) in SIDEWAYS:
                continue
            elif target[1] == source[1] and target[0] in self.folders:
                problems.append(f"{where}, another folder of L{source[1]}")
        return problems

    def meta_arch_problems(self) -> list[str]:
        """Detectors that know each other; all may know the template."""
        return [
            f"{name}:{found.line} imports {found.module}"
            for name, found in self._own_imports()
            if name.startswith(f"{DETECTORS}.") and found.module.startswith(f"{DETECTORS}.")
            if found.module not in TEMPLATE
        ]

    def definition_problems(self) -> list[str]:
        """Names imported from where they are not defined, and relative imports."""
        problems = []
        for name, found in self._own_imports(everywhere=True):
            where = f"{name}:{found.line}"
            if found.module.startswith("."):
                problems.append(f"{where}: relative import {found.module}")
                continue
            tree = self.trees.get(found.module)
            if tree is None:
                problems.append(f"{where}: there is no module {found.module}")
                continue
            for wanted in found.names:
                child = f"{found.module}.{wanted}".lstrip(".")
                if wanted not in defined_in(tree) and child not in self.trees:
                    problems.append(f"{where}: {wanted} is not defined in {found.module}")
        return problems

    def foundation_problems(self) -> list[str]:
        """Third-party packages in the two lowest layers other than those everything stands on."""
        problems = []
        for name, tree in self.trees.items():
            place = self.place(name)
            if place is None or place[1] > 1:
                continue
            for found in imports_of(tree):
                top = found.module.split(".")[0]
                if top not in FOUNDATION | set(sys.stdlib_module_names):
                    problems.append(f"{name}:{found.line} imports {found.module}")
        return problems

    def length_problems(self) -> list[str]:
        """Files and functions that are too long."""
        problems = []
        for name, path in self.files.items():
            lines = len(path.read_text().splitlines())
            if lines > MAX_FILE_LINES:
                problems.append(f"{path.name}: {lines} lines")
            for node in ast.walk(self.trees[name]):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    documented = ast.get_docstring(node) is not None and len(node.body) > 1
                    first = node.body[int(documented)]
                    length = (node.end_lineno or 0) - first.lineno + 1
                    if length > MAX_FUNCTION_LINES:
                        problems.append(f"{path.name}: {node.name} has {length} lines")
        return problems

    def _own_imports(self, *, everywhere: bool = False) -> Iterator[tuple[str, Import]]:
        """Imports of the package's own modules, with the module's name below the package."""
        for name, tree in self.trees.items():
            if name in OUTSIDE and not everywhere:
                continue
            for found in imports_of(tree):
                if found.module.startswith("."):
                    yield name, found
                elif found.module.split(".")[0] == PACKAGE:
                    below = found.module.removeprefix(PACKAGE).lstrip(".")
                    yield name, found._replace(module=below)
