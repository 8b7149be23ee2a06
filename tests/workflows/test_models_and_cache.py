"""Encoders, checkpoints and the cache as the commands see them; published files in and out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from stand_ins import collection, put, recipe_of, video_rows

from vidlang.core import BadCheckpoint, BadInput, FeatureKey, MissingFeatures, Progress, UnknownName
from vidlang.encoders.registry import find_encoder
from vidlang.methods.vadclip.config import preset
from vidlang.methods.vadclip.model import VadClip
from vidlang.methods.vadclip.official import write_official
from vidlang.store.atomic import temporary_name
from vidlang.store.checkpoints import ModelRegistry, read_torch_state
from vidlang.workflows import cache as work
from vidlang.workflows.datasets import import_to_manifest
from vidlang.workflows.models import export_checkpoint, import_checkpoint, list_models, show_model

# -- encoders and checkpoints ----------------------------------------------------------------------------------------


def clip_of(vision_width: int = 48, text_width: int = 64, dim: int = 512, context: int = 77) -> dict[str, torch.Tensor]:
    """A CLIP with one small block per tower, under the names of the published files."""
    generator = torch.Generator().manual_seed(1)
    shapes: dict[str, tuple[int, ...]] = {
        "positional_embedding": (context, text_width),
        "text_projection": (text_width, dim),
        "logit_scale": (),
        "visual.class_embedding": (vision_width,),
        "visual.positional_embedding": (5, vision_width),
        "visual.proj": (vision_width, dim),
        "visual.conv1.weight": (vision_width, 3, 16, 16),
        "token_embedding.weight": (97, text_width),
    }
    for stem, width in (("visual.transformer", vision_width), ("transformer", text_width)):
        block = f"{stem}.resblocks.0."
        shapes |= {
            f"{block}attn.in_proj_weight": (3 * width, width),
            f"{block}attn.in_proj_bias": (3 * width,),
            f"{block}attn.out_proj.weight": (width, width),
            f"{block}attn.out_proj.bias": (width,),
            f"{block}mlp.c_fc.weight": (4 * width, width),
            f"{block}mlp.c_fc.bias": (4 * width,),
            f"{block}mlp.c_proj.weight": (width, 4 * width),
            f"{block}mlp.c_proj.bias": (width,),
        }
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"{block}{norm}.weight": (width,), f"{block}{norm}.bias": (width,)}
    for name, width in (("visual.ln_pre", vision_width), ("visual.ln_post", vision_width), ("ln_final", text_width)):
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A file laid out as model_ucf.pth: the head at its true size, beside a small CLIP."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        own = VadClip(preset("ucf-crime"), 512, 64, 77).state_dict()
    path = tmp_path_factory.mktemp("published") / "model_ucf.pth"
    torch.save(write_official(own, clip_of()), path)
    return path


def test_a_published_checkpoint_comes_in_and_goes_out_exactly(tmp_path, workspace, published, notes):
    folder, facts = import_checkpoint(workspace, "vadclip", published, "ucf-crime", "clip-vit-b16", 16, "official")
    assert folder == workspace.models_dir / "vadclip" / "official"
    assert "Kept 47 of " in facts and "the encoder clip-vit-b16" in facts
    checkpoint = ModelRegistry(workspace.models_dir).find("vadclip", "official")
    spec = find_encoder("clip-vit-b16")
    assert spec is not None and checkpoint.recipe.revision == spec.revision
    assert checkpoint.class_names[0] == "Normal" and len(checkpoint.class_names) == 14
    assert not any(name.startswith("clipmodel.") for name in checkpoint.state)

    out = tmp_path / "out.pth"
    line = export_checkpoint(workspace, "vadclip", out, "official", str(published), notes)
    before, after = read_torch_state(published), read_torch_state(out)
    assert line == f"Wrote {out}: {len(before)} tensors."
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    with pytest.raises(BadInput, match="is there already"):
        export_checkpoint(workspace, "vadclip", out, "official", str(published), Progress())


def test_what_is_not_a_published_checkpoint_is_refused(tmp_path, workspace, published):
    text = tmp_path / "model.pth"
    text.write_text("no weights")
    for file, message in ((text, "model.pth"), (tmp_path / "nothing.pth", "There is no file")):
        with pytest.raises(BadCheckpoint, match=message):
            import_checkpoint(workspace, "vadclip", file, "ucf-crime", "clip-vit-b16", 16, None)
    with pytest.raises(BadCheckpoint, match="preset xd-violence"):
        import_checkpoint(workspace, "vadclip", published, "xd-violence", "clip-vit-b16", 16, None)
    with pytest.raises(UnknownName, match="Did you mean 'ucf-crime'"):
        import_checkpoint(workspace, "vadclip", published, "ucf-crim", "clip-vit-b16", 16, None)
    with pytest.raises(UnknownName, match="Did you mean 'vadclip'"):
        import_checkpoint(workspace, "vadclp", published, "ucf-crime", "clip-vit-b16", 16, None)
    with pytest.raises(BadInput, match="features of dimension 512, clip-vit-l14 makes 768"):
        import_checkpoint(workspace, "vadclip", published, "ucf-crime", "clip-vit-l14", 16, None)
    with pytest.raises(BadInput, match="cannot be called"):
        import_checkpoint(workspace, "vadclip", published, "ucf-crime", "clip-vit-b16", 16, "a/b")
    assert ModelRegistry(workspace.models_dir).list() == []


def test_encoders_and_checkpoints_are_listed_and_shown(workspace, published):
    encoders, checkpoints = list_models(workspace)
    assert {e["name"]: e["available"] for e in encoders}["mini"] and checkpoints == []
    facts, card = show_model(workspace, "mini")
    assert facts["on this machine"] is True and "mini" in card
    import_checkpoint(workspace, "vadclip", published, "ucf-crime", "clip-vit-b16", 16, "official")
    [row] = list_models(workspace)[1]
    assert (row["name"], row["method"], len(row["class_names"])) == ("official", "vadclip", 14)
    by_name, _ = show_model(workspace, "official")
    by_path, _ = show_model(workspace, row["path"])
    assert by_name == by_path and by_name["preset"] == "ucf-crime"
    with pytest.raises(UnknownName, match="Did you mean 'official'"):
        show_model(workspace, "offical")


# -- the cache -------------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(cache, encoder):
    collection(cache, recipe_of(encoder), per_class=2)
    put(cache, recipe_of(encoder, stride=8), "fight/fight0.mp4", video_rows(4, 9))
    return cache


def test_recipes_and_entries_are_listed(filled, encoder):
    rows = {row["sampling"]: row for row in work.list_recipes(filled)}
    assert {name: row["videos"] for name, row in rows.items()} == {"stride16-middle": 6, "stride8-middle": 1}
    assert rows["stride8-middle"]["rows"] == 4
    assert [e["video"] for e in work.list_entries(filled, ["fight/*"])] == ["fight/fight0.mp4"] * 2 + [
        "fight/fight1.mp4"
    ]
    fingerprint = recipe_of(encoder, stride=8).fingerprint
    assert [e["rows"] for e in work.list_entries(filled, ["*"], fingerprint[:4])] == [4]
    with pytest.raises(UnknownName, match="no recipe called 'zzz'"):
        work.list_entries(filled, ["*"], "zzz")


def test_entries_are_removed_by_pattern_and_recipe(filled, encoder):
    work.remove(filled, work.find_keys(filled, ["normal/*"]))
    assert len(list(filled)) == 5
    work.remove(filled, work.find_keys(filled, ["*"], recipe_of(encoder, stride=8).fingerprint))
    assert len(list(filled)) == 4 and filled.recipes() == [recipe_of(encoder)]


def test_exported_files_come_back_equal(tmp_path, filled, encoder):
    with pytest.raises(BadInput, match="several recipes; choose one with --recipe"):
        work.export_npy(filled, tmp_path / "npy", ["*"], None, "float32", Progress())
    fingerprint = recipe_of(encoder).fingerprint
    assert work.export_npy(filled, tmp_path / "npy", ["*"], fingerprint, "float32", Progress()) == 6
    again = type(filled)(tmp_path / "again")
    outcomes = work.import_npy(again, [tmp_path / "npy"], "mini", 25.0, 16, 0, Progress())
    assert [o.status for o in outcomes] == ["done"] * 6
    for key in again:
        before = filled.get(FeatureKey(key.video_id, recipe_of(encoder)))
        after = again.get(key)
        assert np.array_equal(before.values, after.values) and np.array_equal(before.frames, after.frames)
        np.testing.assert_allclose(before.seconds, after.seconds)
    with pytest.raises(MissingFeatures, match=r"matches fire/\*"):
        work.export_npy(filled, tmp_path / "npy", ["fire/*"], None, "float32", Progress())


def test_a_bad_file_among_imports_is_one_failure(tmp_path, cache):
    for name, rows in {"a": np.ones((3, 4), np.float32), "b": np.full((3, 4), np.nan, np.float32)}.items():
        np.save(tmp_path / f"{name}.npy", rows)
    (tmp_path / "c.npy").write_text("no array")
    np.save(tmp_path / "d.npy", np.array([{"code": "runs"}], dtype=object))
    outcomes = work.import_npy(cache, [tmp_path], "mini", 25.0, 16, None, Progress())
    assert [o.status for o in outcomes] == ["done", "failed", "failed", "failed"]
    assert all(f"{o.video_id}.npy" in str(o.error) and "\n" not in str(o.error) for o in outcomes[1:])


def test_compare_gives_the_cosine_of_each_row(tmp_path, cache, encoder):
    rows = np.zeros((3, 32), np.float32)
    rows[:, 0] = 1
    put(cache, recipe_of(encoder), "a.mp4", rows)
    theirs = np.zeros((4, 32), np.float32)
    theirs[0, 0], theirs[1, 1], theirs[2, :2] = 5, 1, 1
    np.save(tmp_path / "a.npy", theirs)
    result = work.compare_with_npy(cache, "a.mp4", tmp_path / "a.npy", None, 0)
    assert result["cosines"] == pytest.approx([1, 0, 0.5**0.5], abs=1e-5)
    assert (result["rows_cached"], result["rows_file"], result["min"]) == (3, 4, 0)
    np.save(tmp_path / "b.npy", np.ones((3, 16), np.float32))
    with pytest.raises(BadInput, match=r"b\.npy cannot be compared with a\.mp4"):
        work.compare_with_npy(cache, "a.mp4", tmp_path / "b.npy", None, 0)
    with pytest.raises(BadInput, match="has one crop, asked for crop 3"):
        work.compare_with_npy(cache, "a.mp4", tmp_path / "a.npy", None, 3)
    put(cache, recipe_of(encoder, stride=8), "a.mp4", rows)
    with pytest.raises(BadInput, match="in 2 recipes; choose one with --recipe"):
        work.compare_with_npy(cache, "a.mp4", tmp_path / "a.npy", None, 0)
    with pytest.raises(MissingFeatures, match=r"b\.mp4 is not in"):
        work.compare_with_npy(cache, "b.mp4", tmp_path / "a.npy", None, 0)


def test_verify_counts_what_is_whole_and_names_what_is_not(filled, encoder, notes):
    assert work.verify_cache(filled, notes, sweep=False) == (7, [], [])
    path = filled.entry(FeatureKey("fall/fall0.mp4", recipe_of(encoder))).path
    path.write_bytes(path.read_bytes()[:-40])
    whole, [(damaged, problem)], [] = work.verify_cache(filled, notes, sweep=False)
    assert (whole, damaged) == (6, path) and "damaged" in problem


def test_what_killed_writers_left_is_no_damage_and_can_be_swept(filled, encoder, notes):
    path = filled.entry(FeatureKey("fall/fall0.mp4", recipe_of(encoder))).path
    left = path.with_name(temporary_name(".h5"))
    left.write_bytes(b"half an entry")
    os.utime(left, (1e9, 1e9))  # its writer is long gone
    whole, damaged, [(found, remark)] = work.verify_cache(filled, notes, sweep=False)
    assert (whole, damaged, found) == (7, [], left) and "killed writer" in remark
    assert len(work.verify_cache(filled, notes, sweep=True)[2]) == 1 and not left.exists()
    assert work.verify_cache(filled, notes, sweep=False) == (7, [], [])


def test_a_packed_cache_reads_the_same(tmp_path, filled, encoder):
    assert work.pack_cache(filled, str(tmp_path / "all.h5"), None, Progress())[0] == 7
    packed = type(filled)(tmp_path / "all.h5")
    assert sorted(key.video_id for key in packed) == sorted(key.video_id for key in filled)
    with pytest.raises(BadInput, match="is there already"):
        work.pack_cache(filled, str(tmp_path / "all.h5"), None, Progress())
    with pytest.raises(BadInput, match=r"on a disk, not to s3://bucket/all\.h5"):
        work.pack_cache(filled, "s3://bucket/all.h5", None, Progress())


# -- published annotations -------------------------------------------------------------------------------------------


def test_published_lists_become_a_manifest(tmp_path, shared_data_dir, workspace, cache, encoder):
    out = tmp_path / "ucf.csv"
    summary, notes = import_to_manifest("ucf-crime", shared_data_dir / "annotations" / "vadclip", out, None)
    assert "290 test" in summary and notes == []
    put(cache, recipe_of(encoder), "videos/Abuse/Abuse028_x264.mp4", video_rows(3, 0))
    summary, notes = import_to_manifest("ucf-crime", shared_data_dir / "annotations" / "vadclip", out, workspace)
    assert "1 videos (1 test)" in summary and "are not in the cache" in notes[0]
    assert "videos/Abuse/Abuse028_x264.mp4" in out.read_text()
    with pytest.raises(UnknownName, match="Did you mean 'ucf-crime'"):
        import_to_manifest("ucf-crim", tmp_path, out, None)
