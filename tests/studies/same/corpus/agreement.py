"""How far trainings are from that of the reference: `python agreement.py SEED STEPS PRECISION < candidates.json`.

It reads, for each network, options of trainings, and prints for each the largest difference of a weight, a buffer, an
average, an optimizer's state or a loss, over the largest value of that tensor in the reference.
"""

import importlib
import json
import sys

import training


def trained(network, words):
    session = training.Session(network, training.options(words))
    session.train()
    return session.outcome()


def distance(one, other):
    return max(
        ((one[name].double() - other[name].double()).abs().max() / one[name].double().abs().max().clamp(1e-30)).item()
        for name in one
    )


if __name__ == "__main__":
    seed, steps, precision = sys.argv[1:]
    common = ["--seed", seed, "--steps", steps, "--precision", precision]
    distances = {}
    for name, candidates in json.load(sys.stdin).items():
        network = importlib.import_module(name).NETWORK
        reference = trained(network, common)
        distances[name] = {
            words: distance(reference, trained(network, [*common, *words.split()])) for words in candidates
        }
    print(json.dumps(distances))
