"""Reductions shared by the elementwise losses."""

from torch import Tensor


def check_same_shape(name: str, logits: Tensor, targets: Tensor) -> None:
    """Raise ValueError, naming the loss and both shapes, when the shapes differ.

    Broadcasting a (P, 1) target over K classes would train without complaint and be wrong.
    """
    if logits.shape != targets.shape:
        raise ValueError(
            f"{name}: logits {tuple(logits.shape)} and targets {tuple(targets.shape)} "
            "must have the same shape"
        )


def reduce_loss(loss: Tensor, reduction: str) -> Tensor:
    """Reduce an elementwise loss by "none", "sum" or "mean"; raise ValueError for other names."""
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if reduction == "mean":
        return loss.mean()
    raise ValueError(f"reduction must be 'none', 'sum' or 'mean', not {reduction!r}")
