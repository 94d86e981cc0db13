"""`ciranda partition`: how an experiment deals its data out, before anything is trained: as text, as pictures, as a manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_letters, digits

import numpy as np
from numpy.typing import NDArray

from ciranda.cli import compose
from ciranda.cli.dealing import population_of
from ciranda.cli.errors import tell
from ciranda.core.errors import MissingExtra
from ciranda.core.partition import Partition, binned, chance_heterogeneity, heterogeneity, histograms, is_classes
from ciranda.core.rng import Draw
from ciranda.core.task import Array, Task
from ciranda.experiment.load import resolve
from ciranda.experiment.schema import Experiment
from ciranda.i18n import _, number
from ciranda.store.files import make_folder, write_whole

ROOT = Path("partitions")
SHOWN_CLIENTS = 20
BAR = 50
SIGNS = digits + ascii_letters
OTHER = "+"


@dataclass(frozen=True)
class Dealt:
    """What is shown of a partition.

    Attributes:
        title: the experiment's name and partitioner. partition: who owns what.
        labels: classes 0..k - 1 of all examples; those of a regression are the targets' tenths.
        names: the classes' names, in order; empty for a regression, whose `targets` they stand for, shape (examples,).
    """

    title: str
    partition: Partition
    labels: NDArray[np.int64]
    names: Sequence[str]
    targets: NDArray[np.float64] | None = None

    @property
    def counts(self) -> NDArray[np.int64]:
        """Label counts, shape (clients, classes dealt)."""
        return np.concatenate(list(histograms(self.partition, self.labels)))

    @property
    def shown(self) -> list[str]:
        """The names of the classes that were dealt; for a regression the tenths' numbers."""
        present = np.unique(self.labels[self.partition.indices]).tolist()
        return [self.names[label] if self.names else str(label) for label in present]

    @property
    def score_line(self) -> str:
        """The heterogeneity score beside what chance alone gives."""
        score, chance = heterogeneity(self.partition, self.labels), chance_heterogeneity(self.partition, self.labels)
        return _("Heterogeneity: {score:.3f} of at most 1 (dealt at random: {chance:.3f})", score=score, chance=chance)


def show(what: str, overrides: Sequence[str], *, target: str | None, client_column: str | None, out: Path | None) -> None:
    """Print and draw the partition of what the user named, and write its manifest.

    Raises:
        CirandaError: what cannot be dealt. Without matplotlib there are no pictures, and a line says so.
    """
    experiment = resolve(what, overrides, target=target, client_column=client_column)
    dealt, manifest = deal(experiment)
    folder = out if out is not None else ROOT / experiment.experiment.name
    print("\n".join(lines(dealt)))
    make_folder(folder)
    file = folder / "partition.json"
    write_whole(file, [(json.dumps(manifest, indent=1) + "\n").encode()])
    print(_("Manifest: {file}", file=file))
    try:
        files = draw(dealt, folder)
    except MissingExtra as error:
        tell(f"{error} {error.hint}")
    else:
        print(_("Pictures: {files}", files=", ".join(map(str, files))))


def deal(experiment: Experiment, task: Task | None = None) -> tuple[Dealt, dict[str, object]]:
    """The partition of the experiment's data, and its manifest as a run writes it."""
    data = (task if task is not None else compose.task_of(experiment)).data()
    partition = population_of(experiment, data, Draw(experiment.experiment.seed)).partition
    y = data.train.y
    title = f"{experiment.experiment.name}: {experiment.federation.partitioner}{_parameters(experiment)}"
    return dealt_of(title, partition, y, data.classes), partition.manifest(y)


def dealt_of(title: str, partition: Partition, y: Array, names: Sequence[str]) -> Dealt:
    """What is shown of `partition`, whose examples have the targets `y`."""
    if is_classes(y):
        values, labels = np.unique(y, return_inverse=True)
        return Dealt(title, partition, labels.astype(np.int64), [names[each] if names else str(each) for each in values.tolist()])
    return Dealt(title, partition, binned(y), (), np.asarray(y, np.float64).reshape(len(y), -1)[:, 0])


def lines(dealt: Dealt) -> list[str]:
    """The partition as text: sizes, heterogeneity, a bar for each of up to 20 clients, spread evenly over the ranks."""
    partition, sizes = dealt.partition, dealt.partition.sizes
    left_out = len(dealt.labels) - len(partition.indices)
    text = [
        dealt.title,
        _("{examples:,} examples, {clients:,} clients", examples=len(partition.indices), clients=partition.num_clients),
        _(
            "Sizes: {least:,} to {most:,}, median {median:,.0f}, mean {mean:,.1f}",
            least=int(sizes.min()),
            most=int(sizes.max()),
            median=float(np.median(sizes)),
            mean=float(sizes.mean()),
        ),
        dealt.score_line,
    ]
    if left_out:
        text.insert(2, _("Left out, as the parameters say: {count:,}", count=left_out))
    return [*text, "", *_bars(dealt), ""]


def draw(dealt: Dealt, folder: Path) -> list[Path]:
    """The picture as PNG and SVG in `folder`; returns the files. Raises MissingExtra without matplotlib."""
    from ciranda.cli.partition_plot import figure
    from ciranda.cli.plots import rendered

    drawn = figure(dealt)
    files = [folder / f"partition.{suffix}" for suffix in ("png", "svg")]
    for file in files:
        write_whole(file, [rendered(drawn, file.suffix[1:])])
    return files


def _bars(dealt: Dealt) -> list[str]:
    counts, sizes = dealt.counts, dealt.partition.sizes
    clients = np.unique(np.linspace(0, len(sizes) - 1, min(SHOWN_CLIENTS, len(sizes))).round().astype(int)).tolist()
    scale = BAR / sizes[clients].max()
    name, size = len(str(clients[-1])), len(f"{sizes.max():,}")
    rows = [f"{client:>{name}}  {sizes[client]:>{size},}  {_bar(counts[client], scale)}" for client in clients]
    if len(clients) < len(sizes):
        rows.append(_("({shown} of {clients:,} clients)", shown=len(clients), clients=len(sizes)))
    legend = [f"{_sign(place)} {shown}" for place, shown in enumerate(dealt.shown[: len(SIGNS)])]
    if len(dealt.shown) > len(SIGNS):
        legend.append(_("{sign} the others", sign=OTHER))
    return [*rows, "  ".join(legend) if dealt.names else _("0 to 9: the target's tenths, from the lowest")]


def _bar(counts: NDArray[np.int64], scale: float) -> str:
    """A bar of counts x scale signs, each class's run ending where its share of the bar does."""
    ends = np.rint(np.cumsum(counts) * scale).astype(int)
    return "".join(_sign(place) * int(width) for place, width in enumerate(np.diff(ends, prepend=0)))


def _sign(place: int) -> str:
    return SIGNS[place] if place < len(SIGNS) else OTHER


def _parameters(experiment: Experiment) -> str:
    short = [f"{key} {_short(value)}" for key, value in experiment.federation.params.items()]
    return f" ({', '.join(short).replace('_', '-')})" if short else ""


def _short(value: object) -> str:
    if isinstance(value, float):
        return number(value, "g")
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
