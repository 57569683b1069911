"""The lifelong step written plainly in PyTorch with timm's blocks, to compare with.

What a PyTorch user would write: modules, autograd, `torch.optim.AdamW`, the teacher
under `no_grad`, rows of a batch in groups of one identity. Names of parameters are
those of `ckda_jax.models.weights.export_reference`, so that one file of weights fits
both. `benchmarks/step.py` compares its losses with ours before it times anything.
"""

import functools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from sizes import Size
from timm.models.vision_transformer import Block
from torch import Tensor, nn

MARGIN, TEMPERATURE = 0.1, 0.1


class Out(NamedTuple):
    """What a forward pass gives: prompts `[2 b, 3, h, w]` and `[2 b, d]` features."""

    prompt: Tensor
    feature: Tensor
    neck: Tensor


class Specific(nn.Sequential):
    """The prompt of one modality: linear, batch norm, linear."""

    def __init__(self, size: Size) -> None:
        pixels = 3 * size.prompt_patch**2
        super().__init__(
            nn.Linear(pixels, 16), nn.BatchNorm1d(16), nn.Linear(16, pixels)
        )

    def prompt(self, rows: Tensor, train: bool) -> Tensor:
        """Compute the rows `[b, n, p]` of the prompt."""
        down, norm, up = self
        hidden = down(rows)
        flat = F.batch_norm(
            hidden.flatten(0, 1),
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
            training=train,
        )
        return up(flat.view_as(hidden))


class Gate(nn.Sequential):
    """Two linear layers with a ReLU between and a sigmoid after."""

    def __init__(self) -> None:
        layers = nn.Linear(8, 2, bias=False), nn.ReLU(), nn.Linear(2, 8, bias=False)
        super().__init__(*layers, nn.Sigmoid())


class Base(nn.Module):
    """Prompts and vision transformer."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        d, tokens, pixels = size.width, size.tokens, 3 * size.prompt_patch**2
        self.size = size
        self.rgb_net, self.inf_net = Specific(size), Specific(size)
        self.com_net_pre = nn.Sequential(nn.Linear(pixels, 8))
        self.com_net_bak = nn.Sequential(nn.ReLU(), nn.Linear(8, pixels))
        self.att_ori, self.att_in = Gate(), Gate()
        self.IN = nn.InstanceNorm1d(8, affine=True, track_running_stats=True)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, d))
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, d))
        self.mod_embed = nn.Parameter(torch.zeros(2, 1, d))  # infrared first
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, d, size.patch, size.stride)
        rates = torch.linspace(0, size.drop_path, size.depth).tolist()
        self.blocks = nn.Sequential(
            *(
                Block(
                    d,
                    size.heads,
                    qkv_bias=True,
                    proj_drop=size.dropout,
                    drop_path=rate,
                    norm_layer=functools.partial(nn.LayerNorm, eps=1e-5),
                )
                for rate in rates
            )
        )
        self.norm = nn.LayerNorm(d, eps=1e-5)

    def prompt(self, images: Tensor, train: bool) -> Tensor:
        """Compute the sum of both prompts of `[2 b, 3, h, w]`, visible images first."""
        side, b = self.size.prompt_patch, len(images) // 2
        rows = F.unfold(images, side, stride=side).transpose(1, 2)
        pre = self.com_net_pre(rows)
        normal = F.instance_norm(
            pre.transpose(1, 2),
            self.IN.running_mean,
            self.IN.running_var,
            self.IN.weight,
            self.IN.bias,
            use_input_stats=train,
        ).transpose(1, 2)
        gate = self.att_ori(pre)
        common = self.com_net_bak(
            gate * pre + (1 - gate) * self.att_in(normal) * normal
        )
        specific = torch.cat(
            [self.rgb_net.prompt(rows[:b], train), self.inf_net.prompt(rows[b:], train)]
        )
        rate = self.size.prompt_dropout
        both = F.dropout(common, rate, train) + F.dropout(specific, rate, train)
        return F.fold(both.transpose(1, 2), images.shape[2:], side, stride=side)

    def forward(self, images: Tensor, train: bool) -> tuple[Tensor, Tensor]:
        """Return the prompt and the CLS token of every image."""
        prompt = self.prompt(images, train)
        patches = self.patch_embed.proj(images + prompt).flatten(2).transpose(1, 2)
        b = len(images) // 2
        tokens = torch.cat([self.cls_token.expand(2 * b, -1, -1), patches], dim=1)
        visible, infrared = self.mod_embed[1:], self.mod_embed[:1]
        modality = torch.cat([x.expand(b, -1, -1) for x in (visible, infrared)])
        tokens = F.dropout(tokens + self.pos_embed + modality, self.size.dropout, train)
        return prompt, self.norm(self.blocks(tokens))[:, 0]


class Twin(nn.Module):
    """Base, neck and classifier."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.base = Base(size)
        self.bottleneck = nn.BatchNorm1d(size.width)
        self.bottleneck.bias.requires_grad_(False)
        self.classifier = nn.Linear(size.width, 2 * size.classes, bias=False)

    def forward(self, images: Tensor) -> Out:
        """Run the whole model but the classifier."""
        prompt, feature = self.base(images, self.training)
        return Out(prompt, feature, self.bottleneck(feature.float()))


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Compute the Euclidean distance of every pair of rows."""
    square = a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T
    return square.clamp(min=1e-12).sqrt()


def triplet(a: Tensor, b: Tensor, labels_a: Tensor, labels_b: Tensor) -> Tensor:
    """Compute the mean batch-hard triplet loss of anchors a among candidates b."""
    distance = distances(a, b)
    same = labels_a[:, None] == labels_b[None]
    farthest = distance.masked_fill(~same, 0).amax(1)
    nearest = distance.masked_fill(same, torch.inf).amin(1)
    return F.relu(farthest - nearest + MARGIN).mean()


def spaces(features: Tensor, prototypes: Tensor) -> Tensor:
    """Compute log-probabilities `[m, p, b, k]` over the prototypes `[m, k, d]`."""
    cosine = torch.einsum(
        "mbd,pkd->mpbk", F.normalize(features, dim=-1), F.normalize(prototypes, dim=-1)
    )
    return F.log_softmax(cosine / TEMPERATURE, dim=-1)


def losses(
    student: Twin, teacher: Twin, images: Tensor, labels: Tensor, prototypes: Tensor
) -> Tensor:
    """Compute the sum of all losses of `[2 b, 3, h, w]` images, `[b]` labels."""
    size, b = student.base.size, len(labels)
    with torch.no_grad():
        old = teacher(images)
    clean = student.base.prompt(images, False)
    new = student(images)
    feature = new.feature.float()
    every, (rgb, ir) = torch.cat([labels, labels]), feature.split(b)
    logits = student.classifier(new.neck)[:, size.classes :].float()
    own = every - size.classes
    identity = F.cross_entropy(logits[:b], own[:b]) + F.cross_entropy(
        logits[b:], own[b:]
    )
    hard = triplet(feature, feature, every, every)
    people = labels[:: size.images]
    centres = feature.view(2, len(people), size.images, -1).mean(2)
    between = (
        triplet(centres[0], centres[1], people, people)
        + triplet(centres[1], centres[0], people, people)
    ) / 2
    cross = (
        triplet(rgb, centres[1], labels, people)
        + triplet(centres[0], ir, people, labels)
    ) / 2
    consistency = F.l1_loss(clean.float(), old.prompt.float())
    was = spaces(old.neck.view(2, b, -1), prototypes)
    now = spaces(new.neck.view(2, b, -1), prototypes)
    alignment = F.kl_div(now, was, log_target=True, reduction="none").sum(-1).mean()
    return identity + hard + between / 2 + cross / 2 + consistency + alignment


def optimiser(student: Twin, rates: dict[str, float]) -> torch.optim.Optimizer:
    """Make AdamW with the two learning rates, in its fused form."""
    pretrained, base = [], []
    for name, weight in student.named_parameters():
        if weight.requires_grad:
            inside = name.startswith(("base.patch_embed", "base.blocks"))
            (pretrained if inside else base).append(weight)
    groups = [
        {"params": pretrained, "lr": rates["pretrained"]},
        {"params": base, "lr": rates["base"]},
    ]
    return torch.optim.AdamW(groups, weight_decay=1e-4, fused=True)


def load(model: Twin, state: dict) -> Twin:
    """Fill a model with exported weights; every entry must be there and be used."""
    own = model.state_dict()
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    if set(own) - counters != set(state):
        raise ValueError(f"weights differ: {sorted(set(own) - counters ^ set(state))}")
    with torch.no_grad():
        for name, value in state.items():
            own[name].copy_(torch.from_numpy(value).view(own[name].shape))
    return model
