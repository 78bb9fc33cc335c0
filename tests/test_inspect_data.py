"""cyclegan-data: what it prints, and the codes with which it ends."""

import http.client
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cyclegan.data.catalog import BASE_URL, CATALOG
from cyclegan.inspect_data import build_parser, main
from tests.data.archive_server import TINY, packed, pictures, serving


@pytest.fixture(autouse=True)
def tiny_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOG, "tiny", TINY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_download_puts_a_data_set_below_the_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(packed(pictures())) as server:
        main(["download", "tiny", "--root", str(tmp_path), "--base-url", server.url])
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
        main(["download", *words, "--root", str(tmp_path)])
    text = str(ended.value.code)  # a text as the code: Python prints it and ends with status 1
    assert text.startswith(f"cyclegan-data: {message}")
    assert "\n" not in text


def test_interrupted_it_keeps_what_came_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(response: http.client.HTTPResponse) -> Iterator[bytes]:
        yield response.read(1000)
        raise KeyboardInterrupt

    with serving(packed(pictures())) as server:
        words = ["download", "tiny", "--root", str(tmp_path), "--base-url", server.url]
        with monkeypatch.context() as during:
            during.setattr("cyclegan.data.fetch.chunks", interrupted)
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
    assert (args.root, args.base_url, args.retries, args.timeout) == (Path("data"), BASE_URL, 5, 30.0)


@pytest.mark.parametrize(
    "words", [[], ["download"], ["download", "tiny", "--retries", "-1"], ["download", "tiny", "--timeout", "0"]]
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
        "from cyclegan.inspect_data import main\n"
        "main(['download', '--list'])\n"
        "main(['download', '--help'])\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "--base-url URL" in answer.stdout
