"""Images as a browser shows them: thumbnails, originals at full size, and figures in HTML.

The thumbnails of a dataset are cached on disk by the content of its files.
"""

import base64
import io
from collections.abc import Sequence
from html import escape

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError, counted
from dogsim.image_files.files import RefusedError, open_undecoded, read_image_file, unreadable
from dogsim.images import Source, file_of, open_image
from dogsim.plumbing.content_cache import ContentCache
from dogsim.plumbing.terminal import printable
from dogsim.retrieval.identity import content_key

JPEG_QUALITY = 85
EMBEDDED_SIDE = 128  # pixels
ANSWER_STYLE = (
    ".dogsim-answer figure {display: inline-block; margin: 4px; width: 128px; vertical-align: top}"
    ".dogsim-answer img {display: block; margin: auto; max-width: 100%}"
    ".dogsim-answer figcaption {font-size: 12px; overflow-wrap: anywhere; text-align: center}"
    ".dogsim-answer .query figure {outline: 3px solid #8888}"
)
THUMBNAIL_SIZES = (160, 320, 640)  # pixels of the longer side
MAX_CACHE_BYTES = 300_000_000  # of about 40,000 thumbnails of the smallest size
BROWSER_MEDIA_TYPES = {  # by the format in Pillow; MPO is a JPEG with a second image
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
}

_cache = ContentCache("thumbnails-1", MAX_CACHE_BYTES)


def jpeg(source: Source, side: int) -> bytes:
    r"""Encode an image as JPEG, its longer side at most `side` pixels.

    Accepts the images of `dogsim.load_image` and raises the same errors.

    >>> jpeg(np.zeros((40, 30), np.uint8), 16)[:3]
    b'\xff\xd8\xff'
    """
    image = open_image(source, at_least=side)
    image.thumbnail((side, side))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=JPEG_QUALITY)
    return content.getvalue()


def thumbnail(dataset: Dataset, row: int, side: int) -> bytes:
    """Return an image of a dataset as JPEG, its longer side at most `side` pixels.

    Raises the errors of `dogsim.load_image`.
    """
    key = _key(dataset, row, side)
    if (found := _cache.read([key]).get(key)) is not None:
        return found
    content = jpeg(dataset.source(row), side)
    _cache.write({key: content})
    return content


def thumbnails(dataset: Dataset, rows: Sequence[int], side: int) -> dict[int, bytes]:
    """Return images of a dataset as JPEG by row, without those that cannot be read.

    A progress bar counts those that are not in the cache.
    """
    return _cache.compute_once(
        rows,
        lambda row: _key(dataset, row, side),
        lambda row: jpeg(dataset.source(row), side),
        "thumbnails",
    )


def _key(dataset: Dataset, row: int, side: int) -> str:
    return f"{content_key(dataset, row)} {side} {JPEG_QUALITY}"


def original(dataset: Dataset, row: int) -> tuple[bytes, str]:
    """Return the whole image of a row and its media type.

    It is the content of the file, unchanged, if browsers show its format, and a JPEG of the same
    size otherwise. Raises the errors of `dogsim.load_image`: no other file is ever returned.
    """
    path = dataset.image_file(row)
    content = read_image_file(path)
    try:
        with open_undecoded(content) as image:
            media_type, size = BROWSER_MEDIA_TYPES.get(image.format or ""), image.size
    except RefusedError as error:
        raise unreadable(str(path), str(error)) from error
    return (content, media_type) if media_type else (jpeg(content, max(size)), "image/jpeg")


def html_figure(source: Source, caption: str) -> str:
    """Return an image with its caption as HTML; of an unreadable image, only the caption.

    >>> html_figure("gone.jpg", "a <pug>")
    '<figure><figcaption>not found: a &lt;pug&gt;</figcaption></figure>'
    """
    text = escape(printable(caption))
    try:
        data = base64.b64encode(jpeg(source, EMBEDDED_SIDE)).decode()
    except DogsimError:
        return f"<figure><figcaption>not found: {text}</figcaption></figure>"
    image = f'<img src="data:image/jpeg;base64,{data}" alt="{text}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def html_answer(
    text: str, query: Source | None, neighbours: Sequence[tuple[Source, str]], n_hidden: int
) -> str:
    """Return an answer as HTML: its text, the query, and neighbours with their captions.

    `n_hidden` is the number of neighbours that are not shown.
    """
    parts = [f"<style>{ANSWER_STYLE}</style><p>{escape(text)}</p>"]
    if query is not None:
        file = file_of(query)
        caption = f"query: {file.name if file else 'an image'}"
        parts.append(f'<span class="query">{html_figure(query, caption)}</span>')
    parts += [html_figure(image, caption) for image, caption in neighbours]
    if n_hidden:
        parts.append(f"<p>and {counted(n_hidden, 'more neighbour')}</p>")
    return f'<div class="dogsim-answer">{"".join(parts)}</div>'
