"""Tests of vfnet_d2.evaluation.report.page."""

import copy
import re
import shutil
import subprocess
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.report_data import ground_truth, make_data, random_items, results
from tests.helpers.report_page import report_of
from vfnet_d2.evaluation.report.data import from_coco
from vfnet_d2.evaluation.report.page import (
    matrix_rows,
    render_page,
    show_part,
    show_percent,
    takeaways,
    top_confusions,
)

VOID = {"meta", "link", "img", "br", "hr", "input"}
BOX = (10, 10, 20, 20)


class Page(HTMLParser):
    """Reads a page: its elements, its text, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element without content."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """The innermost element ends."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text between tags."""
        self.text.append(data)

    def values(self, attribute: str) -> list[str]:
        """All values of an attribute."""
        return [attrs[attribute] or "" for _, attrs in self.elements if attribute in attrs]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """A report with a picture."""
    report = report_of()
    report["misses"][0]["picture"] = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
    return report


@pytest.fixture(scope="module")
def html(report: dict[str, Any]) -> str:
    """Its page."""
    return render_page(report)


def test_the_elements_are_nested_properly(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert {"html", "head", "title", "body", "main", "table", "svg"} <= {
        t for t, _ in page.elements
    }


def test_nothing_is_loaded_from_elsewhere(html: str) -> None:
    page = Page(html)
    assert page.values("src")
    assert all(value.startswith("data:") for value in page.values("src"))
    assert all(value.startswith("#") for value in page.values("href"))
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in page.elements}
    assert not re.search(r"https?://|url\(|@import", html)


def test_links_lead_somewhere(html: str) -> None:
    page = Page(html)
    assert {value[1:] for value in page.values("href")} <= set(page.values("id"))


def test_pictures_have_a_description(html: str) -> None:
    images = [attrs for tag, attrs in Page(html).elements if tag == "img"]
    assert images
    assert all(attrs.get("alt") for attrs in images)


def test_names_are_escaped(report: dict[str, Any]) -> None:
    evil = copy.deepcopy(report)
    evil["dataset"] = evil["classes"][0]["name"] = evil["confusion"]["labels"][0] = "<script>x"
    assert "<script" not in render_page(evil)
    assert "&lt;script&gt;x" in render_page(evil)


def test_light_dark_and_print(html: str) -> None:
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


@pytest.mark.parametrize(
    "data",
    [
        make_data([], []),
        make_data([(1, 0, BOX, 0)], []),
        make_data([], [(1, 0, BOX, 0.5)]),
        make_data([(1, 0, BOX, 0)], [(1, 0, BOX, 7.0)]),
    ],
)
def test_pages_of_next_to_nothing(data: Any) -> None:
    text = " ".join(Page(render_page(report_of(data))).text)
    assert "What to do:" in text
    assert "None" not in text
    assert "nan" not in text.lower().split()


def test_many_classes_have_no_matrix() -> None:
    names = [f"class {k}" for k in range(30)]
    objects, detections = random_items()
    data = from_coco(ground_truth(objects, images=12, names=names), results(detections))
    html = render_page(report_of(data))
    assert 'class="matrix"' not in html
    assert "The matrix of 30 classes is in the report's JSON" in html


CONFUSION = {
    "labels": ["cat", "dog", "background"],
    "matrix": [[6, 3, 1], [0, 4, 0], [2, 0, 0]],
}


def test_shares_of_a_row() -> None:
    rows = matrix_rows(CONFUSION)
    assert [cell["share"] for cell in rows[0]["cells"]] == [0.6, 0.3, 0.1]
    assert [cell["blank"] for cell in rows[2]["cells"]] == [False, False, True]


def test_confusions_leave_out_the_background() -> None:
    assert top_confusions(CONFUSION) == [
        {"truth": "cat", "predicted": "dog", "count": 3, "objects": 10}
    ]


def test_what_to_know_first(report: dict[str, Any]) -> None:
    text = " ".join(takeaways({**report, "confusion": CONFUSION}))
    best = report["thresholds"]["overall"]
    assert f"With a score threshold of {best['threshold']:.2f}, F1 is highest" in text
    ranked = sorted(report["classes"], key=lambda entry: entry["AP"])
    assert f"The weakest class is {ranked[0]['name']} (AP {ranked[0]['AP']:.1f})" in text
    assert text.endswith("cat taken for dog, 3 of 10 objects.")


def test_rare_confusions_are_no_headline(report: dict[str, Any]) -> None:
    rare = {"labels": CONFUSION["labels"], "matrix": [[97, 3, 0], [0, 1, 0], [0, 0, 0]]}
    assert "taken for" not in " ".join(takeaways({**report, "confusion": rare}))


@pytest.mark.parametrize(
    ("small", "large", "told"),
    [(40.0, 60.0, True), (60.0, 40.0, True), (40.1, 60.0, False), (None, 60.0, True)],
)
def test_sizes_that_differ_are_a_headline(
    report: dict[str, Any], small: float | None, large: float, told: bool
) -> None:
    # Medium ones have 40: 20 between the best and the worst are worth saying.
    medium = 40.0 if small is None else 50.0
    metrics = {**report["metrics"], "APs": small, "APm": medium, "APl": large}
    text = " ".join(takeaways({**report, "metrics": metrics}))
    assert ("It depends on the size" in text) == told
    if small == 40.0:
        assert "small objects have AP 40.0, large ones 60.0." in text


def test_figures() -> None:
    assert [show_percent(62.94), show_part(0.626)] == ["62.9", "0.63"]
    assert show_percent(None) == show_part(None) == "\N{EN DASH}"


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)


def console_of(html: str, folder: Path) -> Sequence[str]:
    """What a headless browser complains about when it shows a page."""
    (folder / "page.html").write_text(html, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    options += ["--no-first-run", "--disable-background-networking", "--disable-component-update"]
    command = [str(BROWSER), *options, f"--user-data-dir={folder}/profile", "--dump-dom"]
    done = subprocess.run(
        [*command, (folder / "page.html").as_uri()], capture_output=True, text=True, timeout=120
    )
    assert "Detection report" in done.stdout
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")
def test_a_browser_has_nothing_to_complain_about(html: str, tmp_path: Path) -> None:
    assert console_of(html, tmp_path) == []


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")
def test_a_browser_refuses_to_load_anything_from_elsewhere(html: str, tmp_path: Path) -> None:
    """The page forbids it, and what is forbidden is reported on the console."""
    request = '<img src="http://example.invalid/a.png">'
    (line,) = console_of(html.replace("</body>", f"{request}</body>"), tmp_path)
    assert "Content Security Policy" in line
