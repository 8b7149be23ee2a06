"""One query against a gallery: who is near, by which similarity, in which order, and which seconds match."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from stand_ins import DIM, ColourEncoder, features_of, put_seconds, recipe_of, unit_rows

from vidlang.core import BadInput, Progress, Segment
from vidlang.methods.tca import similarity as pairs
from vidlang.methods.tca.comparator import Comparator, comparator_similarity
from vidlang.workflows.gallery import Gallery, GalleryOptions, open_approximate, open_gallery
from vidlang.workflows.index_recall import recall_lines
from vidlang.workflows.search import (
    FEW_ROWS,
    NEAREST,
    TOP_SHARE,
    Searcher,
    SearchOptions,
    text_hits,
    text_hits_of,
)

RECIPE = recipe_of(ColourEncoder())
KEEP = GalleryOptions(blank_frames="keep")
AXES = np.eye(DIM, dtype=np.float32)
KINDS = ("overlap", "chamfer", "symmetric", "top-k", "cosine")


@pytest.fixture
def gallery_of(workspace, cache):
    def build(rows: dict[str, np.ndarray], options: GalleryOptions = KEEP) -> Gallery:
        for video_id, values in rows.items():
            put_seconds(cache, RECIPE, video_id, values)
        return open_gallery(workspace, options)[0]

    return build


def asked(gallery: Gallery, rows: np.ndarray):
    return gallery.embedding.embed(features_of(rows, RECIPE, "query.mp4"))


def ids(hits) -> list[str]:
    return [hit.video_id for hit in hits]


def alike(rows: np.ndarray, cosine: float, seed: int = 77) -> np.ndarray:
    """Rows whose cosine to these is the given one."""
    other = unit_rows(*rows.shape, seed=seed)
    other -= (other * rows).sum(axis=1, keepdims=True) * rows
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    return cosine * rows + np.sqrt(1 - cosine**2) * other


# -- similarities ----------------------------------------------------------------------------------------------------


def by_pairs(kind: str, x: torch.Tensor, y: torch.Tensor) -> float:
    """A second, plain way."""
    if kind == "overlap":
        forward = pairs.chamfer(x, y) * min(1.0, float(x.norm(dim=1).sum()))
        return max(float(forward), float(pairs.chamfer(y, x)) * min(1.0, float(y.norm(dim=1).sum()) / FEW_ROWS))
    if kind == "cosine":
        return float(pairs.cosine(x.sum(0), y.sum(0)))
    if kind == "top-k":
        return float(pairs.top_k_chamfer(x, y, TOP_SHARE))
    return float({"chamfer": pairs.chamfer, "symmetric": pairs.symmetric_chamfer}[kind](x, y))


@pytest.mark.parametrize("kind", KINDS)
def test_each_similarity_is_that_of_the_pair(gallery_of, kind):
    lengths = (1, 3, 8, 20, 40)
    gallery = gallery_of({f"{n:02}.mp4": unit_rows(n, DIM, seed=n) for n in lengths})
    query = asked(gallery, unit_rows(9, DIM, seed=50))
    searcher = Searcher(gallery.index, SearchOptions(similarity=kind, top=100))
    found = searcher.similarities(query, range(len(lengths)))
    rows = torch.from_numpy(query.rows)
    expected = [by_pairs(kind, rows, gallery.index.rows(position)) for position in range(len(lengths))]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    hits = searcher.hits(query)
    assert {hit.video_id: hit.similarity for hit in hits} == dict(zip(gallery.index.ids, found.tolist(), strict=True))
    assert [hit.similarity for hit in hits] == sorted(found.tolist(), reverse=True)


def test_the_overlap_of_videos_that_are_long_enough_is_the_larger_direction(gallery_of):
    gallery = gallery_of({f"{n}.mp4": unit_rows(n, DIM, seed=n) for n in (8, 20)})
    query = asked(gallery, unit_rows(9, DIM, seed=50))
    found = Searcher(gallery.index, SearchOptions()).similarities(query, [0, 1])
    rows = torch.from_numpy(query.rows)
    other = [gallery.index.rows(position) for position in (0, 1)]
    expected = [max(float(pairs.chamfer(rows, y)), float(pairs.chamfer(y, rows))) for y in other]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_changes_little(gallery_of, kind):
    rows = {f"{n}.mp4": unit_rows(12, DIM, seed=n) for n in range(4)}
    exact, half = gallery_of(rows), gallery_of(rows, replace(KEEP, dtype="bfloat16"))
    query = asked(exact, alike(rows["2.mp4"], 0.9))
    first, second = (Searcher(g.index, SearchOptions(similarity=kind)).hits(query) for g in (exact, half))
    assert first[0].video_id == second[0].video_id == "2.mp4"
    assert first[0].similarity == pytest.approx(second[0].similarity, abs=5e-3)
    assert first[0].segments == second[0].segments == ((Segment(0, 12), Segment(0, 12)),)


def test_blank_rows_count_neither_for_nor_against(gallery_of, encoder):
    black = np.tile(AXES[0] + AXES[1] + AXES[2], (20, 1))  # what the stand-in encoder makes of grey
    shown = unit_rows(10, DIM, seed=1)
    gallery = gallery_of(
        {"a.mp4": np.concatenate([black, shown]), "black.mp4": black, "other.mp4": unit_rows(10, DIM, seed=2)},
        GalleryOptions(),
    )
    query = asked(gallery, np.concatenate([black[:5], shown]))
    hits = Searcher(gallery.index, SearchOptions()).hits(query)
    assert hits[0].video_id == "a.mp4" and hits[0].similarity == pytest.approx(1, abs=0.02)
    assert hits[0].segments == ((Segment(5, 15), Segment(20, 30)),)
    assert {hit.video_id: hit.similarity for hit in hits}["black.mp4"] == 0
    assert Searcher(gallery.index, SearchOptions()).hits(asked(gallery, black)) == ()


def test_a_comparator_is_asked_for_every_pair_and_named_where_it_is_missing(gallery_of):
    gallery = gallery_of({f"{n}.mp4": unit_rows(n, DIM, seed=n) for n in (2, 9)})
    query = asked(gallery, unit_rows(6, DIM, seed=50))
    torch.manual_seed(0)
    network = Comparator().eval()
    options = SearchOptions(similarity="comparator")
    found = Searcher(gallery.index, options, network).similarities(query, [0, 1])
    rows = torch.from_numpy(query.rows)
    expected = [float(comparator_similarity(network, rows @ gallery.index.rows(p).T)) for p in (0, 1)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(BadInput, match=r"--comparator weights\.pth"):
        Searcher(gallery.index, options).hits(query)


def test_there_is_no_other_similarity():
    with pytest.raises(BadInput, match="no similarity 'cosin'"):
        SearchOptions(similarity="cosin")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="--top and --shortlist are at least 1"):
        SearchOptions(top=0)


# -- which hits ------------------------------------------------------------------------------------------------------


def test_ties_keep_the_order_of_the_index(gallery_of):
    same = unit_rows(10, DIM, seed=1)
    gallery = gallery_of({name: same for name in ("b.mp4", "a.mp4", "c.mp4")} | {"0.mp4": unit_rows(10, DIM, seed=2)})
    query = asked(gallery, same)
    for kind in KINDS:
        hits = Searcher(gallery.index, SearchOptions(similarity=kind)).hits(query)
        assert ids(hits) == ["a.mp4", "b.mp4", "c.mp4", "0.mp4"]
    assert ids(Searcher(gallery.index, SearchOptions(top=2)).hits(query)) == ["a.mp4", "b.mp4"]
    assert ids(Searcher(gallery.index, SearchOptions(top=2, shortlist=2)).hits(query)) == ["a.mp4", "b.mp4"]
    many = gallery_of({f"d{n:02}.mp4": same for n in range(40)})  # sorting keeps few things in order by itself
    expected = ["a.mp4", "b.mp4", "c.mp4", *(f"d{n:02}.mp4" for n in range(40)), "0.mp4"]
    assert (
        ids(Searcher(many.index, SearchOptions(similarity="chamfer", top=100, segments=False)).hits(query)) == expected
    )


def test_what_is_excluded_is_no_hit_and_takes_no_place(gallery_of):
    same = unit_rows(10, DIM, seed=1)
    gallery = gallery_of({f"{n}.mp4": alike(same, 1 - n / 20) for n in range(6)})
    searcher = Searcher(gallery.index, SearchOptions(top=3, shortlist=3))
    assert ids(searcher.hits(asked(gallery, same))) == ["0.mp4", "1.mp4", "2.mp4"]
    assert ids(searcher.hits(asked(gallery, same), {"0.mp4", "2.mp4", "nowhere.mp4"})) == ["1.mp4", "3.mp4", "4.mp4"]
    assert ids(searcher.hits(asked(gallery, same), set(gallery.index.ids))) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_shortlist_finds_what_the_full_search_finds(gallery_of, kind):
    originals = [unit_rows(10, DIM, seed=n) for n in range(40)]
    gallery = gallery_of({f"{n:02}.mp4": rows for n, rows in enumerate(originals)})
    for number in (0, 17, 39):
        query = asked(gallery, alike(originals[number], 0.8))
        full = Searcher(gallery.index, SearchOptions(similarity=kind, top=1)).hits(query)
        short = Searcher(gallery.index, SearchOptions(similarity=kind, top=1, shortlist=5)).hits(query)
        assert ids(full) == [f"{number:02}.mp4"] and full == short


def test_a_shortlist_has_a_clip_inside_a_long_video(gallery_of):
    clip = unit_rows(30, DIM, seed=1)
    long = np.concatenate([unit_rows(300, DIM, seed=2) + 0.2, clip, unit_rows(300, DIM, seed=3) + 0.2])
    others = {f"{n:02}.mp4": unit_rows(30, DIM, seed=n + 10) for n in range(40)}
    gallery = gallery_of({"long.mp4": long, **others})
    found = Searcher(gallery.index, SearchOptions(shortlist=2, top=1)).hits(asked(gallery, clip))
    assert ids(found) == ["long.mp4"] and found[0].similarity == pytest.approx(1, abs=1e-4)
    # and the other way round: the long one asks
    short = gallery.embedding.embed(features_of(long, RECIPE))
    gallery = gallery_of({"clip.mp4": clip})
    found = Searcher(gallery.index, SearchOptions(shortlist=2, top=1)).hits(short, {"long.mp4"})
    assert ids(found) == ["clip.mp4"] and found[0].similarity == pytest.approx(1, abs=1e-4)


def test_a_threshold_leaves_out_what_lies_below_it(gallery_of):
    same = unit_rows(10, DIM, seed=1)
    gallery = gallery_of({f"{n}.mp4": alike(same, 1 - n / 10) for n in range(5)})
    query = asked(gallery, same)
    hits = Searcher(gallery.index, SearchOptions()).hits(query)
    least = hits[2].similarity
    assert Searcher(gallery.index, SearchOptions(threshold=least)).hits(query) == hits[:3]  # reached is enough
    assert Searcher(gallery.index, SearchOptions(threshold=1.5)).hits(query) == ()


def test_an_empty_index_has_no_hits(gallery_of):
    gallery = gallery_of({"a.mp4": unit_rows(3, DIM)})
    gallery.index.remove(["a.mp4"])
    query = asked(gallery, unit_rows(3, DIM))
    assert Searcher(gallery.index, SearchOptions()).hits(query) == ()
    assert text_hits(gallery.index, AXES[0], SearchOptions()) == ()


def test_an_approximate_shortlist_finds_what_the_exact_one_does(gallery_of):
    pytest.importorskip("faiss")
    originals = [unit_rows(60 if n == 3 else 10, DIM, seed=n) for n in range(60)]  # number 3 has windows
    gallery = gallery_of({f"{n:02}.mp4": rows for n, rows in enumerate(originals)})
    approximate = open_approximate(gallery.index, 10, Progress())
    options = SearchOptions(shortlist=10, top=5)
    for number in (3, 17):
        query = asked(gallery, alike(originals[number], 0.9))
        exact = Searcher(gallery.index, options).hits(query)
        found = Searcher(gallery.index, options, approximate=approximate).hits(query)
        assert found == exact and found[0].video_id == f"{number:02}.mp4"
        assert len(set(ids(found))) == 5


def test_a_compressed_index_leaves_the_order_to_the_vectors(gallery_of, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr("vidlang.store.ann.LEAST_PQ", 256)
    originals = [unit_rows(200, DIM, seed=n) for n in range(40)]  # with windows
    gallery = gallery_of({f"{n:02}.mp4": rows for n, rows in enumerate(originals)})
    approximate = open_approximate(gallery.index, 5, Progress(), kind="ivf-pq", memory=20_000)
    assert approximate.kind == "ivf-pq"
    options = SearchOptions(similarity="cosine", shortlist=5, top=3)
    for number in (3, 17):
        query = asked(gallery, alike(originals[number], 0.95))
        exact = Searcher(gallery.index, options).hits(query)
        assert Searcher(gallery.index, options, approximate=approximate).hits(query)[0] == exact[0]


def test_recall_is_measured_with_the_queries_and_kept(gallery_of):
    pytest.importorskip("faiss")
    originals = [unit_rows(5, DIM, seed=n) for n in range(60)]
    gallery = gallery_of({f"{n:02}.mp4": rows for n, rows in enumerate(originals)})
    options = SearchOptions(shortlist=10)
    searcher = Searcher(gallery.index, options, approximate=open_approximate(gallery.index, 10, Progress()))
    queries = [asked(gallery, alike(rows, 0.9)) for rows in originals[:3]]
    lines = recall_lines(searcher, queries, Progress())
    assert "hnsw over 60 vectors" in lines[0]
    assert lines[1] == "of the exact shortlist of 10 videos it finds 100.0%, measured with 3 of your queries"
    half = [(list(range(10)), list(range(5, 15)))] * 4

    class Worse(Searcher):
        def shortlists(self, queries, size, progress=None, *, exact=False):
            return [pair[0 if exact else 1] for pair, _ in zip(half, queries, strict=False)]

    worse = Worse(gallery.index, options, approximate=searcher.approximate)
    assert recall_lines(worse, queries[:2], Progress())[1] == lines[1]  # known from more queries
    assert "finds 50.0%, measured with 4 of your" in recall_lines(worse, [*queries, queries[0]], Progress())[1]


# -- memory and many queries ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_many_queries_in_little_memory_get_the_hits_of_each_alone(gallery_of, kind, monkeypatch):
    monkeypatch.setattr("vidlang.workflows.search.QUERIES_AT_ONCE", 4)
    originals = [unit_rows(60 if n % 7 == 0 else 6, DIM, seed=n) for n in range(40)]
    gallery = gallery_of({f"{n:02}.mp4": rows for n, rows in enumerate(originals)})
    queries = [asked(gallery, alike(rows, 0.8)) for rows in originals[:9]]
    exclude = [{f"{n:02}.mp4"} if n % 2 else set() for n in range(9)]
    usual = SearchOptions(similarity=kind, shortlist=10, top=4)
    alone = [Searcher(gallery.index, usual).hits(query, out) for query, out in zip(queries, exclude, strict=True)]
    together = list(Searcher(gallery.index, replace(usual, memory=1000)).hits_of(queries, exclude))
    assert [ids(hits) for hits in together] == [ids(hits) for hits in alone]
    for mine, theirs in zip(together, alone, strict=True):
        assert [hit.similarity for hit in mine] == pytest.approx([hit.similarity for hit in theirs], abs=1e-5)
        assert [hit.segments for hit in mine] == [hit.segments for hit in theirs]
    assert all(f"{n:02}.mp4" not in ids(hits) for n, hits in enumerate(together) if n % 2)


def test_several_texts_in_one_pass_get_the_hits_of_each_alone(gallery_of):
    gallery = gallery_of({f"{n:02}.mp4": unit_rows(5, DIM, seed=n) for n in range(20)})
    texts = {str(n): AXES[n] for n in range(3)}
    found = text_hits_of(gallery.index, texts, SearchOptions(top=5, memory=100))
    assert found == {name: text_hits(gallery.index, text, SearchOptions(top=5)) for name, text in texts.items()}


# -- background ------------------------------------------------------------------------------------------------------


def test_background_videos_are_no_hits_and_their_similarity_is_taken_away(gallery_of):
    """The three nearest of four background videos have 0.6, 0.5 and 0.4, so the bias is 0.5."""
    same = np.tile(AXES[0], (10, 1))
    cosines = {"back0.mp4": 0.6, "back1.mp4": 0.5, "back2.mp4": 0.4, "back3.mp4": 0.1, "a.mp4": 0.9, "b.mp4": 0.3}
    rows = {
        name: np.tile(cosine * AXES[0] + np.sqrt(1 - cosine**2) * AXES[1], (10, 1)) for name, cosine in cosines.items()
    }
    gallery = gallery_of(rows)
    background = tuple(p for p, name in enumerate(gallery.index.ids) if name.startswith("back"))
    searcher = Searcher(gallery.index, SearchOptions(), background=background)
    query = asked(gallery, same)
    assert NEAREST == 3 and searcher.bias(query) == pytest.approx(0.5, abs=1e-6)
    hits = searcher.hits(query)
    assert [(hit.video_id, round(hit.similarity, 5)) for hit in hits] == [("a.mp4", 0.4), ("b.mp4", -0.2)]
    assert Searcher(gallery.index, SearchOptions()).bias(query) == 0
    few = Searcher(gallery.index, SearchOptions(), background=background[3:])
    assert few.bias(query) == pytest.approx(0.1, abs=1e-6)


def test_unrelated_videos_are_all_pairs_of_different_ones(gallery_of):
    gallery = gallery_of({f"{n}.mp4": unit_rows(8 + n, DIM, seed=n) for n in range(5)})
    found = Searcher(gallery.index, SearchOptions()).unrelated_videos()
    rows = [gallery.index.rows(p) for p in range(5)]
    expected = [by_pairs("overlap", rows[a], rows[b]) for a in range(5) for b in range(5) if a != b]
    np.testing.assert_allclose(np.sort(found), np.sort(expected), atol=1e-6)
    sample = Searcher(gallery.index, SearchOptions()).unrelated_videos(max_videos=3)
    assert len(sample) == 6 and all(np.isclose(value, expected, atol=1e-6).any() for value in sample)


# -- which seconds match ---------------------------------------------------------------------------------------------


def seconds_of(gallery: Gallery, rows: np.ndarray, video_id: str):
    hits = Searcher(gallery.index, SearchOptions(top=100)).hits(asked(gallery, rows))
    found = next(hit for hit in hits if hit.video_id == video_id)
    return [((a.start, a.end), (b.start, b.end)) for a, b in found.segments]


@pytest.fixture
def scene(gallery_of) -> tuple[Gallery, np.ndarray]:
    """A gallery of a video of 120 s, every second another, among others; and its rows."""
    long = unit_rows(120, DIM, seed=1)
    return gallery_of({"long.mp4": long, **{f"{n}.mp4": unit_rows(40, DIM, seed=n + 10) for n in range(8)}}), long


def test_a_clip_lies_over_its_seconds_of_the_long_video(scene):
    gallery, long = scene
    assert seconds_of(gallery, alike(long[40:60], 0.9), "long.mp4") == [((0, 20), (40, 60))]


def test_a_clip_with_other_things_around_it_matches_in_its_middle(scene):
    gallery, long = scene
    around = unit_rows(20, DIM, seed=5)
    clip = np.concatenate([around[:10], alike(long[40:60], 0.9), around[10:]])
    assert seconds_of(gallery, clip, "long.mp4") == [((10, 30), (40, 60))]


def test_a_clip_at_half_speed_matches_half_as_many_seconds(scene):
    gallery, long = scene
    found = seconds_of(gallery, alike(np.repeat(long[40:60], 2, axis=0), 0.9), "long.mp4")
    assert len(found) == 1
    np.testing.assert_allclose(found[0], [(0, 40), (40, 60)], atol=1)


def test_a_copy_with_its_middle_cut_out_matches_in_two_places(scene):
    gallery, long = scene
    clip = alike(np.concatenate([long[20:35], long[70:90]]), 0.9)
    assert seconds_of(gallery, clip, "long.mp4") == [((0, 15), (20, 35)), ((15, 35), (70, 90))]


def test_videos_that_share_nothing_have_no_matched_seconds(scene):
    gallery, _ = scene
    assert all(
        hit.segments == () for hit in Searcher(gallery.index, SearchOptions()).hits(asked(gallery, unit_rows(30, DIM)))
    )


def test_seconds_are_those_behind_the_skipped_start(workspace, cache, gallery_of):
    rows = unit_rows(30, DIM, seed=1)
    others = {f"{n}.mp4": unit_rows(30, DIM, seed=n + 10) for n in range(8)}
    gallery = gallery_of({"a.mp4": rows, **others}, replace(KEEP, skip_start=5))
    assert seconds_of(gallery, rows, "a.mp4") == [((5, 30), (5, 30))]


def test_segments_are_not_looked_for_where_nobody_wants_them(scene):
    gallery, long = scene
    hits = Searcher(gallery.index, SearchOptions(segments=False)).hits(asked(gallery, long))
    assert hits[0].video_id == "long.mp4" and all(hit.segments == () for hit in hits)


def test_one_row_matches_the_second_that_shows_it(scene):
    gallery, long = scene
    assert seconds_of(gallery, long[70:71], "long.mp4") == [((0, 1), (70, 71))]


def test_videos_of_one_row_match_one_another(gallery_of):
    rows = {f"{n}.mp4": unit_rows(1, DIM, seed=n) for n in range(3)}
    gallery = gallery_of(rows)
    hits = Searcher(gallery.index, SearchOptions(similarity="chamfer")).hits(asked(gallery, rows["1.mp4"]))
    assert hits[0].video_id == "1.mp4" and hits[0].similarity == pytest.approx(1)
    assert hits[0].segments == ((Segment(0, 1), Segment(0, 1)),)


@pytest.mark.parametrize("num_videos", [1, 2, 3])
@pytest.mark.parametrize("num_rows", [1, 4, 30])
def test_a_gallery_of_nothing_but_copies_of_the_query_matches_throughout(gallery_of, num_videos, num_rows):
    """There are no unrelated frames that tell what is alike by chance."""
    rows = unit_rows(num_rows, DIM, seed=1)
    gallery = gallery_of({f"{n}.mp4": rows for n in range(num_videos)})
    for hit in Searcher(gallery.index, SearchOptions()).hits(asked(gallery, rows)):
        assert hit.segments == ((Segment(0, num_rows), Segment(0, num_rows)),)


def test_a_still_video_matches_its_copy(gallery_of):
    still = np.tile(AXES[3], (20, 1))
    gallery = gallery_of({"a.mp4": still, "b.mp4": still, "c.mp4": unit_rows(20, DIM)})
    hits = Searcher(gallery.index, SearchOptions()).hits(asked(gallery, still))
    assert ids(hits)[:2] == ["a.mp4", "b.mp4"] and all(hit.segments for hit in hits[:2])


# -- texts -----------------------------------------------------------------------------------------------------------


def row(cosine: float, other: int = 1) -> np.ndarray:
    return cosine * AXES[0] + np.sqrt(1 - cosine**2) * AXES[other]


def test_a_text_is_compared_with_the_best_frame_and_with_the_mean(gallery_of):
    """a: best .8, mean .4; b: best .5, mean .5; c: best .1."""
    gallery = gallery_of(
        {
            "a.mp4": np.stack([row(0.8), row(0.3), row(0.1)]),
            "b.mp4": np.stack([row(0.5), row(0.5, 2)]),
            "c.mp4": row(0.1)[None],
        }
    )
    hits = text_hits(gallery.index, AXES[0], SearchOptions())
    assert [(hit.video_id, round(hit.similarity, 6)) for hit in hits] == [
        ("a.mp4", 0.6), ("b.mp4", 0.5), ("c.mp4", 0.1)
    ]  # fmt: skip
    assert ids(text_hits(gallery.index, AXES[0], SearchOptions(top=1))) == ["a.mp4"]
    assert ids(text_hits(gallery.index, AXES[0], SearchOptions(threshold=0.45))) == ["a.mp4", "b.mp4"]


def test_a_text_matches_the_seconds_around_the_best_frame(gallery_of):
    """Cosines 0 .55 .9 .8 .1 .75: the mean is .517, half way to the best .708; row 5 lies apart."""
    gallery = gallery_of({"a.mp4": np.stack([row(c) for c in (0.0, 0.55, 0.9, 0.8, 0.1, 0.75)])})
    (hit,) = text_hits(gallery.index, AXES[0], SearchOptions())
    assert [theirs for _, theirs in hit.segments] == [Segment(2, 4)]
    assert not any(bool(mine) for mine, _ in hit.segments)
    assert text_hits(gallery.index, AXES[0], SearchOptions(segments=False))[0].segments == ()


def test_texts_are_compared_with_rows_as_the_encoder_made_them_whatever_the_whitening(gallery_of):
    rows = {f"{n}.mp4": unit_rows(20, DIM, seed=n) for n in range(6)}
    plain = gallery_of(rows)
    white = gallery_of(rows, replace(KEEP, whitening="whiten", num_components=5))
    asked_for = unit_rows(1, DIM, seed=99)[0]
    first, second = (text_hits(g.index, asked_for, SearchOptions()) for g in (plain, white))
    assert ids(first) == ids(second)
    np.testing.assert_allclose([h.similarity for h in first], [h.similarity for h in second], atol=1e-6)
    assert [h.segments for h in first] == [h.segments for h in second]
