"""The runs of a reproduction: what they share, which are finished, and what they found."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vfnet_d2.paper.tables import Row, report
from vfnet_d2.utils.files import locked, write_text

RESULTS, REPORT, LOCK = "results.json", "report.md", "lock"


@dataclass(frozen=True)
class Settings:
    """What all runs of an output folder share.

    Attributes:
        iterations: of training, 10 or more.
        images: of the training set.
        num_gpus: 0 trains on the CPU.
    """

    iterations: int
    images: int
    num_gpus: int = 0

    def __post_init__(self) -> None:
        if self.iterations < 10 or self.images < 1:
            raise ValueError(
                f"iterations ({self.iterations}) must be at least 10 and images ({self.images}) 1"
            )


@dataclass(frozen=True)
class Run:
    """One training: a config with a seed in a folder of its own."""

    config: str
    seed: int
    folder: Path

    @property
    def key(self) -> str:
        """Name in the file of results."""
        return f"{self.config} seed {self.seed}"


class Results:
    """The finished runs of an output folder, in a file that is always whole.

    Several processes may share the folder, each with an object of its own.

    Args:
        output: the folder.
        settings: of its runs.

    Raises:
        ValueError: the folder holds runs of other settings, or its file cannot be read.
    """

    def __init__(self, output: Path, settings: Settings) -> None:
        self.path = output / RESULTS
        self.settings = asdict(settings)
        self.runs: dict[str, dict[str, float]] = {}
        self.read()

    def read(self) -> None:
        """Take over what the file says now."""
        if not self.path.exists():
            return
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            found, self.runs = content["settings"], content["runs"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.path} is no file of results ({error}); move it away to start anew"
            ) from error
        if found != self.settings:
            raise ValueError(
                f"{self.path} holds runs with {found}, but {self.settings} is asked for; choose "
                "another --output, or the same options"
            )

    def add(self, *finished: tuple[Run, dict[str, float]]) -> None:
        """Record finished runs; without one, the file still says what the folder is for."""
        with locked(self.path.with_name(LOCK), wait=True):
            self.read()
            self.runs.update({run.key: result for run, result in finished})
            content = {"settings": self.settings, "runs": self.runs}
            write_text(self.path, json.dumps(content, indent=1) + "\n")

    def state(self, run: Run) -> str:
        """Whether a run is finished, started or to do."""
        if run.key in self.runs:
            return f"finished, AP {self.runs[run.key]['AP']:.2f}"
        return "started" if run.folder.exists() else "to do"

    def measured(self, runs: Sequence[Run]) -> dict[str, dict[int, float]]:
        """Box AP by config and seed, of those of ``runs`` that are finished."""
        values: dict[str, dict[int, float]] = {}
        for run in runs:
            if run.key in self.runs:
                values.setdefault(run.config, {})[run.seed] = self.runs[run.key]["AP"]
        return values


def write_report(
    tables: Sequence[tuple[str, list[Row]]], runs: Sequence[Run], results: Results
) -> str:
    """Write and return the Markdown report of the finished ones of ``runs``."""
    text = report(tables, results.measured(runs))
    write_text(results.path.with_name(REPORT), text)
    return text
