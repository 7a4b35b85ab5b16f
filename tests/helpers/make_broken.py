"""Writes tests/data/broken: datasets that are broken in one way each, and what must be said.

    python -m tests.helpers.make_broken

Every folder holds ``data/``, the dataset, and ``expected.json``: the findings, each with its code
and phrases of its text, or the error that opening must raise. ``broken_cases_*.py`` are the cases.
"""

import json
import shutil
from pathlib import Path

from tests.helpers.broken_case import Case
from tests.helpers.broken_cases_coco import COCO_CASES
from tests.helpers.broken_cases_other import JSONL_CASES, OPENING_CASES, VOC_CASES, YOLO_CASES
from tests.helpers.broken_images import IMAGE_CASES

FOLDER = Path(__file__).resolve().parents[1] / "data" / "broken"
CASES = {
    **COCO_CASES,
    **IMAGE_CASES,
    **VOC_CASES,
    **YOLO_CASES,
    **JSONL_CASES,
    **OPENING_CASES,
}


def write_case(folder: Path, case: Case) -> None:
    """Write the files of a case and what it expects."""
    data = folder / "data"
    data.mkdir(parents=True)
    for name, content in case.files.items():
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content, indent=1) + "\n"
            path.write_text(text, encoding="utf-8")
    findings = [{"code": code, "says": list(phrases)} for code, *phrases in case.findings]
    expected = {"open": case.options, "findings": findings, "error": list(case.error)}
    text = json.dumps({key: value for key, value in expected.items() if value}, indent=1)
    (folder / "expected.json").write_text(f"{text}\n", encoding="utf-8")


def main() -> None:
    """Write all cases anew."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    for name, case in CASES.items():
        write_case(FOLDER / name, case)
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    print(f"{len(CASES)} cases, {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
