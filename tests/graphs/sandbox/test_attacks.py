"""Hostile code gets nothing: each attack runs for real, with and without namespaces."""

import os
import time
from pathlib import Path

import pytest

from allotrope.graphs.work.sandbox.runner import Limits, run_script, walls

QUICK = Limits(wall_s=4, memory_mb=300, disk_mb=8, processes=24, output_bytes=4000)
apart = pytest.mark.skipif(
    walls(("namespaces",)).by != "namespaces", reason="this kernel allows no namespaces here"
)
confined = pytest.mark.skipif(
    walls(("landlock",)).by != "landlock", reason="this kernel has no Landlock"
)
each_wall = pytest.mark.parametrize(
    "wall",
    [
        pytest.param("namespaces", marks=apart),
        pytest.param("landlock", marks=confined),
        "none",
    ],
)


def run(code, **more):
    return run_script({"main.py": code}, "main.py", **{"limits": QUICK, **more})


def alive(mark):
    """Processes of this machine whose command line holds a mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def gone(mark):
    """Whether no such process is left; the kernel may need a moment to reap them."""
    deadline = time.monotonic() + 30
    while (left := alive(mark)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not left


@apart
def test_a_fork_bomb_ends_and_leaves_nothing():
    outcome = run(
        "import os, time\nmade = 0\n"
        "while made < 5000:\n"
        "    try:\n"
        "        if os.fork() == 0:\n            time.sleep(60)\n"
        "        made += 1\n"
        "    except OSError:\n        break\n"
        "print('made', made)\nimport sys; sys.stdout.flush()\nos.kill(os.getpid(), 9)\n"
    )
    assert outcome.status == "failed"
    assert int(outcome.output.split()[1]) < QUICK.processes


@apart
def test_exponential_forks_end():
    name = f"allotrope-bomb-{os.getpid()}.py"
    code = (
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n"
    )
    outcome = run_script({name: code}, name, limits=Limits(wall_s=1, processes=16))
    assert outcome.status == "timeout"
    assert gone(name)


ESCAPE = """
import os, subprocess, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        for _ in range(3):
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "MARK"],
                             start_new_session=True, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, close_fds=True)
        os._exit(0)
    os._exit(0)
os.wait()
time.sleep(WAIT)
print("end")
"""


@each_wall
@pytest.mark.parametrize(("wait", "status"), [("0.7", "ok"), ("60", "timeout")])
def test_double_forked_daemons_dont_survive(wall, wait, status):
    mark = f"allotrope-runaway-{os.getpid()}-{wall}-{wait}"
    code = ESCAPE.replace("MARK", mark).replace("WAIT", wait)
    outcome = run(code, walls=[wall], limits=Limits(wall_s=1.2, processes=24))
    assert outcome.status == status
    assert gone(mark)


@each_wall
@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('127.0.0.1', 22), 1)",
        "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53))",
        "import socket; socket.socket(socket.AF_INET6).connect(('::1', 22))",
        "import urllib.request as u; u.urlopen('http://169.254.169.254/', timeout=1)",
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/var/run/docker.sock')",
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('\\0abstract')",
        "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "import ctypes; l = ctypes.CDLL(None); assert l.syscall(425, 8, 0) >= 0",
    ],
)
def test_no_sockets(wall, code):
    outcome = run(code, walls=[wall])
    assert outcome.status == "failed"
    assert "Error" in outcome.output


HIDDEN = [
    "~/.ssh/id_rsa",
    "/root/.bashrc",
    "/root/.ssh",
    "/home",
    "/etc/shadow",
    "/etc/hostname",
    "/var/log",
    "/proc/1/environ",
    "/proc/1/root/etc",
    "/proc/kcore",
    "/old/etc/passwd",
    "/sys",
    "/dev/sda",
    "/dev/mem",
    str(Path(__file__)),
    str(Path.cwd() / "pyproject.toml"),
]


@apart
def test_files_of_the_user_arent_there():
    """All in one run, each tried by itself."""
    code = (
        "import os\n"
        f"for name in {HIDDEN!r}:\n"
        "    p = os.path.expanduser(name)\n"
        "    try:\n"
        "        print('READ', p, os.listdir(p) if os.path.isdir(p) else open(p, 'rb').read(9))\n"
        "    except OSError as exc:\n"
        "        print('refused', p)\n"
    )
    outcome = run(code)
    assert outcome.status == "ok", outcome.output
    assert "READ" not in outcome.output
    assert outcome.output.count("refused") == len(HIDDEN)


@apart
def test_the_environment_is_clean(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    outcome = run("import os; print(sorted(os.environ), os.environ['HOME'])")
    assert "OPENAI" not in outcome.output
    assert "/box/work" in outcome.output
    assert "OPENAI" not in run("import os; print(dict(os.environ))", walls=["landlock"]).output


@apart
@pytest.mark.parametrize(
    "code",
    [
        "open('/usr/x', 'w')",
        "open('/x', 'w')",
        "import sys; open(sys.prefix + '/x', 'w')",
        "import json; open(json.__file__, 'a')",
        "import os; os.chroot('/box')",
        "import ctypes as c; assert c.CDLL(None).mount(b'none', b'/box', b'tmpfs', 0, None) == 0",
        "import ctypes as c; l = c.CDLL(None); assert l.mount(None, b'/usr', None, 36, None) == 0",
        "import ctypes as c; l = c.CDLL(None); assert l.unshare(0x10000000) == 0 and "
        "l.unshare(0x20000) == 0 and l.mount(None, b'/usr', None, 36, None) == 0",
        "import ctypes as c; assert c.CDLL(None).umount2(b'/usr', 2) == 0",
        "import os; os.setuid(0)",
        "import os; os.mknod('dev', 0o60600, os.makedev(8, 0))",
        "import os; os.kill(1, 9); os.kill(0 - 1 + 2, 0) or 1/0",
        "import ctypes as c; assert c.CDLL(None).ptrace(16, 1, 0, 0) == 0",
        "import resource as r; r.setrlimit(r.RLIMIT_NPROC, (9999, 9999))",
    ],
)
def test_walls_cant_be_moved(code):
    assert run(code).status == "failed"


@apart
@pytest.mark.parametrize(
    "code",
    [
        "with open('x', 'wb') as f:\n    while True: f.write(b'x' * 1_000_000)",
        "n = 0\nwhile True:\n    open(f'x{n}', 'wb').write(b'x' * 500_000); n += 1",
        "n = 0\nwhile True:\n    open(f'/tmp/x{n}', 'w').close(); n += 1",
        "import os\nos.truncate(os.open('x', 66), 10 ** 12)",
    ],
)
def test_the_disk_isnt_filled(code):
    outcome = run(code)
    assert outcome.status in ("failed", "timeout")
    assert outcome.duration_s < 5


@each_wall
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("while True: pass", "timeout"),
        ("import time; time.sleep(1e6)", "timeout"),
        (
            "import signal, time\nfor n in range(1, 65):\n    try: signal.signal(n, str)\n"
            "    except (OSError, ValueError): pass\nwhile True: time.sleep(1)",
            "timeout",
        ),
        ("x = bytearray(10 ** 10)", "failed"),
        ("x = []\nwhile True: x.append(bytes(10 ** 7))", "failed"),
        ("import os; os.abort()", "failed"),
        ("import ctypes; ctypes.string_at(0)", "failed"),
        ("def f(): f()\nf()", "failed"),
        ("input()", "failed"),
    ],
)
def test_endless_and_greedy_code_ends(wall, code, status):
    outcome = run(code, walls=[wall], limits=Limits(wall_s=0.6, memory_mb=300))
    assert outcome.status == status
    assert outcome.duration_s < 3


@apart
def test_many_greedy_processes_are_stopped_together():
    outcome = run(
        "import os, time\nfor _ in range(6):\n    if os.fork() == 0: break\n"
        "x = bytearray(b'x' * 80_000_000)\ntime.sleep(30)",
        limits=Limits(wall_s=6, memory_mb=256),
    )
    assert outcome.status == "memory"


@each_wall
def test_huge_output_is_cut_in_the_middle(wall):
    outcome = run(
        "import sys\nprint('head')\nsys.stdout.write('x' * 20_000_000)\nprint('tail')",
        walls=[wall],
    )
    assert outcome.status == "ok"
    assert outcome.truncated
    assert len(outcome.output) < QUICK.output_bytes + 100
    assert outcome.output.startswith("head")
    assert outcome.output.endswith("tail\n")
