"""Ways out of the sandbox, each tried for real within each wall, as this user and as another.

An attack prints its name and ESCAPED only if it got what it wanted. That the attacks work is shown
by the same attacks without walls, where the plain ones do escape.
"""

import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from allotrope.graphs.work.sandbox.runner import Limits, run_script, walls

LIMITS = Limits(wall_s=20, memory_mb=400, disk_mb=16, processes=24)

ATTACKS = r"""
import ctypes, mmap, os, signal, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
PARENT, CANARY, FILE, OWN = {parent}, {canary!r}, {file!r}, {own!r}
X86 = os.uname().machine == "x86_64"
def call(x86, arm, *args):
    found = libc.syscall(x86 if X86 else arm, *args)
    if found < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return found
def parents_environment():
    for pid in [*map(str, range(1, 100))] + [str(PARENT)]:
        try:
            if CANARY.encode() in open(f"/proc/{{pid}}/environ", "rb").read():
                return True
        except OSError:
            pass
def parents_memory():
    open(f"/proc/{{PARENT}}/mem", "rb").close()
    return True
def process_vm_readv():
    buffer = ctypes.create_string_buffer(8)
    local = struct.pack("QQ", ctypes.addressof(buffer), 8)
    call(310, 270, PARENT, local, 1, local, 1, 0)
    return True
def ptrace_attach():
    return call(101, 117, 0x4206, PARENT, 0, 0) == 0
def pidfd_getfd():
    handle = call(434, 434, PARENT, 0)
    return call(438, 438, handle, 0, 0) >= 0
def pidfd_getfd_of_itself():
    return call(438, 438, call(434, 434, os.getpid(), 0), 0, 0) >= 0
def parents_files():
    return bool(os.listdir(f"/proc/{{PARENT}}/fd"))
def signal_to_the_parent():
    os.kill(PARENT, 0)
    return True
def limits_of_the_parent():
    return call(302, 261, PARENT, 7, None, ctypes.create_string_buffer(16)) == 0
def processors_of_the_parent():
    return call(203, 122, PARENT, 8, ctypes.c_char_p(b"\x01" + bytes(7))) >= 0
def read_a_file():
    return CANARY in open(FILE).read()
def read_our_own_code():
    return bool(open(OWN).read())
def write_a_file():
    open(FILE, "a").close()
    return True
def truncate_a_file():
    os.truncate(FILE, 1)
    return True
def new_file_beside():
    open(FILE + ".new", "w").close()
    return True
def mode_of_a_file():
    os.chmod(FILE, 0o777)
def time_of_a_file():
    os.utime(FILE, (1, 1))
def hard_link():
    os.link(FILE, "linked")
    return CANARY in open("linked").read()
def through_a_link():
    os.symlink(FILE, "soft")
    return CANARY in open("soft").read()
def other_folder():
    return bool(os.listdir(os.path.dirname(FILE)))
def memfd():
    return call(319, 279, b"x", 0) >= 0
def memfd_secret():
    return call(447, 447, 0) >= 0
def sysv_memory():
    return call(29, 194, 0, 1 << 20, 0o1600) >= 0
def sysv_messages():
    return call(68, 186, 0, 0o1600) >= 0
def io_uring():
    return call(425, 425, 8, ctypes.create_string_buffer(200)) >= 0
def add_key():
    return call(248, 217, b"user", b"a", b"b", 1, -4) >= 0
def request_key():
    call(249, 218, b"user", b"a", None, -4)
    return True
def keyctl():
    return call(250, 219, 0, -4, 1) >= 0
def userfaultfd():
    return call(323, 282, 1) >= 0
def bpf():
    array = ctypes.create_string_buffer(struct.pack("IIII", 2, 4, 4, 1), 48)
    return call(321, 280, 0, array, 48) > 0
def perf():
    event = ctypes.create_string_buffer(struct.pack("IIQ", 1, 112, 0), 112)
    return call(298, 241, event, 0, -1, -1, 0) >= 0
def user_namespace():
    return libc.unshare(0x10000000) == 0
def user_namespace_by_clone():
    pid = call(56, 220, 0x10000000 | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    return True
def user_namespace_by_clone3():
    arguments = struct.pack("QQQQQQQQ", 0x10000000, 0, 0, 0, 17, 0, 0, 0)
    pid = call(435, 435, arguments, 64)
    if pid == 0:
        os._exit(0)
    return True
def setns():
    return libc.setns(os.open("/proc/1/ns/net", 0), 0) == 0
def mount():
    return libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0
def new_mount():
    return call(430, 430, b"tmpfs", 0) >= 0
def open_tree():
    return call(428, 428, -100, b"/", 1) >= 0
def chroot():
    os.chroot(".")
    return True
def internet():
    return bool(socket.socket())
def netlink():
    return bool(socket.socket(16, 3, 0))
def vsock():
    return bool(socket.socket(40, 1, 0))
def unix_socket_outside():
    socket.socket(socket.AF_UNIX).connect(os.path.dirname(FILE) + "/door")
    return True
def terminal():
    import fcntl
    fcntl.ioctl(0, 0x5412, b"x")
    return True
def pipe_of_a_megabyte():
    import fcntl
    fcntl.fcntl(os.pipe()[1], 1031, 1 << 20)
    return True
def signals_by_a_pipe():
    import fcntl
    fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, PARENT)
    return True
def the_x32_calls():
    return call(0x40000000 + 39, -1) > 0
def hostname():
    return libc.sethostname(b"x", 1) == 0
def reboot():
    return call(169, 142, 0, 0, 0, 0) == 0
def modules():
    return call(313, 273, -1, b"", 0) >= 0
def file_handles():
    call(304, 265, -100, ctypes.create_string_buffer(64), 0)
    return True
def log():
    return call(103, 116, 3, ctypes.create_string_buffer(100), 100) > 0
def root():
    os.setuid(0)
    return os.getuid() == 0 and os.path.exists("/root/.profile")
def capabilities():
    head, data = struct.pack("Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
    libc.capget(head, data)
    return any(data.raw)
attacks = [value for name, value in list(globals().items())
           if callable(value) and getattr(value, "__module__", "") == __name__ and name != "call"]
for attack in attacks:
    try:
        print(attack.__name__, "ESCAPED" if attack() else "held", flush=True)
    except Exception as exc:
        print(attack.__name__, "held", type(exc).__name__, flush=True)
"""
PLAIN = {"read_a_file", "write_a_file", "new_file_beside", "other_folder"}
"""What escapes without walls, so that the attacks are known to work."""


def attacks(folder: Path) -> str:
    """The attacks, aimed at this process and a file of its user."""
    file = folder / "private.txt"
    file.write_text("canary-5f1e")
    file.chmod(0o600)
    os.environ["SANDBOX_CANARY"] = "canary-5f1e"
    parent = subprocess.Popen(  # its environment holds the canary from its start
        ["sleep", "120"], env={**os.environ, "SANDBOX_CANARY": "canary-5f1e"}
    )
    OPENED.append(parent)
    return ATTACKS.format(parent=parent.pid, canary="canary-5f1e", file=str(file), own=__file__)


OPENED: list["subprocess.Popen[bytes]"] = []


def outcome_of(folder: Path, wall: str) -> dict[str, object]:
    try:
        done = run_script({"a.py": attacks(folder)}, "a.py", limits=LIMITS, walls=[wall])
    finally:
        sleeper = OPENED.pop()
        sleeper.kill()
        sleeper.wait()
    facts = os.stat(folder / "private.txt")
    return {
        "output": done.output,
        "status": done.status,
        "by": done.isolation.by,
        "untouched": facts.st_mode & 0o777 == 0o600 and facts.st_mtime > 1,
        "names": sorted(os.listdir(folder)),
    }


def check(found: dict[str, object], wall: str) -> None:
    output = str(found["output"])
    assert found["by"] == wall
    assert "ESCAPED" not in output, output
    assert output.count(" held") == ATTACKS.count("\ndef ") - 1, output
    assert found["untouched"]
    assert found["names"] == ["private.txt"]


WALLS = ["namespaces", "landlock"]


@pytest.mark.parametrize("wall", WALLS)
def test_as_this_user(wall: str, tmp_path: Path) -> None:
    if walls((wall,)).by != wall:
        pytest.skip(f"this kernel or user has no {wall}")
    check(outcome_of(tmp_path, wall), wall)


def test_the_attacks_work_where_there_is_no_wall(tmp_path: Path) -> None:
    output = str(outcome_of(tmp_path, "none")["output"])
    escaped = {line.split()[0] for line in output.splitlines() if line.endswith("ESCAPED")}
    assert escaped >= PLAIN


def _runs(python: str, uid: int) -> bool:
    """Whether another user can run a Python of ours."""
    wanted = "import sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([python, "-c", wanted], user=uid, check=False).returncode == 0
    except PermissionError:
        return False


AS_ANOTHER = """
import json, sys
sys.path.insert(0, {here!r})
import tempfile, pathlib
import test_sandbox_escapes as own
wall = sys.argv[1]
if own.walls((wall,)).by != wall:
    print(json.dumps(None))
else:
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(own.outcome_of(pathlib.Path(folder), wall)))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("wall", WALLS)
def test_as_another_user(wall: str) -> None:
    nobody = pwd.getpwnam("nobody")
    # Where our interpreter lies in root's home, the system's runs the same code.
    import allotrope

    site = [str(Path(pytest.__file__).parents[1]), str(Path(allotrope.__file__).parents[1])]
    usable = [
        path
        for path in (sys.executable, shutil.which("python3", path="/usr/bin:/bin"))
        if path and _runs(path, nobody.pw_uid)
    ]
    if not usable:
        pytest.skip("there is no Python that another user can run")
    done = subprocess.run(
        [usable[0], "-c", AS_ANOTHER.format(here=str(Path(__file__).parent)), wall],
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": ":".join(site),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if found is None:
        pytest.skip(f"this kernel or user has no {wall}")
    check(found, wall)


def test_code_that_lost_its_launcher_ends(tmp_path: Path) -> None:
    """A run that is cancelled takes with it what left its session, within each wall."""
    import threading
    import time

    for wall in [*WALLS, "none"]:
        mark = f"allotrope-left-{os.getpid()}-{wall}"
        code = (
            "import os, subprocess, sys, time\n"
            f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', {mark!r}],"
            " start_new_session=True)\nprint('begun', flush=True)\ntime.sleep(60)\n"
        )
        stop = threading.Event()
        threading.Timer(3.0, stop.set).start()
        run_script({"a.py": code}, "a.py", limits=LIMITS, walls=[wall, "none"], cancel=stop)
        deadline = time.monotonic() + 30
        while _alive(mark) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not _alive(mark), wall


def _alive(mark: str) -> bool:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    return True
            except OSError:
                continue
    return False
