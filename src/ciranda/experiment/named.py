"""Sections that name something and hold its parameters: a strategy, a stage, a selection rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from ciranda.core.errors import ExperimentError
from ciranda.core.parameters import build, checked, names_of
from ciranda.core.texts import Text, joined
from ciranda.experiment.names import kebab
from ciranda.plugins.families import Family


def problem(message: str, *key: str, **fields: object) -> PydanticCustomError:
    """An error at `key`, counted from the section that is being checked, in our own words: what follows the key in its sentence."""
    return whole_problem(Text(message, **fields), key, whole=False)


def whole_problem(message: Text, key: tuple[str, ...], *, whole: bool = True) -> PydanticCustomError:
    """An error at `key`. A `whole` message names the key itself."""
    return PydanticCustomError("ciranda", "{message}", {"message": message, "key": key, "whole": whole})


def advised(error: ExperimentError) -> Text:
    """What is wrong and, where something is, what to do."""
    return joined(" ", [error.text, error.advice]) if error.hint else error.text


def kind_of(family: Family, name: str, key: str) -> type[Any]:
    """The class that `key` names. Raises a validation error with the names there are, or with what is wrong in a user's file."""
    if not family.knows(name):
        raise PydanticCustomError("unknown_name", "unknown name", {"key": (key,), "allowed": tuple(sorted(family.names())), "input": name})
    try:
        return family.find(name)
    except ExperimentError as error:
        raise problem("cannot be used: {error}", key, error=advised(error)) from None


def parameters_of(family: Family, name: str, key: str, extra: Mapping[str, Any], own: tuple[str, ...]) -> dict[str, Any]:
    """The parameters in `extra`, checked one by one and together, in kebab case. `own` are the section's other keys."""
    kind = kind_of(family, name, key)
    takes = names_of(kind)
    params: dict[str, Any] = {}
    for written, value in extra.items():
        parameter = written.replace("-", "_")
        others = [other for other, builtin in family.builtin.items() if parameter in names_of(builtin)]
        if parameter not in takes and others:
            text = "does not go with the {noun} '{name}', but with: {others}."
            raise problem(text, written, noun=family.noun, name=name, others=", ".join(others))
        if parameter not in takes:
            raise PydanticCustomError("unknown_key", "unknown key", {"key": (written,), "allowed": (*own, *map(kebab, takes))})
        try:
            params[parameter] = checked(kind, parameter, value)
        except ExperimentError as error:
            fields = {field: error.fields[field] for field in ("expected", "value")}
            raise problem("must be {expected}, not {value!r}.", written, **fields) from None
    try:
        build(kind, Text("{noun} '{name}'", noun=family.noun, name=name), params)
    except ExperimentError as error:
        where = str(error.fields.get("key", ""))
        if where.replace("-", "_") in takes:
            raise whole_problem(advised(error), (where,)) from None
        raise problem("cannot work: {error}", *[*extra, key][:1], error=advised(error)) from None
    return {kebab(parameter): value for parameter, value in params.items()}


def extra_of(section: BaseModel) -> dict[str, Any]:
    """What was written beside the section's own keys."""
    return dict(section.__pydantic_extra__ or {})


def keep_extra(section: BaseModel, extra: dict[str, Any]) -> None:
    """Put checked values in their place, while the section is being validated."""
    object.__setattr__(section, "__pydantic_extra__", extra)


def params_of(section: BaseModel) -> dict[str, Any]:
    """The parameters under their Python names."""
    return {key.replace("-", "_"): value for key, value in extra_of(section).items()}
