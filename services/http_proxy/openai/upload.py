"""The file of a form as an upload of its own: counted, watched and kept as any, without the form around it."""

from typing import Final

from aiohttp import hdrs, web

from aldea import errors
from http_proxy.openai.form import Form
from http_proxy.openai.options import Options, read_options
from http_proxy.upload import Upload, UploadBroken, UploadLimits

_NO_FILE: Final = "file: got none; send the audio in the form's field 'file'."


class FormUpload(Upload):
    """`read` returns the file's bytes. Its size is known at its end only, so it is sent on in chunks.

    `options`: what its other fields request, known once the upload is complete.
    """

    def __init__(self, request: web.BaseRequest, limits: UploadLimits) -> None:
        super().__init__(request, limits)
        self._form: Form | None = None
        self.options: Options | None = None

    @property
    def form(self) -> Form:
        """Only after `check`."""
        if self._form is None:
            raise RuntimeError("the upload was not checked")
        return self._form

    def check(self) -> None:
        """The same, and what the head says of the form. Raises BadRequest as well."""
        super().check()
        if self._request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower() not in {"", "identity"}:
            raise errors.BadRequest("A form is sent as it is. Leave Content-Encoding out.")
        self._form = Form(self._request.headers.get(hdrs.CONTENT_TYPE, ""))
        self.length = None

    @property
    def at_hand(self) -> bool:
        """False: a piece may hold nothing of the file."""
        return False

    async def read(self) -> bytes:
        """The next piece of the file. Raises BadRequest for what is no form, and as `Upload.read`."""
        while True:
            piece = await super().read()
            file = self.form.feed(piece)
            if self.complete:
                self._check_end()
            if file:
                self.keep(file)
            if file or self.complete or not piece:
                return file

    def _count(self, piece: bytes) -> None:
        self.count(piece)

    def _check_end(self) -> None:
        if not self.form.complete:
            raise UploadBroken("The form has no end. Send all of it.")
        if not self.form.has_file:
            raise errors.BadRequest(_NO_FILE)
        # Before the server has the end of the body: what is refused now is not transcribed, nor billed.
        self.options = read_options(self.form.fields)
