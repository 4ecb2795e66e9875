"""Random and mutated bytes against all that reads a peer's bytes: `make fuzz` (ARGS="--seed 7 --inputs 100000").

The frame scanner and the reader of a server's response take each input whole and in pieces; both must end the same way,
and only in the ways that are declared. A whole relay takes what two lying peers send, between its owner's commands: it
must end once both are gone, leave no timer and no task behind, and never send either peer anything but valid frames.
The seed is printed, so that a failure can be repeated.
"""

import argparse
import asyncio
import base64
import itertools
import random
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

from ws_proxy.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    ProtocolViolation,
    frame,
    parse_close,
)
from ws_proxy.websocket.handshake import InvalidHandshake, ResponseReader, accept_key
from ws_proxy.websocket.relay import Relay
from ws_proxy.websocket.scanner import FrameScanner
from ws_proxy.websocket.terms import Limits

_CAP: Final = 512
_KEY: Final = base64.b64encode(bytes(16)).decode()
_RESPONSES: Final = tuple(
    text.replace("\n", "\r\n").replace("ACCEPT", accept_key(_KEY)).encode()
    for text in (
        "HTTP/1.1 101 OK\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: ACCEPT\n\nrest",
        "HTTP/1.1 503 Busy\nContent-Length: 4\nRetry-After: 2\n\nbusy",
        "HTTP/1.1 500 No\nTransfer-Encoding: chunked\n\n0\n\n",
    )
)
_PROGRESS_SECONDS: Final = 5.0
Outcome = tuple[object, ...]


def _pieces(chance: random.Random, data: bytes) -> list[bytes]:
    edges = sorted({0, len(data), *(chance.randrange(len(data) + 1) for _ in range(chance.randrange(6)))})
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


def _frames(chance: random.Random, *, masked: bool) -> bytes:
    kinds = (TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE)
    data = bytearray()
    for _ in range(chance.randrange(1, 5)):
        size = chance.choice((0, 1, 2, 5, 125, 126, 200, 300))
        made = bytearray(frame(chance.choice(kinds), chance.randbytes(size), masked=masked))
        if chance.random() < 0.3:
            made[0] &= 0x7F
        data += made
    return bytes(data)


def _mutated(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randrange(4)):
        if not changed:
            break
        at = chance.randrange(len(changed))
        match chance.randrange(3):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                del changed[at : at + chance.randrange(1, 4)]
            case _:
                changed[at:at] = chance.randbytes(chance.randrange(1, 4))
    return bytes(changed)


def _peers_bytes(chance: random.Random, *, masked: bool) -> bytes:
    """What a peer may send: noise, frames in any order, or frames that were damaged on the way."""
    kind = chance.randrange(4)
    if kind == 0:
        return chance.randbytes(chance.randrange(40))
    data = _frames(chance, masked=masked)
    return data if kind == 1 else _mutated(chance, data)


def scan(chunks: list[bytes], *, masked: bool, passes: bool) -> Outcome:
    """How a scanner and the relay's reading of close frames end on these chunks."""
    controls: list[tuple[int, bytes]] = []

    def control(opcode: int, payload: bytes) -> bool:
        if opcode == CLOSE:
            parse_close(payload)
        controls.append((opcode, payload))
        return passes

    scanner = FrameScanner(masked=masked, max_message_bytes=_CAP, on_control=control, keep_reports=not masked)
    passed = bytearray()
    violation: tuple[int, str, int] | None = None
    for chunk in chunks:
        try:
            passed += scanner.feed(chunk)
        except ProtocolViolation as found:
            passed += found.passed
            violation = (found.code, found.reason, found.offset)
            break
    return (tuple(controls), bytes(passed), violation, scanner.messages, scanner.binary_bytes, scanner.report)


def response(chunks: list[bytes]) -> Outcome:
    """How the reader of a server's response ends on these chunks; what follows a finished response is joined to it."""
    reader = ResponseReader(_KEY)
    for index, chunk in enumerate(chunks):
        try:
            found = reader.feed(chunk)
        except InvalidHandshake:
            return ("invalid",)
        if isinstance(found, bytes):
            return ("open", found + b"".join(chunks[index + 1 :]))
        if found is not None:
            return ("refused", found.status)
    return ("waiting",) if reader.refusal() is None else ("refusal begun",)


class _Wire(asyncio.Transport):
    """A connection whose peer takes everything at once, or nothing while it is `stuck`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self.leg: asyncio.Protocol | None = None
        self.sent = bytearray()
        self.stuck = 0  # bytes that wait
        self.cut = False  # what waited was thrown away
        self._closing = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.leg = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.stuck

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def write(self, data: Any) -> None:
        if not self.cut:
            self.sent += data

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self.lose)

    def abort(self) -> None:
        self.cut = True
        self.close()

    def lose(self) -> None:
        """The connection is gone."""
        self.cut = self._closing = True
        if self.leg is not None:
            leg, self.leg = self.leg, None
            leg.connection_lost(None)


async def relay(chance: random.Random) -> None:
    """One relay between two lying peers, until both are gone. Raises AssertionError if it breaks its promises."""
    loop = asyncio.get_running_loop()
    subject = Relay(Limits(client_message_bytes=_CAP, upstream_message_bytes=_CAP))
    client, upstream = _Wire(loop), _Wire(loop)
    subject.start(client, b"", upstream, b"")
    commands: tuple[Callable[[], None], ...] = (
        lambda: subject.end(1008, "revoked"),
        lambda: subject.drain(1012, "restart", 5.0),
        lambda: subject.tick(loop.time() + chance.choice((0.0, 30.0, 100.0))),
        client.lose,
        upstream.lose,
        client.close,
        upstream.close,
    )
    for _ in range(chance.randrange(1, 8)):
        if chance.random() < 0.25:
            chance.choice(commands)()
        else:
            wire, masked = (client, True) if chance.random() < 0.5 else (upstream, False)
            for chunk in _pieces(chance, _peers_bytes(chance, masked=masked)):
                if wire.leg is None or wire.is_closing():
                    break
                wire.leg.data_received(chunk)
        if chance.random() < 0.3:
            await asyncio.sleep(0)
    client.lose()
    upstream.lose()
    await asyncio.sleep(0)
    assert subject.ended.done(), "both connections are gone, the relay goes on"
    assert not subject._timers, "timers were left behind"  # noqa: SLF001 - that nothing is left is the point
    for wire, masked in ((client, False), (upstream, True)):
        found = scan([bytes(wire.sent)], masked=masked, passes=True)[2]
        assert found is None, f"a peer was sent {bytes(wire.sent)!r}: {found}"


async def one(chance: random.Random) -> None:
    """One input. Raises AssertionError, or whatever the code under test let escape."""
    kind = chance.randrange(8)
    if kind < 2:
        await relay(chance)
        return
    judge: Callable[[list[bytes]], Outcome]
    if kind == 2:
        data = _mutated(chance, chance.choice(_RESPONSES))
        judge = response
    else:
        masked, passes = chance.random() < 0.5, chance.random() < 0.5
        data = _peers_bytes(chance, masked=masked)

        def judge(chunks: list[bytes]) -> Outcome:
            return scan(chunks, masked=masked, passes=passes)

    whole, split = judge([data]), judge(_pieces(chance, data))
    if judge is response and {whole[0], split[0]} <= {"invalid", "waiting", "refusal begun", "refused"}:
        return  # a body's pieces may end a refusal earlier or later; neither opens anything
    assert whole == split, f"{data!r}: {whole} in one piece, {split} in several"


async def run(inputs: int, seed: int) -> None:
    """Try so many inputs. Raises AssertionError with the number of the input that found a fault."""
    chance = random.Random(seed)
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))
    began = said = time.monotonic()
    for number in range(inputs):
        try:
            await one(chance)
        except Exception as error:
            raise AssertionError(f"input {number} of seed {seed}: {type(error).__name__}: {error}") from error
        assert not faults, f"input {number} of seed {seed}: {faults}"
        if number % 1000 == 0:
            leaked = asyncio.all_tasks() - {asyncio.current_task()}
            assert not leaked, f"tasks left running before input {number}: {leaked}"
            if time.monotonic() - said > _PROGRESS_SECONDS:
                said = time.monotonic()
                print(f"{number:,} inputs, {number / (said - began):,.0f} a second", file=sys.stderr)
    leaked = asyncio.all_tasks() - {asyncio.current_task()}
    assert not leaked, f"tasks left running: {leaked}"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    # A violation is logged where it is found; here that is every other input.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    print(f"{options.inputs:,} inputs, seed {options.seed}")
    began = time.monotonic()
    asyncio.run(run(options.inputs, options.seed))
    print(f"no fault in {options.inputs:,} inputs, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
