"""Presets, recipes and flags: everything that ships builds; what cannot be built says where and why."""

import pytest
import torch
from conftest import CLAIM_RECIPES, PUBLISHED

import gridless as gl
from gridless.config import Model, Recipe, Train
from gridless.config.errors import ConfigError
from gridless.config.merging import build, dump, merge, parse_flags, preset_table, recipe, recipe_table, shipped
from gridless.network.building import build_base
from gridless.tasks import task_of

SIZES = ("tiny", "small", "base")


@pytest.mark.parametrize("name", shipped("presets"))
@pytest.mark.parametrize("size", SIZES)
def test_every_preset_builds_and_survives_json(name, size):
    config = gl.preset(name, size)
    assert config.name == name
    assert build(Model, dump(config)) == config


def published(name: str) -> Model:
    """A preset at base, as its source has it."""
    sizes = {"decoder": {"attention": {"head_width": 64}}}
    return build(Model, merge(dump(gl.preset(name, "base")), PUBLISHED, sizes))


def test_published_size():
    """MAMBA-GINR at base: 8.86 M parameters, LAINR's decoder 380 k, as in the public code."""
    model = gl.FieldModel(published("mamba-ginr"))
    decoder = sum(p.numel() for part in (model.decoder, model.head) for p in part.parameters())
    assert abs(model.parameter_count() / 8.86e6 - 1) < 0.02
    assert abs(decoder / 380_166 - 1) < 0.001


def test_hybrid_base_is_the_document():
    config = gl.preset("hybrid", "base")
    assert (config.encoder.tokens.count, config.width, config.encoder.depth) == (256, 256, 1)
    assert (config.processor.depth, config.processor.heads, config.processor.head_width) == (4, 8, 64)
    assert (config.decoder.hidden, config.decoder.depth, config.decoder.expansion, config.decoder.skip) == (
        512,
        3,
        4.0,
        True,
    )


def test_a_recipe_that_extends_another_is_a_diff(tmp_path):
    more = tmp_path / "more.toml"
    more.write_text('extends = "waves"\n[train]\nbatch = 3\n', encoding="utf-8")
    assert recipe(recipe_table(more), {})[0] == recipe(recipe_table("waves"), {"train": {"batch": 3}})[0]


def test_the_recipe_beside_the_extending_file_comes_before_one_that_ships(tmp_path):
    (tmp_path / "waves.toml").write_text(
        'extends = "waves"\n[train]\nsteps = 7\n', encoding="utf-8"
    )  # its own name: the one that ships
    (tmp_path / "more.toml").write_text('extends = "waves"\n[train]\nbatch = 3\n', encoding="utf-8")
    whole = recipe(recipe_table(tmp_path / "more.toml"), {})[0]
    assert whole == recipe(recipe_table("waves"), {"train": {"batch": 3, "steps": 7}})[0]
    (tmp_path / "waves.toml").write_text('extends = "more"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="which extends it"):
        recipe_table(tmp_path / "more.toml")
    (tmp_path / "more.toml").write_text('extends = "foto"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="no recipe 'foto'"):
        recipe_table(tmp_path / "more.toml")


@pytest.mark.parametrize("name", [*shipped("recipes"), *CLAIM_RECIPES])
def test_every_recipe_and_every_arm_parses(name):
    whole, arms = recipe(recipe_table(name), {})
    build_base(whole.model)
    for diff in arms.values():
        arm = build(Recipe, merge(dump(whole), diff))
        assert arm != whole
        build_base(arm.model)


def test_none_is_no_value_but_the_name_of_a_kind():
    assert parse_flags(["--train.seconds", "none", "--model.base.kind", "none"]) == {
        "train": {"seconds": None},
        "model": {"base": {"kind": "none"}},
    }


def test_later_layers_win_and_a_new_kind_starts_afresh():
    assert merge({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}) == {"a": {"x": 1, "y": 3}}
    old, new = {"d": {"kind": "lainr", "hidden": 8}}, {"d": {"kind": "scent", "depth": 2}}
    assert merge(old, new) == {"d": {"kind": "scent", "depth": 2}}
    assert old == {"d": {"kind": "lainr", "hidden": 8}}


NAMED = {  # a part whose preset or recipe need not say its kind, and something that the table below says about it
    "tokenizer": ("patches", {"stem": {"width": 5}}),
    "encoder": ("mamba", {"depth": 7}),
    "decoder": ("lainr", {"hidden": 24}),
    "head": ("point", {}),
    "base": ("none", {}),
}


@pytest.mark.parametrize("part", NAMED)
@pytest.mark.parametrize("names", ["neither", "preset", "recipe"])
def test_naming_the_kind_that_a_part_has_changes_nothing(part, names):
    """A table without a kind is of the default kind, or of the preset's."""
    kind, settings = NAMED[part]
    named = {part: {"kind": kind, **settings}}
    below = {part: settings} if names == "neither" else named
    assert merge(below, {part: {"kind": kind}})[part] == {"kind": kind, **settings}
    own = named if names == "recipe" else {part: settings} if settings else {}
    table = {"preset": "mamba-ginr", "size": "tiny", "model": own}
    plain = recipe(table, {})[0]
    assert recipe(table, {"model": {part: {"kind": kind}}})[0] == plain


@pytest.mark.parametrize(
    ("flag", "path"),
    [("tokenizer.kind patches", "tokenizer"), ("encoder.kind mamba", "encoder"), ("decoder.kind scent", "decoder")],
)
def test_naming_a_presets_own_kind_on_the_command_line_resets_nothing(flag, path):
    """`--model.tokenizer.kind patches` dropped the stem, `--model.encoder.kind mamba` turned depth 1 into 2."""
    plain = recipe(recipe_table("photos"), {})[0].model
    named = recipe(recipe_table("photos"), parse_flags([f"--model.{flag.split()[0]}", flag.split()[1]]))[0].model
    assert getattr(named, path) == getattr(plain, path) and named == plain


def test_naming_the_task_or_data_of_a_recipe_resets_nothing():
    for flags in (["--task.kind", "super-resolution"], ["--data.kind", "photos"]):
        table = recipe_table("photos")
        assert recipe(table, parse_flags(flags))[0] == recipe(table, {})[0]
    bare = {"preset": "hybrid", "task": {"recolour": True}, "data": {"held_out": 3}}
    named = recipe(bare, {"task": {"kind": "super-resolution"}, "data": {"kind": "photos"}})[0]
    assert named.task.recolour and named.data.held_out == 3


def test_another_kind_than_the_presets_starts_afresh():
    table = {"preset": "mamba-ginr", "size": "tiny", "model": {"encoder": {"depth": 7}}}
    assert recipe(table, {"model": {"encoder": {"kind": "transformer"}}})[0].model.encoder.depth == 6
    assert merge({"encoder": {"depth": 7}}, {"encoder": {"kind": "transformer"}}) == {
        "encoder": {"kind": "transformer"}
    }


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("warmup", 5),
        ("warmup", 1),
        ("floor", 3),
        ("floor", 0),
        ("ema", float("nan")),
        ("ema", 1.5),
        ("clip", 0),
        ("clip", float("inf")),
        ("lr", float("inf")),
        ("lr", float("nan")),
        ("weight_decay", float("inf")),
    ],
)
def test_a_mistyped_optimiser_is_refused(option, value):
    with pytest.raises(ConfigError, match=f"optimizer.{option}"):
        build(Train, {"optimizer": {option: value}})


def test_what_a_recipe_changes_for_one_preset_leaves_the_others_alone():
    table = {"preset": "hybrid", "size": "tiny", "for": {"hybrid": {"model": {"processor": {"depth": 7}}}}}
    assert recipe(table, {})[0].model.processor.depth == 7
    assert recipe(table, {"model": {"processor": {"depth": 2}}})[0].model.processor.depth == 2  # flags lie on top
    assert recipe(table, {"preset": "lainr"})[0].model.processor.depth == 0
    with pytest.raises(ConfigError, match=r"'model.decoder.depth': this kind of decoder has no depth, another has"):
        recipe(table, {"preset": "lainr", "model": {"decoder": {"depth": 1}}})


def test_flags():
    flags = parse_flags(
        ["--model.encoder.depth", "2", "--train.seconds=1.5", "--task.scales", "2", "3.7", "--model.local", "none"]
    )
    assert flags == {
        "model": {"encoder": {"depth": 2}, "local": None},
        "train": {"seconds": 1.5},
        "task": {"scales": [2, 3.7]},
    }
    with pytest.raises(ConfigError, match="--train.steps needs a value"):
        parse_flags(["--train.steps"])
    with pytest.raises(ConfigError, match="expected a flag"):
        parse_flags(["steps", "3"])


@pytest.mark.parametrize(
    ("diff", "message"),
    [
        ({"encoder": {"dept": 2}}, r"unknown key 'encoder.dept'; did you mean 'encoder.depth'\?"),
        ({"decoder": {"hiden": 2}}, r"unknown key 'decoder.hiden'; did you mean 'decoder.hidden'\?"),
        ({"encoder": {"depth": -1}}, r"encoder.depth: input should be greater than or equal to 0, got -1"),
        ({"decoder": {"kind": "lainer"}}, r"decoder: .*'lainr', 'scent'"),
        ({"width": "wide"}, r"width: .*valid integer.*'wide'"),
    ],
)
def test_a_wrong_config_says_where_and_what(diff, message):
    with pytest.raises(ConfigError, match=message):
        build(Model, merge(preset_table("hybrid", "tiny"), diff))


@pytest.mark.parametrize(
    ("diff", "message"),
    [
        ({"tokenizer": {"size": 3}}, "tokenizer.size 3 does not divide signal.window 8"),
        ({"encoder": {"tokens": {"placement": "group", "group": 3}}}, "groups of 3 do not divide 16 tokens"),
        (
            {"width": 4},
            "position_width 8 leaves nothing of the width 4 for values: 2 axes take at least 8; raise width",
        ),
        ({"signal": {"axes": 4}, "tokenizer": {"stem": {}}}, "stem has 1 to 3 axes, got 4"),
    ],
)
def test_parts_that_do_not_fit(diff, message):
    with pytest.raises(ValueError, match=message):
        gl.FieldModel(merge(preset_table("hybrid", "tiny"), diff))


@pytest.mark.parametrize(
    "diff,message",
    [
        ({"decoder": {"generated": [0, 9]}}, "names layer 9, there are 0 … 2"),
        ({"decoder": {"generated": []}}, "model.decoder.generated"),
        ({"encoder": {"tokens": {"count": 2}}}, "3 written layers needs as many latents, got 2"),
    ],
)
def test_layers_that_cannot_be_written(diff, message):
    with pytest.raises(ValueError, match=message):
        gl.FieldModel(merge(preset_table("trans-inr", "tiny"), diff))


def test_unknown_names_are_answered_with_the_known():
    with pytest.raises(ConfigError, match="no preset 'hybird'; there are conv, films, .* v2. Did you mean 'hybrid'?"):
        gl.preset("hybird")
    with pytest.raises(ConfigError, match="no size 'huge'; it has"):
        gl.preset("hybrid", "huge")
    with pytest.raises(ConfigError, match="no recipe"):
        recipe_table("foto")
    with pytest.raises(ValueError, match="expected a folder with config.json, a name that ships, or a Hub repository"):
        gl.FieldModel.from_pretrained("nowhere")


def test_the_published_bands_can_be_configured():
    bands = {"query": {"low": 5, "high": 8, "spacing": "log"}, "bands": [{"low": 5, "high": 64, "spacing": "log"}]}
    model = gl.FieldModel(merge(preset_table("mamba-ginr", "base"), {"decoder": bands}))
    frequencies = model.decoder.fourier[0].frequencies
    torch.testing.assert_close(frequencies[[0, -1]], torch.tensor([5.0, 64.0]))
    default = gl.FieldModel(gl.preset("mamba-ginr", "base")).decoder.fourier[0].frequencies
    torch.testing.assert_close(default[[0, -1]], torch.tensor([0.5, 16.0]))


def test_an_arm_may_be_another_system():
    table = {
        "preset": "hybrid",
        "size": "tiny",
        "model": {"signal": {"mean": 0.5, "std": 0.25}},
        "for": {"hybrid": {"model": {"processor": {"depth": 3}}}, "lainr": {"model": {"encoder": {"depth": 1}}}},
        "ablate": {"other": {"preset": "lainr", "train": {"batch": 3}, "model": {"decoder": {"hidden": 24}}}},
    }
    whole, arms = recipe(table, {})
    arm = build(Recipe, merge(dump(whole), arms["other"]))
    assert (arm.model.name, arm.model.encoder.kind, arm.model.processor.depth) == ("lainr", "transformer", 0)
    assert (arm.model.encoder.depth, arm.model.decoder.hidden, arm.model.signal.mean, arm.train.batch) == (
        1,
        24,
        0.5,
        3,
    )


@pytest.mark.parametrize(
    ("name", "whole", "decoder"),
    [
        ("mamba-ginr", 8.86e6, 380_166),
        ("lainr", None, 380_166),
        ("lainr-large", None, 8_442_566),
        ("scent", 34_995_797, None),
        ("v1", 167_201, None),
        ("v2", 884_481, None),
    ],
)
def test_base_sizes_are_those_of_the_sources(name, whole, decoder):
    """Within 2 %: where the encoder is not the source's own (lainr), the decoder alone."""
    model = gl.FieldModel(gl.preset(name, "base") if decoder is None else published(name))
    if whole is not None:
        assert abs(model.parameter_count() / whole - 1) < 0.02
    if decoder is not None:
        own = sum(p.numel() for part in (model.decoder, model.head) for p in part.parameters())
        assert abs(own / decoder - 1) < 0.02


def test_the_hybrid_of_the_notebook_is_a_difference_of_the_config():
    """64 M parameters: LAINR's chain at width 512 with four, four and two gated blocks behind its layers, and the skip."""
    notebook = {
        "kind": "lainr", "hidden": 512, "skip": True, "query": {"high": 8.0}, "bands": [{}, {"high": 8.0}],
        "block": {"depth": 4, "depths": {"chain": 2, "out": 0}, "expansion": 4.0, "gated": True, "norm": True},
    }  # fmt: skip
    model = gl.FieldModel(build(Model, merge(dump(gl.preset("hybrid", "base")), {"decoder": notebook})))
    assert abs(model.parameter_count() / 63.95e6 - 1) < 0.02
    assert len(model.decoder.refine.bands[0]) == 4 and len(model.decoder.refine.out[0]) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: gl.Reconstruction(jitter=-1),
        lambda: gl.Reconstruction(offset=-1),
        lambda: gl.SparseField(noise=(-1, 0)),
        lambda: gl.SparseField(noises=(-1.0,)),
        lambda: gl.SparseField(multiplicative=-0.1),
        lambda: gl.SparseField(sensors=(True, 5)),
        lambda: gl.Uniform(-1, 2),
        lambda: gl.Uniform(0, 2),
        lambda: gl.Uniform(1, float("inf")),
        lambda: gl.SuperResolution(scale=-2.0),
        lambda: gl.SuperResolution(scales=((0.0,),)),
        lambda: gl.SuperResolution(scales=(float("inf"),)),
        lambda: gl.Train(steps=True),
        lambda: gl.Train(steps=0),
    ],
)
def test_a_number_of_the_wrong_sign_without_end_or_that_is_none_is_refused(make):
    with pytest.raises(ValueError, match=r"greater than|finite|expected a number|Uniform needs"):
        make()


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "super-resolution", "scale": [1.5, {"low": 1.0, "high": 3.0}], "scales": [2.0, [2.0, 3.0]]}
        | {"recolour": True, "turned": False, "seen": 3, "largest": 5, "profile": "box", "slices": True},
        {"kind": "reconstruction", "seen": 3, "largest": 5, "turned": True, "jitter": 0.1, "offset": 0.2}
        | {"resampled": False, "jitter_share": 0.5},
        {
            "kind": "sparse-field",
            "sensors": [3, 5],
            "noise": [0.1, 0.2],
            "multiplicative": 0.6,
            "placement": "any",
            "lattice": 7,
        }
        | {"frozen": True, "counts": [4, 6], "noises": [0.3], "size": 9, "fields": 2},
    ],
    ids=lambda options: options["kind"],
)
def test_every_option_of_a_recipes_task_is_that_of_the_task(options):
    """None is lost or mistaken for its neighbour: no two have one value, and none is what it is by default."""
    told = build(Recipe, {"model": preset_table("hybrid", "tiny"), "task": options}).task
    task = task_of(told)
    assert type(task) is not type(told) and dump(task) == dump(told)
    assert options.keys() == dump(told).keys()
    assert not [name for name, value in dump(type(task)()).items() if name != "kind" and dump(task)[name] == value]
