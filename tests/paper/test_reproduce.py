"""Tests of vfnet_d2.paper.reproduce and reproduce_runs."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vfnet_d2.evaluation.history import last_result
from vfnet_d2.model_zoo import get_config
from vfnet_d2.paper import reproduce
from vfnet_d2.paper.reproduce_runs import LOCK, Results, Run, Settings, write_report
from vfnet_d2.paper.tables import TABLES, Row
from vfnet_d2.utils.files import locked

SETTINGS = Settings(iterations=2000, images=4000)
ROWS = [("Table 9", [Row("A", "x/a", 30.0, "one"), Row("B", "b", 31.0, "one")])]
ALL_CONFIGS = sorted({row.config for rows in TABLES.values() for row in rows})


class Stub:
    """A trainer that writes an evaluation; ``broken`` runs fail."""

    def __init__(self, *broken: str, stop_at: str = "") -> None:
        self.broken, self.stop_at = broken, stop_at
        self.trained: list[str] = []

    def __call__(self, run: Run, settings: Settings) -> None:
        """Fail, stop, or write the AP: the seed, and 10 for the config "b"."""
        self.trained.append(run.key)
        run.folder.mkdir(parents=True, exist_ok=True)
        if run.key in self.broken:
            raise RuntimeError("out of luck")
        if run.key == self.stop_at:
            raise KeyboardInterrupt
        ap = run.seed + (10.0 if run.config == "b" else 0.0)
        names = ("AP", "AP50", "AP75", "APs", "APm", "APl")
        entry = {f"bbox/{name}": ap for name in names}
        (run.folder / "metrics.json").write_text(json.dumps(entry) + "\n")


def do(output: Path, train: Stub, seeds: tuple[int, ...] = (1, 3)) -> tuple[list[str], Results]:
    runs = reproduce.plan(ROWS, seeds, output)
    results = Results(output, SETTINGS)
    lines = [
        f"{run.key}: {outcome}"
        for run, outcome in reproduce.execute(runs, results, SETTINGS, train=train)
    ]
    write_report(ROWS, runs, results)
    return lines, results


def test_runs_go_seed_by_seed_in_folders_of_their_own(tmp_path: Path) -> None:
    runs = reproduce.plan(ROWS, [1, 3], tmp_path)
    assert [(run.config, run.seed) for run in runs] == [("x/a", 1), ("b", 1), ("x/a", 3), ("b", 3)]
    assert runs[2].folder == tmp_path / "a" / "seed_3"
    assert len({run.folder for run in runs}) == 4


def test_a_row_of_both_tables_is_trained_once(tmp_path: Path) -> None:
    tables = reproduce.choose_rows()
    assert sum(len(rows) for _, rows in tables) == 20
    assert len(reproduce.plan(tables, [1], tmp_path)) == 19


def test_rows_by_name() -> None:
    names = ["vfnet_R_50_1x", "baselines/atss_R_50_vfl_1x"]
    chosen = [
        (title, [row.name for row in rows]) for title, rows in reproduce.choose_rows(names=names)
    ]
    assert chosen == [
        ("Table 3", ["vfnet_R_50_1x"]),
        ("Table 5", ["atss_R_50_vfl_1x", "vfnet_R_50_1x"]),
    ]


def test_an_unknown_row_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"\['yolo'\].*choose of .*'retinanet_R_50_1x'"):
        reproduce.choose_rows(names=["yolo", "vfnet_R_50_1x"])


def test_everything_is_run_recorded_and_reported(tmp_path: Path) -> None:
    lines, results = do(tmp_path, Stub())
    assert lines[0] == "x/a seed 1: AP 1.00" and len(lines) == 4
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["settings"] == {"iterations": 2000, "images": 4000, "num_gpus": 0}
    assert content["runs"]["b seed 3"]["AP"] == 13.0
    # 11 and 13: mean 12, deviation sqrt(2)
    row = next(x for x in (tmp_path / "report.md").read_text().splitlines() if "`b`" in x)
    assert [cell.strip() for cell in row.split("|")[4:6]] == ["12.00 ± 1.41", "2"]
    assert results.measured(reproduce.plan(ROWS, [1, 3], tmp_path))["b"] == {1: 11.0, 3: 13.0}


def test_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    first = Stub(stop_at="x/a seed 3")
    with pytest.raises(KeyboardInterrupt):
        do(tmp_path, first)
    assert first.trained == ["x/a seed 1", "b seed 1", "x/a seed 3"]
    second = Stub()
    lines, _ = do(tmp_path, second)
    assert second.trained == ["x/a seed 3", "b seed 3"]
    assert lines[0] == "x/a seed 1: AP 1.00, finished before"


def test_a_failed_run_stops_no_other_and_is_tried_again(tmp_path: Path) -> None:
    lines, results = do(tmp_path, Stub("x/a seed 1"))
    assert lines[0] == "x/a seed 1: FAILED: out of luck"
    assert set(results.runs) == {"b seed 1", "x/a seed 3", "b seed 3"}
    again = Stub()
    do(tmp_path, again)
    assert again.trained == ["x/a seed 1"]


def test_a_folder_is_of_one_set_of_settings_from_its_first_run_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        do(tmp_path, Stub(stop_at="x/a seed 1"))
    with pytest.raises(
        ValueError, match=r"results.json holds runs with .*2000.* 20.*another --output"
    ):
        Results(tmp_path, Settings(iterations=20, images=4000))


def test_a_broken_file_of_results_is_named(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"settings": ')
    with pytest.raises(ValueError, match=r"results.json is no file of results .*move it away"):
        Results(tmp_path, SETTINGS)


def test_an_interrupted_write_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, results = do(tmp_path, Stub(), seeds=(1,))
    before = (tmp_path / "results.json").read_text()
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        results.add((Run("b", 7, tmp_path), {"AP": 1.0}))
    assert (tmp_path / "results.json").read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == [
        "lock",
        "report.md",
        "results.json",
    ]


def test_processes_share_a_folder(tmp_path: Path) -> None:
    """The second one meets a run that is being trained, and one finished since it started."""
    runs = reproduce.plan(ROWS, (1, 3), tmp_path)
    mine, theirs = (Results(tmp_path, SETTINGS) for _ in range(2))
    stub = Stub()
    second = reproduce.execute(runs, theirs, SETTINGS, train=stub)
    result = {"AP": 5.0}
    with locked(runs[0].folder / LOCK, wait=False) as held:
        assert held
        mine.add((runs[1], result))
        assert next(second) == (runs[0], "left to the process that is at it")
    assert next(second) == (runs[1], "AP 5.00, finished before")
    assert next(second) == (runs[2], "AP 3.00")
    mine.add((runs[3], result))
    assert stub.trained == [runs[2].key]
    content = json.loads((tmp_path / "results.json").read_text())
    assert set(content["runs"]) == {run.key for run in runs[1:]}


@pytest.mark.parametrize(("iterations", "images"), [(9, 10), (10, 0)])
def test_nonsense_settings_are_refused(iterations: int, images: int) -> None:
    with pytest.raises(ValueError, match="must be at least 10"):
        Settings(iterations, images)


def plain(node: Any) -> Any:
    return json.loads(json.dumps(node))


@pytest.mark.parametrize("config", ALL_CONFIGS)
def test_every_detector_has_the_quickstart_s_recipe_and_size(config: str, tmp_path: Path) -> None:
    cfg = reproduce.quick_config(Run(config, 5, tmp_path), reproduce.quick_settings())
    quick, own = get_config(reproduce.QUICK), get_config(config)
    if config.startswith(("baselines/retinanet", "baselines/foveabox")):
        quick.SOLVER.BASE_LR /= 4
    for key in ("INPUT", "DATALOADER", "DATASETS", "SOLVER"):
        assert plain(cfg[key]) == plain(quick[key])
    assert plain(cfg.MODEL.RESNETS) == plain(quick.MODEL.RESNETS)
    assert cfg.SEED == 5 and Path(cfg.OUTPUT_DIR) == tmp_path and not cfg.MODEL.WEIGHTS
    node = cfg.MODEL.ONE_STAGE
    head, full = node.HEAD[node.HEAD.NAME], own.MODEL.ONE_STAGE.HEAD[node.HEAD.NAME]
    # the quickstart's VFNet has one convolution a tower, the published one three
    assert (head.CHANNELS, head.INIT_STD, head.NUM_CONVS) == (64, 0.035, full.NUM_CONVS - 2)
    # what makes the detector stays
    assert cfg.MODEL.META_ARCHITECTURE == own.MODEL.META_ARCHITECTURE
    assert plain(cfg.MODEL.ANCHOR_GENERATOR) == plain(own.MODEL.ANCHOR_GENERATOR)
    assert plain(node.CLS_LOSS) == plain(own.MODEL.ONE_STAGE.CLS_LOSS)


def test_the_quickstart_s_own_config_comes_out_unchanged(tmp_path: Path) -> None:
    cfg = reproduce.quick_config(Run("vfnet_R_50_1x", 1, tmp_path), reproduce.quick_settings())
    quick = get_config(reproduce.QUICK)
    assert plain(cfg.MODEL) == plain(quick.MODEL)


def test_a_short_run_warms_up_within_a_third(tmp_path: Path) -> None:
    cfg = reproduce.quick_config(Run("vfnet_R_50_1x", 1, tmp_path), Settings(50, 20))
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.CHECKPOINT_PERIOD) == (
        50,
        16,
        13,
    )
    assert cfg.DATASETS.TRAIN == ("shapes_train_20",) and cfg.DATASETS.TEST == ("shapes_val",)


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield


@pytest.mark.slow
@pytest.mark.usefixtures("datasets")
def test_a_real_run_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run("baselines/reppoints_R_50_vfl_1x", 1, tmp_path / "run")
    cfg = reproduce.quick_config(run, Settings(10, 8))
    cfg.DATASETS.TEST = cfg.DATASETS.TRAIN  # eight images instead of two hundred
    monkeypatch.setattr(reproduce, "quick_config", lambda *_: cfg)
    reproduce.train_in_process(run, Settings(10, 8))
    assert 0 <= last_result(run.folder / "metrics.json")["AP"] <= 100
    log = (run.folder / "log.txt").read_text()
    assert "Starting training from iteration 0" in log

    # It left a checkpoint of its third iteration: without the last one, it goes on from there.
    (run.folder / "model_final.pth").unlink()
    (run.folder / "last_checkpoint").write_text("model_0000002.pth")
    reproduce.train_in_process(run, Settings(10, 8))
    assert "Starting training from iteration 3" in (run.folder / "log.txt").read_text()
    assert (run.folder / "model_final.pth").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("datasets")
def test_a_run_that_dies_names_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run("vfnet_R_50_1x", 1, tmp_path / "run")
    broken = reproduce.quick_config(run, Settings(10, 8))
    broken.MODEL.META_ARCHITECTURE = "NoSuchDetector"
    monkeypatch.setattr(reproduce, "quick_config", lambda *_: broken)
    with pytest.raises(RuntimeError, match=r"exit status 1; the end of .*output.txt says why"):
        reproduce.train_in_process(run, Settings(10, 8))
    assert "NoSuchDetector" in (run.folder / "output.txt").read_text()
