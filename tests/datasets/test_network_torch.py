"""Networks of transformers: small random ones, written and computed by the real library."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import poisonscan
from poisonscan import OwnModel
from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.network import Network
from poisonscan.datasets.network_torch import TorchRunner

if TYPE_CHECKING:
    from collections.abc import Callable

for _name in ("torch", "transformers", "tokenizers"):
    pytest.importorskip(_name, reason="without the extra [torch], no network of it is run")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{number}" for number in range(40))]
TEXTS = ["w1 w2 w3", "w4", "w5 w6 " * 30, "w7 unknown w8"]
_SMALL: dict[str, Any] = {
    "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each kind of network."""
    import torch
    import transformers as hf

    root = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    texts = {**_SMALL, "vocab_size": len(WORDS), "max_position_embeddings": 24}
    pictures = {**_SMALL, "image_size": 8, "patch_size": 4}
    kinds = {
        "bert": hf.BertForSequenceClassification(hf.BertConfig(**texts)),
        "roberta": hf.RobertaModel(hf.RobertaConfig(**texts, pad_token_id=0)),
        "t5": hf.T5ForConditionalGeneration(
            hf.T5Config(
                vocab_size=len(WORDS), d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2
            )
        ),
        "vit": hf.ViTForImageClassification(hf.ViTConfig(**pictures)),
        "resnet": hf.ResNetModel(
            hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1])
        ),
        "clip": hf.CLIPModel(hf.CLIPConfig(text_config=texts, vision_config=pictures)),
    }
    for name, network in kinds.items():
        network.eval().save_pretrained(root / name)
        if name not in ("vit", "resnet"):
            _tokenizer().save(str(root / name / "tokenizer.json"))
    means = {"image_mean": [0.5, 0.25, 0.0], "image_std": [0.5, 0.5, 0.5], "do_normalize": True}
    (root / "vit" / "preprocessor_config.json").write_text(json.dumps(means))
    return root


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    numbers = {word: number for number, word in enumerate(WORDS)}
    made = Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def _open(folder: Path, takes: str = "texts", **options: Any) -> Network:
    network = Network.open(OwnModel(str(folder), **options), {takes: ("column",)})
    assert network is not None
    return network


def _texts(folder: Path, texts: list[str] = TEXTS, **options: Any) -> np.ndarray:
    return _open(folder, **options).of_columns([pa.array(texts)], Path())


def _pictures(folder: Path, pictures: np.ndarray, **options: Any) -> np.ndarray:
    encoded = []
    for picture in pictures:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    return _open(folder, "pictures", **options).vectors(encoded)


def _usual(folder: Path, part: Callable[[Any], Any] = lambda network: network, **given: Any) -> Any:
    """What the library itself gives."""
    import torch
    import transformers as hf

    network = part(hf.AutoModel.from_pretrained(folder).eval())
    with torch.inference_mode():
        return network(**given, output_hidden_states=True)


def _ids(text: str, most: int) -> Any:
    import torch

    words = [WORDS.index(word) if word in WORDS else 1 for word in text.split()]
    return torch.tensor([[2, *words[: most - 2], 3]])


@pytest.mark.parametrize(
    ("kind", "tokens", "part"),
    [
        ("bert", 24, lambda network: network),
        ("roberta", 23, lambda network: network),  # positions begin behind that of padding
        ("t5", 512, lambda network: network.get_encoder()),
        ("clip", 24, lambda network: network.text_model),
    ],
)
def test_texts_are_means_over_tokens(
    folders: Path, kind: str, tokens: int, part: Callable[[Any], Any]
) -> None:
    found = _texts(folders / kind)
    assert f"the first {tokens} tokens" in _open(folders / kind).source
    for text, vector in zip(TEXTS, found, strict=True):
        usual = _usual(folders / kind, part, input_ids=_ids(text, tokens)).last_hidden_state
        assert np.allclose(vector, usual.mean(dim=1)[0].numpy(), atol=1e-5)


def test_layers_by_number_and_by_name(folders: Path) -> None:
    states = _usual(folders / "bert", input_ids=_ids(TEXTS[0], 24)).hidden_states
    for layer, number in [("0", 0), ("1", 1), ("-1", 2), ("-3", 0), ("encoder.layer.0", 1)]:
        vector = _texts(folders / "bert", layer=layer)[0]
        assert np.allclose(vector, states[number].mean(dim=1)[0].numpy(), atol=1e-5)
    for layer in ("3", "-4", "encoder.layer.9", "forward"):
        with pytest.raises(OptionError, match=r"hidden state"):
            _open(folders / "bert", layer=layer)


def test_pictures_are_means_over_places(folders: Path) -> None:
    import torch

    pictures = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    plain = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    shifted = (plain - torch.tensor([0.5, 0.25, 0.0]).reshape(3, 1, 1)) / 0.5
    asked: list[tuple[str, Any, Callable[[Any], Any], tuple[int, ...]]] = [
        ("vit", shifted, lambda network: network, (1,)),
        ("clip", plain, lambda network: network.vision_model, (1,)),
        ("resnet", plain, lambda network: network, (2, 3)),
    ]
    for kind, values, part, places in asked:
        usual = _usual(folders / kind, part, pixel_values=values).last_hidden_state
        size = (8, 8) if kind == "resnet" else None
        found = _pictures(folders / kind, pictures, size=size)
        assert np.allclose(found, usual.mean(dim=places).numpy(), atol=1e-5)
    assert "mean 0.5 0.25 0, deviation 0.5" in _open(folders / "vit", "pictures").source
    own = _open(folders / "vit", "pictures", mean=(0.1,), std=(0.2,)).source
    assert "mean 0.1, deviation 0.2" in own


def test_other_texts_beside_it_and_more_threads_change_nothing(folders: Path) -> None:
    alone = np.concatenate([_texts(folders / "bert", [text]) for text in TEXTS])
    assert np.allclose(_texts(folders / "bert", TEXTS[::-1] * 20)[:4], alone[::-1], atol=1e-5)
    model = OwnModel(str(folders / "bert"))
    network = Network.open(model, {"texts": ("t",)}, threads=2)
    assert network is not None
    assert np.allclose(network.of_columns([pa.array(TEXTS)], Path()), alone, atol=1e-5)


def test_sentence_transformers_pool_as_they_say(folders: Path, tmp_path: Path) -> None:
    folder = tmp_path / "st"
    shutil.copytree(folders / "bert", folder)
    own = "sentence_transformers.models."
    names = ["Transformer", "Pooling", "Normalize"]
    modules = [
        {"path": path, "type": own + name}
        for path, name in zip(["", "1_Pooling", "2_Normalize"], names, strict=True)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 10}')
    assert "first token, of length one, given the first 10 tokens" in _open(folder).source
    usual = _usual(folder, input_ids=_ids(TEXTS[2], 10)).last_hidden_state[0, 0].numpy()
    assert np.allclose(_texts(folder)[2], usual / np.linalg.norm(usual), atol=1e-5)


def _without(folder: Path, to: Path, name: str) -> Path:
    """The same folder without a tensor."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, to)
    tensors = load_file(to / "model.safetensors")
    del tensors[name]
    save_file(tensors, to / "model.safetensors", {"format": "pt"})
    return to


def test_weights_of_half_precision_are_computed_with_in_full(folders: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folders / "bert", tmp_path / "half")
    file = tmp_path / "half" / "model.safetensors"
    tensors = {name: tensor.half() for name, tensor in load_file(file).items()}
    save_file(tensors, file, {"format": "pt"})
    settings = tmp_path / "half" / "config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "dtype": "float16"}))
    assert np.allclose(_texts(tmp_path / "half"), _texts(folders / "bert"), atol=1e-2)


def test_weights_that_would_be_random_are_refused(folders: Path, tmp_path: Path) -> None:
    name = "bert.encoder.layer.1.output.dense.weight"
    with pytest.raises(OptionError, match=r"lacks weights.*random.*layer\.1\.output"):
        _open(_without(folders / "bert", tmp_path / "a", name))
    bare = _without(folders / "bert", tmp_path / "b", "bert.pooler.dense.weight")
    assert np.allclose(_texts(bare), _texts(folders / "bert"), atol=1e-6)  # it is not used
    with pytest.raises(OptionError, match="lacks weights"):
        _open(bare, layer="pooler")


def test_folders_that_do_not_fit_are_refused(folders: Path, tmp_path: Path) -> None:
    def changed(name: str, file: str, change: Callable[[Path], object], kind: str = "bert") -> Path:
        shutil.copytree(folders / kind, tmp_path / name)
        change(tmp_path / name / file)
        return tmp_path / name

    def settings(**new: object) -> Callable[[Path], object]:
        return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **new}))

    many = {word: number for number, word in enumerate([*WORDS, "more"])}
    other = json.loads(_tokenizer().to_str())
    other["model"]["vocab"] = many
    for folder, reason in [
        (changed("a", "config.json", settings(model_type="mine")), "no code for"),
        (changed("b", "config.json", settings(hidden_size=16)), r"lacks weights|cannot be loaded"),
        (changed("c", "config.json", settings(hidden_size="x")), "cannot be loaded"),
        (changed("d", "tokenizer.json", Path.unlink), r"holds no tokenizer\.json"),
        (changed("e", "tokenizer.json", lambda path: path.write_text("{}")), "cannot be read"),
        (
            changed("f", "tokenizer.json", lambda path: path.write_text(json.dumps(other))),
            "token 44, the network 44",
        ),
        (
            changed("g", "model.safetensors", lambda path: path.write_bytes(b"\0" * 9)),
            "cannot be loaded",
        ),
    ]:
        with pytest.raises(OptionError, match=reason):
            _open(folder)


def _retold(folder: Path, to: Path, change: Callable[[Any], None]) -> Path:
    """A copy of a folder with another tokenizer."""
    shutil.copytree(folder, to)
    said = json.loads((to / "tokenizer.json").read_text())
    change(said)
    (to / "tokenizer.json").write_text(json.dumps(said))
    return to


def test_how_many_tokens_it_takes_does_not_depend_on_the_tokenizer(
    folders: Path, tmp_path: Path
) -> None:
    """One that has no token for the words of a trial and leaves them out."""

    def leave_out(said: Any) -> None:
        said["model"] = {"type": "BPE", "merges": [], "vocab": {"w": 4, "1": 5, **said_of(said)}}

    def said_of(said: Any) -> dict[str, int]:
        return {word: said["model"]["vocab"][word] for word in WORDS[:4]}

    folder = _retold(folders / "roberta", tmp_path / "few", leave_out)
    assert "the first 23 tokens" in _open(folder).source
    assert np.isfinite(_texts(folder, ["w1 " * 100])).all()


def test_tokens_that_templates_and_padding_add_are_checked(folders: Path, tmp_path: Path) -> None:
    def begin(said: Any) -> None:
        said["post_processor"]["special_tokens"]["[CLS]"]["ids"] = [44]

    with pytest.raises(OptionError, match="token 44, the network 44"):
        _open(_retold(folders / "bert", tmp_path / "template", begin))
    padded = _retold(folders / "bert", tmp_path / "padding", lambda _: None)
    settings = json.loads((padded / "config.json").read_text())
    (padded / "config.json").write_text(json.dumps({**settings, "pad_token_id": 44}))
    with pytest.raises(OptionError, match=r"token 44, the network 44|cannot be loaded"):
        _open(padded)


def test_what_else_lies_in_a_folder_has_no_say(folders: Path, tmp_path: Path) -> None:
    """Not even unseen by a scan: the library is given no folder."""
    folder = tmp_path / "more"
    shutil.copytree(folders / "bert", folder)
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "org/other"}
    (folder / "adapter_config.json").write_text(json.dumps(adapter))
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Evil()))
    (folder / ".metadata").write_bytes(pickle.dumps(_Evil()))
    (folder / "modeling_bert.py").write_text("raise SystemExit('it ran')")
    assert np.array_equal(_texts(folder), _texts(folders / "bert"))


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise SystemExit('it ran')",)


def _table(path: Path) -> Path:
    draw = np.random.default_rng(0)
    rows = [
        f"{' '.join(f'w{word}' for word in draw.integers(0, 40, 9))},{'ab'[row % 2]}"
        for row in range(300)
    ]
    path.write_text("\n".join(["text,label", *rows, *rows[:9]]) + "\n")
    return path


def test_a_folder_is_scanned_before_it_is_loaded(folders: Path, tmp_path: Path) -> None:
    table = _table(tmp_path / "t.csv")
    bad = tmp_path / "bad"
    shutil.copytree(folders / "bert", bad)
    (bad / "training_args.bin").write_bytes(pickle.dumps(_Evil()))
    with pytest.raises(poisonscan.TargetError, match="not used: PS101"):
        poisonscan.scan(table, model=OwnModel(str(bad)))
    (bad / "training_args.bin").write_bytes(b"no known format" * 99)
    with pytest.raises(poisonscan.TargetError, match=r"could not be checked.*training_args"):
        poisonscan.scan(table, model=OwnModel(str(bad)))


def test_a_network_is_asked_once_about_each_text(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many passes there are; and with a cache never again."""
    asked: list[str] = []
    run = TorchRunner.run

    def noting(self: TorchRunner, values: Any, device: str) -> np.ndarray:
        asked.extend(values.texts)
        return run(self, values, device)

    monkeypatch.setattr(TorchRunner, "run", noting)
    table, kept = _table(tmp_path / "t.csv"), str(tmp_path / "kept")
    reports = []
    for cache in ("", kept, kept):
        model = OwnModel(str(folders / "bert"), cache=cache)
        # In this process, to see what is asked.
        reports.append(poisonscan.scan(table, kind="dataset", model=model, isolation="off", jobs=1))
        rows = [text for text in asked if len(text.split()) == 9]
        assert len(rows) == len(set(rows)) == (0 if len(reports) == 3 else 300)
        asked.clear()
    facts = [report.scanned[0].facts for report in reports]
    assert "last hidden state of 'bert' (8 numbers)" in str(facts[0]["features"])
    assert facts[0] == facts[1] == facts[2]


def test_the_wrong_kind_of_rows_is_said(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(poisonscan.TargetError, match="given pictures, and there are none"):
        poisonscan.scan(_table(tmp_path / "t.csv"), model=OwnModel(str(folders / "vit")))


def test_cuda_that_is_not_there(folders: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is such a device")
    with pytest.raises(OptionError, match=r"cuda cannot be used: .*--device cpu"):
        _open(folders / "bert", device="cuda")
    assert _open(folders / "bert").device == "cpu"


def test_opening_leaves_no_threads_that_a_forked_process_would_wait_for(folders: Path) -> None:
    import torch

    torch.set_num_threads(2)
    network = Network.open(OwnModel(str(folders / "bert")), {"texts": ("text",)}, threads=2)
    assert torch.get_num_threads() == 1
    assert network is not None
    network.vectors([b"w1"])
    assert torch.get_num_threads() == 2
