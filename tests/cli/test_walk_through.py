"""The way through the README with drawings in YOLO format, at a tiny size."""

import json
from pathlib import Path

import make_drawings
import pytest

from vfnet_d2.cli.main import main
from vfnet_d2.finetune import job as finetune_job

WEIGHTS = Path(__file__).resolve().parents[2] / "vfnet_d2" / "assets" / "vfnet_shapes.pth"
SMALL = ["INPUT.MIN_SIZE_TRAIN", "(96,)", "INPUT.MIN_SIZE_TEST", "96", "SOLVER.MAX_ITER", "2"]
TRAIN = ["drawings", "--weights", str(WEIGHTS), "--output", "out", "--num-gpus", "0"]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """A folder after all commands, and their exit statuses."""
    folder = tmp_path_factory.mktemp("walk")
    make_drawings.write_drawings(folder / "drawings", train=8, val=2, seed=0)
    # Two iterations may detect nothing, and then no model is the best.
    batch = ["--batch-size", "2", "--eval-period", "2"]
    commands = [
        ["data", "check", "drawings", "--pictures", "pictures"],
        ["train", *TRAIN, *batch, "--opts", *SMALL],
        ["eval", "drawings", "--weights", "out/model_final.pth", "--output", "report"],
        ["predict", "drawings/images/val", "--weights", "out/model_final.pth", "--format", "yolo"],
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(finetune_job, "log_setup", lambda *args, **options: None)
        return folder, [main(command) for command in commands]


def test_every_command_is_done(walked: tuple[Path, list[int]]) -> None:
    # The report of two iterations may be worth a look.
    assert [*walked[1][:2], walked[1][3]] == [0, 0, 0]
    assert walked[1][2] in (0, 1)


def test_the_classes_of_data_yaml_reach_the_report(walked: tuple[Path, list[int]]) -> None:
    report = json.loads((walked[0] / "report" / "report.json").read_text())
    names = ["house", "tree", "sun", "boat", "fish", "flower"]
    assert [entry["name"] for entry in report["classes"]] == names
    assert (report["dataset"], report["counts"]["images"]) == ("drawings (val)", 2)


def test_the_classes_reach_the_predictions(walked: tuple[Path, list[int]]) -> None:
    found = sorted((walked[0] / "predictions").rglob("classes.txt"))
    assert [path.read_text().split()[-1] for path in found] == ["flower"]


def test_pictures_are_where_the_readme_says(walked: tuple[Path, list[int]]) -> None:
    for name in ("pictures/train_contact_sheet.png", "out/train_batch.png", "report/report.html"):
        assert (walked[0] / name).stat().st_size > 1000, name
