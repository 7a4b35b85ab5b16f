"""Tests of vfnet_d2.evaluation.paper_tables."""

import math

import pytest

from vfnet_d2.evaluation.paper_tables import (
    TABLES,
    Measured,
    Row,
    comparable_pairs,
    describe_difference,
    markdown_table,
    report,
    summarise,
)
from vfnet_d2.model_zoo import available_configs

A = Row("A", "x/a", 30.0, "one")
B = Row("B", "b", 31.0, "one")
C = Row("C", "c", 32.0, "other")
ROWS = [B, A, C]


def test_every_row_has_a_config() -> None:
    rows = [row for table in TABLES.values() for row in table]
    assert {row.config for row in rows} <= set(available_configs())


def test_the_tables_have_the_paper_s_rows() -> None:
    # Table 3: four steps and FCOS+ATSS; Table 5: five detectors with three losses each.
    assert [row.paper_ap for row in TABLES["Table 3"]] == [39.0, 40.1, 40.7, 41.6, 39.2]
    figures = [row.paper_ap for row in TABLES["Table 5"]]
    assert figures[2::3] == [37.4, 37.2, 39.7, 40.2, 41.6]
    assert len(figures) == 15


def test_mean_and_sample_deviation_by_hand() -> None:
    # mean 2; squares 1 + 0 + 1 over n - 1 = 2
    assert summarise([1.0, 2.0, 3.0]) == (2.0, 1.0, 3)


def test_one_seed_has_no_spread() -> None:
    mean, spread, seeds = summarise([4.0])
    assert (mean, seeds) == (4.0, 1) and math.isnan(spread)


def test_table_by_hand() -> None:
    lines = markdown_table([A, B, C], {"x/a": Measured(1.234, 0.5, 3), "b": summarise([2.0])})
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines.splitlines()]
    assert cells[2:] == [
        ["A", "`x/a`", "30.0", "1.23", "0.50", "3"],
        ["B", "`b`", "31.0", "2.00", "-", "1"],
        ["C", "`c`", "32.0", "-", "-", "0"],
    ]


def test_pairs_are_of_measured_rows_of_a_group() -> None:
    figures = {name: summarise([1.0]) for name in ("x/a", "b", "c")}
    assert comparable_pairs(ROWS, figures) == [(A, B)]
    del figures["b"]
    assert comparable_pairs(ROWS, figures) == []


def test_rows_of_equal_paper_ap_have_no_order() -> None:
    twin = A._replace(config="t")
    assert comparable_pairs([A, twin], {"x/a": summarise([1.0]), "t": summarise([2.0])}) == []


def test_another_order_is_described_with_its_standard_error() -> None:
    # sqrt(0.6^2 / 4 + 0.8^2 / 4) = 0.5
    figures = {"x/a": Measured(12.0, 0.6, 4), "b": Measured(11.0, 0.8, 4)}
    assert describe_difference(A, B, figures) == (
        "B is above A in the paper (31.0 and 30.0), but not here: 11.00 and 12.00, standard error "
        "of the difference 0.50"
    )


@pytest.mark.parametrize(("ours", "described"), [(11.9, True), (12.0, True), (12.1, False)])
def test_a_tie_is_not_the_paper_s_order(ours: float, described: bool) -> None:
    figures = {"x/a": summarise([12.0]), "b": summarise([ours])}
    assert bool(describe_difference(A, B, figures)) == described


@pytest.mark.parametrize(
    ("b", "says"), [(2.0, "The order is the paper's, in all 1 pairs."), (0.5, "- B is above A")]
)
def test_report_says_whether_the_order_is_the_paper_s(b: float, says: str) -> None:
    text = report([("Table 9", ROWS)], {"x/a": summarise([1.0]), "b": summarise([b])})
    assert text.startswith("### Table 9\n\n|") and says in text


def test_report_without_pairs_claims_no_order() -> None:
    assert "order" not in report([("Table 9", ROWS)], {"c": summarise([1.0])}).lower()
