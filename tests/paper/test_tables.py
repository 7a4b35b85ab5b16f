"""Tests of vfnet_d2.paper.tables."""

import math

import pytest

from vfnet_d2.model_zoo import available_configs
from vfnet_d2.paper.tables import (
    TABLES,
    Measured,
    Row,
    comparable_pairs,
    describe_difference,
    gain,
    markdown_table,
    report,
    summarise,
)

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
    mean, spread, number = summarise([4.0])
    assert (mean, number) == (4.0, 1) and math.isnan(spread)


def test_standard_error_by_hand() -> None:
    # 1 / sqrt(4)
    assert Measured(0.0, 1.0, 4).error == 0.5


def test_gains_are_of_the_common_seeds() -> None:
    # 12 - 10 and 25 - 21; seed 3 and 4 have no partner
    assert gain({1: 12.0, 2: 25.0, 3: 0.0}, {1: 10.0, 2: 21.0, 4: 9.0}) == summarise([2.0, 4.0])
    assert gain({1: 12.0}, {2: 10.0}) is None


def test_table_by_hand() -> None:
    rows = [A, B, A._replace(label="A2", config="a2", paper_ap=29.5), C, C._replace(config="d")]
    figures = {"x/a": {1: 1.234, 2: 3.234}, "b": {1: 2.234, 2: 4.734}, "c": {2: 7.0}}
    lines = markdown_table(rows, figures).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    # means of a pair (x, y): (x + y) / 2, deviation |x - y| / sqrt 2; gains of B: 1 and 1.5
    assert cells[2:] == [
        ["A", "`x/a`", "30.0", "2.23 ± 1.41", "2", "", ""],
        ["B", "`b`", "31.0", "3.48 ± 1.77", "2", "+1.0", "+1.25 ± 0.35"],
        ["A2", "`a2`", "29.5", "-", "0", "-0.5", "-"],
        ["C", "`c`", "32.0", "7.00", "1", "", ""],
        ["C", "`d`", "32.0", "-", "0", "+0.0", "-"],
    ]


def test_pairs_are_of_rows_of_a_group_with_a_common_seed() -> None:
    figures = {name: {1: 1.0} for name in ("x/a", "b", "c")}
    assert comparable_pairs(ROWS, figures) == [(A, B)]
    figures["b"] = {2: 1.0}
    assert comparable_pairs(ROWS, figures) == []
    del figures["b"]
    assert comparable_pairs(ROWS, figures) == []


def test_rows_of_equal_paper_ap_have_no_order() -> None:
    twin = A._replace(config="t")
    assert comparable_pairs([A, twin], {"x/a": {1: 1.0}, "t": {1: 2.0}}) == []


def test_another_order_is_described_with_its_standard_error() -> None:
    # differences -1 and -3: mean -2, deviation sqrt 2, over sqrt 2 seeds: 1
    figures = {"x/a": {1: 12.0, 2: 15.0}, "b": {1: 11.0, 2: 12.0}}
    assert describe_difference(A, B, figures) == (
        "B is 1.0 above A in the paper, but -2.00 here, standard error 1.00"
    )


@pytest.mark.parametrize(("ours", "described"), [(11.9, True), (12.0, True), (12.1, False)])
def test_a_tie_is_not_the_paper_s_order(ours: float, described: bool) -> None:
    figures = {"x/a": {1: 12.0}, "b": {1: ours}}
    assert bool(describe_difference(A, B, figures)) == described


@pytest.mark.parametrize(
    ("b", "says"), [(2.0, "The order is the paper's, in all 1 pairs."), (0.5, "- B is 1.0 above A")]
)
def test_report_says_whether_the_order_is_the_paper_s(b: float, says: str) -> None:
    text = report([("Table 9", ROWS)], {"x/a": {1: 1.0}, "b": {1: b}})
    assert text.startswith("### Table 9\n\n|") and says in text


def test_report_without_pairs_claims_no_order() -> None:
    assert "order" not in report([("Table 9", ROWS)], {"c": {1: 1.0}}).lower()
