#!/usr/bin/env python3
"""The file system of a virtual board, as an archive that the kernel unpacks at boot.

    pack.py OUT KERNEL INIT JOB [HOST=GUEST ...]

KERNEL is the folder that kernel.sh fills. Each HOST=GUEST is a file to put in; a program's libraries come with it.
"""

import lzma
import os
import re
import struct
import sys
from pathlib import Path

# The libraries of the cross compiler before those that the machine may have for this architecture.
LIBRARIES = ["/usr/aarch64-linux-gnu/lib", "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
FOLDERS = ["proc", "sys", "dev", "tmp", "bin", "lib/modules"]


class Archive:
    """A cpio archive in the format "newc"."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.names = set()

    def entry(self, name, mode, data=b""):
        """A file, or a folder without data."""
        self.names.add(name)
        encoded = name.encode() + b"\0"
        # Inode, mode, owner and group, links, time, size, four device numbers, length of the name, check sum.
        fields = [len(self.names), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        for part in (head, data):
            self.file.write(part + b"\0" * (-len(part) % 4))

    def folder(self, name):
        """A folder and those around it."""
        parts = name.split("/")
        for end in range(1, len(parts) + 1):
            folder = "/".join(parts[:end])
            if folder and folder not in self.names:
                self.entry(folder, 0o40755)

    def put(self, name, data, mode=0o755):
        """A file and the folders around it; the second of the same name is left out."""
        name = name.lstrip("/")
        if name not in self.names:
            self.folder(os.path.dirname(name))
            self.entry(name, 0o100000 | mode, data)

    def close(self):
        """Ends the archive."""
        self.entry("TRAILER!!!", 0)
        self.file.close()


def dynamic(program):
    """The loader of a 64-bit ELF program, and the libraries that it names."""
    (table,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    segments = [struct.unpack_from("<IIQQQQ", program, table + number * size) for number in range(count)]
    loaded = [(address, offset, length) for kind, _, offset, address, _, length in segments if kind == 1]
    loader, entries = None, []
    for kind, _, offset, _, _, length in segments:
        if kind == 3:
            loader = program[offset : offset + length].rstrip(b"\0").decode()
        if kind == 2:
            entries = list(struct.iter_unpack("<QQ", program[offset : offset + length]))
    needed = [value for tag, value in entries if tag == 1]
    strings = next((value for tag, value in entries if tag == 5), 0)
    base = next((offset + strings - at for at, offset, length in loaded if at <= strings < at + length), 0)
    text = lambda start: program[base + start : program.index(b"\0", base + start)].decode()
    return loader, [text(start) for start in needed]


def library(name):
    """A library of the board."""
    for folder in LIBRARIES:
        path = Path(folder, name)
        if path.exists():
            return path.read_bytes()
    sys.exit(f"pack: {name} is in none of {', '.join(LIBRARIES)}; install libc6-dev-arm64-cross")


def put_with_libraries(archive, name, data):
    """A file; if it is a program, all that it needs to start, too."""
    archive.put(name, data)
    waiting = [data] if data.startswith(b"\x7fELF") else []
    while waiting:
        loader, needed = dynamic(waiting.pop())
        for name in ([loader] if loader else []) + [f"lib/{name}" for name in needed]:
            if name.lstrip("/") not in archive.names:
                data = library(os.path.basename(name))
                archive.put(name, data)
                waiting.append(data)


def modules(folder, wanted):
    """The kernel module `wanted` after those that it depends on, as names and contents."""
    files = {path.name.split(".ko")[0].replace("-", "_"): path for path in folder.rglob("*.ko*")}
    order = {}

    def visit(name):
        name = name.replace("-", "_")
        if name in order:
            return
        if name not in files:
            sys.exit(f"pack: the kernel has no module {name} in {folder}")
        path = files[name]
        data = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        found = re.search(rb"\0depends=([^\0]*)\0", data)
        for needed in found.group(1).decode().split(",") if found else []:
            if needed:
                visit(needed)
        order[name] = data

    visit(wanted)
    return [(f"{name}.ko", data) for name, data in order.items()]


def main():
    """Writes the archive."""
    out, kernel, init, job, *files = sys.argv[1:]
    archive = Archive(out)
    for folder in FOLDERS:
        archive.folder(folder)
    archive.put("bin/busybox", Path(kernel, "bin/busybox").read_bytes())
    archive.put("init", Path(init).read_bytes())
    archive.put("job", Path(job).read_bytes())
    loaded = modules(Path(kernel, "lib/modules"), "vivid")
    for name, data in loaded:
        archive.put(f"lib/modules/{name}", data, 0o644)
    archive.put("lib/modules/order", "".join(f"{name}\n" for name, _ in loaded).encode(), 0o644)
    for pair in files:
        host, guest = pair.split("=", 1)
        put_with_libraries(archive, guest, Path(host).read_bytes())
    archive.close()


if __name__ == "__main__":
    main()
