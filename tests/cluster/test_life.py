"""Starting, dying, restarting, stopping: with processes that really start and really die."""

import asyncio
import os
import signal
import sys

import pytest

from services.cluster import processes, readiness, roles
from services.cluster.cluster import Cluster
from services.cluster.home import Home, HomeError
from services.cluster.processes import StartFailed
from tests.cluster.toys import REPOSITORY, SUPERVISOR, TOYS, configure, gone, processes_of, supervisor, toy
from tests.shop import eventually


async def test_stop_leaves_nothing_behind(tmp_path):
    async with Cluster(tmp_path, definitions=TOYS, configure=configure):
        assert len(processes_of(tmp_path)) >= len(TOYS) + 3
    assert processes_of(tmp_path) == {}
    assert not (tmp_path / "run" / "state.json").exists()


async def test_a_killed_supervisor_leaves_nothing_behind_and_its_home_starts_again(tmp_path):
    async with supervisor(tmp_path) as child:
        assert len(processes_of(tmp_path)) >= len(TOYS) + 3
        child.kill()
        await child.wait()
        assert await gone(tmp_path), processes_of(tmp_path)
    async with Cluster(tmp_path, definitions=TOYS, configure=configure) as cluster:
        assert cluster.status()["processes"]["postgres"]["state"] == "ready"


async def test_a_supervisor_killed_while_it_starts_leaves_nothing_behind(tmp_path):
    child = await asyncio.create_subprocess_exec(
        *SUPERVISOR, str(tmp_path), cwd=REPOSITORY, stdout=asyncio.subprocess.DEVNULL
    )
    while not (tmp_path / "postgres.new").exists():  # noqa: ASYNC110 (another process makes it)
        await asyncio.sleep(0.01)
    child.kill()
    await child.wait()
    assert await gone(tmp_path), processes_of(tmp_path)
    async with supervisor(tmp_path):
        pass


@pytest.mark.parametrize("name", ["alpha", "gamma-2", "till", "nats", "postgres", "envoy"])
async def test_a_killed_process_is_restarted_at_its_address(toy_cluster, name):
    process = toy_cluster.process(name)
    before, restarts, address = process.pid, process.restarts, process.spec.address

    toy_cluster.kill(name)
    await toy_cluster.wait_ready(name)

    assert process.pid not in (before, None)
    assert process.restarts > restarts
    assert process.spec.address == address


async def test_a_process_that_ends_by_itself_is_restarted(toy_cluster):
    toy_cluster.kill("beta", signal.SIGTERM)
    await toy_cluster.wait_ready("beta")
    assert toy_cluster.process("beta").state == "ready"


@pytest.fixture
def impatient(monkeypatch):
    """The supervisor asks twice a second, and waits half a second for an answer."""
    monkeypatch.setattr(processes, "ALIVE_EVERY_SECONDS", 0.5)
    monkeypatch.setattr(readiness, "ALIVE_SECONDS", 0.5)


@pytest.mark.parametrize("name", ["alpha", "nats", "postgres", "envoy"])
async def test_a_process_that_hangs_is_restarted_and_its_log_says_so(impatient, tmp_path, name):
    async with Cluster(tmp_path, definitions=TOYS, configure=configure) as cluster:
        hung = cluster.process(name)
        before = hung.pid
        cluster.kill(name, signal.SIGSTOP)
        await eventually(lambda: restarted(hung))
        await cluster.wait_ready(name)
        assert (hung.hangs, hung.restarts) == (1, 1)
        assert hung.pid != before
        assert "it hangs and is restarted" in hung.spec.log.read_text()
        assert cluster.status()["processes"][name]["hangs"] == 1


async def restarted(process):
    return process.restarts


async def test_a_short_stop_is_no_hang(impatient, tmp_path):
    async with Cluster(tmp_path, definitions=TOYS, configure=configure) as cluster:
        alpha = cluster.process("alpha")
        before = alpha.pid
        # Each is too short, but together they would not be.
        for _ in range(8):
            cluster.kill("alpha", signal.SIGSTOP)
            await asyncio.sleep(1)
            cluster.kill("alpha", signal.SIGCONT)
            await asyncio.sleep(1)
        assert (alpha.pid, alpha.hangs, alpha.restarts) == (before, 0, 0)


DEBUGGER = """
import ctypes, os, sys
pid = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
assert libc.ptrace(16, pid, None, None) == 0, os.strerror(ctypes.get_errno())
os.waitpid(pid, 0x40000000)
print("held", flush=True)
sys.stdin.read()
libc.ptrace(17, pid, None, None)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may always debug another process")
async def test_a_process_that_a_debugger_holds_is_left_alone(impatient, tmp_path):
    async with Cluster(tmp_path, definitions=TOYS, configure=configure) as cluster:
        alpha = cluster.process("alpha")
        before = alpha.pid
        debugger = await asyncio.create_subprocess_exec(
            *[sys.executable, "-c", DEBUGGER, str(before)],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert debugger.stdin is not None and debugger.stdout is not None
        assert await debugger.stdout.readline() == b"held\n"
        try:
            await asyncio.sleep(5)
            assert (alpha.pid, alpha.hangs) == (before, 0)
        finally:
            debugger.stdin.close()
            await debugger.wait()


def sleeper(tmp_path, ready, alive):
    return processes.Spec(
        name="sleeper",
        command=[sys.executable, "-c", "import time; time.sleep(60)"],
        environment={},
        directory=tmp_path,
        log=tmp_path / "sleeper.log",
        ready=ready,
        alive=alive,
    )


@pytest.fixture
async def process(tmp_path):
    """A process that was ready, and of which whoever asks whether it lives fails."""
    asked = asyncio.Event()

    async def ready():
        return True

    async def alive():
        asked.set()
        raise BrokenPipeError("while it went down")

    running = processes.Process(sleeper(tmp_path, ready, alive))
    await running.start()
    await asked.wait()
    yield running
    await running.stop()


async def test_a_probe_that_fails_ends_neither_the_watch_over_a_process_nor_its_stop(process):
    process.kill(signal.SIGKILL)
    await process.wait_ready()
    assert process.restarts == 1

    await process.stop()
    assert process.state is processes.State.STOPPED
    assert "could not be asked: BrokenPipeError('while it went down')" in process.spec.log.read_text()


async def test_who_answers_is_asked_seldom(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "ALIVE_EVERY_SECONDS", 0.2)
    asked = []

    async def ready():
        return True

    async def alive():
        asked.append(asyncio.get_running_loop().time())
        return True

    running = processes.Process(sleeper(tmp_path, ready, alive))
    await running.start()
    await eventually(lambda: asked_thrice(asked))
    await running.stop()

    # Twice six tenths, not twice two.
    assert asked[2] - asked[0] > 0.6


async def asked_thrice(asked):
    return len(asked) >= 3


async def test_a_start_that_is_cancelled_is_cancelled_whatever_fails_by_that(tmp_path, monkeypatch):
    began = asyncio.Event()

    async def provision(*_, **__):
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ConnectionResetError("the connection was closed in the middle of an operation")

    monkeypatch.setattr(roles, "provision", provision)
    start = asyncio.create_task(Cluster(tmp_path, definitions=TOYS, configure=configure).start())
    await began.wait()
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert await gone(tmp_path)


async def test_a_deleted_jetstream_store_is_made_anew(toy_cluster):
    mark = toy_cluster.home.path / "nats" / "mark"
    mark.touch()
    await toy_cluster.wipe_jetstream()
    assert not mark.exists()
    await toy_cluster.wait_ready("nats")


async def test_one_home_is_one_cluster(toy_cluster):
    with pytest.raises(HomeError, match=f"already runs in .* \\(process {os.getpid()}\\)"):
        await Cluster(toy_cluster.home.path, definitions=TOYS, configure=configure).start()


async def test_a_service_that_does_not_start_is_named_with_its_last_words_and_its_log(tmp_path):
    broken = (TOYS[0], toy("broken", 7409, module="tests.cluster.no_such_module"))
    with pytest.raises(StartFailed, match=r"No module named tests\.cluster\.no_such_module") as failed:
        await Cluster(tmp_path, definitions=broken, configure=configure).start()
    assert str(Home(tmp_path).log("broken")) in str(failed.value)
    assert processes_of(tmp_path) == {}


async def test_two_homes_are_two_clusters_side_by_side(toy_cluster, tmp_path):
    async with Cluster(tmp_path, definitions=TOYS, configure=configure) as other:
        ours, theirs = toy_cluster.status(), other.status()
        assert ours["gateway"] != theirs["gateway"]
        assert ours["database"] != theirs["database"]
        assert ours["nats"] != theirs["nats"]
        assert not set(ours["services"].values()) & set(theirs["services"].values())


async def test_a_setting_that_is_missing_in_the_middle_of_a_start_stops_all(tmp_path):
    with pytest.raises(StartFailed, match="COMMERCE_TOY_SETTING is missing"):
        await Cluster(
            tmp_path, definitions=TOYS, configure=configure, environment={"COMMERCE_TOY_FAILS": "1"}
        ).start()
    assert processes_of(tmp_path) == {}
