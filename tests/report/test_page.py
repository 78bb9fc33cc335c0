"""The page as it is written; how a browser shows it is in test_browser.py."""

import json
import re
from pathlib import Path

import pytest

from cyclegan.report.page import lines, number, write_curve, write_report
from tests.report.run_folders import Page, write_run, write_table

SECTIONS = ["alarms", "main", "curves", "samples", "metrics", "config", "environment"]


def chart_data(file: Path) -> dict[str, dict[str, list[dict[str, object]]]]:
    """The JSON that the page's script reads, cut out as a browser would: up to the first end tag."""
    found = re.search('<script type="application/json" id="chart-data">(.*?)</script', file.read_text(), re.DOTALL)
    assert found
    data = json.loads(found[1])
    assert isinstance(data, dict)
    return data


def test_small_numbers_have_two_digits() -> None:
    shown = [number(value) for value in (1234.567, 0.0123456, -0.00041094, -1.23456e-12, 0.0)]
    assert shown == ["1235", "0.01235", "−0.00041", "−1.2e−12", "0"]


def test_every_section_in_order_with_the_runs_numbers(tmp_path: Path) -> None:
    file = write_report(write_run(tmp_path / "toy"))
    assert file == tmp_path / "toy" / "report.html"
    page = Page(file)
    assert [section["id"] for section in page.find("section")] == SECTIONS
    assert "toy epoch 4 · 40 images of each domain" in page.text["header"]
    # 15 at first, 18 now, best 19 at epoch 2
    assert "PSNR, dB · A→B 18 ↑ 3 better from 15, epoch 0 best 19, epoch 2" in page.text["main"]
    assert "KID · A→B 0.08 ± 0.01 ↓ 0.12 better from 0.2, epoch 0" in page.text["main"]
    assert "PSNR, dB · A→B 15 18 ↑ 3 better 19 2 " in page.text["metrics"]
    assert "PSNR, dB · copied · A→B 14.2 14.2 = 0" in page.text["metrics"]
    assert "Variety of the outputs, 1 as real ones · A→B 0.5 0.5" in page.text["metrics"]
    assert "network inception" in page.text["metrics"]
    assert "name: toy seed: 3" in page.text["config"]
    assert "Python 3.12.1" in page.text["environment"]
    assert "missing" not in " ".join(page.text[section] for section in SECTIONS)


def test_model_selection_on_test_images_stands_below_the_main_metrics(tmp_path: Path) -> None:
    run = write_run(tmp_path / "toy")
    assert "Model selection" not in Page(write_report(run)).text["main"]
    (run / "validation" / "protocol.json").write_text(json.dumps({"selection": "on test images"}))
    assert "Model selection: on test images." in Page(write_report(run)).text["main"]


def test_the_charts_hold_what_was_measured(tmp_path: Path) -> None:
    file = write_report(write_run(tmp_path / "toy"))
    data = chart_data(file)
    assert list(data) == ["val-0-psnr", "val-0-kid", "val-0-variety", "train-0-adv", "lr"]
    assert data["val-0-psnr"]["data"][0]["y"] == [15.0, 17.0, 19.0, 18.5, 18.0]
    drawn = [element["id"] for element in Page(file).find("div") if element.get("class") == "plot"]
    assert drawn == list(data)


def test_an_active_alarm_stands_first_and_a_cleared_one_in_the_history_only(tmp_path: Path) -> None:
    text = Page(write_report(write_run(tmp_path / "toy"))).text["alarms"]
    prominent, history = text.split("History, 3 entries")
    assert "identity rises since epoch 3, 30 images" in prominent
    assert "checkerboard" not in prominent
    assert "4 40 checkerboard cleared gone 3 30 identity raised identity rises 2 20 checkerboard raised" in history


@pytest.mark.parametrize(
    ("removed", "section", "says"),
    [
        ("metrics.csv", "header", "metrics.csv is missing"),
        ("metrics.csv", "main", "no metrics of a validation"),
        ("metrics.csv", "curves", "holds no losses"),
        ("alarms.jsonl", "alarms", "No alarm has been raised"),
        ("metrics.csv", "alarms", "Nothing was measured"),
        ("validation/protocol.json", "metrics", "validation/protocol.json is missing"),
        ("config.yaml", "config", "config.yaml is missing"),
        ("environment.json", "environment", "environment.json is missing"),
    ],
)
def test_a_section_whose_file_is_missing_says_so(tmp_path: Path, removed: str, section: str, says: str) -> None:
    run = write_run(tmp_path / "toy")
    assert says not in Page(write_report(run)).text[section]
    if says == "Nothing was measured":  # which a run without validations does not tell twice
        (run / "alarms.jsonl").unlink()
    (run / removed).unlink()
    assert says in Page(write_report(run)).text[section]


def test_a_run_that_has_only_begun_has_a_report(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path))
    assert [section["id"] for section in page.find("section")] == SECTIONS
    assert "holds no sample grid" in page.text["samples"]


def test_damaged_rows_are_counted_on_the_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "toy")
    assert "damaged" not in Page(write_report(run)).text["curves"]
    with (run / "metrics.csv").open("a") as file:
        file.write("50,")
    assert "1 damaged line of metrics.csv passed over." in Page(write_report(run)).text["curves"]


def test_all_images_are_inside_and_thinning_is_said(tmp_path: Path) -> None:
    page = Page(write_report(write_run(tmp_path / "long", epochs=50)))
    images = page.find("img")
    assert len(images) == 40
    assert (images[0]["data-epoch"], images[-1]["data-epoch"]) == ("0", "50")
    assert "40 of 51 grids, evenly chosen" in page.text["samples"]
    assert all((image["src"] or "").startswith("data:image/jpeg;base64,") for image in images)
    assert all(image["alt"] for image in images)
    assert ["hidden" in image for image in images] == [True] * 39 + [False]
    (slider,) = page.find("input")
    assert (slider["min"], slider["max"], slider["value"]) == ("0", "39", "39")


def test_nothing_is_fetched_from_anywhere(tmp_path: Path) -> None:
    page = Page(write_report(write_run(tmp_path / "toy")))
    linked = [value for _, attributes in page.elements for name, value in attributes.items() if name in ("src", "href")]
    assert linked
    assert all(value and value.startswith(("data:", "#")) for value in linked)
    assert all("src" not in script for script in page.find("script"))
    (policy,) = [meta["content"] for meta in page.find("meta") if meta.get("http-equiv")]
    assert policy
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy


EVIL = "</script><script>window.evil = 1</script><img src=x onerror='window.evil=1'>&\"{{ 7 * 7 }}"


def write_evil_run(folder: Path) -> Path:
    """A run whose every text tries to be code."""
    run = write_run(folder / "<b>run & 'co'")
    (run / "config.yaml").write_text(f"name: {EVIL}\n")
    (run / "environment.json").write_text(json.dumps({EVIL: EVIL}))
    (run / "validation" / "protocol.json").write_text(json.dumps({EVIL: {EVIL: [EVIL]}}))
    alarm = {"images": 1, "epoch": 1, "alarm": EVIL, "state": "raised", "text": EVIL}
    (run / "alarms.jsonl").write_text(json.dumps(alarm) + "\n")
    name = EVIL.replace("/", "|").replace("_", "-").replace("|", "/")
    write_table(run / "metrics.csv", [{"images_seen": 1, "epoch": 1.0, f"val/{name}": 1.0, f"train/adv_{name}": 2.0}])
    return run


def test_names_are_text_and_never_code(tmp_path: Path) -> None:
    page = Page(write_report(write_evil_run(tmp_path)))
    plain = Page(write_report(write_run(tmp_path / "toy")))
    assert len(page.find("script")) == len(plain.find("script"))
    assert len(page.find("img")) == len(plain.find("img"))
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert "<b>run & 'co'" in page.text["header"]
    for section in ("alarms", "metrics", "config", "environment", "curves"):
        assert "</script><script>window.evil = 1</script>" in page.text[section], section
        assert "{{ 7 * 7 }}" in page.text[section], section


def test_names_in_a_charts_json_do_not_end_the_script(tmp_path: Path) -> None:
    file = write_report(write_evil_run(tmp_path))
    names = [trace["name"] for chart in chart_data(file).values() for trace in chart["data"]]
    # Escaped once more, as plotly takes names for a kind of HTML.
    assert any("&lt;/script&gt;" in str(name) for name in names)
    assert not any("<" in str(name) for name in names)


def test_a_nested_record_becomes_lines() -> None:
    record = {"a": {"b": 1234, "c": {"d": True}}, "list": [1.5, "x"], "many": [{"n": None}], "empty": {}}
    assert list(lines(record)) == [
        (0, "a", None),
        (1, "b", "1,234"),
        (1, "c", None),
        (2, "d", "yes"),
        (0, "list", "1.5, x"),
        (0, "many", None),
        (1, "1", None),
        (2, "n", "–"),
        (0, "empty", "–"),
    ]


def test_a_failure_leaves_the_earlier_report_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "toy")
    (run / "report.html").write_text("earlier")
    whole = Path.write_text

    def fill_up(path: Path, text: str, **arguments: str) -> int:
        whole(path, text[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fill_up)
    with pytest.raises(OSError, match="No space left"):
        write_report(run)
    assert (run / "report.html").read_text() == "earlier"
    assert list(run.glob(".*")) == []


def test_the_curves_of_several_checkpoints(tmp_path: Path) -> None:
    rows = [
        {"images": 20, "epoch": 2.0, "psnr_ab": 18.0, "kid_ab": float("nan")},
        {"images": 10, "epoch": 1.0, "psnr_ab": 16.0, "kid_ab": 0.2, "mine": 3.0},
    ]
    file = write_curve(rows, tmp_path / "curve.html", "Checkpoints of <toy>")
    data = chart_data(file)
    assert (data["val-0-psnr"]["data"][0]["x"], data["val-0-psnr"]["data"][0]["y"]) == ([10, 20], [16.0, 18.0])
    assert (data["val-0-kid"]["data"][0]["y"], data["val-0-mine"]["data"][0]["y"]) == ([0.2], [3.0])
    page = Page(file)
    assert "Checkpoints of <toy>" in page.text["header"]
    assert "PSNR, dB · A→B 16 18 ↑ 2 better 18 2" in page.text["metrics"]
