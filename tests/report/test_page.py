"""HTML of the report pages, and their first, latest and best values; test_browser.py opens them in a browser."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cyclegan.report.page import Summary, label, number, summarise, write_curve, write_report
from cyclegan.report.run_files import Row
from tests.report.run_folders import EVIL, write_evil_run, write_run


class Page(HTMLParser):
    """Elements of a page, and its text outside of scripts with single spaces."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(file.read_text(encoding="utf-8"))
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            self.text += data + " "

    def find(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_the_report_shows_metrics_alarms_and_files(tmp_path: Path) -> None:
    file = write_report(write_run(tmp_path / "toy"))
    assert file == tmp_path / "toy" / "report.html"
    text = Page(file).text
    assert "toy epoch 4 · 40 images of each domain" in text
    assert "PSNR, dB · A→B 15 18 ↑ 3 better 19 2 " in text  # first, latest, change, best at epoch
    assert "KID · A→B 0.2 0.08 ± 0.01 ↓ 0.12 better 0.08 4" in text
    assert "PSNR, dB · untouched input · A→B 14.2 14.2 = 0" in text
    assert "identity 3 active" in text
    assert "Model selection: on test." in text
    assert "name: toy seed: 3" in text
    assert '"Python": "3.12.1"' in text


@pytest.mark.parametrize("file", ["metrics.csv", "config.yaml"])
def test_the_section_of_a_missing_file_is_omitted(tmp_path: Path, file: str) -> None:
    run = write_run(tmp_path / "toy")
    (run / file).unlink()
    text = Page(write_report(run)).text
    assert file not in text.replace("metrics.csv holds no rows yet", "")
    assert ("PSNR" in text) == (file != "metrics.csv")


def test_an_empty_folder_has_a_report(tmp_path: Path) -> None:
    assert Page(write_report(tmp_path)).text.endswith("metrics.csv holds no rows yet.")


def test_the_page_loads_nothing_from_the_network(tmp_path: Path) -> None:
    page = Page(write_report(write_run(tmp_path / "toy", epochs=30)))
    linked = [value for _, attributes in page.elements for name, value in attributes.items() if name in ("src", "href")]
    assert len(linked) == 1 + 24  # the icon, and evenly spaced sample grids
    assert all(value and value.startswith("data:") for value in linked)
    images = page.find("img")
    assert [image["data-epoch"] for image in (*images[:3], images[-1])] == ["0", "1", "2", "30"]
    assert ["hidden" in image for image in images] == [True] * 23 + [False]


def test_names_and_texts_are_escaped(tmp_path: Path) -> None:
    file = write_report(write_evil_run(tmp_path))
    page = Page(file)
    assert len(page.find("script")) == 1 + 6 + 1  # plotly, charts, slider
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert page.text.count(EVIL) >= 5  # three files, a metric, an alarm
    assert not re.search(r"document\.title = 'evil'</script>", file.read_text())


def test_small_numbers_have_two_digits() -> None:
    shown = [number(value) for value in (1234.567, 0.0123456, -0.00041094, -1.23456e-12, 0.0)]
    assert shown == ["1235", "0.01235", "−0.00041", "−1.2e−12", "0"]


def test_the_curve_page_compares_checkpoints(tmp_path: Path) -> None:
    rows = [
        {"images": 20, "epoch": 2.0, "psnr_ab": 18.0, "kid_ab": float("nan")},
        {"images": 10, "epoch": 1.0, "psnr_ab": 16.0, "kid_ab": 0.2, "mine": 3.0},
    ]
    page = Page(write_curve(rows, tmp_path / "curve.html", "Checkpoints of <toy>"))
    assert page.text.startswith("Checkpoints of <toy> Checkpoints of <toy> epoch 2 · 20 images")
    assert "PSNR, dB · A→B 16 18 ↑ 2 better 18 2" in page.text
    assert "mine 3 3 = 0" in page.text
    assert len(page.find("figure")) == 3


def summaries(**histories: list[float]) -> dict[str, Summary]:
    """Summarise metrics measured at epochs 0, 2, 4 and so on, of 10 images each."""
    length = max(map(len, histories.values()))
    rows = [
        Row(20 * i, 2.0 * i, {f"val/{name}": values[i] for name, values in histories.items() if i < len(values)})
        for i in range(length)
    ]
    return {summary.label: summary for summary in summarise([Row(5, 0.5, {"train/adv_ab": 1.0}), *rows])}


@pytest.mark.parametrize(
    ("column", "values", "verdict", "best", "epoch"),
    [
        ("psnr", [15.0, 19.0, 18.0], "better", 19.0, 2.0),
        ("ssim_ab", [0.6, 0.5], "worse", 0.5, 2.0),  # epoch 0 has no checkpoint
        ("fid_ba", [80.0, 90.0, 95.0], "worse", 90.0, 2.0),
        ("cycle_a", [0.3, 0.3], "", 0.3, 2.0),
        ("psnr_copied_ab", [0.2, 0.4], "", None, None),
    ],
)
def test_first_latest_and_best(
    column: str, values: list[float], verdict: str, best: float | None, epoch: float | None
) -> None:
    found = summaries(**{column: values})[label(column)]
    assert (found.first, found.latest) == (values[0], values[-1])
    assert (found.verdict, found.best, found.best_epoch) == (verdict, best, epoch)


def test_the_spread_of_the_latest_value_stands_beside_it() -> None:
    found = summaries(kid_ab=[0.2, 0.1], kid_spread_ab=[0.02, 0.01], kid_ba=[0.3, 0.2], kid_spread_ba=[0.03], kid=[0.2])
    assert {name: summary.spread for name, summary in found.items()} == {
        "KID · A→B": 0.01,
        "KID · B→A": None,  # not measured with the latest value
        "KID": None,
    }


def test_metrics_are_in_the_order_of_the_catalogue() -> None:
    assert list(summaries(mine=[1.0], cycle=[1.0], psnr_ab=[1.0])) == ["PSNR, dB · A→B", "Cycle L1", "mine"]


def test_labels() -> None:
    assert label("d_real_a") == "Discriminator score · of real images · A"
    assert label("ssim_photo_map") == "SSIM · photo_map"
