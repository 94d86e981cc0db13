"""The picture of a partition: a bar or a box for each client as long as there is room for its name, bands over all clients beyond."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ciranda.cli.plots import new_figure, styled
from ciranda.i18n import _

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ciranda.cli.partition import Dealt

MOST_ROWS = 40
MOST_NAMES = 12
# Told apart by colour-blind readers: Okabe and Ito's colours and two more.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#4D4D4D", "#B3B3B3", "#882255")
BLUE, PALE, PALER = "#0072B2", "#8FC1E0", "#D3E7F4"


def figure(dealt: Dealt) -> Figure:
    """Who owns what. Classes as stacked bars, or for many clients as shares; regression targets as quantiles.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    few = dealt.partition.num_clients <= MOST_ROWS
    with styled():
        if dealt.targets is not None:
            return _boxes(dealt) if few else _bands(dealt)
        return _bars(dealt) if few else _many(dealt)


def _bars(dealt: Dealt) -> Figure:
    counts = dealt.counts
    clients = np.arange(len(counts))
    drawn = new_figure(8, 1.6 + 0.26 * max(4, len(counts)))
    axis = drawn.subplots()
    colours, left = _colours(counts.shape[1]), np.zeros(len(counts))
    for place, colour in enumerate(colours):
        axis.barh(clients, counts[:, place], left=left, height=0.84, color=colour, edgecolor="white", linewidth=0.4)
        left += counts[:, place]
    _rows(axis, len(counts))
    axis.set_xlabel(_("examples"))
    _legend(drawn, axis, dealt, colours)
    return _titled(drawn, dealt)


def _many(dealt: Dealt) -> Figure:
    """Clients by their commonest class, and by its share: which shares each class has below, how many examples above."""
    shares = dealt.counts / dealt.partition.sizes[:, None]
    order = np.lexsort((-shares.max(axis=1), shares.argmax(axis=1)))
    picture = shares[order].T
    drawn = new_figure(9, 2.6 + min(6.0, max(2.4, 0.36 * len(picture))))
    above, below = drawn.subplots(2, 1, sharex=True, height_ratios=[1, 2.4])
    above.stairs(dealt.partition.sizes[order], np.arange(len(order) + 1), fill=True, color="#9A9A9A")
    above.set_xlim(0, len(order))
    above.set_ylim(0)
    above.set_ylabel(_("examples"))
    image = below.imshow(
        picture, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest", extent=(0, len(order), len(picture) - 0.5, -0.5)
    )
    below.grid(visible=False)
    below.set_ylabel(_("class"))
    if len(picture) <= MOST_NAMES:
        below.set_yticks(range(len(picture)), dealt.shown)
    below.tick_params(axis="y", length=0)
    below.set_xlabel(_("clients, by their commonest class"))
    drawn.colorbar(image, ax=[above, below], label=_("share of the client's examples"), pad=0.01, shrink=0.6)
    return _titled(drawn, dealt)


def _boxes(dealt: Dealt) -> Figure:
    table, everyone = _quantiles(dealt)
    clients = np.arange(len(table))
    drawn = new_figure(8, 1.6 + 0.26 * max(4, len(table)))
    axis = drawn.subplots()
    axis.axvspan(everyone[1], everyone[3], color=PALER, zorder=0, label=_("middle half of all examples"))
    axis.hlines(clients, table[:, 0], table[:, 4], color=PALE, linewidth=2, label=_("90 % of the client's"))
    axis.hlines(clients, table[:, 1], table[:, 3], color=BLUE, linewidth=7, label=_("half of the client's"))
    axis.plot(table[:, 2], clients, "o", color="white", markeredgecolor=BLUE, markersize=5, label=_("median"))
    for client, size in enumerate(dealt.partition.sizes.tolist()):
        axis.annotate(
            f"{size:,}", (1.0, client), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points", va="center"
        )
    axis.annotate(_("examples"), (1.0, 1.0), xycoords="axes fraction", xytext=(6, 4), textcoords="offset points")
    _rows(axis, len(table))
    axis.set_xlabel(_("target"))
    drawn.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return _titled(drawn, dealt)


def _bands(dealt: Dealt) -> Figure:
    """Clients by their median: quantiles of their targets above, their sizes below."""
    table, everyone = _quantiles(dealt)
    order = np.argsort(table[:, 2], kind="stable")
    table, place = table[order], np.arange(len(table)) + 0.5
    drawn = new_figure(9, 6.0)
    above, below = drawn.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.fill_between(place, table[:, 0], table[:, 4], color=PALER, linewidth=0, label=_("90 % of the client's"))
    above.fill_between(place, table[:, 1], table[:, 3], color=PALE, linewidth=0, label=_("half of the client's"))
    above.plot(place, table[:, 2], color=BLUE, label=_("median"))
    above.axhline(everyone[2], color="#767676", linewidth=1, linestyle="--", label=_("median of all examples"))
    above.set_xlim(0, len(table))
    above.set_ylabel(_("target"))
    above.legend(loc="upper left", frameon=False, fontsize=9)
    below.stairs(dealt.partition.sizes[order], np.arange(len(table) + 1), fill=True, color=PALE)
    below.set_ylim(0)
    below.set_ylabel(_("examples"))
    below.set_xlabel(_("clients, by the median of their targets"))
    return _titled(drawn, dealt)


def _quantiles(dealt: Dealt) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The 5, 25, 50, 75 and 95 % quantiles of each client's targets, shape (clients, 5), and of all that were dealt."""
    assert dealt.targets is not None
    points, partition = (0.05, 0.25, 0.5, 0.75, 0.95), dealt.partition
    table = [np.quantile(dealt.targets[partition.of(rank)], points) for rank in range(partition.num_clients)]
    return np.array(table), np.quantile(dealt.targets[partition.indices], points)


def _rows(axis: Axes, count: int) -> None:
    axis.set_yticks(range(count))
    axis.tick_params(axis="y", length=0, labelsize=9 if count <= 25 else 7)
    axis.set_ylim(count - 0.4, -0.6)
    axis.grid(visible=False, axis="y")
    axis.set_ylabel(_("client"))


def _colours(classes: int) -> list[str]:
    if classes <= len(COLOURS):
        return list(COLOURS[:classes])
    import matplotlib
    from matplotlib.colors import to_hex

    return [to_hex(colour) for colour in matplotlib.colormaps["viridis"](np.linspace(0, 1, classes))]


def _legend(drawn: Figure, axis: Axes, dealt: Dealt, colours: list[str]) -> None:
    """The classes' names; of many, the first and the last stand for a scale."""
    from matplotlib.patches import Patch

    names = dealt.shown
    chosen = range(len(names)) if len(names) <= MOST_NAMES else np.linspace(0, len(names) - 1, MOST_NAMES).round().astype(int).tolist()
    handles = [Patch(color=colours[place], label=names[place]) for place in chosen]
    drawn.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=9, title=_("class"), alignment="left")


def _titled(drawn: Figure, dealt: Dealt) -> Figure:
    drawn.suptitle(f"{dealt.title}\n", x=0.01, ha="left", fontsize=12, fontweight="bold")
    drawn.text(0.012, 0.985 - 0.26 / drawn.get_figheight(), dealt.score_line, ha="left", va="top", fontsize=9, color="#555555")
    return drawn
