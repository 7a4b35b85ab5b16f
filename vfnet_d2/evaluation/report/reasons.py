"""All diagnoses of a dataset, and why the AP of single classes is 0 or not defined."""

import numpy as np

from vfnet_d2.evaluation.report import diagnosis, geometry
from vfnet_d2.evaluation.report.average_precision import mean_ap
from vfnet_d2.evaluation.report.data import EvaluationData, class_counts
from vfnet_d2.evaluation.report.diagnosis import Diagnosis
from vfnet_d2.evaluation.report.errors import (
    BACKGROUND,
    BOTH,
    CLASSIFICATION,
    LOCALISATION,
    Errors,
)

# Below this AP50 a class counts as "AP 0".
_NOTHING = 0.005


def diagnose(
    data: EvaluationData,
    *,
    aps: np.ndarray,
    score_thresh: float | None,
    hidden: tuple[float, float] | None = None,
) -> list[Diagnosis]:
    """Look for causes in the files.

    Causes that need a second evaluation are looked for only if AP50, or that of a class, is low.

    Args:
        data: of the report.
        aps: (K,) AP50 of each class, NaN where not defined.
        score_thresh: what the user asked for; None if nothing.
        hidden: see :func:`~vfnet_d2.evaluation.report.diagnosis.no_detections`.
    """
    found = [diagnosis.no_detections(data, hidden=hidden)]
    found += [check(data) for check in diagnosis.ALWAYS]
    if score_thresh is not None:
        found.append(diagnosis.scores_below(data, score_thresh=score_thresh))
    usable = len(data.detections.scores) and not np.isnan(aps).all()
    if usable and np.nanmin(aps) < diagnosis.SUSPICIOUS_AP50:
        found.append(diagnosis.class_order(data))
    if usable and mean_ap(aps) < diagnosis.SUSPICIOUS_AP50:
        found += [check(data) for check in geometry.IF_SUSPICIOUS]
        found.append(diagnosis.shifted_image_ids(data))
    return [entry for entry in found if entry is not None]


def class_reason(data: EvaluationData, errors: Errors, number: int, ap50: float) -> str:
    """Say why AP50 (in [0, 1]) of a class is 0 or not defined; "" if it is neither."""
    if class_counts(data)[number] == 0:
        return "no object of this class in the ground truth"
    if ap50 >= _NOTHING:
        return ""
    own = data.detections.classes == number
    total = int(own.sum())
    if not total:
        return f"no detection of this class{_taken_for(data, errors, number)}"
    # By score: detectors say a lot of nonsense with low scores.
    scores, kinds = data.detections.scores[own].clip(min=1e-9), errors.kind[own]
    weights = {
        group: float(scores[np.isin(kinds, group)].sum() / scores.sum())
        for group in ((CLASSIFICATION,), (LOCALISATION,), (BACKGROUND, BOTH))
    }
    worst = max(weights, key=lambda group: weights[group])
    if not weights[worst]:
        return "the few detections that are right score less than many wrong ones"
    of = f"{100 * weights[worst]:.0f} % of its {total} detections, by score,"
    if worst == (CLASSIFICATION,):
        targets = data.objects.classes[errors.target[own & (errors.kind == CLASSIFICATION)]]
        names = data.classes[int(np.bincount(targets).argmax())]
        return f"{of} lie on objects of other classes, mostly {names!r}"
    if worst == (LOCALISATION,):
        return f"{of} are near an object of the class, but with an IoU below 0.5"
    return f"{of} are near no object of the class"


def _taken_for(data: EvaluationData, errors: Errors, number: int) -> str:
    """What its objects are taken for, if they are."""
    meant = (errors.kind == CLASSIFICATION) & (errors.target >= 0)
    meant[meant] = data.objects.classes[errors.target[meant]] == number
    if not meant.any():
        return ""
    taken = int(np.bincount(data.detections.classes[meant]).argmax())
    return f"; its objects are detected as {data.classes[taken]!r}"
