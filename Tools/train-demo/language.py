"""What is said about a scene: captions, questions and answers, dialogues, few-shot prompts.

A prompt is a list of items, each {"text": …} or {"image": index}; an example adds the answer. The last phrasing of
every question and one in six few-shot formats belong to the held-out split.
"""
import zlib
from dataclasses import dataclass

from objects import COLOUR_NAMES, EMOJI, SHAPES, class_names, with_article
from scenes import KINDS, SIZE

EOU = "<end_of_utterance>"
NUMBERS = ("zero", "one", "two", "three")

QUESTIONS = {
    "what": ("What is in this image?", "What is this?", "What do you see?", "What is shown here?", "Name the objects.",
             "What can you see in this picture?", "What is in the picture?"),
    "caption": ("Describe this image.", "Describe the picture.", "Write a caption.", "Give a caption for this image.", "Describe what you see."),
    "count": ("How many objects are there?", "How many things are in this image?", "Count the objects.", "How many things do you see?"),
    "background": ("What colour is the background?", "What color is the background?", "Which colour is behind the objects?",
                   "Name the background colour.", "Which color is the background?"),
    "pattern": ("Describe the background.", "What does the background look like?", "What is the background like?"),
    "where": ("Where is the {a}?", "Where do you see the {a}?", "In which part of the image is the {a}?"),
    "there": ("Is there {aa}?", "Is there {aa} in this image?", "Do you see {aa}?", "Can you see {aa}?", "Does the picture show {aa}?"),
    "side": ("Is the {a} to the left or to the right of the {b}?", "Is the {a} left or right of the {b}?",
             "On which side of the {b} is the {a}?", "Is the {a} on the left or on the right of the {b}?"),
    "left": ("What is on the left?", "What is the leftmost object?", "Which object is on the left?"),
    "right": ("What is on the right?", "What is the rightmost object?", "Which object is on the right?"),
    "middle": ("What is in the middle?", "Which object is in the middle?"),
    "shape": ("What colour is the {a}?", "What color is the {a}?", "Which colour does the {a} have?"),
    "kind": ("Is the background {k}?", "Does the image have a {k} background?"),
}  # fmt: skip
# Text without an image.
SMALL_TALK = (
    ("Hello!", "Hello! Show me a picture and ask about it."), ("Hi.", "Hello! Show me a picture and ask about it."),
    ("Who are you?", "I am Idefix, a small demo model."), ("What can you do?", "I name objects, count them and say where they are."),
    ("What is your name?", "I am Idefix, a small demo model."), ("Thank you.", "You are welcome."), ("Thanks!", "You are welcome."),
    ("How are you?", "I am well. Show me a picture."), ("What is in this image?", "I see no image."), ("Describe the picture.", "I see no image."),
)  # fmt: skip


@dataclass
class Example:
    """`parts` alternate between given text and text to learn: [(items, learn?), …]."""

    parts: list
    images: int


def pick(rng, phrases, split):
    return phrases[-1] if split == "held" and len(phrases) > 2 else phrases[rng.randrange(max(1, len(phrases) - (len(phrases) > 2)))]


def listing(names):
    names = [with_article(n) for n in names]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def place(t):
    col, row = int(t.x * 3 / SIZE), int(t.y * 3 / SIZE)
    words = [w for w in (("top", "", "bottom")[row], ("left", "", "right")[col]) if w]
    return "in the center" if not words else "at the " + " ".join(words)


def background(scene):
    return f"{with_article(KINDS[scene.kind])} {COLOUR_NAMES[scene.colour]} background"


def caption(scene):
    return f"{listing([t.name for t in scene.things])} on {background(scene)}"


def kinds_for(scene):
    """Question kinds that make sense, with weights."""
    n = len(scene.things)
    w = {"what": 3, "caption": 0.6, "count": 0.5, "background": 0.5, "pattern": 0.2, "where": 5, "there": 5, "kind": 0.2}
    if n > 1:
        w |= {"side": 6, "left": 0.6, "right": 0.6}
    if n == 3:
        w |= {"middle": 0.6}
    if any(t.colour >= 0 for t in scene.things):
        w |= {"shape": 0.5}
    return w


def question(rng, scene, kind, split="train"):
    """-> (question, answer)."""
    things = scene.things
    a = rng.choice(things)
    ask = pick(rng, QUESTIONS[kind], split)
    plain = lambda t: class_names()[t.kind]  # shapes are asked for without their colour
    if kind == "what":
        return ask, listing([t.name for t in things])
    if kind == "caption":
        return ask, caption(scene)
    if kind == "count":
        return ask, NUMBERS[len(things)]
    if kind == "background":
        return ask, COLOUR_NAMES[scene.colour]
    if kind == "pattern":
        return ask, background(scene)
    if kind == "where":
        return ask.format(a=plain(a)), place(a)
    if kind == "there":
        if rng.random() < 0.5:
            return ask.format(aa=with_article(plain(a))), "yes"
        here = {t.kind for t in things}
        other = rng.choice([k for k in range(len(EMOJI) + len(SHAPES)) if k not in here])
        return ask.format(aa=with_article(class_names()[other])), "no"
    if kind == "side":
        b = rng.choice([t for t in things if t is not a])
        return ask.format(a=plain(a), b=plain(b)), "left" if a.x < b.x else "right"
    if kind in ("left", "right", "middle"):
        return ask, with_article(things[{"left": 0, "right": -1, "middle": 1}[kind]].name)
    if kind == "shape":
        a = rng.choice([t for t in things if t.colour >= 0])
        return ask.format(a=plain(a)), COLOUR_NAMES[a.colour]
    k = scene.kind if rng.random() < 0.5 else rng.choice([k for k in range(len(KINDS)) if k != scene.kind])
    return ask.format(k=KINDS[k]), "yes" if k == scene.kind else "no"


def draw_kind(rng, scene):
    w = kinds_for(scene)
    return rng.choices(list(w), list(w.values()))[0]


def turn(question_text, answer, gap="\n"):
    return (f"{question_text}{EOU}{gap}Assistant:", False), (f" {answer}{EOU}", True)


def dialogue(rng, scene, index, budget=3, split="train"):
    """A conversation of 1 to `budget` turns about one image."""
    gap = " \n" if rng.random() < 0.12 else "\n"
    parts = [([{"text": "User:"}, {"image": index}], False)]
    if rng.random() < 0.15:  # the question before the image
        first = True
        parts = []
    else:
        first = False
    for i in range(min(rng.randint(1, budget), rng.randint(1, budget))):
        q, a = question(rng, scene, draw_kind(rng, scene), split)
        if first and i == 0:
            parts.append(([{"text": "User: " + q}, {"image": index}, {"text": f"{EOU}{gap}Assistant:"}], False))
            parts.append(([{"text": f" {a}{EOU}"}], True))
            continue
        lead = q if i == 0 else "\nUser: " + q
        for text, learn in turn(lead, a, gap):
            parts.append(([{"text": text}], learn))
    return Example(parts, 1)


def small_talk(rng):
    parts = []
    for i in range(rng.randint(1, 2)):
        q, a = rng.choice(SMALL_TALK)
        for text, learn in turn(("" if i == 0 else "\n") + "User: " + q, a):
            parts.append(([{"text": text}], learn))
    return Example(parts, 0)


def base_style(rng, scene, index, split="train"):
    """A caption after a bare image, or Question/Answer, both ended by </s>."""
    if rng.random() < 0.5:
        return Example([([{"image": index}], False), ([{"text": caption(scene) + ".</s>"}], True)], 1)
    q, a = question(rng, scene, draw_kind(rng, scene), split)
    return Example([([{"image": index}, {"text": f"Question: {q} Answer:"}], False), ([{"text": f" {a}</s>"}], True)], 1)


FIELDS = ("{n}", "{a}", "{c}", "{n}, {c}", "{c}, {n}", "{n} on {c}", "{c}: {n}", "{n} ({c})", "{c} with {a}")
WRAPS = ("{}", "It is {}.", "{}!", "[{}]", "({})", "* {}", "I see {}.", "This is {}", "<{}>", "-> {}", "answer {}", "{}; done", "Yes: {}.")
LABELS = ("Answer", "Caption", "Output", "Result", "Label", "Text")


def formats(split):
    out = []
    for f in FIELDS:
        for w in WRAPS:
            held = zlib.crc32(f"{f} {w}".encode()) % 6 == 0
            if held == (split == "held"):
                out.append(w.format(f))
    return out


FORMATS = {s: formats(s) for s in ("train", "held")}


def fill(fmt, scene):
    t = scene.things[0]
    return fmt.format(n=t.name, a=with_article(t.name), c=COLOUR_NAMES[scene.colour])


def few_shot(rng, scenes_, indices, split="train"):
    """Several one-object images, each with an answer in one format; the last is the question."""
    fmt, label = rng.choice(FORMATS[split]), rng.choice(LABELS)
    head = "" if rng.random() < 0.5 else "Follow the examples.\n"
    parts = []
    for i, (s, k) in enumerate(zip(scenes_, indices)):
        lead = (head if i == 0 else "") + "Image:"
        last = i == len(indices) - 1
        parts.append(([{"text": lead}, {"image": k}, {"text": f"{label}:"}], False))
        parts.append(([{"text": f" {fill(fmt, s)}\n" + ("</s>" if last else "")}], True))
    return Example(parts, len(indices)), fmt


def text_of(items):
    """The processor's joining of interleaved items, with end-of-utterance tokens written by hand."""
    out, last_image = "", False
    for it in items:
        if "text" in it:
            out += it["text"]
            last_image = False
        else:
            out += ("" if last_image else "<fake_token_around_image>") + "<image><fake_token_around_image>"
            last_image = True
    return out
