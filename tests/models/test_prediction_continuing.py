"""Predictions that were interrupted: what is kept, what is made again, and what is refused."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from torch import Tensor

from psbench import InputError, Predictions
from psbench.inference import predict, predict_into
from psbench.zoo import Detections
from psbench_data import PersonSearchDataset
from tests.models.looks import Looks, assert_equal, files


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """54 scenes in eight pieces, the last smaller."""
    monkeypatch.setattr("psbench.inference.work.PIECE_ROWS", 7)


def test_interrupted_prediction_is_continued(
    world: PersonSearchDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "predictions"
    whole = Looks()
    expected = predict(whole, world, context=True, progress=False)
    dying = Looks(dies_after=40)
    with pytest.raises(RuntimeError, match="out of memory"):
        predict_into(dying, world, folder, context=True)
    with pytest.raises(InputError, match=r"not finished\. Start the same `psbench predict` again"):
        Predictions.load(folder)
    kept = [path for path in folder.glob("*.parquet") if not path.name.startswith("queries")]
    assert kept
    (folder / ".scenes-00001.0a1b2c3d.parquet").write_bytes(b"what a killed process leaves")
    capsys.readouterr()
    again = Looks()
    # However many images there are at once now.
    predict_into(again, world, folder, context=True, batch_size=3)
    assert_equal(Predictions.load(folder), expected, atol=1e-6)
    finished = whole.asked["detect"] - again.asked["detect"]
    assert 40 - 7 < finished <= 40
    assert " pieces are there, " in capsys.readouterr().err
    assert not list(folder.glob(".*"))


def test_damaged_and_foreign_pieces_are_made_again(world: PersonSearchDataset, tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    with pytest.raises(RuntimeError):
        predict_into(Looks(dies_after=50), world, folder, progress=False)
    shards = sorted(folder.glob("scenes-*"))
    assert len(shards) == 7
    cut, flipped, other = (path.read_bytes() for path in shards[:3])
    shards[0].write_bytes(cut[:-100])
    column = pq.read_metadata(shards[1]).row_group(0).column(3)
    at = column.data_page_offset + column.total_compressed_size - 1
    shards[1].write_bytes(flipped[:at] + bytes([flipped[at] ^ 1]) + flipped[at + 1 :])
    shards[3].write_bytes(other)
    again = Looks()
    predict_into(again, world, folder, progress=False)
    assert again.asked["detect"] == 3 * 7 + 54 % 7
    assert_equal(Predictions.load(folder), predict(Looks(), world, progress=False))


def test_finished_prediction_is_not_made_again(
    world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the process was killed as soon as the manifest was written, or just before it ended."""
    folder = tmp_path / "predictions"
    with monkeypatch.context() as patch:
        patch.setattr("psbench.inference.sharing.clear", lambda folder: exit("killed"))
        with pytest.raises(SystemExit):
            predict_into(Looks(), world, folder, context=True, progress=False)
    (folder / ".manifest.0a1b2c3d.json").write_bytes(b"what a killed process leaves")
    expected = Predictions.load(folder)
    for _ in range(2):
        again = Looks()
        predict_into(again, world, folder, context=True, progress=False)
        assert again.asked == {"detect": 0, "embed": 0}
        assert_equal(Predictions.load(folder), expected)
        shards = {f"scenes-{number:05d}.parquet" for number in range(8)}
        assert files(folder) == shards | {"manifest.json", "work.json", "queries.parquet", "context.parquet"}
    with pytest.raises(InputError, match=r"holds other predictions \(context differ\)"):
        predict_into(Looks(), world, folder, progress=False)


def test_nothing_that_is_there_is_written_over(world: PersonSearchDataset, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    saved = predict(Looks(), world, progress=False).save(tmp_path / "saved")
    for there in (saved, tmp_path / "mine"):
        with pytest.raises(InputError, match="something here already"):
            predict_into(Looks(), world, there, progress=False)
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "work.json").write_text('{"model": 1}')
    with pytest.raises(InputError, match=r"work\.json: .*Give another folder"):
        predict_into(Looks(), world, begun, progress=False)


def test_missing_piece_is_found_in_the_end(world: PersonSearchDataset, tmp_path: Path) -> None:
    folder = tmp_path / "predictions"

    class Loses(Looks):
        def detect(self, images: list[Tensor], include: list[Tensor] | None = None) -> list[Detections]:
            (folder / "scenes-00002.parquet").unlink(missing_ok=True)
            return super().detect(images, include)

    with pytest.raises(InputError, match=r"scenes-00002\.parquet: not there"):
        predict_into(Loses(), world, folder, progress=False)
    with pytest.raises(InputError, match="not finished"):
        Predictions.load(folder)
