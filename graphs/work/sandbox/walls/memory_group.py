"""A control group that counts all memory of a run: of processes, in a tmpfs, and in buffers.

Used where this process may make one: as root, or in a cgroup that was delegated to the user. Where
it may not, the run is bounded by RLIMIT_AS, the size of its tmpfs, and by having no memfd and no
SysV memory, and `watching` adds its processes up.
"""

import contextlib
import os
import re
import secrets
import time
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")


class MemoryGroup:
    """A control group with a limit on memory.

    Args:
        folder: The group's folder.
        second: Whether it is of cgroup v2.
    """

    def __init__(self, folder: Path, *, second: bool) -> None:
        self.folder = folder
        self._second = second

    def exceeded(self) -> bool:
        """Whether the kernel ended a process in it for want of memory."""
        name = "memory.events" if self._second else "memory.oom_control"
        try:
            found = re.search(r"^oom_kill (\d+)", (self.folder / name).read_text(), re.MULTILINE)
        except OSError:
            return False
        return found is not None and int(found[1]) > 0

    def close(self) -> None:
        """Removes it; its processes must be gone, and the kernel may need a moment for that."""
        for _ in range(50):
            try:
                self.folder.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.01)
            else:
                return


def memory_group(pid: int, *, megabytes: int, mount: Path = MOUNT) -> MemoryGroup | None:
    """Puts a process, with all that it will start, into a group of its own.

    Args:
        pid: The process.
        megabytes: What the group may hold.
        mount: Where the control groups are.

    Returns:
        None where this process may make none.
    """
    for base, second in _bases(mount):
        folder = base / f"allotrope-{secrets.token_hex(6)}"
        try:
            folder.mkdir()
        except OSError:
            continue
        group = MemoryGroup(folder, second=second)
        limit = "memory.max" if second else "memory.limit_in_bytes"
        swap = ("memory.swap.max", "0") if second else ("memory.swappiness", "0")
        try:
            if not (folder / limit).exists():
                raise FileNotFoundError(limit)
            (folder / limit).write_text(str(megabytes << 20))
            with contextlib.suppress(OSError):
                (folder / swap[0]).write_text(swap[1])
            (folder / "cgroup.procs").write_text(str(pid))
        except OSError:
            group.close()
            continue
        return group
    return None


def _bases(mount: Path) -> list[tuple[Path, bool]]:
    """Groups below which one may be made: our own and the one above it."""
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    found: list[tuple[Path, bool]] = []
    for line in own:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base = mount / path.lstrip("/")
            found += [(base, True), (base.parent, True)] if base != mount else [(base, True)]
        elif "memory" in controllers.split(","):
            found.append((mount / "memory" / path.lstrip("/"), False))
    return [(base, second) for base, second in found if os.access(base, os.W_OK)]
