"""Tests of vfnet_d2.checkpoint.strip."""

import pytest
import torch

from vfnet_d2.checkpoint.strip import strip_checkpoint


def test_keeps_the_weights_and_nothing_else(tmp_path):
    weights = {"a.weight": torch.arange(6.0).view(2, 3), "a.steps": torch.tensor(7)}
    torch.save({"model": weights, "optimizer": {"state": [1]}, "iteration": 9}, tmp_path / "in.pth")
    size = strip_checkpoint(tmp_path / "in.pth", tmp_path / "new" / "out.pth")
    written = torch.load(tmp_path / "new" / "out.pth", weights_only=True)
    assert set(written) == {"model"}
    assert all(torch.equal(written["model"][name], weights[name]) for name in weights)
    assert size == (tmp_path / "new" / "out.pth").stat().st_size


def test_a_view_is_saved_without_its_storage(tmp_path):
    # 4 bytes of 4 MB.
    torch.save({"model": {"a": torch.zeros(2**20)[:1]}}, tmp_path / "in.pth")
    assert strip_checkpoint(tmp_path / "in.pth", tmp_path / "out.pth") < 10_000


def test_a_file_without_a_model_is_refused_and_nothing_written(tmp_path):
    torch.save({"weights": {}}, tmp_path / "in.pth")
    with pytest.raises(ValueError, match=r"in\.pth has no entry 'model'"):
        strip_checkpoint(tmp_path / "in.pth", tmp_path / "out.pth")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.pth"]


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth does not exist"):
        strip_checkpoint(tmp_path / "nowhere.pth", tmp_path / "out.pth")


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    torch.save({"model": {"a": torch.zeros(2)}}, tmp_path / "in.pth")

    def fill_the_disk(content, path):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", fill_the_disk)
    with pytest.raises(OSError, match="no space left"):
        strip_checkpoint(tmp_path / "in.pth", tmp_path / "out.pth")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.pth"]


def test_a_truncated_file(tmp_path):
    torch.save({"model": {"a": torch.zeros(2)}}, tmp_path / "in.pth")
    (tmp_path / "in.pth").write_bytes((tmp_path / "in.pth").read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"in\.pth is truncated or corrupted"):
        strip_checkpoint(tmp_path / "in.pth", tmp_path / "out.pth")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.pth"]
