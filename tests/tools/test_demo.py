"""Tests of tools/demo.py: the commands it runs and what it says in the end."""

import json
import sys
from pathlib import Path

import demo
import pytest

APS = {"AP": 62.44, "AP50": 80.0, "AP75": 70.0, "APs": 40.0, "APm": 60.0, "APl": 75.0}


def write_metrics(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    losses = {"iteration": 19, "loss_cls": 1.0, "loss_bbox": 1.0, "loss_bbox_refine": 1.0}
    entries = [losses, {"iteration": 39, **{f"bbox/{key}": value for key, value in APS.items()}}]
    (folder / "metrics.json").write_text("\n".join(map(json.dumps, entries)))


@pytest.mark.parametrize(
    ("flags", "config"), [([], "vfnet_shapes"), (["--fast"], "vfnet_shapes_fast")]
)
def test_trains_then_draws_with_the_trained_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], config: str
) -> None:
    write_metrics(tmp_path)
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(demo, "run", lambda *command: commands.append(command))
    monkeypatch.setattr(sys, "argv", ["demo.py", *flags, "--output", str(tmp_path), "SEED", "7"])
    demo.main()
    train, draw = commands
    path = f"configs/quick/{config}.yaml"
    assert train[:3] == ("train_net.py", "--config-file", path)
    assert draw[:3] == ("tools/visualize.py", "--config-file", path)
    assert train[-4:] == ("OUTPUT_DIR", str(tmp_path), "SEED", "7")
    assert draw[-4:] == ("MODEL.WEIGHTS", str(tmp_path / "model_final.pth"), "SEED", "7")
    assert (tmp_path / "pictures" / "curve.png").is_file()


def test_says_the_aps_and_where_everything_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_metrics(tmp_path)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("0", "1", "2", "overview", "curve"):
        (pictures / f"{name}.png").touch()
    demo.report(tmp_path, pictures, pictures / "curve.png")
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines()]
    assert list(APS) in rows
    assert ["62.4", "80.0", "70.0", "40.0", "60.0", "75.0"] in rows
    assert f"{pictures / 'overview.png'} and 3 more" in said
    for name in ("pictures/curve.png", "model_final.pth", "log.txt"):
        assert str(tmp_path / name) in said


def test_a_failing_command_stops_the_demo_with_its_name() -> None:
    with pytest.raises(SystemExit) as stopped:
        demo.run("-c", "raise SystemExit(3)")
    assert "`python -c raise SystemExit(3)` failed with exit status 3" in str(stopped.value)
