"""Thumbnails as JPEG, and embedded in HTML, so that a page needs no other file."""

import base64
import io
from collections.abc import Sequence
from html import escape

from dogsim.errors import DogsimError, counted
from dogsim.images import Source, file_of, open_image
from dogsim.plumbing.terminal import printable

JPEG_QUALITY = 85
EMBEDDED_SIDE = 128  # pixels
ANSWER_STYLE = (
    ".dogsim-answer figure {display: inline-block; margin: 4px; width: 128px; vertical-align: top}"
    ".dogsim-answer img {display: block; margin: auto; max-width: 100%}"
    ".dogsim-answer figcaption {font-size: 12px; overflow-wrap: anywhere; text-align: center}"
    ".dogsim-answer .query figure {outline: 3px solid #8888}"
)


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
