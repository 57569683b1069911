"""What a compiled program sends and computes, read from its text.

XLA lists a loop's body once, whatever the number of its rounds: here everything counts
as often as it runs. Collectives are counted by what a device sends in the usual ring
algorithms (Patarasuk and Yuan 2009), of which others differ by small factors.
"""

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Iterator

BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2}
BYTES |= {"f32": 4, "s32": 4, "u32": 4, "f64": 8, "s64": 8, "u64": 8}

SENT = {
    "all-reduce": lambda n: 2 * (n - 1) / n,
    "all-gather": lambda n: (n - 1) / n,
    "reduce-scatter": lambda n: n - 1,
    "all-to-all": lambda n: (n - 1) / n,
    "collective-permute": lambda n: 1,
}
"""Bytes that each of `n` devices sends per byte of its result."""

_HEAD = re.compile(r"(?:ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{$")
_LINE = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*)")
_SHAPE = re.compile(r"(\w+)\[([\d,]*)\]")
_CALLED = re.compile(r"(?:calls|to_apply|body|condition)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_ROUNDS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


@dataclasses.dataclass(frozen=True)
class Collective:
    """A collective of a program.

    Attributes:
        kind: a key of `SENT`.
        size: bytes of its result on one device.
        devices: that take part with each other.
        times: how often it runs.
        source: the operation of the model that it belongs to.
    """

    kind: str
    size: int
    devices: int
    times: int
    source: str

    @property
    def sent(self) -> float:
        """Bytes that each device sends in all."""
        return self.times * self.size * SENT[self.kind](self.devices)


@dataclasses.dataclass(frozen=True)
class Program:
    """What one device does.

    Attributes:
        collectives: in the order of the text.
        flops: of matrix products and convolutions; a multiplication and an addition
            count as two.
    """

    collectives: tuple[Collective, ...]
    flops: float

    def sent(self) -> dict[str, float]:
        """Sum the bytes that each device sends, by kind."""
        total: dict[str, float] = defaultdict(float)
        for collective in self.collectives:
            total[collective.kind] += collective.sent
        return dict(total)

    def count(self) -> int:
        """Count the collectives that run."""
        return sum(collective.times for collective in self.collectives)


@dataclasses.dataclass(frozen=True)
class _Instruction:
    """One line of a program: `name = shape operation(operands), options`."""

    name: str
    shape: str
    operation: str
    rest: str

    @property
    def numbers(self) -> list[int]:
        """The sides of the first array of the shape."""
        return _sides(_SHAPE.findall(self.shape)[0][1])

    def option(self, name: str) -> str:
        """Find the value of an option in braces or up to a comma."""
        found = re.search(rf"{name}=(?:\{{([^}}]*)\}}|([^,\s]+))", self.rest)
        return "" if found is None else found[1] or found[2] or ""


def read(text: str) -> Program:
    """Read the text of a compiled program, `compiled.as_text()`."""
    computations = dict(_computations(text))
    (entry,) = re.findall(r"^ENTRY %?([\w.\-]+)", text, re.MULTILINE)
    shapes = {line.name: line for lines in computations.values() for line in lines}
    collectives, flops = [], 0.0
    for name, times in _runs(computations, entry).items():
        for line in computations[name]:
            kind = line.operation.removesuffix("-start")
            if kind in SENT:
                collectives.append(_collective(line, kind, times))
            elif kind == "dot":
                flops += times * _product(line, shapes)
            elif kind == "convolution":
                flops += times * _convolution(line, shapes)
    return Program(tuple(collectives), flops)


def _computations(text: str) -> Iterator[tuple[str, list[_Instruction]]]:
    """Cut a program into its computations and their lines."""
    name, lines = "", []
    for raw in re.sub(r"/\*.*?\*/", "", text).splitlines():
        if head := _HEAD.match(raw):
            name, lines = head[1], []
        elif raw.startswith("}"):
            yield name, lines
        elif line := _LINE.match(raw):
            shape, rest = _split(line[2])
            operation, _, rest = rest.lstrip().partition("(")
            lines.append(_Instruction(line[1], shape, operation, rest))


def _split(text: str) -> tuple[str, str]:
    """Cut the shape, which may be a tuple, from what follows."""
    if not text.startswith("("):
        shape, _, rest = text.partition(" ")
        return shape, rest
    depth = 0
    for place, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0:
            return text[: place + 1], text[place + 1 :]
    raise ValueError(f"{text[:80]}: unbalanced")


def _runs(computations: dict[str, list[_Instruction]], entry: str) -> dict[str, int]:
    """Count how often each computation runs."""
    runs: dict[str, int] = defaultdict(int)

    def visit(name: str, times: int) -> None:
        runs[name] += times
        for line in computations[name]:
            rounds = _ROUNDS.search(line.rest) if line.operation == "while" else None
            called = _CALLED.findall(line.rest)
            for branches in _BRANCHES.findall(line.rest):
                called += [branch.strip().lstrip("%") for branch in branches.split(",")]
            for each in called:
                visit(each, times * (int(rounds[1]) if rounds else 1))

    visit(entry, 1)
    return runs


def _collective(line: _Instruction, kind: str, times: int) -> Collective:
    if line.operation == "collective-permute-start":
        raise ValueError(f"{line.operation}: of no CPU's program, and not understood")
    size = sum(
        BYTES[dtype] * math.prod(_sides(sides))
        for dtype, sides in _SHAPE.findall(line.shape)
    )
    if line.operation.endswith("-start") and kind != "all-reduce":
        size -= size // (1 + _devices(line.rest))  # operands are part of the shape
    source = re.search(r'op_name="([^"]*)"', line.rest)
    return Collective(
        kind, size, _devices(line.rest), times, source[1] if source else ""
    )


def _devices(rest: str) -> int:
    """Read the size of the groups in which devices talk to each other."""
    if listed := re.search(r"replica_groups=\{\{([\d,]*)\}", rest):
        return len(listed[1].split(","))
    if folded := re.search(r"replica_groups=\[(\d+),(\d+)\]", rest):
        return int(folded[2])
    if named := re.search(r"replica_groups=mesh\[([^\]]*)\]\s*\{([^}]*)\}", rest):
        lengths = dict(re.findall(r"'([^']*)'=(\d+)", named[1]))
        parts = re.findall(r"'([^']*)'(?::\(\d+\)(\d+))?", named[2])
        return math.prod(int(part or lengths[axis]) for axis, part in parts)
    return 2  # of a permutation, whose pairs are listed


def _operands(line: _Instruction) -> list[str]:
    return re.findall(r"%([\w.\-]+)", line.rest.partition(")")[0])


def _product(line: _Instruction, shapes: dict[str, _Instruction]) -> float:
    left = shapes[_operands(line)[0]].numbers
    contracted = _sides(line.option("lhs_contracting_dims"))
    return 2.0 * math.prod(line.numbers) * math.prod(left[axis] for axis in contracted)


def _convolution(line: _Instruction, shapes: dict[str, _Instruction]) -> float:
    """Count the products of a convolution that neither padding nor dilation makes 0."""
    image, kernel = (shapes[name].numbers for name in _operands(line)[:2])
    labels = re.split("_|->", line.option("dim_labels"))
    window = dict(part.split("=") for part in line.option("window").split())
    products = 2.0 * kernel[labels[1].index("i")]
    products *= math.prod(line.numbers[labels[2].index(letter)] for letter in "bf")
    for axis in range(len(labels[0]) - 2):
        products *= _taps(
            image[labels[0].index(str(axis))],
            line.numbers[labels[2].index(str(axis))],
            {name: text.split("x")[axis] for name, text in window.items()},
        )
    return products


def _taps(inputs: int, outputs: int, window: dict[str, str]) -> int:
    """Count the pairs of an output and an input that meet along one axis."""
    stride, spread, gap = (
        int(window.get(name, 1)) for name in ("stride", "lhs_dilate", "rhs_dilate")
    )
    before = int(window.get("pad", "0_0").split("_")[0])
    places = (
        output * stride + tap * gap - before
        for output in range(outputs)
        for tap in range(int(window["size"]))
    )
    last = (inputs - 1) * spread
    return sum(0 <= place <= last and place % spread == 0 for place in places)


def _sides(text: str) -> list[int]:
    return [int(side) for side in text.split(",") if side.strip()]
