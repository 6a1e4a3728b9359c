"""Tables of the sample's breeds and scenes, which `draw_sample_dogs.py` draws.

Outlines are written as in SVG, "x,y x,y ...", with y upwards. A curve of discs is a list of knots,
"x,y,radius x,y,radius ...". The comment of each table names the unit of its lengths.
"""

from dataclasses import dataclass
from typing import NamedTuple

Knot = tuple[float, float, float]  # x, y, radius


@dataclass(frozen=True)
class Breed:
    """A breed in side view; lengths in multiples of a tall dog's height."""

    coats: tuple[str, ...]  # the colours of the breed
    torso: tuple[float, float, float, float]  # length, leg, chest depth, waist / chest depth
    neck: Knot  # from the withers to the centre of the skull
    head: float  # radius of the skull, which is the unit of muzzle and ears
    muzzle: Knot  # length, radius at the skull, radius at the nose
    ear: str
    tail: str
    bone: float  # radius of the lower leg
    fur: float  # length of the hair
    marks: str = ""  # "colour:mark,mark ...", names of DYES and MARKS, later ones on top
    ear_colour: str = ""
    puffs: str = ""  # bunches of hair, "part,x,y,radius ..."
    eye: str = "#4a2c16"  # empty if hidden by hair
    slope: float = 0.0  # of the back, down to the hips
    spotted: bool = False
    curly: bool = False


class Pose(NamedTuple):
    """The position of the trunk."""

    turn: float = 0.0  # degrees by which the chest is raised
    low: bool = False  # lowered to the ground


# fmt: off
BREEDS = {
    "Dalmatian": Breed(
        ("#f4f1ea", "#ebe7de"), (1.08, .56, .42, .76), (.17, .2, .11), .15, (1.75, .62, .42),
        "drop", "whip", .048, .012, ear_colour="#2b2729", spotted=True),
    "beagle": Breed(
        ("#b8763c", "#a96a35", "#c48748"), (1., .36, .42, .84), (.15, .17, .12), .165,
        (1.6, .62, .46), "long", "flag", .055, .012,
        "white:under,socks,forelegs,snout,blaze,tip black:saddle",
        "#8f5526"),
    "dachshund": Breed(
        ("#8a4524", "#7a3a20", "#9a5228"), (1.22, .17, .36, .86), (.15, .2, .12), .155,
        (2.1, .66, .36), "long", "whip", .05, .01, ear_colour="#5f2c17"),
    "Pembroke_corgi": Breed(
        ("#cf8843", "#c47a35", "#d6934e"), (1.16, .17, .42, .92), (.14, .22, .16), .165,
        (1.65, .6, .32), "bat", "none", .06, .035,
        "white:under,socks,snout,blaze"),
    "German_shepherd": Breed(
        ("#b98246", "#a8733a", "#c08c52"), (1.16, .5, .42, .82), (.18, .22, .14), .15,
        (1.9, .62, .36), "prick", "brush", .055, .04, "black:blanket,mask,top",
        "#3a302b", slope=.09),
    "Siberian_husky": Breed(
        ("#5b6068", "#474b52", "#6d7178"), (1.05, .44, .42, .86), (.15, .2, .16), .16,
        (1.65, .58, .36), "prick", "sickle", .058, .032,
        "white:under,socks,forelegs,face,tip", eye="#58b4ea"),
    "standard_poodle": Breed(
        ("#efe9df", "#d9b48a", "#c9c4c0"), (.92, .58, .36, .66), (.12, .26, .09), .13,
        (2.2, .5, .32), "curly", "pom", .036, .025, curly=True,
        puffs="body,.3,.55,.25 body,.12,.6,.22 body,.42,.95,.17 body,-.4,.75,.15 "
        "foreleg,0,-.8,.1 "
        "hindleg,-.1,-.78,.1 head,-.2,.85,1 head,-.75,.3,.8"),
    "golden_retriever": Breed(
        ("#d9a655", "#cf9544", "#e2b96f"), (1.06, .42, .44, .9), (.17, .2, .16), .18,
        (1.65, .7, .5), "drop", "plume", .06, .06, ear_colour="#b97f36",
        puffs="body,.46,.55,.13 body,.05,.12,.1"),
    "Doberman": Breed(
        ("#2f2a2b", "#38302e", "#2a2628"), (1.04, .56, .43, .7), (.16, .25, .11), .14,
        (2.05, .6, .38), "cropped", "stub", .046, .008,
        "rust:bib,socks,snout,brow", eye="#7a4a22"),
    "pug": Breed(
        ("#dcbd8c", "#d2ae78", "#e2c79b"), (.82, .26, .46, .92), (.14, .15, .19), .21,
        (.95, .6, .5), "button", "curl", .056, .01, "black:mask brown:wrinkle", "#2b2625"),
    "Old_English_sheepdog": Breed(
        ("#858a92", "#74797f", "#9499a0"), (.98, .3, .5, .98), (.14, .18, .2), .22,
        (1.25, .72, .55), "mop", "none", .1, .1, "white:front,socks,forelegs,scalp",
        "#b9bcc0", "head,.4,.35,.75 head,.4,-.7,.6 body,.35,.4,.24", eye=""),
    "whippet": Breed(
        ("#b79a78", "#8d8f96", "#c7a983"), (1.06, .6, .38, .5), (.18, .24, .08), .115,
        (2.4, .62, .28), "rose", "low", .034, .006, "white:bib,toes"),
}

DYES = {"white": "#f6f2ea", "black": "#2c2829", "rust": "#a8602c", "brown": "#8f7049"}

EARS = {  # in head units: the skull is a circle of radius 1 and the nose points to +x
    "drop": "-.5,.75 0,.7 .2,0 0,-.8 -.45,-.75 -.65,0",
    "long": "-.5,.7 0,.6 .3,-.4 .15,-1.2 -.4,-1.25 -.75,-.3",
    "prick": "-.75,.5 -.72,1.2 -.35,1.95 -.05,1.4 .2,.75",
    "bat": "-.85,.4 -.95,1.2 -.5,2 -.05,1.5 .2,.75",
    "cropped": "-.6,.6 -.55,1.4 -.3,2.15 -.1,1.4 .05,.8",
    "button": "-.65,.8 0,.95 .25,.45 .05,-.1 -.4,.15",
    "rose": "-.1,.75 -.1,.3 -.7,.1 -1.3,.2 -.8,.75",
    "curly": "-.7,.6 .1,.6 .4,-.6 .2,-1.5 -.6,-1.5 -.95,-.5",
    "mop": "-.6,.6 -.1,.6 0,-.3 -.15,-.9 -.6,-.9 -.85,0",
}

TAILS = {  # knots "x,y,radius" from the root
    "none": "0,0,.04 -.03,.01,.04",
    "stub": "0,0,.05 -.08,.08,.04 -.1,.11,.035",
    "whip": "0,0,.05 -.18,.02,.04 -.38,.12,.026 -.52,.3,.012",
    "flag": "0,0,.06 -.13,.16,.05 -.16,.36,.042 -.1,.52,.02",
    "plume": "0,0,.06 -.2,-.02,.1 -.44,.06,.12 -.64,.24,.03",
    "brush": "0,0,.07 -.15,-.14,.08 -.22,-.36,.09 -.32,-.5,.02",
    "sickle": "0,0,.07 -.16,.14,.1 -.14,.38,.11 .08,.42,.05",
    "curl": ".04,0,.05 -.1,.06,.06 -.07,.19,.06 .05,.17,.05 .01,.09,.03",
    "low": "0,0,.04 -.1,-.22,.03 -.13,-.46,.02 -.26,-.62,.01",
    "pom": "0,0,.03 -.05,.14,.03 -.09,.27,.1 -.1,.31,.1",
}

# The areas of a marking, as (part, outline). Body: x from the hips (-.5) to the chest (.5), y from
# the belly (0) to the back (1). Leg: multiples of its length. Head and tail: as above.
MARKS = {
    "under": [("body", "-.6,-.2 -.45,.3 .1,.35 .3,.75 .42,1.1 .56,1.25 .9,1.2 .8,0 .4,-.4")],
    "saddle": [("body", "-.6,1 -.3,1.3 .25,1.3 .38,1.05 .24,.6 0,.48 -.35,.55"),
               ("hindleg", "-.5,.6 .5,.6 .5,.02 -.5,.02")],
    "blanket": [("body", "-.62,.9 -.3,1.3 .25,1.3 .48,1.7 .54,1.25 .36,.75 0,.42 -.3,.5"),
                ("tail", "-.5,.2 .2,.2 -.1,-.2 -.3,-.7 -.5,-.7")],
    "bib": [("body", ".42,.85 .7,.9 .7,.1 .4,.2 .36,.5")],
    "front": [("body", ".05,-.3 .12,.5 .02,1.2 .4,2 1,1.5 .9,-.3")],
    "socks": [("foreleg", "-.5,-.62 0,-.56 .5,-.62 .5,-1.2 -.5,-1.2"),
              ("hindleg", "-.5,-.62 0,-.56 .5,-.62 .5,-1.2 -.5,-1.2")],
    "toes": [("foreleg", "-.5,-.92 .5,-.92 .5,-1.2 -.5,-1.2"),
             ("hindleg", "-.5,-.92 .5,-.92 .5,-1.2 -.5,-1.2")],
    "forelegs": [("foreleg", "-.9,.5 .9,.5 .9,-1.3 -.9,-1.3")],
    "mask": [("head", "1,.15 .65,-.35 .6,-1.3 2.8,-1.2 2.8,.2")],
    "top": [("head", "-.9,.9 .3,1.3 .85,.75 .3,.6 -.5,.5 -1.2,.2")],
    "snout": [("head", ".95,-.1 .3,-.55 0,-1.4 2.8,-1.4 2.8,-.3 1.8,-.15")],
    "blaze": [("head", ".5,1.1 .75,.55 1.1,0 1.8,.2 1.1,1")],
    "face": [("head", "1,.25 .5,.05 .1,.25 -.3,-.1 -.5,-.6 -.3,-1.4 2.8,-1.4 2.8,.4"),
             ("head", ".35,.62 .6,.72 .72,.5 .5,.42")],
    "brow": [("head", ".45,.5 .6,.62 .72,.5 .58,.4")],
    "scalp": [("head", "-2,-2 -2,2 3,2 3,-2")],
    "tip": [("tail", "-.5,.36 .4,.33 .4,.8 -.5,.8")],
    "wrinkle": [("head", ".55,.75 .75,.6 .8,.4 .68,.58"), ("head", ".25,.7 .42,.5 .42,.3 .36,.5"),
                ("head", ".3,-.1 .42,-.3 .36,-.55 .3,-.3")],
}
LEGS = {  # knots in multiples of the leg, with radii in chest depths (first) and bones (others)
    "foreleg": "0,0,.27 -.02,-.45,1.4 0,-.8,1 0,-.95,1",
    "hindleg": "0,0,.34 .1,-.4,1.7 -.13,-.68,1 -.09,-.95,1",
    "folded foreleg": "0,0,.27 -.3,-.6,1.4 .8,-.85,1.1 2.2,-.9,1",
    "folded hindleg": "0,0,.34 .9,.05,2 .1,-.75,1.1 1.1,-.9,1",
}


class Scene(NamedTuple):
    """A background, from top to bottom."""

    sky: tuple[str, str]
    ground: tuple[str, str]
    hills: str
    thing: str  # object on the horizon
    speck: str = ""
    blade: float = 1.0  # height of a speck: 1 for grains, more for grass


SCENES = (
    Scene(("#7fb6e6", "#dceffa"), ("#8dbb5b", "#5f9440"), "#7fa96a", "tree", "#4f8436", 4),
    Scene(("#aac4dc", "#eef3f8"), ("#f4f7fb", "#d5e0ec"), "#c4d2e0", "fir", "#ffffff"),
    Scene(("#8cc9ec", "#f3ead2"), ("#ecd9a8", "#d9bd82"), "#3f8fb5", "boat", "#c3a468"),
    Scene(("#f3b98a", "#fbe6c2"), ("#a89a55", "#7c7440"), "#b98a5a", "tree", "#8c6a30", 3),
    Scene(("#f1d58a", "#f7e8bd"), ("#d9b65a", "#b78f3c"), "#a9a65a", "tree", "#c49a3f", 5),
    Scene(("#b9c7d6", "#e3e8ec"), ("#8f9a86", "#767e70"), "#6f8a70", "fir", "#636b5c", 2),
    Scene(("#c9d8c5", "#d9e3d2"), ("#b98a5e", "#94683f"), "", "window"),
    Scene(("#e9d3c4", "#f0e0d2"), ("#b9b4ae", "#918c88"), "", "window"),
    Scene(("#8fa9c9", "#cdb9c9"), ("#d8cfc4", "#b3a89c"), "", "window"),
)
COLLARS = ("#c8372f", "#2f6fb5", "#e0a526", "#3d8f57", "#8455a0")
# fmt: on
