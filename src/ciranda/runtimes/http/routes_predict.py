"""`POST /predict` on the server: the latest model of a run answers."""

from __future__ import annotations

from functools import partial

from fastapi import FastAPI, Request

from ciranda.runtimes.http.answers import ApiError
from ciranda.runtimes.http.describe import CLIENT, errors
from ciranda.runtimes.http.predictions import BODY, Desk, Predictions, Top, Which, parts_of
from ciranda.runtimes.http.run import HttpRun
from ciranda.runtimes.http.service import Service

_ERRORS = errors(400, 401, 404, 408, 409, 410, 411, 413, 422, 429)


def predict_routes(app: FastAPI, service: Service, desk: Desk) -> None:
    """Predictions, for whoever has a credential."""

    @app.post("/predict", responses=_ERRORS, openapi_extra={**BODY, **CLIENT["openapi_extra"]})
    async def predict(request: Request, run: str = "", model: Which = "global", top: Top = 3) -> Predictions:
        """What the run's latest model says of the examples in the body; without `run` the latest run that has a model."""
        service.caller(request)
        it = service.run(run) if run else _latest(service)
        offer, predictor = it.models.get(it.models.latest), it.blueprint.predictor
        if model == "personal":
            raise ApiError(409, "no-such-model", "The server has no personal model.", hint="Ask the client whose it is.")
        if offer is None or predictor is None:
            raise ApiError(409, "no-model", "The run '{run}' has no model yet.", run=it.name)
        parts = await parts_of(request)
        found = await desk.do(partial(predictor.predict, offer.published.arrays, parts, top))
        return Predictions(run=it.name, model=model, model_sha256=offer.published.digest, predictions=found)


def _latest(service: Service) -> HttpRun:
    for run in reversed(service.runs.values()):
        if run.models.latest:
            return run
    raise ApiError(409, "no-model", "No run has a model yet.")
