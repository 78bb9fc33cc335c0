"""The page and the tables of a sweep; test_browser.py opens the page in a browser."""

import base64
import csv
import json
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cyclegan.sweep.command import main
from cyclegan.sweep.record import Job, write_job
from cyclegan.sweep.summary import SAMPLE_WIDTH, jobs_table, write_summary
from tests.report.test_page import Page
from tests.sweep.sweep_folders import add_job, write_sweep
from tests.sweep.test_record import write_config


def read_csv(page: Path) -> dict[str, dict[str, str]]:
    """Read summary.csv by the jobs' names."""
    with page.with_suffix(".csv").open(newline="") as file:
        return {row["job"]: row for row in csv.DictReader(file)}


def test_the_csv_has_values_objective_metrics_and_speed_of_each_job(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    add_job(sweep, {"model.loss_weights.identity": "0.5", "seed": "1"}, 0.2, name="identity=0.5,seed=1")
    add_job(sweep, {"model.loss_weights.identity": "5", "seed": "1"}, 0.4, "failed", "no memory", name="other")
    rows = read_csv(write_summary(sweep))
    row = rows["identity=0.5,seed=1"]
    assert (row["model.loss_weights.identity"], row["seed"], row["state"]) == ("0.5", "1", "done")
    assert (row["objective"], row["seconds"], row["images_per_s"]) == ("0.2", "3900.0", "110.0")  # the median
    assert (row["val/kid:best"], row["val/kid:best_epoch"], row["val/kid:last"]) == ("0.2", "2.0", str(0.2 + 0.1))
    assert (row["val/psnr_ab:best"], row["val/psnr_ab:best_epoch"]) == ("19.8", "2.0")  # higher is better
    assert row["val/change_ab:last"] == "0.5"
    assert "val/change_ab:best" not in row
    assert (rows["other"]["objective"], rows["other"]["message"]) == ("0.4", "no memory")  # as far as it came


def test_the_page_shows_the_jobs_and_marks_the_best_of_those_that_are_done(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    for identity, kid in (("0", 0.4), ("0.5", 0.3), ("5", 0.35)):
        add_job(sweep, {"identity": identity}, kid)
    add_job(sweep, {"identity": "10"}, 0.01, "running")
    (sweep / "identity=5" / "report.html").unlink()
    page = Page(write_summary(sweep))
    assert "3 done · 1 running · objective: KID, best, lower is better Best: identity=0.5 , 0.3" in page.text
    assert "Job identity State Objective Time Images/s PSNR, dB · A→B KID identity=0" in page.text
    assert "identity=0.5 0.5 done 0.3 1 h 05 min 110 19.7 epoch 2, last 19.6 0.3 epoch 2, last 0.4" in page.text
    assert [row.get("class") for row in page.find("tr")[1:]] == [None, "best", None, None]
    assert [link["href"] for link in page.find("a")] == [f"identity%3D{i}/report.html" for i in ("0", "0.5", "10")]
    images = [image["src"] or "" for image in page.find("img")]
    assert len(images) == 4
    assert all(image.startswith("data:image/jpeg;base64,") for image in images)
    assert page.text.index("identity=10 epoch 3 · 0.01") < page.text.index("identity=0.5 epoch 3 · 0.3")


@pytest.mark.parametrize(
    ("metric", "value", "best"), [("val/psnr_ab", "best", "b"), ("val/kid", "last", "a"), ("train/adv_ab", "last", "a")]
)
def test_the_objective_is_that_of_the_sweep(tmp_path: Path, metric: str, value: str, best: str) -> None:
    sweep = write_sweep(tmp_path / "sweep", metric, value)
    for name, objective in (("a", 1.0), ("b", 2.0)):
        add_job(sweep, {"identity": name}, objective, name=name)
    assert f"Best: {best} ," in Page(write_summary(sweep)).text


def test_wide_sample_grids_are_scaled_down(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    job = add_job(sweep, {"seed": "1"}, 0.1)
    Image.new("RGB", (1000, 700)).save(job.folder / "samples" / "epoch0020.jpg")
    (job.folder / "samples" / "epoch0003.jpg").write_bytes(b"damaged")
    page = Page(write_summary(sweep))
    content = base64.b64decode((page.find("img")[0]["src"] or "").partition("base64,")[2])
    assert Image.open(BytesIO(content)).size == (SAMPLE_WIDTH, 280)
    (job.folder / "samples" / "epoch0020.jpg").write_bytes(b"damaged")
    assert Page(write_summary(sweep)).find("img") == []


def test_a_sweep_without_any_result_has_a_page(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    for seed in "01":
        job = add_job(sweep, {"seed": seed}, 0.1, "queued")
        (job.folder / "metrics.csv").unlink()
    text = Page(write_summary(sweep)).text
    assert "2 queued" in text
    assert "Best" not in text
    assert "Effects" not in text


@pytest.mark.parametrize(
    ("jobs", "figures"),
    [
        ([{"seed": "0"}, {"seed": "1"}], ["seed"]),
        ([{"lr": "1", "seed": "0"}, {"lr": "2", "seed": "1"}], ["lr"]),
        ([{"lr": "1", "b": "1"}, {"lr": "2", "b": "2"}], ["b", "lr", "b × lr KID, best"]),
        ([{"lr": "1", "b": "1"}, {"lr": "2", "b": "1"}], ["lr"]),
        ([{"lr": "1", "b": "1", "c": "x"}, {"lr": "2", "b": "2", "c": "y"}], ["b", "c", "lr", "b × c × lr KID, best"]),
    ],
)
def test_each_key_that_varies_has_a_chart(tmp_path: Path, jobs: list[dict[str, str]], figures: list[str]) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    for overrides in jobs:
        add_job(sweep, overrides, 0.1)
    page = Page(write_summary(sweep))
    assert f"Metric KID, best PSNR, dB · A→B, best {' '.join(figures)} " in page.text
    assert len(page.find("figure")) == 2 * len(figures) + len(jobs)  # of two metrics, and the samples


def test_the_first_chart_is_of_the_recorded_objective(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    for lr in "12":
        job = add_job(sweep, {"lr": lr}, 0.2)
        write_job(replace(job, objective=0.75))  # metrics.csv says 0.2
    templates = re.findall("<template>.*?</template>", write_summary(sweep).read_text(), re.DOTALL)
    assert ['"y":[0.75,0.75]' in template for template in templates] == [True, False]


def test_jobs_without_some_keys_or_metrics_are_left_out_of_the_charts_of_these(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    for overrides in ({"a": "1"}, {"a": "2"}, {"b": "1"}, {"b": "2"}):
        job = add_job(sweep, overrides, 0.1)
        if "b" in overrides:
            table = job.folder / "metrics.csv"
            table.write_text(table.read_text().replace("psnr", "fid"))
    options, charts = "KID, best PSNR, dB · A→B, best FID · A→B, best", ("a b", "a", "b")
    assert f"Metric {options} {' '.join(charts)} Samples" in Page(write_summary(sweep)).text


def test_importances_are_drawn_where_a_search_wrote_them(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    add_job(sweep, {"model.optimizer.lr": "1"}, 0.1, name="a")
    assert "Importance" not in Page(write_summary(sweep)).text
    (sweep / "importances.json").write_text(json.dumps({"model.optimizer.lr": 1.0}))
    assert "Importance share of the objective's variation" in Page(write_summary(sweep)).text


def test_folders_from_several_machines_are_one_sweep(tmp_path: Path) -> None:
    for machine, kid in (("here", 0.2), ("there", 0.1)):
        sweep = write_sweep(tmp_path / machine / "sweep")
        add_job(sweep, {"seed": kid.hex()}, kid, name=machine)
        add_job(sweep, {"seed": "0"}, kid)
    page = write_summary(tmp_path / "here/sweep", tmp_path / "there/sweep", output=tmp_path / "both")
    assert page == tmp_path / "both/summary.html"
    assert list(read_csv(page)) == ["here", "../here/sweep/seed=0", "../there/sweep/seed=0", "there"]
    assert Page(page).find("a")[0]["href"] == "../here/sweep/here/report.html"


@pytest.mark.parametrize(("objective", "values"), [(None, ["0.2", "0.1"]), ("val/psnr_ab", ["19.8", "19.9"])])
def test_runs_of_another_launcher_have_the_objective_of_their_configuration(
    tmp_path: Path, objective: str | None, values: list[str]
) -> None:
    for name, kid, seed in (("a", 0.2, 1), ("b", 0.1, 2)):
        write_config(tmp_path / name, 3, seed=seed, callbacks__checkpointing={"best": "kid"}, objective=objective)
        job = add_job(tmp_path / "elsewhere", {}, kid, name=name)
        (job.folder / "metrics.csv").replace(tmp_path / name / "metrics.csv")
    rows = read_csv(write_summary(tmp_path))
    assert [(row["job"], row["seed"]) for row in rows.values()] == [("a", "1"), ("b", "2")]
    assert [row["objective"] for row in rows.values()] == values


EVIL = "<img src=x onerror='document.title = \"evil\"'>&{{ 7 * 7 }}"


def test_names_values_and_messages_are_escaped(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "<b>sweep")
    for value, name in (("1", "a"), (EVIL, f"b{EVIL}")):
        add_job(sweep, {f"key{EVIL}": value, "other": value}, 0.1, message=EVIL, name=name)
    page = Page(write_summary(sweep))
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert page.text.count(EVIL) >= 6
    assert page.text.startswith("<b>sweep <b>sweep 2 done")


def test_the_table_shows_the_errors_of_failed_jobs() -> None:
    jobs = [
        Job(Path("runs/x/seed=0"), {}, "done", 3900.0, 0.01234),
        Job(Path("runs/x/seed=10"), {}, "failed", 12.0, None, "first line\nlast line"),
        Job(Path("runs/x/seed=2"), {}, "queued"),
    ]
    assert jobs_table(jobs).splitlines() == [
        "job      state     objective       time",
        "seed=0   done         0.0123 1 h 05 min",
        "seed=10  failed            –       12 s",
        "  first line",
        "  last line",
        "seed=2   queued            –          –",
    ]


def test_the_command_writes_the_summary_and_prints_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    add_job(sweep, {"seed": "1"}, 0.25)
    main(["summary", str(sweep)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [
        "seed=1  done         0.2500 1 h 05 min",
        f"files  {sweep / 'summary.html'}, {sweep / 'summary.csv'}",
    ]
    assert (sweep / "summary.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "missing: there is no such folder"),
        (["sweep", "empty"], "empty holds no jobs: none of its folders has a job.json or the config.yaml of a run"),
        (["sweep", "--output", "sweep/sweep.yaml"], "File exists"),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    add_job(write_sweep(Path("sweep")), {"seed": "1"}, 0.1)
    Path("empty").mkdir()
    with pytest.raises(SystemExit) as raised:
        main(["summary", *arguments])
    text: Any = raised.value.code
    assert text.startswith("cyclegan-sweep: ")
    assert message in text
    assert "\n" not in text
