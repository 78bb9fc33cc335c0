"""Output and exit codes of cyclegan-data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cyclegan.data_tool import main
from cyclegan.datasets.catalog import CATALOG
from tests.data.image_folders import image_folder
from tests.datasets.archive_server import TINY, serving
from tests.inspection.conftest import patch_process_map


@pytest.fixture(autouse=True)
def tiny_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOG, "tiny", TINY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_download(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        main(["download", "tiny", "--output", str(tmp_path), "--base-url", server.url])
    assert len(list((tmp_path / "tiny/trainA").iterdir())) == 3
    out, err = capsys.readouterr()
    assert out.splitlines()[1].startswith("Drawn here. The archives come without a licence")
    assert err == "", "without a terminal, there is no progress bar"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hors2zebra"], "no data set is called hors2zebra; did you mean horse2zebra?"),
        (["tiny", "--base-url", "ftp://somewhere"], "ftp://somewhere/tiny.zip cannot be downloaded"),
    ],
)
def test_an_error_is_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["download", *words, "--output", str(tmp_path)])
    text = str(ended.value.code)  # a text as the code: Python prints it and exits with status 1
    assert text.startswith(f"cyclegan-data: {message}")
    assert "\n" not in text


def test_list_shows_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    main(["download", "--list"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CATALOG) + 2
    assert lines[1].split()[:9] == ["horse2zebra", "117", "1067", "/", "1334", "/", "120", "/", "140"]


@pytest.mark.parametrize(
    "words",
    [
        ["download"],
        ["download", "tiny", "--timeout", "0"],
        ["check", "data", "--convert", "alpha,blue"],
        ["check", "data", "--load-size", "small"],
        ["prepare", "data", "out", "--quality", "101"],
    ],
)
def test_an_invalid_command_line_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: cyclegan-data" in capsys.readouterr().err


def test_help_and_list_do_not_import_torch() -> None:
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
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    patch_process_map(monkeypatch)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return image_folder(tmp_path / "set", 20, 20, trainA=2, trainB=2)


def test_check_without_problems_exits_with_0(root: Path, in_process: None, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", str(root)])
    out, err = capsys.readouterr()
    assert out.startswith(f"{root}: 4 images decoded in ")
    assert out.endswith("no problem found\n")
    assert err == ""


def test_check_with_problems_exits_with_1(
    root: Path, in_process: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "testA").mkdir()
    (root / "testA/seen.png").write_bytes((root / "trainA/1.png").read_bytes())
    with pytest.raises(SystemExit) as ended:
        main(["check", str(root), "--json", str(tmp_path / "report.json")])
    assert ended.value.code == 1
    assert "testA/seen.png = trainA/1.png" in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    assert [problem["kind"] for problem in report["problems"]] == ["leak"]


def test_json_to_stdout_is_the_only_output(root: Path, in_process: None, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", str(root), "--json", "-"])
    report = json.loads(capsys.readouterr().out)
    assert report["ok"]
    assert report["folders"]["trainB"]["sizes"] == {"20x20": 2}


def test_check_uses_the_settings_of_training(root: Path, in_process: None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", str(root), "--load-size", "none", "--crop-size", "21", "--channels", "1", "--json", "-"])
    assert ended.value.code == 1
    problems = {problem["kind"]: problem["count"] for problem in json.loads(capsys.readouterr().out)["problems"]}
    assert problems == {"unsuitable": 4, "too_small": 4}
    main(["check", str(root), "--load-size", "none", "--crop-size", "20", "--channels", "1", "--convert", "grey,alpha"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["NOWHERE"], "/nowhere does not exist"),
        (["ROOT", "--json", "NOWHERE/x.json"], "/nowhere/x.json: its folder does not exist"),
        (["ROOT", "--range", "1", "0"], "range"),
    ],
)
def test_invalid_arguments_of_check_exit_with_2(
    root: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [word.replace("NOWHERE", f"{tmp_path}/nowhere").replace("ROOT", str(root)) for word in words]
    with pytest.raises(SystemExit) as ended:
        main(["check", *paths])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("--load-size 10 --resize width", "data.root=OUT data.load_size=10 data.resize=width data.crop_size=8"),
        (
            "--pairs --channels 1 --convert grey",
            "data=pairs data.root=OUT data.load_size=286 data.domains.A.channels=1 data.domains.B.channels=1",
        ),
    ],
)
def test_prepare_prints_the_training_command(
    root: Path, in_process: None, tmp_path: Path, words: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small"
    main(["prepare", str(root), str(out), *words.split()])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"4 images in {out}"
    assert lines[-1] == f"train on it: cyclegan-train experiment=folders {command.replace('OUT', str(out))}"
    main(["prepare", str(root), str(out), *words.split()])
    assert capsys.readouterr().out.startswith(f"4 images in {out}, 4 of them unchanged\n")


def test_images_above_max_pixels_are_not_broken_and_the_limit_can_be_raised(
    root: Path, in_process: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["check", str(root), "--crop-size", "4", "--max-pixels", "10"])
    report = capsys.readouterr().out
    assert "images that cannot be read in this format: 4" in report
    assert "broken" not in report
    with pytest.raises(SystemExit):
        main(["prepare", str(root), str(tmp_path / "out"), "--max-pixels", "10"])
    assert capsys.readouterr().out.startswith("0 images in ")
    main(["prepare", str(root), str(tmp_path / "out"), "--max-pixels", "1000000"])
    assert capsys.readouterr().out.startswith("4 images in ")


def test_prepare_reports_broken_images_and_exits_with_1(
    root: Path, in_process: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "trainA/1.png").write_bytes(b"")
    words = ["prepare", str(root), str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert out == f"3 images in {tmp_path / 'out'}\n"
    assert f"  {root}/trainA/1.png: 0 bytes" in err
    assert "skipped 1 image that could not be read" in err
    main([*words, "--on-error", "skip"])
    assert "train on it: " in capsys.readouterr().out


def test_ctrl_c_ends_all_processes_silently(root: Path) -> None:
    # The signal goes to this process and all that it started, as from a terminal, once they are at work.
    program = (
        "import os, signal, sys\n"
        "from cyclegan import data_tool\n"
        "from cyclegan.inspection import pool\n"
        "def interrupted(results, **_):\n"
        "    for result in results:\n"
        "        os.killpg(0, signal.SIGINT)\n"
        "        yield result\n"
        "pool.tqdm = interrupted\n"
        "data_tool.main(sys.argv[1:])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "check", str(root), "--num-workers", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        start_new_session=True,
    )
    message = "\ncyclegan-data: interrupted; download and prepare resume with the same command\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", message)
