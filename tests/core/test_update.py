"""Updates add: any order and any grouping give one Aggregate, and each fault has its reason."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import DivergedError, RefusedUpdate, RunError, SignatureError
from ciranda.core.exact import Scale
from ciranda.core.params import Arrays, Signature
from ciranda.core.reducers import PartContract
from ciranda.core.task import Part
from ciranda.core.update import (
    MAX_METRIC_CELLS,
    MAX_METRICS,
    REASONS,
    Aggregate,
    Contract,
    Total,
    Update,
    accept,
    apply_buffers,
    difference,
    finish,
    fold,
    merge,
    zero,
)

COHORT, HEAVIEST = 6, 50


def part_of(name: str) -> Part:
    kinds: dict[str, Part] = {"running": "buffers", "steps": "counters", "head": "private"}
    return kinds.get(name.split(".")[0], "model")


def model() -> dict[str, Any]:
    return {
        "fc.weight": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
        "fc.bias": np.zeros(2, np.float64),
        "running.mean": np.ones(3, np.float32),
        "steps": np.array(10),
        "head.weight": np.ones(4, np.float32),
    }


def contract(**more: Any) -> Contract:
    made = Contract.for_model(model(), part_of, max_weight=HEAVIEST, cohort=COHORT, **more)
    # One part of every other kind, as algorithms beyond averaging add them.
    trees = PartContract("concatenate", Signature.of({"nodes": np.zeros((3, 2), np.float32)}))
    statistics = PartContract("sum", Signature.of({"moments": np.zeros(2)}), (Scale(2.0**10, 1, COHORT),))
    control = PartContract("mean-of-n", Signature.of({"fc.bias": np.zeros(2)}), (Scale(2.0**10, 1, COHORT),), population=40)
    return replace(made, parts={**made.parts, "trees": trees, "statistics": statistics, "control": control})


CONTRACT = contract()


def update(seed: int = 0, weight: int = 7) -> Update:
    generator = np.random.default_rng(seed)
    before = model()
    after = {
        name: (array + generator.standard_normal(array.shape).astype(array.dtype))
        if array.dtype.kind == "f"
        else array + generator.integers(1, 9)
        for name, array in before.items()
    }
    parts: dict[str, dict[str, Any]] = difference(before, after, part_of)
    parts["trees"] = {"nodes": generator.standard_normal((int(generator.integers(0, 4)), 2)).astype(np.float32)}
    parts["statistics"] = {"moments": generator.standard_normal(2)}
    parts["control"] = {"fc.bias": generator.standard_normal(2)}
    return Update(parts, weight, {"n": weight, "loss": seed * 2**24, "confusion": generator.integers(0, 9, (2, 2))})


def changed(part: str, name: str, value: Any) -> Update:
    """A good update with one tensor exchanged."""
    good = update()
    return replace(good, parts={**good.parts, part: {**good.parts[part], name: value}})


def bits(aggregate: Aggregate) -> dict[str, Any]:
    arrays = {f"{part}/{name}": array for part, tensors in aggregate.parts.items() for name, array in tensors.items()}
    metrics = {name: np.asarray(value).tolist() for name, value in sorted(aggregate.metrics.items())}
    return {
        "arrays": {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()},
        "rest": (aggregate.weight, aggregate.count, metrics),
    }


def total_of(updates: dict[str, Update]) -> Total:
    total = zero(CONTRACT)
    for name, one in updates.items():
        total = fold(CONTRACT, total, name, one)
    return total


cohorts = st.dictionaries(
    st.sampled_from("abcdefghij"), st.builds(update, st.integers(0, 2**32), st.integers(1, HEAVIEST)), min_size=1, max_size=COHORT
)


# --- laws


@given(cohorts, st.data())
def test_any_order_gives_the_same_aggregate(updates: dict[str, Update], data: st.DataObject) -> None:
    order = data.draw(st.permutations(sorted(updates)))
    assert bits(finish(CONTRACT, total_of({name: updates[name] for name in order}))) == bits(finish(CONTRACT, total_of(updates)))


@given(cohorts, st.data())
def test_any_sub_totals_give_the_same_aggregate(updates: dict[str, Update], data: st.DataObject) -> None:
    groups: list[dict[str, Update]] = [{} for _ in range(4)]
    for name, one in updates.items():
        groups[data.draw(st.integers(0, 3))][name] = one
    totals = [total_of(group) for group in groups]
    while len(totals) > 1:
        a = totals.pop(data.draw(st.integers(0, len(totals) - 1)))
        b = totals.pop(data.draw(st.integers(0, len(totals) - 1)))
        totals.append(merge(CONTRACT, a, b))
    assert bits(finish(CONTRACT, totals[0])) == bits(finish(CONTRACT, total_of(updates)))


@given(cohorts)
def test_a_total_survives_the_way_to_another_process(updates: dict[str, Update]) -> None:
    copy = pickle.loads(pickle.dumps(total_of(updates)))  # noqa: S301 - our own bytes
    assert bits(finish(CONTRACT, merge(CONTRACT, zero(CONTRACT), copy))) == bits(finish(CONTRACT, total_of(updates)))


def test_the_aggregate_is_what_the_parts_say() -> None:
    updates = {"b": update(1, 10), "a": update(2, 30)}
    result = finish(CONTRACT, total_of(updates))

    def sent(part: str, name: str) -> tuple[Any, Any]:
        return updates["b"].parts[part][name], updates["a"].parts[part][name]

    for part, name in (("model", "fc.weight"), ("model", "fc.bias"), ("buffers", "running.mean")):
        b, a = sent(part, name)
        assert result.parts[part][name].dtype == b.dtype
        np.testing.assert_allclose(result.parts[part][name], (10 * b + 30 * a) / 40, rtol=1e-6)
    b, a = sent("counters", "steps")
    assert result.parts["counters"]["steps"] == max(b, a)
    b, a = sent("trees", "nodes")
    assert np.array_equal(result.parts["trees"]["nodes"], np.concatenate([a, b]))
    b, a = sent("statistics", "moments")
    np.testing.assert_allclose(result.parts["statistics"]["moments"], a + b)
    b, a = sent("control", "fc.bias")
    np.testing.assert_allclose(result.parts["control"]["fc.bias"], (a + b) / 40)
    assert (result.weight, result.count, result.metrics["n"], result.metrics["loss"]) == (40, 2, 40, 3 * 2**24)


def test_finishing_takes_no_memory_beside_the_total() -> None:
    total = total_of({"a": update(1)})
    aggregate = finish(CONTRACT, total)
    assert all(np.shares_memory(array, total.parts["model"]) for array in aggregate.parts["model"].values())


def test_folding_does_not_write_into_the_update() -> None:
    one, same = update(3), update(3)
    total_of({"a": one})
    for part, arrays in one.parts.items():
        assert all(np.array_equal(array, same.parts[part][name]) for name, array in arrays.items())


# --- refusals


FAULTS: dict[str, tuple[Update, str]] = {
    "a part missing": (replace(update(), parts={"model": update().parts["model"]}), "wrong-shape"),
    "a part too many": (replace(update(), parts={**update().parts, "other": {}}), "wrong-shape"),
    "a tensor too many": (changed("model", "fc.more", np.zeros(1, np.float32)), "wrong-shape"),
    "another shape": (changed("model", "fc.weight", np.zeros((3, 2), np.float32)), "wrong-shape"),
    "another dtype": (changed("model", "fc.weight", np.zeros((2, 3), np.float64)), "wrong-shape"),
    "another counter": (changed("counters", "steps", np.array(1.0)), "wrong-shape"),
    "NaN": (changed("model", "fc.bias", np.array([0.0, np.nan])), "non-finite"),
    "infinity": (changed("buffers", "running.mean", np.array([0, 0, -np.inf], np.float32)), "non-finite"),
    "beyond the bound": (changed("model", "fc.bias", np.array([0.0, 1e9])), "out-of-range"),
    "too many rows": (changed("trees", "nodes", np.zeros((4, 2), np.float32)), "oversized"),
    "a weight too large": (replace(update(), weight=HEAVIEST + 1), "out-of-range"),
    "a negative weight": (replace(update(), weight=-1), "out-of-range"),
    "a fractional weight": (replace(update(), weight=1.5), "malformed"),  # type: ignore[arg-type]
    "a truth value as weight": (replace(update(), weight=True), "malformed"),
    "a fractional metric": (replace(update(), metrics={"loss": 0.5}), "malformed"),  # type: ignore[dict-item]
    "a float array as metric": (replace(update(), metrics={"loss": np.zeros(2)}), "malformed"),  # type: ignore[dict-item]
    "a metric that would overflow": (replace(update(), metrics={"c": np.array([2**62])}), "out-of-range"),
    "a negative metric that would overflow": (replace(update(), metrics={"c": np.array([-(2**62)])}), "out-of-range"),
    "a number of many digits": (replace(update(), metrics={"loss": 10**100}), "out-of-range"),
    "too many metrics": (replace(update(), metrics={str(n): 1 for n in range(MAX_METRICS + 1)}), "oversized"),
    "a metric too large": (replace(update(), metrics={"c": np.zeros(MAX_METRIC_CELLS + 1, np.int64)}), "oversized"),
}


def test_a_good_update_is_accepted() -> None:
    assert accept(CONTRACT, update()) == ""


@pytest.mark.parametrize(("bad", "reason"), FAULTS.values(), ids=FAULTS.keys())
def test_each_fault_has_its_reason_and_leaves_the_total_untouched(bad: Update, reason: str) -> None:
    assert reason in REASONS
    assert accept(CONTRACT, bad) == reason
    total = total_of({"a": update(1)})
    before = bits(finish(CONTRACT, total_of({"a": update(1)})))
    with pytest.raises(RefusedUpdate, match="client mallory") as caught:
        fold(CONTRACT, total, "mallory", bad)
    assert caught.value.reason == reason
    assert bits(finish(CONTRACT, total)) == before


def test_every_reason_is_explained() -> None:
    assert {"late", "duplicate", "conflicting", "wrong-round", "wrong-shape", "non-finite", "out-of-range", "oversized"} <= set(REASONS)
    assert all(REASONS.values())


def test_a_metric_of_another_shape_is_refused_before_the_total_is_touched() -> None:
    total = total_of({"a": update(1)})
    before = bits(finish(CONTRACT, total_of({"a": update(1)})))
    with pytest.raises(RefusedUpdate, match="confusion") as caught:
        fold(CONTRACT, total, "b", replace(update(), metrics={"confusion": np.zeros((3, 3), np.int64)}))
    assert caught.value.reason == "wrong-shape"
    assert bits(finish(CONTRACT, total)) == before


def test_weight_zero_is_accepted_and_adds_its_counts_alone() -> None:
    alone = finish(CONTRACT, total_of({"a": update(1)}))
    both = finish(CONTRACT, total_of({"a": update(1), "b": update(2, weight=0)}))
    assert both.count == 2
    assert both.weight == alone.weight
    assert all(array.tobytes() == alone.parts["model"][name].tobytes() for name, array in both.parts["model"].items())


def test_nothing_cannot_be_averaged() -> None:
    with pytest.raises(RunError, match="No update"):
        finish(CONTRACT, zero(CONTRACT))
    with pytest.raises(RunError, match="no weight"):
        finish(CONTRACT, total_of({"a": update(weight=0)}))


def test_no_more_than_the_cohort_is_added() -> None:
    total = total_of({str(rank): update(rank) for rank in range(COHORT)})
    with pytest.raises(RunError, match="the contract admits 6"):
        fold(CONTRACT, total, "more", update())
    with pytest.raises(RunError, match="the contract admits 6"):
        merge(CONTRACT, total, total_of({"more": update()}))


def test_totals_of_different_contracts_do_not_mix() -> None:
    other = Contract.for_model(model(), part_of, max_weight=HEAVIEST, cohort=COHORT + 1)
    for attempt in (
        lambda: merge(CONTRACT, zero(CONTRACT), zero(other)),
        lambda: merge(CONTRACT, zero(other), zero(CONTRACT)),
        lambda: fold(CONTRACT, zero(other), "a", update()),
        lambda: finish(CONTRACT, zero(other)),
    ):
        with pytest.raises(RunError, match="cannot be combined"):
            attempt()


# --- contracts


def test_the_contract_names_the_parts() -> None:
    made = Contract.for_model(model(), part_of, max_weight=HEAVIEST, cohort=COHORT)
    assert {name: (part.reducer, part.signature.names) for name, part in made.parts.items()} == {
        "model": ("weighted-mean", ("fc.bias", "fc.weight")),
        "buffers": ("weighted-mean", ("running.mean",)),
        "counters": ("max", ("steps",)),
    }
    assert made.num_bytes == 2 * 8 + 6 * 4 + 3 * 4 + 8
    assert made.local == Signature.of(model())
    assert made == Contract.for_model(dict(reversed(model().items())), part_of, max_weight=HEAVIEST, cohort=COHORT)


def test_the_contract_does_not_depend_on_who_replies() -> None:
    assert [scale.cohort for scale in CONTRACT.parts["model"].scales] == [COHORT, COHORT]
    assert [scale.max_weight for scale in CONTRACT.parts["model"].scales] == [HEAVIEST, HEAVIEST]


@pytest.mark.parametrize(("norm", "bound"), [(0.3, 0.5), (1.0, 2.0), (5.0, 8.0)])
def test_a_clipping_norm_gives_the_bound_of_the_model_alone(norm: float, bound: float) -> None:
    made = contract(clipping_norm=norm)
    assert {scale.bound for scale in made.parts["model"].scales} == {bound}
    assert made.parts["buffers"].scales == CONTRACT.parts["buffers"].scales


def test_bounds_follow_the_magnitude_of_each_tensor() -> None:
    made = Contract.for_model(
        {"a": np.full(2, 3000, np.float32), "b": np.zeros(2, np.float32)}, lambda name: "model", max_weight=1, cohort=1
    )
    assert [scale.bound for scale in made.parts["model"].scales] == [2.0**22, 2.0**10]


@pytest.mark.parametrize("name", ["fc.weight", "running.mean"])
def test_half_precision_is_refused_with_the_advice_to_keep_master_weights(name: str) -> None:
    with pytest.raises(SignatureError, match=f"'{name}'.*float16") as caught:
        Contract.for_model({name: np.zeros(2, np.float16)}, part_of, max_weight=1, cohort=1)
    assert "float32 (master weights)" in caught.value.hint


def test_integers_among_the_weights_are_refused_with_advice() -> None:
    with pytest.raises(SignatureError, match=r"'fc\.steps'.*int64") as caught:
        Contract.for_model({"fc.steps": np.zeros(2, np.int64)}, part_of, max_weight=1, cohort=1)
    assert "counters" in caught.value.hint


def test_a_model_that_is_not_finite_is_refused() -> None:
    with pytest.raises(DivergedError, match=r"'a'.*not finite"):
        Contract.for_model({"a": np.array([np.inf])}, lambda name: "model", max_weight=1, cohort=1)


def test_the_trained_model_must_have_the_rounds_tensors() -> None:
    CONTRACT.check_local(model())
    with pytest.raises(SignatureError, match=r"'head\.weight' has shape \[5\] float32, agreed shape \[4\]"):
        CONTRACT.check_local({**model(), "head.weight": np.zeros(5, np.float32)})


# --- differences and buffers


def test_private_tensors_never_leave() -> None:
    parts = difference(model(), {**model(), "head.weight": np.full(4, 9, np.float32)}, part_of)
    assert set(parts) == {"model", "buffers", "counters"}
    assert not any("head" in name for arrays in parts.values() for name in arrays)
    assert "head.weight" not in [name for part in CONTRACT.parts.values() for name in part.signature.names]


def test_differences_keep_their_dtype_and_counters_their_value() -> None:
    before = model()
    after = {**before, "fc.weight": before["fc.weight"] + np.float32(0.5), "steps": np.array(12)}
    parts = difference(before, after, part_of)
    assert parts["model"]["fc.weight"].dtype == np.float32
    assert parts["model"]["fc.weight"].tolist() == np.full((2, 3), 0.5).tolist()
    assert parts["model"]["fc.bias"].dtype == np.float64
    assert not parts["model"]["fc.bias"].any()
    assert parts["counters"]["steps"] == 12


def test_a_diverged_model_is_refused_as_not_finite() -> None:
    lowest = {"x": np.array([-3e38], np.float32)}
    made = Contract.for_model(lowest, lambda name: "model", max_weight=1, cohort=1)
    for value in (3e38, np.nan, np.inf):
        parts = difference(lowest, {"x": np.array([value], np.float32)}, lambda name: "model")
        assert accept(made, Update(parts, 1, {})) == "non-finite"


def test_buffers_move_by_the_mean_and_counters_to_the_largest() -> None:
    before = model()
    updates = {}
    for name, shift, steps, weight in (("a", 1.0, 14, 10), ("b", 4.0, 12, 20)):
        after = {**before, "running.mean": before["running.mean"] + np.float32(shift), "steps": np.array(steps)}
        updates[name] = replace(update(weight=weight), parts={**update().parts, **difference(before, after, part_of)})
    aggregate = finish(CONTRACT, total_of(updates))
    after = apply_buffers(before, aggregate)
    assert after["running.mean"].tolist() == [4.0, 4.0, 4.0]
    assert after["running.mean"].dtype == np.float32
    assert after["steps"] == 14
    assert after["fc.weight"] is before["fc.weight"]
    assert after["head.weight"] is before["head.weight"]
    assert before["running.mean"].tolist() == [1.0, 1.0, 1.0]


def test_a_model_without_buffers_is_left_as_it_is() -> None:
    plain = {"x": np.zeros(2, np.float32)}
    assert apply_buffers(plain, Aggregate({"model": plain}, 1, 1, {})) == plain


class Rule:
    """Adds a part to every update, and the bounds of its own to the part "model"."""

    def parts(self, model: Arrays, max_weight: int, cohort: int, population: int) -> dict[str, PartContract]:
        signature = Signature.of(model)
        return {
            "extra": PartContract("mean-of-n", signature, (Scale(8.0, 1, cohort),) * len(model), population),
            "model": PartContract("weighted-mean", signature, (Scale(2.0, max_weight, cohort),) * len(model)),
        }


def test_a_rule_adds_parts_and_may_replace_the_bounds() -> None:
    plain = Contract.for_model(model(), part_of, max_weight=HEAVIEST, cohort=COHORT)
    ruled = Contract.for_model(model(), part_of, max_weight=HEAVIEST, cohort=COHORT, rule=Rule(), population=50)
    assert ruled.parts.keys() == {*plain.parts, "extra"}
    assert list(ruled.parts) == sorted(ruled.parts)
    assert ruled.parts["extra"].population == 50
    assert ruled.parts["extra"].signature == ruled.parts["model"].signature == plain.parts["model"].signature
    assert {scale.bound for scale in ruled.parts["model"].scales} == {2.0}
    assert ruled.num_bytes == plain.num_bytes + plain.parts["model"].signature.num_bytes
    assert ruled.local == plain.local


def test_what_a_rule_added_must_be_there() -> None:
    ruled = Contract.for_model(model(), part_of, max_weight=HEAVIEST, cohort=COHORT, rule=Rule(), population=50)
    sent = Update(difference(model(), model(), part_of), 1, {})
    assert accept(ruled, sent) == "wrong-shape"
    assert accept(ruled, replace(sent, parts={**sent.parts, "extra": sent.parts["model"]})) == ""


def test_the_trained_tensors_of_a_model() -> None:
    made = Contract.for_model(model(), part_of, max_weight=HEAVIEST, cohort=COHORT)
    assert set(made.trained(model())) == {name for name in model() if part_of(name) == "model"}
