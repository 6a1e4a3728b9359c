"""Draw backgrounds: sky, hills, ground and objects on the horizon."""

from random import Random

from PIL import Image, ImageDraw

from drawing import Size, pick, smooth, tint
from sample_breeds import SCENES, Scene


def gradient(size: Size, colours: tuple[str, str], light: float) -> Image.Image:
    """Return a vertical gradient from the first colour at the top to the second at the bottom."""
    top, bottom = (Image.new("RGB", size, tint(colour, light)) for colour in colours)
    return Image.composite(bottom, top, Image.linear_gradient("L").resize(size))


def draw_scene(size: Size, rng: Random) -> Image.Image:
    """Return a background with random scene, horizon and light."""
    scene, light = pick(rng, SCENES), rng.uniform(0.85, 1.08)
    (width, height), horizon = size, round(size[1] * rng.uniform(0.4, 0.72))
    image = gradient(size, scene.sky, light)
    draw = ImageDraw.Draw(image)
    if scene.hills:
        draw_sky(draw, scene, width, horizon, light, rng)
    for place in range(4):
        if rng.random() < 0.6:
            x, tall = (place + rng.uniform(0.3, 0.7)) * width / 4, rng.uniform(0.3, 0.6) * height
            draw_thing(draw, scene.thing, x, horizon, tall, rng)
    draw_ground(image, scene, horizon, light, rng)
    return image


def draw_sky(
    draw: ImageDraw.ImageDraw, scene: Scene, width: int, horizon: int, light: float, rng: Random
) -> None:
    """Draw clouds and, above the horizon, hills, or a level sea if there are boats."""
    for _ in range(int(rng.uniform(0, 4))):
        x, y, r = rng.random() * width, rng.uniform(0.05, 0.5) * horizon, width * 0.04
        for puff in range(4):
            centre = x + puff * r, y + rng.uniform(-0.3, 0.3) * r
            draw.circle(centre, r * rng.uniform(0.6, 1), tint(scene.sky[1], light * 1.05))
    low, high = (0.2, 0.2) if scene.thing == "boat" else (0.03, 0.35)
    ridge = [(x * width / 4, horizon * (1 - rng.uniform(low, high))) for x in range(-1, 6)]
    hills = [*smooth(ridge), (width * 1.3, horizon), (-width * 0.3, horizon)]
    draw.polygon(hills, tint(scene.hills, light))


def draw_ground(image: Image.Image, scene: Scene, horizon: int, light: float, rng: Random) -> None:
    """Draw the ground below the horizon: floorboards, or a field with grains or grass."""
    width, height = image.size
    draw = ImageDraw.Draw(image)
    image.paste(gradient((width, height - horizon), scene.ground, light), (0, horizon))
    if scene.thing == "window":
        draw.line((0, horizon, width, horizon), "#f6f1ea", 18)  # the skirting board
        for x in (width * plank / 8 for plank in range(-12, 21)):
            end = width / 2 + 2.5 * (x - width / 2)
            draw.line((x, horizon + 9, end, height), tint(scene.ground[1], light * 0.85), 3)
    for _ in range(420 if scene.speck else 0):
        near = rng.random()
        x, y, r = rng.random() * width, horizon + near * (height - horizon), 1 + 2 * near
        colour = tint(scene.speck, rng.uniform(0.9, 1.25))
        draw.ellipse((x - r, y - 2 * r * scene.blade, x + r, y), colour)


def draw_thing(
    draw: ImageDraw.ImageDraw, kind: str, x: float, y: float, tall: float, rng: Random
) -> None:
    """Draw a tree, fir, boat or window above the point (x, y) of the horizon."""
    wide, vary = tall * 0.3, rng.uniform(0.7, 1.3)
    if kind == "tree":
        draw.rectangle((x - wide * 0.12, y - tall * 0.6, x + wide * 0.12, y), "#6b4f3a")
        for _ in range(7):
            crown = x + rng.uniform(-0.6, 0.6) * wide, y - tall * rng.uniform(0.55, 0.95)
            draw.circle(crown, wide * 0.5, tint("#4f7d45", vary * rng.uniform(0.92, 1.1)))
    elif kind == "fir":
        for level in range(3):
            low, half = y - tall * (0.55 - 0.25 * level), wide * (0.5 + 0.3 * level)
            branches = ((x, low - tall * 0.45), (x - half, low), (x + half, low))
            draw.polygon(branches, tint("#3b5e34", vary))
    elif kind == "boat":
        deck, half = y - tall * 0.2, wide * 0.6
        draw.polygon(((x, deck - tall * 0.4), (x - half, deck), (x + half / 2, deck)), "#fbf6ea")
        draw.chord((x - half, deck - wide * 0.2, x + half, deck + wide * 0.2), 0, 180, "#a5543c")
    else:
        box = (x - wide * 0.7, y - tall * 1.1, x + wide * 0.7, y - tall * 0.4)
        draw.rectangle(box, tint("#a9cbdd", min(1.1, vary)), "#fbf8f2", 12)
