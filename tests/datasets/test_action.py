"""Lists of UCF101, HMDB51 and Kinetics: small ones of the published form, and lines that cannot be true."""

from __future__ import annotations

import pytest

from vidlang.core import BadAnnotation, BadInput, Label, UnknownName
from vidlang.datasets import import_action
from vidlang.datasets.action import import_hmdb51, import_kinetics, import_ucf101
from vidlang.datasets.manifest import match_ids, read_manifest
from vidlang.workflows.datasets import import_annotations

CLASS_IND = "1 ApplyEyeMakeup\r\n37 HandstandPushups\r\n"
TRAIN_1 = "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\nHandstandPushups/v_HandStandPushups_g08_c01.avi 37\r\n"
TEST_1 = "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\r\nHandstandPushups/v_HandStandPushups_g01_c01.avi\r\n"


def videos(labels: list[Label]) -> dict[str, tuple[str, str]]:
    assert all(len(label.classes) == 1 and not label.segments for label in labels)
    return {label.video_id: (label.classes[0], label.split) for label in labels}


@pytest.fixture
def ucf101(tmp_path):
    folder = tmp_path / "ucfTrainTestlist"
    folder.mkdir()
    (folder / "classInd.txt").write_bytes(CLASS_IND.encode())
    for number, (train, test) in enumerate([(TRAIN_1, TEST_1), (TEST_1, TRAIN_1), (TRAIN_1, TEST_1)], start=1):
        (folder / f"trainlist0{number}.txt").write_bytes(train.encode())
        (folder / f"testlist0{number}.txt").write_bytes(test.encode())
    return folder


def test_ucf101_by_head(ucf101):
    assert videos(import_ucf101(ucf101)) == {
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi": ("ApplyEyeMakeup", "train"),
        "HandstandPushups/v_HandStandPushups_g08_c01.avi": ("HandstandPushups", "train"),
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi": ("ApplyEyeMakeup", "test"),
        "HandstandPushups/v_HandStandPushups_g01_c01.avi": ("HandstandPushups", "test"),
    }


def test_the_split_that_is_asked_for_is_read(ucf101):
    second = videos(import_ucf101(ucf101.parent, split_number=2))
    assert second["ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi"] == ("ApplyEyeMakeup", "train")
    assert second["ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi"] == ("ApplyEyeMakeup", "test")
    with pytest.raises(BadInput, match="no split 4"):
        import_ucf101(ucf101, split_number=4)


def test_class_numbers_are_held_to_the_first_mention_where_no_file_lists_them(ucf101):
    (ucf101 / "classInd.txt").unlink()
    assert len(import_ucf101(ucf101)) == 4
    (ucf101 / "trainlist01.txt").write_text(TRAIN_1 + "ApplyEyeMakeup/v_ApplyEyeMakeup_g09_c01.avi 37\n")
    with pytest.raises(BadAnnotation, match=r"trainlist01.txt, line 3: ApplyEyeMakeup is class 1, not 37"):
        import_ucf101(ucf101)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("testlist01.txt", TEST_1 + TEST_1, r"testlist01.txt, line 3: .*g01_c01.avi is in test twice, .* line 1\.$"),
        ("testlist01.txt", TRAIN_1, r"testlist01.txt, line 1: .* is in test and train, see trainlist01.txt, line 1"),
        ("trainlist01.txt", TRAIN_1 + "Archery/a.avi 3", r"trainlist01.txt, line 3: Archery is no class of classInd"),
        ("trainlist01.txt", "ApplyEyeMakeup/a.avi 2", r"trainlist01.txt, line 1: ApplyEyeMakeup is class 1, not 2"),
        ("trainlist01.txt", TRAIN_1.splitlines()[0], r"have no training video of HandstandPushups"),
        ("testlist01.txt", TEST_1.splitlines()[0], r"have no test video of HandstandPushups"),
        ("testlist01.txt", "v_ApplyEyeMakeup_g01_c01.avi", r"testlist01.txt, line 1 should be Class/video.avi"),
        ("trainlist01.txt", "ApplyEyeMakeup/a.avi one", r"trainlist01.txt, line 1 should be Class/video.avi"),
        ("classInd.txt", CLASS_IND + "1 Archery", r"classInd.txt, line 3: Archery as class 1 is at odds with Apply"),
        ("classInd.txt", "ApplyEyeMakeup", r"classInd.txt, line 1 should be a number and a class"),
    ],
)
def test_what_cannot_be_true_of_ucf101(ucf101, file, text, message):
    (ucf101 / file).write_text(text)
    with pytest.raises(BadAnnotation, match=message):
        import_ucf101(ucf101)


def test_a_missing_list_is_named(ucf101):
    (ucf101 / "testlist03.txt").unlink()
    with pytest.raises(BadAnnotation, match=r"lacks testlist03.txt"):
        import_ucf101(ucf101, split_number=3)


@pytest.fixture
def hmdb51(tmp_path):
    for split, uses in (("1", "120"), ("2", "012")):
        for name in ("kick", "brush_hair"):
            lines = [f"{name}_{letter}#1.avi {use} \n" for letter, use in zip("abc", uses, strict=True)]
            (tmp_path / f"{name}_test_split{split}.txt").write_text("".join(lines))
    return tmp_path


def test_hmdb51_by_head(hmdb51):
    assert videos(import_hmdb51(hmdb51)) == {
        "brush_hair/brush_hair_a#1.avi": ("brush_hair", "train"),
        "brush_hair/brush_hair_b#1.avi": ("brush_hair", "test"),
        "kick/kick_a#1.avi": ("kick", "train"),
        "kick/kick_b#1.avi": ("kick", "test"),
    }
    assert videos(import_hmdb51(hmdb51, 2))["kick/kick_c#1.avi"] == ("kick", "test")
    assert "kick/kick_a#1.avi" not in videos(import_hmdb51(hmdb51, 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.avi 1\nb.avi 2\na.avi 1\n", r"kick_test_split1.txt, line 3: kick/a.avi is in train twice, .* line 1\.$"),
        ("a.avi 1\nb.avi 2\na.avi 0\n", r"line 3: kick/a.avi is in unused and train"),
        ("a.avi 1\nb.avi 3\n", r"kick_test_split1.txt, line 2: 3 is none of 0 \(not used\), 1"),
        ("a.avi 1\nb.avi\n", r"kick_test_split1.txt, line 2 should be a video and 0, 1 or 2"),
        ("a.avi 1\nb.avi 1\n", r"kick_test_split1.txt have no test video of kick"),
        ("", r"kick_test_split1.txt have no training video of kick"),
    ],
)
def test_what_cannot_be_true_of_hmdb51(hmdb51, text, message):
    (hmdb51 / "kick_test_split1.txt").write_text(text)
    with pytest.raises(BadAnnotation, match=message):
        import_hmdb51(hmdb51)


def test_a_class_without_its_file_is_named(hmdb51):
    (hmdb51 / "kick_test_split1.txt").unlink()
    with pytest.raises(BadAnnotation, match=r"has kick_test_split2.txt but no kick_test_split1.txt"):
        import_hmdb51(hmdb51)
    with pytest.raises(BadAnnotation, match=r"has brush_hair_test_split1.txt but no brush_hair_test_split3.txt"):
        import_hmdb51(hmdb51, 3)


def test_two_releases_in_one_folder_are_not_mixed(hmdb51):
    (hmdb51 / "copy").mkdir()
    (hmdb51 / "copy" / "kick_test_split1.txt").write_text("a.avi 1\n")
    with pytest.raises(BadAnnotation, match="may both be meant"):
        import_hmdb51(hmdb51)


def test_a_folder_without_lists_is_refused(tmp_path):
    with pytest.raises(BadAnnotation, match=r"lacks brush_hair_test_split1.txt and others"):
        import_hmdb51(tmp_path)
    with pytest.raises(BadAnnotation, match="is no folder"):
        import_hmdb51(tmp_path / "none")
    with pytest.raises(BadAnnotation, match="is no folder"):
        import_ucf101(tmp_path / "none")


def test_kinetics_from_class_folders(tmp_path):
    for path in ("train/abseiling/b.mp4", "train/abseiling/a.MKV", "train/zumba/c.mp4", "val/zumba/d.mp4"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    (tmp_path / "train" / "zumba" / "notes.txt").write_text("")
    assert videos(import_kinetics(tmp_path)) == {
        "train/abseiling/a.MKV": ("abseiling", "train"),
        "train/abseiling/b.mp4": ("abseiling", "train"),
        "train/zumba/c.mp4": ("zumba", "train"),
        "val/zumba/d.mp4": ("zumba", "val"),
    }
    (tmp_path / "val" / "abseiling").mkdir()
    with pytest.raises(BadAnnotation, match="abseiling holds no video"):
        import_kinetics(tmp_path)


KINETICS_HEAD = "label,youtube_id,time_start,time_end,split,is_cc\n"


def test_kinetics_from_its_lists(tmp_path):
    (tmp_path / "train.csv").write_text(KINETICS_HEAD + '"petting animal (not cat)",-0jMGhX_Y,5,15,train,0\n')
    (tmp_path / "validate.csv").write_text(KINETICS_HEAD + "cook's tour,AbC,0.0,10.0,validate,0\n")
    labels = import_kinetics(tmp_path)
    assert videos(labels) == {
        "train/petting_animal_not_cat/-0jMGhX_Y_000005_000015.mp4": ("petting animal (not cat)", "train"),
        "val/cooks_tour/AbC_000000_000010.mp4": ("cook's tour", "val"),
    }
    assert len(import_kinetics(tmp_path / "train.csv")) == 1
    mine = match_ids(labels, ["pets/-0jMGhX_Y_000005_000015.mkv"], allow_missing=True)
    assert [label.video_id for label in mine] == ["pets/-0jMGhX_Y_000005_000015.mkv"]


def test_the_list_of_test_videos_without_classes_is_passed_over(tmp_path):
    (tmp_path / "kinetics_test.csv").write_text("youtube_id,time_start,time_end,split\nx,0,10,test\n")
    with pytest.raises(BadAnnotation, match=r"kinetics_test.csv lacks the columns label of"):
        import_kinetics(tmp_path)
    (tmp_path / "kinetics_train.csv").write_text(KINETICS_HEAD + "archery,y,0,10,train,0\n")
    assert videos(import_kinetics(tmp_path)) == {"train/archery/y_000000_000010.mp4": ("archery", "train")}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a,x,0,10,train,0\na,y,0,10,train,0\nb,x,0,10,train,0\n", r"list.csv, line 4: train/b/x_.* is in train twice"),
        ("a,x,0,10,train,0\na,x,0,10,val,0\n", r"list.csv, line 3: .* is in val and train, see list.csv, line 2"),
        ("a,x,0,10,holdout,0\n", r"list.csv, line 2: there is no split 'holdout'"),
        (",x,0,10,train,0\n", r"list.csv, line 2 has no label"),
        ("a,x,0,10,\n", r"list.csv, line 2 has no split"),
        ("a,x,zero,10,train,0\n", r"list.csv, line 2: 'zero' is no number of seconds"),
        ("a,x,0.5,10,train,0\n", r"list.csv, line 2: 0.5 is no whole number of seconds"),
        ("a,x,nan,10,train,0\n", r"list.csv, line 2: nan is no whole number of seconds"),
        ("a,x\n", r"list.csv, line 2 has no time_start"),
    ],
)
def test_what_cannot_be_true_of_kinetics(tmp_path, lines, message):
    (tmp_path / "list.csv").write_text(KINETICS_HEAD + lines)
    with pytest.raises(BadAnnotation, match=message):
        import_kinetics(tmp_path)


def test_other_tables_are_no_list_of_kinetics(tmp_path):
    with pytest.raises(BadAnnotation, match="holds neither train/<class>/ with videos nor a list"):
        import_kinetics(tmp_path)
    (tmp_path / "a.csv").write_text("video,label\n")
    with pytest.raises(BadAnnotation, match="lacks the columns youtube_id, time_start, time_end, split"):
        import_kinetics(tmp_path)


def test_importers_by_name(ucf101, hmdb51):
    assert import_action("ucf101", ucf101, 3) == import_ucf101(ucf101, 3)
    assert import_action("hmdb51", hmdb51) == import_hmdb51(hmdb51)
    with pytest.raises(BadInput, match="kinetics has one split"):
        import_action("kinetics", ucf101, 1)
    with pytest.raises(UnknownName, match="Did you mean 'ucf101'"):
        import_action("ucf-101", ucf101)


def test_a_manifest_of_a_split_is_written_and_read_back(ucf101, tmp_path):
    out = tmp_path / "labels.csv"
    summary, notes = import_annotations("ucf101", ucf101, out, None, split_number=2)
    assert summary.endswith("4 videos (2 test, 2 train), 0 true segments.") and notes == []
    assert videos(read_manifest(out)) == videos(import_ucf101(ucf101, 2))
    with pytest.raises(BadInput, match="--split-number is for ucf101 and hmdb51, thumos14 has one"):
        import_annotations("thumos14", ucf101, out, None, split_number=2)
    with pytest.raises(UnknownName, match="Did you mean 'ucf101'"):
        import_annotations("ucf1O1", ucf101, out, None, split_number=2)


def test_the_command_takes_the_number_of_a_split(ucf101, tmp_path):
    from typer.testing import CliRunner

    from vidlang.cli.datasets import app

    out = tmp_path / "second.csv"
    done = CliRunner().invoke(app, ["import", "ucf101", str(ucf101), "-o", str(out), "--split-number", "2"])
    assert done.exit_code == 0 and "4 videos (2 test, 2 train)" in done.output
    assert videos(read_manifest(out)) == videos(import_ucf101(ucf101, 2))
    assert CliRunner().invoke(app, ["import", "ucf101", str(ucf101), "--split-number", "4"]).exit_code == 2
