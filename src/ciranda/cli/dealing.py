"""Who holds what: an experiment's data dealt out to its clients."""

from __future__ import annotations

from ciranda.core.errors import ExperimentError
from ciranda.core.holdout import pooled, with_validation, without_fold
from ciranda.core.partition import partition
from ciranda.core.population import Population
from ciranda.core.rng import Draw
from ciranda.core.task import FederatedData
from ciranda.experiment.schema import Experiment


def population_of(experiment: Experiment, data: FederatedData, draw: Draw) -> Population:
    """The clients of `experiment`, its study's role included; `draw` is the run's. Raises ExperimentError, DataError."""
    federation, study = experiment.federation, experiment.study
    if experiment.evaluate.on_server and study.role not in ("validation", "fold") and not len(data.test):
        raise ExperimentError(
            "evaluate.where asks for evaluation on the server, but the data has no test examples.",
            hint='Give data.test-fraction, or set evaluate.where = "clients".',
        )
    dealt = partition(
        federation.partitioner, data.train.y, federation.clients, draw.at("partition"), groups=data.groups, **federation.params
    )
    population = Population(data, dealt, federation.validation_fraction, federation.test_fraction or 0.0, draw)
    match study.role:
        case "centralised":
            return pooled(population)
        case "validation":
            return with_validation(population)
        case "fold":
            return without_fold(population, study.folds or 0, study.fold or 0, draw)
    return population
