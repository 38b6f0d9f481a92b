"""Becomes a given command, bound to the life of the supervisor that started it.

    python -I -S launch.py SUPERVISOR_PID SIGNAL USER COMMAND…

The kernel sends SIGNAL when the supervisor ends in any way, SIGKILL included (Linux, PR_SET_PDEATHSIG).
USER "-" keeps the user; another one keeps, of root's powers, only that of crossing directories and reading,
so that PostgreSQL, which refuses root, works below directories that are closed to others.
USER "=NAME" stays itself, and the command sees it as NAME: initdb wants a name, which not every user has.
Only the standard library is imported: this runs before every process.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP = 28, 1 << 2
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAP_DAC_READ_SEARCH, CAP_SETPCAP = 2, 8
CLONE_NEWUSER = 0x10000000
CAPABILITY_VERSION_3 = 0x20080522


def main(arguments: list[str]) -> None:
    supervisor, signal_number, user, *command = arguments
    linux = ctypes.CDLL(None) if sys.platform == "linux" else None
    if user.startswith("="):
        appear_as(user[1:], linux)
    elif user != "-":
        become(user, linux)
    if linux is not None:
        # After setuid, which would clear it.
        linux.prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
    if os.getppid() != int(supervisor):
        sys.exit("the supervisor ended before its child began")
    os.execv(command[0], command)


def appear_as(name: str, linux: ctypes.CDLL | None) -> None:
    user, group, seen = os.geteuid(), os.getegid(), pwd.getpwnam(name)
    if linux is None or linux.unshare(CLONE_NEWUSER) != 0:
        sys.exit(
            f"user {user} has no line in /etc/passwd, and PostgreSQL needs one: add it, or be another user"
        )
    for file, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{seen.pw_uid} {user} 1"),
        ("gid_map", f"{seen.pw_gid} {group} 1"),
    ):
        with open(f"/proc/self/{file}", "w") as kernel:  # noqa: PTH123 (pathlib is slow to import)
            kernel.write(content)


def become(user: str, linux: ctypes.CDLL | None) -> None:
    account = pwd.getpwnam(user)
    os.initgroups(user, account.pw_gid)
    os.setgid(account.pw_gid)
    if linux is None:
        os.setuid(account.pw_uid)
        return
    # Without this bit access(2), which initdb asks for its programs, looks without any capability when the user
    # is not root. Setting it needs CAP_SETPCAP; KEEPCAPS is for who lacks that.
    linux.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    linux.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setuid(account.pw_uid)
    kept = 1 << CAP_DAC_READ_SEARCH
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    # Effective, permitted, inheritable: the low words, then the high ones.
    if linux.capset(header, (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0)) == 0:
        linux.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
