"""A torch model whose hidden neurons are junctions learns two circles, live.

Four junctions and few epochs: another seed may want more of both.  Leaves no file.
"""

import torch
from sklearn.datasets import make_circles

from device import DeviceArray, TwoReferenceMTJ, calibrate
from instruments import Bench
from training.activation import DeviceActivation

EPOCHS = 20
torch.manual_seed(0)
torch.set_num_threads(1)
x, labels = make_circles(n_samples=100, noise=0.1, factor=0.5, random_state=0)
x, labels = torch.tensor(x) * 1.5, torch.tensor(labels)

with Bench.open() as bench, bench.running():
    calibrations = [calibrate(bench, name)[0] for name in ("J1", "J2", "J3", "J4")]
    neurons = DeviceActivation(DeviceArray([TwoReferenceMTJ(bench, c) for c in calibrations]))
    model = torch.nn.Sequential(torch.nn.Linear(2, 4), neurons, torch.nn.Linear(4, 2)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.2)
    for epoch in range(1, EPOCHS + 1):
        logits = model(x)  # one list sweep for each junction: activations and gradients
        loss = torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epoch % 5 == 0:
            right = (logits.argmax(1) == labels).double().mean()
            print(f"epoch {epoch:3}: loss {loss.item():.3f}, training accuracy {right:.2f}")
    with torch.no_grad():
        accuracy = (model(x).argmax(1) == labels).double().mean()

print(f"accuracy {accuracy:.2f} on the training points; {neurons.reads} points measured, "
      f"bench time {neurons.bench_time_s:.0f} s")  # fmt: skip
