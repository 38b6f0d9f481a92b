"""A cluster's home is a directory of its own: nothing else is closed to others, or deleted with it."""

import pytest

from services.cluster.home import Home, HomeError


@pytest.fixture
def project(tmp_path):
    """Somebody's directory, which has a file called lock, too."""
    project = tmp_path / "project"
    project.mkdir(mode=0o755)
    (project / "lock").touch()
    (project / "thesis.txt").write_text("years of work")
    return project


def test_is_not_made_where_something_else_is(project):
    with pytest.raises(HomeError, match=r"is no home of a cluster, and holds thesis\.txt: name a directory"):
        Home(project).prepare()

    assert {each.name for each in project.iterdir()} == {"lock", "thesis.txt"}
    assert project.stat().st_mode & 0o777 == 0o755


def test_is_not_deleted_where_something_else_is(project):
    with pytest.raises(HomeError, match="is no home of a cluster: nothing was deleted"):
        Home(project).delete()

    assert (project / "thesis.txt").read_text() == "years of work"


def test_is_made_again_where_it_was_and_beside_the_demo_s(tmp_path):
    home = Home(tmp_path / "home")
    Home(home.path / "demo").prepare()

    home.prepare()
    home.lock()
    home.unlock()
    (home.path / "postgres").mkdir()
    home.prepare()
    home.delete()

    assert not home.path.exists()


def test_may_be_the_root_of_a_disk_and_hold_keys_that_were_brought(tmp_path):
    for name in ("lost+found", "keys"):
        (tmp_path / name).mkdir()

    Home(tmp_path).prepare()

    assert (tmp_path / "run").is_dir()
