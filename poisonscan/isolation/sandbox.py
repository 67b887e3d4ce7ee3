"""What a worker process gives up before it reads hostile bytes.

Limits of the system on every POSIX machine; on Linux also Landlock (no file can be opened but
those of Python itself) and seccomp (no socket, no program started, no signal sent). Each
layer is best effort: what the system does not offer is left out, and the report says which were on.
Numbers: Linux ``uapi/linux/landlock.h``, ``uapi/linux/seccomp.h``, ``uapi/linux/filter.h`` and the
system call tables of x86-64 and aarch64.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import struct
import sys
from pathlib import Path
from typing import Any, Final

from poisonscan.engines.processes import held

if sys.platform != "win32":
    import resource

_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG
_NO_NEW_PRIVILEGES: Final = 38  # PR_SET_NO_NEW_PRIVS
_SECCOMP: Final = 22  # PR_SET_SECCOMP
_FILTER: Final = 2  # SECCOMP_MODE_FILTER
_REFUSE: Final = 0x0005_0001  # SECCOMP_RET_ERRNO | EPERM
_ALLOW: Final = 0x7FFF_0000  # SECCOMP_RET_ALLOW
_KILL: Final = 0x8000_0000  # SECCOMP_RET_KILL_PROCESS

# socket connect bind listen accept accept4 sendto sendmsg socketpair, execve execveat, ptrace kill
# tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo process_vm_readv process_vm_writev process_madvise
# pidfd_open pidfd_send_signal pidfd_getfd, io_uring_setup bpf mount, fork vfork, and what changes
# modes, owners, times and attributes of files, which Landlock leaves open
_CALLS: Final = {
    "x86_64": (
        0xC000003E,
        (41, 42, 49, 50, 43, 288, 44, 46, 53, 59, 322, 101, 62, 200, 234, 129, 297, 310, 311, 440,
         434, 424, 438, 425, 321, 165, 57, 58, 90, 91, 268, 92, 93, 94, 260, 132, 235, 261, 280,
         188, 189, 190),
    ),
    "aarch64": (
        0xC00000B7,
        (198, 203, 200, 201, 202, 242, 206, 211, 199, 221, 281, 117, 129, 130, 131, 138, 240, 270,
         271, 440, 434, 424, 438, 425, 280, 40, 52, 53, 54, 55, 88, 5, 6, 7),
    ),
}  # fmt: skip
_OWN_FILES: Final = 64
_OTHER_CALLS: Final = 0x4000_0000  # __X32_SYSCALL_BIT: the same calls under other numbers

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_READ: Final = 1 << 2 | 1 << 3  # LANDLOCK_ACCESS_FS_READ_FILE | _READ_DIR
_RIGHTS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_ALL_RIGHTS: Final = (1 << 16) - 1  # from version 5 on
_SYSTEM: Final = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache")


def libc() -> Any:
    """The C library of this process, loaded before a worker starts; None where there is none."""
    if sys.platform != "linux":
        return None
    try:
        import ctypes

        return ctypes.CDLL(None, use_errno=True)
    except (ImportError, OSError):
        return None


def enter(library: Any, memory: int) -> tuple[str, ...]:
    """Give everything up that reading files does not need, in this process and for good.

    Args:
        library: of `libc`.
        memory: bytes that this process may allocate beyond what it holds.

    Returns:
        The layers that are on.
    """
    layers = ["process"]
    if sys.platform != "win32":
        for name, value in (("RLIMIT_CORE", 0), ("RLIMIT_FSIZE", 0)):
            _limit(name, value)
        # File mappings do not count as data, so a checkpoint larger than the limit can be read.
        if _limit("RLIMIT_DATA" if sys.platform == "linux" else "RLIMIT_AS", held() + memory):
            layers.append("memory")
    if library is not None:
        library.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0:
            if _landlock(library):
                layers.append("landlock")
            if _seccomp(library):
                layers.append("seccomp")
    return tuple(layers)


def allow_files(count: int) -> None:
    """Raise the number of files that this process may have open, as far as the system lets it."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _OWN_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def allow_seconds(seconds: int) -> None:
    """CPU time that this process may use from now on, in seconds; it is killed beyond."""
    if sys.platform == "win32":
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = used + seconds
    with contextlib.suppress(ValueError, OSError):
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _limit(name: str, value: int) -> bool:
    if sys.platform == "win32" or not hasattr(resource, name):
        return False
    kind = getattr(resource, name)
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(kind, (value, value))
    except (ValueError, OSError):
        return False
    return True


def _landlock(library: Any) -> bool:
    """Allow reading below the folders of Python and its libraries; nothing else can be opened."""
    version = library.syscall(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    rights = struct.pack("Q", _RIGHTS.get(version, _ALL_RIGHTS))
    ruleset = library.syscall(_CREATE_RULESET, rights, len(rights), 0)
    if ruleset < 0:
        return False
    try:
        for place in _needed():
            _permit(library, ruleset, place)
        return bool(library.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _needed() -> set[str]:
    """Folders that modules are still loaded from."""
    package = str(Path(__file__).resolve().parents[2])
    places = {sys.prefix, sys.base_prefix, package, *_SYSTEM}
    places |= {path for path in sys.path if path and Path(path).is_absolute()}
    return {place for place in places if place != "/" and os.path.exists(place)}  # noqa: PTH110


def _permit(library: Any, ruleset: int, place: str) -> None:
    try:
        descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        folder = os.path.isdir(place)  # noqa: PTH112 - no Path made for each of many
        # struct landlock_path_beneath_attr is packed.
        rule = struct.pack("=Qi", _READ if folder else 1 << 2, descriptor)
        library.syscall(_ADD_RULE, ruleset, 1, rule, 0)
    finally:
        os.close(descriptor)


def _seccomp(library: Any) -> bool:
    """Refuse the system calls in `_CALLS` with EPERM."""
    import ctypes

    known = _CALLS.get(platform.machine())
    if known is None or struct.calcsize("P") != 8:  # a 32-bit Python makes other calls
        return False
    architecture, numbers = known
    program = [
        (0x20, 0, 0, 4),  # load the architecture
        (0x15, 1, 0, architecture),  # another one would have other numbers
        (0x06, 0, 0, _KILL),
        (0x20, 0, 0, 0),  # load the number of the call
        (0x35, len(numbers) + 1, 0, _OTHER_CALLS),
    ]
    for index, number in enumerate(numbers):
        program.append((0x15, len(numbers) - index, 0, number))
    program += [(0x06, 0, 0, _ALLOW), (0x06, 0, 0, _REFUSE)]
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    return bool(library.prctl(_SECCOMP, _FILTER, header, 0, 0) == 0)
