"""A picture of where the time goes: stacked bars of the parts of jobs that were timed."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vfnet_d2.utils.files import replacing

Parts = Mapping[str, float]


def draw_times(charts: Mapping[str, Mapping[str, Parts]], path: Path) -> Path:
    """Draw one chart per measurement, with a bar per job.

    Args:
        charts: by title, per job the seconds of its parts; "total" is not drawn as a part.
        path: PNG file to write.

    Returns:
        ``path``.
    """
    names = [part for jobs in charts.values() for parts in jobs.values() for part in parts]
    names = [name for name in dict.fromkeys(names) if name != "total"]
    colours = {name: f"C{number}" for number, name in enumerate(names)}
    figure = Figure(figsize=(9, 0.9 + 1.6 * len(charts)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(charts), 1, squeeze=False)[:, 0]
    for axis, (title, jobs) in zip(axes, charts.items(), strict=True):
        for row, parts in enumerate(jobs.values()):
            left = 0.0
            for name, seconds in parts.items():
                if name != "total":
                    axis.barh(row, 1000 * seconds, left=1000 * left, color=colours[name])
                    left += seconds
            axis.text(1000 * left, row, f" {1000 * parts['total']:.0f} ms", va="center")
        axis.set_yticks(range(len(jobs)), list(jobs))
        axis.invert_yaxis()
        axis.set_title(title, loc="left")
        axis.margins(x=0.1)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("milliseconds")
    handles = [axes[0].barh(0, 0, color=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    with replacing(path) as scratch:
        figure.savefig(scratch, format="png", dpi=110)
    return path
