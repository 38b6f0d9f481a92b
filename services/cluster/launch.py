"""Becomes a given command, bound to the life of the supervisor that started it.

    python -I -S launch.py SUPERVISOR_PID SIGNAL USER COMMAND…

The kernel sends SIGNAL when the supervisor ends in any way, SIGKILL included (Linux, PR_SET_PDEATHSIG).
USER "-" keeps the user. Only the standard library is imported: this runs before every process.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    supervisor, signal_number, user, *command = arguments
    if user != "-":
        account = pwd.getpwnam(user)
        os.initgroups(user, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    if sys.platform == "linux":
        # After setuid, which would clear it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
    if os.getppid() != int(supervisor):
        sys.exit("the supervisor ended before its child began")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
