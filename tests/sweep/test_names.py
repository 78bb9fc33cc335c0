"""Names of jobs: readable, safe in a path, and different for different values."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclegan.sweep.names import MAX_LENGTH, job_name, short_keys

KEYS = st.lists(
    st.sampled_from(["seed", "model.seed", "+data.x", "a.b.c", "b.c", "model/part@other", "generator"]),
    unique=True,
    min_size=1,
)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=120) | st.sampled_from(["1", "1.", "1,b=2", "[1]"])


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"seed": "1", "model.loss_weights.identity": "0.1"}, "identity=0.1,seed=1"),
        ({"model.seed": "1", "data.seed": "2"}, "data.seed=2,model.seed=1"),
        ({"model.loss_weights.cycle_a": "1e-3", "+x": "-1", "data": "maps+more"}, "x=-1,data=maps+more,cycle_a=1e-3"),
        ({}, "job"),
    ],
)
def test_a_job_is_named_by_what_it_changes(changes: dict[str, str], name: str) -> None:
    assert job_name(changes) == name


def test_a_key_is_shortened_as_far_as_it_is_unique() -> None:
    keys = ["seed", "model.seed", "model.generator.width", "model.discriminator.width", "trainer.max_epochs"]
    assert list(short_keys(keys).values()) == [
        "seed",
        "model.seed",
        "generator.width",
        "discriminator.width",
        "max_epochs",
    ]


@given(data=st.data(), keys=KEYS)
def test_names_are_safe_and_do_not_depend_on_the_order(data: st.DataObject, keys: list[str]) -> None:
    changes = {key: data.draw(VALUES) for key in keys}
    name = job_name(changes)
    assert job_name({key: changes[key] for key in reversed(keys)}) == name
    assert re.fullmatch(r"[\w.,=+~-]+", name)
    assert Path(name).name == name
    assert not name.startswith(("-", "."))
    assert not name.endswith(".")
    assert len(name) <= MAX_LENGTH


@given(data=st.data(), keys=KEYS)
def test_other_values_have_another_name(data: st.DataObject, keys: list[str]) -> None:
    one, other = ({key: data.draw(VALUES) for key in keys} for _ in range(2))
    assert (job_name(one) == job_name(other)) == (one == other)


def test_values_that_would_read_the_same_have_different_names() -> None:
    pairs = [{"a": "1,b=2", "b": "3"}, {"a": "1", "b": "2,b=3"}, {"a": "[1]", "b": "3"}, {"a": "(1)", "b": "3"}]
    pairs += [{"a": "x" * 100 + end, "b": "3"} for end in "12"]
    assert len({job_name(changes) for changes in pairs}) == len(pairs)
