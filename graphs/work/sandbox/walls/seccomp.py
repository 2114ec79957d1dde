"""The system calls that sandboxed code may make: a seccomp allow-list, written by ctypes.

What isn't on the list doesn't exist for the code (ENOSYS): io_uring, keyrings, userfaultfd, bpf,
perf, ptrace and its kin, mounts, new namespaces, other processes' descriptors, memfd and SysV
memory. What is allowed only with some arguments stands in `_rules`. Standard library only: the
launcher imports it by its folder.
"""

import ctypes
import platform
import struct
import sys

PLAIN = """
read 0 63, write 1 64, open 2 -, close 3 57, stat 4 -, fstat 5 80, lstat 6 -, poll 7 -,
lseek 8 62, mmap 9 222, mprotect 10 226, munmap 11 215, brk 12 214, rt_sigaction 13 134,
rt_sigprocmask 14 135, rt_sigreturn 15 139, pread64 17 67, pwrite64 18 68, readv 19 65,
writev 20 66, access 21 -, pipe 22 -, select 23 -, sched_yield 24 124, mremap 25 216,
msync 26 227, mincore 27 232, madvise 28 233, dup 32 23, dup2 33 -, pause 34 -,
nanosleep 35 101, getitimer 36 102, alarm 37 -, setitimer 38 103, getpid 39 172,
sendfile 40 71, sendto 44 206, recvfrom 45 207, sendmsg 46 211, recvmsg 47 212,
shutdown 48 210, getsockname 51 204, getpeername 52 205, setsockopt 54 208,
getsockopt 55 209, fork 57 -, vfork 58 -, execve 59 221, exit 60 93, wait4 61 260,
uname 63 160, flock 73 32, fsync 74 82, fdatasync 75 83, truncate 76 45, ftruncate 77 46,
getdents 78 -, getcwd 79 17, chdir 80 49, fchdir 81 50, rename 82 -, mkdir 83 -, rmdir 84 -,
creat 85 -, link 86 -, unlink 87 -, symlink 88 -, readlink 89 -, umask 95 166,
gettimeofday 96 169, getrlimit 97 163, getrusage 98 165, sysinfo 99 179, times 100 153,
getuid 102 174, getgid 104 176, geteuid 107 175, getegid 108 177, setpgid 109 154,
getppid 110 173, getpgrp 111 -, setsid 112 157, getgroups 115 158, getresuid 118 148,
getresgid 120 150, getpgid 121 155, getsid 124 156, rt_sigpending 127 136,
rt_sigtimedwait 128 137, rt_sigsuspend 130 133, sigaltstack 131 132, statfs 137 43,
fstatfs 138 44, getpriority 140 141, sched_getparam 143 121, sched_getscheduler 145 120,
sched_get_priority_max 146 125, sched_get_priority_min 147 126,
sched_rr_get_interval 148 127, mlock 149 228, munlock 150 229, arch_prctl 158 -,
setrlimit 160 164, sync 162 81, gettid 186 178, readahead 187 213, getxattr 191 8,
lgetxattr 192 9, fgetxattr 193 10, listxattr 194 11, time 201 -, futex 202 98,
sched_getaffinity 204 123, epoll_create 213 -, getdents64 217 61, set_tid_address 218 96,
restart_syscall 219 128, fadvise64 221 223, timer_create 222 107, timer_settime 223 110,
timer_gettime 224 108, timer_getoverrun 225 109, timer_delete 226 111,
clock_gettime 228 113, clock_getres 229 114, clock_nanosleep 230 115, exit_group 231 94,
epoll_wait 232 -, epoll_ctl 233 21, waitid 247 95, inotify_init 253 -,
inotify_add_watch 254 27, inotify_rm_watch 255 28, openat 257 56, mkdirat 258 34,
newfstatat 262 79, unlinkat 263 35, renameat 264 38, linkat 265 37, symlinkat 266 36,
readlinkat 267 78, faccessat 269 48, pselect6 270 72, ppoll 271 73, set_robust_list 273 99,
get_robust_list 274 100, splice 275 76, tee 276 77, sync_file_range 277 84,
epoll_pwait 281 22, signalfd 282 -, timerfd_create 283 85, eventfd 284 -, fallocate 285 47,
timerfd_settime 286 86, timerfd_gettime 287 87, signalfd4 289 74, eventfd2 290 19,
epoll_create1 291 20, dup3 292 24, pipe2 293 59, inotify_init1 294 26, preadv 295 69,
pwritev 296 70, getcpu 309 168, sched_getattr 315 275, renameat2 316 276, getrandom 318 278,
membarrier 324 283, mlock2 325 284, copy_file_range 326 285, preadv2 327 286,
pwritev2 328 287, statx 332 291, rseq 334 293, pidfd_open 434 434, close_range 436 436,
openat2 437 437, faccessat2 439 439, epoll_pwait2 441 441
"""
"""Allowed with any argument: name, number on x86_64, number on aarch64 (`-`: there is none)."""

_ARCHES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_LOAD, _EQUAL, _GREATER, _AT_LEAST, _SET, _GIVE = 0x20, 0x15, 0x25, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _EACCES, _ENOSYS = 1, 13, 38
_X32 = 0x40000000
_NAMESPACES = 0x7E020000
"""CLONE_NEWUSER, NEWNS, NEWPID, NEWNET, NEWIPC, NEWUTS, NEWCGROUP."""

Line = tuple[int, int, int, int]


def _arch() -> tuple[int, int] | None:
    return _ARCHES.get(platform.machine()) if sys.platform == "linux" else None


def supported() -> bool:
    """Whether there is a list for this machine."""
    return _arch() is not None


def _answer(code: int) -> Line:
    return (_GIVE, 0, 0, code)


def _only(number: int, argument: int, values: "list[int]", otherwise: int = _EPERM) -> "list[Line]":
    """A call whose argument has one of some values."""
    check: list[Line] = []
    for value in values:
        check += [(_EQUAL, 0, 1, value), _answer(_ALLOW)]
    body = [(_LOAD, 0, 0, 16 + 8 * argument), *check, _answer(_ERRNO | otherwise)]
    return [(_EQUAL, 0, len(body), number), *body]


def _but(number: int, argument: int, values: "list[int]") -> "list[Line]":
    """A call whose argument has none of some values."""
    check: list[Line] = []
    for value in values:
        check += [(_EQUAL, 0, 1, value), _answer(_ERRNO | _EPERM)]
    body = [(_LOAD, 0, 0, 16 + 8 * argument), *check, _answer(_ALLOW)]
    return [(_EQUAL, 0, len(body), number), *body]


def _fixed(number: int, code: int) -> "list[Line]":
    return [(_EQUAL, 0, 1, number), _answer(code)]


def _rules(at: int, *, apart: bool, signals: bool, pid: int) -> "list[Line]":
    def number(x86: int, arm: int) -> int:
        return (x86, arm)[at]

    clone, lines = number(56, 220), []
    lines += [(_EQUAL, 0, 4, clone), (_LOAD, 0, 0, 16), (_SET, 0, 1, _NAMESPACES)]
    lines += [_answer(_ERRNO | _EPERM), _answer(_ALLOW)]
    # F_SETOWN, F_SETSIG, F_SETOWN_EX send signals to others; F_SETPIPE_SZ takes kernel memory.
    lines += _but(number(72, 25), 1, [8, 10, 15, 1031])
    # What a terminal, a pipe and close-on-exec need.
    lines += _only(number(16, 29), 1, [0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451])
    # Names, parent's death, no_new_privs and what reads; PR_SET_VMA names memory (malloc).
    lines += _only(number(157, 167), 0, [1, 2, 3, 15, 16, 21, 23, 29, 38, 39, 0x53564D41])
    lines += _only(number(302, 261), 0, [0])  # prlimit64: of itself
    lines += _only(number(203, 122), 0, [0])  # sched_setaffinity: of itself
    lines += _only(number(53, 199), 0, [1])  # socketpair: AF_UNIX, what asyncio wakes itself with
    sockets = [number(*both) for both in ((49, 200), (50, 201), (43, 202), (288, 242), (42, 203))]
    kill, tkill, tgkill, queue = (
        number(*both) for both in ((62, 129), (200, 130), (234, 131), (129, 138))
    )
    # chmod, chown, utime and their variants; 452 is fchmodat2
    changes = [number(*both) for both in ((91, 52), (268, 53), (93, 55), (260, 54), (280, 88))]
    changes += [452] + ([90, 92, 94, 132, 235, 261] if at == 0 else [])
    if apart:  # a network of its own, in which nothing is; files and processes of its own
        lines += _only(number(41, 198), 0, [1], _EACCES)
        for one in (*sockets, kill, tkill, tgkill, queue, *changes):
            lines += _fixed(one, _ALLOW)
        return lines
    lines += _fixed(number(41, 198), _ERRNO | _EACCES)
    if signals:
        for one in (kill, tkill, tgkill, queue):
            lines += _fixed(one, _ALLOW)
    else:
        lines += _only(kill, 0, [pid, 0]) + _only(tgkill, 0, [pid])
    # Landlock doesn't watch over modes, owners and times of files outside: they stay as they are,
    # and the call says that it is done, so that `shutil.copy` works.
    for one in changes:
        lines += _fixed(one, _ERRNO)
    return lines


def program(*, apart: bool, signals: bool, pid: int) -> "list[Line] | None":
    """The filter as lines of BPF: code, jump if true, jump if false, value.

    Args:
        apart: Namespaces stand around the code.
        signals: Something else keeps the code from sending signals to processes outside.
        pid: The code's own process.

    Returns:
        None where there is no list for the machine.
    """
    arch = _arch()
    if arch is None:
        return None
    at, mark = arch
    numbers = []
    for entry in PLAIN.replace("\n", " ").split(","):
        word = entry.split()[1 + at]
        if word != "-":
            numbers.append(int(word))
    lines: list[Line] = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, mark), _answer(_KILL), (_LOAD, 0, 0, 0)]
    lines += [(_AT_LEAST, 0, 1, _X32), _answer(_ERRNO | _ENOSYS)]
    for low, high in _ranges(sorted(set(numbers))):
        lines += [(_AT_LEAST, 0, 2, low), (_GREATER, 1, 0, high), _answer(_ALLOW)]
    lines += _rules(at, apart=apart, signals=signals, pid=pid)
    return [*lines, _answer(_ERRNO | _ENOSYS)]


def _ranges(numbers: "list[int]") -> "list[tuple[int, int]]":
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def restrict(*, apart: bool, signals: bool, pid: int) -> bool:
    """Puts the filter on this process and all it starts; False where that can't be.

    Args:
        apart: As `program`.
        signals: As `program`.
        pid: As `program`.
    """
    lines = program(apart=apart, signals=signals, pid=pid)
    if lines is None:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(lines), ctypes.addressof(code)))
    no_new_privs, set_seccomp, by_filter = 38, 22, 2
    if libc.prctl(no_new_privs, 1, 0, 0, 0) != 0:
        return False
    address = ctypes.c_void_p(ctypes.addressof(head))
    return bool(libc.prctl(set_seccomp, by_filter, address, 0, 0) == 0)
