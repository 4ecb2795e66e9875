"""libav's audio decoders: which ones may be used, and their frames as samples."""

from typing import Any, Final

import av
import numpy as np

from stt_api.audio.faults import Fault, UndecodableAudio
from stt_api.audio.slices import Samples, check_shape

# libav knows hundreds of decoders, most of them for games and long unused: these are what people send.
DECODERS: Final = frozenset(
    {
        *("aac", "mp3", "mp3float", "mp2", "mp2float", "mp1", "mp1float", "ac3", "eac3"),
        *("flac", "alac", "opus", "libopus", "vorbis", "libspeex", "speex"),
        *("amrnb", "amrwb", "libopencore_amrnb", "libopencore_amrwb", "gsm", "gsm_ms"),
        *("adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "pcm_alaw", "pcm_mulaw", "pcm_u8", "pcm_s8"),
        *(f"pcm_{kind}{order}" for kind in ("s16", "s24", "s32", "f32", "f64") for order in ("le", "be")),
    }
)
# Damaged packets in a row after which a stream counts as undecodable; fewer are skipped, as players do.
MAX_DAMAGED_PACKETS: Final = 50


class FrameReader:
    """libav's frames as 16-bit samples. Their format may change from frame to frame.

    They are read interleaved: PyAV looks for the end of a frame's planes behind the eighth, and reads memory that is
    not the frame's where there are eight.
    """

    def __init__(self) -> None:
        self._shape: tuple[str, str, int] | None = None
        self._interleaved: Any = None

    def read(self, frame: Any) -> Samples:
        """A frame as samples of shape (channels, n). Raises UndecodableAudio."""
        channels, rate = frame.layout.nb_channels, frame.sample_rate
        check_shape(channels, rate)
        shape = (frame.format.name, frame.layout.name, rate)
        if shape != self._shape:
            self._interleaved = av.AudioResampler(format="s16", layout=frame.layout, rate=rate)
            self._shape = shape
        parts = [part.to_ndarray() for part in self._interleaved.resample(frame)]
        joined: Samples = np.concatenate(parts, axis=1) if parts else np.empty((1, 0), dtype=np.int16)
        return joined.reshape(-1, channels).T


class PacketDecoder:
    """A decoder that is given whole packets. Single damaged ones are left out."""

    def __init__(self, codec: str, extradata: bytes | None = None) -> None:
        """`codec`: libav's name of it. Raises UndecodableAudio for one that is not taken."""
        if codec not in DECODERS:
            raise UndecodableAudio(Fault.CODEC)
        self._context: Any = av.CodecContext.create(codec, "r")
        self._context.thread_count = 1  # several would hold frames back
        if extradata is not None:
            self._context.extradata = extradata
        self._reader = FrameReader()
        self._damaged = 0

    def decode(self, packet: bytes) -> list[tuple[Samples, int]]:
        """The packet's samples of shape (channels, n), each with its sample rate. Raises UndecodableAudio."""
        try:
            frames = self._context.decode(av.Packet(packet))
            found = [(self._reader.read(frame), int(frame.sample_rate)) for frame in frames]
        except av.InvalidDataError:
            self._damaged += 1
            if self._damaged > MAX_DAMAGED_PACKETS:
                raise UndecodableAudio(Fault.DAMAGED) from None
            return []
        self._damaged = 0
        return found
