"""The first process of a sandbox: builds the walls, starts the code, and takes all down at the end.

Runs as a script of its own (`python -I -S launcher.py`, standard library only) and reads one JSON
object from stdin: `files`, `argv`, `env`, `limits`, `walls`, `readable`, `named`, `root`, `keep`.
It writes one JSON line to the report descriptor: which walls stand, or why none do.

`namespaces` (Linux, as root or where unprivileged user namespaces are allowed): new user, mount,
PID, network, IPC and UTS namespaces; a root of its own with only Python and the system's libraries,
read-only; a tmpfs of limited size to work in; no capabilities. Process 1 of the PID namespace dies
with this process, and the kernel kills everything inside with it, however often it forked.

`landlock`: the same files by Landlock, no sockets, no signals and no /proc of others, and a
subreaper that collects runaways. `none`: resource limits and that subreaper only; files of the
user can be read then. Over each of them lies the seccomp list of `seccomp.py`. Only what the job
names in `walls` is tried, in that order.
"""

import ctypes
import json
import os
import platform
import resource
import signal
import struct
import sys
import time
from typing import Any, NoReturn

if __package__:
    from allotrope.graphs.work.sandbox.walls import landlock, seccomp
else:  # as a script, without our package on the path
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import landlock  # type: ignore[import-not-found, no-redef]
    import seccomp  # type: ignore[import-not-found, no-redef]

NOBODY = 65534
_LIBC = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38


def _call(name: str, *args: Any) -> None:
    if getattr(_LIBC, name)(*args) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _prctl(option: int, value: Any, *rest: Any) -> None:
    _call("prctl", option, value, *(rest or (0, 0, 0)))


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    _call(
        "mount",
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _map_user(uid: int, gid: int) -> None:
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {uid} 1")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")


def _unshare() -> bool:
    """New namespaces; True if they stand."""
    apart = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
    uid, gid = os.getuid(), os.getgid()
    if uid == 0 and _LIBC.unshare(apart) == 0:
        return True
    if uid == 0:
        return False  # root without the right to make namespaces: a container; don't half-build
    if _LIBC.unshare(apart | CLONE_NEWUSER) != 0:
        return False
    try:
        _map_user(uid, gid)
    except OSError:
        return False
    return True


def _bind(source: str, root: str) -> None:
    """Shows a file or folder of the host, read-only, at the same place."""
    target = root + source
    if os.path.islink(source):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(os.readlink(source), target)
        return
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _write(target, "")
    _mount(source, target, None, MS_BIND)
    if not source.startswith("/dev/"):
        # Flags that the host's mount has are locked in a user namespace and must be repeated.
        kept = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC | 1024 | 2048 | 4096)
        flags = {1024: 1024, 2048: 2048, 4096: 1 << 21}  # ST_NOATIME, ST_NODIRATIME, ST_RELATIME
        locked = kept & 14 | sum(value for bit, value in flags.items() if kept & bit)
        _mount(
            source, target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | locked
        )


def _build_root(job: dict[str, Any], uid: int, gid: int) -> None:
    root, disk = job["root"], job["limits"]["disk_mb"]
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,mode=755")
    for path in job["readable"]:
        if os.path.lexists(path) and not path.startswith("/proc/"):  # it has a /proc of its own
            _bind(path, root)
    for device in ("null", "zero", "urandom", "random"):
        _bind(f"/dev/{device}", root)
    os.makedirs(f"{root}/box")
    owner = f"uid={uid},gid={gid},mode=755"
    size = f"size={disk}m,nr_inodes=10000,{owner}"
    _mount("tmpfs", f"{root}/box", "tmpfs", MS_NOSUID | MS_NODEV, size)
    temporary = f"{root}/tmp"  # noqa: S108 # the sandbox's own
    if not os.path.lexists(temporary):  # it is there if Python itself lives below /tmp
        os.symlink("box/work.tmp", temporary)
    os.makedirs(f"{root}/etc", exist_ok=True)
    _write(f"{root}/etc/passwd", f"sandbox:x:{uid}:{gid}::/box/work:/bin/sh\n")
    os.makedirs(f"{root}/proc")
    _mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    os.makedirs(f"{root}/old")
    number = {"x86_64": 155, "aarch64": 41}[platform.machine()]
    if _LIBC.syscall(number, root.encode(), f"{root}/old".encode()) != 0:
        raise OSError(ctypes.get_errno(), "pivot_root")
    os.chdir("/")
    _call("umount2", b"/old", MNT_DETACH)
    os.rmdir("/old")
    _mount("none", "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    _call("sethostname", b"sandbox", 7)


def _fill(folder: str, files: dict[str, str], uid: int, gid: int) -> None:
    os.makedirs(folder, exist_ok=True)
    made = {folder}
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        made.add(path)
        while (path := os.path.dirname(path)) not in made:
            made.add(path)
    if os.getuid() == 0:
        for path in made:
            os.chown(path, uid, gid)


def _own_tasks() -> int:
    """Threads of this user on the machine: RLIMIT_NPROC counts them all."""
    count, uid = 0, os.getuid()
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                count += len(os.listdir(f"/proc/{entry.name}/task"))
        except OSError:
            continue
    return count


def _limit(limits: dict[str, Any], processes: int) -> None:
    def both(which: int, value: int) -> None:
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))

    both(resource.RLIMIT_CORE, 0)
    both(resource.RLIMIT_CPU, limits["cpu_s"])
    both(resource.RLIMIT_AS, limits["memory_mb"] << 20)
    both(resource.RLIMIT_FSIZE, limits["disk_mb"] << 20)
    both(resource.RLIMIT_NOFILE, limits["open_files"])
    both(resource.RLIMIT_NPROC, processes)


def _give_up_capabilities() -> None:
    """For good: of this process and whatever it starts, root or not."""
    for capability in range(64):
        _LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    header, none = struct.pack("Ii", 0x20080522, 0), bytes(24)  # version 3, this process
    number = {"x86_64": 126, "aarch64": 91}.get(platform.machine())
    if number is not None:
        _LIBC.syscall(number, ctypes.c_char_p(header), ctypes.c_char_p(none))


def _confine(job: dict[str, Any], folder: str, kind: str) -> dict[str, Any]:
    """Walls around this process without namespaces; what stands."""
    _give_up_capabilities()
    signals = False
    if kind == "landlock":
        landlock.restrict(
            # DuckDB counts processors by the last two.
            readable=[*job["readable"], "/proc/self/cgroup", "/sys/fs/cgroup"],
            named=job["named"],
            devices=[f"/dev/{name}" for name in ("null", "zero", "urandom", "random")],
            writable=[folder, f"{folder}.tmp"],
        )
        signals = landlock.version() >= landlock.SIGNALS
    listed = seccomp.restrict(apart=False, signals=signals, pid=os.getpid())
    if kind == "landlock" and not listed:
        raise OSError(0, "the kernel takes no seccomp filter")
    files = kind == "landlock"
    return {"walls": kind, "network": listed, "files": files, "processes": files}


def _become(job: dict[str, Any], folder: str, uid: int, gid: int, kind: str) -> NoReturn:
    """In the child that runs the code: drop everything, then become it."""
    os.setsid()
    os.chdir(folder)
    apart = kind == "namespaces"
    if apart and os.getuid() == 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        _prctl(PR_SET_DUMPABLE, 1)
        if _LIBC.unshare(CLONE_NEWUSER) == 0:  # so that its processes are counted by themselves
            _map_user(uid, gid)
    os.nice(5)
    env = {**job["env"], "HOME": folder, "TMPDIR": f"{folder}.tmp"}
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    if not job["apart_output"]:
        os.dup2(1, 2)
    keep = {0, 1, 2, job["report"], *job["keep"]}
    for number in range(3, 256):
        if number not in keep:
            try:
                os.close(number)
            except OSError:
                continue
    most = job["limits"]["processes"]
    if apart:
        _give_up_capabilities()
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        _limit(job["limits"], most)
        if not seccomp.restrict(apart=True, signals=True, pid=os.getpid()):
            os._exit(126)
    else:
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        _limit(job["limits"], most + _own_tasks())
        try:
            stands = _confine(job, folder, kind)
        except OSError as exc:
            _tell(job, broken=str(exc), wall=kind)
            os._exit(125)
        _tell(job, **stands)
    # The program and its arguments come from our runner, never from the code that is run.
    os.execve(job["argv"][0], job["argv"], env)  # noqa: S606


def _status(code: int) -> int:
    """A wait status as an exit code; signals as in a shell."""
    return os.waitstatus_to_exitcode(code) if os.WIFEXITED(code) else 128 + os.WTERMSIG(code)


def _tell(job: dict[str, Any], **facts: object) -> None:
    os.write(job["report"], (json.dumps(facts) + "\n").encode())


def _inner(job: dict[str, Any], parent: int) -> NoReturn:
    """Process 1 of the PID namespace."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() not in (0, parent):
        os._exit(125)
    root = os.getuid() == 0
    uid, gid = (NOBODY, NOBODY) if root else (os.getuid(), os.getgid())
    try:
        _build_root(job, uid, gid)
        _fill("/box/work.tmp", {}, uid, gid)
        _fill("/box/work", job["files"], uid, gid)
    except (OSError, KeyError) as exc:
        _tell(job, broken=str(exc), wall="namespaces")
        os._exit(125)
    _tell(job, walls="namespaces", network=True, files=True, processes=True)
    child = os.fork()
    if child == 0:
        try:
            _become(job, "/box/work", uid, gid, "namespaces")
        finally:
            os._exit(126)
    _prctl(PR_SET_DUMPABLE, 0)
    os.close(job["report"])
    while True:
        pid, code = os.wait()
        if pid == child:
            os._exit(_status(code))


def _descendants() -> list[int]:
    found, todo = [], [os.getpid()]
    while todo:
        pid = todo.pop()
        try:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                children = [int(word) for word in file.read().split()]
        except OSError:
            continue
        found += children
        todo += children
    return found


def _space(folder: str) -> tuple[int, int]:
    """Bytes and files that the code has written."""
    size = count = 0
    for place, _, names in os.walk(folder):
        for name in names:
            count += 1
            try:
                size += os.lstat(os.path.join(place, name)).st_blocks * 512
            except OSError:
                continue
        count += 1
    return size, count


def _beside(job: dict[str, Any], kind: str) -> int:
    """Without namespaces: watch the descendants and what they write, and end them all."""
    subreaper = _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    _LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    folder, limits = job["root"] + "/work", job["limits"]
    os.makedirs(f"{folder}.tmp")
    _fill(folder, job["files"], os.getuid(), os.getgid())
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _become(job, folder, 0, 0, kind)
        finally:
            os._exit(126)
    deadline = time.monotonic() + limits["wall_s"]
    result, turns = None, 0
    while result is None and not stopped and time.monotonic() < deadline:
        if len(_descendants()) > limits["processes"]:  # root's processes aren't counted
            break
        if (turns := turns + 1) % 20 == 0:
            size, files = _space(job["root"])
            if size > limits["disk_mb"] << 20 or files > 10_000:
                result = 122
                break
        pid, code = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            result = _status(code)
        elif pid == 0:
            time.sleep(0.01)
    for _ in range(200 if subreaper else 1):
        runaways = _descendants()
        for pid in runaways:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            break
        time.sleep(0.01)
    return 124 if result is None else result


def main() -> int:
    """Reads the job and runs it; the exit code is the code's own."""
    job = json.load(sys.stdin)
    os.umask(0o022)
    linux = sys.platform == "linux"
    if "namespaces" in job["walls"] and linux and seccomp.supported() and _unshare():
        outer = os.getpid()
        child = os.fork()
        if child == 0:
            try:
                _inner(job, outer)
            finally:
                os._exit(125)
        os.close(job["report"])
        return _status(os.waitpid(child, 0)[1])
    if "landlock" in job["walls"] and seccomp.supported() and landlock.version() >= landlock.LEAST:
        return _beside(job, "landlock")
    if "none" in job["walls"]:
        return _beside(job, "none")
    _tell(job, refused="it has neither namespaces for this user nor Landlock (Linux 6.2)")
    return 125


if __name__ == "__main__":
    sys.exit(main())
