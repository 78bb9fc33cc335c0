from pathlib import Path

import pytest

from cyclegan.data.sources.shard_files import are_shards, shard_files
from cyclegan.errors import DataError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ["a-000.tar", "a-001.tar", "a-010.tar", "b-000.tar", "deep/c.tar", ".hidden.tar"]:
        (tmp_path / "shards" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shards" / name).touch()
    (tmp_path / "shards/a-000.tar.index").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("shards", "a-000 a-001 a-010 b-000"),
        ("shards/a-001.tar", "a-001"),
        ("shards/a-*.tar", "a-000 a-001 a-010"),
        ("shards/a-*", "a-000 a-001 a-010"),
        ("shards/a-{000..001}.tar", "a-000 a-001"),
        ("shards/{b,a}-000.tar", "a-000 b-000"),
        ("shards/{a,b}-{000..000}.tar", "a-000 b-000"),
        ("shards/a-0{0..1}{0..0}.tar", "a-000 a-010"),
        ("shards/{a-01,b}*.tar", "a-010 b-000"),
        ("shards/{a-000,a-*}.tar", "a-000 a-001 a-010"),
        ("shards/**/c.tar", "deep/c"),
    ],
)
def test_every_way_to_name_them(root: Path, source: str, found: str) -> None:
    assert shard_files(source) == [f"shards/{name}.tar" for name in found.split()]
    assert shard_files(root / source) == [f"{root}/shards/{name}.tar" for name in found.split()]


def test_a_range_is_padded_as_a_shell_pads_it(root: Path) -> None:
    for number in (8, 9, 10):
        (root / f"{number}.tar").touch()
        (root / f"{number:03}.tar").touch()
    assert shard_files("{8..10}.tar") == ["10.tar", "8.tar", "9.tar"]
    assert shard_files("{008..010}.tar") == ["008.tar", "009.tar", "010.tar"]


def test_braces_in_a_name_that_is_there(root: Path) -> None:
    (root / "x{1..2}.tar").touch()
    assert shard_files("x{1..2}.tar") == ["x{1..2}.tar"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("shards/a-{000..003}.tar", r"2 of 4 tar files .* are missing: shards/a-002\.tar, shards/a-003\.tar\. Copy"),
        ("shards/{a,z}-*.tar", r"1 of 2 tar files or patterns are missing: shards/z-\*\.tar"),
        ("shards/z.tar", r"shards/z\.tar: not there"),
        ("a-{9..0}.tar", r"\{9\.\.0\} counts down: write \{0\.\.9\}"),
        ("s3://bucket/a-{000..099}.tar", r"s3://bucket.* is not on a disk: mount the store"),
        (Path("root", "https://server/a.tar"), r"root/https:/server/a\.tar is not on a disk"),
        ("pipe:cat a.tar", r"is not on a disk"),
        ("packed", r"no tar file in packed: compressed ones .*, unpack a\.tar\.gz"),
        ("others", r"no tar file in others: x\.jpg"),
        ("empty", r"no tar file in empty: the folder is empty"),
    ],
)
def test_says_what_is_missing(root: Path, source: str | Path, text: str) -> None:
    for folder, name in [("packed", "a.tar.gz"), ("others", "x.jpg"), ("empty", "")]:
        (root / folder).mkdir()
        (root / folder / (name or ".keep")).touch()
    (root / "empty/.keep").unlink()
    with pytest.raises(DataError, match=text):
        shard_files(source)


@pytest.mark.parametrize(
    ("there", "source", "answer"),
    [
        ("a.tar a.tar.index notes.txt", "folder", True),
        ("a.tar b.jpg", "folder", False),  # an archive that was left beside the images unpacked from it
        ("a.tar day/b.jpg", "folder", False),
        ("b.jpg", "folder", False),
        (".a.tar.index.part notes.txt", "folder", False),
        ("", "folder/a-{000..099}.tar", True),
        ("", "folder/a-*.TAR", True),
        ("", "folder/a.tar.gz", True),  # so that it is answered with what is wrong with it
        ("", "folder/*.jpg", False),
        ("", "list.txt", False),
    ],
)
def test_tells_shards_from_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str, source: str, answer: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in there.split():
        Path("folder", name).parent.mkdir(parents=True, exist_ok=True)
        Path("folder", name).touch()
    assert are_shards(source) is answer
    assert are_shards(Path(source)) is answer
