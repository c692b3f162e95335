"""Layers that the rules of quantization are asked about together answer as each would alone."""

import random

import pytest

from calculator.formats.named import FORMATS
from calculator.formats.rules import LINEAR, MATRICES, Rule, Scheme
from calculator.formats.weight import Weight

LAYERS = tuple(range(13))
WEIGHTS = (
    Weight("self_attn.q_proj.weight", (64, 64), "linear"),
    Weight("self_attn.o_proj.weight", (64, 64), "linear"),
    Weight("mlp.gate.weight", (8, 64), "router"),
    Weight("mlp.experts.*.w1.weight", (64, 64), "experts", 12),
    Weight("mlp.experts.*.w2.weight", (64, 64), "experts", 12),
    Weight("mixer.3.weight", (64, 64), "linear"),
)
PLACES = ("{}", "model.{}", "language_model.model.{}", "model.language_model.{}")
TAILS = (".self_attn", ".self_attn.q_proj", ".mlp", ".mlp.gate", ".mlp.experts.3", ".mlp.experts.5.w1", ".mixer.3", "")
FORMS = (None, FORMATS["fp8"], FORMATS["nvfp4"])


def _rule(rng: random.Random) -> Rule:
    layer = rng.choice((*LAYERS[:4], 11, 40))
    name = rng.choice(PLACES).format(f"layers.{layer}{rng.choice(TAILS)}")
    if rng.random() < 0.2:
        name = rng.choice(
            ("mlp.experts.3", "3.mlp", "3", "layers", "lm_head", "q_proj", "mixer.3", "layers.3.layers.3")
        )
    how = rng.choice(("name", "below", "within", "tensor", "glob", "glob", "regex", "search", "class"))
    if how == "glob":
        name += rng.choice(("*", "*", "_proj*", ""))
        name = rng.choice(("", "", "*")) + name
    elif how in ("regex", "search"):
        name = name.replace(".", r"\.").replace(str(layer), rng.choice((str(layer), "[1-3]", r"\d", r"\d+")))
        name += rng.choice(("", ".*", "$", r"(?!.*q_proj)"))
    roles = rng.choice((LINEAR, MATRICES))
    return Rule(how, name, rng.choice(FORMS), "ignore", roles, rng.random() < 0.9)


def _scheme(rng: random.Random) -> Scheme:
    """Rules as lists have them: one repeated for many layers, some of their own between."""
    rules = [_rule(rng) for _ in range(rng.randrange(1, 6))]
    for _ in range(rng.randrange(0, 3)):
        place, tail, form = rng.choice(PLACES), rng.choice(TAILS), rng.choice(FORMS)
        how = rng.choice(("within", "name", "tensor", "glob"))
        star = "*" if how == "glob" else ""
        listed = [
            Rule(how, place.format(f"layers.{i}{tail}{star}"), form, "ignore") for i in LAYERS if rng.random() < 0.9
        ]
        at = rng.randrange(len(rules) + 1)
        rules[at:at] = listed
    if rng.random() < 0.3:
        rng.shuffle(rules)
    return Scheme("", tuple(rules))


def _held_against_each(scheme: Scheme, path: str, *, tower: bool, beside: bool) -> None:
    alone, together = Scheme("", scheme.rules), Scheme("", scheme.rules)
    modules = [w.name.removesuffix(".weight") for w in WEIGHTS]

    def forms(scheme: Scheme, layer: int) -> list[object]:
        for name in ("input_layernorm", "self_attn.q_proj.bias"):
            scheme.touch(f"{path}.{layer}.{name}")
        return [
            scheme.form(f"{path}.{layer}.{module}", weight, FORMATS["bf16"], tower=tower, beside=beside)
            for module, weight in zip(modules, WEIGHTS, strict=True)
        ]

    expected = {layer: forms(alone, layer) for layer in LAYERS}
    found = {}
    for alike in together.alike(path, LAYERS, WEIGHTS, tower=tower, beside=beside):
        with together.standing_for(alike):
            found |= dict.fromkeys(alike.layers, forms(together, alike.layers[0]))
    assert found == expected
    assert together.unmatched() == alone.unmatched()


PATHS = ("model.layers", "language_model.model.layers", "model", "mixer", "visual", "layers")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("seed", range(60))
def test_layers_that_are_alike_get_what_each_gets_alone(seed: int, path: str) -> None:
    rng = random.Random(seed)
    _held_against_each(_scheme(rng), path, tower=rng.random() < 0.3, beside=rng.random() < 0.5)


FIRST = Rule("name", "layers.3.self_attn.q_proj", FORMATS["nvfp4"], "ignore")
TRICKY = {
    "a layer by its number alone": [Rule("within", "3.mlp", None, "ignore")],
    "a number that may be a layer's or an expert's": [Rule("within", "3", None, "ignore")],
    "a number inside of the layer": [Rule("within", "mixer.3", None, "ignore")],
    "a tower by another library's name": [Rule("within", f"vision_tower.{i}.mlp", None, "ignore") for i in (2, 5)],
    "before the rule for all": [FIRST, Rule("within", "self_attn", None, "ignore")],
    "after the rule for all": [Rule("within", "self_attn", None, "ignore"), FIRST],
    "one on either side": [
        FIRST,
        Rule("within", "q_proj", None, ""),
        Rule("name", "layers.4.self_attn.q_proj", FORMATS["nvfp4"], ""),
    ],
    "patterns on either side": [
        Rule("glob", "model.layers.3.self_attn*", FORMATS["nvfp4"], ""),
        Rule("search", "q_proj$", None, ""),
        Rule("glob", "model.layers.4.self_attn*", FORMATS["nvfp4"], ""),
    ],
    "patterns that end alike": [
        Rule("regex", r"model\.layers\.[0-2]\.self_attn.*", FORMATS["nvfp4"], ""),
        Rule("regex", r"model\.layers\.[3-5]\.self_attn.*", None, ""),
    ],
    "what is not priced, by another spelling": [
        Rule("regex", r"language_model\.model\.layers\.3\.input_layernorm", None, "ignore"),
    ],
    "a beginning that ends in a number": [Rule("glob", "model.layers.1*", None, "")],
    "a beginning with an expert": [Rule("glob", "model.layers.3.mlp.experts.5.w*", None, "")],
    "other roles": [Rule("name", f"layers.{i}.mlp.gate", None, "", roles) for i, roles in ((3, LINEAR), (4, MATRICES))],
    "not in towers": [Rule("name", f"layers.{i}.mlp.gate", None, "", MATRICES, i == 3) for i in (3, 4)],
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", TRICKY)
def test_rules_that_name_layers_in_odd_ways(case: str, path: str) -> None:
    rules = (*TRICKY[case], Rule("class", "Linear", FORMATS["fp8"], "", MATRICES))
    for tower, beside in ((False, False), (False, True), (True, True)):
        _held_against_each(Scheme("", rules), path, tower=tower, beside=beside)


def test_lists_of_every_layer_are_asked_about_once() -> None:
    names = [f"model.layers.{i}.{m}" for i in range(94) for m in ("self_attn*", "mlp.gate", "input_layernorm")]
    rules = [Rule("glob" if "*" in name else "within", name, None, "ignore") for name in sorted(["lm_head", *names])]
    scheme = Scheme("", (*rules, Rule("class", "Linear", FORMATS["fp8"], "")))
    found = scheme.alike("model.layers", tuple(range(94)), WEIGHTS, tower=False, beside=False)
    assert [alike.layers for alike in found] == [tuple(range(94))]
    with scheme.standing_for(found[0]):
        scheme.touch("model.layers.0.input_layernorm")
        scheme.touch("model.layers.0.self_attn.q_proj")
    assert [rule.what for rule in scheme.unmatched()] == ["lm_head", *sorted(n for n in names if n.endswith("gate"))]


def test_patterns_of_ranges_part_the_layers_where_they_end() -> None:
    rules = (Rule("regex", r"model\.layers\.[0-4]\..*", None, "ignore"), Rule("class", "Linear", FORMATS["fp8"], ""))
    scheme = Scheme("", rules)
    found = scheme.alike("model.layers", tuple(range(12)), WEIGHTS, tower=False, beside=False)
    assert [alike.layers for alike in found] == [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9, 10, 11)]
