"""Dumps of other code become the predictions that they are, and what is no dump is refused without running it."""

import io
import json
import os
import pickle
import re
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import psbench_data
from psbench import CBGM, Evaluation, InputError, Predictions, evaluate
from psbench.cli import app
from psbench.importing import import_detections, npz, read_names
from psbench_data import PersonSearchDataset
from tests.conftest import EVALUATION, arrays_of, predictions_of

LOADERS = json.loads((EVALUATION / "expected_loaders.json").read_text())
EXPECTED = json.loads((EVALUATION / "expected.json").read_text())
CASES = [
    ("cuhk_sysu", "gallery", "gallery-100", "G100", (10, 3)),
    ("cuhk_sysu", "gallery", "gallery-500", "G500", (10, 3)),
    ("prw", "gallery", "regular", "regular", (30, 4)),
    ("prw", "gallery", "multi-view", "multi_view", (30, 4)),
    ("movienet_cs", "gallery_2000", "gallery-2000", "G2000", (10, 3)),
    ("movienet_cs", "gallery_4000", "gallery-4000", "G4000", (10, 3)),
]
"""Dataset, what SeqNet's or GLCNet's reader calls its gallery, protocol, its key in the goldens, and CBGM's k1, k2."""
Lists = dict[str, list[np.ndarray]]


def _dataset(name: str) -> PersonSearchDataset:
    return psbench_data.load(name, root=EVALUATION / name)


def _split(counts: np.ndarray, *columns: np.ndarray) -> list[list[np.ndarray]]:
    return [np.split(column, np.cumsum(counts)[:-1]) for column in columns]


def _cache(name: str = "cuhk_sysu", gallery: str = "gallery") -> Lists:
    """The golden detections as SeqNet's evaluation would cache them, in the order of the original's own reader."""
    arrays = arrays_of(name)
    boxes, scores, embeddings = _split(
        arrays["det_counts"], arrays["det_boxes"], arrays["det_scores"], arrays["det_embeddings"]
    )
    position = {scene: i for i, scene in enumerate(arrays["image_names"])}
    read = [position[scene["image"]] for scene in LOADERS[name][gallery]]
    asked = [(query["image"], query["boxes"][0]) for query in LOADERS[name]["query"]]
    assert asked == list(zip(arrays["query_image_names"], arrays["query_boxes"].tolist(), strict=True))
    around = _split(
        arrays["query_det_counts"],
        np.column_stack([arrays["query_det_boxes"], arrays["query_det_scores"]]),
        arrays["query_det_embeddings"],
    )
    return {
        "gallery_dets": [np.column_stack([boxes[i], scores[i]]) for i in read],
        # SeqNet's network gives 0 x 256 where it finds nobody, whatever its embeddings have otherwise.
        "gallery_feats": [embeddings[i] if len(embeddings[i]) else np.zeros((0, 256), np.float32) for i in read],
        "query_dets": around[0],
        "query_feats": around[1],
        "query_box_feats": [query[None] for query in arrays["query_embeddings"]],
    }


def _direct(name: str) -> Predictions:
    return predictions_of(arrays_of(name), context=True)


def _require_equal(found: Evaluation, expected: Evaluation) -> None:
    np.testing.assert_allclose(found.per_query["ap"], expected.per_query["ap"], rtol=0, atol=1e-12)
    assert found.map == pytest.approx(expected.map, abs=1e-12)
    assert [found.top(k) for k in (1, 5, 10)] == [expected.top(k) for k in (1, 5, 10)]


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    """A cache of golden detections in CUHK-SYSU's format."""
    torch.save(_cache(), tmp_path / "eval_cache.pth")
    return tmp_path / "eval_cache.pth"


@pytest.mark.parametrize(("name", "gallery", "protocol", "key", "k"), CASES)
def test_cache_gives_what_the_original_evaluator_gives(
    name: str, gallery: str, protocol: str, key: str, k: tuple[int, int], tmp_path: Path
) -> None:
    path, dataset = tmp_path / "eval_cache.pth", _dataset(name)
    torch.save(_cache(name, gallery), path)
    names = [scene["image"] for scene in LOADERS[name][gallery]] if key == "G4000" else None
    imported = import_detections("seqnet", path, dataset, protocol=protocol, names=names, method="theirs")
    task, direct = dataset.protocol(protocol), _direct(name)
    for rules, cbgm in [(key, None), (f"{key},cbgm", CBGM(*k))]:
        found, expected = evaluate(imported, task, cbgm=cbgm), EXPECTED[name]["search"][rules]
        assert found.map == pytest.approx(expected["mAP"], abs=1e-9)
        _require_equal(found, evaluate(direct, task, cbgm=cbgm))
    assert (imported.method, imported.dataset, imported.fingerprint) == ("theirs", name, task.fingerprint)


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("spelling", [b"numpy.core.multiarray", b"numpy._core.multiarray"], ids=["NumPy 1", "NumPy 2"])
def test_every_version_that_wrote_it_is_read(as_zip: bool, spelling: bytes, cached: Path) -> None:
    if not as_zip:
        torch.save(_cache(), cached, _use_new_zipfile_serialization=False)
    _rewrite(cached, lambda content: re.sub(rb"numpy\._?core\.multiarray", spelling, content))
    assert spelling in cached.read_bytes()
    before = set(torch.serialization.get_safe_globals())  # a list in no order
    imported = import_detections("glcnet", cached, _dataset("cuhk_sysu"))
    assert imported.embeddings.tobytes() == _direct("cuhk_sysu").embeddings.tobytes()
    assert set(torch.serialization.get_safe_globals()) == before


def _rewrite(path: Path, change: Any, *, compression: int = zipfile.ZIP_STORED) -> None:
    """Change a file of torch, or what is in it."""
    if not zipfile.is_zipfile(path):
        path.write_bytes(change(path.read_bytes()))
        return
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, change(content))


def test_arrays_of_other_orders_and_types_are_the_same_numbers(tmp_path: Path) -> None:
    cache = _cache()
    cache["gallery_dets"] = [np.asfortranarray(det.astype(">f8")) for det in cache["gallery_dets"]]
    cache["query_box_feats"] = [feat.ravel() for feat in cache["query_box_feats"]]
    torch.save(cache, tmp_path / "eval_cache.pth")
    imported = import_detections("seqnet", tmp_path / "eval_cache.pth", _dataset("cuhk_sysu"))
    assert imported.boxes.tobytes() == _direct("cuhk_sysu").boxes.tobytes()


def test_cache_without_context(tmp_path: Path) -> None:
    cache = {name: arrays for name, arrays in _cache().items() if not name.startswith(("query_dets", "query_feats"))}
    torch.save(cache, tmp_path / "eval_cache.pth")
    assert import_detections("seqnet", tmp_path / "eval_cache.pth", _dataset("cuhk_sysu")).context is None


class _Makes:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("as_zip", [True, False])
def test_code_in_a_dump_is_not_run(as_zip: bool, cached: Path, tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(_Makes(tmp_path / "proof")))
    assert (tmp_path / "proof").is_dir()
    cache: dict[str, Any] = _cache()
    cache["gallery_dets"][3] = _Makes(tmp_path / "made")
    torch.save(cache, cached, _use_new_zipfile_serialization=as_zip)
    with pytest.raises(InputError, match=r"calls for posix.mkdir .* Nothing was run") as refused:
        import_detections("seqnet", cached, _dataset("cuhk_sysu"))
    assert len(refused.value.faults) == 1
    assert not (tmp_path / "made").exists()


class _Calls:
    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> tuple:
        return self.reduced


@pytest.mark.parametrize(
    ("called", "arguments"),
    [(eval, ("1",)), (getattr, (1, "real")), (np.load, ("x",)), (np.zeros, (3,)), (np.frombuffer, (b"1234",))],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_only_arrays_of_numbers_are_made(called: Any, arguments: tuple, cached: Path) -> None:
    torch.save(_cache() | {"more": _Calls(called, arguments)}, cached)
    with pytest.raises(InputError, match="Nothing was run"):
        import_detections("seqnet", cached, _dataset("cuhk_sysu"))


def test_plain_pickle_is_not_read_and_the_message_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """person_search's three pickles, turned by the lines of the message into what is read."""
    monkeypatch.chdir(tmp_path)
    cache = _cache()
    cache["gallery_feats"] = [feat if len(feat) else np.zeros((0, 32), np.float32) for feat in cache["gallery_feats"]]
    for stem, key in [("detections", "gallery_dets"), ("features", "gallery_feats")]:
        Path(f"gallery_{stem}.pkl").write_bytes(pickle.dumps(cache[key], protocol=2))
    Path("probe_features.pkl").write_bytes(pickle.dumps([feat.ravel() for feat in cache["query_box_feats"]], 2))
    dataset = _dataset("cuhk_sysu")
    with pytest.raises(InputError, match="a plain pickle, which can run code, and is not read") as refused:
        import_detections("seqnet", "gallery_detections.pkl", dataset)
    lines = [line[4:] for line in str(refused.value).splitlines() if line.startswith("    ")]
    with warnings.catch_warnings():
        # Its short lines leave closing the files to Python's end.
        warnings.simplefilter("ignore", ResourceWarning)
        exec("\n".join(lines))
    imported = import_detections("npz", "predictions.npz", dataset)
    task = dataset.protocol("gallery-100")
    _require_equal(evaluate(imported, task), evaluate(_direct("cuhk_sysu"), task))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: [1, 2], "holds a list, expected a dict"),
        (lambda c: {"weights": {}}, "has no 'gallery_dets'"),
        (lambda c: c | {"gallery_dets": {}}, "gallery_dets is a dict"),
        (lambda c: c | {"gallery_dets": c["gallery_dets"][:-1]}, "59 gallery_dets and 60 gallery_feats"),
        (lambda c: c | {"gallery_dets": [d[:, :4] for d in c["gallery_dets"]]}, r"gallery_dets\[0\] has shape"),
        (lambda c: c | {"gallery_feats": [f[:1] for f in c["gallery_feats"]]}, r"gallery_feats\[\d+\] has shape"),
        (lambda c: c | {"gallery_dets": [torch.zeros(2, 5)] * 60}, r"gallery_dets\[0\] is a Tensor"),
        (lambda c: c | {"query_box_feats": []}, "query_box_feats is empty"),
        (lambda c: c | {"query_box_feats": [f[:, :31] for f in c["query_box_feats"]]}, r"expected \(\d+, 31\)"),
        (lambda c: c | {"gallery_dets": [d.astype(object) for d in c["gallery_dets"]]}, "an array of 'O8'"),
        (lambda c: c | {"gallery_dets": [d + 2 for d in c["gallery_dets"]]}, "the score of detection 0 is"),
        (lambda c: c | {"gallery_feats": [f * np.nan for f in c["gallery_feats"]]}, "NaN"),
        (lambda c: c | {"gallery_dets": [c["gallery_dets"][0]] * 100_000}, "larger than the file"),
    ],
)
def test_what_is_no_such_cache_is_refused(change: Any, says: str, cached: Path) -> None:
    torch.save(change(_cache()), cached)
    with pytest.raises(InputError, match=says) as refused:
        import_detections("seqnet", cached, _dataset("cuhk_sysu"))
    assert all(str(cached) in fault for fault in refused.value.faults)


def test_compressed_file_of_torch_is_refused(cached: Path) -> None:
    _rewrite(cached, lambda content: content, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="compressed inside"):
        import_detections("seqnet", cached, _dataset("cuhk_sysu"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and so on", b"\x80\x04\x95", b"{}"])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    for form in ("seqnet", "npz"):
        with pytest.raises(InputError, match="no such file"):
            import_detections(form, path, _dataset("cuhk_sysu"))
    path.write_bytes(content)
    for form in ("seqnet", "npz"):
        with pytest.raises(InputError, match=re.escape(str(path))):
            import_detections(form, path, _dataset("cuhk_sysu"))


@pytest.mark.parametrize("form", ["seqnet", "npz"])
def test_damage_is_told_or_harmless(form: str, cached: Path, tmp_path: Path) -> None:
    rng, dataset = np.random.default_rng(0), _dataset("cuhk_sysu")
    path, refused = tmp_path / "damaged", 0
    if form == "npz":
        cached = tmp_path / "whole.npz"
        np.savez_compressed(cached, **_neutral())
    whole = cached.read_bytes()
    for at in rng.integers(0, len(whole), 120):
        content = bytearray(whole)
        content[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            import_detections(form, path, dataset)
        except InputError:
            refused += 1
    assert refused > 20


def test_queries_in_another_order_show_in_their_context(cached: Path) -> None:
    cache = _cache()
    torch.save(cache | {name: cache[name][::-1] for name in cache if name.startswith("query")}, cached)
    with pytest.raises(InputError, match="expected as the first of its context"):
        import_detections("seqnet", cached, _dataset("cuhk_sysu"))


def test_faults_of_scenes_and_queries_come_together(cached: Path) -> None:
    cache = _cache()
    shorter = {name: arrays[:-1] for name, arrays in cache.items()}
    torch.save(shorter, cached)
    with pytest.raises(InputError) as refused:
        import_detections("seqnet", cached, _dataset("cuhk_sysu"))
    scenes, queries = refused.value.faults
    assert "59 scenes, while gallery-50 of this cuhk_sysu has 60" in scenes
    assert "15 query embeddings, while gallery-50 of this cuhk_sysu has 16 queries" in queries


def test_larger_pool_of_movienet_needs_names(tmp_path: Path) -> None:
    torch.save(_cache("movienet_cs", "gallery_4000"), tmp_path / "eval_cache.pth")
    with pytest.raises(InputError, match="whose order is that of its own file"):
        import_detections("glcnet", tmp_path / "eval_cache.pth", _dataset("movienet_cs"), protocol="gallery-4000")
    names = [scene["image"] for scene in LOADERS["movienet_cs"]["gallery_4000"]]
    with pytest.raises(InputError, match="47 names for 48 scenes"):
        import_detections(
            "glcnet", tmp_path / "eval_cache.pth", _dataset("movienet_cs"), protocol="gallery-4000", names=names[1:]
        )
    with pytest.raises(InputError, match=r"'x\.jpg' is no test scene"):
        import_detections("glcnet", tmp_path / "eval_cache.pth", _dataset("movienet_cs"), names=["x.jpg", *names[1:]])


def _neutral(name: str = "cuhk_sysu") -> dict[str, np.ndarray]:
    """The golden detections in the neutral form, with everything that it may hold, the scenes in another order."""
    arrays = arrays_of(name)
    order = np.random.default_rng(1).permutation(len(arrays["image_names"]))
    columns = _split(arrays["det_counts"], arrays["det_boxes"], arrays["det_scores"], arrays["det_embeddings"])
    boxes, scores, embeddings = (np.concatenate([column[i] for i in order]) for column in columns)
    return {
        "counts": arrays["det_counts"][order],
        "boxes": boxes,
        "scores": scores,
        "embeddings": embeddings,
        "query_embeddings": arrays["query_embeddings"],
        "scene_names": arrays["image_names"][order],
        "query_scenes": arrays["query_image_names"],
        "query_boxes": arrays["query_boxes"],
        **{f"context_{part}": arrays[f"query_det_{part}"] for part in ("counts", "boxes", "scores", "embeddings")},
    }


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_neutral_form(save: Any, tmp_path: Path) -> None:
    save(tmp_path / "all.npz", **_neutral("prw"))
    imported = import_detections("npz", tmp_path / "all.npz", _dataset("prw"))
    for name, cbgm in [("regular", None), ("multi-view", CBGM(30, 4))]:
        task = _dataset("prw").protocol(name)
        _require_equal(evaluate(imported, task, cbgm=cbgm), evaluate(_direct("prw"), task, cbgm=cbgm))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a | {"box": a["boxes"]}, "box is none of counts, boxes"),
        (lambda a: {n: a[n] for n in a if n != "scores"}, "has no scores"),
        (lambda a: {n: a[n] for n in a if n != "context_boxes"}, "Give all of context_counts"),
        (lambda a: a | {"scene_names": a["scene_names"].astype(object)}, "Python objects are not read"),
        (lambda a: a | {"boxes": a["boxes"].astype(str)}, "boxes holds <U32, expected numbers"),
        (lambda a: a | {"scene_names": np.array("x")}, "expected one name a row"),
        (lambda a: a | {"counts": np.array(3)}, r"counts has shape \(\), expected rows"),
        (lambda a: a | {"counts": a["counts"][:-1]}, "60 names for 59 scenes"),
        (lambda a: a | {"counts": a["counts"] + 1}, "counts add up to 319; boxes, scores and embeddings have 259 rows"),
        (lambda a: a | {"context_counts": a["context_counts"][::-1] * 0}, "the context is empty"),
        (lambda a: a | {"boxes": a["boxes"][:, :3]}, "boxes has shape"),
        (lambda a: a | {"query_boxes": a["query_boxes"][0]}, "query_boxes has shape"),
    ],
)
def test_what_is_no_neutral_form_is_refused(change: Any, says: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", **change(_neutral()))
    with pytest.raises(InputError, match=says) as refused:
        import_detections("npz", tmp_path / "some.npz", _dataset("cuhk_sysu"))
    assert all("some.npz" in fault for fault in refused.value.faults)


def _npy(shape: tuple, content: bytes) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def test_header_that_promises_more_than_there_is(tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", **{n: a for n, a in _neutral().items() if n != "boxes"})
    with zipfile.ZipFile(tmp_path / "some.npz", "a") as archive:
        archive.writestr("boxes.npy", _npy((10**12, 4), bytes(160)))
    with pytest.raises(InputError, match=r"boxes says that its shape is \(1000000000000, 4\), and holds 160 bytes"):
        import_detections("npz", tmp_path / "some.npz", _dataset("cuhk_sysu"))


def test_file_that_unfolds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "_LEAST_BYTES", 2**20)
    np.savez_compressed(tmp_path / "bomb.npz", **_neutral() | {"embeddings": np.zeros((2**17, 64), np.float32)})
    with pytest.raises(InputError, match="would unfold from"):
        import_detections("npz", tmp_path / "bomb.npz", _dataset("cuhk_sysu"))


@pytest.mark.parametrize("member", ["boxes", "boxes.npy", "notes.txt"])
def test_file_with_more_in_it_is_refused(member: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", **_neutral())
    with zipfile.ZipFile(tmp_path / "some.npz", "a") as archive, warnings.catch_warnings():
        # Of a name that is there a second time.
        warnings.simplefilter("ignore", UserWarning)
        archive.writestr(member, _npy((1,), bytes(4)))
    with pytest.raises(InputError, match="other files than arrays, or an array twice"):
        import_detections("npz", tmp_path / "some.npz", _dataset("cuhk_sysu"))


def test_only_the_form_of_torch_needs_torch(cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "all.npz", **_neutral())
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match="needs torch, which is not installed"):
        import_detections("seqnet", cached, _dataset("cuhk_sysu"))
    assert len(import_detections("npz", tmp_path / "all.npz", _dataset("cuhk_sysu")).boxes) == 259


def test_names_are_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes("a.jpg\r\n\nsüd.jpg\n".encode())
    assert read_names(tmp_path / "names.txt") == ["a.jpg", "süd.jpg"]
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "names.txt", tmp_path / "none.txt"):
        with pytest.raises(InputError, match="with a name a line"):
            read_names(path)


def test_unknown_form_is_told() -> None:
    with pytest.raises(InputError, match="Did you mean 'seqnet'"):
        import_detections("segnet", "x", _dataset("cuhk_sysu"))


def test_command(cached: Path, tmp_path: Path) -> None:
    root, output = EVALUATION / "cuhk_sysu", tmp_path / "predictions/theirs"
    words = ["import-detections", "seqnet", str(cached), "--root", str(root), "-o", str(output)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    recall, ap = (EXPECTED["cuhk_sysu"]["detection"]["thresh=0.01,labeled_only=False"][k] for k in ("recall", "ap"))
    assert "259 people in 60 scenes, 16 queries with context" in done.output
    assert f"recall {100 * recall:.2f}, AP {100 * ap:.2f} " in done.output
    loaded, task = Predictions.load(output), _dataset("cuhk_sysu").protocol("gallery-100")
    assert loaded.method == "theirs"
    _require_equal(evaluate(loaded, task), evaluate(_direct("cuhk_sysu"), task))
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 1
    assert "there is something here already" in again.output


def test_command_with_names_and_a_part_of_the_scenes(tmp_path: Path) -> None:
    torch.save(_cache("movienet_cs", "gallery_4000"), tmp_path / "eval_cache.pth")
    names = tmp_path / "names.txt"
    names.write_text("\n".join(scene["image"] for scene in LOADERS["movienet_cs"]["gallery_4000"]))
    words = ["import-detections", "glcnet", str(tmp_path / "eval_cache.pth"), "--data", "movienet_cs", "--root"]
    words += [str(EVALUATION / "movienet_cs"), "-o", str(tmp_path / "out"), "--protocol", "gallery-4000"]
    done = CliRunner().invoke(app, [*words, "--names", str(names)])
    assert done.exit_code == 0, done.output
    assert "12 of the 60 test scenes are not in it" in done.output
