"""The catalogue agrees with the configuration that trains on its data sets."""

from pathlib import Path

import pytest

from cyclegan.datasets.catalog import CATALOG, UnknownDatasetError, find

CONF = Path(__file__).parents[2] / "conf" / "data"


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_counts_and_folder_are_those_of_the_configuration(name: str) -> None:
    text = (CONF / f"{name}.yaml").read_text(encoding="utf-8")
    counts = " / ".join(str(count) for count in find(name).counts.values())
    assert text.startswith(f"# {counts} images\n")
    assert f"\nroot: data/{name}\n" in text


def test_every_published_set_of_the_configuration_is_in_the_catalogue() -> None:
    assert {path.stem for path in CONF.glob("*.yaml")} - {"folders", "pairs", "toy"} == set(CATALOG)


def test_the_archive_is_named_after_the_set_and_the_counts_after_the_folders() -> None:
    horses = find("horse2zebra")
    assert horses.archive == "horse2zebra.zip"
    assert horses.counts == {"trainA": 1067, "trainB": 1334, "testA": 120, "testB": 140}
    assert "ImageNet" in horses.licence
    assert "No licence" in horses.licence


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("hors2zebra", "horse2zebra"), ("Horse2Zebra", "horse2zebra"), ("summer2winter", "summer2winter_yosemite")],
)
def test_a_misspelt_name_is_answered_with_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(UnknownDatasetError, match=rf"called {wrong}; did you mean {right}\?.*facades"):
        find(wrong)


def test_a_name_like_none_is_answered_with_the_catalogue_alone() -> None:
    with pytest.raises(UnknownDatasetError, match=r"called cityscapes_2048\. The catalogue holds horse2zebra, "):
        find("cityscapes_2048")
