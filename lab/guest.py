"""The kernel and initramfs of the test guest."""

import os
import pathlib
import subprocess

from lab.machine import Kernel

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def build_directory():
    """Where Culvert was built; CULVERT_BUILD names another than <repository>/build."""
    return pathlib.Path(os.environ.get("CULVERT_BUILD", REPOSITORY / "build")).resolve()


def build_kernel():
    """Build what is missing or out of date; quick when nothing is."""
    directory = pathlib.Path(os.environ.get("CULVERT_GUEST", REPOSITORY / "build" / "guest"))
    subprocess.run([REPOSITORY / "guest" / "build.sh", directory], check=True)
    return Kernel(str(directory / "vmlinuz"), str(directory / "initrd.gz"))
