"""The things that appear in the demo scenes: emoji with their CLDR names, and coloured geometric shapes.

Owns the list, the names and the rendered sprites. Names are the English short names of Unicode CLDR, shortened only
where SHORT says so. Pictures come from the Noto Color Emoji font; nothing is downloaded.
"""
import functools
import os
import xml.etree.ElementTree as ET

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONT = os.environ.get("DEMO_FONT", "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
CLDR = os.environ.get("DEMO_CLDR", "/usr/share/unicode/cldr/common/annotations/en.xml")

EMOJI = (
    # animals
    "🐕🐈🐅🐎🦓🦌🐄🐖🐑🐐🐪🦒🐘🦏🐁🐇🦔🦇🐨🐼🐓🐥🐧🦅🦆🦉🦩🦚🦜🐸🐊🐢🐍🐉🐳🐬🐟🦈🐙🐌🦋🐛🐝🐞🕷🦀🦞🦁🐒"
    # plants and food
    "🌹🌻🌷🌲🌴🌵🍀🍁🍄🍇🍉🍊🍋🍌🍍🍎🍐🍑🍒🍓🥝🍅🥥🥑🍆🥕🌽🥦🥜🍞🥐🥨🧀🍔🍟🍕🌭🥚🍿🍙🍣🍦🍩🍪🎂🍭☕🍷🍺"
    # things
    "⏰☂⛄🔥🌈⭐🌙🎈🎁🏆⚽🏀🏈🎾🎳🎯🎲🧸👑💎🎩👓👟👠🥾👕👖🧤👗🔔🎸🎺🥁📱💻📷📺💡🕯📕📦✂🔑🔒🔨🧲🔧⚓🚀🚁🚂🚌🚑🚒🚕🚗🚜🚲✈⛵🏠🏰⛺🪑🛁🌍"
)
SHORT = {
    "soccer ball": "football", "american football": "rugby ball", "spouting whale": "whale", "automobile": "car",
    "locomotive": "train", "front-facing baby chick": "chick", "hot beverage": "coffee", "wine glass": "wine",
    "beer mug": "beer", "closed book": "book", "light bulb": "lamp", "globe showing Europe-Africa": "globe",
    "crescent moon": "moon", "red apple": "apple", "french fries": "fries", "birthday cake": "cake",
    "soft ice cream": "ice cream", "ear of corn": "corn", "alarm clock": "clock", "snowman without snow": "snowman",
    "evergreen tree": "fir tree", "running shoe": "trainer", "high-heeled shoe": "high heel", "t-shirt": "shirt",
    "hiking boot": "boot", "wrapped gift": "gift", "mobile phone": "phone", "gem stone": "diamond", "lady beetle": "ladybird",
    "ewe": "sheep", "honeybee": "bee", "top hat": "hat", "maple leaf": "leaf", "four leaf clover": "clover",
    "game die": "dice", "bowling": "bowling pins", "bug": "caterpillar", "locked": "padlock",
    "bullseye": "target", "cheese wedge": "cheese", "kiwi fruit": "kiwi",
}  # fmt: skip
# Names that take no article in running text.
PLURAL = {"grapes", "cherries", "fries", "scissors", "jeans", "socks", "gloves", "glasses", "bowling pins", "peanuts"}
UNCOUNTED = {"broccoli", "bread", "cheese", "popcorn", "sushi", "corn", "honey", "coffee", "wine", "beer", "fire"}
SHAPES = ("circle", "square", "triangle", "ring", "cross", "bar")
# Named colours: RGB centre; used for backgrounds and for shapes.
COLOURS = {
    "red": (214, 38, 38), "orange": (250, 140, 20), "yellow": (250, 222, 50), "green": (50, 158, 62),
    "blue": (44, 84, 214), "purple": (124, 44, 168), "pink": (250, 150, 196), "brown": (112, 68, 34),
    "gray": (134, 134, 134), "white": (244, 244, 244), "black": (22, 22, 24),
}  # fmt: skip
COLOUR_NAMES = tuple(COLOURS)
SPRITE = 128


@functools.cache
def emoji_names():
    """Code point -> English short name."""
    names = {}
    for a in ET.parse(CLDR).getroot().iter("annotation"):
        if a.get("type") == "tts":
            names[a.get("cp")] = a.text
    out = {}
    for ch in EMOJI:
        name = names[ch]
        out[ch] = SHORT.get(name, name)
    return out


@functools.cache
def class_names():
    """Emoji names in list order, then shape names; index + 1 is the class label (0 is "nothing")."""
    names = tuple(emoji_names()[c] for c in EMOJI)
    if len(set(names)) != len(names):
        raise ValueError(f"names are not unique: {sorted(n for n in names if names.count(n) > 1)}")
    return names + SHAPES


def is_shape(k):
    return k >= len(EMOJI)


def with_article(name):
    first = name.split()[-1] if name in PLURAL else name
    if name in PLURAL or name in UNCOUNTED or first in PLURAL:
        return name
    return ("an " if name[0] in "aeiou" else "a ") + name


def _square(im):
    im = im.crop(im.getbbox())
    side = max(im.size)
    out = Image.new("RGBA", (side, side))
    out.paste(im, ((side - im.width) // 2, (side - im.height) // 2))
    return out.resize((SPRITE, SPRITE), Image.BICUBIC)


def emoji_sprite(ch):
    font = ImageFont.truetype(FONT, 109)
    im = Image.new("RGBA", (180, 180))
    ImageDraw.Draw(im).text((20, 20), ch, font=font, embedded_color=True)
    return _square(im)


def shape_mask(shape):
    """An anti-aliased alpha mask of a shape."""
    n = SPRITE * 4
    im = Image.new("L", (n, n))
    d = ImageDraw.Draw(im)
    if shape == "circle":
        d.ellipse((0, 0, n - 1, n - 1), fill=255)
    elif shape == "square":
        d.rectangle((n * 0.08, n * 0.08, n * 0.92, n * 0.92), fill=255)
    elif shape == "triangle":
        d.polygon([(n / 2, n * 0.04), (n - 1, n * 0.94), (0, n * 0.94)], fill=255)
    elif shape == "ring":
        d.ellipse((0, 0, n - 1, n - 1), fill=255)
        d.ellipse((n * 0.27, n * 0.27, n * 0.73, n * 0.73), fill=0)
    elif shape == "cross":
        d.rectangle((n * 0.34, 0, n * 0.66, n - 1), fill=255)
        d.rectangle((0, n * 0.34, n - 1, n * 0.66), fill=255)
    else:
        d.rectangle((0, n * 0.32, n - 1, n * 0.68), fill=255)
    return im.resize((SPRITE, SPRITE), Image.LANCZOS)


@functools.cache
def sprites():
    """List of RGBA images for the emoji, then L masks for the shapes."""
    return [emoji_sprite(c) for c in EMOJI] + [shape_mask(s) for s in SHAPES]


if __name__ == "__main__":
    print(len(EMOJI), "emoji;", ", ".join(class_names()))
    side, cols = 64, 20
    rows = -(-len(EMOJI) // cols)
    sheet = Image.new("RGB", (cols * side, rows * side), (200, 210, 220))
    for i, s in enumerate(sprites()[: len(EMOJI)]):
        s = s.resize((60, 60))
        sheet.paste(s, (i % cols * side + 2, i // cols * side + 2), s)
    sheet.save("sheet.png")
    print(np.asarray(sheet).shape)
