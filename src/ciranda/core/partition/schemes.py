"""The ways to deal a data set out, by name. Names, parameters and rules are those of flwr-datasets' partitioners, so that results compare.

Where we differ, on purpose: `clients` is what they call num_partitions; the target and the natural owner are the data's, so there is no
partition_by; examples are dealt in random order, and a client's are kept in ascending order, so there is no shuffle; rounding never
loses an example, and one is left out only where parameters say so (sizes that sum to less, shard-size, "drop-reminder", rescale = false);
an empty client is refused, and so is a class that nobody holds, which is why class-assignment-mode is "first-deterministic" by
default; natural owners come in ascending order; a Dirichlet draw that leaves a client too small is repeated 100 times, not 10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, Literal

from numpy.typing import NDArray

from ciranda.core.errors import DataError, ExperimentError
from ciranda.core.partition import classes, dirichlet, owners, sizes
from ciranda.core.partition.base import Partition, is_classes
from ciranda.core.partition.deal import Pieces, deal
from ciranda.core.partition.parameters import CHECKS, kebab
from ciranda.core.rng import Draw
from ciranda.core.texts import Text

Needs = Literal["examples", "classes", "numbers", "groups"]


@dataclass(frozen=True)
class Partitioner:
    """A scheme as listed and called.

    Attributes:
        description: one line.
        needs: what it deals by: "examples" (their number), "classes" (class labels), "numbers" (targets that can be sorted) or "groups"
            (an owner id per example).
        cut: (values dealt by, clients, draw, **parameters) -> pieces.
        count: (owner ids, parameters) -> number of clients, for a scheme that decides it; None where one chooses.
        sized: the number of clients follows from the parameters alone: `count` looks at no data.
    """

    description: str
    needs: Needs
    cut: Callable[..., Pieces]
    count: Callable[..., int] | None = None
    sized: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameter name -> default, `inspect.Parameter.empty` where there is none."""
        keywords = signature(self.cut).parameters.values()
        return {each.name: each.default for each in keywords if each.kind is Parameter.KEYWORD_ONLY}

    def number(self, asked: int | None, groups: NDArray[Any] | None, params: Mapping[str, Any]) -> int:
        """How many clients there will be. Raises ExperimentError if that is none, or not what was asked for."""
        if self.count is None:
            if asked is None or asked < 1:
                raise ExperimentError("federation.clients is {asked}; there must be at least one client.", key="clients", asked=asked)
            return asked
        found = self.count(groups, **params)
        if asked is not None and asked != found:
            raise ExperimentError(
                "federation.clients is {asked}, and the partitioner makes {found} clients, by {what}.",
                key="clients",
                asked=asked,
                found=found,
                what="partition-sizes" if self.sized else Text("natural owner"),
                hint="Set federation.clients = {found}, or leave it out.",
            )
        return found


def partition(
    name: str, labels: NDArray[Any], clients: int | None, draw: Draw, *, groups: NDArray[Any] | None = None, **params: Any
) -> Partition:
    """Deal the examples out to `clients` clients.

    Args:
        name: one of PARTITIONERS.
        labels: one row per example; class labels of shape (examples,) where the scheme deals by class.
        clients: how many; None where the scheme decides ("natural-id" has as many as there are different groups).
        draw: keys every random choice.
        groups: the natural owner of each example, shape (examples,); ascending ids become ranks 0, 1, ...
        params: the scheme's parameters.

    Raises:
        ExperimentError: an unknown scheme or parameter, an impossible value, fewer examples than clients.
        DataError: labels that are not classes, no groups, a client left without examples.
    """
    entry = PARTITIONERS.get(name)
    if entry is None:
        raise ExperimentError(
            "There is no partitioner '{partitioner}'.", partitioner=name, hint="Choose one of: {names}.", names=", ".join(PARTITIONERS)
        )
    params = checked(name, params)
    values = _dealt_by(name, entry.needs, labels, groups)
    clients = entry.number(clients, values, params)
    if len(labels) < clients:
        raise ExperimentError(
            "{examples} examples cannot be dealt out to {clients} clients.",
            examples=len(labels),
            clients=clients,
            hint="Set federation.clients to at most {examples}.",
        )
    result = deal(entry.cut(values, clients, draw, **params), clients, len(labels))
    smallest = int(result.sizes.argmin())
    if result.sizes[smallest] < 1:
        raise DataError(
            "The partitioner '{partitioner}' leaves client {client} without examples.",
            partitioner=name,
            client=smallest,
            hint="Use fewer clients.",
        )
    return Partition(result.indices, result.offsets, {"partitioner": name, "seed": draw.root, **params})


def checked(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the scheme `name` (one that exists) in their plain form, as far as they can be checked without the data.

    Raises:
        ExperimentError: one is unknown, missing or impossible; its field `key` says which, and the text begins with "federation.KEY ".
    """
    takes = PARTITIONERS[name].parameters
    for parameter in params:
        if parameter not in takes:
            raise ExperimentError(
                "federation.{key} does not go with partitioner '{partitioner}'.",
                key=kebab(parameter),
                partitioner=name,
                hint="It takes: {known}." if takes else "It takes no parameters.",
                known=", ".join(map(kebab, takes)),
            )
    for parameter, default in takes.items():
        if default is Parameter.empty and parameter not in params:
            raise ExperimentError("federation.{key} is needed by partitioner '{partitioner}'.", key=kebab(parameter), partitioner=name)
    return {parameter: CHECKS[parameter](kebab(parameter), value) for parameter, value in params.items()}


def _dealt_by(name: str, needs: Needs, labels: NDArray[Any], groups: NDArray[Any] | None) -> NDArray[Any]:
    """What the scheme deals by. Raises DataError when the data have no such thing."""
    if needs == "classes" and not is_classes(labels):
        raise DataError(
            "The partitioner '{partitioner}' deals by class, and these labels are not classes"
            " ({dtype} of shape {shape}): this is a regression task.",
            partitioner=name,
            dtype=labels.dtype,
            shape=labels.shape,
            hint="Use the partitioner 'iid', 'continuous' or 'natural-id'.",
        )
    if needs == "numbers" and (labels.ndim != 1 or labels.dtype.kind not in "biuf"):
        raise DataError(
            "The partitioner '{partitioner}' sorts by the target, which is not one number for each example ({dtype} of shape {shape}).",
            partitioner=name,
            dtype=labels.dtype,
            shape=labels.shape,
            hint="Use the partitioner 'iid' or 'natural-id'.",
        )
    if needs != "groups":
        return labels
    if groups is None or len(groups) != len(labels):
        raise DataError(
            "The partitioner '{partitioner}' needs the owner of each example; the data have {found} for {examples} examples.",
            partitioner=name,
            found=0 if groups is None else len(groups),
            examples=len(labels),
            hint="Name the column that tells the owners apart (--client-column), or use another partitioner.",
        )
    return groups


def _count_sizes(values: object, *, partition_sizes: list[int], alpha: object = None) -> int:
    return len(partition_sizes)


PARTITIONERS: Mapping[str, Partitioner] = {
    "iid": Partitioner("shuffled and cut evenly: sizes differ by at most 1", "examples", sizes.iid),
    "dirichlet": Partitioner("each class is shared out in Dirichlet(alpha) proportions", "classes", dirichlet.dirichlet),
    "pathological": Partitioner("each client holds only num-classes-per-partition classes", "classes", classes.pathological),
    "shard": Partitioner("sorted by class, cut into shards, and shards dealt at random", "classes", classes.shard),
    "size": Partitioner("client r gets partition-sizes[r] examples", "examples", sizes.size, _count_sizes, sized=True),
    "linear": Partitioner("sizes grow as 1, 2, 3, ...", "examples", sizes.linear),
    "square": Partitioner("sizes grow as 1, 4, 9, ...", "examples", sizes.square),
    "exponential": Partitioner("sizes grow as e, e^2, e^3, ...", "examples", sizes.exponential),
    "natural-id": Partitioner("one client per owner named in the data", "groups", owners.natural_id, owners.count_owners),
    "grouped-natural-id": Partitioner(
        "one client per group-size owners named in the data", "groups", owners.grouped_natural_id, owners.count_groups
    ),
    "continuous": Partitioner("sorted by the target, more or less strictly, and cut evenly", "numbers", owners.continuous),
    "inner-dirichlet": Partitioner(
        "each client draws its own mix of classes",
        "classes",
        dirichlet.inner_dirichlet,
        _count_sizes,
        sized=True,
    ),
    "distribution": Partitioner("each class shared out by a table", "classes", classes.distribution),
}
