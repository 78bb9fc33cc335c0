import hashlib
from pathlib import Path

import pytest

from cyclegan.data.file_list import Files
from cyclegan.data.selection import Fingerprint, fingerprint, require_same_files
from cyclegan.data.sources.index import find
from cyclegan.errors import DataError


def test_the_digest_is_that_of_the_names_below_the_root_in_their_order() -> None:
    listed = b"trainA/1.png\0trainA/sub/2.png\0"
    expected = {"count": 2, "digest": hashlib.sha256(listed).hexdigest()}
    assert fingerprint(Files("/here/trainA", ["1.png", "sub/2.png"])) == expected
    assert fingerprint(Files("else/where/trainA", ["1.png", "sub/2.png"])) == expected
    assert fingerprint(Files("/here", ["trainA/1.png", "trainA/sub/2.png"], label="")) == expected
    other_order = fingerprint(Files("/here/trainA", ["sub/2.png", "1.png"]))
    assert other_order == {"count": 2, "digest": hashlib.sha256(b"trainA/sub/2.png\0trainA/1.png\0").hexdigest()}


def test_a_folder_has_the_digest_that_older_checkpoints_hold(tmp_path: Path) -> None:
    """It was made by version 0.1; with another one, no run of then could go on."""
    (tmp_path / "trainA" / "sub").mkdir(parents=True)
    for name in (
        "sub/2.png",
        "1.png",
        "é.jpg",
        "caf\udce9.png",
        "a b.tif",
        "\U0001f600.png",
        "\uffee.png",
        ".hidden.png",
        "notes.txt",
    ):
        (tmp_path / "trainA" / name).touch()
    golden = "dd6cf9b66723cc55e0c0bbb9edb0fc3ef7a0488550ca6f5a47c00ad59910a105"
    assert fingerprint(find(tmp_path / "trainA")) == {"count": 7, "digest": golden}
    assert fingerprint(find(tmp_path / "trainA" / "**" / "*")) == {"count": 7, "digest": golden}
    (tmp_path / "trainA").rename(tmp_path / "elsewhere")
    (tmp_path / "trainA").symlink_to("elsewhere")
    assert fingerprint(find(tmp_path / "trainA")) == {"count": 7, "digest": golden}


def test_more_names_than_are_digested_at_once() -> None:
    names = [f"{i:05d}.png" for i in range(10_000)]
    listed = "".join(f"trainA/{name}\0" for name in names).encode()
    assert fingerprint(Files("/data/trainA", names)) == {
        "count": 10_000,
        "digest": hashlib.sha256(listed).hexdigest(),
    }


def test_lists_differ_that_hold_the_same_letters() -> None:
    digests = {
        fingerprint(Files("/data/trainA", names))["digest"]
        for names in (
            ["1.png"],
            ["1.png", "2.png"],
            ["1.pngtrainA/2.png"],
            ["1.png\ntrainA/2.png"],
            ["3.png"],
        )
    }
    assert len(digests) == 5


def test_names_that_are_no_utf8_have_a_digest() -> None:
    # What Python makes of the byte 0xe9 in a name.
    expected = hashlib.sha256(b"trainA/caf\xe9.png\0").hexdigest()
    assert fingerprint(Files("/data/trainA", ["caf\udce9.png"]))["digest"] == expected


def test_says_whose_images_changed_and_what_to_do() -> None:
    a: Fingerprint = {"count": 1067, "digest": "a"}
    b: Fingerprint = {"count": 1334, "digest": "b"}
    require_same_files({"A": a, "B": b}, {"B": b, "A": a})
    with pytest.raises(DataError, match=r"domain B are not .*: there were 1334, there are 1333 \(not the same ones\)"):
        require_same_files({"A": a, "B": b}, {"A": a, "B": {"count": 1333, "digest": "c"}})
    with pytest.raises(
        DataError, match=r"there were 1334, there are 1334 \(as many, but other names or another order\)"
    ):
        require_same_files({"A": a, "B": b}, {"A": a, "B": {"count": 1334, "digest": "c"}})
    with pytest.raises(DataError, match=r"Put the images back as they were, or begin a new run .*init_from="):
        require_same_files({"A": a, "B": b}, {"A": b, "B": b})
    with pytest.raises(DataError, match=r"domain B are not .*: there were 1334, there are 0"):
        require_same_files({"A": a, "B": b}, {"A": a})
