"""A picture of a training run: losses and box AP over the iterations."""

from pathlib import Path

from vfnet_d2.evaluation.history import read_history
from vfnet_d2.utils.files import replacing

_LOSSES = {
    "loss_cls": "classification",
    "loss_bbox": "initial boxes",
    "loss_bbox_refine": "refined boxes",
}


def draw_learning_curve(metrics: Path, picture: Path) -> Path:
    """Draw the curves of a Detectron2 ``metrics.json``.

    Args:
        metrics: the file.
        picture: PNG to write.

    Returns:
        ``picture``.
    """
    from matplotlib.figure import Figure

    history = read_history(metrics)
    figure = Figure(figsize=(9, 3.4), layout="constrained", dpi=120)
    left, right = figure.subplots(1, 2)
    for key, label in _LOSSES.items():
        entries = [entry for entry in history if key in entry]
        left.plot([e["iteration"] for e in entries], [e[key] for e in entries], label=label)
    left.set(xlabel="iteration", ylabel="loss", ylim=(0, None))
    left.legend()
    evaluated = [entry for entry in history if "bbox/AP" in entry]
    for key in ("AP", "AP50", "AP75"):
        right.plot(
            [e["iteration"] + 1 for e in evaluated],
            [e[f"bbox/{key}"] for e in evaluated],
            marker="o",
            label=key,
        )
    right.set(xlabel="iteration", ylabel="box AP on the validation set", ylim=(0, 100))
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    with replacing(picture) as scratch:
        figure.savefig(scratch, format="png")
    return picture
