import importlib
import importlib.util
import subprocess
import sys

import pytest

from espalier.site.process import without

STEPS = """
import hashlib
import torch
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.5))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
for _ in range(3):
    model(torch.ones(2, 4)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()
import sys
weights = model[0].weight.detach().numpy()
print(hashlib.sha256(weights.tobytes()).hexdigest(), "torch._dynamo.convert_frame" in sys.modules)
"""
SPARED = "from espalier.site.process import spare_compiler; spare_compiler()\n"


def python(code):
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    return done.returncode, done.stdout.split(), done.stderr


def test_optimizers_step_the_same_without_the_compiler():
    _, plain, _ = python(STEPS)
    _, spared, _ = python(SPARED + STEPS)
    assert (plain[1], spared[1]) == ("True", "False")
    assert plain[0] == spared[0]


def test_the_compiler_is_there_when_something_asks_for_it():
    code = SPARED + (
        "import torch, torch._dynamo\n"
        "torch._dynamo.graph_break()\n"
        "count = torch.compile(lambda x: x + 1, backend='eager', fullgraph=True)\n"
        "from torch._dynamo.utils import counters\n"
        "print(count(torch.ones(1)).item(), counters['stats']['unique_graphs'], torch._dynamo.config.verbose)\n"
    )
    code, words, errors = python(code)
    assert words == ["2.0", "1", "False"], errors


def test_networks_of_torchvision_come_without_the_compiler_which_answers_all_the_same():
    code = SPARED + (
        "import sys, torchvision\n"
        "absent = 'torch._dynamo.convert_frame' not in sys.modules\n"
        "from torchvision.ops.roi_align import is_compile_supported\n"
        "told = is_compile_supported('cpu')\n"
        "import torch._dynamo.utils\n"
        "print(absent, told == torch._dynamo.utils.is_compile_supported('cpu'), torch._dynamo.utils.__file__[-8:])\n"
    )
    code, words, errors = python(code)
    assert words == ["True", "True", "utils.py"], errors


@pytest.mark.parametrize(
    ("body", "code", "stderr"),
    [("pass", 0, ""), ("raise SystemExit(75)", 75, ""), ("raise SystemExit('a mistake')", 1, "a mistake\n")],
)
def test_a_process_ends_with_the_code_of_its_main(body, code, stderr):
    program = f"from espalier.site.process import run\ndef main():\n    print('out')\n    {body}\nrun(main)"
    assert python(program) == (code, ["out"], stderr)


def test_an_unforeseen_error_ends_in_a_traceback():
    code, _, errors = python("from espalier.site.process import run\nrun(lambda: 1 / 0)")
    assert code == 1
    assert "ZeroDivisionError" in errors


READY = """
import sys
from espalier.site.process import spare_compiler
from espalier.settings.words import parse
from espalier.stages.train import train
spare_compiler()
spec = parse("train", ["model=resnet", "augment=[pad_crop]"])
from espalier.training.state import State
State.begin(spec.model.build(10, 16), spec.train, 10)
unused = {"torchvision", "torch_pruning", "timm", "pandas", "matplotlib", "sklearn", "torch._dynamo.convert_frame"}
print("ready", *sorted(unused & set(sys.modules)))
from espalier.pruning.graph import torch_pruning
torch_pruning()
print("pruning", *sorted({"torchvision", "timm", "wandb"} & set(sys.modules)))
parse("train", ["model=regnetx"]).model.entry().load()
print("building", *sorted({"timm", "wandb"} & set(sys.modules)))
"""


def test_a_run_trains_prunes_and_builds_without_what_it_does_not_use():
    code, words, errors = python(READY)
    assert (code, words) == (0, ["ready", "pruning", "building", "timm"]), errors


def test_a_library_is_missing_only_meanwhile_and_only_if_it_was_not_there():
    with without("this"):
        assert importlib.util.find_spec("subprocess"), "others are there"
        with pytest.raises(ImportError):
            importlib.import_module("this")
    assert "this" not in sys.modules
    with without("subprocess"):
        import subprocess as there
    assert there is subprocess
