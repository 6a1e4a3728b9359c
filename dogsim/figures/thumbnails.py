"""Small pictures: as JPEG, and inside of HTML, so that a page needs no other file."""

import base64
import io
from html import escape

from dogsim.errors import DogsimError
from dogsim.images import Source, open_image
from dogsim.plumbing.terminal import printable

QUALITY = 85
SIDE = 128  # pixels


def jpeg(source: Source, side: int) -> bytes:
    r"""Make a JPEG of a picture, its longer side at most `side` pixels.

    Takes what `dogsim.load_image` takes and raises what it raises.

    >>> jpeg(np.zeros((40, 30), np.uint8), 16)[:3]
    b'\xff\xd8\xff'
    """
    image = open_image(source, at_least=side)
    image.thumbnail((side, side))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=QUALITY)
    return content.getvalue()


def html_figure(source: Source, caption: str) -> str:
    """Write a picture and its caption as HTML; one that cannot be read leaves the caption alone.

    >>> html_figure("gone.jpg", "a <pug>")
    '<figure><figcaption>not found: a &lt;pug&gt;</figcaption></figure>'
    """
    told = escape(printable(caption))
    try:
        data = base64.b64encode(jpeg(source, SIDE)).decode()
    except DogsimError:
        return f"<figure><figcaption>not found: {told}</figcaption></figure>"
    image = f'<img src="data:image/jpeg;base64,{data}" alt="{told}">'
    return f"<figure>{image}<figcaption>{told}</figcaption></figure>"
