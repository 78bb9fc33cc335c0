from pathlib import Path

import pytest

from cyclegan.datasets.catalog import CATALOG, find
from cyclegan.errors import DataError

CONF = Path(__file__).parents[2] / "conf" / "data"


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_counts_and_folder_equal_those_in_conf(name: str) -> None:
    text = (CONF / f"{name}.yaml").read_text(encoding="utf-8")
    counts = " / ".join(str(count) for count in find(name).counts.values())
    assert text.startswith(f"# {counts} images in ")
    assert f"\nroot: data/{name}\n" in text


def test_every_published_set_in_conf_is_in_the_catalogue() -> None:
    assert {path.stem for path in CONF.glob("*.yaml")} - {"folders", "pairs", "toy", "toy_pairs"} == set(CATALOG)


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        ("hors2zebra", r"did you mean horse2zebra\?.*facades"),
        ("Horse2Zebra", r"did you mean horse2zebra\?"),
        ("summer2winter", r"did you mean summer2winter_yosemite\?"),
        ("cityscapes_2048", r"called cityscapes_2048\. The catalogue holds horse2zebra, "),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_and_the_catalogue(wrong: str, answer: str) -> None:
    with pytest.raises(DataError, match=answer):
        find(wrong)
