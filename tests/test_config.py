"""The configuration: strict keys, exact messages, faithful round trips."""

import dataclasses
from pathlib import Path

import pytest
import yaml

import amfam_tf
from amfam_tf import config
from amfam_tf.config import Config, ConfigError


def keys(tree: dict, prefix: str = "") -> dict:
    """Returns the values of a nested mapping by dotted key."""
    flat = {}
    for key, value in tree.items():
        flat |= keys(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


ACTIVATIONS = "elu, gelu, leaky_relu, linear, relu, sigmoid, silu, softmax, softplus, tanh"

IMPOSSIBLE = [
    ("seed=-1", "seed must be from 0 to 4294967295. Received: -1"),
    ("data.image_size=31", "data.image_size must be from 32 to 4096. Received: 31"),
    ("data.border_crop=-1", "data.border_crop must be from 0 to 10000. Received: -1"),
    ("data.shuffle_buffer=0", "data.shuffle_buffer must be from 1 to 1000000000. Received: 0"),
    ("data.max_pixels=0", "data.max_pixels must be from 1 to 134217728. Received: 0"),
    ("data.cases_per_label=0", "data.cases_per_label must be from 1 to 1024. Received: 0"),
    ("data.sampling=even", "data.sampling must be one of shuffled, balanced. Received: 'even'"),
    ("data.cache=disk", "data.cache must be one of none, memory, file. Received: 'disk'"),
    ("data.cache=file", "data.cache=file needs data.cache_directory, the folder to keep the decoded images in"),
    ("data.image_size=299.0", "data.image_size must be a whole number in decimal digits. Received: 299.0"),
    ("data.image_size=true", "data.image_size must be a whole number in decimal digits. Received: True"),
    ("data.drop_shared_files=1", "data.drop_shared_files must be true or false. Received: 1"),
    ("augmentation.pad=-1", "augmentation.pad must be from 0 to 4096. Received: -1"),
    ("augmentation.rotation_degrees=181", "augmentation.rotation_degrees must be from 0 to 180. Received: 181.0"),
    ("augmentation.vertical_flip=1.5", "augmentation.vertical_flip must be from 0 to 1. Received: 1.5"),
    ("augmentation.horizontal_flip=-0.1", "augmentation.horizontal_flip must be from 0 to 1. Received: -0.1"),
    ("model.backbone=vgg", None),
    ("model.modalities=[]", "model.modalities must name at least one modality"),
    (
        "model.modalities=[clinical, clinical]",
        "model.modalities names a modality twice. Received: ['clinical', 'clinical']",
    ),
    (
        "model.modalities=[clinical]",
        "model.adversarial needs both modalities: set model.adversarial=false or name both in model.modalities",
    ),
    ("model.modalities=clinical", "model.modalities must be a list. Received: 'clinical'"),
    ("model.modalities=[x]", "model.modalities[0] must be one of clinical, dermoscopic. Received: 'x'"),
    (
        "model.reconstruction=false",
        "model.attention weights the reconstruction: set model.reconstruction=true or model.attention=none",
    ),
    (
        "model.decoder_scales=[4, 4]",
        "model.decoder_scales and model.decoder_channels must have the same length. "
        "Received: [4, 4] and [128, 128, 64]",
    ),
    ("model.decoder_scales=[4, 4, 0]", "model.decoder_scales[2] must be from 1 to 64. Received: 0"),
    ("model.decoder_channels=[8, 8, -8]", "model.decoder_channels[2] must be from 1 to 65536. Received: -8"),
    (
        "model.decoder_scales=[4, 4, 2.5]",
        "model.decoder_scales[2] must be a whole number in decimal digits. Received: 2.5",
    ),
    ("model.discriminator_units=0", "model.discriminator_units must be from 1 to 65536. Received: 0"),
    ("model.classifier_units=0", "model.classifier_units must be from 1 to 65536. Received: 0"),
    ("model.reversal_scale=0", "model.reversal_scale must be from 1e-06 to 1e+06. Received: 0.0"),
    ("model.leaky_relu_slope=-1", "model.leaky_relu_slope must be from 0 to 1. Received: -1.0"),
    ("model.batch_norm=off", "model.batch_norm must be one of synchronised, per_replica. Received: 'off'"),
    ("model.batch_norm=global", "model.batch_norm must be one of synchronised, per_replica. Received: 'global'"),
    ("model.batch_norm_momentum=1", "model.batch_norm_momentum must be from 0 to 0.9999999. Received: 1.0"),
    ("model.classifier_dropout=1", "model.classifier_dropout must be from 0 to 0.9999999. Received: 1.0"),
    ("model.embedding_dropout=1", "model.embedding_dropout must be from 0 to 0.9999999. Received: 1.0"),
    ("model.embedding_units=[]", "model.embedding_units must have from 1 to 16 values. Received: []"),
    ("model.embedding_units=[8, 0]", "model.embedding_units[1] must be from 1 to 65536. Received: 0"),
    ("model.metadata=[sex, sex]", "model.metadata names a column twice. Received: ['sex', 'sex']"),
    ("model.fuse_predictions=max", "model.fuse_predictions must be one of both, mean. Received: 'max'"),
    (
        "model.attention_activations=[relu, relu]",
        "model.attention_activations must have 3 values. Received: ['relu', 'relu']",
    ),
    ("model.classifier_activation=cube", f"model: an activation must be one of {ACTIVATIONS}. Received: 'cube'"),
    (
        "model.attention_activations=[relu, relu, step]",
        f"model: an activation must be one of {ACTIVATIONS}. Received: 'step'",
    ),
    ("loss.adversarial=-0.1", "loss.adversarial must be from 0 to 1e+06. Received: -0.1"),
    ("loss.reconstruction=.nan", "loss.reconstruction must be a finite number. Received: nan"),
    ("loss.reconstruction=many", "loss.reconstruction must be a finite number. Received: 'many'"),
    ("loss.reconstruction=true", "loss.reconstruction must be a finite number. Received: True"),
    ("loss.distillation=1.1", "loss.distillation must be from 0 to 1. Received: 1.1"),
    ("loss.distillation_temperature=0", "loss.distillation_temperature must be from 0.01 to 100. Received: 0.0"),
    ("loss.teacher_answers=fold", "loss.teacher_answers must be one of whole, out_of_fold. Received: 'fold'"),
    ("loss.class_weights=all", "loss.class_weights must be one of none, batch. Received: 'all'"),
    ("optimizer.learning_rate=0", "optimizer.learning_rate must be from 1e-12 to 100. Received: 0.0"),
    ("optimizer.epsilon=0", "optimizer.epsilon must be from 1e-30 to 1. Received: 0.0"),
    ("optimizer.weight_decay=-1", "optimizer.weight_decay must be from 0 to 100. Received: -1.0"),
    ("optimizer.warmup_epochs=-1", "optimizer.warmup_epochs must be from 0 to 1000000. Received: -1"),
    ("optimizer.clip_norm=0", "optimizer.clip_norm must be from 1e-12 to 1e+09, or null. Received: 0.0"),
    ("optimizer.beta_1=1", "optimizer.beta_1 must be from 0 to 0.9999999. Received: 1.0"),
    ("optimizer.beta_2=-0.1", "optimizer.beta_2 must be from 0 to 0.9999999. Received: -0.1"),
    ("training.batch_size=0", "training.batch_size must be from 1 to 65536. Received: 0"),
    ("training.epochs=0", "training.epochs must be from 1 to 1000000. Received: 0"),
    ("training.steps_per_execution=0", "training.steps_per_execution must be from 1 to 100000. Received: 0"),
    ("training.picture_every=-1", "training.picture_every must be from 0 to 1000000. Received: -1"),
    ("training.patience=0", "training.patience must be from 1 to 1000000, or null. Received: 0"),
    ("training.pretraining_epochs=0", "training.pretraining_epochs must be from 1 to 1000000, or null. Received: 0"),
    (
        "training.pretraining_epochs=150",
        "training.pretraining_epochs must be less than training.epochs, or null. Received: 150 of 150",
    ),
    ("training.jit_compile=xla", "training.jit_compile must be one of auto, on, off. Received: 'xla'"),
    ("model.upsampling=true", "model.upsampling must be one of nearest, bilinear. Received: True"),
    ("training=3", "training is a section: set one of its keys, e.g. training.KEY=value"),
    (
        "loss.lambda=0.8",
        "unknown configuration key loss.lambda; known here: adversarial, reconstruction, classification, adjustment, "
        "focusing, focusing_others, shift, effective_samples, margin, reweighted_after, "
        "class_weights, label_smoothing, task_weighting, task_weights, teacher, teacher_answers, distillation, "
        "distillation_temperature",
    ),
    (
        "losses.adversarial=0.8",
        "unknown configuration key losses; known here: "
        "method, seed, data, augmentation, model, loss, optimizer, training",
    ),
    ("training.epochs", "override 'training.epochs' is not of the form section.key=value"),
    ("=3", "override '=3' is not of the form section.key=value"),
    ("training.epochs=[", "override 'training.epochs=[': the value is not valid YAML: while parsing a flow node"),
]


@pytest.mark.parametrize(("override", "message"), IMPOSSIBLE, ids=[override for override, _ in IMPOSSIBLE])
def test_impossible_value(override, message):
    with pytest.raises(ConfigError) as caught:
        config.load("paper", [override])
    if message is None:
        message = str(caught.value)
        assert message.startswith("model.backbone must be one of ")
        assert message.endswith("Received: 'vgg'")
    assert str(caught.value).startswith(message)
    assert str(caught.value) == message or "not valid YAML" in message
    assert "\n" not in str(caught.value)


YAML_1_1 = [
    ("seed=010", "'010'"),
    ("seed=0x10", "'0x10'"),
    ("seed=0b1", "'0b1'"),
    ("seed=0o17", "'0o17'"),
    ("seed=1_000", "'1_000'"),
    ("seed=1:30", "'1:30'"),
    ("seed=+5", "'+5'"),
    ("seed=yes", "'yes'"),
    ("seed='5'", "'5'"),
    ("seed=5.0", "5.0"),
    ("seed=.5e1", "5.0"),
    ("seed=", "None"),
    ("seed=~", "None"),
    ("seed=2024-01-01", "'2024-01-01'"),
    ("seed=[1]", "[1]"),
    ("seed={a: 1}", "{'a': 1}"),
    ("seed=" + "9" * 5000, "'" + "9" * 76 + "..."),
]


@pytest.mark.parametrize(("override", "received"), YAML_1_1, ids=[override[:20] for override, _ in YAML_1_1])
def test_only_decimal_digits_are_a_whole_number(override, received):
    with pytest.raises(ConfigError) as caught:
        config.load("paper", [override])
    assert str(caught.value) == f"seed must be a whole number in decimal digits. Received: {received}"


@pytest.mark.parametrize("text", ["yes", "no", "on", "off", "1", "'true'", "null"])
def test_only_true_and_false_are_truth_values(text):
    with pytest.raises(ConfigError, match=r"^model\.adversarial must be true or false\. Received: "):
        config.load("paper", [f"model.adversarial={text}"])


@pytest.mark.parametrize("text", ["'0.5'", "1_0.5", "nan", ".nan", ".inf", "-.INF", "1e999", "1:30.5", "true", "[0.5]"])
def test_only_finite_decimal_numbers_are_numbers(text):
    with pytest.raises(ConfigError, match=r"^loss\.adversarial must be a finite number\. Received: "):
        config.load("paper", [f"loss.adversarial={text}"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nseed: 2\n", "{file} is not valid YAML: key 'seed' stands twice"),
        ('seed: !!int "010"\n', "{file} is not valid YAML: '010' is no int"),
        ("seed: " + "[" * 3000, "{file} is not valid YAML: it is nested too deeply"),
        ("seed: !!timestamp 2024-13-45\n", "{file} is not valid YAML: month must be in 1..12"),
        ("model:\n  weights: 'a\\0b'\n", None),
        ('model:\n  weights: "a\\0b"\n', "model.weights must not hold control characters. Received: 'a\\x00b'"),
    ],
)
def test_what_yaml_would_take_in_silence(tmp_path, text, message):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    if message is None:
        assert config.read(file).model.weights == "a\\0b"
        return
    with pytest.raises(ConfigError) as caught:
        config.read(file)
    assert str(caught.value).startswith(message.format(file=file))


def test_a_file_that_is_not_utf_8_is_named(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_bytes(b"method: caf\xe9\n")
    with pytest.raises(ConfigError, match=rf"^cannot read {file}: it is not UTF-8 \(byte 11\): save it as UTF-8$"):
        config.read(file)


TEXTS = ["010", "1e-5", "on", "null", "1:30", "2024-01-01", "=", "", " x", "caf\u00e9", "[1]", "1_0", ".inf", "<<"]


@pytest.mark.parametrize("text", TEXTS)
def test_text_that_looks_like_else_comes_back(text, tmp_path):
    chosen = dataclasses.replace(Config(), data=config.DataConfig(cache_directory=text))
    file = tmp_path / "config.yaml"
    file.write_text(config.dump(chosen), encoding="utf-8")
    assert config.read(file) == chosen
    assert yaml.safe_load(file.read_text(encoding="utf-8"))["data"]["cache_directory"] == text


POSSIBLE = [
    ("data.image_size=32", "data.image_size", 32),
    ("augmentation.rotation_degrees=180", "augmentation.rotation_degrees", 180.0),
    ("augmentation.vertical_flip=1", "augmentation.vertical_flip", 1.0),
    ("loss.adversarial=0", "loss.adversarial", 0.0),
    ("optimizer.learning_rate=1e-5", "optimizer.learning_rate", 1e-5),
    ("optimizer.clip_norm=null", "optimizer.clip_norm", None),
    ("optimizer.clip_norm=1", "optimizer.clip_norm", 1.0),
    ("training.patience=null", "training.patience", None),
    ("training.jit_compile='on'", "training.jit_compile", "on"),
    ("training.jit_compile=on", "training.jit_compile", "on"),
    ("training.jit_compile=off", "training.jit_compile", "off"),
    ("model.decoder_scales=[2, 2, 2]", "model.decoder_scales", [2, 2, 2]),
    ("model.metadata=[sex, elevation]", "model.metadata", ["sex", "elevation"]),
    ("training.pretraining_epochs=149", "training.pretraining_epochs", 149),
    ("data.cache_directory=a=b", "data.cache_directory", "a=b"),
]


@pytest.mark.parametrize(("override", "key", "value"), POSSIBLE, ids=[override for override, _, _ in POSSIBLE])
def test_override(override, key, value):
    before = keys(config.to_dict(config.load("paper")))
    after = keys(config.to_dict(config.load("paper", [override])))
    assert after.pop(key) == value
    assert type(value) is type(keys(config.to_dict(config.load("paper", [override])))[key])
    before.pop(key)
    assert after == before


def test_overrides_apply_in_order_and_after_changes():
    chosen = config.load("paper", ["seed=2", "seed=3"], {"seed": 1, "loss": {"adversarial": 0.0}})
    assert chosen.seed == 3
    assert chosen.loss.adversarial == 0.0
    assert chosen.loss.reconstruction == 0.4


def test_defaults_are_the_paper():
    assert config.load("paper") == Config()


@pytest.mark.parametrize("preset", config.preset_names())
def test_preset_loads_and_says_only_known_keys(preset):
    text = (Path(amfam_tf.__file__).parent / "presets" / f"{preset}.yaml").read_text()
    stated = keys(yaml.safe_load(text))
    resolved = keys(config.to_dict(config.load(preset)))
    assert stated.items() <= resolved.items()
    assert f"--preset {preset}" in text


def test_presets_that_the_documents_name_exist():
    assert {"paper", "laptop", "tiny"} <= set(config.preset_names())


@pytest.mark.parametrize("preset", config.preset_names())
def test_round_trip_by_dict_and_by_file(preset, tmp_path):
    chosen = config.load(preset, ["model.classifier_dropout=0.25", "training.patience=null"])
    assert config.from_dict(config.to_dict(chosen)) == chosen
    file = tmp_path / "config.yaml"
    file.write_text(config.dump(chosen))
    assert config.read(file) == chosen
    assert config.load(str(file)) == chosen
    assert config.differences(chosen, config.read(file)) == []


def test_dump_is_complete_and_in_order():
    dumped = yaml.safe_load(config.dump(Config()))
    assert list(dumped) == [item.name for item in dataclasses.fields(Config)]
    assert keys(dumped).keys() == keys(config.to_dict(Config())).keys()


def test_yaml_numbers_without_a_dot_are_numbers(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("optimizer:\n  learning_rate: 1e-5\n")
    assert isinstance(yaml.safe_load(file.read_text())["optimizer"]["learning_rate"], str)
    assert config.read(file).optimizer.learning_rate == 1e-5


def test_differences_name_each_value_that_differs():
    old = config.load("paper")
    new = config.load("paper", ["loss.adversarial=0", "training.patience=null", "model.decoder_scales=[4, 4, 4]"])
    assert config.differences(old, old) == []
    assert config.differences(old, new) == [
        "model.decoder_scales: [4, 4, 2] -> [4, 4, 4]",
        "loss.adversarial: 0.8 -> 0.0",
        "training.patience: 20 -> None",
    ]


def test_unknown_preset():
    with pytest.raises(ConfigError) as caught:
        config.load("papper")
    names = ", ".join(config.preset_names())
    assert str(caught.value) == f"unknown preset 'papper': it is none of {names} and no YAML file"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "{file} must be a mapping of sections. Received: list"),
        ("seed: [\n", "{file} is not valid YAML: while parsing"),
        ("seed: one\n", "seed must be a whole number in decimal digits. Received: 'one'"),
        ("1: 2\n", "unknown configuration key 1; known here: method,"),
    ],
)
def test_broken_file(tmp_path, text, message):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.read(file)
    assert str(caught.value).startswith(message.format(file=file))
    assert "\n" not in str(caught.value)


def test_empty_file_is_all_defaults(tmp_path):
    file = tmp_path / "mine.yaml"
    file.touch()
    assert config.read(file) == Config()


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError) as caught:
        config.read(tmp_path / "none.yaml")
    assert str(caught.value) == f"cannot read {tmp_path / 'none.yaml'}: No such file or directory"


def test_configuration_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().seed = 1


ASKED = [
    ({"model": {"decoder_scales": [4, 4, 2]}, "data": {"border_crop": 1}}, (), None, ["model.decoder_scales"]),
    ({"optimizer": {"epsilon": 0.1}, "training": {"batch_size": 3}}, (), None, ["optimizer.epsilon"]),
    ({"method": "hccnn"}, ["model.upsampling=nearest", "seed=1"], None, ["method", "model.upsampling"]),
    ({"loss": {"adversarial": 0.1}}, ["method=concat"], None, ["method"]),
    ({"loss": {"adversarial": 0.1}}, ["loss.reconstruction=0"], "concat", ["loss.reconstruction", "method"]),
]


@pytest.mark.parametrize(("content", "overrides", "method", "expected"), ASKED)
def test_what_a_file_asks_of_its_own_method_and_what_is_overridden(content, overrides, method, expected, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content))
    assert config.asked_keys(str(file), overrides, method) == expected
    assert config.asked_keys("tiny", ["loss.adversarial=1"]) == ["loss.adversarial"]


def test_of_a_file_that_names_every_section_only_what_no_preset_has_is_asked(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(config.dump(config.load("tiny", ["model.decoder_channels=[128, 128, 64]"])))
    assert config.asked_keys(str(file)) == []
    file.write_text(config.dump(config.load("tiny", ["model.decoder_channels=[8, 8, 8]"], {"method": "hccnn"})))
    assert config.asked_keys(file) == ["method", "model.decoder_channels"]
