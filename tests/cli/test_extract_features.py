"""--features and --borders as users type them, with the bundled encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vidlang.store.feature_cache import FeatureCache
from vidlang.video.writer import write_video


@pytest.fixture
def boxed(tmp_path: Path) -> Path:
    frames = []
    for index in range(34):
        frame = np.zeros((96, 128, 3), dtype=np.uint8)
        frame[20:76] = 90
        frame[30:60, index : index + 40] = 220
        frames.append(frame)
    write_video(tmp_path / "videos" / "boxed.mp4", frames, 25.0, options={"preset": "ultrafast", "crf": "16"})
    return tmp_path / "videos"


def test_regions_and_cropped_borders_lie_beside_pooled_rows(vidlang, boxed, tmp_path):
    pooled = vidlang("extract", boxed, "--encoder", "mini")
    assert pooled.code == 0, pooled.err
    regions = vidlang("extract", boxed, "--encoder", "mini", "--features", "regions")
    assert regions.code == 0 and "Recipe mini/stride16-middle/regions (" in regions.out
    both = vidlang("extract", boxed, "--encoder", "mini", "--features", "regions", "--borders", "crop", "--json")
    report = json.loads(both.out)
    assert report["recipe"]["features"] == "regions" and report["recipe"]["borders"] == "crop"
    assert report["videos"][0]["detail"] == "borders cropped from 2 frames: up to 20 px top, 20 px bottom of 128 x 96"
    widths = {
        (features.key.recipe.features, features.key.recipe.borders): features.values.shape
        for features in map(FeatureCache(tmp_path / ".vidlang" / "cache").get, FeatureCache(".vidlang/cache").keys())
    }
    assert widths == {("pooled", "keep"): (2, 256), ("regions", "keep"): (2, 472), ("regions", "crop"): (2, 472)}


def test_the_settings_file_says_it_for_every_run(vidlang, boxed, tmp_path):
    (tmp_path / ".vidlang").mkdir()
    (tmp_path / ".vidlang" / "vidlang.toml").write_text('encoder = "mini"\nfeatures = "regions"\nborders = "crop"\n')
    answer = vidlang("extract", boxed)
    assert answer.code == 0 and "mini/stride16-middle/regions/crop-borders" in answer.out
    (tmp_path / ".vidlang" / "vidlang.toml").write_text('features = "areas"\n')
    answer = vidlang("extract", boxed)
    assert answer.code == 2 and "features must be one of 'pooled', 'regions', got 'areas'. Correct it." in answer.err


def test_wrong_values_are_usage(vidlang, boxed):
    assert vidlang("extract", boxed, "--features", "areas").code == 2
    assert vidlang("extract", boxed, "--borders", "blur").code == 2
    answer = vidlang("extract", boxed, "--encoder", "resnet50", "--features", "pooled")
    assert answer.code == 2 and "resnet50 makes region rows only." in answer.err


def test_the_encoder_without_words_is_listed(vidlang):
    listed = {encoder["name"]: encoder for encoder in json.loads(vidlang("models", "list", "--json").out)["encoders"]}
    assert (listed["resnet50"]["dim"], listed["resnet50"]["image_size"]) == (3840, 224)
    assert "3840" in vidlang("models", "show", "resnet50").out
