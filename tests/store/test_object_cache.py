"""The cache behind a URL does what the one in a folder does, on a file system and on one in memory."""

import uuid

import pytest

from vidlang.core import BadInput, DamagedEntry, FeatureKey, MissingDependency, MissingFeatures

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed (extra cloud)")

from test_feature_cache import HALF, IDENTITY, RECIPE, assert_same, some_features  # noqa: E402

from vidlang.store.feature_cache import FeatureCache  # noqa: E402
from vidlang.store.merge import merge  # noqa: E402
from vidlang.store.object_cache import ObjectCache, is_url, open_any_cache  # noqa: E402


@pytest.fixture(params=["file", "memory"])
def url(request, tmp_path):
    if request.param == "file":
        return f"file://{tmp_path.as_posix()}/far"
    return f"memory://{uuid.uuid4().hex}/far"


def names(url):
    files, path = fsspec.core.url_to_fs(url)
    return sorted(name[len(path) :].lstrip("/") for name in files.find(path))


def test_what_is_put_is_got_and_lies_where_a_folder_has_it(url, tmp_path):
    far, near = ObjectCache(url), FeatureCache(tmp_path / "near")
    for features in (some_features("x/a.mp4"), some_features("b.mp4", HALF)):
        for cache in (far, near):
            cache.put(features, identity=IDENTITY, made_with={"decoder": "d", "file": "/v/a"}, warnings=["w"])
        assert features.key in far and far.is_fresh(features.key, IDENTITY)
        assert_same(far.get(features.key), features)
        one, other = far.entry(features.key), near.entry(features.key)
        assert (one.made_with, one.warnings, one.bytes) == (other.made_with, other.warnings, other.bytes)
    assert names(url) == sorted(p.relative_to(near.root).as_posix() for p in near.root.rglob("*") if p.is_file())
    assert list(far.keys()) == list(near.keys()) and far.recipes() == near.recipes()
    assert far.stamps(RECIPE).keys() == near.stamps(RECIPE).keys()
    assert far.verify() == []
    assert str(far.root) == url


def test_a_missing_entry_is_missing_and_a_removed_one_too(url):
    cache = ObjectCache(url)
    features = some_features("a.mp4")
    assert list(cache) == [] and features.key not in cache
    cache.put(features, identity=None)
    cache.remove(features.key)
    for call in (cache.get, cache.remove):
        with pytest.raises(MissingFeatures, match=r"a\.mp4 has no features"):
            call(features.key)


def test_a_merge_asks_twice_for_an_entry_it_copies(url, tmp_path, monkeypatch):
    """Once to check it, once to copy it as it is then."""
    far, asked = ObjectCache(url), []
    far.put(some_features("a.mp4"), identity=IDENTITY)
    content = ObjectCache._content
    monkeypatch.setattr(ObjectCache, "_content", lambda self, path: asked.append(path) or content(self, path))
    assert [found.status for found in merge([far], FeatureCache(tmp_path / "near"))] == ["copied"]
    assert len(asked) == 2


def test_a_torn_object_is_damaged(url):
    cache = ObjectCache(url)
    features = some_features("a.mp4")
    cache.put(features, identity=None)
    files, path = fsspec.core.url_to_fs(url)
    name = next(n for n in files.find(path) if n.endswith(".h5"))
    files.pipe_file(name, files.cat_file(name)[:500])
    with pytest.raises(DamagedEntry, match="is damaged"):
        cache.get(features.key)
    assert len(cache.verify()) == 1


def test_a_changed_entry_has_another_stamp(url):
    cache = ObjectCache(url)
    cache.put(some_features("a.mp4"), identity=None)
    before = cache.stamps(RECIPE)
    cache.put(some_features("a.mp4", num_rows=9), identity=None)
    after = cache.stamps(RECIPE)
    assert before.keys() == after.keys() == {"a.mp4.h5"} and before != after
    assert cache.entry_by_path(RECIPE, "a.mp4.h5").num_snippets == 9


def test_shards_merge_there_and_back(url, tmp_path):
    near, far, back = FeatureCache(tmp_path / "near"), ObjectCache(url), FeatureCache(tmp_path / "back")
    near.put(some_features("a.mp4"), identity=IDENTITY)
    assert [o.status for o in merge([near], far)] == ["copied"]
    assert [o.status for o in merge([near], far)] == ["equal"]
    assert [o.status for o in merge([open_any_cache(url)], back)] == ["copied"]
    [entry], [other] = near.entries(), back.entries()
    assert entry.path.read_bytes() == other.path.read_bytes()
    with pytest.raises(BadInput, match="both source and target"):
        list(merge([far], ObjectCache(url + "/")))


def test_a_failed_write_leaves_nothing(url, monkeypatch):
    cache = ObjectCache(url)

    def refuse(*_, **__):
        raise RuntimeError("key id and secret")

    monkeypatch.setattr(type(cache.files), "mv" if "file" in cache.files.protocol else "pipe_file", refuse)
    with pytest.raises(BadInput, match="cannot be used") as refused:
        cache.put(some_features("a.mp4"), identity=None)
    assert "secret" not in str(refused.value) and names(url) == []


def test_what_is_no_store_says_so(monkeypatch):
    assert is_url("s3://b/p") and not is_url("C:\\cache") and not is_url("a/b.h5")
    with pytest.raises(BadInput, match="nosuch://x is no kind of store"):
        ObjectCache("nosuch://x")

    def no_package(url):
        raise ImportError("Install s3fs")

    monkeypatch.setattr("fsspec.core.url_to_fs", no_package)
    with pytest.raises(MissingDependency, match=r'pip install "vidlang\[cloud\]"'):
        ObjectCache("s3://bucket/p")


def test_a_password_is_not_shown(monkeypatch):
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda url: (fsspec.filesystem("memory"), "/pw"))
    cache = ObjectCache("ftp://me:secret@host/cache")
    with pytest.raises(MissingFeatures) as missing:
        cache.get(FeatureKey("a.mp4", RECIPE))
    assert "secret" not in str(missing.value) and "ftp://host/cache" in str(missing.value)
