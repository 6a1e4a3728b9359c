"""The payload of the findings, and the saved report, which tests/web/test_page.py opens."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dogsim.dataset import Dataset
from dogsim.figures import thumbnails
from dogsim.figures.thumbnails import jpeg
from dogsim.image_files.facts import ImageFacts
from dogsim.plumbing.content_cache import ContentCache
from dogsim.trust import report
from dogsim.trust.findings import Audit, NovelImage, PoorImage, SuspiciousLabel
from dogsim.trust.payload import findings_payload
from dogsim.trust.report import is_audit_file, save_audit

NAMES = ("a.png", "b.png", "sub/c.png", "<script>.png", "x.png")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Two pugs, two whippets and an image without a label, with their files."""
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for i, name in enumerate(NAMES):
        Image.new("RGB", (80, 60), (50 * i, 90, 20)).save(tmp_path / "photos" / name)
    labels = np.array([0, 0, 1, 1, -1], np.int32)
    root = str(tmp_path / "photos")
    return Dataset(np.eye(5, dtype=np.float32), labels, NAMES, ("pug", "whippet"), root=root)


@pytest.fixture
def found() -> Audit:
    small, large = ImageFacts(40, 30, 900, "2019-05-01"), ImageFacts(80, 60, 900, "2024-05-01")
    fields: dict[str, Any] = {
        "duplicates": (("a.png", "b.png"), ("b.png", "sub/c.png")),
        "kinds": ("copy", "same file"),
        "changes": (("mirrored", ""), ("", "")),
        "keep": ("b.png", "b.png"),
        "scenes": (("a.png", "x.png"),),
        "leaks": (("a.png", "a.png"),),
        "shared_scenes": (("b.png", "x.png"),),
        "labels": (SuspiciousLabel("a.png", "pug", "whippet", -0.5, 0.75, "<script>.png"),),
        "novel": (NovelImage("x.png", 0.004),),
        "poor": (PoorImage("x.png", "blurred"),),
        "images": {"a.png": small, "b.png": large},
        "missing": 2,
        "left_out": ("1 image was left out.",),
    }
    return Audit(**fields)


def sections_of(payload: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {section["kind"]: section["findings"] for section in payload["sections"]}


def test_each_finding_has_its_images_and_a_suggestion(dataset: Dataset, found: Audit) -> None:
    payload = findings_payload(found, dataset, dataset)
    files, sections = payload["files"], sections_of(payload)
    copies, differing = sections["duplicates"]
    captions = [(files[x["file"]]["path"], x["caption"]) for x in copies["images"]]
    assert captions == [("b.png", "keep: most pixels"), ("a.png", "mirrored")]
    assert (files[0]["width"], files[0]["date"], files[0]["label"]) == (80, "2024-05-01", "pug")
    assert copies["suggestion"]["changes"] == [
        [1, {"decision": "remove"}],
        [0, {"decision": "keep"}],
    ]
    assert differing["suggestion"] is None  # its owner knows which label is right
    assert [choice["text"] for choice in differing["choices"]] == [
        "Keep the marked image as pug",
        "Keep the marked image as whippet",
    ]
    (leak,) = sections["leaks"]
    known, query = (files[image["file"]] for image in leak["images"])
    assert (known["path"], query["path"]) == ("a.png", "a.png")
    assert (known["test"], query["test"]) == (False, True)
    assert (query["width"], query["height"]) == (80, 60)  # read from the file of the test set
    assert [image["decidable"] for image in leak["images"]] == [True, False]
    (label,) = sections["labels"]
    assert label["text"] == "Pug, or whippet? Chance 75%"
    assert label["suggestion"]["changes"] == [[1, {"decision": "keep", "label": "whippet"}]]
    assert label["images"][1]["caption"] == "the nearest whippet"
    assert sections["novel"][0]["images"][0]["caption"] == "labelled unknown"
    assert sections["poor"][0]["text"] == "Blurred"
    assert (payload["missing"], payload["left_out"]) == (2, ["1 image was left out."])
    assert list(sections_of(findings_payload(found, dataset))) == [
        *("duplicates", "scenes", "labels", "novel", "poor")
    ]


def test_equal_plans_have_equal_names(dataset: Dataset, found: Audit) -> None:
    one, same, other = (
        findings_payload(each, dataset)["plan"]["id"]
        for each in (found, replace(found), replace(found, poor=()))
    )
    assert one == same != other


def test_the_report_needs_nothing_else_and_runs_nothing_else(
    dataset: Dataset, found: Audit, tmp_path: Path
) -> None:
    written = save_audit(found, dataset, tmp_path / "out", dataset)
    assert [path.name for path in written] == ["audit.html", "audit.csv", "plan.csv"]
    assert is_audit_file(written[0])
    table = written[1].read_text().splitlines()
    assert [line for line in table if "scene" in line] == [
        "same scene,x.png,a.png,,,",
        "shared scene,x.png,b.png,,,",
    ]
    page = written[0].read_text()
    assert page.count("<script") == 2  # no name of a file ends one or starts one
    style, script = (
        re.search(rf"<{tag}>(.*?)</{tag.split()[0]}>", page, re.DOTALL)
        for tag in ("style", 'script type="module"')
    )
    policy = re.search('content-security-policy" content="(.*?)"', page)
    assert style
    assert script
    assert policy
    for part in (style, script):
        digest = base64.b64encode(hashlib.sha256(part[1].encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'; ")
    assert "import " not in re.sub("//.*", "", script[1])
    assert "export " not in re.sub("//.*", "", script[1])
    embedded = re.search('id="report">(.*?)</script>', page)
    assert embedded
    payload = json.loads(embedded[1])
    for file in payload["files"]:
        assert base64.b64decode(file["thumbnail"]).startswith(b"\xff\xd8")
    links = {file["path"]: file["link"] for file in payload["files"]}
    assert links["sub/c.png"] == "../photos/sub/c.png"
    assert links["<script>.png"] == "../photos/%3Cscript%3E.png"


def test_thumbnails_are_limited_and_computed_once(
    dataset: Dataset, found: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ContentCache("thumbnails-of-a-test", 10_000_000)
    monkeypatch.setattr(thumbnails, "_cache", cache)
    decoded: list[str] = []

    def counting_jpeg(source: Any, side: int) -> bytes:
        decoded.append(Path(source).name)
        return jpeg(source, side)

    monkeypatch.setattr(thumbnails, "jpeg", counting_jpeg)
    save_audit(found, dataset, tmp_path / "out")
    assert sorted(decoded) == ["<script>.png", "a.png", "b.png", "c.png", "x.png"]
    first = (tmp_path / "out" / "audit.html").read_bytes()
    save_audit(found, dataset, tmp_path / "out")
    assert len(decoded) == 5
    assert (tmp_path / "out" / "audit.html").read_bytes() == first
    Image.new("RGB", (80, 60), "white").save(tmp_path / "photos" / "a.png")
    save_audit(found, dataset, tmp_path / "out")
    assert decoded[5:] == ["a.png"]

    monkeypatch.setattr(report, "MAX_FINDINGS_WITH_THUMBNAILS", 1)
    monkeypatch.setattr(report, "MAX_THUMBNAILS_OF_FINDING", 1)
    payload = findings_payload(replace(found, novel=(), scenes=(), labels=(), poor=()), dataset)
    report.add_thumbnails(payload, dataset, None)
    assert [file["path"] for file in payload["files"] if "thumbnail" in file] == ["b.png"]


def test_without_image_files_there_are_no_thumbnails_and_no_links(
    dataset: Dataset, found: Audit, tmp_path: Path
) -> None:
    save_audit(found, replace(dataset, root=str(tmp_path / "gone")), tmp_path / "out")
    page = (tmp_path / "out" / "audit.html").read_text()
    payload = json.loads(page.split('id="report">')[1].split("</script>")[0])
    assert {(file["thumbnail"], file["link"], file["unread"]) for file in payload["files"]} == {
        (None, None, True)
    }
