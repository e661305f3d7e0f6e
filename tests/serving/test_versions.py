import pytest

from kerasdml.serving.versions import latest


def lay_out(root, *versions):
    for version in versions:
        (root / version).mkdir(parents=True)
        (root / version / "saved_model.pb").touch()


def test_takes_the_highest_number_not_the_last_name(tmp_path):
    lay_out(tmp_path / "birds", "1", "9", "12")
    version = latest(tmp_path / "birds")
    assert (version.name, version.number) == ("birds", 12)
    assert version.path == tmp_path / "birds/12"


def test_passes_over_what_is_not_a_finished_version(tmp_path):
    lay_out(tmp_path / "birds", "2", "backup", "5.tmp")
    (tmp_path / "birds/7").mkdir()
    assert latest(tmp_path / "birds").number == 2


def test_takes_one_version_directory(tmp_path):
    lay_out(tmp_path / "birds", "1", "2")
    assert latest(tmp_path / "birds/1")[1:] == ("birds", 1)


def test_a_saved_model_that_is_not_in_a_version_directory_is_version_1(tmp_path):
    lay_out(tmp_path, "birds")
    assert latest(tmp_path / "birds")[1:] == ("birds", 1)


def test_name_may_be_given(tmp_path):
    lay_out(tmp_path / "birds", "1")
    assert latest(tmp_path / "birds", name="cub200").name == "cub200"


@pytest.mark.parametrize("name", ["", "a/b", "a:b"])
def test_rejects_a_name_that_no_url_can_hold(tmp_path, name):
    lay_out(tmp_path / "birds", "1")
    with pytest.raises(ValueError, match="word without '/' and ':'. Received: name="):
        latest(tmp_path / "birds", name=name)


@pytest.mark.parametrize("where", ["missing", "."])
def test_says_where_a_saved_model_should_be(tmp_path, where):
    with pytest.raises(FileNotFoundError, match="as <path>/<version>/saved_model.pb"):
        latest(tmp_path / where)
