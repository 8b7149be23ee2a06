"""What the encoder hears about: concepts with several phrasings each, class names, and a list of everyday words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# concept → phrasings; every word order that a user is likely to type
CONCEPTS: dict[str, tuple[str, ...]] = {
    "fight": ("fighting", "a fight", "people fighting", "violence", "a violent fight between people", "assault",
              "men punching and kicking each other", "a physical fight on a surveillance camera", "a brawl"),
    "normal": ("normal", "a normal scene", "normal event", "nothing unusual", "people walking", "nonviolence",
               "people standing and talking", "an ordinary day on a surveillance camera", "a peaceful scene"),
    "person walking": ("a person walking", "someone walking", "a pedestrian", "a man walking past the camera"),
    "pedestrians": ("pedestrians", "people walking on a pavement", "people crossing a square",
                    "passers-by on a street"),
    "walking figures": ("people walking", "people walking by", "ordinary life on a camera", "figures walking",
                        "a calm scene with people"),
    "crowd": ("a crowd", "a crowd of people", "many people", "a busy place"),
    "traffic": ("traffic", "cars", "cars driving on a road", "a highway with cars", "vehicles on a street"),
    "crash": ("a car crash", "car accident", "a road accident", "two cars colliding", "a vehicle collision"),
    "fire": ("fire", "a fire", "flames", "something burning", "arson"),
    "smoke": ("smoke", "thick smoke", "a cloud of smoke", "an explosion with smoke"),
    "person fallen": ("a person falling", "a person lying on the ground", "someone fell down", "a fall"),
    "arm wrestling": ("arm wrestling", "two men arm wrestling at a table", "an arm wrestling match"),
    "bears": ("bears", "a bear", "wild bears in nature"),
    "dog walking": ("dog walking", "a person walking a dog", "walking the dog"),
    "cooking": ("cooking", "flipping a pancake", "a person cooking in a kitchen"),
    "orangutan": ("an orangutan", "a large ape", "an orangutan in a forest"),
    "pool cleaning": ("cleaning a pool", "a man cleaning a swimming pool", "pool cleaning"),
    "makeup": ("applying makeup", "a woman putting on makeup", "apply eye makeup"),
    "weightlifting": ("weightlifting", "a person lifting weights", "an athlete lifting a barbell", "clean and jerk"),
    "shapes": ("coloured shapes", "abstract shapes", "a drawing of geometric shapes"),
    "empty": ("an empty scene", "nobody there", "an empty place", "a background"),
}  # fmt: skip

PLACE_PHRASES: dict[str, tuple[str, ...]] = {
    "street": ("a street", "on a street", "a road in a city", "outdoors on a street"),
    "parking lot": ("a parking lot", "in a car park", "parked cars"),
    "corridor": ("a corridor", "in a hallway", "indoors in a corridor"),
    "square": ("a square", "on a town square", "an open place outdoors"),
}  # fmt: skip
LIGHT_PHRASES: dict[str, tuple[str, ...]] = {
    "day": ("by day", "in daylight", "a bright scene"),
    "dusk": ("at dusk", "in the evening", "dim light"),
    "night": ("at night", "in the dark", "a dark scene"),
}  # fmt: skip


WHO_PHRASES: dict[str, tuple[str, ...]] = {
    "people": ("a person", "people", "human beings", "somebody", "a man or a woman"),
    "vehicles": ("a vehicle", "vehicles", "cars", "a car on a road"),
    "animals": ("an animal", "animals", "wildlife"),
    "nobody": ("nobody", "no people", "nothing and nobody"),
}  # fmt: skip
WHO = {
    "people": ("fight", "normal", "walking figures", "person walking", "pedestrians", "crowd", "person fallen",
               "arm wrestling", "dog walking", "cooking", "pool cleaning", "makeup", "weightlifting"),
    "vehicles": ("traffic", "crash"),
    "animals": ("bears", "orangutan"),
    "nobody": ("empty", "shapes"),
}  # fmt: skip
"""Concepts that show them."""

# tables of phrasings in the order of a shard's caption columns, and who is seen, which follows from the first
TABLES = (CONCEPTS, PLACE_PHRASES, LIGHT_PHRASES, WHO_PHRASES)


@dataclass(frozen=True)
class Caption:
    """What is known of an image; None where nothing is."""

    concept: str | None
    place: str | None = None
    light: str | None = None

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Rows of CONCEPTS, PLACE_PHRASES and LIGHT_PHRASES; -1 for none."""
        names = (self.concept, self.place, self.light)
        concept, place, light = (
            -1 if name is None else list(table).index(name) for table, name in zip(TABLES, names, strict=False)
        )
        return concept, place, light


CLASS_TEMPLATES = ("{}", "a {}", "a photo of a {}", "a picture of a {}", "a video of a {}", "a {} in the scene")

UCF_CLASSES = (
    "normal", "abuse", "arrest", "arson", "assault", "burglary", "explosion", "fighting", "road accidents", "robbery",
    "shooting", "shoplifting", "stealing", "vandalism", "roadaccidents",
)  # fmt: skip
XD_CLASSES = ("normal", "fighting", "shooting", "riot", "abuse", "car accident", "explosion", "nonviolence")

EVERYDAY_WORDS = """
the of and a an to in is it on at by with from for as are was were be been has have had do does did not no yes or but
if then this that these those there here where when who what which how why all any some many few one two three four
five six seven eight nine ten first second third last next his her their its our my your he she they we you i them him
us me person people man men woman women boy girl child children kid baby adult teenager pedestrian passenger driver
worker guard officer police policeman soldier thief robber burglar gunman suspect victim attacker crowd group couple
team player fan customer shopper clerk cashier employee student teacher doctor nurse firefighter cyclist biker rider
runner walker dancer singer athlete swimmer skater skier boxer wrestler protester beggar tourist stranger neighbour
neighbor friend family fight fights fighting fought punch punches punching kick kicks kicking hit hits hitting slap
slapping push pushes pushing pull pulling shove shoving grab grabbing throw throws throwing wrestle wrestling attack
attacks attacking beat beating stab stabbing shoot shoots shooting shot gun guns gunfire knife weapon weapons armed
robbery robbing steal steals stealing stolen theft shoplifting shoplift burglary break breaking broken vandalism
vandal graffiti smash smashing arson burn burns burning fire flames smoke explosion explode exploding bomb blast riot
riots protest demonstration violence violent nonviolence abuse abusing assault assaulting arrest arresting handcuffs
chase chasing escape escaping flee fleeing run runs running ran walk walks walking walked stand stands standing sit
sits sitting lie lies lying fall falls falling fell fallen trip slip slipping climb climbs climbing jump jumps jumping
crawl crawling crouch hide hiding enter enters entering leave leaves leaving exit open opens opening close closes
closing carry carries carrying hold holds holding drop drops dropping pick picks picking take takes taking give gives
giving put puts putting look looks looking watch watching wait waiting talk talks talking phone call calling shout
shouting scream screaming cry crying laugh laughing smile smiling hug hugging kiss kissing shake shaking wave waving
point pointing clap clapping dance dancing sing singing play plays playing eat eats eating drink drinks drinking
smoking cook cooking clean cleaning wash washing sweep sweeping paint painting cut cutting dig digging build building
repair repairing drive drives driving ride rides riding park parks parking turn turning stop stops stopping crash
crashes crashing crashed collide collision collides accident accidents hit-and-run overtaking speeding skid skidding
flip flips flipping roll rolling lift lifts lifting swim swims swimming dive diving ski skiing skate skating surf
surfing row rowing bowl bowling box boxing throwdiscus high-jump long-jump pole vault javelin hammer shotput discus
basketball football soccer volleyball baseball cricket tennis golf billiards hockey rugby badminton gymnastics
weightlifting archery fencing judo karate cliff dunk swing spiking frisbee catch catching pitch serve jerk weights
horse biking cycling car cars truck trucks bus buses van motorcycle motorbike bicycle bike scooter train tram subway
metro airplane plane helicopter boat ship taxi ambulance vehicle vehicles traffic road roads street streets highway
lane crossing crosswalk intersection bridge tunnel pavement sidewalk lot garage gas station petrol toll railway
platform airport harbour harbor house home apartment room kitchen bathroom bedroom office school classroom hospital
shop store supermarket mall market bank restaurant cafe bar pub club hotel lobby corridor hallway elevator stairs
staircase escalator door doorway window wall floor ceiling roof fence gate yard garden playground field stadium gym
pool beach river lake sea ocean mountain forest tree trees grass flower sky cloud sun rain snow fog night day dark
bright light shadow indoor indoors outdoor outdoors city town village camera surveillance cctv security video footage
clip frame scene picture photo image view screen recording up far away dog dogs cat cats bird birds horses cow sheep
bear bears elephant monkey lion tiger fish animal animals bag bags backpack suitcase boxes bottle cup glass plate
table chair bench sofa bed desk computer laptop television tv book paper money cash register counter shelf basket
trolley cart umbrella hat helmet mask glasses shirt jacket coat dress shoes gloves ball stick bat rope ladder tool
drill axe rock stone brick wood metal water oil food fruit red green blue yellow white black grey gray brown orange
purple pink big small large little tall short long old young new fast slow quick sudden suddenly quiet loud empty full
busy crowded normal abnormal unusual ordinary strange suspicious dangerous safe injured hurt bleeding blood
unconscious dead alive alone together inside outside near behind front above below under over between left right down
forward backward around through across along against during while before after happens happening shows showing appears
something someone somebody nobody nothing anything everyone another other
"""


def with_who(captions: np.ndarray) -> np.ndarray:
    """Caption columns [N, 3] with the row of WHO_PHRASES as a fourth, -1 where nothing is known; int64 [N, 4]."""
    row_of = {concept: row for row, concepts in enumerate(WHO.values()) for concept in concepts}
    who = np.array([row_of.get(concept, -1) for concept in CONCEPTS] + [-1])  # -1 picks the last
    return np.concatenate([captions.astype(np.int64), who[captions[:, :1]]], axis=1)


def read_hypernyms() -> dict[str, list[int]]:
    """Broader name → rows of the teacher's classes under it."""
    names: dict[str, list[int]] = json.loads((Path(__file__).parent / "hypernyms.json").read_text())
    return names


def read_imagenet_names(teacher: Path) -> list[tuple[str, ...]]:
    """Synonyms of the 1,000 ImageNet classes in the teacher's order, its background class left out."""
    names = json.loads((teacher / "config.json").read_text())["id2label"]
    return [tuple(part.strip().lower() for part in names[str(i)].split(",")) for i in range(1, 1001)]


def plain(name: str) -> str:
    """``"alarm_clock"`` → ``"alarm clock"``."""
    return name.replace("_", " ").replace("/", " or ").lower().strip()


def read_clip_names(data: Path) -> list[tuple[list[str], np.ndarray]]:
    """Groups of texts with their genuine CLIP vectors [N, 512]; cosines are only comparable inside a group."""
    names = np.load(data / "clip_text" / "vitb32_text_classnames.npz")
    prompts = np.load(data / "clip_text" / "vitb16_text_anomaly_prompts.npz")
    objects = [plain(str(n)) for key in ("lvis", "coco", "o365") for n in names[f"{key}_names"]]
    vectors = np.concatenate([names[key] for key in ("lvis", "coco", "o365")])
    groups = [([f"a {name}" for name in objects], vectors)]
    for key in ("ucf", "xd"):
        groups.append(([plain(str(n)) for n in prompts[f"{key}_names"]], prompts[key]))
    return groups


def corpus(data: Path, teacher: Path) -> list[str]:
    """Every line that the tokenizer's vocabulary is counted on."""
    names = [name for synonyms in read_imagenet_names(teacher) for name in synonyms]
    objects = [text for texts, _ in read_clip_names(data) for text in texts]
    phrases = [phrase for phrasings in CONCEPTS.values() for phrase in phrasings]
    lines = names + objects + phrases + [*UCF_CLASSES, *XD_CLASSES]
    lines += [template.format(name) for template in CLASS_TEMPLATES for name in names[::7]]
    return [*lines, *(EVERYDAY_WORDS.split() * 3)]
