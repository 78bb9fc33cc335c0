"""cyclegan-data: what it prints, and the codes with which it ends."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cyclegan.data_tool import build_parser, main
from cyclegan.datasets.catalog import BASE_URL, CATALOG
from cyclegan.images import write
from tests.datasets.archive_server import TINY, images, packed, serving
from tests.inspection.alone import Alone


@pytest.fixture(autouse=True)
def tiny_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOG, "tiny", TINY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_download_puts_a_data_set_below_the_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(packed(images())) as server:
        main(["download", "tiny", "--output", str(tmp_path), "--base-url", server.url])
    assert len(list((tmp_path / "tiny/trainA").iterdir())) == 3
    out, err = capsys.readouterr()
    assert out.startswith(f"fetching tiny (0 MB) from {server.url}/tiny.zip to {tmp_path / 'tiny'}\nDrawn here. No lic")
    assert err == ""  # no terminal, no bar


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hors2zebra"], "no data set is called hors2zebra; did you mean horse2zebra?"),
        (["tiny", "--base-url", "ftp://somewhere"], "ftp://somewhere/tiny.zip cannot be fetched"),
    ],
)
def test_an_error_is_one_line_and_ends_with_status_1(tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["download", *words, "--output", str(tmp_path)])
    text = str(ended.value.code)  # a text as the code: Python prints it and ends with status 1
    assert text.startswith(f"cyclegan-data: {message}")
    assert "\n" not in text


def test_interrupted_it_keeps_what_came_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(response: http.client.HTTPResponse) -> Iterator[bytes]:
        yield response.read(1000)
        raise KeyboardInterrupt

    with serving(packed(images())) as server:
        words = ["download", "tiny", "--output", str(tmp_path), "--base-url", server.url]
        with monkeypatch.context() as during:
            during.setattr("cyclegan.datasets.fetch.chunks", interrupted)
            with pytest.raises(SystemExit) as ended:
                main(words)
        assert ended.value.code == 130
        assert f"{tmp_path / '.tiny.zip.part'}; the same command goes on from there" in capsys.readouterr().err
        main(words)
        assert server.requests[-1]["Range"] == "bytes=1000-"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_list_shows_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    main(["download", "--list"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CATALOG) + 2
    assert lines[1].split()[:9] == ["horse2zebra", "117", "1067", "/", "1334", "/", "120", "/", "140"]
    assert "No licence" in lines[-1]


def test_the_defaults() -> None:
    args = build_parser().parse_args(["download", "horse2zebra"])
    assert (args.output, args.base_url, args.retries, args.timeout) == (Path("data"), BASE_URL, 5, 30.0)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["download"],
        ["download", "tiny", "--retries", "-1"],
        ["download", "tiny", "--timeout", "0"],
        ["check"],
        ["check", "data", "--num-workers", "0"],
        ["check", "data", "--convert", "alpha,blue"],
        ["check", "data", "--load-size", "small"],
        ["prepare", "data"],
        ["prepare", "data", "out", "--format", "gif"],
        ["prepare", "data", "out", "--quality", "101"],
    ],
)
def test_a_wrong_command_line_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: cyclegan-data" in capsys.readouterr().err


def test_help_and_list_do_not_wait_for_torch() -> None:
    program = (
        "import sys\n"
        "sys.modules['torch'] = None  # an import of it now raises\n"
        "from cyclegan.data_tool import main\n"
        "main(['download', '--list'])\n"
        "main(['download', '--help'])\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "--base-url URL" in answer.stdout


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclegan.inspection.scan.Crew", Alone)
    monkeypatch.setattr("cyclegan.inspection.resize.Crew", Alone)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images of 20×20 in each domain's train folder, all different."""
    for seed, name in enumerate(("trainA/0", "trainA/1", "trainB/0", "trainB/1")):
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        write(pixels, tmp_path / f"set/{name}.png")
    return tmp_path / "set"


def test_check_of_a_faultless_set_ends_with_0(root: Path, alone: None, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", str(root)])
    out, err = capsys.readouterr()
    assert out.startswith(f"{root}: 4 images, each decoded completely, in ")
    assert out.endswith("no problem found\n")
    assert err == ""


def test_check_of_a_set_with_problems_ends_with_1(
    root: Path, alone: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "testA").mkdir()
    (root / "testA/seen.png").write_bytes((root / "trainA/1.png").read_bytes())
    with pytest.raises(SystemExit) as ended:
        main(["check", str(root), "--json", str(tmp_path / "report.json")])
    assert ended.value.code == 1
    assert "testA/seen.png = trainA/1.png" in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    assert [problem["kind"] for problem in report["problems"]] == ["leak"]


def test_json_alone_goes_to_stdout(root: Path, alone: None, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", str(root), "--json", "-"])
    report = json.loads(capsys.readouterr().out)
    assert report["ok"]
    assert report["folders"]["trainB"]["sizes"] == {"20x20": 2}


def test_what_training_will_be_told_counts(root: Path, alone: None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", str(root), "--load-size", "none", "--crop-size", "21", "--channels", "1", "--json", "-"])
    assert ended.value.code == 1
    problems = {problem["kind"]: problem["count"] for problem in json.loads(capsys.readouterr().out)["problems"]}
    assert problems == {"unsuitable": 4, "too_small": 4}
    main(["check", str(root), "--load-size", "none", "--crop-size", "20", "--channels", "1", "--convert", "grey,alpha"])


def test_what_cannot_be_checked_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", str(tmp_path / "nowhere")])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"cyclegan-data: {tmp_path}/nowhere does not exist")


def test_prepare_says_how_to_train(root: Path, alone: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small set"
    main(["prepare", str(root), str(out), "--load-size", "10", "--resize", "width"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("4 images: 0.0 MB below ")
    assert lines[-1] == (
        f"train on it: cyclegan-train experiment=folders 'data.root={out}' data.load_size=10 data.resize=width "
        "data.crop_size=8"
    )
    main(["prepare", str(root), str(out), "--load-size", "10", "--resize", "width"])
    assert capsys.readouterr().out.startswith("4 images, of which 4 were there: ")


def test_prepare_says_how_to_train_on_pairs_and_other_channels(
    root: Path, alone: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["prepare", str(root), str(tmp_path / "out"), "--pairs", "--channels", "1", "--convert", "grey"])
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"train on it: cyclegan-train experiment=folders data=pairs data.root={tmp_path / 'out'} data.load_size=286 "
        "data.domains.A.channels=1 data.domains.B.channels=1"
    )


def test_images_over_the_limit_are_no_broken_ones_and_the_limit_can_be_raised(
    root: Path, alone: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scan of many megapixels is what `prepare` is for."""
    with pytest.raises(SystemExit):
        main(["check", str(root), "--crop-size", "4", "--max-pixels", "10"])
    told = capsys.readouterr().out
    assert "4 images cannot be read as asked" in told
    assert "broken" not in told
    with pytest.raises(SystemExit):
        main(["prepare", str(root), str(tmp_path / "out"), "--max-pixels", "10"])
    assert "0 images" in capsys.readouterr().out
    main(["prepare", str(root), str(tmp_path / "out"), "--max-pixels", "1000000"])
    assert capsys.readouterr().out.startswith("4 images: ")


def test_prepare_names_broken_images_and_ends_with_1(
    root: Path, alone: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "trainA/1.png").write_bytes(b"")
    words = ["prepare", str(root), str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert out.startswith("3 images: ")
    assert f"  {root}/trainA/1.png: 0 bytes" in err
    assert "1 image could not be read" in err
    main([*words, "--on-error", "skip"])
    assert "left out 1 image\n" in capsys.readouterr().out


def test_prepare_refuses_in_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["prepare", str(root), str(root / "small")])
    text = str(ended.value.code)
    assert text.startswith(f"cyclegan-data: {root}/small is {root} or lies in it")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check"], "interrupted"),
        (["prepare", "OUT"], "interrupted; what is done is kept, the same command goes on from there"),
    ],
)
def test_ctrl_c_ends_all_processes_without_a_word_of_theirs(
    root: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    # As the terminal does, to this process and all that it started, once they are at work.
    program = (
        "import os, signal, sys\n"
        "from cyclegan import data_tool\n"
        "def interrupted(results, total):\n"
        "    for result in results:\n"
        "        os.killpg(0, signal.SIGINT)\n"
        "        yield result\n"
        "data_tool.bar = interrupted\n"
        "data_tool.main(sys.argv[1:])\n"
    )
    command, *rest = words
    paths = [str(root), *(str(tmp_path / "out") for _ in rest)]
    ended = subprocess.run(
        [sys.executable, "-c", program, command, *paths, "--num-workers", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        start_new_session=True,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", f"\ncyclegan-data: {said}\n")


def test_a_reader_that_has_read_enough_is_no_error(root: Path) -> None:
    program = f"{sys.executable} -m cyclegan.data_tool check {root} --num-workers 1 | true"
    ended = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert ended.stderr == ""
