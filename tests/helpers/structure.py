"""Rules of the package's structure that import-linter does not know, as checks over its files.

A name is imported from where it is defined; files, functions, folders and rooms stay small.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = "vfnet_d2"
MAX_FILE_LINES = 250
# Lines of a function's body, without its signature and docstring.
MAX_FUNCTION_LINES = 50

MAX_FOLDER_FILES = 20
# Of all lines of the package, in one room: a folder right below it.
MAX_ROOM_SHARE = 0.16


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

    def definition_problems(self) -> list[str]:
        """Names imported from where they are not defined, and relative imports."""
        problems = []
        for name, found in self._own_imports():
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

    def size_problems(self) -> list[str]:
        """Folders with too many files, and rooms with too large a share of all lines."""
        problems = []
        folders = Counter(path.parent for path in self.files.values())
        for folder, count in folders.items():
            if count > MAX_FOLDER_FILES:
                problems.append(f"{folder.name}: {count} files")
        lines: Counter[str] = Counter()
        for name, path in self.files.items():
            lines[name.partition(".")[0]] += len(path.read_text().splitlines())
        for room in {name.partition(".")[0] for name in self.folders} - {""}:
            share = lines[room] / lines.total()
            if share > MAX_ROOM_SHARE:
                problems.append(f"{room}: {share:.1%} of the lines")
        return problems

    def _own_imports(self) -> Iterator[tuple[str, Import]]:
        """Imports of the package's own modules, with the module's name below the package."""
        for name, tree in self.trees.items():
            for found in imports_of(tree):
                if found.module.startswith("."):
                    yield name, found
                elif found.module.split(".")[0] == PACKAGE:
                    below = found.module.removeprefix(PACKAGE).lstrip(".")
                    yield name, found._replace(module=below)
