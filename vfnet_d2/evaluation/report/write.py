"""Writing a report: JSON for programs, a page for readers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vfnet_d2.evaluation.report.gallery import without_pictures
from vfnet_d2.evaluation.report.page import render_page
from vfnet_d2.utils.files import write_text


def write_report(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write ``report.json`` and ``report.html``.

    Args:
        report: of :func:`~vfnet_d2.evaluation.report.build.make_report`.
        folder: made if needed.

    Returns:
        their paths, in this order.
    """
    content = {
        # NaN is no JSON: a figure that is not defined must be None.
        "report.json": json.dumps(without_pictures(report), indent=1, allow_nan=False) + "\n",
        "report.html": render_page(report),
    }
    paths = []
    for name, text in content.items():
        write_text(folder / name, text)
        paths.append(folder / name)
    return paths
