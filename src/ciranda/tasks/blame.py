"""Errors in a user's own code, told in their terms: their file and line, the layer, the shapes; none of our frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from ciranda.core.errors import CirandaError, SignatureError, TaskError, blame
from ciranda.core.texts import Text, marked
from ciranda.plugins.files import first_line


@contextmanager
def blamed(task: object, doing: str, module: Any = None) -> Iterator[None]:
    """Turn an error from the code of `task` into a TaskError that points at it. Our own errors pass unchanged.

    Args:
        task: the user's object.
        doing: what was going on, for the message.
        module: the torch model in use, to name the layer that failed.

    Raises:
        SignatureError: an error inside a layer whose input does not fit it. TaskError: any other.
    """
    try:
        yield
    except (CirandaError, MemoryError):
        raise
    except Exception as error:
        raise explain(error, Text("{task}: {doing}", task=type(task).__name__, doing=Text(doing)), module) from error


def explain(error: BaseException, doing: Text, module: Any = None) -> TaskError:
    """The TaskError (SignatureError for a layer's input) that describes `error`, raised while `doing` something with a user's code."""
    place = blame(error)
    template = "{kind}: {error} ({place})" if place else "{kind}: {error}"
    text = Text(template, kind=type(error).__name__, error=first_line(error), place=place)
    layer = _layer(error.__traceback__, module) if module is not None else None
    if "more than 1 value per channel" in str(error):
        # Batch normalisation met a last batch of one example: common in a federation, where clients' sizes are whatever they are.
        return TaskError(
            "{doing} failed in {layer}. {text}",
            hint="A client's last batch has a single example: choose another client.batch-size, or GroupNorm instead of BatchNorm.",
            doing=doing,
            layer=layer or Text("the model"),
            text=text,
        )
    if layer:
        return SignatureError(
            "{doing} failed in {layer}. {text}",
            hint="Make the layer's input size fit what comes before it.",
            doing=doing,
            layer=layer,
            text=text,
        )
    return TaskError("{doing} failed. {text}", doing=doing, text=text)


def _layer(trace: TracebackType | None, module: Any) -> Text | None:
    """The innermost layer of `module` that was running, what it was given and what it holds; None if none was, or it is no leaf."""
    names = {id(child): name for name, child in module.named_modules()}
    found = None
    while trace is not None:
        frame = trace.tb_frame
        layer: Any = frame.f_locals.get("self")
        if id(layer) in names and not any(True for _ in layer.children()) and frame.f_code.co_name == "forward":
            given = [value.shape for key, value in frame.f_locals.items() if key != "self" and hasattr(value, "shape")]
            found = Text(
                "layer '{name}' ({layer}): it was given an input of shape {shapes}, expected {expected}",
                name=names[id(layer)] or "model",
                layer=layer,
                shapes=", ".join(str(tuple(shape)) for shape in given[:2]) or Text("no tensor"),
                expected=_expected(layer),
            )
        trace = trace.tb_next
    return found


def _expected(layer: Any) -> Text:
    """The input shape a layer of a common kind takes, in words."""
    for attribute, text in (
        ("in_features", "(..., {size})"),
        ("in_channels", "(batch, {size}, ...)"),
        ("num_features", "(batch, {size}, ...)"),
        ("num_embeddings", marked("integers below {size}")),
        ("input_size", "(..., {size})"),
        ("normalized_shape", "(..., *{size})"),
    ):
        if hasattr(layer, attribute):
            return Text(text, size=getattr(layer, attribute))
    return Text("one that its operation takes")
