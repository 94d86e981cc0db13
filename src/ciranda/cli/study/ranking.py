"""The figure of a sweep: its candidates, the best on top, each with its value and the spread over the folds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciranda.cli.plots import BLUE, GREY, RED, axis_name, new_figure, styled
from ciranda.core.paired import mean_std
from ciranda.i18n import _, plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ciranda.cli.study.sweep import Sweep

MOST = 40


def ranking(found: Sweep) -> Figure:
    """Dots for the means, bars of one standard deviation, dropped candidates in grey."""
    shown = [each for each in found.standings if each.score is not None][:MOST]
    with styled():
        drawn = new_figure(7.6, 1.3 + 0.28 * max(3, len(shown)))
        axis = drawn.subplots()
        for place, each in enumerate(shown):
            mean, std = mean_std(each.values)
            colour = RED if not place else GREY if each.out else BLUE
            axis.errorbar(mean, -place, xerr=std if std else None, fmt="o", color=colour, markersize=7 if not place else 5, elinewidth=1.4)
        labels = [
            each.candidate.label + (plural(" (after 1 round)", " (after {count} rounds)", each.rounds) if each.out else "")
            for each in shown
        ]
        axis.set_yticks([-place for place in range(len(shown))], labels)
        axis.get_yticklabels()[0].set_fontweight("bold")
        axis.set_xlabel(_("validation: {metric}", metric=axis_name(found.metric)))
        axis.margins(x=0.06)
        axis.set_ylim(-len(shown) + 0.4, 0.6)
        axis.grid(visible=False, axis="y")
        return drawn
