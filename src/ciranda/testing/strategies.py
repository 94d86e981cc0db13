"""The laws of a strategy, as tests. Subclass in a test file and name the strategy:

    class TestMine(StrategyLaws):
        strategy = Mine(parameter=0.5)

A strategy with a client side subclasses `ClientRuleLaws`. Needs no pytest; every `test_` method can be called by hand.
"""

from __future__ import annotations

import math
from copy import deepcopy

import numpy as np

from ciranda.core.codec import decode, encode
from ciranda.core.params import Signature, model_sha256
from ciranda.core.strategies.base import ClientRule, Strategy, StrategyState
from ciranda.core.task import Array, Arrays, ClientSettings
from ciranda.core.update import Aggregate, Update, accept
from ciranda.testing._rounds import (
    CLIENTS,
    LAYERS,
    added,
    backwards,
    contract_of,
    example_aggregate,
    example_model,
    locked,
    played,
    trained_part,
    work_of,
)
from ciranda.testing._values import check_value

__all__ = ["ClientRuleLaws", "StrategyLaws", "example_aggregate", "example_model", "played", "trained_part"]

ROUNDS = 4


class StrategyLaws:
    """What every strategy must hold to."""

    strategy: Strategy

    def test_it_is_a_named_value(self) -> None:
        check_value(self.strategy, "strategy")
        assert self.strategy.summary, "a strategy needs a summary"
        assert isinstance(self.strategy.needs_cohort, bool), "needs_cohort is True or False"

    def test_client_settings_is_a_function_of_its_argument(self) -> None:
        given = ClientSettings(local_epochs=3, learning_rate=0.5, extra={"x": 1.0})
        before = deepcopy(given)
        first, second = self.strategy.client_settings(given), self.strategy.client_settings(given)
        assert isinstance(first, ClientSettings), "client_settings returns ClientSettings"
        assert first == second, "equal settings must give equal settings"
        assert given == before, "client_settings must not change its argument"
        assert first.local_epochs == 3, "the experiment decides on the epochs"

    def test_the_state_is_named_numeric_arrays(self) -> None:
        for round, (state, _) in enumerate(self._history()):
            for name, array in state.items():
                assert isinstance(name, str), f"round {round}: the state's names are strings, not {name!r}"
                assert isinstance(array, np.ndarray), f"round {round}: the state's '{name}' is not an array"
                assert array.dtype.kind in "iufb", f"round {round}: the state's '{name}' has dtype {array.dtype}"

    def test_the_state_keeps_its_signature(self) -> None:
        states = [state for state, _ in self._history()]
        for round, state in enumerate(states):
            assert Signature.of(state) == Signature.of(states[0]), f"round {round} changes the state's names, shapes or dtypes"

    def test_the_model_keeps_its_signature(self) -> None:
        for round, (_, model) in enumerate(self._history()):
            Signature.of(example_model()).check(model, f"the model after round {round}")
            for name, tensor in model.items():
                assert isinstance(tensor, np.ndarray), f"'{name}' is a {type(tensor).__name__} after round {round}, not an array"

    def test_equal_inputs_give_equal_bits(self) -> None:
        assert _digests(self._history()) == _digests(self._history()), "a second run differs: something is hidden in the strategy"

    def test_it_goes_on_from_a_stored_state(self) -> None:
        """Every round by a new object, from the bytes of the state and model before: as after a crash, or on a serverless wire."""
        state, model = self.strategy.init(trained_part(example_model())), dict(example_model())
        stored = [(state, model)]
        for round in range(1, ROUNDS + 1):
            fresh = deepcopy(self.strategy)
            state, model = decode(encode(state))[0], decode(encode(model))[0]
            state, model = _plain(fresh.apply(state, model, played(fresh, state, model, round)))
            stored.append((state, model))
        assert _digests(stored) == _digests(self._history()), "the state does not hold all that the strategy remembers"

    def test_names_may_come_in_any_order(self) -> None:
        model, state, aggregate = self._first_round()
        parts = {part: backwards(arrays) for part, arrays in reversed(list(aggregate.parts.items()))}
        turned = Aggregate(parts, aggregate.weight, aggregate.count, aggregate.metrics)
        straight = _plain(self.strategy.apply(state, model, aggregate))
        other = _plain(self.strategy.apply(backwards(state), backwards(model), turned))
        assert _digests([straight]) == _digests([other]), "the result depends on the order of the names"

    def test_it_does_not_write_into_its_inputs(self) -> None:
        """Inputs are locked, so that writing raises; and compared, in case the lock was taken off."""
        model, state, aggregate = self._first_round()
        before = deepcopy((state, model, aggregate))
        self.strategy.apply(locked(state), model, aggregate)
        assert model_sha256(before[0]) == model_sha256(state), "apply writes into the state"
        assert model_sha256(before[1]) == model_sha256(model), "apply writes into the model"
        for part, arrays in aggregate.parts.items():
            assert model_sha256(before[2].parts[part]) == model_sha256(arrays), f"apply writes into the aggregate's part '{part}'"

    def test_what_it_broadcasts_keeps_its_signature(self) -> None:
        sent = [self.strategy.broadcast(state) for state, _ in self._history()]
        for round, arrays in enumerate(sent):
            assert Signature.of(arrays) == Signature.of(sent[0]), f"round {round} broadcasts other names, shapes or dtypes"

    def test_tensors_outside_the_part_stay(self) -> None:
        """Buffers, counters and private tensors have their own reducers."""
        for round, (_, model) in enumerate(self._history()):
            for name in set(example_model()) - set(LAYERS):
                assert np.array_equal(model[name], example_model()[name]), f"round {round} changes '{name}', which has no mean difference"

    def test_it_stays_finite(self) -> None:
        for round, (state, model) in enumerate(self._history()):
            for name, array in {**state, **model}.items():
                assert np.isfinite(array).all(), f"'{name}' is not finite after round {round}"

    def _first_round(self) -> tuple[dict[str, Array], StrategyState, Aggregate]:
        """Model, state and aggregate of round 1."""
        model = example_model()
        state = self.strategy.init(trained_part(model))
        return model, state, played(self.strategy, state, model, 1)

    def _history(self) -> list[tuple[StrategyState, dict[str, Array]]]:
        """(state, model) before round 1 and after each round."""
        model: dict[str, Array] = example_model()
        history = [(self.strategy.init(trained_part(model)), model)]
        for round in range(1, ROUNDS + 1):
            state, model = history[-1]
            aggregate = played(self.strategy, state, model, round)
            history.append(_plain(self.strategy.apply(locked(state), locked(model), aggregate)))
        return history


class ClientRuleLaws(StrategyLaws):
    """What a strategy with a client side must hold to as well."""

    @property
    def rule(self) -> ClientRule:
        rule = self.strategy.client
        assert rule is not None, "the strategy gives no ClientRule; test it with StrategyLaws"
        return rule

    def test_its_parts_are_agreed_before_anyone_trains(self) -> None:
        first, again = (self.rule.parts(trained_part(example_model()), 5, CLIENTS, 9) for _ in range(2))
        assert first == again, "parts must be a function of its arguments"
        assert "private" not in first, "the part 'private' never leaves a client"

    def test_updates_are_admitted(self) -> None:
        for client, (update, _) in enumerate(self._trained({})):
            reason = accept(contract_of(self.rule, example_model()), update)
            assert not reason, f"the update of client {client} is refused: {reason}"
            assert update.metrics, f"the update of client {client} lost its metrics"

    def test_training_is_a_function_of_its_arguments(self) -> None:
        assert _all_digests(self._trained({})) == _all_digests(self._trained({})), "a second time differs: something is hidden in the rule"

    def test_the_client_state_is_named_numeric_arrays_that_can_be_stored(self) -> None:
        for _, state in self._trained({}):
            for name, array in state.items():
                assert isinstance(array, np.ndarray), f"the client state's '{name}' is not an array"
                assert array.dtype.kind in "iufb", f"the client state's '{name}' has dtype {array.dtype}"
            stored = decode(encode(state))[0]
            assert model_sha256(stored) == model_sha256(state)

    def test_the_client_state_keeps_its_signature(self) -> None:
        first = self._trained({})[0][1]
        then = self._trained(first)[0][1]
        assert Signature.of(first) == Signature.of(then), "the client state changes its names, shapes or dtypes"

    def test_training_does_not_write_into_its_inputs(self) -> None:
        """The model, the broadcast and the state are locked, so that writing raises."""
        state = locked(self._trained({})[0][1])
        before = model_sha256(state)
        self._trained(state)
        assert model_sha256(state) == before

    def test_training_that_diverged_is_refused_and_not_hidden(self) -> None:
        model = example_model()
        for value in (math.nan, math.inf):
            work = work_of(self.strategy, self.strategy.init(trained_part(model)), model, 0, value=value)
            update, _ = self.rule.train(work, {})
            assert accept(contract_of(self.rule, model), update) == "non-finite", f"an update of {value} is not refused as such"

    def test_one_client_alone_makes_a_round(self) -> None:
        model = example_model()
        state = self.strategy.init(trained_part(model))
        update, _ = self.rule.train(work_of(self.strategy, state, model, 0), {})
        _, following = self.strategy.apply(state, model, added(contract_of(self.rule, model, 1), [update]))
        assert all(np.isfinite(tensor).all() for tensor in following.values())

    def _trained(self, state: Arrays) -> list[tuple[Update, Arrays]]:
        """What each client of round 1 sends and keeps, all of them from `state`."""
        model = example_model()
        before = self.strategy.init(trained_part(model))
        return [self.rule.train(work_of(self.strategy, before, model, client), state) for client in range(CLIENTS)]


def _plain(result: tuple[StrategyState, Arrays]) -> tuple[StrategyState, dict[str, Array]]:
    return result[0], dict(result[1])


def _digests(history: list[tuple[StrategyState, dict[str, Array]]]) -> list[tuple[str, str]]:
    return [(model_sha256(state), model_sha256(model)) for state, model in history]


def _all_digests(results: list[tuple[Update, Arrays]]) -> list[tuple[dict[str, str], int, str]]:
    return [
        ({part: model_sha256(arrays) for part, arrays in update.parts.items()}, update.weight, model_sha256(state))
        for update, state in results
    ]
