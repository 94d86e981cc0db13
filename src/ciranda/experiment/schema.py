"""An experiment as data: one pydantic model for each section of the TOML file.

Keys are written in kebab case in a file (`num-rounds`) and in snake case from Python (`num_rounds`). A model that exists is valid;
what depends on the data set (classes, number of natural owners) is checked when the data is loaded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from ciranda.core.errors import ExperimentError
from ciranda.core.metrics import FALLING
from ciranda.core.partition import CHECKS, PARTITIONERS, checked
from ciranda.core.selection import cohort_size
from ciranda.core.selection import make as make_selection
from ciranda.core.task import ClientSettings
from ciranda.experiment.named import advised, extra_of, keep_extra, kind_of, parameters_of, params_of, problem, whole_problem
from ciranda.experiment.names import kebab, metric_problem
from ciranda.plugins.families import SELECTION, STAGE, STRATEGY
from ciranda.protocol.messages import CloseRule
from ciranda.protocol.plan import StopRule

Whole = Annotated[int, Field(ge=1, le=2**53)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
DEFAULT_CLIENTS = 10


def known_name(name: str, registry: Collection[str], key: str) -> None:
    """Refuse a name that is in no registry, with the ones that are."""
    if name not in registry:
        raise PydanticCustomError("unknown_name", "unknown name", {"key": (key,), "allowed": tuple(sorted(registry)), "input": name})


class Section(BaseModel):
    """What every section shares: kebab-case keys, nothing unknown, no silent conversion, no change after loading."""

    model_config = ConfigDict(
        alias_generator=kebab, validate_by_name=True, validate_by_alias=True, extra="forbid", frozen=True, strict=True
    )

    def _fill(self, **values: Any) -> None:
        """Set a default that depends on other keys, while the model is being validated."""
        self.__dict__.update(values)

    def written(self) -> Iterator[tuple[str, Any]]:
        """(kebab-case key, value) of everything that is set, in the order of the documentation."""
        for name, value in self:
            if value is not None:
                yield kebab(name), value


class ExperimentSection(Section):
    """[experiment]: what is trained, from which seed and on which device."""

    task: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(max_length=80, pattern=r"^[^\x00-\x1f\x7f/\\]*$")] = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


class DataSection(Section):
    """[data]: a CSV file or a folder of them, for the task "csv": which column to predict, which says whose row it is, and what to do
    with the others."""

    csv: str | None = None
    target: str | None = None
    client_column: str | None = None
    test_fraction: Share | None = None
    kind: Literal["auto", "classification", "regression"] | None = None
    drop: list[str] | None = None
    keep: list[str] | None = None
    missing: Literal["fill", "drop", "error"] | None = None
    min_count: Whole | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.csv is not None and self.target is None:
            raise problem("is needed with data.csv: the column to predict.", "target")
        for key in type(self).model_fields:
            if self.csv is None and getattr(self, key) is not None:
                raise problem("goes with data.csv, which is not given.", kebab(key))
        return self


class FederationSection(Section):
    """[federation]: who holds the data, and beside it whatever parameters the partitioner has.

    `clients` may be left out where the partitioner decides: as many as the data has natural owners, or as there are partition-sizes.
    """

    model_config = ConfigDict(extra="allow")

    clients: Whole | None = None
    partitioner: str = "iid"
    validation_fraction: Share = 0.0
    test_fraction: Share | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        known_name(self.partitioner, PARTITIONERS, "partitioner")
        entry = PARTITIONERS[self.partitioner]
        given = params_of(self)
        for key in given:
            if key not in CHECKS:
                allowed = tuple(kebab(name) for name in (*type(self).model_fields, *entry.parameters))
                raise PydanticCustomError("unknown_key", "unknown key", {"key": (kebab(key),), "allowed": allowed})
        try:
            params = checked(self.partitioner, given)
            if entry.count is not None and entry.sized:
                self._fill(clients=entry.number(self.clients, None, params))
        except ExperimentError as error:
            key = str(error.fields["key"])
            raise whole_problem(advised(error), (key,), whole=str(error).startswith(f"federation.{key} ")) from None
        keep_extra(self, {kebab(key): value for key, value in params.items()})
        if self.validation_fraction + (self.test_fraction or 0.0) >= 1:
            raise problem("and validation-fraction leave nothing to train on.", "test-fraction")
        if self.clients is None and entry.count is None:
            self._fill(clients=DEFAULT_CLIENTS)
        return self

    @property
    def params(self) -> dict[str, Any]:
        """What the partitioner is called with, besides labels, clients and the draw."""
        return params_of(self)


class RoundsSection(Section):
    """[rounds]: how many, who trains, and when a round closes; beside it whatever parameters the selection rule has."""

    model_config = ConfigDict(extra="allow")

    num_rounds: Whole = 3
    fraction_train: Fraction = 1.0
    min_train_clients: Whole = 1
    close: Literal["all-or-deadline", "all", "first"] = "all-or-deadline"
    first: Whole | None = None
    min_replies: Whole = 1
    deadline_s: Positive = 3600.0
    too_few: Literal["extend", "retry", "skip", "abort"] = "retry"
    max_attempts: Whole = 3
    selection: str = "random"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.close == "first" and self.first is None:
            raise problem('is needed by close = "first": the number of replies to wait for.', "first")
        if self.close != "first" and self.first is not None:
            raise problem('goes with close = "first" only.', "first")
        if self.first is not None and self.min_replies > self.first:
            raise problem("is more than rounds.first ({first}), so no round could close.", "min-replies", first=self.first)
        keep_extra(self, parameters_of(SELECTION, self.selection, "selection", extra_of(self), tuple(map(kebab, type(self).model_fields))))
        return self

    @property
    def params(self) -> dict[str, Any]:
        """The selection rule's parameters under their Python names."""
        return params_of(self)

    def close_rule(self) -> CloseRule:
        """The rule by which a training phase closes."""
        return CloseRule(
            kind=self.close,
            deadline_s=self.deadline_s,
            min_replies=self.min_replies,
            first=self.first or 0,
            too_few=self.too_few,
            max_attempts=self.max_attempts,
        )


class ClientSection(Section):
    """[client]: how one client trains in one round."""

    local_epochs: Whole = 1
    batch_size: Whole = 32
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: Positive = 0.01
    momentum: Share = 0.0
    weight_decay: NotNegative = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.momentum and self.optimizer != "sgd":
            raise problem("goes with optimizer 'sgd', not '{optimizer}'.", "momentum", optimizer=self.optimizer)
        return self

    def settings(self) -> ClientSettings:
        """What the instruction tells a client, before the strategy has its say."""
        return ClientSettings(**dict(self))


class StrategySection(Section):
    """[strategy]: its name, or a class in a file of one's own ("mine.py:Mine"), and beside it whatever parameters that strategy has."""

    model_config = ConfigDict(extra="allow")

    name: str = "fedavg"

    @model_validator(mode="after")
    def _check(self) -> Self:
        keep_extra(self, parameters_of(STRATEGY, self.name, "name", extra_of(self), ("name",)))
        return self

    @property
    def params(self) -> dict[str, Any]:
        """The parameters under their Python names."""
        return params_of(self)


class StageSection(Section):
    """[stage]: what else happens to updates on their way: a compression, or a stage of one's own, with its parameters."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        extra = extra_of(self)
        if self.name is not None:
            keep_extra(self, parameters_of(STAGE, self.name, "name", extra, ("name",)))
        elif extra:
            raise problem("goes with stage.name, which is not given.", next(iter(extra)))
        return self

    @property
    def params(self) -> dict[str, Any]:
        """The parameters under their Python names."""
        return params_of(self)


class PrivacySection(Section):
    """[privacy]: clipping-norm bounds the L2 norm of every client's update."""

    clipping_norm: Positive | None = None


class EvaluateSection(Section):
    """[evaluate]: where the global model is evaluated, and how often."""

    where: Literal["server", "clients", "both", "none"] = "server"
    every: Whole = 1
    fraction_evaluate: Fraction = 1.0
    batch_size: Whole = 1000

    @property
    def on_clients(self) -> bool:
        return self.where in ("clients", "both")

    @property
    def on_server(self) -> bool:
        return self.where in ("server", "both")


class StopSection(Section):
    """[stop]: when to stop before the last round."""

    metric: str = "accuracy"
    mode: Literal["max", "min"] | None = None
    target: Annotated[float, Field(allow_inf_nan=False)] | None = None
    patience: Whole | None = None
    min_delta: NotNegative = 0.0
    max_bytes: Whole | None = None
    max_seconds: Positive | None = None
    max_epsilon: Positive | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if wrong := metric_problem(self.metric):
            raise whole_problem(wrong, ("metric",), whole=False)
        if self.mode is None:
            self._fill(mode="min" if self.metric.rpartition(".")[2] in FALLING else "max")
        return self

    def rule(self) -> StopRule:
        """The coordinator's stop rule."""
        return StopRule(**dict(self))


class StudySection(Section):
    """[study]: what a run is for; `ciranda baseline` and `ciranda sweep` write it.

    "centralised": one client holds what all would train on. "validation" and "fold" measure, in the place of the test set, the clients'
    validation examples, or all that the clients of one fold hold, who then do not train.
    """

    role: Literal["federated", "centralised", "validation", "fold"] = "federated"
    folds: Annotated[int, Field(ge=2)] | None = None
    fold: Whole | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key in ("folds", "fold"):
            if (getattr(self, key) is None) is (self.role == "fold"):
                raise problem('goes with role = "fold", which needs it.', key)
        if self.fold is not None and self.folds is not None and self.fold > self.folds:
            raise problem("is more than the {folds} folds there are.", "fold", folds=self.folds)
        return self


class Experiment(Section):
    """A whole experiment, valid and with every default filled in."""

    experiment: ExperimentSection
    data: DataSection = DataSection()
    federation: FederationSection = FederationSection()
    rounds: RoundsSection = RoundsSection()
    client: ClientSection = ClientSection()
    strategy: StrategySection = StrategySection()
    stage: StageSection = StageSection()
    privacy: PrivacySection = PrivacySection()
    evaluate: EvaluateSection = EvaluateSection()
    stop: StopSection = StopSection()
    study: StudySection = StudySection()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.experiment.name:
            self._fill(experiment=self.experiment.model_copy(update={"name": default_name(self.experiment.task)}))
        if self.federation.test_fraction is None:
            share = 0.2 if self.evaluate.on_clients else 0.0
            self._fill(federation=self.federation.model_copy(update={"test_fraction": share}))
            if self.federation.validation_fraction + share >= 1:
                raise problem(
                    "leaves nothing to train on beside test-fraction, {share} by default.", "federation", "validation-fraction", share=share
                )
        self._check_cohort()
        self._check_stop()
        if self.study.role in ("validation", "fold") and self.evaluate.where != "server":
            raise problem('must be "server" where the settings are chosen: study.role says so.', "evaluate", "where")
        return self

    def _check_cohort(self) -> None:
        clients, rounds = self.federation.clients, self.rounds
        if clients is None:
            return
        if rounds.min_train_clients > clients:
            raise problem("is more than the {clients} clients there are.", "rounds", "min-train-clients", clients=clients)
        cohort = self.cohort(clients)
        try:
            make_selection(kind_of(SELECTION, rounds.selection, "selection"), **rounds.params).check(clients, cohort)
        except ExperimentError as error:
            raise whole_problem(advised(error), ("rounds", str(error.fields.get("key", "selection")))) from None
        for key, value in (("min-replies", rounds.min_replies), ("first", rounds.first or 0)):
            if value > cohort:
                raise problem(
                    "is {value}, but only {cohort} of {clients} clients train in a round.",
                    "rounds",
                    key,
                    value=value,
                    cohort=cohort,
                    clients=clients,
                )

    def _check_stop(self) -> None:
        stop, evaluate = self.stop, self.evaluate
        if stop.target is None and stop.patience is None:
            return
        group, _, name = stop.metric.rpartition(".")
        places = {
            "server": evaluate.on_server,
            "clients": evaluate.on_clients,
            "train": True,
            "": evaluate.where != "none" or name == "loss",
        }
        if not places[group]:
            raise problem(
                "is '{metric}', which is never measured with evaluate.where = '{where}'.",
                "stop",
                "metric",
                metric=stop.metric,
                where=evaluate.where,
            )
        if group == "train" and name != "loss":
            raise problem("is '{metric}', but training reports its loss only: use 'train.loss'.", "stop", "metric", metric=stop.metric)

    def cohort(self, clients: int) -> int:
        """How many of `clients` train in a round."""
        return min(clients, cohort_size(clients, self.rounds.fraction_train, self.rounds.min_train_clients))

    def sections(self) -> Mapping[str, dict[str, Any]]:
        """Section name -> key -> value, as a file would have it, empty sections left out."""
        filled = {name: dict(section.written()) for name, section in self}
        return {name: keys for name, keys in filled.items() if keys}


def default_name(task: str) -> str:
    """A run's name from its task: the registry's name, or a user's file without folder and suffix."""
    stem = task.replace("\\", "/").rpartition("/")[2].partition(":")[0]
    return stem.removesuffix(".py")[:80]
