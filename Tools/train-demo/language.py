"""What is said about a scene: captions, questions and answers, dialogues, few-shot prompts.

A prompt is a list of items, each {"text": …} or {"image": index}; an example adds the answer. The last phrasing of
every question and one in six few-shot formats belong to the held-out split. `split` is "train" for the short lists that the
evaluation calls seen, "held" for what is held out, "broad" for all that training uses: the seen lists and much more.
"""
import zlib
from dataclasses import dataclass, field

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
    "beside": ("Is the {a} to the left of the {b}?", "Is the {a} left of the {b}?", "Is the {a} to the right of the {b}?"),
}  # fmt: skip
# Further wordings that training uses: words are learned in many places, so that a new wording is made of known ones.
MORE = {
    "what": ("What objects are there?", "Which objects do you see?", "Which things are shown?", "Name the things in the image.",
             "Tell me what you see.", "What does the image show?", "What is here?", "What objects can you see in this scene?",
             "Which objects are in this picture?", "List the objects.", "What is that?", "Say what is in this photo.",
             "What things are visible in the image?", "Can you tell me what this is?", "What does this picture contain?"),
    "caption": ("Please describe the image.", "Caption this picture.", "Describe what is shown.", "Give a description of the picture.",
                "Tell me about this image.", "Describe this scene.", "What does the whole image look like?", "Say what you see in one line.",
                "Write a description of what is here.", "Describe everything.", "Can you describe what is in the image?"),
    "count": ("How many objects can you see?", "What is the number of objects?", "How many are there?", "Count the things in this picture.",
              "Tell me how many objects you see.", "How many objects does the image show?", "Say how many things there are.",
              "How many things can you count?", "How many different objects do you find?", "Do you see one, two or three things?"),
    "background": ("Which colour does the background have?", "What is the colour of the background?", "What is the background color?",
                   "Tell me the color of the background.", "What color is behind the things?", "Say which colour the background is.",
                   "What colour do you see behind everything?", "Which color has the background?", "The background is which colour?"),
    "pattern": ("What kind of background is there?", "Tell me about the background.", "What is behind the objects?", "How does the background look?",
                "Which background do you see?", "What sort of background does the image have?", "Say what the background is."),
    "where": ("Where in the image is the {a}?", "What is the place of the {a}?", "Tell me where the {a} is.", "Find the {a}.", "Locate the {a}.",
              "Which part of the picture shows the {a}?", "The {a} is in what part of this image?", "Where can I find the {a}?",
              "Say where you see the {a}.", "In what place is the {a}?", "Where is the {a} in the picture?", "What is the position of the {a}?",
              "Can you tell me where the {a} is?", "At which place in this scene do you see the {a}?", "Where was the {a} put?"),
    "there": ("Is {aa} shown?", "Is {aa} in the picture?", "Does the image show {aa}?", "Does this image contain {aa}?", "Do you find {aa} here?",
              "Can you find {aa}?", "Is there {aa} to be seen?", "Do you see {aa} in this picture?", "Is {aa} visible?", "Does it show {aa}?",
              "Tell me if there is {aa}.", "Would you say there is {aa} in the scene?", "Are you able to see {aa}?", "Has this picture got {aa}?",
              "Is {aa} one of the objects?"),
    "side": ("Where is the {a}, left or right of the {b}?", "Do you see the {a} to the left or to the right of the {b}?",
             "Is the {a} placed left or right of the {b}?", "The {a}: left or right of the {b}?", "On what side of the {b} do you see the {a}?",
             "Which side of the {b} is the {a} on?", "Tell me if the {a} is left or right of the {b}.", "Seen from the {b}, is the {a} left or right?",
             "Can you say whether the {a} is to the left or right of the {b}?", "Of the {b}, is the {a} on the left or the right side?",
             "Is the {a} on the left side or on the right side of the {b}?"),
    "left": ("What do you see on the left?", "Name the object on the left.", "Which thing is on the left side?", "What is furthest to the left?",
             "What is the first object from the left?", "Tell me what is on the left."),
    "right": ("What do you see on the right?", "Name the object on the right.", "Which thing is on the right side?", "What is furthest to the right?",
              "What is the last object from the left?", "Tell me what is on the right."),
    "middle": ("What do you see in the middle?", "Name the object in the middle.", "What is between the other two?", "Which thing is the middle one?",
               "What is the second object from the left?", "Tell me what is in the middle."),
    "shape": ("What is the colour of the {a}?", "Which color has the {a}?", "Tell me the colour of the {a}.", "The {a} is of which color?",
              "In what colour is the {a} shown?", "Say which color the {a} is."),
    "kind": ("Is it a {k} background?", "Would you call the background {k}?", "Do you see a {k} background?", "Is the background of this picture {k}?"),
    "beside": ("Do you see the {a} left of the {b}?", "Can you say that the {a} is on the left of the {b}?", "Is the {a} right of the {b}?",
               "Is the {a} placed to the right of the {b}?", "Does the picture show the {a} on the right side of the {b}?", "Is the {a} left from the {b}?"),
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
    """`parts` alternate between given text and text to learn: [(items, learn?), …].

    `asked` has for each part the things that it names: [(name, Thing or None where there is none), …].
    """

    parts: list
    images: int
    asked: list = field(default_factory=list)


def pick(rng, kind, split):
    phrases = QUESTIONS[kind]
    if split == "broad":
        seen = phrases[: len(phrases) - (len(phrases) > 2)]
        return rng.choice(seen if rng.random() < 0.3 else MORE[kind])
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
    w = {"what": 4, "caption": 1, "count": 0.6, "background": 0.6, "pattern": 0.3, "where": 4, "there": 4, "kind": 0.3}
    if n > 1:
        w |= {"side": 5, "beside": 1.5, "left": 0.5, "right": 0.5}
    if n == 3:
        w |= {"middle": 0.5}
    if any(t.colour >= 0 for t in scene.things):
        w |= {"shape": 0.6}
    return w


def plain(thing):
    """Shapes are asked for without their colour."""
    return class_names()[thing.kind]


def question(rng, scene, kind, split="train"):
    """-> (question, answer)."""
    return ask(rng, scene, kind, split)[:2]


def ask(rng, scene, kind, split):
    """-> (question, answer, [(name, Thing or None), …] of the objects that the question names)."""
    things = scene.things
    a = rng.choice(things)
    ask = pick(rng, kind, split)
    if kind == "what":
        return ask, listing([t.name for t in things]), []
    if kind == "caption":
        return ask, caption(scene), []
    if kind == "count":
        return ask, NUMBERS[len(things)], []
    if kind == "background":
        return ask, COLOUR_NAMES[scene.colour], []
    if kind == "pattern":
        return ask, background(scene), []
    if kind == "where":
        return ask.format(a=plain(a)), place(a), [(plain(a), a)]
    if kind == "there":
        if rng.random() < 0.5:
            return ask.format(aa=with_article(plain(a))), "yes", [(plain(a), a)]
        here = {t.kind for t in things}
        other = class_names()[rng.choice([k for k in range(len(EMOJI) + len(SHAPES)) if k not in here])]
        return ask.format(aa=with_article(other)), "no", [(other, None)]
    if kind in ("side", "beside"):
        b = rng.choice([t for t in things if t is not a])
        left = a.x < b.x
        answer = ("left" if left else "right") if kind == "side" else ("yes" if left == ("left" in ask) else "no")
        return ask.format(a=plain(a), b=plain(b)), answer, [(plain(a), a), (plain(b), b)]
    if kind in ("left", "right", "middle"):
        return ask, with_article(things[{"left": 0, "right": -1, "middle": 1}[kind]].name), []
    if kind == "shape":
        a = rng.choice([t for t in things if t.colour >= 0])
        return ask.format(a=plain(a)), COLOUR_NAMES[a.colour], [(plain(a), a)]
    k = scene.kind if rng.random() < 0.5 else rng.choice([k for k in range(len(KINDS)) if k != scene.kind])
    return ask.format(k=KINDS[k]), "yes" if k == scene.kind else "no", []


def draw_kind(rng, scene):
    w = kinds_for(scene)
    return rng.choices(list(w), list(w.values()))[0]


def turn(question_text, answer, gap="\n"):
    return (f"{question_text}{EOU}{gap}Assistant:", False), (f" {answer}{EOU}", True)


def dialogue(rng, scene, index, budget=3, split="broad"):
    """A conversation of 1 to `budget` turns about one image."""
    gap = " \n" if rng.random() < 0.12 else "\n"
    question_first = rng.random() < 0.1
    example = Example([], 1)
    if not question_first:
        example.parts.append(([{"text": "User:"}, {"image": index}], False))
        example.asked.append([])
    for i in range(min(rng.randint(1, budget), rng.randint(1, budget))):
        q, a, asked = ask(rng, scene, draw_kind(rng, scene), split)
        if question_first and i == 0:
            example.parts.append(([{"text": "User: " + q}, {"image": index}, {"text": f"{EOU}{gap}Assistant:"}], False))
            example.parts.append(([{"text": f" {a}{EOU}"}], True))
            example.asked += [[], []]  # the names stand before the image: nothing to see from there
            continue
        lead = q if i == 0 else "\nUser: " + q
        for text, learn in turn(lead, a, gap):
            example.parts.append(([{"text": text}], learn))
        example.asked += [asked, []]
    return example


def small_talk(rng):
    parts = []
    for i in range(rng.randint(1, 2)):
        q, a = rng.choice(SMALL_TALK)
        for text, learn in turn(("" if i == 0 else "\n") + "User: " + q, a):
            parts.append(([{"text": text}], learn))
    return Example(parts, 0)


def base_style(rng, scene, index, split="broad"):
    """A caption after a bare image, or Question/Answer, both ended by </s>."""
    if rng.random() < 0.5:
        return Example([([{"image": index}], False), ([{"text": caption(scene) + ".</s>"}], True)], 1)
    q, a, asked = ask(rng, scene, draw_kind(rng, scene), split)
    return Example([([{"image": index}, {"text": f"Question: {q} Answer:"}], False), ([{"text": f" {a}</s>"}], True)], 1, [asked, []])


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
# Pieces of which training makes formats of its own: what is between them is to be copied, not known.
MORE_FIELDS = FIELDS + ("{n} / {c}", "{c} | {n}", "{a}, on {c}", "{n}; {c}", "{c} and {a}", "{n} - {c}", "{c} {n}", "{a} and {c}")
BEFORE = ("", "", "", "it is ", "This shows ", "see: ", "Here is ", "Look: ", "yes, ", "No. ", "the answer is ", "I find ", "We see ", "= ", "# ", "- ", "+ ", "1. ",
          "a) ", "object ", "There is ", "thing: ", "It's ", "You see ", ">> ", "~ ", "ok ", "so: ", "image of ", "one ", "Only ", "what? ", "left: ")  # fmt: skip
AFTER = ("", "", "", ".", "!", "?", ";", " yes", " here", " it is", " is shown", ", I think", " - done", " ok", "...", " (one)", " in the image", " now", " end", " /", " *",
         " there", ", no more", "; good", " was seen", " = right", ".)", " too")  # fmt: skip
BRACKETS = ("{}", "{}", "{}", "{}", "[{}]", "({})", "<{}>", '"{}"', "*{}*", "_{}_", "/{}/", "|{}|", "[[{}]]")


def any_format(rng):
    """A format of the seen list, or one put together by chance; never a held-out one."""
    while True:
        if rng.random() < 0.5:
            return rng.choice(FORMATS["train"])
        made = rng.choice(BRACKETS).format(rng.choice(BEFORE) + rng.choice(MORE_FIELDS) + rng.choice(AFTER))
        if made not in FORMATS["held"]:
            return made


def fill(fmt, scene):
    t = scene.things[0]
    return fmt.format(n=t.name, a=with_article(t.name), c=COLOUR_NAMES[scene.colour])


def few_shot(rng, scenes_, indices, split="broad"):
    """Several one-object images, each with an answer in one format; the last is the question."""
    fmt = any_format(rng) if split == "broad" else rng.choice(FORMATS[split])
    label = rng.choice(LABELS)
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
