"""Tags: what a request or an API key may carry so that its usage can be distinguished. One rule for all of them."""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Final

from aldea.errors import BadRequest
from aldea.usage.reading import MAX_TAGS, MAX_TEXT

# Control characters (C0, DEL, C1), the line and paragraph separators and lone surrogates: none can be read or typed,
# and each means something to a terminal, to a spreadsheet, to CSV or to UTF-8.
_REFUSED: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
# The same rule for a schema (pydantic's texts hold no surrogates).
PATTERN: Final = f"^[^{_REFUSED}]*$"
_refused: Final = re.compile(f"[{_REFUSED}\ud800-\udfff]").search


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """`tags` as a reading carries them. Raises BadRequest if there are too many, or one is too long or unreadable."""
    found = tuple(islice(tags, MAX_TAGS + 1))
    if len(found) > MAX_TAGS:
        raise BadRequest(f"'tag': got more than {MAX_TAGS}, at most {MAX_TAGS} are allowed. Send fewer tags.")
    for tag in found:
        if len(tag) > MAX_TEXT:
            raise BadRequest(f"'tag': got {len(tag)} characters, at most {MAX_TEXT} are allowed. Send a shorter tag.")
        if bad := _refused(tag):
            raise BadRequest(
                f"'tag': got the control character U+{ord(bad[0]):04X}, which is not allowed. Leave it out."
            )
    return found
