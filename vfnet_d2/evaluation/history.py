"""Reading back what a training run wrote into ``metrics.json``."""

import json
from pathlib import Path
from typing import Any

_BOX = "bbox/"


def read_history(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a Detectron2 ``metrics.json``, one JSON object a line.

    A run that was interrupted while writing leaves half a line at the end; it is passed over.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line other than the last is not JSON; names file and line.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(f"{path}, line {number}: not a JSON object ({error})") from error
    return entries


def last_result(path: Path) -> dict[str, float]:
    """Return the box APs of the last evaluation in a ``metrics.json``: "AP", "AP50" and so on.

    Raises:
        ValueError: the run was never evaluated.
    """
    for entry in reversed(read_history(path)):
        result = {key[len(_BOX) :]: value for key, value in entry.items() if key.startswith(_BOX)}
        if result:
            order = ["AP", "AP50", "AP75", "APs", "APm", "APl"]
            return {key: result[key] for key in [*order, *sorted(set(result) - set(order))]}
    raise ValueError(f"{path} holds no evaluation; train with TEST.EVAL_PERIOD above 0")
