"""Assignments as dense tables, for comparison with stored ones."""

import torch
from torch import Tensor

from vfnet_d2.modeling.dense.structures import Assignment, assign_each_anchor


def gt_idxs(assignment: Assignment) -> Tensor:
    """Box (N, R) of each anchor, 0 where it has none; each anchor may answer for one only."""
    table = torch.zeros_like(assignment.labels, dtype=torch.int64)
    pairs = set(zip(assignment.image.tolist(), assignment.anchor.tolist(), strict=True))
    assert len(pairs) == len(assignment.image)
    assert pairs == set(map(tuple, torch.nonzero(assignment.labels == 1).tolist()))
    table[assignment.image, assignment.anchor] = assignment.gt
    return table


def labelled(labels: Tensor) -> Assignment:
    """Assignment with these labels (N, R), whose positives all answer for the first box."""
    return assign_each_anchor(torch.zeros_like(labels, dtype=torch.int64), labels)
