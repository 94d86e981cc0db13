"""A client's own door: whoever sits at its machine may ask it for predictions and have it train for itself.

It listens on loopback unless told otherwise, and whoever asks shows the content of `door.token` in the client's folder.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from time import perf_counter
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from ciranda.core.codec import encode
from ciranda.runtimes.http.answers import ApiError
from ciranda.runtimes.http.describe import CLIENT, errors
from ciranda.runtimes.http.home import Home, Wish
from ciranda.runtimes.http.predictions import BODY, Desk, Predictions, Top, Which, parts_of
from ciranda.runtimes.http.problems import answer_problems


class Training(BaseModel):
    """What to train from, and how; what is left out is as in the experiment."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)
    model: Literal["global", "personal"] = "global"
    epochs: Annotated[int, Field(ge=1, le=10_000)] | None = None
    batch_size: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    learning_rate: Annotated[float, Field(gt=0, lt=1e6, allow_inf_nan=False)] | None = None


class Learned(BaseModel):
    """`model_sha256` is of the new personal model; `told` has counts, the training's metrics and those before and after it."""

    run: str
    model_sha256: str
    seconds: float
    told: dict[str, Any]


def create_door(home: Home) -> FastAPI:
    """The application at a client's door."""
    desk = Desk()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        desk.close()

    app = FastAPI(title="Ciranda client", version=version("ciranda"), lifespan=lifespan, docs_url=None, redoc_url=None)
    answer_problems(app)
    failures = errors(400, 401, 408, 409, 411, 413, 422, 429, 503)

    def check(request: Request) -> None:
        if not home.admits(request.headers.get("authorization", "")):
            hint = "It is the content of door.token in the client's folder."
            raise ApiError(401, "no-credential", "This needs the client's own token.", hint=hint, headers={"WWW-Authenticate": "Bearer"})

    @app.get("/healthz")
    async def alive() -> dict[str, str]:
        """The client answers."""
        return {"status": "ok"}

    @app.get("/readyz", responses=errors(503))
    async def ready() -> Response:
        """The client is in a run."""
        if home.owner is None:
            return JSONResponse({"error": "not-joined", "message": "This client is not in a run yet.", "hint": ""}, 503)
        return JSONResponse({"status": "ok", "run": home.run, "name": home.name})

    @app.post("/predict", responses=failures, openapi_extra={**BODY, **CLIENT["openapi_extra"]})
    async def predict(request: Request, model: Which = "global", top: Top = 3) -> Predictions:
        """What the run's latest model, or this client's own, says of the examples in the body."""
        check(request)
        parts = await parts_of(request)
        digest, found = await desk.do(partial(home.predict, model, parts, top))
        return Predictions(run=home.run, model=model, model_sha256=digest, predictions=found)

    @app.post("/train", responses=failures, **CLIENT)
    async def train(request: Request, body: Training | None = None) -> Learned:
        """Train on this client's examples, for itself: the run does not hear of it. What comes out is its personal model."""
        check(request)
        asked, began = body or Training(), perf_counter()
        wish = Wish(asked.epochs, asked.batch_size, asked.learning_rate)
        digest, told = await desk.do(partial(home.train, asked.model, wish))
        return Learned(run=home.run, model_sha256=digest, seconds=round(perf_counter() - began, 3), told=told)

    @app.get("/model", response_class=Response, responses={**errors(401, 409, 422, 429, 503)}, **CLIENT)
    async def model(request: Request, model: Which = "global") -> Response:
        """The model itself, as safetensors."""
        check(request)
        arrays = await desk.do(partial(home.model, model))
        return Response(encode(arrays, {"format": "pt"}), media_type="application/octet-stream")

    return app
