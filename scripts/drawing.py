"""Draw a dog part by part: each part has a frame, a silhouette and a coat.

Used by `draw_sample_dogs.py` and `draw_hard_dogs.py`; `sample_breeds.py` describes the breeds.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar, cast

from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter

from sample_breeds import COLLARS, DYES, EARS, LEGS, MARKS, TAILS, Breed, Knot, Pose

OVERSAMPLING = 3
STANDING = Pose()
MIN_STRAIGHT_LEG = 0.7  # of its length: a leg with less height below its joint is folded

Point = tuple[float, float]
Colour = tuple[int, ...]
Size = tuple[int, int]

T = TypeVar("T")


def pick(rng: Random, options: Sequence[T]) -> T:
    """Choose an option by one call of random(), which is the same in every Python version."""
    return options[int(rng.random() * len(options))]


def points(text: str) -> list[Point]:
    """Parse "x,y x,y ..."."""
    return [(float(x), float(y)) for x, y in (point.split(",") for point in text.split())]


def knots(text: str) -> list[Knot]:
    """Parse "x,y,radius x,y,radius ..."."""
    return [
        (float(x), float(y), float(r)) for x, y, r in (knot.split(",") for knot in text.split())
    ]


def tint(colour: str | Colour, factor: float = 1.0) -> Colour:
    """Return a colour made darker (factor below 1) or lighter (above)."""
    rgb = ImageColor.getrgb(colour) if isinstance(colour, str) else colour
    return tuple(min(255, round(channel * factor)) for channel in rgb)


def smooth(line: Sequence[tuple[float, ...]], steps: int = 12) -> Iterator[tuple[float, ...]]:
    """Yield a Catmull-Rom spline through the points of an open line."""
    ends = [line[0], *line, line[-1]]
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        for t in (step / steps for step in range(steps + 1)):
            yield tuple(
                q + t / 2 * (r - p + t * (2 * p - 5 * q + 4 * r - s + t * (3 * (q - r) + s - p)))
                for p, q, r, s in zip(a, b, c, d, strict=True)
            )


@dataclass(frozen=True)
class Frame:
    """Coordinates of a part: origin and unit in pixels, turn in degrees, stretch of the axes."""

    x: float
    y: float
    unit: float
    turn: float = 0.0
    stretch: Point = (1.0, 1.0)

    def at(self, x: float, y: float) -> Point:
        """Return the pixel of a point in units of this frame, with y upwards."""
        x, y = x * self.stretch[0] * self.unit, y * self.stretch[1] * self.unit
        sin, cos = math.sin(math.radians(self.turn)), math.cos(math.radians(self.turn))
        return self.x + x * cos - y * sin, self.y - x * sin - y * cos

    def inner(
        self, x: float, y: float, scale: float = 1.0, turn: float = 0.0, stretch: Point = (1.0, 1.0)
    ) -> "Frame":
        """Return a frame with origin (x, y) in this one, scaled and turned relative to it."""
        return Frame(*self.at(x, y), self.unit * scale, self.turn + turn, stretch)

    def outline(self, corners: Sequence[Point]) -> list[Point]:
        """Return the pixels of a closed outline with rounded corners."""
        return [self.at(*point) for point in smooth([*corners, corners[0]])]


class Part:
    """One layer of a dog: its silhouette, and the coat inside it."""

    def __init__(self, size: Size, colour: Colour) -> None:
        self.coat, self.mask = Image.new("RGB", size, colour), Image.new("L", size)

    def limb(self, frame: Frame, line: Sequence[Knot]) -> None:
        """Add a curve of discs through the knots, with interpolated radii."""
        draw = ImageDraw.Draw(self.mask)
        for x, y, radius in smooth(line):
            draw.circle(frame.at(x, y), max(1.0, radius * frame.unit), 255)

    def mark(self, outline: list[Point], colour: Colour, blur: float) -> None:
        """Colour the coat inside an outline, whose edge is blurred over `blur` pixels."""
        area = Image.new("L", self.mask.size)
        ImageDraw.Draw(area).polygon(outline, 255)
        self.coat.paste(colour, mask=area.filter(ImageFilter.GaussianBlur(blur)))

    def inside(self, rng: Random, density: float) -> list[Point]:
        """Return random pixels of the silhouette, `density` per pixel of its bounding box."""
        left, top, right, bottom = self.mask.getbbox() or (0, 0, 1, 1)
        count = int(density * (right - left) * (bottom - top))
        tries = [(rng.uniform(left, right - 1), rng.uniform(top, bottom - 1)) for _ in range(count)]
        return [(x, y) for x, y in tries if self.mask.getpixel((int(x), int(y)))]

    def spots(self, rng: Random, unit: float) -> None:
        """Draw dark spots at random positions without overlap."""
        draw, kept = ImageDraw.Draw(self.coat), list[Knot]()
        for x, y in self.inside(rng, 600 / unit**2):
            r = unit * rng.uniform(0.012, 0.03)
            if all(math.dist((x, y), (kx, ky)) > 1.25 * (r + kr) for kx, ky, kr in kept):
                kept.append((x, y, r))
                draw.ellipse((x - r, y - r * 0.8, x + r, y + r * 0.9), "#262224")

    def hair(self, rng: Random, length: float, curly: bool) -> None:
        """Draw the hair: strokes or curls of slightly different shades, some beyond the outline."""
        coat, mask = ImageDraw.Draw(self.coat), ImageDraw.Draw(self.mask)
        vary = min(0.16, 0.02 + length / 240)
        for x, y in self.inside(rng, 1.6 / (length + 6) ** 1.5):
            below = cast(Colour, self.coat.getpixel((int(x), int(y))))
            shade = tint(below, rng.uniform(1 - vary, 1 + vary))
            if curly:
                mask.circle((x, y), length, 255)
                box, start = (x - length, y - length, x + length, y + length), rng.uniform(0, 360)
                coat.arc(box, start, start + 200, shade, OVERSAMPLING)
            else:
                angle = math.radians(rng.gauss(110, 25))
                hair = (x, y, x + length * math.cos(angle), y + length * math.sin(angle))
                mask.line(hair, 255, OVERSAMPLING)
                coat.line(hair, shade, OVERSAMPLING)

    def shaded(self, depth: float, alpha: Image.Image | None = None) -> Image.Image:
        """Return the part lit from above, with edges `depth` pixels round, under an alpha mask."""
        blur = ImageFilter.GaussianBlur(depth * 0.8)
        below = ImageChops.offset(self.mask, 0, -round(depth)).filter(blur)
        above = ImageChops.offset(self.mask, 0, round(depth)).filter(blur)
        coat = Image.composite(self.coat, self.coat.point(lambda value: value * 0.58), below)
        coat = Image.composite(coat, coat.point(lambda value: value * 0.94 + 24), above)
        coat.putalpha(ImageChops.multiply(self.mask, alpha) if alpha else self.mask)
        return coat


class Dog:
    """A dog that looks to the right, painted part by part from the far side to the near side."""

    def __init__(
        self, breed: Breed, frame: Frame, size: Size, rng: Random, pose: Pose = STANDING
    ) -> None:
        self.breed, self.frame, self.rng = breed, frame, rng
        self.shade = rng.uniform(0.9, 1.07)
        self.coat = pick(rng, breed.coats)
        self.image = Image.new("RGBA", size)
        _, leg, depth, _ = breed.torso
        self.back = leg + depth  # a height above the ground, as the croup is
        self.croup = self.back - breed.slope
        self.chest, self.rump = depth / 2, depth * 0.42  # radii
        self.trunk = self.posed(pose)

    def posed(self, pose: Pose) -> Frame:
        """Return the frame of the trunk, turned about its centre and lowered if the pose is low."""
        length, leg, depth, _ = self.breed.torso
        middle = leg + depth / 2
        self.trunk = self.frame.inner(0, middle, turn=pose.turn).inner(0, -middle)
        if not pose.low:
            return self.trunk
        chest = self.above_ground(length / 2 - self.chest, self.back - self.chest)[1] - self.chest
        rump = self.above_ground(self.rump - length / 2, self.croup - self.rump)[1] - self.rump
        return replace(self.trunk, y=self.trunk.y + min(chest, rump) * self.frame.unit)

    def above_ground(self, x: float, y: float) -> Point:
        """Return the position of a point of the trunk relative to the ground below the dog."""
        right, down = self.trunk.at(x, y)
        return (right - self.frame.x) / self.frame.unit, (self.frame.y - down) / self.frame.unit

    def paint(self) -> Image.Image:
        """Return the dog on a transparent background."""
        length, leg, depth, _ = self.breed.torso
        shoulder = (length / 2 - self.chest, self.back - self.chest * 0.9, self.chest * 0.8)
        nod = self.rng.uniform(-14, 10)
        neck_x, neck_y, neck_radius = self.breed.neck
        skull_x = length / 2 - self.chest * 0.6 + neck_x + 0.003 * nod
        skull = (skull_x, self.back + neck_y + 0.004 * nod, neck_radius)
        legs = {
            "foreleg": (length / 2 - self.chest * 0.95, leg + depth * 0.38),
            "hindleg": (self.rump * 0.95 - length / 2, self.croup - self.rump * 1.05),
        }
        for name, joint in legs.items():
            self.leg(name, joint, far=True)
        self.tail(self.rump * 0.45 - length / 2, self.croup - self.rump * 0.5)
        self.body(shoulder, skull)
        if self.breed.fur < 0.08 and self.rng.random() < 0.5:
            self.collar(shoulder, skull)
        for name, joint in legs.items():
            self.leg(name, joint)
        level = nod - self.trunk.turn  # independent of the pose of the trunk
        self.face(self.trunk.inner(skull[0], skull[1], self.breed.head, level))
        return self.image

    def part(self, shade: float = 1.0) -> Part:
        """Return an empty part in the colour of the coat."""
        return Part(self.image.size, tint(self.coat, self.shade * shade))

    def finish(
        self,
        part: Part,
        name: str,
        frame: Frame,
        shade: float = 1.0,
        alpha: Image.Image | None = None,
    ) -> None:
        """Add the breed's puffs, marks and hair to a part, and composite it onto the image."""
        breed, unit = self.breed, self.frame.unit
        for where, x, y, radius in (puff.split(",") for puff in breed.puffs.split()):
            if where == name:
                at = frame.at(float(x), float(y))
                ImageDraw.Draw(part.mask).circle(at, float(radius) * frame.unit, 255)
        for dye, names in (item.split(":") for item in breed.marks.split()):
            colour = tint(DYES[dye], self.shade * shade)
            for where, area in (outline for mark in names.split(",") for outline in MARKS[mark]):
                if where == name:
                    part.mark(frame.outline(points(area)), colour, unit * (0.006 + breed.fur / 4))
        part.hair(self.rng, breed.fur * unit, breed.curly)
        if breed.spotted:
            part.spots(self.rng, unit)
        self.image.alpha_composite(part.shaded(unit * 0.05, alpha))

    def tail(self, x: float, y: float) -> None:
        """Draw the tail from its root at (x, y), turned by a random angle."""
        tail, root = self.part(), self.trunk.inner(x, y, turn=self.rng.uniform(-14, 14))
        tail.limb(root, knots(TAILS[self.breed.tail]))
        self.finish(tail, "tail", root)

    def leg(self, name: str, joint: Point, far: bool = False) -> None:
        """Draw one leg at a random angle, lengthened so that it reaches the ground.

        If the trunk is too low for a straight leg, the leg is folded.
        """
        x, y = self.above_ground(*joint)
        shade, turn = 0.7 if far else 1.0, self.rng.uniform(-15, 15)
        folded = y < MIN_STRAIGHT_LEG * joint[1]
        if folded:
            turn /= 3
        frame = self.frame.inner(x + 0.07 * far, y, y / math.cos(math.radians(turn)), turn)
        leg, bone = self.part(shade), self.breed.bone / y
        (_, _, thigh), *rest = knots(LEGS[f"folded {name}" if folded else name])
        line = [(0.0, 0.0, thigh * self.breed.torso[2] / y)]
        leg.limb(frame, line + [(kx, ky, radius * bone) for kx, ky, radius in rest])
        toe = rest[-1][0]
        leg.limb(frame, [(toe, bone - 1, bone), (toe + bone * 1.3, bone - 1, bone * 0.9)])
        alpha = None
        if not far:  # blend it into the body without a seam
            top, bottom = round(frame.at(0, 0.12)[1]), round(frame.at(0, -0.14)[1])
            alpha = Image.new("L", self.image.size, 255)
            alpha.paste(0, (0, 0, alpha.width, top))
            alpha.paste(Image.linear_gradient("L").resize((alpha.width, bottom - top)), (0, top))
        self.finish(leg, name, frame, shade, alpha)

    def body(self, shoulder: Knot, skull: Knot) -> None:
        """Draw the trunk from rump to chest, and the neck, as one part without a seam."""
        length, leg, depth, waist = self.breed.torso
        belly = waist * self.chest
        rump = (self.rump - length / 2, self.croup - self.rump, self.rump)
        middle = (-0.08 * length, self.back - self.breed.slope * 0.4 - belly, belly)
        body = self.part()
        body.limb(self.trunk, [rump, middle, shoulder])
        body.limb(self.trunk, [(length / 2 - self.chest, self.back - self.chest, self.chest)] * 2)
        body.limb(self.trunk, [shoulder, skull])
        self.finish(body, "body", self.trunk.inner(0, leg, stretch=(length, depth)))

    def collar(self, shoulder: Knot, skull: Knot) -> None:
        """Draw a collar across the neck, in a colour that is independent of the breed."""
        x, y, _ = (0.35 * a + 0.65 * b for a, b in zip(shoulder, skull, strict=True))
        turn = math.degrees(math.atan2(skull[1] - shoulder[1], skull[0] - shoulder[0]))
        frame = self.trunk.inner(x, y, skull[2] + 0.35 * self.breed.fur, turn)
        band = Part(self.image.size, tint(pick(self.rng, COLLARS)))
        band.limb(frame, knots("0,.95,.14 -.15,0,.14 0,-1,.14"))
        self.image.alpha_composite(band.shaded(self.frame.unit * 0.02))

    def face(self, head: Frame) -> None:
        """Draw the head with its ears."""
        length, deep, tip = self.breed.muzzle
        outline = points(EARS[self.breed.ear])
        if max(y for _, y in outline) > 1:  # both upright ears are visible
            self.ear(head.inner(0.4, 0), outline, 0.7)
        skull = self.part()
        skull.limb(head, [(-0.1, 0, 1), (0.2, 0, 0.92)])
        cheek, bridge = (0.2, 0.55 - deep * 1.5, deep * 1.1), (0.9, 0.1 - deep * 0.8, deep * 0.9)
        skull.limb(head, [cheek, bridge, (length - tip, -0.4, tip)])
        self.finish(skull, "head", head)
        self.features(head, head.inner(length - tip, -0.4, tip))
        self.ear(head, outline)

    def ear(self, head: Frame, outline: list[Point], shade: float = 1.0) -> None:
        """Draw one ear, in its own colour if the breed has one."""
        colour = tint(self.breed.ear_colour or self.coat, self.shade * shade)
        ear, unit = Part(self.image.size, colour), self.frame.unit
        ImageDraw.Draw(ear.mask).polygon(head.outline(outline), 255)
        ear.hair(self.rng, min(self.breed.fur, 0.03) * unit, self.breed.curly)
        self.image.alpha_composite(ear.shaded(unit * 0.03))

    def features(self, head: Frame, tip: Frame) -> None:
        """Draw nose, mouth and eye, and with probability 1/2 the tongue."""
        if self.rng.random() < 0.5:
            tongue = Part(self.image.size, tint("#e8808c"))
            tongue.limb(tip, knots("-.6,-.8,.4 -.2,-1.9,.42"))
            self.image.alpha_composite(tongue.shaded(head.unit * 0.1))
        draw = ImageDraw.Draw(self.image)
        draw.circle(tip.at(0.85, 0.55), tip.unit * 0.55, "#1c1819")
        draw.circle(tip.at(0.9, 0.85), tip.unit * 0.15, "#8b8587")
        if not self.breed.eye:
            return
        mouth = smooth([tip.at(0.9, -0.55), tip.at(0.1, -0.82), head.at(0.75, -0.85)])
        draw.line(list(mouth), "#2a2020", max(1, round(head.unit * 0.07)), "curve")
        eye = ((0.62, 0.2, "#1c1819"), (0.63, 0.15, self.breed.eye), (0.65, 0.09, "#0c0a0a"))
        for x, radius, colour in eye:
            draw.circle(head.at(x, 0.25), head.unit * radius, colour)
        draw.circle(head.at(0.68, 0.31), head.unit * 0.05, "#ffffff")


def place_dog(breed: Breed, size: Size, rng: Random, fill: Point = (0.68, 0.94)) -> Frame:
    """Return the frame of a dog at a random position; `fill` is its random size in the image."""
    length, leg, depth, _ = breed.torso
    before = length / 2 - depth * 0.3 + breed.neck[0] + breed.head * (breed.muzzle[0] + 0.3)
    behind = length / 2 - depth * 0.15 - min(x - r for x, _, r in knots(TAILS[breed.tail]))
    above = leg + depth + breed.neck[1] + breed.head * 1.9
    unit = min(size[0] / (before + behind), size[1] / above) * rng.uniform(*fill)
    x = behind * unit + rng.uniform(0.1, 0.9) * (size[0] - (before + behind) * unit)
    y = size[1] - 0.03 * unit - rng.uniform(0.15, 0.8) * (size[1] - above * unit)
    return Frame(x, y, unit)


def put_dog(
    image: Image.Image, breed: Breed, frame: Frame, rng: Random, pose: Pose = STANDING
) -> tuple[int, int, int, int]:
    """Draw a dog and its shadow into an image; return its box: left, top, right, bottom."""
    size, half = image.size, 0.62 * breed.torso[0]
    shadow = Image.new("L", size)
    ImageDraw.Draw(shadow).ellipse((*frame.at(-half, 0.07), *frame.at(half, -0.05)), 110)
    image.paste("#20242a", mask=shadow.filter(ImageFilter.GaussianBlur(frame.unit * 0.03)))
    dog = Dog(breed, frame, size, rng, pose).paint()
    image.paste(dog, mask=dog)
    return dog.getbbox() or (0, 0, *size)
