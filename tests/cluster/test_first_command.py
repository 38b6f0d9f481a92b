"""The README's two commands, `make demo` and `make up`, in the surroundings that people have.

Each has mounts, a network or a user of its own, made with namespaces; all share this clone's environment.
"""

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import signal
import sys
from pathlib import Path

import pytest

from services.cluster import envoy, nats, postgres
from services.runtime.definition import chosen
from tests.cluster.toys import REPOSITORY, gone

TOOLS = ("unshare", "setpriv", "mount", "ip", "make")
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or any(shutil.which(tool) is None for tool in TOOLS),
    reason=f"surroundings are made by root with {', '.join(TOOLS)}",
)
NOBODY, NO_ENTRY = 65534, 54321
PORTS = [envoy.PORT, envoy.ADMIN_PORT, nats.PORT, *(item.port for item in chosen())]
PORTS += [companion.port for item in chosen() for companion in item.companions]
# Holds every default port, also in the program that it becomes.
TAKE_PORTS = """
import os, socket, sys
for port in sys.argv[1].split(","):
    os.set_inheritable(socket.create_server(("127.0.0.1", int(port))).detach(), True)
os.execvp(sys.argv[2], sys.argv[2:])
"""


# A make that runs the tests hands its own options on.
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "ARGS"))
}


class Surroundings:
    """Shell lines that make the surroundings, and the command that becomes of the shell."""

    def __init__(self, place):
        self.place, self.home, self.clone = place, place / "home", REPOSITORY
        self.lines = ["set -e"]
        self.before = []

    def run(self, *words):
        self.lines.append(shlex.join(map(str, words)))

    def see_clone_at(self, path):
        """See the clone at another path too, in a directory that is closed to others."""
        path.parent.mkdir(mode=0o700, parents=True)
        self.run("mkdir", path)
        self.run("mount", "--bind", REPOSITORY, path)
        self.clone = path

    def become(self, user):
        """Another user, who owns the home, and whom no closed directory keeps from Python and the clone."""
        self.home.mkdir()
        os.chown(self.home, user, user)
        needed = [REPOSITORY, Path(sys.base_prefix), self.home]
        for number, path in enumerate(needed):
            self.run("mkdir", "-p", f"/run/commerce-test/{number}")
            self.run("mount", "--rbind", path, f"/run/commerce-test/{number}")
        for closed in {closed for path in needed if (closed := outermost_closed(path))}:
            self.run("mount", "-t", "tmpfs", "-o", "mode=755", "none", closed)
        for number, path in enumerate(needed):
            if outermost_closed(path):
                self.run("mkdir", "-p", path)
                self.run("mount", "--rbind", f"/run/commerce-test/{number}", path)
        self.before = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]

    def command(self, target):
        becomes = shlex.join([*map(str, self.before), "make", "--no-print-directory", target])
        return "\n".join([*self.lines, f"cd {shlex.quote(str(self.clone))}", f"exec {becomes}"])


def outermost_closed(path):
    """The first directory on the way to a path that is closed to others."""
    return next((each for each in reversed(path.parents) if not each.stat().st_mode & 0o001), None)


def closed_directory(around):
    around.see_clone_at(around.place / "root" / "Commerce")


def without_powers(around):
    """As in many containers: root lacks the capabilities with which PostgreSQL's user could cross directories."""
    closed_directory(around)
    around.before = ["setpriv", "--bounding-set=-setpcap,-dac_read_search", "--inh-caps=-all"]


def plain_user(around):
    around.become(NOBODY)


def user_without_entry(around):
    around.become(NO_ENTRY)
    around.before = ["env", "-u", "HOME", *around.before]


def blanks_and_taken_ports(around):
    around.before = [sys.executable, "-c", TAKE_PORTS, ",".join(map(str, PORTS))]
    around.home = around.place / 'it\'s a "home" of $mine'
    around.see_clone_at(around.place / "my clones" / "Commerce 1")


def closed_umask(around):
    """Made with umask 077, the environment's programs are as pip then leaves them: others may run them, not read."""
    programs = postgres.binaries().parent
    own = around.place / "programs"
    shutil.copytree(programs, own, symlinks=True)
    around.run("chmod", "-R", "go=", own)
    around.run("chmod", "go=x", *(own / "bin").iterdir())
    around.run("mount", "--bind", own, programs)
    around.lines.append("umask 077")


def read_only_clone(around):
    """By root, in a clone that is closed to nobody."""
    around.run("mount", "--bind", "-o", "ro", REPOSITORY, REPOSITORY)


def no_programs_in_tmp(around):
    kept = "/run/commerce-test/clone"
    around.run("mkdir", "-p", kept)
    around.run("mount", "--rbind", REPOSITORY, kept)
    for path in ("/tmp", "/dev/shm"):
        around.run("mount", "-t", "tmpfs", "-o", "noexec", "none", path)
    # The clone itself may lie below /tmp.
    around.run("mkdir", "-p", REPOSITORY)
    around.run("mount", "--rbind", kept, REPOSITORY)
    around.home = Path("/var/tmp") / f"commerce-{os.getpid()}"


@contextlib.asynccontextmanager
async def made(around, target):
    """The command, running in its surroundings: all have no network but the loopback interface."""
    child = await asyncio.create_subprocess_exec(
        *["unshare", "--mount", "--propagation=private", "--net", "bash", "-c"],
        f"ip link set lo up\n{around.command(target)}",
        env=ENVIRONMENT | {"NO_COLOR": "1", "COLUMNS": "100", "COMMERCE_HOME": str(around.home)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
        shutil.rmtree(around.home, ignore_errors=True)


EVERY = [
    closed_directory,
    without_powers,
    plain_user,
    user_without_entry,
    blanks_and_taken_ports,
    closed_umask,
    read_only_clone,
    no_programs_in_tmp,
]


@pytest.mark.parametrize("surrounding", EVERY, ids=lambda each: each.__name__)
async def test_make_up_starts_everything_and_an_interrupt_ends_it(tmp_path, surrounding):
    around = Surroundings(tmp_path)
    surrounding(around)
    async with made(around, "up") as up:
        said = ""
        while "Ctrl-C stops everything" not in said:
            line = await asyncio.wait_for(up.stdout.readline(), 90)
            assert line, f"it ended:\n{said}"
            said += line.decode()
        os.killpg(up.pid, signal.SIGINT)
        said += (await asyncio.wait_for(up.stdout.read(), 60)).decode()
        assert "✓ stopped" in said
    assert await gone(tmp_path)


async def test_make_demo_tells_its_story(tmp_path):
    """To a plain user: tests of the demo tell it to root, and what surrounds it matters to the start alone."""
    around = Surroundings(tmp_path)
    plain_user(around)
    async with made(around, "demo") as demo:
        said = (await asyncio.wait_for(demo.stdout.read(), 300)).decode()
        assert await demo.wait() == 0, said
    assert re.search(r"✓ \d+ steps held", said)
    assert await gone(tmp_path)


async def test_a_failed_start_quotes_the_cause(tmp_path):
    around = Surroundings(tmp_path)
    around.home.mkdir()
    around.run("mount", "-t", "tmpfs", "-o", "size=4m", "none", around.home)
    async with made(around, "up") as up:
        said = (await asyncio.wait_for(up.stdout.read(), 90)).decode()
        assert await up.wait() != 0
    assert "PostgreSQL's data directory could not be made" in said
    assert "No space left on device" in said


def other_pythons():
    """The supported interpreters of this machine besides our own."""
    for minor in range(11, 15):
        places = [
            Path(f"/usr/bin/python3.{minor}"),
            *(Path.home() / ".pyenv" / "versions").glob(f"3.{minor}.*/bin/python3"),
        ]
        found = next((place for place in places if place.exists()), None)
        if found and minor != sys.version_info.minor:
            yield pytest.param(found, id=f"3.{minor}")


@pytest.mark.skipif(
    not os.environ.get("COMMERCE_EVERY_PYTHON"),
    reason="makes an environment for each Python, minutes of downloads: COMMERCE_EVERY_PYTHON=1 has it done",
)
@pytest.mark.parametrize("python", [*other_pythons()])
async def test_make_demo_sets_itself_up_with_every_python(tmp_path, python):
    clone = tmp_path / "Commerce"
    await (await asyncio.create_subprocess_exec("git", "clone", "-q", REPOSITORY, clone)).wait()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(python)
    demo = await asyncio.create_subprocess_exec(
        *["make", "demo"],
        cwd=clone,
        env=ENVIRONMENT | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(demo.communicate(), 1200)
    said = out.decode()
    assert demo.returncode == 0, said
    assert re.search(r"✓ \d+ steps held", said)
