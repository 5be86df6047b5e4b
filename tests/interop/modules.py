"""The models of granule as modules of PyTorch: the same names, shapes and answers.

Each takes what granule's network takes, normalised: images `[batch, channels, height, width]`, sequences
`[batch, steps, channels]`, vectors `[batch, features]`.
"""

import torch
from torch import nn
from torch.nn import functional as F


class Mlp(nn.Module):
    def __init__(self, features, widths=(128,), outputs=10, activation=torch.relu):
        super().__init__()
        sizes = [features, *widths, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.activation = activation

    def forward(self, x):
        x = x.flatten(1)
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


class LeNet(nn.Module):
    """For images of 28×28, which are padded, or 32×32."""

    def __init__(self, channels=1, side=28, outputs=10):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=2 if side == 28 else 0)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, outputs)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2).flatten(1)
        x = torch.relu(self.fc2(torch.relu(self.fc1(x))))
        return self.fc3(x)


class ConvBlock(nn.Module):
    def __init__(self, inputs, outputs, kernel=3, stride=1, batch_norm=True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not batch_norm)
        if batch_norm:
            self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        x = self.conv(x)
        return self.norm(x) if hasattr(self, "norm") else x


class Cnn(nn.Module):
    def __init__(self, channels, side, stages=(64, 128), convolutions=1, hidden=1024, outputs=10, batch_norm=False):
        super().__init__()
        self.stages = nn.ModuleList()
        for width in stages:
            blocks = nn.ModuleList()
            for _ in range(convolutions):
                blocks.append(ConvBlock(channels, width, batch_norm=batch_norm))
                channels = width
            self.stages.append(blocks)
        self.hidden = nn.Linear(channels * (side >> len(stages)) ** 2, hidden)
        self.output = nn.Linear(hidden, outputs)

    def forward(self, x):
        for stage in self.stages:
            for block in stage:
                x = torch.relu(block(x))
            x = F.max_pool2d(x, 2)
        return self.output(torch.relu(self.hidden(x.flatten(1))))


class ResidualBlock(nn.Module):
    """Two convolutions around a shortcut, or one and a pool."""

    def __init__(self, inputs, outputs, stride=1, shrink=False):
        super().__init__()
        self.conv1 = ConvBlock(inputs, outputs, stride=stride)
        self.shrink = shrink
        if not shrink:
            self.conv2 = ConvBlock(outputs, outputs)
            if stride != 1 or inputs != outputs:
                self.shortcut = ConvBlock(inputs, outputs, 1, stride)

    def forward(self, x):
        inner = torch.relu(self.conv1(x))
        if self.shrink:
            return F.max_pool2d(inner, 2)
        around = self.shortcut(x) if hasattr(self, "shortcut") else x
        return torch.relu(self.conv2(inner) + around)


class ResNet(nn.Module):
    """Depth 9, or 6n + 2."""

    def __init__(self, channels, depth=9, widths=None, outputs=10):
        super().__init__()
        self.depth = depth
        widths = widths or ([64, 128, 256, 512] if depth == 9 else [16, 32, 64])
        self.stem = ConvBlock(channels, widths[0])
        self.blocks = nn.ModuleList()
        width = widths[0]
        if depth == 9:
            for i, wider in enumerate(widths[1:]):
                self.blocks.append(ResidualBlock(width, wider, shrink=True))
                width = wider
                if i in (0, 2):
                    self.blocks.append(ResidualBlock(width, width))
        else:
            for i, wider in enumerate(widths):
                for j in range((depth - 2) // 6):
                    self.blocks.append(ResidualBlock(width, wider, 2 if i > 0 and j == 0 else 1))
                    width = wider
        self.output = nn.Linear(width, outputs)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        x = x.amax((2, 3)) if self.depth == 9 else x.mean((2, 3))
        return self.output(x)


def steps_of(x):
    """The rows of an image one after the other, all channels of a row side by side; a sequence as it is."""
    return x.transpose(1, 2).flatten(2) if x.dim() == 4 else x


class Scope(nn.Module):
    """A module that holds others by name."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


class Gated(nn.Module):
    """A GRU or an LSTM with a linear readout of its last hidden state, or of all of them."""

    def __init__(self, inputs, cell=nn.GRU, units=128, outputs=10, every_step=False):
        super().__init__()
        self.network = Scope(cells=cell(inputs, units, batch_first=True), readout=nn.Linear(units, outputs))
        self.every_step = every_step

    def forward(self, x):
        states, _ = self.network.cells(steps_of(x))
        outputs = self.network.readout(states)
        return outputs.flatten(1) if self.every_step else outputs[:, -1]


def parameter(*shape):
    return nn.Parameter(torch.zeros(*shape))


class Rate(nn.Module):
    """x ← (1 − α) x + α (r(x) W + u W_in + b), with α = Δt/τ and outputs r(x) W_out + b_out."""

    def __init__(self, inputs, units=128, outputs=10, dt=20.0, activation=torch.relu, dale=False):
        super().__init__()
        recurrent = {"raw": parameter(units, units)}
        if dale:
            recurrent["pattern"] = parameter(units, units)
        self.network = Scope(
            recurrent=Scope(**recurrent),
            input=parameter(inputs, units),
            bias=Scope(raw=parameter(1, units)),
            readout=Scope(raw=parameter(units, outputs), bias=Scope(raw=parameter(1, outputs))),
            time_constant=Scope(raw=parameter(1, 1)),
            initial=Scope(raw=parameter(1, units)),
        )
        self.dt, self.activation, self.dale = dt, activation, dale

    def forward(self, x):
        net = self.network
        weights = net.recurrent.raw.abs() * net.recurrent.pattern if self.dale else net.recurrent.raw
        alpha = self.dt / net.time_constant.raw
        state = net.initial.raw.expand(len(x), -1)
        for step in steps_of(x).unbind(1):
            drive = step @ net.input + net.bias.raw
            state = (1 - alpha) * state + alpha * (self.activation(state) @ weights + drive)
        return self.activation(state) @ net.readout.raw + net.readout.bias.raw


class WilsonCowan(nn.Module):
    """r ← r + (Δt/τ) ((S(∞) − ρ r) S(W r + u) − r), with S(x) = σ(a (x − θ)) − σ(−a θ)."""

    def __init__(self, inputs, units=128, outputs=10, dt=20.0, refractoriness=1.0):
        super().__init__()
        self.network = Scope(
            input=nn.Linear(inputs, units),
            recurrent=Scope(raw=parameter(units, units), pattern=parameter(units, units)),
            readout=nn.Linear(units, outputs),
            time_constant=parameter(1, units),
            slope=parameter(1, units),
            threshold=parameter(1, units),
        )
        self.dt, self.refractoriness = dt, refractoriness

    def forward(self, x):
        net = self.network
        weights = net.recurrent.raw.abs() * net.recurrent.pattern
        floor = torch.sigmoid(-net.slope * net.threshold)
        rates = torch.zeros(len(x), net.slope.shape[1])
        for step in steps_of(x).unbind(1):
            current = net.input(step) + rates @ weights
            response = torch.sigmoid(net.slope * (current - net.threshold)) - floor
            ready = 1 - floor - self.refractoriness * rates
            rates = rates + (ready * response - rates) * self.dt / net.time_constant
        return net.readout(rates)


class LayerNorm(nn.LayerNorm):
    """Over all values of a sample."""

    def forward(self, x):
        return super().forward(x.flatten(1)).reshape(x.shape)


class Recurrent(nn.Module):
    """Cells along the rows of an image, whose last state is given."""

    def __init__(self, cells):
        super().__init__()
        self.cells = cells

    def forward(self, x):
        return self.cells(steps_of(x))[0][:, -1]


class Residual(nn.Sequential):
    def forward(self, x):
        return super().forward(x) + x


class Branches(nn.Module):
    """Lists of layers side by side, joined by a gate: a softmax of a dense layer of all that they give."""

    def __init__(self, branches, values, gated=False):
        super().__init__()
        self.branches = nn.ModuleList(Scope(layers=nn.Sequential(*layers)) for layers in branches)
        if gated:
            self.gate = nn.Linear(values, len(branches))

    def forward(self, x):
        given = [branch.layers(x) for branch in self.branches]
        if not hasattr(self, "gate"):
            return torch.cat(given, 1)
        weights = torch.softmax(self.gate(torch.cat(given, 1)), 1)
        return sum(part * weights[:, i : i + 1] for i, part in enumerate(given))


class Sequential(nn.Module):
    def __init__(self, layers, features, outputs=10):
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.output = nn.Linear(features, outputs)

    def forward(self, x):
        return self.output(self.layers(x).flatten(1))
