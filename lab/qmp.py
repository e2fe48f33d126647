"""A QMP client as small as a test needs: one command at a time, events kept aside."""

import json
import socket
import time


class QmpError(Exception):
    """QEMU said no; the text is QEMU's."""


class Qmp:
    def __init__(self, path, timeout=60):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rb")
        self.events = []
        self._receive()  # the greeting
        self.execute("qmp_capabilities")

    def _receive(self):
        line = self._lines.readline()
        if not line:
            raise ConnectionError("QEMU closed its QMP socket")
        return json.loads(line)

    def execute(self, command, **arguments):
        """The command's return value. Write `_` for `-` in the names of arguments."""
        request = {"execute": command}
        if arguments:
            request["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            answer = self._receive()
            if "event" in answer:
                self.events.append({**answer, "received": time.monotonic()})
            elif "error" in answer:
                raise QmpError(f"{command}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def close(self):
        self._lines.close()
        self._socket.close()
